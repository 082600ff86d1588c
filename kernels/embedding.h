/* embedding.h - token plus position embedding, forward and backward, fp32.
 *
 *     x[b, i] = token[id[b, i]] + position[i]        (or without positions)
 *
 * Forward: 1 FLOP and 12 bytes per element of x.  Backward: 2 FLOPs and 20 bytes per element of dx.
 */
#ifndef LSPO_KERNELS_EMBEDDING_H
#define LSPO_KERNELS_EMBEDDING_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The tokens of a batch, and the width of the embedding. */
typedef struct {
    size_t batch, sequence, width;
    const uint32_t *ids; /* batch x sequence, each below the number of rows of `token` */
} lspo_embedding_t;

/* token: V x width, position: at least sequence x width, or NULL.  x_out: (batch x sequence) x width. */
void lspo_embedding_forward(const lspo_embedding_t *embedding, const float *token, const float *position, float *x_out);
/* The same with both tables in this format. */
void lspo_embedding_forward_from(const lspo_embedding_t *embedding, lspo_number_t number, const void *token,
                                 const void *position, float *x_out);

/* Adds dx to the rows of token_gradient and position_gradient (shapes of token and position; the latter may be
 * NULL). */
void lspo_embedding_backward(const lspo_embedding_t *embedding, const float *dx, float *token_gradient,
                             float *position_gradient);

#ifdef __cplusplus
}
#endif
#endif
