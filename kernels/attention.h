/* attention.h - causal multi-head attention, forward and backward, fp32.
 *
 * For every sequence of the batch and every head, with Q, K, V: s x e (e = head width):
 *     P = softmax(Q K^T / sqrt(e)), row i over columns 0..i;    O = P V
 *     dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),  dQ = dS K / sqrt(e),  dK = dS^T Q / sqrt(e)
 *
 * Rows are taken LSPO_ATTENTION_ROWS at a time and only columns up to the block's last row are computed, so that
 * little of the upper triangle is touched.
 * FLOPs counted causal, a sequence and head: forward 2 s (s + 1) e, backward 4 s (s + 1) e, softmax not counted.
 * Bytes: forward 4 (4 s e + s s / 2), backward 4 (7 s e + s s / 2).
 */
#ifndef LSPO_KERNELS_ATTENTION_H
#define LSPO_KERNELS_ATTENTION_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_ATTENTION_ROWS = 32 };

/* qkv: (batch x sequence) rows of 3 width floats: all heads' Q, then K, then V; width = heads x head_width.
 * probabilities: batch x heads x sequence x sequence; above the diagonal it is zero inside a row block and is left as
 * it was beyond the block.  out: (batch x sequence) x width.  scratch: lspo_attention_scratch() floats. */
void lspo_attention_forward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                            float *probabilities, float *out, float *scratch);

/* Floats of scratch of either pass: (LSPO_ATTENTION_ROWS + head_width) sequence. */
size_t lspo_attention_scratch(size_t sequence, size_t head_width);

/* dout: as out; dqkv: as qkv, overwritten. */
void lspo_attention_backward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                             const float *probabilities, const float *dout, float *dqkv, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
