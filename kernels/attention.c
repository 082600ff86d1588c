#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

/* Columns a product: with it and LSPO_ATTENTION_ROWS, a product is small enough (up to head width 128) for the library
 * to take its path for small products, which does not repack the operands. */
enum { TILE_COLS = 128 };

/* One head of one sequence. */
typedef struct {
    size_t sequence, head_width, out_stride, q_stride, kv_stride;
    size_t keys; /* columns that exist; all of them when causal                          */
    bool causal;
    bool first_of_group; /* of the heads that share K and V: it overwrites dK and dV, the others add */
    float scale;
    const float *q, *k, *v;
} head_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* out (cols x rows, dense) = the transpose of x (rows x cols), in runs of one cache line. */
static void transpose(size_t rows, size_t cols, const float *x, size_t stride, float *out)
{
    for (size_t first = 0; first < rows; first += 16) {
        const size_t run = smaller(rows - first, 16);
        for (size_t j = 0; j < cols; j++)
            for (size_t i = 0; i < run; i++)
                out[j * rows + first + i] = x[(first + i) * stride + j];
    }
}

/* out (rows x cols) = alpha X Y^T for one row block, X: rows x e, Y^T given transposed: e x sequence. */
static void product_with_transposed(const head_t *h, size_t rows, size_t cols, float alpha, const float *x,
                                    size_t x_stride, const float *y_transposed, float *out, size_t out_stride)
{
    for (size_t c = 0; c < cols; c += TILE_COLS)
        lspo_gemm_nn(rows, smaller(cols - c, TILE_COLS), h->head_width, alpha, x, x_stride, y_transposed + c,
                     h->sequence, 0.0F, out + c, out_stride);
}

/* out (rows x e) = alpha P Y, P: rows x cols, Y: cols x e, K or V. */
static void product(const head_t *h, size_t rows, size_t cols, float alpha, const float *p, size_t p_stride,
                    const float *y, float *out, size_t out_stride)
{
    for (size_t c = 0; c < cols; c += TILE_COLS)
        lspo_gemm_nn(rows, h->head_width, smaller(cols - c, TILE_COLS), alpha, p + c, p_stride, y + c * h->kv_stride,
                     h->kv_stride, c == 0 ? 0.0F : 1.0F, out, out_stride);
}

/* out (cols x e, dK or dV) = beta out + alpha P^T X, P: rows x cols, X: rows x e. */
static void product_of_transposed(const head_t *h, size_t rows, size_t cols, float alpha, const float *p,
                                  size_t p_stride, const float *x, size_t x_stride, float beta, float *out)
{
    for (size_t c = 0; c < cols; c += TILE_COLS)
        lspo_gemm_tn(smaller(cols - c, TILE_COLS), h->head_width, rows, alpha, p + c, p_stride, x, x_stride, beta,
                     out + c * h->kv_stride, h->kv_stride);
}

/* Columns of row i that the vector loops visit, of `cols` computed: whole vectors past the diagonal rather than a
 * scalar tail before it. */
LSPO_INLINE size_t visited_columns(size_t i, size_t cols)
{
    const size_t whole = (i + 16) & ~(size_t)15;
    return whole < cols ? whole : cols;
}

/* Scores of rows first .. first + rows (columns 0 .. cols) to probabilities, with zeros above the diagonal. */
LSPO_SIMD static void softmax_rows(size_t first, size_t rows, size_t cols, size_t stride, float *p)
{
    for (size_t i = first; i < first + rows; i++, p += stride) {
        const size_t visited = visited_columns(i, cols);
        for (size_t j = i + 1; j < visited; j++)
            p[j] = -INFINITY;
        lspo_vsoftmax(visited, p);
        memset(p + visited, 0, (cols - visited) * sizeof *p);
    }
}

/* dp, the gradient of the probabilities, to that of the scores, in place; rows and columns as above, dp dense. */
LSPO_SIMD static void softmax_rows_backward(size_t first, size_t rows, size_t cols, size_t stride, const float *p,
                                            float *dp)
{
    for (size_t i = first; i < first + rows; i++, p += stride, dp += cols) {
        const size_t visited = visited_columns(i, cols);
        float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
        for (size_t j = 0; j < visited; j++)
            dot += p[j] * dp[j];
#pragma omp simd
        for (size_t j = 0; j < visited; j++)
            dp[j] = p[j] * (dp[j] - dot);
        memset(dp + visited, 0, (cols - visited) * sizeof *dp);
    }
}

/* Not causal: every row over all `cols` columns; what is beyond, up to the row's end, becomes zero. */
LSPO_SIMD static void softmax_whole_rows(size_t rows, size_t cols, size_t stride, float *p)
{
    for (size_t i = 0; i < rows; i++, p += stride) {
        lspo_vsoftmax(cols, p);
        memset(p + cols, 0, (stride - cols) * sizeof *p);
    }
}

LSPO_SIMD static void softmax_whole_rows_backward(size_t rows, size_t cols, size_t stride, const float *p, float *dp)
{
    for (size_t i = 0; i < rows; i++, p += stride, dp += cols) {
        float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
        for (size_t j = 0; j < cols; j++)
            dot += p[j] * dp[j];
#pragma omp simd
        for (size_t j = 0; j < cols; j++)
            dp[j] = p[j] * (dp[j] - dot);
    }
}

/* Columns that a row block ending at row `end` needs. */
static size_t block_columns(const head_t *h, size_t end)
{
    return h->causal ? end : h->keys;
}

static head_t head_at(const lspo_attention_t *a, size_t b, size_t index, const float *q, const float *k, const float *v)
{
    const size_t group = a->heads / a->kv_heads, kv_at = index / group * a->head_width;
    head_t h = {.sequence = a->sequence,
                .head_width = a->head_width,
                .out_stride = a->heads * a->head_width,
                .q_stride = a->q_stride,
                .kv_stride = a->kv_stride,
                .keys = a->lengths != NULL && !a->causal ? a->lengths[b] : a->sequence,
                .causal = a->causal,
                .first_of_group = index % group == 0};
    h.scale = 1.0F / sqrtf((float)a->head_width);
    h.q = q + b * a->sequence * a->q_stride + index * a->head_width;
    h.k = k + b * a->sequence * a->kv_stride + kv_at;
    h.v = v + b * a->sequence * a->kv_stride + kv_at;
    return h;
}

static void head_forward(const head_t *h, float *p, float *out, float *k_transposed)
{
    const size_t s = h->sequence;
    transpose(s, h->head_width, h->k, h->kv_stride, k_transposed);
    for (size_t first = 0; first < s; first += LSPO_ATTENTION_ROWS) {
        const size_t rows = smaller(s - first, LSPO_ATTENTION_ROWS), cols = block_columns(h, first + rows);
        float *p_rows = p + first * s;
        product_with_transposed(h, rows, cols, h->scale, h->q + first * h->q_stride, h->q_stride, k_transposed, p_rows,
                                s);
        if (h->causal)
            softmax_rows(first, rows, cols, s, p_rows);
        else
            softmax_whole_rows(rows, cols, s, p_rows);
        product(h, rows, cols, 1.0F, p_rows, s, h->v, out + first * h->out_stride, h->out_stride);
    }
}

void lspo_attention_any_forward(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                float *probabilities, float *out, float *scratch)
{
    for (size_t b = 0; b < a->batch; b++) {
        for (size_t i = 0; i < a->heads; i++) {
            const head_t h = head_at(a, b, i, q, k, v);
            head_forward(&h, probabilities + (b * a->heads + i) * a->sequence * a->sequence,
                         out + b * a->sequence * h.out_stride + i * a->head_width, scratch);
        }
    }
}

size_t lspo_attention_scratch(size_t sequence, size_t head_width)
{
    return (LSPO_ATTENTION_ROWS + head_width) * sequence;
}

/* No row looks at the keys behind the last. */
static void clear_unseen_keys(const head_t *h, float *dk, float *dv)
{
    for (size_t i = h->keys; i < h->sequence; i++) {
        memset(dk + i * h->kv_stride, 0, h->head_width * sizeof *dk);
        memset(dv + i * h->kv_stride, 0, h->head_width * sizeof *dv);
    }
}

/* The last row block comes first: causal or not, it reaches every row of dK and dV, so it overwrites and the others
 * add. */
static void head_backward(const head_t *h, const float *p, const float *dout, float *dq, float *dk, float *dv,
                          float *scratch)
{
    const size_t s = h->sequence, w = h->out_stride;
    float *v_transposed = scratch, *dp = scratch + h->head_width * s;
    transpose(s, h->head_width, h->v, h->kv_stride, v_transposed);
    for (size_t block = (s + LSPO_ATTENTION_ROWS - 1) / LSPO_ATTENTION_ROWS; block-- > 0;) {
        const size_t first = block * LSPO_ATTENTION_ROWS;
        const size_t rows = smaller(s - first, LSPO_ATTENTION_ROWS), cols = block_columns(h, first + rows);
        const float beta = first + rows == s && h->first_of_group ? 0.0F : 1.0F;
        const float *p_rows = p + first * s, *dout_rows = dout + first * w;
        product_of_transposed(h, rows, cols, 1.0F, p_rows, s, dout_rows, w, beta, dv);
        product_with_transposed(h, rows, cols, 1.0F, dout_rows, w, v_transposed, dp, cols);
        if (h->causal)
            softmax_rows_backward(first, rows, cols, s, p_rows, dp);
        else
            softmax_whole_rows_backward(rows, cols, s, p_rows, dp);
        product(h, rows, cols, h->scale, dp, cols, h->k, dq + first * h->q_stride, h->q_stride);
        product_of_transposed(h, rows, cols, h->scale, dp, cols, h->q + first * h->q_stride, h->q_stride, beta, dk);
    }
    if (h->first_of_group)
        clear_unseen_keys(h, dk, dv);
}

void lspo_attention_any_backward(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                 const float *probabilities, const float *dout, float *dq, float *dk, float *dv,
                                 float *scratch)
{
    for (size_t b = 0; b < a->batch; b++) {
        for (size_t i = 0; i < a->heads; i++) {
            const head_t h = head_at(a, b, i, q, k, v);
            const size_t q_at = (size_t)(h.q - q), kv_at = (size_t)(h.k - k);
            head_backward(&h, probabilities + (b * a->heads + i) * a->sequence * a->sequence,
                          dout + b * a->sequence * h.out_stride + i * a->head_width, dq + q_at, dk + kv_at, dv + kv_at,
                          scratch);
        }
    }
}

static lspo_attention_t joint(size_t batch, size_t sequence, size_t heads, size_t head_width)
{
    const size_t stride = 3 * heads * head_width;
    return (lspo_attention_t){.batch = batch,
                              .sequence = sequence,
                              .heads = heads,
                              .kv_heads = heads,
                              .head_width = head_width,
                              .q_stride = stride,
                              .kv_stride = stride,
                              .causal = true};
}

void lspo_attention_forward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                            float *probabilities, float *out, float *scratch)
{
    const lspo_attention_t a = joint(batch, sequence, heads, head_width);
    const size_t width = heads * head_width;
    lspo_attention_any_forward(&a, qkv, qkv + width, qkv + 2 * width, probabilities, out, scratch);
}

void lspo_attention_backward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                             const float *probabilities, const float *dout, float *dqkv, float *scratch)
{
    const lspo_attention_t a = joint(batch, sequence, heads, head_width);
    const size_t width = heads * head_width;
    lspo_attention_any_backward(&a, qkv, qkv + width, qkv + 2 * width, probabilities, dout, dqkv, dqkv + width,
                                dqkv + 2 * width, scratch);
}
