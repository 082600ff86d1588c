#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

/* Columns a product: with it and LSPO_ATTENTION_ROWS, a product is small enough (up to head width 128) for the library
 * to take its path for small products, which does not repack the operands. */
enum { TILE_COLS = 128 };

/* One head of one sequence; rows of q, k, v are 3 width apart. */
typedef struct {
    size_t sequence, head_width, width;
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

/* out (rows x e) = alpha P Y, P: rows x cols, Y: cols x e (rows 3 width apart). */
static void product(const head_t *h, size_t rows, size_t cols, float alpha, const float *p, size_t p_stride,
                    const float *y, float *out, size_t out_stride)
{
    for (size_t c = 0; c < cols; c += TILE_COLS)
        lspo_gemm_nn(rows, h->head_width, smaller(cols - c, TILE_COLS), alpha, p + c, p_stride, y + c * 3 * h->width,
                     3 * h->width, c == 0 ? 0.0F : 1.0F, out, out_stride);
}

/* out (cols x e, rows 3 width apart) = beta out + alpha P^T X, P: rows x cols, X: rows x e. */
static void product_of_transposed(const head_t *h, size_t rows, size_t cols, float alpha, const float *p,
                                  size_t p_stride, const float *x, size_t x_stride, float beta, float *out)
{
    for (size_t c = 0; c < cols; c += TILE_COLS)
        lspo_gemm_tn(smaller(cols - c, TILE_COLS), h->head_width, rows, alpha, p + c, p_stride, x, x_stride, beta,
                     out + c * 3 * h->width, 3 * h->width);
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

static head_t head_at(size_t b, size_t index, size_t sequence, size_t heads, size_t head_width, const float *qkv)
{
    head_t h = {.sequence = sequence, .head_width = head_width, .width = heads * head_width};
    h.scale = 1.0F / sqrtf((float)head_width);
    h.q = qkv + b * sequence * 3 * h.width + index * head_width;
    h.k = h.q + h.width;
    h.v = h.k + h.width;
    return h;
}

static void head_forward(const head_t *h, float *p, float *out, float *k_transposed)
{
    const size_t s = h->sequence, qkv_stride = 3 * h->width;
    transpose(s, h->head_width, h->k, qkv_stride, k_transposed);
    for (size_t first = 0; first < s; first += LSPO_ATTENTION_ROWS) {
        const size_t rows = smaller(s - first, LSPO_ATTENTION_ROWS), cols = first + rows;
        float *p_rows = p + first * s;
        product_with_transposed(h, rows, cols, h->scale, h->q + first * qkv_stride, qkv_stride, k_transposed, p_rows,
                                s);
        softmax_rows(first, rows, cols, s, p_rows);
        product(h, rows, cols, 1.0F, p_rows, s, h->v, out + first * h->width, h->width);
    }
}

void lspo_attention_forward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                            float *probabilities, float *out, float *scratch)
{
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0; i < heads; i++) {
            const head_t h = head_at(b, i, sequence, heads, head_width, qkv);
            head_forward(&h, probabilities + (b * heads + i) * sequence * sequence,
                         out + b * sequence * h.width + i * head_width, scratch);
        }
    }
}

size_t lspo_attention_scratch(size_t sequence, size_t head_width)
{
    return (LSPO_ATTENTION_ROWS + head_width) * sequence;
}

/* The last row block comes first: it alone reaches every row of dK and dV, so it overwrites and the others add. */
static void head_backward(const head_t *h, const float *p, const float *dout, float *dq, float *scratch)
{
    const size_t s = h->sequence, w = h->width, qkv_stride = 3 * w;
    float *dk = dq + w, *dv = dk + w;
    float *v_transposed = scratch, *dp = scratch + h->head_width * s;
    transpose(s, h->head_width, h->v, qkv_stride, v_transposed);
    for (size_t block = (s + LSPO_ATTENTION_ROWS - 1) / LSPO_ATTENTION_ROWS; block-- > 0;) {
        const size_t first = block * LSPO_ATTENTION_ROWS;
        const size_t rows = smaller(s - first, LSPO_ATTENTION_ROWS), cols = first + rows;
        const float beta = cols == s ? 0.0F : 1.0F;
        const float *p_rows = p + first * s, *dout_rows = dout + first * w;
        product_of_transposed(h, rows, cols, 1.0F, p_rows, s, dout_rows, w, beta, dv);
        product_with_transposed(h, rows, cols, 1.0F, dout_rows, w, v_transposed, dp, cols);
        softmax_rows_backward(first, rows, cols, s, p_rows, dp);
        product(h, rows, cols, h->scale, dp, cols, h->k, dq + first * qkv_stride, qkv_stride);
        product_of_transposed(h, rows, cols, h->scale, dp, cols, h->q + first * qkv_stride, qkv_stride, beta, dk);
    }
}

void lspo_attention_backward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                             const float *probabilities, const float *dout, float *dqkv, float *scratch)
{
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0; i < heads; i++) {
            const head_t h = head_at(b, i, sequence, heads, head_width, qkv);
            head_backward(&h, probabilities + (b * heads + i) * sequence * sequence,
                          dout + b * sequence * h.width + i * head_width,
                          dqkv + b * sequence * 3 * h.width + i * head_width, scratch);
        }
    }
}
