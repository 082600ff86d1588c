/* Adam in the whitened eigenbasis of a subspace: against SOAP in double, orthogonality, invariance under turned
 * projectors, other projectors, threads. */
#include "kernels/eigen_adam.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/blas.h"
#include "kernels/random.h"
#include "kernels/turn.h"

enum { STEPS = 20, EVERY = 3, TURNS = 2 };

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

static double *doubles(size_t count)
{
    return memory(count * sizeof(double));
}

/* A matrix as it is stored, or its transpose. */
typedef struct {
    const double *at;
    bool transposed;
} operand_t;

/* out (rows x cols) = a b over k. */
static void product(size_t rows, size_t cols, size_t k, operand_t a, operand_t b, double *out)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (a.transposed ? a.at[l * rows + i] : a.at[i * k + l]) *
                       (b.transposed ? b.at[j * k + l] : b.at[l * cols + j]);
            out[i * cols + j] = sum;
        }
}

/* ---- gradients: a few directions that stay, and noise ---- */

static void gradient_of(size_t m, size_t n, uint32_t step, float *g)
{
    float *stays = floats(m + n), *noise = floats(m * n), *size = floats(2);
    memset(g, 0, m * n * sizeof *g);
    for (uint32_t k = 0; k < 3; k++) {
        lspo_random_normal_fill(5, 10 + k, 1.0, m + n, stays);
        lspo_random_normal_fill(5, 100 + 3 * step + k, 1.0, 1, size);
        for (size_t i = 0; i < m * n; i++)
            g[i] += (1 + 0.3F * size[0]) / (float)(1 + k) * stays[i / n] * stays[m + i % n];
    }
    lspo_random_normal_fill(5, 1000 + step, 0.2, m * n, noise);
    for (size_t i = 0; i < m * n; i++)
        g[i] += noise[i];
    free(stays);
    free(noise);
    free(size);
}

/* ---- the reference: SOAP on the full gradient, with the basis in the coordinates of the weight ---- */

static void rotate(size_t d, double *a, double *u, size_t p, size_t q)
{
    double theta = (a[q * d + q] - a[p * d + p]) / (2 * a[p * d + q]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t i = 0; i < d; i++) {
        double x = a[i * d + p], y = a[i * d + q], v = u[i * d + p], w = u[i * d + q];
        a[i * d + p] = c * x - s * y;
        a[i * d + q] = s * x + c * y;
        u[i * d + p] = c * v - s * w;
        u[i * d + q] = s * v + c * w;
    }
    for (size_t i = 0; i < d; i++) {
        double x = a[p * d + i], y = a[q * d + i];
        a[p * d + i] = c * x - s * y;
        a[q * d + i] = s * x + c * y;
    }
}

/* Columns of u: eigenvectors of a, by ascending eigenvalue, by Jacobi's rotations.  a is changed. */
static void eigenvectors(size_t d, double *a, double *u)
{
    memset(u, 0, d * d * sizeof *u);
    for (size_t i = 0; i < d; i++)
        u[i * d + i] = 1;
    for (int sweep = 0; sweep < 60; sweep++)
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++)
                if (fabs(a[p * d + q]) > 1e-300)
                    rotate(d, a, u, p, q);
    for (size_t i = 0; i < d; i++) /* by selection */
        for (size_t j = i + 1; j < d; j++) {
            if (a[j * d + j] >= a[i * d + i])
                continue;
            double value = a[i * d + i];
            a[i * d + i] = a[j * d + j];
            a[j * d + j] = value;
            for (size_t k = 0; k < d; k++) {
                double x = u[k * d + i];
                u[k * d + i] = u[k * d + j];
                u[k * d + j] = x;
            }
        }
}

typedef struct {
    size_t m, n;
    double *l, *r, *u, *v, *first, *second, *x, *between;
    uint32_t steps;
} soap_t;

static soap_t soap_make(size_t m, size_t n)
{
    return (soap_t){.m = m,
                    .n = n,
                    .l = doubles(m * m),
                    .r = doubles(n * n),
                    .u = doubles(m * m),
                    .v = doubles(n * n),
                    .first = doubles(m * n),
                    .second = doubles(m * n),
                    .x = doubles(m * n),
                    .between = doubles((m + n) * (m + n))};
}

/* l <- 0.95 l + 0.05 g g^T, or with `transposed` r of g^T g. */
static void soap_moment(const double *g, size_t d, size_t k, bool transposed, double *moment)
{
    double *now = doubles(d * d);
    product(d, d, k, (operand_t){g, transposed}, (operand_t){g, !transposed}, now);
    for (size_t i = 0; i < d * d; i++)
        moment[i] = 0.95 * moment[i] + 0.05 * now[i];
    free(now);
}

static void soap_basis(size_t d, const double *moment, double *basis)
{
    double *copy = doubles(d * d);
    memcpy(copy, moment, d * d * sizeof *copy);
    eigenvectors(d, copy, basis);
    free(copy);
}

/* out = left x right^T, where the matrices turn to or from the basis. */
static void soap_turn(const soap_t *soap, bool into, const double *x, double *out)
{
    product(soap->m, soap->n, soap->m, (operand_t){soap->u, into}, (operand_t){x, false}, soap->between);
    product(soap->m, soap->n, soap->n, (operand_t){soap->between, false}, (operand_t){soap->v, !into}, out);
}

static void soap_renew(soap_t *soap)
{
    double *first = doubles(soap->m * soap->n);
    if (soap->steps > 0)
        soap_turn(soap, false, soap->first, first); /* m in the weight's coordinates */
    soap_basis(soap->m, soap->l, soap->u);
    soap_basis(soap->n, soap->r, soap->v);
    soap_turn(soap, true, first, soap->first);
    free(first);
}

/* The direction of step `step`; the first is 0. */
static void soap_step(soap_t *soap, const double *g, uint32_t step, double *direction)
{
    size_t count = soap->m * soap->n;
    memset(direction, 0, count * sizeof *direction);
    if (step > 0) {
        soap->steps++;
        soap_turn(soap, true, g, soap->x);
        for (size_t i = 0; i < count; i++) {
            double x = soap->x[i];
            soap->first[i] = 0.9 * soap->first[i] + 0.1 * x;
            soap->second[i] = 0.999 * soap->second[i] + 0.001 * x * x;
            soap->x[i] = soap->first[i] / (1 - pow(0.9, soap->steps)) /
                         (sqrt(soap->second[i] / (1 - pow(0.999, soap->steps))) + 1e-8);
        }
        soap_turn(soap, false, soap->x, direction);
    }
    soap_moment(g, soap->m, soap->n, false, soap->l);
    soap_moment(g, soap->n, soap->m, true, soap->r);
    if (step % EVERY == 0)
        soap_renew(soap);
}

/* ---- the kernel on one weight ---- */

typedef struct {
    lspo_eigen_weight_t weight;
    size_t scratch_bytes;
    void *scratch; /* of four workers */
    lspo_workers_t *workers;
} trained_t;

static trained_t trained_make(size_t d_m, size_t d_n)
{
    size_t count = d_m * d_n;
    trained_t made = {.weight = {.basis = lspo_eigen_basis_in(d_m, d_n, floats(lspo_eigen_basis_floats(d_m, d_n))),
                                 .m = floats(count),
                                 .v = floats(count),
                                 .delta = floats(count),
                                 .x = floats(count),
                                 .y = floats(count),
                                 .e_m = floats(d_m * d_m),
                                 .e_n = floats(d_n * d_n)}};
    made.scratch_bytes = lspo_eigen_scratch_bytes(d_m > d_n ? d_m : d_n);
    made.scratch = memory(4 * made.scratch_bytes);
    return made;
}

static trained_t trained_in(const lspo_projector_t *p, const lspo_projector_t *q)
{
    trained_t made = trained_make(p->d, q->d);
    cr_assert(lspo_eigen_whiten(p, made.weight.basis.t_m, made.scratch));
    cr_assert(lspo_eigen_whiten(q, made.weight.basis.t_n, made.scratch));
    return made;
}

static lspo_eigen_step_t step_of(trained_t *trained, const float *gradient, uint32_t step, bool fixed)
{
    trained->weight.gradient = gradient;
    return (lspo_eigen_step_t){.workers = trained->workers,
                               .adam = lspo_adam_default(1e-3F, step + 1),
                               .renewal = fixed               ? LSPO_EIGEN_FIXED
                                          : step % EVERY == 0 ? LSPO_EIGEN_RENEW
                                                              : LSPO_EIGEN_KEEP,
                               .weights = &trained->weight,
                               .count = 1,
                               .scratch = trained->scratch,
                               .scratch_bytes = trained->scratch_bytes};
}

static void take_step(trained_t *trained, const float *gradient, uint32_t step, bool fixed)
{
    const lspo_eigen_step_t taken = step_of(trained, gradient, step, fixed);
    lspo_eigen_adam(&taken);
}

Test(eigen_adam, with_identity_projectors_is_soap)
{
    enum { M = 7, N = 6 }; /* of rank 6: the eigenvectors of the first gradient are unique */
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(M, &p) && lspo_projector_identity(N, &q));
    trained_t trained = trained_in(&p, &q);
    soap_t soap = soap_make(M, N);
    float *g = floats(M * N);
    double *wide = doubles(M * N), *want = doubles(M * N);
    for (uint32_t step = 0; step < STEPS; step++) {
        gradient_of(M, N, step, g);
        for (size_t i = 0; i < M * N; i++)
            wide[i] = (double)g[i];
        take_step(&trained, g, step, false);
        soap_step(&soap, wide, step, want);
        for (size_t i = 0; i < M * N; i++)
            cr_assert_float_eq((double)trained.weight.delta[i], want[i], 2e-4, "step %u, %zu: %g, not %g", step, i,
                               (double)trained.weight.delta[i], want[i]);
    }
}

Test(eigen_adam, scales_gradients_and_steps_of_zero_gradients_are_zero)
{
    enum { M = 5, N = 6 };
    float *g = floats(M * N);
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(M, &p) && lspo_projector_identity(N, &q));
    trained_t a = trained_in(&p, &q), b = trained_in(&p, &q);
    take_step(&a, g, 0, false);
    for (size_t i = 0; i < M * N; i++)
        cr_assert(a.weight.delta[i] == 0);
    cr_assert(a.weight.begins);
    for (uint32_t step = 1; step < 5; step++) {
        gradient_of(M, N, step, g);
        take_step(&a, g, step, false);
        for (size_t i = 0; i < M * N; i++)
            g[i] *= 4;
        b.weight.gradient = g;
        lspo_eigen_step_t scaled = {.adam = lspo_adam_default(1e-3F, step + 1),
                                    .renewal = step % EVERY == 0 ? LSPO_EIGEN_RENEW : LSPO_EIGEN_KEEP,
                                    .weights = &b.weight,
                                    .count = 1,
                                    .scratch = b.scratch};
        scaled.adam.gradient_scale = 0.25F;
        lspo_eigen_adam(&scaled);
        cr_assert_eq(a.weight.begins, step == 1);
        cr_assert_arr_eq(a.weight.delta, b.weight.delta, M * N * sizeof(float));
    }
}

/* ||(P T)^T P T - (rows / d) I|| in the largest element, relative to rows / d. */
static double distance_from_orthogonal(const lspo_projector_t *p, const float *t)
{
    size_t d = p->d;
    double *wide = doubles(p->rows * d), most = 0, norm = (double)p->rows / (double)d;
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        for (size_t j = 0; j < d; j++)
            wide[e / p->r * d + j] += (double)p->value[e] * (double)t[p->index[e] * d + j];
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            double dot = i == j ? -norm : 0;
            for (size_t k = 0; k < p->rows; k++)
                dot += wide[k * d + i] * wide[k * d + j];
            most = fabs(dot) / norm > most ? fabs(dot) / norm : most;
        }
    free(wide);
    return most;
}

/* g^ = P^T G Q. */
static void project(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, float *out)
{
    memset(out, 0, (size_t)p->d * q->d * sizeof *out);
    for (size_t a = 0; a < (size_t)p->rows * p->r; a++)
        for (size_t b = 0; b < (size_t)q->rows * q->r; b++)
            out[p->index[a] * q->d + q->index[b]] += p->value[a] * q->value[b] * g[a / p->r * q->rows + b / q->r];
}

/* w <- w - rate P delta Q^T. */
static void apply(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, float rate, float *w)
{
    for (size_t a = 0; a < (size_t)p->rows * p->r; a++)
        for (size_t b = 0; b < (size_t)q->rows * q->r; b++)
            w[a / p->r * q->rows + b / q->r] -=
                rate * p->value[a] * q->value[b] * delta[p->index[a] * q->d + q->index[b]];
}

enum { ROWS = 24, COLS = 18, D_M = 7, D_N = 6 };

static void make_pair(uint32_t r, lspo_projector_t *p, lspo_projector_t *q)
{
    cr_assert(lspo_projector_random(ROWS, D_M, r ? r : D_M, 3, p));
    cr_assert(lspo_projector_random(COLS, D_N, r ? r : D_N, 4, q));
}

Test(eigen_adam, bases_stay_orthogonal)
{
    lspo_projector_t p, q;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N);
    make_pair(3, &p, &q);
    trained_t trained = trained_in(&p, &q);
    cr_assert_lt(distance_from_orthogonal(&p, trained.weight.basis.t_m), 1e-5);
    for (uint32_t step = 0; step < 3000; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        take_step(&trained, hat, step, false);
    }
    cr_assert_lt(distance_from_orthogonal(&p, trained.weight.basis.t_m), 1e-4);
    cr_assert_lt(distance_from_orthogonal(&q, trained.weight.basis.t_n), 1e-4);
}

/* A direction in which P is 0 is not in the basis. */
Test(eigen_adam, empty_columns_stay_zero)
{
    lspo_projector_t p;
    float *t = floats(16);
    void *scratch = memory(lspo_eigen_scratch_bytes(4));
    cr_assert(lspo_projector_random(12, 4, 1, 3, &p));
    for (size_t e = 0; e < 12; e++)
        p.index[e] = p.index[e] == 2 ? 1 : p.index[e];
    cr_assert(lspo_eigen_whiten(&p, t, scratch));
    for (size_t j = 0; j < 4; j++)
        cr_assert(fabsf(t[2 * 4 + j]) < 1e-6F && fabsf(t[j * 4 + 2]) < 1e-6F);
    p.value[3] = NAN;
    cr_assert_not(lspo_eigen_whiten(&p, t, scratch));
}

/* An orthogonal matrix: normal columns, made orthogonal one after the other. */
static double *orthogonal(size_t d, uint64_t stream)
{
    float *normal = floats(d * d);
    double *o = doubles(d * d);
    lspo_random_normal_fill(9, stream, 1.0, d * d, normal);
    for (size_t j = 0; j < d; j++) {
        double norm = 0;
        for (size_t i = 0; i < d; i++)
            o[i * d + j] = (double)normal[i * d + j];
        for (size_t k = 0; k < TURNS * j; k++) {
            double dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += o[i * d + j] * o[i * d + k % j];
            for (size_t i = 0; i < d; i++)
                o[i * d + j] -= dot * o[i * d + k % j];
        }
        for (size_t i = 0; i < d; i++)
            norm += o[i * d + j] * o[i * d + j];
        for (size_t i = 0; i < d; i++)
            o[i * d + j] /= sqrt(norm);
    }
    free(normal);
    return o;
}

/* P O of a P with a value in every place. */
static void turn(lspo_projector_t *p, uint64_t stream)
{
    size_t d = p->d;
    double *o = orthogonal(d, stream), *row = doubles(d);
    cr_assert_eq(p->r, d);
    for (size_t i = 0; i < p->rows; i++) {
        for (size_t j = 0; j < d; j++)
            row[j] = (double)p->value[i * d + j];
        for (size_t j = 0; j < d; j++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++)
                sum += row[k] * o[k * d + j];
            p->value[i * d + j] = (float)sum;
        }
    }
    lspo_projector_refresh(p);
    free(o);
    free(row);
}

typedef enum { PLAIN, EIGEN, FIXED } kind_t;

/* The weight after STEPS steps. */
static float *weight_after(const lspo_projector_t *p, const lspo_projector_t *q, kind_t kind)
{
    float *w = floats(ROWS * COLS), *g = floats(ROWS * COLS), *hat = floats(D_M * D_N);
    trained_t trained = trained_in(p, q);
    for (uint32_t step = 0; step < STEPS; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(p, q, g, hat);
        lspo_adam_t adam = lspo_adam_default(1e-3F, step + 1);
        lspo_adam_state_t state = {.count = D_M * D_N, .m = trained.weight.m, .v = trained.weight.v};
        if (kind == PLAIN)
            lspo_adam_direction(&adam, &state, hat, trained.weight.delta);
        else
            take_step(&trained, hat, step, kind == FIXED);
        apply(p, q, trained.weight.delta, 0.1F, w);
    }
    return w;
}

static double largest_difference(const float *a, const float *b)
{
    double most = 0;
    for (size_t i = 0; i < ROWS * COLS; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

Test(eigen_adam, turned_projectors_train_the_same_weights_but_not_by_plain_adam)
{
    lspo_projector_t p, q, p_turned, q_turned;
    make_pair(0, &p, &q);
    make_pair(0, &p_turned, &q_turned);
    turn(&p_turned, 1);
    turn(&q_turned, 2);
    cr_assert_lt(largest_difference(weight_after(&p, &q, EIGEN), weight_after(&p_turned, &q_turned, EIGEN)), 1e-4);
    cr_assert_lt(largest_difference(weight_after(&p, &q, FIXED), weight_after(&p_turned, &q_turned, FIXED)), 1e-4);
    cr_assert_gt(largest_difference(weight_after(&p, &q, PLAIN), weight_after(&p_turned, &q_turned, PLAIN)), 1e-1);
}

/* From a pair to one that spans the same subspace nothing is lost: the next steps are the same. */
Test(eigen_adam, carries_its_state_to_turned_projectors)
{
    lspo_projector_t p, q, p_turned, q_turned;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N), *w = floats(ROWS * COLS), *w_turned = floats(ROWS * COLS);
    make_pair(0, &p, &q);
    make_pair(0, &p_turned, &q_turned);
    turn(&p_turned, 1);
    turn(&q_turned, 2);
    trained_t kept = trained_in(&p, &q), carried = trained_in(&p, &q);
    for (uint32_t step = 0; step < STEPS; step++) {
        bool has_carried = step > 9; /* after a step that renewed: L and R are diagonal */
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        take_step(&kept, hat, step, false);
        if (step == 10)
            lspo_eigen_carry(&(lspo_projector_pair_t){&p, &q}, &(lspo_projector_pair_t){&p_turned, &q_turned},
                             &carried.weight, carried.scratch);
        if (has_carried)
            project(&p_turned, &q_turned, g, hat);
        take_step(&carried, hat, step, false);
        if (!has_carried)
            continue;
        apply(&p, &q, kept.weight.delta, 0.1F, w);
        apply(&p_turned, &q_turned, carried.weight.delta, 0.1F, w_turned);
    }
    cr_assert_lt(distance_from_orthogonal(&p_turned, carried.weight.basis.t_m), 1e-4);
    cr_assert_gt(largest_difference(w, floats(ROWS * COLS)), 0.1);
    cr_assert_lt(largest_difference(w, w_turned), 1e-4);
}

/* To other projectors: the sum of v stays, and moments follow P T in place of P. */
Test(eigen_adam, carries_its_state_to_other_projectors)
{
    lspo_projector_t p, q, p_other, q_other;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N), *before = floats(ROWS * COLS);
    double sum = 0, sum_after = 0, dot = 0, norm = 0;
    make_pair(3, &p, &q);
    make_pair(3, &p_other, &q_other);
    for (size_t e = 0; e < ROWS * 3; e++) /* a fit moves values a little */
        p_other.value[e] += 0.1F * p_other.value[(e * 7 + 5) % (ROWS * 3)];
    lspo_projector_refresh(&p_other);
    trained_t trained = trained_in(&p, &q);
    for (uint32_t step = 0; step < 8; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        take_step(&trained, hat, step, false);
    }
    for (size_t i = 0; i < D_M * D_N; i++)
        sum += (double)trained.weight.v[i];
    lspo_eigen_carry(&(lspo_projector_pair_t){&p, &q}, &(lspo_projector_pair_t){&p_other, &q_other}, &trained.weight,
                     trained.scratch);
    for (size_t i = 0; i < D_M * D_N; i++)
        sum_after += (double)trained.weight.v[i];
    cr_assert_float_eq(sum_after, sum, 1e-4 * sum);
    cr_assert_lt(distance_from_orthogonal(&p_other, trained.weight.basis.t_m), 1e-4);
    /* With gradients 0 from now on, the next direction is along the moments from before. */
    gradient_of(ROWS, COLS, 7, g);
    project(&p_other, &q_other, g, hat);
    take_step(&trained, hat, 8, false);
    apply(&p_other, &q_other, trained.weight.delta, 1.0F, before);
    for (size_t i = 0; i < ROWS * COLS; i++) {
        dot += (double)before[i] * (double)-g[i];
        norm += (double)g[i] * (double)g[i];
    }
    cr_assert_gt(dot / norm, 0);
}

/* Finite projectors whose squares overflow, on either side: the other side stays as well. */
Test(eigen_adam, carries_nothing_to_projectors_that_cannot_be_whitened)
{
    lspo_projector_t p, q;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N);
    make_pair(3, &p, &q);
    trained_t trained = trained_in(&p, &q);
    for (uint32_t step = 0; step < 8; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        take_step(&trained, hat, step, false);
    }
    const size_t basis = lspo_eigen_basis_floats(D_M, D_N);
    float *state = trained.weight.basis.t_m; /* the whole basis */
    float *basis_before = floats(basis), *m_before = floats(D_M * D_N), *v_before = floats(D_M * D_N);
    memcpy(basis_before, state, basis * sizeof *state);
    memcpy(m_before, trained.weight.m, D_M * D_N * sizeof *m_before);
    memcpy(v_before, trained.weight.v, D_M * D_N * sizeof *v_before);
    for (int side = 0; side < 2; side++) {
        lspo_projector_t p_other, q_other;
        make_pair(3, &p_other, &q_other);
        lspo_projector_t *huge = side == 0 ? &p_other : &q_other;
        for (size_t e = 0; e < (size_t)huge->rows * huge->r; e++)
            huge->value[e] = e % 2 == 0 ? 1e30F : -1e30F;
        lspo_projector_refresh(huge);
        lspo_eigen_carry(&(lspo_projector_pair_t){&p, &q}, &(lspo_projector_pair_t){&p_other, &q_other},
                         &trained.weight, trained.scratch);
        cr_expect_eq(memcmp(basis_before, state, basis * sizeof *state), 0, "side %d", side);
        cr_expect_eq(memcmp(m_before, trained.weight.m, D_M * D_N * sizeof *m_before), 0, "side %d", side);
        cr_expect_eq(memcmp(v_before, trained.weight.v, D_M * D_N * sizeof *v_before), 0, "side %d", side);
    }
}

Test(eigen_adam, a_fixed_basis_stays)
{
    lspo_projector_t p, q;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N), t[D_M * D_M];
    make_pair(3, &p, &q);
    trained_t trained = trained_in(&p, &q);
    for (uint32_t step = 0; step < STEPS; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        take_step(&trained, hat, step, true);
        if (step == 0)
            memcpy(t, trained.weight.basis.t_m, sizeof t);
    }
    cr_assert_arr_eq(trained.weight.basis.t_m, t, sizeof t);
}

Test(eigen_adam, keeps_its_basis_when_moments_are_not_finite)
{
    lspo_projector_t p, q;
    float *g = floats(ROWS * COLS), *hat = floats(D_M * D_N);
    make_pair(3, &p, &q);
    trained_t trained = trained_in(&p, &q);
    for (uint32_t step = 0; step < STEPS; step++) {
        gradient_of(ROWS, COLS, step, g);
        project(&p, &q, g, hat);
        hat[5] = step == 5 ? INFINITY : hat[5];
        take_step(&trained, hat, step, false);
    }
    cr_assert_lt(distance_from_orthogonal(&p, trained.weight.basis.t_m), 1e-4);
}

Test(eigen_adam, does_not_depend_on_the_number_of_workers)
{
    enum { M = 300, N = 150 };
    float *g = floats(M * N);
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(M, &p) && lspo_projector_identity(N, &q));
    trained_t alone = trained_in(&p, &q), shared = trained_in(&p, &q);
    cr_assert_eq(lspo_workers_create(4, NULL, &shared.workers), LSPO_OK);
    cr_assert_eq(lspo_blas_reserve(4), LSPO_OK);
    for (uint32_t step = 0; step < 5; step++) {
        gradient_of(M, N, step, g);
        take_step(&alone, g, step, false);
        take_step(&shared, g, step, false);
        cr_assert_arr_eq(alone.weight.delta, shared.weight.delta, M * N * sizeof(float));
    }
    lspo_workers_destroy(shared.workers);
}

/* X and D of a step whose products with T another lane computes, and renewals that follow: the same bits. */
Test(eigen_adam, gradients_may_be_turned_elsewhere)
{
    enum { M = 150, N = 70 };
    float *g = floats(M * N), *x = floats(M * N), *bases = floats(M * M + N * N);
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(M, &p) && lspo_projector_identity(N, &q));
    trained_t whole = trained_in(&p, &q), parts = trained_in(&p, &q);
    for (uint32_t step = 0; step < 8; step++) {
        const lspo_turn_t turn = {1, M, N, bases};
        lspo_eigen_step_t later = step_of(&parts, x, step, false);
        gradient_of(M, N, step, g);
        take_step(&whole, g, step, false);
        memcpy(bases, parts.weight.basis.t_m, M * M * sizeof *bases);
        memcpy(bases + M * M, parts.weight.basis.t_n, N * N * sizeof *bases);
        memcpy(x, g, M * N * sizeof *x);
        lspo_turn_in(&turn, x, parts.weight.y);
        later.turned = true;
        later.renewal = later.renewal == LSPO_EIGEN_RENEW ? LSPO_EIGEN_LATER : later.renewal;
        lspo_eigen_adam(&later);
        if (later.renewal == LSPO_EIGEN_LATER)
            lspo_eigen_renew(&later);
        lspo_turn_back(&turn, parts.weight.delta, parts.weight.y);
        cr_assert_arr_eq(parts.weight.delta, whole.weight.delta, M * N * sizeof *g, "step %u", step);
    }
}
