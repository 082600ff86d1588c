/* fit_floor.c - the smallest bias of any estimate of rank k: lspo_fit_svd_floor() in fit.h. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/blas.h"
#include "kernels/fit.h"
#include "kernels/fit_products.h"
#include "kernels/gemm.h"

static bool eigenvalues(int order, double *matrix, double *values)
{
    const int lwork = order * 38, liwork = order * 10, unused_int = 0, one = 1;
    const double unused = 0, tolerance = 0;
    double *work = malloc((size_t)lwork * sizeof *work), nothing = 0;
    int *iwork = malloc((size_t)liwork * sizeof *iwork), *support = malloc((size_t)order * 2 * sizeof *support);
    int found = 0, info = -1;
    if (work && iwork && support)
        lspo_blas()->dsyevr("N", "A", "U", &order, matrix, &order, &unused, &unused, &unused_int, &unused_int,
                            &tolerance, &found, values, &nothing, &one, support, work, &lwork, iwork, &liwork, &info, 1,
                            1, 1);
    free(support);
    free(iwork);
    free(work);
    return info == 0 && found == order;
}

double lspo_fit_svd_floor(size_t m, size_t n, size_t k, const float *g)
{
    const size_t s = m < n ? m : n;
    const double g2 = lspo_fit_dot(m * n, g, g);
    float *gram = malloc(s * s * sizeof *gram);
    double *matrix = malloc(s * s * sizeof *matrix), *values = malloc(s * sizeof *values);
    double floor = (double)NAN;
    if (gram && matrix && values && g2 > 0 && isfinite(g2)) {
        if (m <= n)
            lspo_gemm_nt(m, m, n, 1.0F, g, n, g, n, 0.0F, gram, m);
        else
            lspo_gemm_tn(n, n, m, 1.0F, g, n, g, n, 0.0F, gram, n);
        for (size_t i = 0; i < s * s; i++)
            matrix[i] = (double)gram[i];
        if (eigenvalues((int)s, matrix, values)) {
            double rest = 0;
            for (size_t i = 0; i + k < s; i++) /* they are in ascending order */
                rest += fmax(values[i], 0);
            floor = sqrt(rest / g2);
        }
    }
    free(values);
    free(matrix);
    free(gram);
    return floor;
}
