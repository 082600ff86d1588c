/* generate_text.h - the text of generated tokens, piece by piece as they come, and whole in the end.
 *
 * A token may hold a part of a character, which is kept back until the rest has come.  What is not UTF-8 in the end is
 * written as U+FFFD; on a terminal, control characters except newline and tab are written as base/printable.h does.
 */
#ifndef LSPO_CLI_GENERATE_TEXT_H
#define LSPO_CLI_GENERATE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/status.h"
#include "real/tokenizer/tokenizer.h"

typedef struct {
    const lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    const uint32_t *tokens;            /* prompt and answer, in which new tokens are stored */
    size_t count;                      /* of them so far */
    FILE *file;                        /* NULL: nothing is written until the end */
    bool terminal;                     /* the file is one */
    lspo_tokenizer_stream_t stream;    /* of all tokens so far */
    lspo_buffer_t pending;             /* bytes of the answer that were not written yet */
    lspo_buffer_t answer;              /* in UTF-8, all that was written */
} lspo_answer_text_t;

/* `text` has tokenizer, tokens, the count of the prompt's, and file. */
lspo_status_t lspo_answer_text_begin(lspo_answer_text_t *text);
/* One more token: writes what is complete. */
lspo_status_t lspo_answer_text_token(void *text, uint32_t token);
/* Writes the rest. */
lspo_status_t lspo_answer_text_end(lspo_answer_text_t *text);
void lspo_answer_text_release(lspo_answer_text_t *text);

#endif
