/* text.c - read the text of a profile, plain or compressed by gzip, one window at a time; see text.h. */
#include "traces/import/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"

static const size_t window_bytes = (size_t)1 << 20;
static const uint64_t expansion_bytes_free = (uint64_t)64 << 20;

/* zlib's own messages name the file by its descriptor. */
static lspo_status_t read_error(const lspo_import_text_t *text, int code)
{
    const char *reason = code == Z_ERRNO       ? strerror(errno)
                         : code == Z_BUF_ERROR ? "the compressed file ends too early: it is truncated"
                                               : "the compressed data is damaged";
    return lspo_error(code == Z_MEM_ERROR ? LSPO_ERR_MEMORY : LSPO_ERR_INPUT, "cannot read %s: %s", text->path,
                      code == Z_MEM_ERROR ? "out of memory" : reason);
}

static lspo_status_t check_expansion(const lspo_import_text_t *text, z_off_t compressed_bytes)
{
    uint64_t bytes = text->past_bytes + text->end;
    if (bytes <= expansion_bytes_free || compressed_bytes <= 0 ||
        bytes / LSPO_IMPORT_EXPANSION_MAX <= (uint64_t)compressed_bytes)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s: it expands to more than %d times its size, unlike any profile", text->path,
                      LSPO_IMPORT_EXPANSION_MAX);
}

static void tell_progress(const lspo_import_text_t *text, z_off_t done)
{
    if (text->progress.update && text->file_bytes > 0 && done >= 0)
        text->progress.update(text->progress.context, "reading the profile",
                              (uint32_t)((double)done / (double)text->file_bytes * 1000), 1000);
}

static void count_lines(lspo_import_text_t *text, size_t to)
{
    const unsigned char *found;
    while (text->counted < to && (found = memchr(text->window + text->counted, '\n', to - text->counted)) != NULL) {
        text->counted = (size_t)(found - text->window) + 1;
        text->line++;
    }
    text->counted = to;
}

bool lspo_import_text_refill(lspo_import_text_t *text)
{
    if (text->status != LSPO_OK)
        return false;
    count_lines(text, text->end);
    text->past_bytes += text->end;
    text->at = text->end = text->counted = 0;
    int taken = gzread(text->file, text->window, (unsigned)window_bytes), code = Z_OK;
    (void)gzerror(text->file, &code);
    if (taken < 0 || (code != Z_OK && code != Z_STREAM_END)) {
        text->status = read_error(text, code);
        return false;
    }
    text->end = (size_t)taken;
    z_off_t done = gzoffset(text->file); /* -1 for a pipe */
    text->status = check_expansion(text, done);
    tell_progress(text, done);
    return taken > 0 && text->status == LSPO_OK;
}

uint64_t lspo_import_text_line(lspo_import_text_t *text)
{
    count_lines(text, text->at);
    return text->line;
}

static lspo_status_t open_file(lspo_import_text_t *text)
{
    int descriptor = -1;
    lspo_status_t status = lspo_input_descriptor(text->path, &descriptor);
    if (status != LSPO_OK)
        return status;
    struct stat facts;
    if (fstat(descriptor, &facts) == 0)
        text->file_bytes = (uint64_t)facts.st_size;
    text->file = gzdopen(descriptor, "rb");
    if (!text->file) {
        close(descriptor);
        return lspo_no_memory("reading %s", text->path);
    }
    return LSPO_OK;
}

lspo_status_t lspo_import_text_open(const char *path, const lspo_import_progress_t *progress, lspo_import_text_t *text)
{
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};
    *text = (lspo_import_text_t){.path = path, .line = 1, .window = malloc(window_bytes)};
    if (progress)
        text->progress = *progress;
    text->status = text->window ? open_file(text) : lspo_no_memory("reading %s", path);
    if (text->status == LSPO_OK && lspo_import_text_refill(text) && text->end >= sizeof mark &&
        memcmp(text->window, mark, sizeof mark) == 0)
        text->at = sizeof mark;
    else if (text->status == LSPO_OK && text->end == 0)
        text->status = lspo_input_refuse_empty(path);
    if (text->status == LSPO_OK)
        text->status = lspo_input_refuse_pointer(path, (const char *)text->window, text->end);
    lspo_status_t status = text->status;
    if (status != LSPO_OK)
        lspo_import_text_close(text);
    return status;
}

void lspo_import_text_close(lspo_import_text_t *text)
{
    if (text->file)
        gzclose(text->file);
    free(text->window);
    text->file = NULL;
    text->window = NULL;
}
