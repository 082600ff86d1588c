/* text.h - the text of a profile, plain or compressed by gzip, a window at a time.
 *
 * A profile has hundreds of megabytes, of which an import needs a tenth; so the text is never held as a whole.  A
 * compressed file that expands to more than LSPO_IMPORT_EXPANSION_MAX times its size, and 64 MiB, is no profile.
 */
#ifndef LSPO_TRACES_IMPORT_TEXT_H
#define LSPO_TRACES_IMPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/status.h"

/* Profiles shrink to a tenth or twentieth. */
enum { LSPO_IMPORT_EXPANSION_MAX = 500, LSPO_IMPORT_END = -1 };

/* Told now and then how much of a file has been read, in thousandths; `update` may be NULL. */
typedef struct {
    void (*update)(void *context, const char *label, uint32_t done, uint32_t of);
    void *context;
} lspo_import_progress_t;

typedef struct {
    const char *path;
    gzFile file;
    uint64_t file_bytes;
    unsigned char *window; /* owned: at to end is what has not been taken */
    size_t at, end, counted;
    uint64_t past_bytes;  /* of the text before the window                   */
    uint64_t line;        /* of the byte at `counted`, from 1 on             */
    lspo_status_t status; /* of reading; what stopped it has been said       */
    lspo_import_progress_t progress;
} lspo_import_text_t;

/* Refuses what is no regular file.  A byte-order mark is skipped. */
lspo_status_t lspo_import_text_open(const char *path, const lspo_import_progress_t *progress, lspo_import_text_t *text);
void lspo_import_text_close(lspo_import_text_t *text);

/* Read on; false at the end of the text, and where text->status tells an error. */
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
