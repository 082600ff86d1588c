/* loss.h - softmax cross-entropy over a vocabulary, forward and backward, fp32.
 *
 *     p = softmax(logits),   loss = -sum over rows of ln p[target],   dlogits = scale (p - onehot(target))
 *
 * A row whose target is LSPO_TARGET_IGNORED (a prompt, padding) is ignored: no loss, zero gradient, and its logits are
 * unchanged.  Forward: about 16 FLOPs and 8 bytes per element.  Backward: 1 FLOP and 8 bytes per element.
 */
#ifndef LSPO_KERNELS_LOSS_H
#define LSPO_KERNELS_LOSS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSPO_TARGET_IGNORED UINT32_MAX /* -1 in other frameworks */

/* The number of rows whose targets count: the divisor of a mean. */
size_t lspo_targets_counted(size_t rows, const uint32_t *targets);

/* rows x vocabulary logits with a row stride of `stride` numbers (at least vocabulary; the gap is neither read nor
 * written), and the targets: `rows` ids, each < vocabulary or ignored. */
typedef struct {
    size_t rows, vocabulary, stride;
    const uint32_t *targets;
} lspo_cross_entropy_t;

/* Turns the logits into probabilities in place.  Returns the *sum* of the rows' losses in nats; for the mean, divide by
 * lspo_targets_counted(). */
double lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits);

/* dlogits may be `probabilities`.  scale: 1 / counted rows for the gradient of the mean. */
void lspo_cross_entropy_backward(const lspo_cross_entropy_t *loss, const float *probabilities, float scale,
                                 float *dlogits);

#ifdef __cplusplus
}
#endif
#endif
