/* The kernels of low-rank adapters and bases against dense products in double. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/adapter.h"
#include "kernels/lowrank.h"
#include "kernels/random.h"
#include "tests/orthonormal.h"

static void *memory(size_t bytes)
{
    void *array = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    cr_assert_not_null(array);
    memset(array, 0, bytes);
    return array;
}

static float *floats(size_t count)
{
    return memory(count * sizeof(float));
}

static float *random_floats(size_t count, uint64_t stream)
{
    float *array = floats(count);
    lspo_random_normal_fill(3, stream, 1.0, count, array);
    return array;
}

static void assert_close(const float *got, const double *want, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_float_eq((double)got[i], want[i], tolerance * (1 + fabs(want[i])), "%zu: %.9g, not %.9g", i,
                           (double)got[i], want[i]);
}

/* --- adapters ----------------------------------------------------------------------------------------------------- */

/* A matrix as it is stored, or its transpose. */
typedef struct {
    const float *at;
    bool transposed;
} operand_t;

static operand_t plain(const float *at)
{
    return (operand_t){at, false};
}

static operand_t transposed(const float *at)
{
    return (operand_t){at, true};
}

/* out (rows x cols) = a b over k, in double. */
static double *product(size_t rows, size_t cols, size_t k, operand_t a, operand_t b)
{
    double *out = memory(rows * cols * sizeof(double));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            for (size_t l = 0; l < k; l++)
                out[i * cols + j] += (double)(a.transposed ? a.at[l * rows + i] : a.at[i * k + l]) *
                                     (double)(b.transposed ? b.at[j * k + l] : b.at[l * cols + j]);
    return out;
}

enum { ADAPTER_T = 7, ADAPTER_M = 5, ADAPTER_N = 9, ADAPTER_R = 3 };

/* U = s A B^T formed: Y = 1 + X U;  dX = 1 + dY U^T;  with G = X^T dY: dA = s G B, dB = s G^T A. */
Test(lowrank, adapter_kernels_equal_dense_products)
{
    enum { T = ADAPTER_T, M = ADAPTER_M, N = ADAPTER_N, R = ADAPTER_R };
    const float s = 0.7F;
    float *x = random_floats(T * M, 1), *dy = random_floats(T * N, 2), *a = random_floats(M * R, 3);
    float *b = random_floats(N * R, 4), *y = floats(T * N), *dx = floats(T * M), *da = floats(M * R);
    float *db = floats(N * R), *scratch = floats(2 * T * R), *u = floats(M * N), *g = floats(M * N);
    double *ab = product(M, N, R, plain(a), transposed(b)), *xy = product(M, N, T, transposed(x), plain(dy));
    for (size_t i = 0; i < M * N; i++) {
        u[i] = s * (float)ab[i];
        g[i] = s * (float)xy[i];
    }
    for (size_t i = 0; i < T * N; i++)
        y[i] = 1;
    for (size_t i = 0; i < T * M; i++)
        dx[i] = 1;
    double *want_y = product(T, N, M, plain(x), plain(u)), *want_dx = product(T, M, N, plain(dy), transposed(u));
    double *want_da = product(M, R, N, plain(g), plain(b)), *want_db = product(N, R, M, transposed(g), plain(a));
    for (size_t i = 0; i < T * N; i++)
        want_y[i] += 1;
    for (size_t i = 0; i < T * M; i++)
        want_dx[i] += 1;
    lspo_adapter_forward(&(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = s, .a = a, .b = b}, x, y,
                         scratch);
    assert_close(y, want_y, T * N, 2e-6);
    lspo_adapter_backward(&(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = s, .a = a, .b = b}, x, dy,
                          &(lspo_adapter_gradients_t){.dx = dx, .da = da, .db = db}, scratch);
    assert_close(dx, want_dx, T * M, 2e-6);
    assert_close(da, want_da, M * R, 5e-6);
    assert_close(db, want_db, N * R, 5e-6);
    lspo_adapter_backward(&(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = s, .a = a, .b = b}, x, dy,
                          &(lspo_adapter_gradients_t){.dx = dx, .da = da, .db = db, .accumulate = true}, scratch);
    for (size_t i = 0; i < M * R; i++)
        want_da[i] *= 2;
    assert_close(da, want_da, M * R, 5e-6);
    memcpy(y, dx, T * M * sizeof(float)); /* without the gradients of A and B, dX is the same */
    lspo_adapter_backward(&(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = s, .a = a, .b = b}, x, dy,
                          &(lspo_adapter_gradients_t){.dx = dx}, scratch);
    for (size_t i = 0; i < T * M; i++)
        cr_assert_float_eq((double)(dx[i] - y[i]), want_dx[i] - 1, 1e-5);
    void *all[] = {x, dy, a, b, y, dx, da, db, scratch, u, g, ab, xy, want_y, want_dx, want_da, want_db};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* --- bases -------------------------------------------------------------------------------------------------------- */

/* `count` orthonormal columns of `size`, by Gram-Schmidt, twice, in double; column by column. */
static double *orthonormal(size_t size, size_t count, uint64_t stream)
{
    double *q = memory(size * count * sizeof(double));
    for (size_t j = 0; j < count; j++) {
        double *v = q + j * size;
        for (size_t i = 0; i < size; i++)
            v[i] = lspo_random_normal(4, stream, j * size + i);
        for (size_t k = 0; k < 2 * j; k++) {
            const double *p = q + (k % j) * size;
            double dot = 0;
            for (size_t i = 0; i < size; i++)
                dot += p[i] * v[i];
            for (size_t i = 0; i < size; i++)
                v[i] -= dot * p[i];
        }
        double norm = 0;
        for (size_t i = 0; i < size; i++)
            norm += v[i] * v[i];
        for (size_t i = 0; i < size; i++)
            v[i] /= sqrt(norm);
    }
    return q;
}

/* G = sum over k of sigma_k u_k v_k^T with singular vectors known in advance, sigma = 8, 4, 2, 1, 1/2, ..., `rank` of
 * them: the basis must be u (or v, where G is taller than wide) up to signs. */
static void check_known_vectors(size_t m, size_t n, size_t rank, size_t r)
{
    size_t s = m <= n ? m : n;
    double *u = orthonormal(m, rank, 1), *v = orthonormal(n, rank, 2);
    const double *known = m <= n ? u : v;
    float *g = floats(m * n), *basis = floats(s * r);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t k = 0; k < rank; k++)
                sum += ldexp(8, -(int)k) * u[k * m + i] * v[k * n + j];
            g[i * n + j] = (float)sum;
        }
    void *scratch = memory(lspo_lowrank_basis_scratch_bytes(m, n, r));
    cr_assert(lspo_lowrank_basis(m, n, r, g, basis, scratch));
    assert_orthonormal(s, r, basis);
    for (size_t j = 0; j < r && j < rank; j++) {
        double dot = 0;
        for (size_t i = 0; i < s; i++)
            dot += (double)basis[i * r + j] * known[j * s + i];
        cr_assert_float_eq(fabs(dot), 1, 1e-5, "%zu x %zu, vector %zu: cosine %.9g", m, n, j, dot);
    }
    free(scratch);
    free(basis);
    free(g);
    free(v);
    free(u);
}

Test(lowrank, the_basis_is_the_leading_singular_vectors)
{
    check_known_vectors(12, 31, 8, 4);
    check_known_vectors(31, 12, 8, 4);
    check_known_vectors(20, 20, 8, 1);
    check_known_vectors(9, 40, 8, 9);  /* all of them */
    check_known_vectors(40, 60, 2, 8); /* more than the gradient has: the others are orthonormal, whatever they are */
    check_known_vectors(130, 150, 3, 64);
    check_known_vectors(1, 5, 1, 1);
}

Test(lowrank, a_basis_of_nothing_is_orthonormal_and_of_nan_is_refused)
{
    enum { M = 16, N = 24, R = 5 };
    float *g = floats(M * N), *basis = floats(M * R);
    void *scratch = memory(lspo_lowrank_basis_scratch_bytes(M, N, R));
    cr_assert(lspo_lowrank_basis(M, N, R, g, basis, scratch));
    assert_orthonormal(M, R, basis);
    const float bad[] = {NAN, INFINITY, 1e30F}; /* the square of the last overflows */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(basis, 0x5a, M * R * sizeof(float));
        g[7 * N + 3] = bad[i];
        cr_assert_not(lspo_lowrank_basis(M, N, R, g, basis, scratch));
        for (size_t k = 0; k < M * R * sizeof(float); k++)
            cr_assert_eq(((unsigned char *)basis)[k], 0x5a);
    }
    free(scratch);
    free(basis);
    free(g);
}

/* R and A N (or N A^T) against dense products; `beta` adds micro-batches up. */
static void check_projection(size_t m, size_t n, size_t r)
{
    bool wide = m <= n;
    size_t s = wide ? m : n, rows = wide ? r : m, cols = wide ? n : r;
    float *g = random_floats(m * n, 5), *a = random_floats(s * r, 6), *message = floats(rows * cols);
    float *w = random_floats(m * n, 7), *direction = random_floats(rows * cols, 8);
    double *want = wide ? product(r, n, m, transposed(a), plain(g)) : product(m, r, n, plain(g), plain(a));
    lspo_lowrank_compress(&(lspo_lowrank_t){m, n, r, a}, g, 0.0F, message);
    assert_close(message, want, rows * cols, 1e-5);
    lspo_lowrank_compress(&(lspo_lowrank_t){m, n, r, a}, g, 1.0F, message);
    for (size_t i = 0; i < rows * cols; i++)
        want[i] *= 2;
    assert_close(message, want, rows * cols, 1e-5);
    double *step =
        wide ? product(m, n, r, plain(a), plain(direction)) : product(m, n, r, plain(direction), transposed(a));
    for (size_t i = 0; i < m * n; i++)
        step[i] = (double)w[i] - 0.125 * step[i];
    lspo_lowrank_apply(&(lspo_lowrank_t){m, n, r, a}, direction, 0.125F, w);
    assert_close(w, step, m * n, 1e-5);
    void *all[] = {g, a, message, w, direction, want, step};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

Test(lowrank, projections_equal_dense_products)
{
    check_projection(6, 17, 3);
    check_projection(17, 6, 3);
    check_projection(8, 8, 8);
    check_projection(33, 5, 1);
}
