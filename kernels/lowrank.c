/* lowrank.c - bases of leading singular vectors by LAPACK, and products with them. */
#include "kernels/lowrank.h"

#include <math.h>

#include "kernels/blas.h"
#include "kernels/gemm.h"

/* Elements per row of dsyevr's fp64 and integer workspaces: 26 is the minimum, 38 lets the reduction use blocks of
 * 32. */
enum { WORK_ROW = 38, IWORK_ROW = 10 };

static size_t shorter(size_t m, size_t n)
{
    return m <= n ? m : n;
}

size_t lspo_lowrank_basis_scratch_bytes(size_t m, size_t n, size_t r)
{
    const size_t s = shorter(m, n);
    return sizeof(double) * (s * s + s * r + s * WORK_ROW + s) + sizeof(float) * s * s +
           sizeof(int) * (s * IWORK_ROW + 2 * r);
}

static void make_gram(size_t m, size_t n, const float *g, float *gram)
{
    if (m <= n)
        lspo_gemm_nt(m, m, n, 1.0F, g, n, g, n, 0.0F, gram, m);
    else
        lspo_gemm_tn(n, n, m, 1.0F, g, n, g, n, 0.0F, gram, n);
}

/* The largest sum of squares bounds every element of a Gram matrix. */
static bool diagonal_is_finite(size_t s, const float *gram)
{
    for (size_t i = 0; i < s; i++)
        if (!isfinite(gram[i * s + i]))
            return false;
    return true;
}

bool lspo_lowrank_basis(size_t m, size_t n, size_t r, const float *g, float *basis, void *scratch)
{
    const size_t s = shorter(m, n);
    double *matrix = scratch, *vectors = matrix + s * s, *work = vectors + s * r, *values = work + s * WORK_ROW;
    float *gram = (float *)(values + s);
    int *iwork = (int *)(gram + s * s), *support = iwork + s * IWORK_ROW;
    make_gram(m, n, g, gram);
    if (!diagonal_is_finite(s, gram))
        return false;
    for (size_t i = 0; i < s * s; i++)
        matrix[i] = (double)gram[i];
    const int order = (int)s, first = (int)(s - r + 1), lwork = order * WORK_ROW, liwork = order * IWORK_ROW;
    const double unused = 0, tolerance = 0;
    int found = 0, info = 0;
    lspo_blas()->dsyevr("V", "I", "U", &order, matrix, &order, &unused, &unused, &first, &order, &tolerance, &found,
                        values, vectors, &order, support, work, &lwork, iwork, &liwork, &info, 1, 1, 1);
    if (info != 0 || found != (int)r)
        return false;
    for (size_t j = 0; j < r; j++) /* they are stored by column, in ascending order */
        for (size_t i = 0; i < s; i++)
            basis[i * r + j] = (float)vectors[(r - 1 - j) * s + i];
    return true;
}

void lspo_lowrank_compress(const lspo_lowrank_t *lowrank, const float *g, float beta, float *r_out)
{
    const size_t m = lowrank->m, n = lowrank->n, r = lowrank->r;
    if (m <= n)
        lspo_gemm_tn(r, n, m, 1.0F, lowrank->basis, r, g, n, beta, r_out, n);
    else
        lspo_gemm_nn(m, r, n, 1.0F, g, n, lowrank->basis, r, beta, r_out, r);
}

void lspo_lowrank_apply(const lspo_lowrank_t *lowrank, const float *direction, float rate, float *w)
{
    const size_t m = lowrank->m, n = lowrank->n, r = lowrank->r;
    if (m <= n)
        lspo_gemm_nn(m, n, r, -rate, lowrank->basis, r, direction, n, 1.0F, w, n);
    else
        lspo_gemm_nt(m, n, r, -rate, direction, r, lowrank->basis, r, 1.0F, w, n);
}
