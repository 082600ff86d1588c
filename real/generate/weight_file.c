/* weight_file.c - see weight_file.h. */
#include "real/generate/weight_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

lspo_status_t lspo_weight_file_append(lspo_weight_file_t *file, const void *weights, size_t bytes, off_t *offset_out)
{
    if (file->file == NULL)
        file->file = tmpfile();
    const off_t offset = file->file != NULL ? ftello(file->file) : -1;
    if (offset < 0 || fwrite(weights, 1, bytes, file->file) != bytes || fflush(file->file) != 0)
        return lspo_error(LSPO_ERR_IO, "cannot write %zu bytes of weights into a temporary file: %s", bytes,
                          strerror(errno));
    *offset_out = offset;
    return LSPO_OK;
}

lspo_status_t lspo_weight_file_read(const lspo_weight_file_t *file, off_t offset, size_t bytes, void *out)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t got = pread(fileno(file->file), (char *)out + done, bytes - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return lspo_error(LSPO_ERR_IO, "cannot read weights back from a temporary file: %s",
                              got < 0 ? strerror(errno) : "it has been cut");
        done += (size_t)got;
    }
    return LSPO_OK;
}

void lspo_weight_file_close(lspo_weight_file_t *file)
{
    if (file->file != NULL)
        fclose(file->file);
    file->file = NULL;
}
