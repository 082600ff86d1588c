/* sketch.c - COMPRESS and APPLY with dense projectors, on the CPU. */
#include "kernels/sketch.h"

#include <string.h>

#include "kernels/gemm.h"

static size_t dense_elements(const lspo_projector_t *p)
{
    return (size_t)p->rows * p->d;
}

size_t lspo_sketch_compress_scratch(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens)
{
    return dense_elements(p) + dense_elements(q) + tokens * ((size_t)p->d + q->d);
}

size_t lspo_sketch_apply_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    size_t m = p->rows, n = q->rows;
    size_t inner = m <= n ? m * q->d : n * p->d;
    return dense_elements(p) + dense_elements(q) + m * n + inner;
}

/* Returns the end of the written matrix. */
static float *write_out(const lspo_projector_t *p, float *dense)
{
    memset(dense, 0, dense_elements(p) * sizeof *dense);
    for (size_t row = 0; row < p->rows; row++)
        for (size_t e = row * p->r; e < (row + 1) * p->r; e++)
            dense[row * p->d + p->index[e]] = p->value[e];
    return dense + dense_elements(p);
}

void lspo_sketch_compress(const lspo_projector_pair_t *pair, const lspo_gradient_factors_t *factors, float beta,
                          float *g_hat, float *scratch)
{
    const lspo_projector_t *p = pair->p, *q = pair->q;
    const size_t tokens = factors->tokens;
    float *s_p = scratch;
    float *s_q = write_out(p, s_p);
    float *xp = write_out(q, s_q);
    float *dyq = xp + tokens * p->d;
    lspo_gemm_nn(tokens, p->d, p->rows, 1, factors->x, factors->x_stride, s_p, p->d, 0, xp, p->d);
    lspo_gemm_nn(tokens, q->d, q->rows, 1, factors->dy, factors->dy_stride, s_q, q->d, 0, dyq, q->d);
    lspo_gemm_tn(p->d, q->d, tokens, 1, xp, p->d, dyq, q->d, beta, g_hat, q->d);
}

void lspo_sketch_apply(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step, float *w,
                       float *scratch)
{
    const lspo_projector_t *p = pair->p, *q = pair->q;
    size_t m = p->rows, n = q->rows, d_m = p->d, d_n = q->d;
    float *s_p = scratch;
    float *s_q = write_out(p, s_p);
    float *direction = write_out(q, s_q); /* E */
    float *inner = direction + m * n;
    if (m <= n) {
        lspo_gemm_nn(m, d_n, d_m, 1, s_p, d_m, delta, d_n, 0, inner, d_n);
        lspo_gemm_nt(m, n, d_n, 1, inner, d_n, s_q, d_n, 0, direction, n);
    } else {
        lspo_gemm_nt(d_m, n, d_n, 1, delta, d_n, s_q, d_n, 0, inner, n);
        lspo_gemm_nn(m, n, d_m, 1, s_p, d_m, inner, n, 0, direction, n);
    }
    const float keep = step->keep, rate = step->rate;
#pragma omp simd
    for (size_t i = 0; i < m * n; i++)
        w[i] = keep * w[i] - rate * direction[i];
}
