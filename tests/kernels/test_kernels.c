/* The transformer kernels against plain double-precision loops. */
#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/vector.h"
#include "kernels/vmath.h"

/* Values in [-scale, scale), the same in every run; allocated exactly, so that a sanitizer sees any access beyond. */
static float *random_floats(size_t n, uint32_t seed, double scale)
{
    float *x = malloc(n * sizeof *x);
    cr_assert_not_null(x);
    uint32_t state = 2654435761U * (seed + 1U);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525U + 1013904223U;
        x[i] = (float)(scale * ((double)state / 2147483648.0 - 1.0));
    }
    return x;
}

static float *filled(size_t n, float value)
{
    float *x = malloc(n * sizeof *x);
    cr_assert_not_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

static double *zeros(size_t n)
{
    double *x = calloc(n, sizeof *x);
    cr_assert_not_null(x);
    return x;
}

/* |got - want| <= atol + rtol |want| for every element. */
static void assert_close(const char *what, size_t n, const float *got, const double *want, double atol, double rtol)
{
    for (size_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - want[i]);
        cr_assert(error <= atol + rtol * fabs(want[i]), "%s[%zu] is %.9g, not %.9g", what, i, (double)got[i], want[i]);
    }
}

/* --- exp and softmax ---------------------------------------------------------------------------------------------- */

Test(kernels, exp_is_within_two_ulp)
{
    for (double x = -87.3; x < 88.0; x += 0.00371) {
        const float at = (float)x;
        const double want = exp((double)at);
        const double got = (double)lspo_vexpf(at);
        cr_assert(fabs(got - want) <= 2.4e-7 * want, "exp(%.9g) is %.9g, not %.9g", (double)at, got, want);
    }
}

Test(kernels, exp_at_the_ends_of_its_range)
{
    cr_assert_eq(lspo_vexpf(-INFINITY), 0.0F);
    cr_assert_eq(lspo_vexpf(-1e30F), 0.0F);
    cr_assert_eq(lspo_vexpf(-88.0F), 0.0F);
    cr_assert_eq(lspo_vexpf(0.0F), 1.0F);
    cr_assert(isfinite(lspo_vexpf(INFINITY)));
    cr_assert_eq(lspo_vexpf(INFINITY), lspo_vexpf(88.0F));
    cr_assert(isnan(lspo_vexpf(NAN)));
}

Test(kernels, softmax_of_every_length)
{
    for (size_t n = 1; n < 70; n++) {
        float *row = random_floats(n, (uint32_t)n, 30.0);
        double *want = zeros(n), highest = -DBL_MAX, sum = 0.0;
        for (size_t j = 0; j < n; j++)
            highest = fmax(highest, (double)row[j]);
        for (size_t j = 0; j < n; j++)
            sum += exp((double)row[j] - highest);
        for (size_t j = 0; j < n; j++)
            want[j] = exp((double)row[j] - highest) / sum;
        const double log_sum = (double)lspo_vsoftmax(n, row);
        assert_close("softmax", n, row, want, 1e-9, 4e-6);
        cr_assert_float_eq(log_sum, highest + log(sum), 1e-5);
        free(row);
        free(want);
    }
}

/* --- matrix products ---------------------------------------------------------------------------------------------- */

typedef enum { NN, NT, TN } form_t;

/* A product of 5 x 7 (k 3) inside arrays with wider rows; nothing outside the 5 x 7 may change. */
static void check_gemm(form_t form, float alpha, float beta)
{
    enum { M = 5, N = 7, K = 3, A_STRIDE = 9, B_STRIDE = 11, C_STRIDE = 8 };
    const size_t a_rows = form == TN ? K : M, b_rows = form == NT ? N : K;
    float *a = random_floats(a_rows * A_STRIDE, 1, 1.0), *b = random_floats(b_rows * B_STRIDE, 2, 1.0);
    float *c = beta == 0.0F ? filled(M * C_STRIDE, NAN) : random_floats(M * C_STRIDE, 3, 1.0);
    double want[M * C_STRIDE];
    float before[M * C_STRIDE];
    memcpy(before, c, sizeof before);
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double sum = 0.0;
            for (size_t l = 0; l < K; l++)
                sum += (double)(form == TN ? a[l * A_STRIDE + i] : a[i * A_STRIDE + l]) *
                       (double)(form == NT ? b[j * B_STRIDE + l] : b[l * B_STRIDE + j]);
            const double old = beta == 0.0F ? 0.0 : (double)(beta * c[i * C_STRIDE + j]);
            want[i * C_STRIDE + j] = (double)alpha * sum + old;
        }
    }
    if (form == NN)
        lspo_gemm_nn(M, N, K, alpha, a, A_STRIDE, b, B_STRIDE, beta, c, C_STRIDE);
    else if (form == NT)
        lspo_gemm_nt(M, N, K, alpha, a, A_STRIDE, b, B_STRIDE, beta, c, C_STRIDE);
    else
        lspo_gemm_tn(M, N, K, alpha, a, A_STRIDE, b, B_STRIDE, beta, c, C_STRIDE);
    for (size_t i = 0; i < M; i++) {
        assert_close("product", N, c + i * C_STRIDE, want + i * C_STRIDE, 1e-6, 1e-6);
        cr_assert_eq(memcmp(c + i * C_STRIDE + N, before + i * C_STRIDE + N, sizeof(float)), 0);
    }
    free(a);
    free(b);
    free(c);
}

Test(kernels, products_in_all_three_forms)
{
    cr_assert_not_null(lspo_gemm_core());
    for (int form = NN; form <= TN; form++) {
        check_gemm((form_t)form, 1.0F, 0.0F);
        check_gemm((form_t)form, 0.5F, 1.0F);
        check_gemm((form_t)form, -1.5F, 0.25F);
    }
}

/* --- layer norm --------------------------------------------------------------------------------------------------- */

static void norm_reference(const lspo_norm_t *norm, const float *x, double *out, double *mean, double *rstd)
{
    const size_t width = norm->width;
    const float *gain = norm->gain, *bias = norm->bias;
    for (size_t i = 0; i < norm->rows; i++) {
        double sum = 0.0, squares = 0.0;
        for (size_t j = 0; j < width; j++)
            sum += (double)x[i * width + j];
        mean[i] = sum / (double)width;
        for (size_t j = 0; j < width; j++)
            squares += pow((double)x[i * width + j] - mean[i], 2.0);
        rstd[i] = 1.0 / sqrt(squares / (double)width + (double)norm->epsilon);
        for (size_t j = 0; j < width; j++)
            out[i * width + j] = ((double)x[i * width + j] - mean[i]) * rstd[i] * (double)gain[j] + (double)bias[j];
    }
}

Test(kernels, norm_forward_of_every_width)
{
    enum { ROWS = 3 };
    for (size_t width = 1; width < 40; width++) {
        const size_t n = ROWS * width;
        float *x = random_floats(n, 1, 2.0), *gain = random_floats(width, 2, 1.0), *bias = random_floats(width, 3, 1.0);
        float *out = filled(n, NAN), mean[ROWS], rstd[ROWS];
        double *want = zeros(n), want_mean[ROWS], want_rstd[ROWS];
        const lspo_norm_t norm = {.rows = ROWS, .width = width, .epsilon = 1e-5F, .gain = gain, .bias = bias};
        norm_reference(&norm, x, want, want_mean, want_rstd);
        lspo_norm_forward(&norm, x, out, mean, rstd);
        /* Width 1: x - mean is 0 in both, rstd is 1 / sqrt(1e-5). */
        assert_close("out", n, out, want, 1e-5, 1e-5);
        assert_close("mean", ROWS, mean, want_mean, 1e-6, 1e-6);
        assert_close("rstd", ROWS, rstd, want_rstd, 0.0, 1e-5);
        free(x), free(gain), free(bias), free(out), free(want);
    }
}

/* A large mean must not cancel: x = 1000 + {0, 1, 2, 3} has mean 1001.5 and variance 1.25. */
Test(kernels, norm_keeps_the_variance_of_a_large_mean)
{
    const float x[4] = {1000.0F, 1001.0F, 1002.0F, 1003.0F};
    const float gain[4] = {1.0F, 1.0F, 1.0F, 1.0F}, bias[4] = {0};
    float out[4], mean, rstd;
    lspo_norm_forward(&(lspo_norm_t){.rows = 1, .width = 4, .epsilon = 1e-5F, .gain = gain, .bias = bias}, x, out,
                      &mean, &rstd);
    cr_assert_float_eq(mean, 1001.5F, 1e-4F);
    cr_assert_float_eq(rstd, 0.8944236F, 1e-6F); /* 1 / sqrt(1.25001) */
    cr_assert_float_eq(out[0], -1.3416354F, 1e-5F);
}

enum { NORM_ROWS = 5, NORM_WIDTH = 19, NORM_N = NORM_ROWS * NORM_WIDTH };

typedef struct {
    float *dout, *x, *gain, *residual, mean[NORM_ROWS], rstd[NORM_ROWS];
    double dx[NORM_N], dgain[NORM_WIDTH], dbias[NORM_WIDTH], dx_sum[NORM_WIDTH];
} norm_case_t;

static void norm_case_create(norm_case_t *c, bool residual)
{
    memset(c, 0, sizeof *c);
    c->dout = random_floats(NORM_N, 1, 1.0), c->x = random_floats(NORM_N, 2, 2.0);
    c->gain = random_floats(NORM_WIDTH, 3, 1.0), c->residual = random_floats(NORM_N, 4, 1.0);
    float *bias = filled(NORM_WIDTH, 0.0F), out[NORM_N];
    lspo_norm_forward(
        &(lspo_norm_t){.rows = NORM_ROWS, .width = NORM_WIDTH, .epsilon = 1e-5F, .gain = c->gain, .bias = bias}, c->x,
        out, c->mean, c->rstd);
    free(bias);
    for (size_t i = 0; i < NORM_ROWS; i++) {
        const size_t row = i * NORM_WIDTH;
        double xhat[NORM_WIDTH], sum = 0.0, dot = 0.0;
        for (size_t j = 0; j < NORM_WIDTH; j++) {
            xhat[j] = ((double)c->x[row + j] - (double)c->mean[i]) * (double)c->rstd[i];
            sum += (double)c->gain[j] * (double)c->dout[row + j];
            dot += (double)c->gain[j] * (double)c->dout[row + j] * xhat[j];
        }
        for (size_t j = 0; j < NORM_WIDTH; j++) {
            const double g = (double)c->gain[j] * (double)c->dout[row + j];
            c->dx[row + j] = (double)c->rstd[i] * (g - sum / NORM_WIDTH - xhat[j] * dot / NORM_WIDTH) +
                             (residual ? (double)c->residual[row + j] : 0.0);
            c->dgain[j] += (double)c->dout[row + j] * xhat[j];
            c->dbias[j] += (double)c->dout[row + j];
            c->dx_sum[j] += c->dx[row + j];
        }
    }
}

static void norm_case_destroy(norm_case_t *c)
{
    free(c->dout), free(c->x), free(c->gain), free(c->residual);
}

Test(kernels, norm_backward_with_all_sinks)
{
    norm_case_t c;
    norm_case_create(&c, true);
    float dx[NORM_N], *dgain = filled(NORM_WIDTH, NAN), *dbias = filled(NORM_WIDTH, NAN),
                      *sum = filled(NORM_WIDTH, NAN);
    lspo_norm_backward(
        &(lspo_norm_t){.rows = NORM_ROWS, .width = NORM_WIDTH, .gain = c.gain},
        &(lspo_norm_operands_t){.dout = c.dout, .x = c.x, .residual = c.residual, .mean = c.mean, .rstd = c.rstd},
        &(lspo_norm_gradients_t){.dx = dx, .dgain = dgain, .dbias = dbias, .dx_sum = sum});
    assert_close("dx", NORM_N, dx, c.dx, 1e-5, 1e-5);
    assert_close("dgain", NORM_WIDTH, dgain, c.dgain, 1e-5, 1e-5);
    assert_close("dbias", NORM_WIDTH, dbias, c.dbias, 1e-5, 1e-5);
    assert_close("dx_sum", NORM_WIDTH, sum, c.dx_sum, 2e-5, 1e-5);
    lspo_norm_backward(
        &(lspo_norm_t){.rows = NORM_ROWS, .width = NORM_WIDTH, .gain = c.gain},
        &(lspo_norm_operands_t){.dout = c.dout, .x = c.x, .residual = c.residual, .mean = c.mean, .rstd = c.rstd},
        &(lspo_norm_gradients_t){.dx = c.residual,
                                 .dgain = dgain,
                                 .dbias = dbias,
                                 .dx_sum = sum,
                                 .accumulate = true}); /* accumulates, in place over the residual */
    for (size_t j = 0; j < NORM_WIDTH; j++)
        c.dgain[j] *= 2.0, c.dbias[j] *= 2.0, c.dx_sum[j] *= 2.0;
    assert_close("dx in place", NORM_N, c.residual, c.dx, 1e-5, 1e-5);
    assert_close("dgain twice", NORM_WIDTH, dgain, c.dgain, 2e-5, 1e-5);
    assert_close("dbias twice", NORM_WIDTH, dbias, c.dbias, 2e-5, 1e-5);
    assert_close("dx_sum twice", NORM_WIDTH, sum, c.dx_sum, 4e-5, 1e-5);
    free(dgain), free(dbias), free(sum);
    norm_case_destroy(&c);
}

Test(kernels, norm_backward_without_residual_and_sinks)
{
    norm_case_t c;
    norm_case_create(&c, false);
    lspo_norm_backward(&(lspo_norm_t){.rows = NORM_ROWS, .width = NORM_WIDTH, .gain = c.gain},
                       &(lspo_norm_operands_t){.dout = c.dout, .x = c.x, .mean = c.mean, .rstd = c.rstd},
                       &(lspo_norm_gradients_t){.dx = c.dout});
    assert_close("dx", NORM_N, c.dout, c.dx, 1e-5, 1e-5);
    norm_case_destroy(&c);
}

/* --- GELU --------------------------------------------------------------------------------------------------------- */

static double gelu(double x)
{
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope_by_difference(double x)
{
    return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5;
}

Test(kernels, gelu_over_its_range)
{
    enum { N = 4001 };
    float *x = filled(N, 0.0F), *out = filled(N, NAN);
    double *want = zeros(N);
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)(0.01 * ((double)i - 2000.0)); /* -20 .. 20 */
        want[i] = gelu((double)x[i]);
    }
    lspo_gelu_forward(LSPO_GELU_TANH, N, x, out);
    assert_close("gelu", N, out, want, 1e-6, 1e-6);
    lspo_gelu_forward(LSPO_GELU_TANH, N, x, x);
    cr_assert_eq(memcmp(x, out, N * sizeof *x), 0);
    free(x), free(out), free(want);
}

Test(kernels, gelu_backward_and_its_bias_gradient)
{
    enum { ROWS = 6, COLS = 37, N = ROWS * COLS };
    float *x = random_floats(N, 1, 4.0), *d = random_floats(N, 2, 1.0), *again = filled(N, 0.0F);
    float *bias = filled(COLS, NAN);
    double *want = zeros(N), *want_bias = zeros(COLS);
    memcpy(again, d, N * sizeof *d);
    for (size_t i = 0; i < N; i++) {
        want[i] = (double)d[i] * gelu_slope_by_difference((double)x[i]);
        want_bias[i % COLS] += want[i];
    }
    lspo_gelu_backward(LSPO_GELU_TANH, ROWS, COLS, x, &(lspo_gelu_gradients_t){.d = d, .bias = bias});
    assert_close("d", N, d, want, 2e-6, 2e-6);
    assert_close("bias", COLS, bias, want_bias, 5e-6, 5e-6);
    float *without = filled(N, 0.0F);
    memcpy(without, again, N * sizeof *d);
    lspo_gelu_backward(LSPO_GELU_TANH, ROWS, COLS, x,
                       &(lspo_gelu_gradients_t){.d = again, .bias = bias, .accumulate = true});
    for (size_t j = 0; j < COLS; j++)
        want_bias[j] *= 2.0;
    assert_close("bias twice", COLS, bias, want_bias, 1e-5, 5e-6);
    lspo_gelu_backward(LSPO_GELU_TANH, ROWS, COLS, x, &(lspo_gelu_gradients_t){.d = without});
    assert_close("d without bias", N, without, want, 2e-6, 2e-6);
    free(x), free(d), free(again), free(without), free(bias), free(want), free(want_bias);
}

/* --- cross-entropy ------------------------------------------------------------------------------------------------ */

Test(kernels, cross_entropy_and_its_gradient)
{
    enum { ROWS = 4, V = 37, N = ROWS * V };
    const uint32_t targets[ROWS] = {0, 36, 5, 5};
    float *logits = random_floats(N, 1, 8.0), *dlogits = filled(N, NAN);
    double *p = zeros(N), want_loss = 0.0;
    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < V; j++)
            sum += exp((double)logits[i * V + j]);
        for (size_t j = 0; j < V; j++)
            p[i * V + j] = exp((double)logits[i * V + j]) / sum;
        want_loss -= log(p[i * V + targets[i]]);
    }
    const double loss = lspo_cross_entropy_forward(
        &(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = V, .targets = targets}, logits);
    cr_assert_float_eq(loss, want_loss, 1e-5);
    assert_close("probabilities", N, logits, p, 1e-9, 4e-6);
    lspo_cross_entropy_backward(&(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = V, .targets = targets},
                                logits, 0.25F, dlogits);
    for (size_t i = 0; i < N; i++)
        p[i] = 0.25 * (p[i] - (i % V == targets[i / V] ? 1.0 : 0.0));
    assert_close("dlogits", N, dlogits, p, 1e-6, 4e-6);
    free(logits), free(dlogits), free(p);
}

/* Rows further apart than they are long: the same numbers, and what lies behind them stays NaN. */
Test(kernels, cross_entropy_of_rows_with_gaps)
{
    enum { ROWS = 4, V = 37, STRIDE = 40, N = ROWS * STRIDE };
    const uint32_t targets[ROWS] = {0, 36, LSPO_TARGET_IGNORED, 5};
    float *dense = random_floats(ROWS * V, 1, 8.0), *spread = filled(N, NAN), *d = filled(N, NAN);
    for (size_t i = 0; i < ROWS; i++)
        memcpy(spread + i * STRIDE, dense + i * V, V * sizeof *dense);
    const double want = lspo_cross_entropy_forward(
        &(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = V, .targets = targets}, dense);
    cr_assert_eq(
        lspo_cross_entropy_forward(
            &(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = STRIDE, .targets = targets}, spread),
        want);
    lspo_cross_entropy_backward(
        &(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = STRIDE, .targets = targets}, spread, 0.25F, d);
    for (size_t i = 0; i < N; i++)
        cr_assert(i % STRIDE < V ? spread[i] == dense[i / STRIDE * V + i % STRIDE] : isnan(spread[i]) && isnan(d[i]));
    lspo_cross_entropy_backward(&(lspo_cross_entropy_t){.rows = ROWS, .vocabulary = V, .stride = V, .targets = targets},
                                dense, 0.25F, dense);
    for (size_t i = 0; i < ROWS; i++)
        cr_assert_arr_eq(d + i * STRIDE, dense + i * V, V * sizeof *d);
    free(dense), free(spread), free(d);
}

/* Logits far apart: the loss is their distance, and nothing overflows. */
Test(kernels, cross_entropy_of_certain_but_wrong_logits)
{
    float logits[3] = {500.0F, -500.0F, 0.0F};
    const uint32_t target = 1;
    const double loss = lspo_cross_entropy_forward(
        &(lspo_cross_entropy_t){.rows = 1, .vocabulary = 3, .stride = 3, .targets = &target}, logits);
    cr_assert_float_eq(loss, 1000.0, 1e-9);
    cr_assert_eq(logits[0], 1.0F);
    cr_assert_eq(logits[1], 0.0F);
}

/* --- embedding and streaming helpers ------------------------------------------------------------------------------ */

Test(kernels, embedding_forward_and_backward)
{
    enum { BATCH = 2, SEQUENCE = 3, WIDTH = 5, V = 4, T = BATCH * SEQUENCE };
    const uint32_t ids[T] = {3, 0, 3, 1, 3, 1};
    float *token = random_floats(V * WIDTH, 1, 1.0), *position = random_floats(SEQUENCE * WIDTH, 2, 1.0);
    float *x = filled(T * WIDTH, NAN), *dtoken = filled(V * WIDTH, 1.0F), *dposition = filled(SEQUENCE * WIDTH, 2.0F);
    double want[T * WIDTH], want_token[V * WIDTH], want_position[SEQUENCE * WIDTH];
    for (size_t i = 0; i < T * WIDTH; i++)
        want[i] = (double)token[ids[i / WIDTH] * WIDTH + i % WIDTH] + (double)position[i % (SEQUENCE * WIDTH)];
    lspo_embedding_forward(&(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = WIDTH, .ids = ids}, token,
                           position, x);
    assert_close("x", T * WIDTH, x, want, 1e-7, 1e-7);
    for (size_t i = 0; i < V * WIDTH; i++)
        want_token[i] = 1.0;
    for (size_t i = 0; i < SEQUENCE * WIDTH; i++)
        want_position[i] = 2.0;
    for (size_t i = 0; i < T * WIDTH; i++) {
        want_token[ids[i / WIDTH] * WIDTH + i % WIDTH] += (double)x[i];
        want_position[i % (SEQUENCE * WIDTH)] += (double)x[i];
    }
    lspo_embedding_backward(&(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = WIDTH, .ids = ids}, x,
                            dtoken, dposition);
    assert_close("dtoken", V * WIDTH, dtoken, want_token, 1e-6, 1e-6);
    assert_close("dposition", SEQUENCE * WIDTH, dposition, want_position, 1e-6, 1e-6);
    free(token), free(position), free(x), free(dtoken), free(dposition);
}

Test(kernels, bias_and_column_sum)
{
    enum { ROWS = 7, COLS = 21, N = ROWS * COLS };
    float *x = random_floats(N, 1, 1.0), *bias = random_floats(COLS, 2, 1.0), *out = filled(N, NAN);
    float *sum = filled(COLS, NAN);
    double want[N], want_sum[COLS] = {0};
    lspo_bias_fill(ROWS, COLS, bias, out);
    for (size_t i = 0; i < N; i++)
        want[i] = (double)bias[i % COLS];
    assert_close("fill", N, out, want, 0.0, 0.0);
    for (size_t at = 0; at < 5; at++) { /* from any place, and nothing beyond */
        out[N - 1] = -1;
        lspo_vector_store(N - 1 - at, x, out + at);
        cr_expect_arr_eq(out + at, x, (N - 1 - at) * sizeof *x, "from %zu on", at);
        cr_expect_eq(out[N - 1], -1);
        for (size_t i = 0; i < N; i++)
            out[i] = bias[i % COLS];
    }
    lspo_bias_add(ROWS, COLS, x, bias, out);
    for (size_t i = 0; i < N; i++) {
        want[i] += (double)x[i];
        want_sum[i % COLS] += (double)x[i];
    }
    assert_close("add", N, out, want, 1e-7, 1e-7);
    lspo_column_sum(ROWS, COLS, x, false, sum);
    assert_close("sum", COLS, sum, want_sum, 1e-6, 1e-6);
    lspo_column_sum(ROWS, COLS, x, true, sum);
    for (size_t j = 0; j < COLS; j++)
        want_sum[j] *= 2.0;
    assert_close("sum twice", COLS, sum, want_sum, 2e-6, 1e-6);
    free(x), free(bias), free(out), free(sum);
}

/* --- attention ---------------------------------------------------------------------------------------------------- */

/* One head of one sequence, all in double: rows of q, k, v, dout at the given strides. */
typedef struct {
    size_t s, e, qkv_stride, out_stride;
    const float *q, *k, *v, *dout;
    double *p, *out, *dq, *dk, *dv; /* p: s x s, the others s x e, dense */
} head_case_t;

static void head_reference(const head_case_t *c)
{
    const double scale = 1.0 / sqrt((double)c->e);
    memset(c->dk, 0, c->s * c->e * sizeof *c->dk);
    memset(c->dv, 0, c->s * c->e * sizeof *c->dv);
    for (size_t i = 0; i < c->s; i++) {
        double *p = c->p + i * c->s, *dp = zeros(c->s), sum = 0.0, dot = 0.0;
        for (size_t j = 0; j < c->s; j++)
            p[j] = 0.0;
        for (size_t j = 0; j <= i; j++) {
            double score = 0.0;
            for (size_t l = 0; l < c->e; l++)
                score += (double)c->q[i * c->qkv_stride + l] * (double)c->k[j * c->qkv_stride + l];
            p[j] = exp(scale * score);
            sum += p[j];
        }
        for (size_t j = 0; j <= i; j++)
            p[j] /= sum;
        for (size_t l = 0; l < c->e; l++) {
            c->out[i * c->e + l] = 0.0;
            c->dq[i * c->e + l] = 0.0;
            for (size_t j = 0; j <= i; j++) {
                c->out[i * c->e + l] += p[j] * (double)c->v[j * c->qkv_stride + l];
                c->dv[j * c->e + l] += p[j] * (double)c->dout[i * c->out_stride + l];
                dp[j] += (double)c->dout[i * c->out_stride + l] * (double)c->v[j * c->qkv_stride + l];
            }
        }
        for (size_t j = 0; j <= i; j++)
            dot += p[j] * dp[j];
        for (size_t j = 0; j <= i; j++) {
            const double ds = scale * p[j] * (dp[j] - dot);
            for (size_t l = 0; l < c->e; l++) {
                c->dq[i * c->e + l] += ds * (double)c->k[j * c->qkv_stride + l];
                c->dk[j * c->e + l] += ds * (double)c->q[i * c->qkv_stride + l];
            }
        }
        free(dp);
    }
}

static void check_attention(size_t batch, size_t s, size_t heads, size_t e)
{
    const size_t w = heads * e, t = batch * s;
    float *qkv = random_floats(t * 3 * w, 1, 1.5), *dout = random_floats(t * w, 2, 1.0);
    float *p = filled(batch * heads * s * s, NAN), *out = filled(t * w, NAN), *dqkv = filled(t * 3 * w, NAN);
    float *scratch = filled(lspo_attention_scratch(s, e), NAN);
    const lspo_attention_t a = {.batch = batch,
                                .sequence = s,
                                .heads = heads,
                                .kv_heads = heads,
                                .head_width = e,
                                .q_stride = 3 * w,
                                .kv_stride = 3 * w,
                                .causal = true};
    const lspo_attention_operands_t operands = {.q = qkv, .k = qkv + w, .v = qkv + 2 * w, .kept = p, .dout = dout};
    const lspo_attention_gradients_t gradients = {.dq = dqkv, .dk = dqkv + w, .dv = dqkv + 2 * w};
    lspo_attention_forward(&a, &operands, p, out, scratch);
    lspo_attention_backward(&a, &operands, &gradients, scratch);
    head_case_t c = {.s = s, .e = e, .qkv_stride = 3 * w, .out_stride = w};
    c.p = zeros(s * s), c.out = zeros(s * e), c.dq = zeros(s * e), c.dk = zeros(s * e), c.dv = zeros(s * e);
    for (size_t b = 0; b < batch; b++) {
        for (size_t h = 0; h < heads; h++) {
            const size_t first = b * s * 3 * w + h * e, first_out = b * s * w + h * e;
            c.q = qkv + first, c.k = c.q + w, c.v = c.k + w, c.dout = dout + first_out;
            head_reference(&c);
            for (size_t i = 0; i < s; i++) {
                const float *row = dqkv + first + i * 3 * w;
                assert_close("probabilities", i + 1, p + (b * heads + h) * s * s + i * s, c.p + i * s, 1e-8, 1e-5);
                assert_close("out", e, out + first_out + i * w, c.out + i * e, 2e-6, 1e-5);
                assert_close("dq", e, row, c.dq + i * e, 5e-6, 2e-5);
                assert_close("dk", e, row + w, c.dk + i * e, 5e-6, 2e-5);
                assert_close("dv", e, row + 2 * w, c.dv + i * e, 5e-6, 2e-5);
            }
        }
    }
    free(qkv), free(dout), free(p), free(out), free(dqkv), free(scratch);
    free(c.p), free(c.out), free(c.dq), free(c.dk), free(c.dv);
}

/* Below, at, and above one block of rows, and with a last block that is not full. */
Test(kernels, attention_forward_and_backward)
{
    check_attention(1, 1, 1, 4);
    check_attention(2, 5, 3, 4);
    check_attention(1, LSPO_ATTENTION_ROWS, 2, 8);
    check_attention(2, LSPO_ATTENTION_ROWS + 1, 1, 8);
    check_attention(1, 2 * LSPO_ATTENTION_ROWS + 23, 2, 5);
    check_attention(1, 150, 1, 3); /* more columns than one product takes */
}

/* ---- which kernels OpenBLAS runs ---- */

/* A process each: the library is opened once. */
Test(blas, a_cpu_newer_than_the_library_gets_fast_kernels)
{
    if (getenv("OPENBLAS_CORETYPE") || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        cr_skip_test("the kernels were chosen, or there are no better ones");
    static const char *const without_avx2[] = {"Prescott", "Core2", "Nehalem", "Barcelona", "Sandybridge"};
    for (size_t i = 0; i < sizeof without_avx2 / sizeof without_avx2[0]; i++)
        cr_expect_str_neq(lspo_gemm_core(), without_avx2[i]);
}

Test(blas, the_kernels_that_a_user_chose_stay)
{
    setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
    cr_expect_str_eq(lspo_gemm_core(), "Nehalem");
}
