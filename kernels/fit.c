/* fit.c - the bias of a gradient, its derivative, and Adam over the values of two projectors. */
#include "kernels/fit.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "kernels/fit_products.h"
#include "kernels/gemm.h"
#include "kernels/simd.h"

enum { PLATEAU_STEPS = 20 };

/* ---- the bias of one gradient, and its derivative ---- */

/* Multiplying by P^T P as P^T (P ...) takes 4 rows r FLOPs per column, but reads the tall matrix r times, out of order.
 *  As a dense product it takes 2 d d FLOPs at six times the speed or more.  Then the Gram matrix takes the place of the
 * tall one. */
static bool gram_pays(const lspo_projector_t *p, size_t other_d)
{
    const uint64_t d = p->d, rows = p->rows;
    return d * d <= 12 * rows * p->r && d * d <= rows * other_d;
}

/* Names are those of the header; _t: transposed.  G Q, P S... are rows x the other side's d. */
typedef struct {
    const lspo_projector_t *p, *q;
    const float *g;
    lspo_workers_t *workers;
    size_t m, n, d_m, d_n;
    float *gq, *pt;   /* m x d_n */
    float *gtp, *qst; /* n x d_m */
    float *hat, *hat_t, *s, *s_t, *t, *t_t, *d, *d_t;
    bool p_gram, q_gram; /* P^T P and Q^T Q are formed: see gram_pays() */
} sketch_t;

uint64_t lspo_fit_scratch_of(uint64_t m, uint64_t n, uint64_t d_m, uint64_t d_n, uint64_t r_m, uint64_t r_n)
{
    return 2 * m * d_n + 2 * n * d_m + 8 * d_m * d_n + 4 * (m * r_m + n * r_n);
}

uint64_t lspo_fit_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return lspo_fit_scratch_of(p->rows, q->rows, p->d, q->d, p->r, q->r);
}

static sketch_t make_sketch(const lspo_projector_t *p, const lspo_projector_t *q, lspo_workers_t *workers,
                            float **scratch)
{
    sketch_t s = {.p = p, .q = q, .workers = workers, .m = p->rows, .n = q->rows, .d_m = p->d, .d_n = q->d};
    float **const tall[] = {&s.gq, &s.pt}, **const wide[] = {&s.gtp, &s.qst};
    float **const square[] = {&s.hat, &s.hat_t, &s.s, &s.s_t, &s.t, &s.t_t, &s.d, &s.d_t};
    for (size_t i = 0; i < 2; i++)
        *tall[i] = lspo_fit_carve(scratch, s.m * s.d_n);
    for (size_t i = 0; i < 2; i++)
        *wide[i] = lspo_fit_carve(scratch, s.n * s.d_m);
    for (size_t i = 0; i < sizeof square / sizeof square[0]; i++)
        *square[i] = lspo_fit_carve(scratch, s.d_m * s.d_n);
    s.p_gram = gram_pays(p, q->d);
    s.q_gram = gram_pays(q, p->d);
    return s;
}

typedef struct {
    double g2, hat2, energy; /* ||G||^2, ||G^||^2, E */
} squares_t;

static void make_s(sketch_t *s)
{
    if (s->p_gram) {
        lspo_fit_cross(s->p, s->p, s->pt);
        lspo_gemm_nn(s->d_m, s->d_n, s->d_m, 1.0F, s->pt, s->d_m, s->hat, s->d_n, 0.0F, s->s, s->d_n);
        return;
    }
    lspo_fit_multiply(s->workers, s->p, s->hat, s->d_n, s->pt);
    lspo_fit_multiply_transposed(s->workers, s->p, s->pt, s->d_n, s->s);
}

static void make_t(sketch_t *s)
{
    if (s->q_gram) {
        lspo_fit_cross(s->q, s->q, s->qst);
        lspo_gemm_nn(s->d_m, s->d_n, s->d_n, 1.0F, s->hat, s->d_n, s->qst, s->d_n, 0.0F, s->t, s->d_n);
        return;
    }
    lspo_fit_multiply(s->workers, s->q, s->hat_t, s->d_m, s->qst);
    lspo_fit_multiply_transposed(s->workers, s->q, s->qst, s->d_m, s->t_t);
    lspo_fit_transpose(s->d_n, s->d_m, s->t_t, s->t);
}

/* Compute G Q, G^, S and T of `g`, whose square is g2; pt and qst are scratch. */
static squares_t sketch_gradient(sketch_t *s, const float *g, double g2)
{
    s->g = g;
    lspo_fit_gather(s->workers, s->q, s->m, g, s->gq);
    lspo_fit_multiply_transposed(s->workers, s->p, s->gq, s->d_n, s->hat);
    lspo_fit_transpose(s->d_m, s->d_n, s->hat, s->hat_t);
    make_s(s);
    make_t(s);
    const size_t square = s->d_m * s->d_n;
    return (squares_t){
        .g2 = g2, .hat2 = lspo_fit_dot(square, s->hat, s->hat), .energy = lspo_fit_dot(square, s->s, s->t)};
}

static double square_of(const sketch_t *s, const float *g)
{
    return lspo_fit_dot(s->m * s->n, g, g);
}

static double bias_of(const squares_t *x, double c)
{
    const double square = (x->g2 - 2 * c * x->hat2 + c * c * x->energy) / x->g2;
    return square > 0 ? sqrt(square) : square <= 0 ? 0 : (double)NAN;
}

static bool usable(const squares_t *x)
{
    return x->g2 > 0 && isfinite(x->g2) && isfinite(x->hat2) && isfinite(x->energy);
}

static double best_bias(const squares_t *x)
{
    if (!usable(x))
        return (double)NAN;
    return x->energy > 0 ? bias_of(x, x->hat2 / x->energy) : 1;
}

typedef struct {
    const lspo_projector_t *p;
    const float *x, *with_x, *y, *with_y; /* rows x width, d x width, rows x width, d x width          */
    const float *gram;                    /* d x d, in place of y and with_y: y with_y^T is P gram; NULL: none */
    size_t width;
    float scale;
    float *gradient;
} slope_t;

/* x row . with_x[column] and, without a Gram matrix, twice y row . with_y[column]. */
LSPO_SIMD static float slope_at(const slope_t *a, const float *x, const float *y, uint32_t column)
{
    const size_t width = a->width;
    const float *f = a->with_x + column * width;
    float sum = 0, other = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < width; j++)
        sum += x[j] * f[j];
    if (!y)
        return sum;
    const float *h = a->with_y + column * width;
#pragma omp simd reduction(+ : other)
    for (size_t j = 0; j < width; j++)
        other += y[j] * h[j];
    return sum + 2.0F * other;
}

/* A row of x is read once per four nonzeros. */
LSPO_SIMD static void slopes_of_four(const slope_t *a, const float *x, const uint32_t *index, float out[4])
{
    const size_t width = a->width;
    const float *f0 = a->with_x + index[0] * width, *f1 = a->with_x + index[1] * width;
    const float *f2 = a->with_x + index[2] * width, *f3 = a->with_x + index[3] * width;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t j = 0; j < width; j++) {
        s0 += x[j] * f0[j];
        s1 += x[j] * f1[j];
        s2 += x[j] * f2[j];
        s3 += x[j] * f3[j];
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

/* 2 (P gram) at nonzero `column` of the row. */
static float gram_slope(const slope_t *a, size_t row, uint32_t column)
{
    const size_t r = a->p->r;
    float sum = 0;
    for (size_t e = row * r; e < (row + 1) * r; e++)
        sum += a->p->value[e] * a->gram[(size_t)a->p->index[e] * a->p->d + column];
    return 2.0F * sum;
}

static void add_row_slopes(const slope_t *a, size_t row)
{
    const size_t r = a->p->r;
    const float *x = a->x + row * a->width, *y = a->gram ? NULL : a->y + row * a->width;
    const uint32_t *index = a->p->index + row * r;
    float *gradient = a->gradient + row * r, sums[4];
    for (size_t e = 0; e < r; e++) {
        if (!y && e % 4 == 0 && e + 4 <= r)
            slopes_of_four(a, x, index + e, sums);
        float slope = !y && e / 4 < r / 4 ? sums[e % 4] : slope_at(a, x, y, index[e]);
        if (a->gram)
            slope += gram_slope(a, row, index[e]);
        gradient[e] += a->scale * slope;
    }
}

static void add_slopes(const void *context, size_t first, size_t end)
{
    for (size_t row = first; row < end; row++)
        add_row_slopes(context, row);
}

/* D = 2 P^T P T - 4 G^. */
static void make_d(sketch_t *s)
{
    if (s->p_gram)
        lspo_gemm_nn(s->d_m, s->d_n, s->d_m, 1.0F, s->pt, s->d_m, s->t, s->d_n, 0.0F, s->d, s->d_n);
    else {
        lspo_fit_multiply(s->workers, s->p, s->t, s->d_n, s->pt);
        lspo_fit_multiply_transposed(s->workers, s->p, s->pt, s->d_n, s->d);
    }
    for (size_t i = 0; i < s->d_m * s->d_n; i++)
        s->d[i] = 2.0F * s->d[i] - 4.0F * s->hat[i];
}

/* Adds weight times the gradient of bias(1) for the gradient sketched last. */
static void add_bias_gradient(sketch_t *s, const squares_t *x, double weight, float *p_gradient, float *q_gradient)
{
    const double bias = fmax(bias_of(x, 1), 1e-6);
    const float scale = (float)(weight / (2 * bias * x->g2));
    lspo_fit_gather_transposed(s->workers, s->p, s->n, s->g, s->gtp);
    make_d(s);
    lspo_fit_transpose(s->d_m, s->d_n, s->d, s->d_t);
    if (s->p_gram) /* in the place of P^T P, which is no longer needed */
        lspo_gemm_nt(s->d_m, s->d_m, s->d_n, 1.0F, s->t, s->d_n, s->hat, s->d_n, 0.0F, s->pt, s->d_m);
    if (s->q_gram)
        lspo_gemm_tn(s->d_n, s->d_n, s->d_m, 1.0F, s->s, s->d_n, s->hat, s->d_n, 0.0F, s->qst, s->d_n);
    else {
        lspo_fit_transpose(s->d_m, s->d_n, s->s, s->s_t);
        lspo_fit_multiply(s->workers, s->q, s->s_t, s->d_m, s->qst);
    }
    lspo_fit_spread(s->workers, s->m, add_slopes,
                    &(slope_t){s->p, s->gq, s->d, s->pt, s->hat, s->p_gram ? s->pt : NULL, s->d_n, scale, p_gradient});
    lspo_fit_spread(
        s->workers, s->n, add_slopes,
        &(slope_t){s->q, s->gtp, s->d_t, s->qst, s->hat_t, s->q_gram ? s->qst : NULL, s->d_m, scale, q_gradient});
}

double lspo_fit_bias(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, lspo_workers_t *workers,
                     float *scratch)
{
    sketch_t s = make_sketch(p, q, workers, &scratch);
    const squares_t x = sketch_gradient(&s, g, square_of(&s, g));
    return usable(&x) ? bias_of(&x, 1) : (double)NAN;
}

double lspo_fit_bias_scaled(const lspo_projector_t *p, const lspo_projector_t *q, const float *g,
                            lspo_workers_t *workers, float *scratch)
{
    sketch_t s = make_sketch(p, q, workers, &scratch);
    const squares_t x = sketch_gradient(&s, g, square_of(&s, g));
    return best_bias(&x);
}

/* ---- fitting ---- */

static size_t nonzeros(const lspo_projector_t *p)
{
    return (size_t)p->rows * p->r;
}

static double norm_of(const lspo_projector_t *p)
{
    return sqrt(lspo_fit_dot(nonzeros(p), p->value, p->value));
}

static void add_norm_gradient(const lspo_projector_t *p, double beta, float *gradient)
{
    const double norm = norm_of(p);
    const float scale = norm > 0 ? (float)(beta / norm) : 0;
    for (size_t e = 0; e < nonzeros(p); e++)
        gradient[e] += scale * p->value[e];
}

/* The calibration gradients and their squared norms. */
typedef struct {
    uint32_t count;
    const float *const *g;
    double g2[LSPO_FIT_GRADIENTS_MAX];
} samples_t;

static samples_t samples_of(const sketch_t *s, const lspo_fit_gradients_t *gradients)
{
    samples_t samples = {.count = gradients->count, .g = gradients->g};
    for (uint32_t i = 0; i < samples.count; i++)
        samples.g2[i] = square_of(s, samples.g[i]);
    return samples;
}

/* Returns the mean bias(1) and sets the gradients of L. */
static double mean_bias(sketch_t *s, const samples_t *samples, double beta, float *p_gradient, float *q_gradient)
{
    double sum = 0;
    memset(p_gradient, 0, nonzeros(s->p) * sizeof *p_gradient);
    memset(q_gradient, 0, nonzeros(s->q) * sizeof *q_gradient);
    for (uint32_t i = 0; i < samples->count; i++) {
        const squares_t x = sketch_gradient(s, samples->g[i], samples->g2[i]);
        if (!usable(&x))
            return (double)NAN;
        sum += bias_of(&x, 1);
        add_bias_gradient(s, &x, 1.0 / samples->count, p_gradient, q_gradient);
    }
    add_norm_gradient(s->p, beta, p_gradient);
    add_norm_gradient(s->q, beta, q_gradient);
    return sum / samples->count;
}

double lspo_fit_objective(const lspo_fit_options_t *options, const lspo_projector_pair_t *pair,
                          const lspo_fit_gradients_t *gradients, float *p_gradient, float *q_gradient, float *scratch)
{
    sketch_t s = make_sketch(pair->p, pair->q, options->workers, &scratch);
    const samples_t samples = samples_of(&s, gradients);
    return mean_bias(&s, &samples, options->beta, p_gradient, q_gradient) +
           options->beta * (norm_of(pair->p) + norm_of(pair->q));
}

/* Up to this many nonzeros per row the learning rate is that of the options.  With more nonzeros, whose values are
 * smaller, the rate decreases with their number: at equal rates 64 per row do not converge. */
enum { FULL_RATE_NNZ = 16 };

lspo_fit_options_t lspo_fit_default(void)
{
    return (lspo_fit_options_t){.alpha = 0.3, .beta = 1e-4, .learning_rate = 0.1, .plateau = 1e-3, .steps = 100};
}

/* P or Q under Adam: gradient, moments and the best values so far. */
typedef struct {
    lspo_projector_t *p;
    float *gradient, *m, *v, *best;
    double rate;
} side_t;

static side_t make_side(lspo_projector_t *p, float **moments, float **scratch)
{
    const size_t count = nonzeros(p);
    side_t side = {.p = p};
    side.m = lspo_fit_carve(moments, count);
    side.v = lspo_fit_carve(moments, count);
    side.gradient = lspo_fit_carve(scratch, count);
    side.best = lspo_fit_carve(scratch, count);
    return side;
}

static void rescale(lspo_projector_t *p, double factor)
{
    for (size_t e = 0; e < nonzeros(p); e++)
        p->value[e] = (float)(factor * (double)p->value[e]);
    lspo_projector_refresh(p);
}

static void hold_norm(lspo_projector_t *p)
{
    const double norm = norm_of(p);
    if (norm > 0)
        rescale(p, sqrt((double)p->rows) / norm);
}

static void step_side(side_t *side, uint32_t t, double fade)
{
    const float a = (float)(fade * side->rate / (1 - pow(0.9, t))), b = (float)(1 / (1 - pow(0.999, t)));
    for (size_t e = 0; e < nonzeros(side->p); e++) {
        const float g = side->gradient[e];
        side->m[e] = 0.9F * side->m[e] + 0.1F * g;
        side->v[e] = 0.999F * side->v[e] + 0.001F * g * g;
        side->p->value[e] -= a * side->m[e] / (sqrtf(b * side->v[e]) + 1e-12F);
    }
    lspo_projector_refresh(side->p);
}

static void keep_best(side_t *side)
{
    memcpy(side->best, side->p->value, nonzeros(side->p) * sizeof *side->best);
}

static void take_best(side_t *side)
{
    memcpy(side->p->value, side->best, nonzeros(side->p) * sizeof *side->best);
    lspo_projector_refresh(side->p);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The biases of the given pair, and the common scale for all gradients from which fitting starts. */
static double measure_start(sketch_t *s, const samples_t *samples, lspo_fit_result_t *result)
{
    double hat2 = 0, energy = 0;
    for (uint32_t i = 0; i < samples->count; i++) {
        const squares_t x = sketch_gradient(s, samples->g[i], samples->g2[i]);
        if (!usable(&x))
            return (double)NAN;
        result->bias_before += bias_of(&x, 1) / samples->count;
        result->bias_random += best_bias(&x) / samples->count;
        hat2 += x.hat2 / x.g2;
        energy += x.energy / x.g2;
    }
    return energy > 0 ? hat2 / energy : (double)NAN;
}

static bool stops(const lspo_fit_options_t *options, double started_s, double best, double *mark,
                  lspo_fit_result_t *result)
{
    if (best <= options->alpha)
        result->reason = LSPO_FIT_THRESHOLD;
    else if (result->steps >= options->steps)
        result->reason = LSPO_FIT_STEPS;
    else if (options->time_limit_s > 0 && now_s() - started_s >= options->time_limit_s)
        result->reason = LSPO_FIT_TIME;
    else if (result->steps % PLATEAU_STEPS == 0 && result->steps > 0) {
        if (*mark - best >= options->plateau * *mark) {
            *mark = best;
            return false;
        }
        result->reason = LSPO_FIT_PLATEAU;
    } else
        return false;
    return true;
}

static void descend(const lspo_fit_options_t *options, sketch_t *s, const samples_t *samples, side_t *sides,
                    double started_s, lspo_fit_result_t *result)
{
    double best = result->bias_random, mark = best;
    keep_best(&sides[0]);
    keep_best(&sides[1]);
    for (;;) {
        const double bias = mean_bias(s, samples, options->beta, sides[0].gradient, sides[1].gradient);
        if (!isfinite(bias))
            break;
        if (bias < best || result->steps == 0) {
            best = bias;
            keep_best(&sides[0]);
            keep_best(&sides[1]);
        }
        if (stops(options, started_s, best, &mark, result))
            break;
        const double fade = 1 - (double)result->steps / options->steps;
        result->steps++;
        step_side(&sides[0], result->steps, fade);
        step_side(&sides[1], result->steps, fade);
    }
    result->bias_after = best;
    take_best(&sides[0]);
    take_best(&sides[1]);
}

size_t lspo_fit_moments(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return 2 * (nonzeros(p) + nonzeros(q));
}

/* Both sides before the first step, scaled to c. */
static void start_sides(const lspo_fit_options_t *options, double c, side_t *sides)
{
    for (int i = 0; i < 2; i++) {
        const size_t bytes = nonzeros(sides[i].p) * sizeof(float);
        memset(sides[i].m, 0, bytes);
        memset(sides[i].v, 0, bytes);
        rescale(sides[i].p, pow(c, 0.25));
        sides[i].rate = options->learning_rate * fmin(1, FULL_RATE_NNZ / (double)sides[i].p->r) * norm_of(sides[i].p) /
                        sqrt((double)sides[i].p->rows);
    }
}

bool lspo_fit_begin(const lspo_fit_work_t *work, const float *g, float *scratch, lspo_fit_stream_t *stream_out)
{
    float *moments = work->moments;
    sketch_t s = make_sketch(work->p, work->q, work->options->workers, &scratch);
    side_t sides[2] = {make_side(work->p, &moments, &scratch), make_side(work->q, &moments, &scratch)};
    const samples_t sample = samples_of(&s, &(lspo_fit_gradients_t){1, &g});
    lspo_fit_result_t unused = {0};
    const double c = measure_start(&s, &sample, &unused);
    if (!isfinite(c) || c <= 0)
        return false;
    start_sides(work->options, c, sides);
    *stream_out = (lspo_fit_stream_t){.p_rate = sides[0].rate, .q_rate = sides[1].rate};
    return true;
}

bool lspo_fit_advance(const lspo_fit_work_t *work, uint32_t steps, const float *g, float *scratch,
                      lspo_fit_stream_t *stream)
{
    const lspo_fit_options_t *options = work->options;
    float *moments = work->moments;
    sketch_t s = make_sketch(work->p, work->q, options->workers, &scratch);
    side_t sides[2] = {make_side(work->p, &moments, &scratch), make_side(work->q, &moments, &scratch)};
    const samples_t sample = samples_of(&s, &(lspo_fit_gradients_t){1, &g});
    sides[0].rate = stream->p_rate;
    sides[1].rate = stream->q_rate;
    for (uint32_t i = 0; i < steps && stream->steps < options->steps; i++) {
        if (!isfinite(mean_bias(&s, &sample, options->beta, sides[0].gradient, sides[1].gradient)))
            return false;
        const double fade = 1 - (double)stream->steps / options->steps;
        stream->steps++;
        step_side(&sides[0], stream->steps, fade);
        step_side(&sides[1], stream->steps, fade);
    }
    return true;
}

void lspo_fit_finish(lspo_projector_t *p, lspo_projector_t *q)
{
    hold_norm(p);
    hold_norm(q);
}

lspo_fit_result_t lspo_fit(const lspo_fit_options_t *options, const lspo_fit_gradients_t *gradients,
                           lspo_projector_t *p, lspo_projector_t *q, float *scratch)
{
    const double started_s = now_s();
    lspo_fit_result_t result = {.reason = LSPO_FIT_NUMERIC};
    sketch_t s = make_sketch(p, q, options->workers, &scratch);
    float *moments = lspo_fit_carve(&scratch, lspo_fit_moments(p, q));
    side_t sides[2] = {make_side(p, &moments, &scratch), make_side(q, &moments, &scratch)};
    const samples_t samples = samples_of(&s, gradients);
    const double c = measure_start(&s, &samples, &result);
    result.bias_after = result.bias_random;
    if (!isfinite(c) || c <= 0)
        return result;
    start_sides(options, c, sides);
    descend(options, &s, &samples, sides, started_s, &result);
    lspo_fit_finish(p, q);
    return result;
}

const char *lspo_fit_reason_name(lspo_fit_reason_t reason)
{
    static const char *const names[] = {"steps", "threshold", "plateau", "time", "numeric"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}
