/* fit_carry.c - transform Adam's moments from one subspace to another: lspo_fit_carry() in fit.h. */
#include <math.h>

#include "kernels/fit.h"
#include "kernels/fit_products.h"
#include "kernels/gemm.h"

size_t lspo_fit_carry_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return (size_t)p->d * p->d + (size_t)q->d * q->d + (size_t)p->d * q->d;
}

void lspo_fit_square(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= x[i];
}

double lspo_fit_sum(size_t n, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum;
}

static void scale_all(size_t n, double factor, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(factor * (double)x[i]);
}

double lspo_fit_keep_sum(size_t n, double before, float *m, float *v)
{
    const double after = lspo_fit_sum(n, v);
    if (!(after > 0) || !(before > 0))
        return 1;
    scale_all(n, before / after, v);
    scale_all(n, sqrt(before / after), m);
    return sqrt(before / after);
}

/* x (d_m x d_n) <- left x right. */
static void sandwich(size_t d_m, size_t d_n, const float *left, const float *right, float *x, float *between)
{
    lspo_gemm_nn(d_m, d_n, d_m, 1.0F, left, d_m, x, d_n, 0.0F, between, d_n);
    lspo_gemm_nn(d_m, d_n, d_n, 1.0F, between, d_n, right, d_n, 0.0F, x, d_n);
}

double lspo_fit_carry(const lspo_projector_pair_t *from, const lspo_projector_pair_t *to, bool keep_sum, float *m,
                      float *v, float *scratch)
{
    const size_t d_m = from->p->d, d_n = from->q->d, count = d_m * d_n;
    float *left = lspo_fit_carve(&scratch, d_m * d_m), *right = lspo_fit_carve(&scratch, d_n * d_n), *between = scratch;
    lspo_fit_cross(to->p, from->p, left);
    lspo_fit_cross(from->q, to->q, right);
    sandwich(d_m, d_n, left, right, m, between);
    lspo_fit_square(d_m * d_m, left);
    lspo_fit_square(d_n * d_n, right);
    const double before = lspo_fit_sum(count, v);
    sandwich(d_m, d_n, left, right, v, between);
    return keep_sum ? lspo_fit_keep_sum(count, before, m, v) : 1;
}
