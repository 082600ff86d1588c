/* Learned projectors against dense matrices in double: bias, its gradient, fits, norms, moments, the SVD floor. */
#include "kernels/fit.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"

static float *normals(uint64_t stream, size_t n)
{
    float *x = malloc(n * sizeof *x);
    cr_assert_not_null(x);
    lspo_random_normal_fill(7, stream, 1.0, n, x);
    return x;
}

/* Sum over k of (1 + k)^-power u_k v_k^T with normal u_k and v_k. */
static float *decaying(uint32_t m, uint32_t n, double power)
{
    float *g = calloc((size_t)m * n, sizeof *g);
    for (uint32_t k = 0; k < m && k < n; k++) {
        float *u = normals(100 + 2 * k, m), *v = normals(101 + 2 * k, n);
        for (uint32_t i = 0; i < m; i++)
            for (uint32_t j = 0; j < n; j++)
                g[(size_t)i * n + j] += (float)pow(1 + k, -power) * u[i] * v[j];
        free(u);
        free(v);
    }
    return g;
}

/* Of gradients m x n, in the subspace d_m x d_n, with r nonzeros a row. */
typedef struct {
    uint32_t m, n, d_m, d_n, r;
} shape_t;

static void make_pair(shape_t shape, lspo_projector_t *p, lspo_projector_t *q)
{
    cr_assert(lspo_projector_random(shape.m, shape.d_m, shape.r, 11, p));
    cr_assert(lspo_projector_random(shape.n, shape.d_n, shape.r, 12, q));
}

static void release_pair(lspo_projector_t *p, lspo_projector_t *q)
{
    lspo_projector_release(p);
    lspo_projector_release(q);
}

static float *scratch_for(const lspo_projector_t *p, const lspo_projector_t *q)
{
    float *scratch = malloc(lspo_fit_scratch(p, q) * sizeof *scratch);
    cr_assert_not_null(scratch);
    return scratch;
}

/* Dense, in double. */
static double *dense(const lspo_projector_t *p)
{
    double *out = calloc((size_t)p->rows * p->d, sizeof *out);
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        out[e / p->r * p->d + p->index[e]] = (double)p->value[e];
    return out;
}

/* A matrix as it is stored, or its transpose. */
typedef struct {
    const double *at;
    bool transposed;
} operand_t;

static operand_t plain(const double *at)
{
    return (operand_t){at, false};
}

static operand_t transposed(const double *at)
{
    return (operand_t){at, true};
}

static double *times(size_t m, size_t n, size_t k, operand_t a, operand_t b)
{
    double *out = calloc(m * n, sizeof *out);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < n; j++)
                out[i * n + j] += (a.transposed ? a.at[l * m + i] : a.at[i * k + l]) *
                                  (b.transposed ? b.at[j * k + l] : b.at[l * n + j]);
    return out;
}

/* ||c P P^T G Q Q^T - G|| / ||G||, with the m x n residual; inner = <estimate, G>, square = ||estimate||^2. */
static double dense_bias(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, double c, double *inner,
                         double *square)
{
    size_t m = p->rows, n = q->rows;
    double *dp = dense(p), *dq = dense(q), *dg = calloc(m * n, sizeof *dg);
    for (size_t i = 0; i < m * n; i++)
        dg[i] = (double)g[i];
    double *ptg = times(p->d, n, m, transposed(dp), plain(dg)), *hat = times(p->d, q->d, n, plain(ptg), plain(dq));
    double *up = times(m, q->d, p->d, plain(dp), plain(hat)), *estimate = times(m, n, q->d, plain(up), transposed(dq));
    double residual = 0, norm = 0;
    *inner = *square = 0;
    for (size_t i = 0; i < m * n; i++) {
        residual += pow(c * estimate[i] - dg[i], 2);
        norm += dg[i] * dg[i];
        *inner += estimate[i] * dg[i];
        *square += estimate[i] * estimate[i];
    }
    double *all[] = {dp, dq, dg, ptg, hat, up, estimate};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    return sqrt(residual / norm);
}

static double dense_norm(const lspo_projector_t *p)
{
    double sum = 0;
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        sum += (double)p->value[e] * (double)p->value[e];
    return sqrt(sum);
}

/* What a fit makes small. */
typedef struct {
    const lspo_projector_t *p, *q;
    uint32_t count;
    const float *const *g;
    double beta;
} objective_t;

static double dense_objective(const objective_t *of)
{
    double sum = 0, inner, square;
    for (uint32_t i = 0; i < of->count; i++)
        sum += dense_bias(of->p, of->q, of->g[i], 1, &inner, &square) / of->count;
    return sum + of->beta * (dense_norm(of->p) + dense_norm(of->q));
}

/* With P^T P and Q^T Q formed: both, both, the second, both, neither. */
static const shape_t shapes[] = {
    {12, 9, 5, 4, 2}, {40, 37, 16, 11, 5}, {33, 64, 33, 12, 9}, {7, 80, 6, 20, 1}, {30, 32, 28, 29, 1}};

Test(fit, bias_is_that_of_the_dense_residual)
{
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        lspo_projector_t p, q;
        make_pair(shapes[s], &p, &q);
        float *g = normals(1, (size_t)shapes[s].m * shapes[s].n), *scratch = scratch_for(&p, &q);
        double inner, square, expected = dense_bias(&p, &q, g, 1, &inner, &square);
        cr_assert_float_eq(lspo_fit_bias(&p, &q, g, NULL, scratch), expected, 1e-5 * expected);
        /* The best c is <estimate, G> / ||estimate||^2. */
        double unused[2], scaled = dense_bias(&p, &q, g, inner / square, &unused[0], &unused[1]);
        cr_assert_float_eq(lspo_fit_bias_scaled(&p, &q, g, NULL, scratch), scaled, 1e-5);
        cr_assert_lt(scaled, 1);
        free(scratch);
        free(g);
        release_pair(&p, &q);
    }
}

static void check_slopes(lspo_projector_t *side, const float *gradient, const objective_t *objective)
{
    const float h = 1e-3F;
    double largest = 0;
    for (size_t e = 0; e < (size_t)side->rows * side->r; e++)
        largest = fmax(largest, fabs((double)gradient[e]));
    for (size_t e = 0; e < (size_t)side->rows * side->r; e++) {
        const float value = side->value[e], up = value + h, down = value - h;
        side->value[e] = up;
        double above = dense_objective(objective);
        side->value[e] = down;
        double below = dense_objective(objective);
        side->value[e] = value;
        double slope = (above - below) / ((double)up - (double)down);
        cr_assert_float_eq(gradient[e], slope, 1e-4 * largest, "nonzero %zu: %g, by differences %g", e,
                           (double)gradient[e], slope);
    }
}

Test(fit, gradient_is_that_of_finite_differences)
{
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        lspo_projector_t p, q;
        make_pair(shapes[s], &p, &q);
        float *g[2] = {normals(1, (size_t)shapes[s].m * shapes[s].n), normals(2, (size_t)shapes[s].m * shapes[s].n)};
        const float *const both[2] = {g[0], g[1]};
        float *scratch = scratch_for(&p, &q);
        float *p_gradient = normals(3, (size_t)p.rows * p.r), *q_gradient = normals(4, (size_t)q.rows * q.r);
        const lspo_fit_options_t options = {.beta = 0.02};
        double got = lspo_fit_objective(&options, &(lspo_projector_pair_t){&p, &q}, &(lspo_fit_gradients_t){2, both},
                                        p_gradient, q_gradient, scratch);
        const objective_t objective = {&p, &q, 2, both, 0.02};
        double expected = dense_objective(&objective);
        cr_assert_float_eq(got, expected, 1e-5 * expected);
        check_slopes(&p, p_gradient, &objective);
        check_slopes(&q, q_gradient, &objective);
        free(q_gradient);
        free(p_gradient);
        free(scratch);
        free(g[0]);
        free(g[1]);
        release_pair(&p, &q);
    }
}

static lspo_fit_options_t endless(uint32_t steps)
{
    lspo_fit_options_t options = lspo_fit_default();
    options.alpha = 0;
    options.plateau = 0;
    options.steps = steps;
    return options;
}

Test(fit, learned_is_below_random_at_its_best_scale_and_above_the_floor)
{
    enum { m = 96, n = 160, d = 32, r = 4 };
    float *g = decaying(m, n, 1.0);
    const float *const one[] = {g};
    double last = 2;
    for (uint32_t steps = 10; steps <= 160; steps *= 2) {
        lspo_projector_t p, q;
        make_pair((shape_t){m, n, d, d, r}, &p, &q);
        float *scratch = scratch_for(&p, &q);
        double raw = lspo_fit_bias(&p, &q, g, NULL, scratch), scaled = lspo_fit_bias_scaled(&p, &q, g, NULL, scratch);
        lspo_fit_options_t options = endless(steps);
        lspo_fit_result_t result = lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
        cr_assert_eq(result.steps, steps);
        cr_assert_eq(result.reason, LSPO_FIT_STEPS);
        cr_assert_float_eq(result.bias_before, raw, 1e-9);
        cr_assert_float_eq(result.bias_random, scaled, 1e-9);
        cr_assert_gt(raw, 1);
        cr_assert_lt(result.bias_after, last, "%u steps: %g, half of them: %g", steps, result.bias_after, last);
        /* The scale that was fitted is close to the best one, and never better. */
        double again = lspo_fit_bias_scaled(&p, &q, g, NULL, scratch);
        cr_assert_leq(again, result.bias_after + 1e-5);
        cr_assert_float_eq(again, result.bias_after, 0.02);
        double floor = lspo_fit_svd_floor(m, n, d, g);
        cr_assert_gt(again, floor);
        last = result.bias_after;
        if (steps == 160)
            cr_assert_lt(again, 0.6 * scaled, "learned %g, random %g, floor %g", again, scaled, floor);
        free(scratch);
        release_pair(&p, &q);
    }
    free(g);
}

/* The more nonzeros a row, the more a pair can learn; also where its rows are full. */
Test(fit, more_nonzeros_learn_more)
{
    enum { m = 96, n = 160, d = 64 };
    float *g = decaying(m, n, 1.0);
    const float *const one[] = {g};
    double last = 1;
    for (uint32_t r = 4; r <= d; r *= 4) {
        lspo_projector_t p, q;
        make_pair((shape_t){m, n, d, d, r}, &p, &q);
        float *scratch = scratch_for(&p, &q);
        const lspo_fit_options_t options = endless(50);
        lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
        const double learned = lspo_fit_bias_scaled(&p, &q, g, NULL, scratch);
        cr_expect_lt(learned, last, "%u nonzeros: %g, a quarter of them: %g", r, learned, last);
        last = learned;
        free(scratch);
        release_pair(&p, &q);
    }
    free(g);
}

/* Calibrated on some gradients of a kind, less biased on another of that kind: G_k = U S_k V^T with common U and V. */
Test(fit, what_is_learned_holds_for_gradients_not_seen)
{
    enum { m = 64, n = 96, d = 24, r = 4, rank = 6, count = 3 };
    float *u = normals(1, rank * m), *v = normals(2, rank * n), *g[count + 1];
    for (size_t k = 0; k <= count; k++) {
        float *s = normals(10 + k, rank);
        g[k] = calloc(m * n, sizeof(float));
        for (size_t l = 0; l < rank; l++)
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < n; j++)
                    g[k][i * n + j] += u[l * m + i] * s[l] * v[l * n + j];
        free(s);
    }
    lspo_projector_t p, q;
    make_pair((shape_t){m, n, d, d, r}, &p, &q);
    float *scratch = scratch_for(&p, &q);
    double before = lspo_fit_bias_scaled(&p, &q, g[count], NULL, scratch);
    lspo_fit_options_t options = endless(100);
    lspo_fit(&options, &(lspo_fit_gradients_t){count, (const float *const[]){g[0], g[1], g[2]}}, &p, &q, scratch);
    double after = lspo_fit_bias_scaled(&p, &q, g[count], NULL, scratch);
    cr_assert_lt(after, 0.7 * before, "unseen: %g before, %g after", before, after);
    for (size_t k = 0; k <= count; k++)
        free(g[k]);
    free(v);
    free(u);
    free(scratch);
    release_pair(&p, &q);
}

/* In pieces or at once: the same bits.  A gradient of zeros changes nothing. */
Test(fit, streams_are_one_fit)
{
    enum { m = 40, n = 56, d = 16, r = 4, steps = 20 };
    float *g = decaying(m, n, 0.7), *zero = calloc(m * n, sizeof *zero);
    lspo_projector_t p[2], q[2];
    lspo_fit_options_t options = endless(steps);
    for (int i = 0; i < 2; i++) {
        make_pair((shape_t){m, n, d, d, r}, &p[i], &q[i]);
        float *scratch = scratch_for(&p[i], &q[i]);
        float *moments = calloc(lspo_fit_moments(&p[i], &q[i]), sizeof *moments);
        lspo_fit_stream_t stream;
        double before = lspo_fit_bias_scaled(&p[i], &q[i], g, NULL, scratch);
        cr_assert_not(lspo_fit_begin(&(lspo_fit_work_t){&options, &p[i], &q[i], moments}, zero, scratch, &stream));
        cr_assert(lspo_fit_begin(&(lspo_fit_work_t){&options, &p[i], &q[i], moments}, g, scratch, &stream));
        for (uint32_t done = 0; done < steps; done += i ? 5 : steps) {
            cr_assert_not(
                lspo_fit_advance(&(lspo_fit_work_t){&options, &p[i], &q[i], moments}, 5, zero, scratch, &stream));
            cr_assert(lspo_fit_advance(&(lspo_fit_work_t){&options, &p[i], &q[i], moments}, i ? 5 : steps, g, scratch,
                                       &stream));
        }
        cr_assert_eq(stream.steps, steps);
        lspo_fit_finish(&p[i], &q[i]);
        cr_assert_float_eq(dense_norm(&p[i]), sqrt(m), 1e-4);
        cr_assert_lt(lspo_fit_bias_scaled(&p[i], &q[i], g, NULL, scratch), 0.95 * before);
        free(moments);
        free(scratch);
    }
    cr_assert_arr_eq(p[0].value, p[1].value, m * r * sizeof(float));
    cr_assert_arr_eq(q[0].column_entry, q[1].column_entry, n * r * sizeof *q[0].column_entry);
    for (int i = 0; i < 2; i++)
        release_pair(&p[i], &q[i]);
    free(zero);
    free(g);
}

Test(fit, equal_seeds_give_equal_bits_on_any_number_of_threads)
{
    enum { m = 70, n = 101, d = 24, r = 5 };
    float *g = decaying(m, n, 0.7);
    const float *const one[] = {g};
    lspo_projector_t p[3], q[3];
    double bias[3];
    for (uint32_t i = 0; i < 3; i++) {
        make_pair((shape_t){m, n, d, d, r}, &p[i], &q[i]);
        float *scratch = scratch_for(&p[i], &q[i]);
        lspo_fit_options_t options = endless(20);
        cr_assert_eq(lspo_workers_create(i + 1, NULL, &options.workers), LSPO_OK);
        bias[i] = lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p[i], &q[i], scratch).bias_after;
        lspo_workers_destroy(options.workers);
        free(scratch);
        cr_assert_eq(bias[i], bias[0]);
        cr_assert_arr_eq(p[i].value, p[0].value, m * r * sizeof(float));
        cr_assert_arr_eq(q[i].column_entry, q[0].column_entry, n * r * sizeof *q[0].column_entry);
    }
    for (uint32_t i = 0; i < 3; i++)
        release_pair(&p[i], &q[i]);
    free(g);
}

/* Root mean square over 24 draws of ||P D Q^T||_F, D of random signs. */
static double step_size(const lspo_projector_t *p, const lspo_projector_t *q)
{
    enum { DRAWS = 24 };
    size_t count = (size_t)p->d * q->d;
    double *signs = calloc(count, sizeof *signs), *dp = dense(p), *dq = dense(q), sum = 0;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        for (size_t i = 0; i < count; i++)
            signs[i] = lspo_random_below(3, draw, i, 2) ? 1 : -1;
        double *up = times(p->rows, q->d, p->d, plain(dp), plain(signs));
        double *step = times(p->rows, q->rows, q->d, plain(up), transposed(dq));
        for (size_t i = 0; i < (size_t)p->rows * q->rows; i++)
            sum += step[i] * step[i] / DRAWS;
        free(step);
        free(up);
    }
    free(dq);
    free(dp);
    free(signs);
    return sqrt(sum);
}

/* Adam's direction has elements near 1 whatever P is: the step in W must stay what it was with random projectors. */
Test(fit, step_keeps_its_size)
{
    enum { m = 120, n = 200, d = 48, r = 4 };
    float *g = decaying(m, n, 0.8);
    const float *const one[] = {g};
    lspo_projector_t p, q;
    make_pair((shape_t){m, n, d, d, r}, &p, &q);
    float *scratch = scratch_for(&p, &q);
    double before = step_size(&p, &q);
    cr_assert_float_eq(before, sqrt((double)m * n), 0.06 * before);
    lspo_fit_options_t options = endless(60);
    lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
    cr_assert_float_eq(dense_norm(&p), sqrt(m), 1e-4);
    cr_assert_float_eq(dense_norm(&q), sqrt(n), 1e-4);
    double after = step_size(&p, &q);
    cr_assert_float_eq(after, before, 0.06 * before, "||P D Q^T|| was %g and is %g", before, after);
    free(scratch);
    free(g);
    release_pair(&p, &q);
}

Test(fit, stops_for_the_reason_that_it_gives)
{
    enum { m = 48, n = 48, d = 24, r = 4 };
    float *g = decaying(m, n, 2.0), *scratch;
    const float *const one[] = {g};
    lspo_projector_t p, q;
    make_pair((shape_t){m, n, d, d, r}, &p, &q);
    scratch = scratch_for(&p, &q);
    lspo_fit_options_t options = lspo_fit_default();
    options.alpha = 0.5;
    lspo_fit_result_t result = lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
    cr_assert_eq(result.reason, LSPO_FIT_THRESHOLD);
    cr_assert_leq(result.bias_after, 0.5);
    cr_assert_lt(result.steps, 100);
    options.alpha = 0;
    options.steps = 1000;
    options.plateau = 0.5; /* nothing halves the bias every 20 steps for long */
    result = lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
    cr_assert_eq(result.reason, LSPO_FIT_PLATEAU);
    cr_assert_eq(result.steps % 20, 0);
    options.plateau = 0;
    options.time_limit_s = 1e-9;
    result = lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch);
    cr_assert_eq(result.reason, LSPO_FIT_TIME);
    cr_assert_str_eq(lspo_fit_reason_name(result.reason), "time");
    free(scratch);
    free(g);
    release_pair(&p, &q);
}

Test(fit, gradients_that_say_nothing_change_nothing)
{
    enum { m = 20, n = 30, d = 8, r = 2 };
    lspo_projector_t p, q, p0, q0;
    make_pair((shape_t){m, n, d, d, r}, &p, &q);
    make_pair((shape_t){m, n, d, d, r}, &p0, &q0);
    float *scratch = scratch_for(&p, &q), *g = calloc(m * n, sizeof *g);
    const float *const one[] = {g};
    lspo_fit_options_t options = endless(5);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(lspo_fit(&options, &(lspo_fit_gradients_t){1, one}, &p, &q, scratch).reason, LSPO_FIT_NUMERIC);
        cr_assert(isnan(lspo_fit_bias(&p, &q, g, NULL, scratch)));
        cr_assert(isnan(lspo_fit_bias_scaled(&p, &q, g, NULL, scratch)));
        cr_assert(isnan(lspo_fit_svd_floor(m, n, d, g)));
        cr_assert_arr_eq(p.value, p0.value, m * r * sizeof(float));
        cr_assert_arr_eq(q.value, q0.value, n * r * sizeof(float));
        g[17] = NAN;
    }
    free(g);
    free(scratch);
    release_pair(&p, &q);
    release_pair(&p0, &q0);
}

/* Identity projectors lose nothing. */
Test(fit, identity_has_no_bias)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(24, &p));
    cr_assert(lspo_projector_identity(31, &q));
    float *g = normals(1, 24 * 31), *scratch = scratch_for(&p, &q);
    cr_assert_lt(lspo_fit_bias(&p, &q, g, NULL, scratch), 1e-3);
    free(scratch);
    free(g);
    release_pair(&p, &q);
}

/* X Y Z with X = Pn^T P and Z = Q^T Qn, elementwise squared when `squared`. */
static double *dense_carry(const lspo_projector_t *p, const lspo_projector_t *q, const lspo_projector_t *pn,
                           const lspo_projector_t *qn, bool squared, const float *middle)
{
    size_t d_m = p->d, d_n = q->d;
    double *dp = dense(p), *dq = dense(q), *dpn = dense(pn), *dqn = dense(qn), *y = malloc(d_m * d_n * sizeof *y);
    for (size_t i = 0; i < d_m * d_n; i++)
        y[i] = (double)middle[i];
    double *left = times(d_m, d_m, p->rows, transposed(dpn), plain(dp));
    double *right = times(d_n, d_n, q->rows, transposed(dq), plain(dqn));
    for (size_t i = 0; squared && i < d_m * d_m; i++)
        left[i] *= left[i];
    for (size_t i = 0; squared && i < d_n * d_n; i++)
        right[i] *= right[i];
    double *half = times(d_m, d_n, d_m, plain(left), plain(y)), *out = times(d_m, d_n, d_n, plain(half), plain(right));
    double *all[] = {dp, dq, dpn, dqn, y, left, right, half};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    return out;
}

Test(fit, moments_are_carried_as_the_dense_formulas_say)
{
    enum { m = 30, n = 44, d_m = 10, d_n = 13, r = 3, count = d_m * d_n };
    lspo_projector_t p, q, pn, qn;
    make_pair((shape_t){m, n, d_m, d_n, r}, &p, &q);
    cr_assert(lspo_projector_random(m, d_m, r, 21, &pn));
    cr_assert(lspo_projector_random(n, d_n, r, 22, &qn));
    for (int keep_sum = 0; keep_sum < 2; keep_sum++) {
        float *first = normals(1, count), *second = normals(2, count), before = 0;
        for (size_t i = 0; i < count; i++) {
            second[i] *= second[i];
            before += second[i];
        }
        float *scratch = malloc(lspo_fit_carry_scratch(&p, &q) * sizeof *scratch);
        double *expected_m = dense_carry(&p, &q, &pn, &qn, false, first);
        double *expected_v = dense_carry(&p, &q, &pn, &qn, true, second);
        double c = lspo_fit_carry(&(lspo_projector_pair_t){&p, &q}, &(lspo_projector_pair_t){&pn, &qn}, keep_sum, first,
                                  second, scratch);
        double sum = 0, size = 0;
        for (size_t i = 0; i < count; i++) {
            sum += (double)second[i];
            size = fmax(size, fabs(expected_m[i]));
        }
        if (keep_sum)
            cr_assert_float_eq(sum, before, 1e-4 * (double)before);
        else
            cr_assert_eq(c, 1);
        for (size_t i = 0; i < count; i++) {
            cr_assert_float_eq(first[i], c * expected_m[i], 1e-5 * c * size);
            cr_assert_float_eq(second[i], c * c * expected_v[i], 1e-5 * c * c * expected_v[i] + 1e-9);
            cr_assert_geq(second[i], 0);
        }
        free(expected_v);
        free(expected_m);
        free(scratch);
        free(second);
        free(first);
    }
    release_pair(&p, &q);
    release_pair(&pn, &qn);
}

Test(fit, moments_stay_where_the_subspace_does)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(12, &p));
    cr_assert(lspo_projector_identity(9, &q));
    float *m = normals(1, 108), *v = normals(2, 108), m0[108], v0[108], scratch[12 * 12 + 9 * 9 + 108];
    for (size_t i = 0; i < 108; i++)
        v[i] *= v[i];
    memcpy(m0, m, sizeof m0);
    memcpy(v0, v, sizeof v0);
    cr_assert_float_eq(
        lspo_fit_carry(&(lspo_projector_pair_t){&p, &q}, &(lspo_projector_pair_t){&p, &q}, true, m, v, scratch), 1,
        1e-12);
    cr_assert_arr_eq(m, m0, sizeof m0);
    cr_assert_arr_eq(v, v0, sizeof v0);
    free(v);
    free(m);
    release_pair(&p, &q);
}

/* Singular values 3, 2, 1 of 14 = 9 + 4 + 1: rank 1 leaves sqrt(5 / 14), rank 2 sqrt(1 / 14), rank 3 nothing.
 * Of a wider one: 4 and 3, so that rank 1 leaves 3 / 5. */
Test(fit, svd_floor_of_known_singular_values)
{
    float g[5 * 4] = {0};
    g[0 * 4 + 2] = -3;
    g[3 * 4 + 0] = 2;
    g[4 * 4 + 3] = 1;
    const double floors[] = {1, sqrt(5.0 / 14), sqrt(1.0 / 14), 0, 0};
    for (size_t k = 0; k < 5; k++)
        cr_assert_float_eq(lspo_fit_svd_floor(5, 4, k, g), floors[k], 1e-6);
    const float lying[2 * 3] = {0, 3, 0, 0, 0, -4};
    cr_assert_float_eq(lspo_fit_svd_floor(2, 3, 1, lying), 0.6, 1e-6);
}

Test(fit, signs_have_rows_of_norm_one)
{
    enum { rows = 500, d = 40, r = 6 };
    lspo_projector_t signs, normal;
    cr_assert(lspo_projector_signs(rows, d, r, 5, &signs));
    cr_assert(lspo_projector_random(rows, d, r, 5, &normal));
    cr_assert_arr_eq(signs.index, normal.index, rows * r * sizeof(uint32_t));
    uint32_t positive = 0;
    for (size_t e = 0; e < rows * r; e++) {
        cr_assert_float_eq(fabsf(signs.value[e]), 1 / sqrt(r), 1e-7);
        positive += signs.value[e] > 0;
    }
    /* 1,500 of 3,000 expected; the standard deviation is 27. */
    cr_assert(positive > 1350 && positive < 1650, "%u", positive);
    cr_assert_not(lspo_projector_signs(rows, d, d + 1, 5, &signs));
    release_pair(&signs, &normal);
}
