/* parallel.h - the GPU memory of a training whose weights are on one GPU or spread over several, by replay of a plan.
 *
 *     data       D replicas, each with all of the model: every GPU as one alone
 *     sharded    ZeRO-3 over D GPUs: of weights, gradients and optimizer state each GPU keeps 1 / D.  The weights of a
 *                stage are gathered before its FWD, RECOMPUTE and BWD, while the op before runs, and given back after
 *                it; BWD also has the stage's whole gradient
 *     tensor     T GPUs share each layer: heads, MLP and vocabulary are divided, norms and the residual stream are
 *                not.  The share of one GPU is itself a model, which is planned and replayed like any other
 *
 * and T times D GPUs.  Only memory is asked for: what the GPUs send each other takes time, but no memory besides the
 * gathered weights.
 */
#ifndef LSPO_SIM_PARALLEL_H
#define LSPO_SIM_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "sim/fit.h"
#include "sim/needs.h"

typedef struct {
    uint32_t tensor, data; /* T, D */
    bool sharded;          /* the D replicas, ZeRO-3 */
} lspo_parallel_t;

/* "single", "data 4", "zero-3 4", "tensor 2, data 2", "tensor 2, zero-3 2". */
const char *lspo_parallel_title(const lspo_parallel_t *layout, char *buffer, size_t buffer_bytes);

/* The layouts of `devices` GPUs that the model's heads, MLP and vocabulary can be divided into, in the order of T;
 * at most `capacity`.  Returns their number. */
size_t lspo_parallel_list(const lspo_model_t *model, uint32_t devices, lspo_parallel_t *layouts_out, size_t capacity);

/* The share of one of T GPUs.  LSPO_ERR_INPUT if heads, MLP or vocabulary are no multiple of T. */
lspo_status_t lspo_parallel_share(const lspo_model_t *model, uint32_t tensor, lspo_model_t *share_out);

/* What each GPU needs.  A sharded layout is LSPO_ERR_INPUT for a policy that does not keep and update all weights on
 * the GPU. */
lspo_status_t lspo_parallel_needs(const lspo_fit_question_t *question, const lspo_parallel_t *layout,
                                  lspo_needs_t *needs_out);

#endif
