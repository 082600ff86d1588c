/* cached_attention.c - attention to a cache on the CPU, one head of K and V of a sequence at a time. */
#include "kernels/cached_attention.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/float_bits.h"
#include "kernels/gemm.h"
#include "kernels/pack.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

/* Up to so many queries read the cache directly; above, this many at a time are products. */
enum { FEW_QUERIES = 4, QUERIES = 32 };

typedef struct {
    const lspo_cached_attention_t *a;
    const float *q;
    float *out, *scratch;
    size_t scratch_floats; /* of a worker */
} job_t;

/* One head of K and V of a sequence. */
typedef struct {
    const lspo_cached_attention_t *a;
    size_t keys;
    const void *k, *v;
    size_t stride; /* of their rows */
    lspo_number_t number;
    float scale;
} head_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The row of a token of a sequence, in tokens from the beginning. */
static size_t row_of(const lspo_cached_attention_t *a, size_t token)
{
    if (a->blocks == NULL)
        return token;
    return (size_t)a->blocks[token / a->block_tokens] * a->block_tokens + token % a->block_tokens;
}

void lspo_cache_append(const lspo_cached_attention_t *a, const float *k, const float *v)
{
    const size_t width = a->kv_heads * a->head_width;
    for (size_t b = 0; b < a->batch; b++)
        for (size_t i = 0; i < a->queries; i++) {
            const size_t from = (b * a->queries + i) * a->kv_stride;
            const size_t to =
                (b * a->sequence_stride + row_of(a, a->first + i) * a->token_stride) * lspo_number_bytes(a->number);
            lspo_convert(width, LSPO_NUMBER_FP32, k + from, a->number, (char *)a->k + to);
            lspo_convert(width, LSPO_NUMBER_FP32, v + from, a->number, (char *)a->v + to);
        }
}

/* ---- few queries ---- */

/* p[j] = scale q K_j, j < keys, from k on. */
LSPO_SIMD static void scores_fp32(const head_t *h, const float *k, size_t keys, const float *q, float *p)
{
    const size_t e = h->a->head_width, stride = h->stride;
    const float scale = h->scale;
    for (size_t j = 0; j < keys; j++, k += stride) {
        float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < e; i++)
            sum += q[i] * k[i];
        p[j] = scale * sum;
    }
}

LSPO_SIMD static void scores_bf16(const head_t *h, const uint16_t *k, size_t keys, const float *q, float *p)
{
    const size_t e = h->a->head_width, stride = h->stride;
    const float scale = h->scale;
    for (size_t j = 0; j < keys; j++, k += stride) {
        float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < e; i++)
            sum += q[i] * lspo_float_of_bf16(k[i]);
        p[j] = scale * sum;
    }
}

LSPO_SIMD static void softmax(size_t keys, float *p)
{
    lspo_vsoftmax(keys, p);
}

/* out (e) += the sum of p[j] V_j, j < keys. */
LSPO_SIMD static void weighted_fp32(size_t keys, size_t e, const float *p, const float *v, size_t stride,
                                    float *restrict out)
{
    for (size_t j = 0; j < keys; j++, v += stride) {
#pragma omp simd
        for (size_t i = 0; i < e; i++)
            out[i] += p[j] * v[i];
    }
}

LSPO_SIMD static void weighted_bf16(size_t keys, size_t e, const float *p, const uint16_t *v, size_t stride,
                                    float *restrict out)
{
    for (size_t j = 0; j < keys; j++, v += stride) {
#pragma omp simd
        for (size_t i = 0; i < e; i++)
            out[i] += p[j] * lspo_float_of_bf16(v[i]);
    }
}

static void attend_one(const head_t *h, size_t keys, const float *q, float *p, float *out)
{
    const size_t e = h->a->head_width, piece = h->a->blocks != NULL ? h->a->block_tokens : keys;
    const size_t row_bytes = h->stride * lspo_number_bytes(h->number);
    for (size_t j = 0; j < keys; j += piece) {
        const void *k = (const char *)h->k + row_of(h->a, j) * row_bytes;
        if (h->number == LSPO_NUMBER_FP32)
            scores_fp32(h, k, smaller(piece, keys - j), q, p + j);
        else
            scores_bf16(h, k, smaller(piece, keys - j), q, p + j);
    }
    softmax(keys, p);
    memset(out, 0, e * sizeof *out);
    for (size_t j = 0; j < keys; j += piece) {
        const void *v = (const char *)h->v + row_of(h->a, j) * row_bytes;
        if (h->number == LSPO_NUMBER_FP32)
            weighted_fp32(smaller(piece, keys - j), e, p + j, v, h->stride, out);
        else
            weighted_bf16(smaller(piece, keys - j), e, p + j, v, h->stride, out);
    }
}

/* ---- many queries: K and V are fp32 ---- */

/* Queries i .. i + count of one head; p: count x keys. */
static void attend_block(const head_t *h, size_t i, size_t count, const float *q, float *p, float *out)
{
    const lspo_cached_attention_t *a = h->a;
    const size_t e = a->head_width, keys = a->first + i + count, out_stride = a->heads * e;
    lspo_gemm_nt(count, keys, e, h->scale, q, a->q_stride, h->k, h->stride, 0.0F, p, keys);
    for (size_t r = 0; r < count; r++) {
        const size_t seen = a->first + i + r + 1;
        softmax(seen, p + r * keys);
        memset(p + r * keys + seen, 0, (keys - seen) * sizeof *p);
    }
    lspo_gemm_nn(count, e, keys, 1.0F, p, keys, h->v, h->stride, 0.0F, out, out_stride);
}

/* Expand a head's K or V, or only put its blocks together: keys x e floats. */
static const float *expand(const head_t *h, const void *from, float *to)
{
    const size_t e = h->a->head_width, row_bytes = h->stride * lspo_number_bytes(h->number);
    for (size_t j = 0; j < h->keys; j++)
        lspo_convert(e, h->number, (const char *)from + row_of(h->a, j) * row_bytes, LSPO_NUMBER_FP32, to + j * e);
    return to;
}

static bool reads_directly(const lspo_cached_attention_t *a)
{
    return a->queries <= FEW_QUERIES && a->number != LSPO_NUMBER_FP16;
}

static bool is_expanded(const lspo_cached_attention_t *a)
{
    return !reads_directly(a) && (a->number != LSPO_NUMBER_FP32 || a->blocks != NULL);
}

static void attend_head(void *context, uint32_t worker, size_t item)
{
    const job_t *job = context;
    const lspo_cached_attention_t *a = job->a;
    const size_t b = item / a->kv_heads, kv_head = item % a->kv_heads, group = a->heads / a->kv_heads;
    const size_t e = a->head_width;
    const size_t at = (b * a->sequence_stride + kv_head * e) * lspo_number_bytes(a->number);
    float *p = job->scratch + worker * job->scratch_floats;
    head_t h = {.a = a, .keys = a->first + a->queries, .stride = a->token_stride, .number = a->number};
    h.k = (const char *)a->k + at;
    h.v = (const char *)a->v + at;
    h.scale = 1.0F / sqrtf((float)e);
    if (is_expanded(a)) {
        float *wide = p + QUERIES * h.keys;
        const void *k = expand(&h, h.k, wide), *v = expand(&h, h.v, wide + h.keys * e);
        h = (head_t){.a = a, .keys = h.keys, .k = k, .v = v, .stride = e, .scale = h.scale};
    }
    const size_t step = reads_directly(a) ? 1 : QUERIES;
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (size_t i = 0; i < a->queries; i += step) {
            const size_t row = b * a->queries + i;
            const float *q = job->q + row * a->q_stride + head * e;
            float *out = job->out + row * a->heads * e + head * e;
            if (step == 1)
                attend_one(&h, a->first + i + 1, q, p, out);
            else
                attend_block(&h, i, smaller(a->queries - i, QUERIES), q, p, out);
        }
}

size_t lspo_cached_attention_scratch(const lspo_cached_attention_t *a)
{
    const size_t keys = a->first + a->queries;
    const size_t expanded = is_expanded(a) ? 2 * keys * a->head_width : 0;
    return (reads_directly(a) ? keys : QUERIES * keys + expanded) + 16;
}

void lspo_cached_attention(const lspo_cached_attention_t *a, const float *q, float *out, float *scratch,
                           lspo_workers_t *workers)
{
    job_t job = {.a = a, .q = q, .out = out, .scratch = scratch, .scratch_floats = lspo_cached_attention_scratch(a)};
    lspo_workers_run(workers, a->batch * a->kv_heads, attend_head, &job);
}
