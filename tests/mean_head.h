/* mean_head.h - a transformer's head with the mean over the targets that count instead of the sum, as in plans; on the
 * host. */
#ifndef LSPO_TESTS_MEAN_HEAD_H
#define LSPO_TESTS_MEAN_HEAD_H

#include "kernels/loss.h"
#include "real/transformer/transformer.h"

static inline size_t mean_head_divisor(const lspo_transformer_t *t, const uint32_t *targets)
{
    const size_t counted = lspo_targets_counted(lspo_transformer_targets(t), targets);
    return counted > 0 ? counted : 1;
}

static inline double mean_head_forward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                       const uint32_t *targets, const float *x_in, void *saved)
{
    double sum;
    lspo_transformer_head_forward(t, &(lspo_head_parameters_t){head_weights, embed_weights}, targets, x_in, saved,
                                  &sum);
    return sum / (double)mean_head_divisor(t, targets);
}

/* loss->scale is that of the mean. */
static inline void mean_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *parameters,
                                      const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                      const lspo_gradient_sink_t *sink, float *dx_out)
{
    const float scale = loss->scale / (float)mean_head_divisor(t, loss->targets);
    lspo_transformer_head_backward(t, parameters, &(lspo_head_loss_t){loss->targets, scale}, kept, sink, dx_out);
}

#endif
