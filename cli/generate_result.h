/* generate_result.h - what `lspo generate` reports of a text. */
#ifndef LSPO_CLI_GENERATE_RESULT_H
#define LSPO_CLI_GENERATE_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    const char *model, *weights, *quantizer, *group, *pruning, *cache, *ended, *text, *version;
    uint64_t threads, seed, prompt_tokens, tokens, weights_bytes, peak_bytes;
    double sparsity, expert_zeros, expert_bits, load_s, time_to_first_token_s, token_s, tokens_per_s, perplexity;
} lspo_generate_result_t;

/* As one JSON object on stdout, or as a table on stderr. */
lspo_status_t lspo_generate_result_write(const lspo_generate_result_t *result, bool json);

#endif
