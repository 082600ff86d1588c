/* generate_request.h - what `lspo generate` is asked for: its options, and which of them go together. */
#ifndef LSPO_CLI_GENERATE_REQUEST_H
#define LSPO_CLI_GENERATE_REQUEST_H

#include <stdint.h>

#include "ask/args.h"
#include "cli/generate_prompt.h"
#include "plan/precision.h"
#include "real/generate/weights.h"

/* Of `weights`, after the formats of plan/precision.h; of `format`; and of `quantizer` and `group`. */
enum { LSPO_WEIGHTS_OF_FILE = LSPO_PRECISION_COUNT, LSPO_WEIGHTS_INT4, LSPO_WEIGHTS_TERNARY };
enum { LSPO_ANSWER_TEXT, LSPO_ANSWER_JSON };
enum { LSPO_NOT_GIVEN = -1 };

typedef struct {
    const char *model_name, *checkpoint, *calibration, *perplexity;
    lspo_prompt_source_t prompt;
    uint32_t tokens;             /* 0: not given */
    uint32_t top_k, threads;     /* top_k: UINT32_MAX: not given */
    double temperature, top_p;   /* NaN: not given */
    double sparsity;             /* NaN: not given */
    uint64_t seed, memory_bytes; /* LSPO_MISSING: seed is not given */
    int weights, cache, format;
    int quantizer, group; /* LSPO_NOT_GIVEN */
    int prune;            /* LSPO_NOT_GIVEN */
} lspo_generate_request_t;

/* Before an option is parsed. */
extern const lspo_generate_request_t lspo_generate_nothing;
extern const lspo_arg_group_t lspo_generate_group;

/* LSPO_ERR_INPUT for options that do not go together; else those that were not given become the usual ones, but for
 * quantizer, group and prune. */
lspo_status_t lspo_generate_request_settle(lspo_generate_request_t *request);

/* How weights are pruned; NULL: they are not. */
const char *lspo_generate_request_pruning(const lspo_generate_request_t *request);

/* The form of weights that are to be in 4 bits here, and the name of a form's group; NULL: it is off. */
lspo_int4_form_t lspo_generate_request_int4(const lspo_generate_request_t *request);
const char *lspo_generate_group_name(const lspo_int4_form_t *int4);

#endif
