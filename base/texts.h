/* texts.h - numbers for texts, so that a record of numbers can hold them: equal texts have the same number.  There are
 * few.  A number means nothing to another process, nor to another table. */
#ifndef LSPO_BASE_TEXTS_H
#define LSPO_BASE_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A table of texts; {0} is empty. */
typedef struct {
    char **list; /* owned, and so are the texts */
    size_t capacity;
    uint32_t count;
} lspo_texts_t;

void lspo_texts_release(lspo_texts_t *texts);

/* From now on the calling thread uses this table, alone, while it lives; NULL: the one of the process, which is kept
 * until it ends and which any thread may use.  Returns what it used before. */
lspo_texts_t *lspo_texts_use(lspo_texts_t *texts);

/* From 1. */
lspo_status_t lspo_text_number(const char *text, uint32_t *number_out);

/* The text of a number from above. */
const char *lspo_text_of(uint32_t number);

#endif
