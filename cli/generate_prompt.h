/* generate_prompt.h - the prompt of `lspo generate` as tokens, and the tokens that end its answer. */
#ifndef LSPO_CLI_GENERATE_PROMPT_H
#define LSPO_CLI_GENERATE_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "real/data/encoder.h"
#include "real/formats/hf_generation.h"
#include "real/tokenizer/tokenizer.h"

typedef struct {
    const char *text; /* "-": standard input; NULL: missing */
    bool chat;
    const char *system;        /* NULL: none */
    const char *chat_template; /* NULL: the folder's */
    const char *folder;        /* of the model; NULL: none */
    const lspo_model_t *model;
    uint32_t positions;          /* the most tokens of a text */
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
} lspo_prompt_source_t;

typedef struct {
    lspo_tokens_t tokens;
    lspo_hf_ends_t ends;
} lspo_prompt_t;

/* The caller calls lspo_prompt_release().  LSPO_ERR_INPUT for a prompt that is missing, empty or not text, that has
 * tokens outside the model's vocabulary, or that leaves no position for an answer. */
lspo_status_t lspo_prompt_read(const lspo_prompt_source_t *source, lspo_prompt_t *prompt_out);
void lspo_prompt_release(lspo_prompt_t *prompt);

#endif
