/* quantizer.h - the weights of a model's blocks as they are loaded: linear ones in 4 bits (kernels/int4_quantize.h), or
 * experts ternary and packed (kernels/ternary_quantize.h), by rounding or by GPTQ; or pruned, by magnitude or by Wanda
 * (kernels/pruned.h).
 *
 * For GPTQ and Wanda the calibration's tokens pass through the model while it is loaded (input_sums.h).  An expert
 * that none of them has chosen is rounded, or pruned by magnitude.
 */
#ifndef LSPO_REAL_GENERATE_QUANTIZER_H
#define LSPO_REAL_GENERATE_QUANTIZER_H

#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "kernels/int4.h"
#include "kernels/number.h"
#include "plan/model.h"
#include "real/device/device.h"
#include "real/generate/weights.h"

/* Some columns of a linear tensor of a block, from a multiple of LSPO_INT4_STRIP on, to one or to its end; each weight
 * rounded to nearest.  columns: rows x count; out: the block's array in the form of `to`
 * (real/transformer/generation.h).  LSPO_ERR_INPUT for weights that 4 bits cannot hold. */
typedef struct {
    uint32_t stage, tensor;
    size_t first, count;
} lspo_quantizer_columns_t;
lspo_status_t lspo_quantizer_round(const lspo_weights_source_t *to, const lspo_quantizer_columns_t *of,
                                   lspo_workers_t *workers, const float *columns, void *out);

typedef struct lspo_quantizer lspo_quantizer_t;

typedef struct {
    lspo_weights_source_t from; /* the weights, in any format; `int4` or `ternary`: what they become; else: pruned */
    double sparsity;            /* share of each matrix that is pruned, each expert's for itself; routers are not */
    lspo_workers_t *workers;    /* NULL: the calling thread */
    lspo_device_t *device;      /* "host" */
    const uint32_t *tokens;     /* GPTQ, Wanda: sequences x length; NULL: round to nearest, prune by magnitude */
    uint32_t sequences, length;
} lspo_quantizer_options_t;

/* What it takes of the device at most, while weights are loaded, beside these. */
uint64_t lspo_quantizer_bytes(const lspo_quantizer_options_t *options);

/* What `options` points to must outlive the object.  LSPO_ERR_FIT if the device has not so much memory. */
lspo_status_t lspo_quantizer_create(const lspo_quantizer_options_t *options, lspo_quantizer_t **quantizer_out);
void lspo_quantizer_destroy(lspo_quantizer_t *quantizer);

/* An lspo_stage_load_t, whose context is the quantizer; once for each stage, in order.  LSPO_ERR_INPUT for weights that
 * 4 bits or three numbers cannot hold, and if what is to be pruned, or its input, is not finite. */
lspo_status_t lspo_quantizer_load(void *quantizer, uint32_t stage, lspo_number_t number, void *weights);

/* The packed experts, which are the caller's from now on; NULL: none. */
lspo_ternary_experts_t *lspo_quantizer_take_experts(lspo_quantizer_t *quantizer);

/* How many experts of all blocks loaded so far no token of the calibration has chosen. */
uint32_t lspo_quantizer_unseen(const lspo_quantizer_t *quantizer);

#endif
