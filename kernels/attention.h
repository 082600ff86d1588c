/* attention.h - multi-head attention, forward and backward, fp32: causal or not, with grouped queries.
 *
 * For every sequence of the batch and every head, with Q, K, V: s x e (s: sequence length, e: head width):
 *     P = softmax(Q K^T / sqrt(e)), row i over columns 0..i (causal) or 0..length - 1;    O = P V
 *     dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),  dQ = dS K / sqrt(e),  dK = dS^T Q / sqrt(e)
 * With grouped queries, heads / kv_heads consecutive heads share one K and V, whose gradients are the sums over these
 * heads [Ainslie et al., arXiv 2305.13245].
 *
 * Rows are processed in blocks of LSPO_ATTENTION_ROWS, and only the columns up to the block's last row are computed, so
 * that little of the upper triangle is computed.  FLOPs per sequence and head, causal: forward 2 s (s + 1) e, backward
 * 4 s (s + 1) e, not counting softmax; not causal: 4 s^2 e and 8 s^2 e.  Bytes: forward 4 (4 s e + s s / 2), backward 4
 * (7 s e + s s / 2).
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
    size_t q_stride, kv_stride;                          /* row strides of Q and dQ; of K, V, dK and dV */
    bool causal;
    const uint32_t *lengths; /* not causal: number of keys per sequence, 1..sequence; NULL: all */
} lspo_attention_t;

/* Inputs of a pass.  q: (batch x sequence) rows of heads x head_width numbers; k, v: rows of kv_heads x head_width. */
typedef struct {
    const void *q, *k, *v;
    /* Only for the backward pass: what the forward pass kept, its output, and the output's gradient. */
    const float *kept;
    const void *out, *dout; /* (batch x sequence) x (heads x head_width), dense; the host does not read `out` */
} lspo_attention_operands_t;

/* Results of the backward pass, in the layout of q, k and v; overwritten.  dk and dv are zero for keys that no row
 * uses. */
typedef struct {
    void *dq, *dk, *dv;
} lspo_attention_gradients_t;

/* kept: the probabilities, batch x heads x sequence x sequence floats: zero for keys that a row must not use, and
 * unchanged above the diagonal outside the row's block.  out: (batch x sequence) x (heads x head_width), dense. */
void lspo_attention_forward(const lspo_attention_t *a, const lspo_attention_operands_t *operands, float *kept,
                            float *out, float *scratch);
void lspo_attention_backward(const lspo_attention_t *a, const lspo_attention_operands_t *operands,
                             const lspo_attention_gradients_t *gradients, float *scratch);

/* Scratch floats for either pass: (LSPO_ATTENTION_ROWS + head_width) sequence. */
size_t lspo_attention_scratch(size_t sequence, size_t head_width);

#ifdef __cplusplus
}
#endif
#endif
