/* attention.h - multi-head attention, forward and backward, fp32: causal or not, with grouped queries.
 *
 * For every sequence of the batch and every head, with Q, K, V: s x e (e = head width):
 *     P = softmax(Q K^T / sqrt(e)), row i over columns 0..i (causal) or 0..length - 1;    O = P V
 *     dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),  dQ = dS K / sqrt(e),  dK = dS^T Q / sqrt(e)
 * With grouped queries, heads / kv_heads heads in a row share one K and V, whose gradients are the sums of theirs
 * [Ainslie et al., arXiv 2305.13245].
 *
 * Rows are taken LSPO_ATTENTION_ROWS at a time and only columns up to the block's last row are computed, so that
 * little of the upper triangle is touched.
 * FLOPs counted causal, a sequence and head: forward 2 s (s + 1) e, backward 4 s (s + 1) e, softmax not counted; not
 * causal: 4 s^2 e and 8 s^2 e.
 * Bytes: forward 4 (4 s e + s s / 2), backward 4 (7 s e + s s / 2).
 */
#ifndef LSPO_KERNELS_ATTENTION_H
#define LSPO_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_ATTENTION_ROWS = 32 };

typedef struct {
    size_t batch, sequence, heads, kv_heads, head_width; /* heads % kv_heads == 0                             */
    size_t q_stride, kv_stride;                          /* floats from row to row of Q and dQ; of K, V, dK, dV */
    bool causal;
    const uint32_t *lengths; /* not causal: keys of each sequence, 1..sequence; NULL: all of them              */
} lspo_attention_t;

/* q: (batch x sequence) rows of heads x head_width floats; k, v: of kv_heads x head_width.  probabilities: batch x heads
 * x sequence x sequence; where a row must not look it is zero, and above the diagonal beyond a row block left as it was.
 * out: (batch x sequence) x (heads x head_width), dense.  scratch: lspo_attention_scratch() floats. */
void lspo_attention_any_forward(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                float *probabilities, float *out, float *scratch);
/* dout: as out; dq, dk, dv: as q, k, v, overwritten.  dk and dv are zero where no row looks. */
void lspo_attention_any_backward(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                 const float *probabilities, const float *dout, float *dq, float *dk, float *dv,
                                 float *scratch);

/* Causal, every head with its K and V, Q, K and V in one array.  qkv: (batch x sequence) rows of 3 width floats: all heads' Q, then K, then V; width = heads x head_width.
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
