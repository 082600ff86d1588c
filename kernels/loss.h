/* loss.h - softmax cross-entropy over a vocabulary, forward and backward, fp32.
 *
 *     p = softmax(logits),   loss = -sum over rows of ln p[target],   dlogits = scale (p - onehot(target))
 *
 * A row whose target is LSPO_TARGET_IGNORED (a prompt, padding) counts for nothing: no loss, zero gradient, and its
 * logits stay as they are.
 * Forward: about 16 FLOPs and 8 bytes an element.  Backward: 1 FLOP and 8 bytes an element.
 */
#ifndef LSPO_KERNELS_LOSS_H
#define LSPO_KERNELS_LOSS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSPO_TARGET_IGNORED UINT32_MAX /* -1, as others write it */

/* Rows whose targets count: what a mean divides by. */
size_t lspo_targets_counted(size_t rows, const uint32_t *targets);

/* rows x vocabulary logits, their rows `stride` numbers apart (at least vocabulary; what lies between them is neither
 * read nor written), and the targets: rows ids < vocabulary, or ignored. */
typedef struct {
    size_t rows, vocabulary, stride;
    const uint32_t *targets;
} lspo_cross_entropy_t;

/* Turns the logits into probabilities in place.  Returns the *sum* of the rows' losses in nats; divide by the rows that
 * count for the mean. */
double lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits);

/* dlogits may be `probabilities`.  scale: 1 / counted rows for the gradient of the mean. */
void lspo_cross_entropy_backward(const lspo_cross_entropy_t *loss, const float *probabilities, float scale,
                                 float *dlogits);

#ifdef __cplusplus
}
#endif
#endif
