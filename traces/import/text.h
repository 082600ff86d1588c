/* text.h - read the text of a profile, plain or compressed by gzip, one window at a time.
 *
 * A profile has hundreds of megabytes, of which an import needs a tenth, so the text is never in memory as a whole.  A
 * compressed file that expands to more than LSPO_IMPORT_EXPANSION_MAX times its size and to more than 64 MiB is
 * refused.
 */
#ifndef LSPO_TRACES_IMPORT_TEXT_H
#define LSPO_TRACES_IMPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/status.h"

/* Profiles are usually compressed to a tenth or twentieth. */
enum { LSPO_IMPORT_EXPANSION_MAX = 500, LSPO_IMPORT_END = -1 };

/* `update`, if not NULL, is called now and then with the thousandths of the file that have been read. */
typedef struct {
    void (*update)(void *context, const char *label, uint32_t done, uint32_t of);
    void *context;
} lspo_import_progress_t;

typedef struct {
    const char *path;
    gzFile file;
    uint64_t file_bytes;
    unsigned char *window; /* owned: bytes at .. end have not been read */
    size_t at, end, counted;
    uint64_t past_bytes;  /* before the window                        */
    uint64_t line;        /* of the byte at `counted`, from 1 on             */
    lspo_status_t status; /* of reading; errors have been logged      */
    lspo_import_progress_t progress;
} lspo_import_text_t;

/* Only regular files are accepted.  A byte-order mark is skipped. */
lspo_status_t lspo_import_text_open(const char *path, const lspo_import_progress_t *progress, lspo_import_text_t *text);
void lspo_import_text_close(lspo_import_text_t *text);

/* Read the next window; false at the end of the text or after an error (text->status). */
bool lspo_import_text_refill(lspo_import_text_t *text);

/* The line of the next byte. */
uint64_t lspo_import_text_line(lspo_import_text_t *text);

/* The next byte, without taking it, or LSPO_IMPORT_END. */
static inline int lspo_import_text_peek(lspo_import_text_t *text)
{
    return text->at < text->end || lspo_import_text_refill(text) ? text->window[text->at] : LSPO_IMPORT_END;
}

/* The next byte, or LSPO_IMPORT_END. */
static inline int lspo_import_text_take(lspo_import_text_t *text)
{
    return text->at < text->end || lspo_import_text_refill(text) ? text->window[text->at++] : LSPO_IMPORT_END;
}

#endif
