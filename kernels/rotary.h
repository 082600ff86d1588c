/* rotary.h - rotary position embedding, forward and backward, fp32.          [Su et al., arXiv 2104.09864, Sec. 3.2]
 *
 * Layout as in Hugging Face: in a head of width e, elements j and j + e / 2 form pair j < e / 2.  At position i it is
 * rotated:
 *     (x_j, x_{j+e/2})  <-  (x_j cos a - x_{j+e/2} sin a,  x_{j+e/2} cos a + x_j sin a),    a = i theta^(-2 j / e)
 * The gradient is rotated by -a.  3 FLOPs and 8 bytes per element; the table stays in the cache.
 */
#ifndef LSPO_KERNELS_ROTARY_H
#define LSPO_KERNELS_ROTARY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* theta^(-2 j / e), j < e / 2. */
void lspo_rotary_frequencies(size_t head_width, double theta, double *frequencies);

/* table: sequence x head_width floats, for each position e / 2 cosines, then e / 2 sines.  head_width is even.  The
 * angles are i frequencies[j]. */
void lspo_rotary_table(size_t sequence, size_t head_width, const double *frequencies, float *table);

/* Shape: (batch x sequence) rows of heads x head_width numbers, dense; and the table of angles. */
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
