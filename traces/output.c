#include "traces/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void release(lspo_output_t *output)
{
    free(output->path);
    free(output->temporary_path);
    *output = (lspo_output_t){0};
}

lspo_status_t lspo_output_open(const char *path, lspo_output_t *output_out)
{
    lspo_output_t output = {.path = strdup(path)};
    if (!output.path)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", path);

    struct stat info;
    bool in_place = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    if (!in_place && asprintf(&output.temporary_path, "%s.tmp.%ld", path, (long)getpid()) < 0) {
        output.temporary_path = NULL;
        release(&output);
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", path);
    }
    const char *target = in_place ? path : output.temporary_path;
    int descriptor = open(target, O_WRONLY | O_TRUNC | O_CLOEXEC | (in_place ? 0 : O_CREAT), 0666);
    if (descriptor >= 0 && (output.file = fdopen(descriptor, "w")) == NULL)
        close(descriptor);
    if (!output.file) {
        lspo_error(LSPO_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        release(&output);
        return LSPO_ERR_IO;
    }
    *output_out = output;
    return LSPO_OK;
}

lspo_status_t lspo_output_finish(lspo_output_t *output, lspo_status_t status)
{
    const char *temporary = output->temporary_path;
    if (status == LSPO_OK && (ferror(output->file) || fflush(output->file) != 0))
        status = lspo_error(LSPO_ERR_IO, "cannot write %s: %s", output->path, strerror(errno));
    if (status == LSPO_OK && temporary && fsync(fileno(output->file)) != 0)
        status = lspo_error(LSPO_ERR_IO, "cannot write %s: %s", output->path, strerror(errno));
    if (fclose(output->file) != 0 && status == LSPO_OK)
        status = lspo_error(LSPO_ERR_IO, "cannot close %s: %s", output->path, strerror(errno));
    if (status == LSPO_OK && temporary && rename(temporary, output->path) != 0)
        status = lspo_error(LSPO_ERR_IO, "cannot rename %s to %s: %s", temporary, output->path, strerror(errno));
    if (status != LSPO_OK && temporary)
        unlink(temporary);
    release(output);
    return status;
}
