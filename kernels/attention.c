#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/simd.h"
#include "kernels/vmath.h"

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

/* One head of one sequence. */
static void head_forward(size_t sequence, size_t head_width, size_t width, const float *q, float *p, float *out)
{
    const float *k = q + width, *v = q + 2 * width;
    const float scale = 1.0F / sqrtf((float)head_width);
    for (size_t first = 0; first < sequence; first += LSPO_ATTENTION_ROWS) {
        const size_t rows = sequence - first < LSPO_ATTENTION_ROWS ? sequence - first : LSPO_ATTENTION_ROWS;
        const size_t cols = first + rows;
        float *p_rows = p + first * sequence;
        lspo_gemm_nt(rows, cols, head_width, scale, q + first * 3 * width, 3 * width, k, 3 * width, 0.0F, p_rows,
                     sequence);
        softmax_rows(first, rows, cols, sequence, p_rows);
        lspo_gemm_nn(rows, head_width, cols, 1.0F, p_rows, sequence, v, 3 * width, 0.0F, out + first * width, width);
    }
}

void lspo_attention_forward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                            float *probabilities, float *out)
{
    const size_t width = heads * head_width;
    for (size_t b = 0; b < batch; b++) {
        for (size_t h = 0; h < heads; h++)
            head_forward(sequence, head_width, width, qkv + b * sequence * 3 * width + h * head_width,
                         probabilities + (b * heads + h) * sequence * sequence,
                         out + b * sequence * width + h * head_width);
    }
}

size_t lspo_attention_scratch(size_t sequence)
{
    return LSPO_ATTENTION_ROWS * sequence;
}

/* The last row block comes first: it alone reaches every row of dK and dV, so it overwrites and the others add. */
static void head_backward(size_t sequence, size_t head_width, size_t width, const float *q, const float *p,
                          const float *dout, float *dq, float *scratch)
{
    const float *k = q + width, *v = q + 2 * width;
    float *dk = dq + width, *dv = dq + 2 * width;
    const float scale = 1.0F / sqrtf((float)head_width);
    const size_t block_count = (sequence + LSPO_ATTENTION_ROWS - 1) / LSPO_ATTENTION_ROWS;
    for (size_t block = block_count; block-- > 0;) {
        const size_t first = block * LSPO_ATTENTION_ROWS;
        const size_t rows = sequence - first < LSPO_ATTENTION_ROWS ? sequence - first : LSPO_ATTENTION_ROWS;
        const size_t cols = first + rows;
        const float beta = cols == sequence ? 0.0F : 1.0F;
        const float *p_rows = p + first * sequence, *dout_rows = dout + first * width;
        lspo_gemm_tn(cols, head_width, rows, 1.0F, p_rows, sequence, dout_rows, width, beta, dv, 3 * width);
        lspo_gemm_nt(rows, cols, head_width, 1.0F, dout_rows, width, v, 3 * width, 0.0F, scratch, cols);
        softmax_rows_backward(first, rows, cols, sequence, p_rows, scratch);
        lspo_gemm_nn(rows, head_width, cols, scale, scratch, cols, k, 3 * width, 0.0F, dq + first * 3 * width,
                     3 * width);
        lspo_gemm_tn(cols, head_width, rows, scale, scratch, cols, q + first * 3 * width, 3 * width, beta, dk,
                     3 * width);
    }
}

void lspo_attention_backward(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *qkv,
                             const float *probabilities, const float *dout, float *dqkv, float *scratch)
{
    const size_t width = heads * head_width;
    for (size_t b = 0; b < batch; b++) {
        for (size_t h = 0; h < heads; h++)
            head_backward(sequence, head_width, width, qkv + b * sequence * 3 * width + h * head_width,
                          probabilities + (b * heads + h) * sequence * sequence,
                          dout + b * sequence * width + h * head_width,
                          dqkv + b * sequence * 3 * width + h * head_width, scratch);
    }
}
