/* rotary.h - rotary position embedding, forward and backward, fp32.          [Su et al., arXiv 2104.09864, Sec. 3.2]
 *
 * Hugging Face's layout: in a head of width e, elements j and j + e / 2 form the pair j < e / 2, turned at position i:
 *     (x_j, x_{j+e/2})  <-  (x_j cos a - x_{j+e/2} sin a,  x_{j+e/2} cos a + x_j sin a),    a = i theta^(-2 j / e)
 * The gradient is turned the other way round.
 * 3 FLOPs and 8 bytes an element; the table stays in a cache.
 */
#ifndef LSPO_KERNELS_ROTARY_H
#define LSPO_KERNELS_ROTARY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* table: sequence x head_width floats: of position i the e / 2 cosines, then the e / 2 sines.  head_width is even. */
void lspo_rotary_table(size_t sequence, size_t head_width, double theta, float *table);

/* (batch x sequence) rows of heads x head_width numbers, dense, and the table of their positions. */
typedef struct {
    size_t batch, sequence, heads, head_width;
    const float *table;
} lspo_rotary_t;

/* In place. */
void lspo_rotary_forward(const lspo_rotary_t *rotary, float *x);
void lspo_rotary_backward(const lspo_rotary_t *rotary, float *dx);

#ifdef __cplusplus
}
#endif
#endif
