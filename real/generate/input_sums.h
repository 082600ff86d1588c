/* input_sums.h - the inputs of a model's linear weights on some tokens, summed up block by block as the model is
 * loaded (quantizer.h).
 *
 * A block first computes in fp32, and the inputs of its linear tensors are summed up as X^T X (kernels/gptq.h), or only
 * its diagonal; an expert's are those of the tokens that have chosen it.  Then it computes again with its weights as
 * they are stored, and what comes out is the input of the next block.
 */
#ifndef LSPO_REAL_GENERATE_INPUT_SUMS_H
#define LSPO_REAL_GENERATE_INPUT_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "real/device/device.h"
#include "real/generate/ternary_experts.h"
#include "real/generate/weights.h"

typedef struct lspo_input_sums lspo_input_sums_t;

typedef struct {
    lspo_weights_source_t from; /* the model, and how its weights are stored; with `ternary` only experts are summed */
    lspo_workers_t *workers;    /* NULL: the calling thread */
    lspo_device_t *device;      /* "host" */
    const uint32_t *tokens;     /* sequences x length */
    uint32_t sequences, length;
    bool squares; /* only the diagonal of X^T X */
} lspo_input_sums_options_t;

/* What it takes of the device at most. */
uint64_t lspo_input_sums_bytes(const lspo_input_sums_options_t *options);

/* What `options` points to must outlive the object.  LSPO_ERR_FIT if the device has not so much memory. */
lspo_status_t lspo_input_sums_create(const lspo_input_sums_options_t *options, lspo_input_sums_t **sums_out);
void lspo_input_sums_destroy(lspo_input_sums_t *sums);

/* In this order: the embedding's weights as they are stored; then for each block its sums, wide: its array in fp32; and
 * its results, weights: its array as it is stored, experts: NULL or its packed ones. */
void lspo_input_sums_embed(lspo_input_sums_t *sums, const void *weights);
lspo_status_t lspo_input_sums_measure(lspo_input_sums_t *sums, const void *wide);
void lspo_input_sums_follow(lspo_input_sums_t *sums, const void *weights, const lspo_ternary_t *experts);

/* The sums of a tensor's inputs (expert: 0 where there are none), as measured last: the caller's to change.  Tensors
 * with the same inputs have the same sums; *is_first_out: no tensor before it has them. */
float *lspo_input_sums_of(const lspo_input_sums_t *sums, uint32_t tensor, uint32_t expert, bool *is_first_out);

/* How many tokens have chosen an expert in this block. */
uint64_t lspo_input_sums_tokens(const lspo_input_sums_t *sums, uint32_t expert);

#endif
