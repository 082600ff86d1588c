/* attention.cuh - code shared by the two implementations of attention on the GPU: attention_cuda.cu for every width and
 * format, attention_tensor_cuda.cu for tensor cores. */
#ifndef LSPO_KERNELS_ATTENTION_CUH
#define LSPO_KERNELS_ATTENTION_CUH

#include "kernels/attention.h"
#include "kernels/cuda.h"
#include "kernels/launch.cuh"
#include "kernels/number.h"

enum { LSPO_ATTENTION_WIDTH_MAX = 128 };

/* One head of one sequence: the offsets of its rows in Q, dQ, ...; in K, V, ...; in O and dO; in log_sums. */
typedef struct {
    size_t q, kv, out, sums;
    size_t keys; /* that exist */
} lspo_attention_place_t;

static __device__ inline lspo_attention_place_t lspo_attention_place(const lspo_attention_t &a, size_t head, size_t b)
{
    lspo_attention_place_t p;
    p.q = b * a.sequence * a.q_stride + head * a.head_width;
    p.kv = b * a.sequence * a.kv_stride + head / (a.heads / a.kv_heads) * a.head_width;
    p.out = (b * a.sequence * a.heads + head) * a.head_width;
    p.sums = (b * a.heads + head) * a.sequence;
    p.keys = a.lengths && !a.causal ? a.lengths[b] : a.sequence;
    return p;
}

/* Blocks of `rows` rows of each head of each sequence. */
static inline dim3 lspo_attention_grid(const lspo_attention_t *a, size_t rows, size_t heads)
{
    return dim3((unsigned)((a->sequence + rows - 1) / rows), (unsigned)heads, (unsigned)a->batch);
}

/* Tensor cores need 16-bit numbers and rows of heads that can be copied 8 bytes at a time: head_width and strides
 * multiples of 4. */
bool lspo_attention_tensor_takes(lspo_number_t number, const lspo_attention_t *a, const void *q, const void *k,
                                 const void *v, const void *out);
int lspo_attention_tensor_forward(const lspo_cuda_t *on, const lspo_attention_t *a,
                                  const lspo_attention_operands_t *operands, float *log_sums, void *out);
int lspo_attention_tensor_backward(const lspo_cuda_t *on, const lspo_attention_t *a,
                                   const lspo_attention_operands_t *operands,
                                   const lspo_attention_gradients_t *gradients, const float *row_dots);

#endif
