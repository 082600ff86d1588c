/* words.h - split a line into words like a shell. */
#ifndef LSPO_BASE_WORDS_H
#define LSPO_BASE_WORDS_H

#include <stddef.h>

#include "base/status.h"

/* Split `text` in place; the words point into it.  Blanks separate words.  'x' and "x" quote; a backslash keeps the
 * next character, except within single quotes.  Nothing is expanded.  LSPO_ERR_INPUT, with `what` in the message, for a
 * quote without end and for more than `most` words. */
lspo_status_t lspo_words_split(const char *what, char *text, size_t most, char **words_out, size_t *count_out);

#endif
