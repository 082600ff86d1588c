/* texts.h - numbers for texts, so that a record of numbers can hold them: equal texts have the same number.  Texts are
 * kept until the program ends; there are few.  A number means nothing to another process. */
#ifndef LSPO_BASE_TEXTS_H
#define LSPO_BASE_TEXTS_H

#include <stdint.h>

#include "base/status.h"

/* From 1.  Any thread may ask. */
lspo_status_t lspo_text_number(const char *text, uint32_t *number_out);

/* The text of a number from above. */
const char *lspo_text_of(uint32_t number);

#endif
