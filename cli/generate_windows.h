/* generate_windows.h - parts of a text for `lspo generate`: to calibrate weights of 4 bits by, from its first 95 %, and
 * to measure perplexity by, from its last 5 %. */
#ifndef LSPO_CLI_GENERATE_WINDOWS_H
#define LSPO_CLI_GENERATE_WINDOWS_H

#include <stdint.h>

#include "base/status.h"
#include "real/data/text.h"

typedef struct {
    lspo_text_t *text;
    const char *path;
    uint32_t count, length; /* windows, and tokens of each */
    uint32_t *tokens;       /* count x length */
} lspo_windows_t;

/* tokenizer: NULL: bytes.  LSPO_ERR_INPUT if a token is outside the vocabulary, or the text cannot be read. */
lspo_status_t lspo_windows_open(const char *path, lspo_tokenizer_t *tokenizer, uint32_t vocabulary,
                                lspo_windows_t *windows_out);
void lspo_windows_close(lspo_windows_t *windows);

/* `count` windows of *length tokens, drawn from the first part; *length becomes less if it has not so many.
 * LSPO_ERR_INPUT if it has fewer than 2 tokens, or than `least`; why: what these are, for the message. */
lspo_status_t lspo_windows_draw(lspo_windows_t *windows, uint64_t seed, uint32_t count, uint32_t least, const char *why,
                                uint32_t *length);
/* Up to `most` windows of *length + 1 tokens, evenly spread over the last part and not more than it holds side by side;
 * *length becomes less if it has not so many.  LSPO_ERR_INPUT if it has less than 2 tokens. */
lspo_status_t lspo_windows_hold_out(lspo_windows_t *windows, uint32_t most, uint32_t *length);

#endif
