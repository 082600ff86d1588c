/* attention.c - attention on the CPU: in blocks of rows, so that products are small and little above the diagonal is
 * computed. */
#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

/* Columns per product.  With this and LSPO_ATTENTION_ROWS, a product is small enough (up to head width 128) for
 * OpenBLAS's path for small products, which does not repack the operands. */
enum { TILE_COLS = 128 };

/* One head of one sequence. */
typedef struct {
    size_t sequence, head_width, out_stride, q_stride, kv_stride;
    size_t keys; /* columns that exist; all if causal */
    bool causal;
    bool first_of_group; /* of the heads that share K and V: overwrites dK and dV, the others add */
    float scale;
    size_t q_at, kv_at; /* offsets of Q, and of K and V, in their arrays */
    const float *q, *k, *v;
} head_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* out (cols x rows, dense) = the transpose of x (rows x cols), one cache line at a time. */
static void transpose(size_t rows, size_t cols, const float *x, size_t stride, float *out)
{
    for (size_t first = 0; first < rows; first += 16) {
        const size_t run = smaller(rows - first, 16);
        for (size_t j = 0; j < cols; j++)
            for (size_t i = 0; i < run; i++)
                out[j * rows + first + i] = x[(first + i) * stride + j];
    }
}

/* A block of rows of a head's probabilities, with the columns that they need. */
typedef struct {
    const head_t *head;
    size_t rows, cols;
} block_t;

/* Rows of a matrix, `stride` floats apart. */
typedef struct {
    const float *at;
    size_t stride;
} matrix_t;

/* out (rows x cols) = alpha X Y^T, X: rows x e, Y^T given transposed: e x sequence. */
static void product_with_transposed(const block_t *block, float alpha, matrix_t x, const float *y_transposed,
                                    float *out, size_t out_stride)
{
    const head_t *h = block->head;
    for (size_t c = 0; c < block->cols; c += TILE_COLS)
        lspo_gemm_nn(block->rows, smaller(block->cols - c, TILE_COLS), h->head_width, alpha, x.at, x.stride,
                     y_transposed + c, h->sequence, 0.0F, out + c, out_stride);
}

/* out (rows x e) = alpha P Y, P: rows x cols, Y: cols x e, K or V. */
static void product(const block_t *block, float alpha, matrix_t p, const float *y, float *out, size_t out_stride)
{
    const head_t *h = block->head;
    for (size_t c = 0; c < block->cols; c += TILE_COLS)
        lspo_gemm_nn(block->rows, h->head_width, smaller(block->cols - c, TILE_COLS), alpha, p.at + c, p.stride,
                     y + c * h->kv_stride, h->kv_stride, c == 0 ? 0.0F : 1.0F, out, out_stride);
}

/* out (cols x e, dK or dV) = beta out + alpha P^T X, P: rows x cols, X: rows x e. */
static void product_of_transposed(const block_t *block, float alpha, matrix_t p, matrix_t x, float beta, float *out)
{
    const head_t *h = block->head;
    for (size_t c = 0; c < block->cols; c += TILE_COLS)
        lspo_gemm_tn(smaller(block->cols - c, TILE_COLS), h->head_width, block->rows, alpha, p.at + c, p.stride, x.at,
                     x.stride, beta, out + c * h->kv_stride, h->kv_stride);
}

/* Columns of row i that the vector loops process, of `cols` computed: complete vectors past the diagonal instead of a
 * scalar tail before it. */
LSPO_INLINE size_t visited_columns(size_t i, size_t cols)
{
    const size_t whole = (i + 16) & ~(size_t)15;
    return whole < cols ? whole : cols;
}

/* Convert scores of rows first .. first + rows (columns 0 .. cols) to probabilities, with zeros above the diagonal. */
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

/* Convert dp, the gradient of the probabilities, to that of the scores, in place; rows and columns as above, dp
 * dense. */
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

/* Not causal: all `cols` columns of every row; the rest of the row becomes zero. */
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

static block_t block_at(const head_t *h, size_t first)
{
    const size_t rows = smaller(h->sequence - first, LSPO_ATTENTION_ROWS);
    return (block_t){.head = h, .rows = rows, .cols = h->causal ? first + rows : h->keys};
}

static head_t head_at(const lspo_attention_t *a, const lspo_attention_operands_t *operands, size_t b, size_t index)
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
    h.q_at = b * a->sequence * a->q_stride + index * a->head_width;
    h.kv_at = b * a->sequence * a->kv_stride + kv_at;
    h.q = (const float *)operands->q + h.q_at;
    h.k = (const float *)operands->k + h.kv_at;
    h.v = (const float *)operands->v + h.kv_at;
    return h;
}

static void head_forward(const head_t *h, float *p, float *out, float *k_transposed)
{
    const size_t s = h->sequence;
    transpose(s, h->head_width, h->k, h->kv_stride, k_transposed);
    for (size_t first = 0; first < s; first += LSPO_ATTENTION_ROWS) {
        const block_t block = block_at(h, first);
        const matrix_t q = {h->q + first * h->q_stride, h->q_stride};
        float *p_rows = p + first * s;
        product_with_transposed(&block, h->scale, q, k_transposed, p_rows, s);
        if (h->causal)
            softmax_rows(first, block.rows, block.cols, s, p_rows);
        else
            softmax_whole_rows(block.rows, block.cols, s, p_rows);
        product(&block, 1.0F, (matrix_t){p_rows, s}, h->v, out + first * h->out_stride, h->out_stride);
    }
}

/* The offset of a head's rows in an array of the output's shape. */
static size_t out_at(const lspo_attention_t *a, size_t b, size_t index)
{
    return b * a->sequence * a->heads * a->head_width + index * a->head_width;
}

void lspo_attention_forward(const lspo_attention_t *a, const lspo_attention_operands_t *operands, float *kept,
                            float *out, float *scratch)
{
    for (size_t b = 0; b < a->batch; b++) {
        for (size_t i = 0; i < a->heads; i++) {
            const head_t h = head_at(a, operands, b, i);
            head_forward(&h, kept + (b * a->heads + i) * a->sequence * a->sequence, out + out_at(a, b, i), scratch);
        }
    }
}

size_t lspo_attention_scratch(size_t sequence, size_t head_width)
{
    return (LSPO_ATTENTION_ROWS + head_width) * sequence;
}

/* The places of one head's gradients. */
typedef struct {
    float *dq, *dk, *dv;
} head_gradients_t;

/* No row uses the keys after the last one. */
static void clear_unseen_keys(const head_t *h, const head_gradients_t *to)
{
    for (size_t i = h->keys; i < h->sequence; i++) {
        memset(to->dk + i * h->kv_stride, 0, h->head_width * sizeof *to->dk);
        memset(to->dv + i * h->kv_stride, 0, h->head_width * sizeof *to->dv);
    }
}

/* The last row block comes first: causal or not, it contributes to every row of dK and dV, so it overwrites and the
 * others add. */
static void head_backward(const head_t *h, const float *p, const float *dout, const head_gradients_t *to,
                          float *scratch)
{
    const size_t s = h->sequence, w = h->out_stride;
    float *v_transposed = scratch, *dp = scratch + h->head_width * s;
    transpose(s, h->head_width, h->v, h->kv_stride, v_transposed);
    for (size_t number = (s + LSPO_ATTENTION_ROWS - 1) / LSPO_ATTENTION_ROWS; number-- > 0;) {
        const size_t first = number * LSPO_ATTENTION_ROWS;
        const block_t block = block_at(h, first);
        const float beta = first + block.rows == s && h->first_of_group ? 0.0F : 1.0F;
        const matrix_t p_rows = {p + first * s, s}, dout_rows = {dout + first * w, w}, dp_rows = {dp, block.cols};
        const matrix_t q_rows = {h->q + first * h->q_stride, h->q_stride};
        product_of_transposed(&block, 1.0F, p_rows, dout_rows, beta, to->dv);
        product_with_transposed(&block, 1.0F, dout_rows, v_transposed, dp, block.cols);
        if (h->causal)
            softmax_rows_backward(first, block.rows, block.cols, s, p_rows.at, dp);
        else
            softmax_whole_rows_backward(block.rows, block.cols, s, p_rows.at, dp);
        product(&block, h->scale, dp_rows, h->k, to->dq + first * h->q_stride, h->q_stride);
        product_of_transposed(&block, h->scale, dp_rows, q_rows, beta, to->dk);
    }
    if (h->first_of_group)
        clear_unseen_keys(h, to);
}

void lspo_attention_backward(const lspo_attention_t *a, const lspo_attention_operands_t *operands,
                             const lspo_attention_gradients_t *gradients, float *scratch)
{
    for (size_t b = 0; b < a->batch; b++) {
        for (size_t i = 0; i < a->heads; i++) {
            const head_t h = head_at(a, operands, b, i);
            const head_gradients_t to = {.dq = (float *)gradients->dq + h.q_at,
                                         .dk = (float *)gradients->dk + h.kv_at,
                                         .dv = (float *)gradients->dv + h.kv_at};
            head_backward(&h, operands->kept + (b * a->heads + i) * a->sequence * a->sequence,
                          (const float *)operands->dout + out_at(a, b, i), &to, scratch);
        }
    }
}
