/* cached_attention.h - attention of new tokens to the keys and values of a cache, for generation.
 *
 * The cache has the K and V of `first` tokens per sequence and, behind them, of `queries` new ones.  For query i of a
 * sequence and every head, with the keys 0 .. first + i:
 *     O_i = softmax(Q_i K^T / sqrt(e)) V
 * With grouped queries, heads / kv_heads consecutive heads share one K and V, which are read once for all of them.
 *
 * Few queries read K and V in their own format, in which the cache is stored; many are products of gemm.h.  Workers
 * share the sequences and the heads of K.  FLOPs per query and head: 4 (first + i + 1) e.  Bytes: those of K and V.
 */
#ifndef LSPO_KERNELS_CACHED_ATTENTION_H
#define LSPO_KERNELS_CACHED_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "kernels/number.h"

typedef struct {
    size_t batch, queries, first;       /* queries: new tokens per sequence                      */
    size_t heads, kv_heads, head_width; /* heads % kv_heads == 0                                 */
    size_t q_stride, kv_stride;         /* rows of Q; of the new K and V, before they are stored */
    lspo_number_t number;               /* of the cache */
    /* Rows of kv_heads x head_width numbers, `token_stride` numbers from a token of a sequence to the next, and
     * `sequence_stride` from a sequence to the next. */
    void *k, *v;
    size_t token_stride, sequence_stride;
    /* Paged (batch 1): token i is row i % block_tokens of block blocks[i / block_tokens], and blocks follow each other.
     * NULL: tokens do. */
    const uint32_t *blocks;
    size_t block_tokens;
} lspo_cached_attention_t;

/* Store the K and V of the new tokens: (batch x queries) rows. */
void lspo_cache_append(const lspo_cached_attention_t *a, const float *k, const float *v);

/* Floats of scratch that every worker needs. */
size_t lspo_cached_attention_scratch(const lspo_cached_attention_t *a);

/* q: (batch x queries) rows; out: (batch x queries) x (heads x head_width), dense.  scratch: for each of the
 * workers. */
void lspo_cached_attention(const lspo_cached_attention_t *a, const float *q, float *out, float *scratch,
                           lspo_workers_t *workers);

#endif
