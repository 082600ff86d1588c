/* calibrate_kernels.c - rates of the kernel classes of plan/work.h.  What counts as a kernel's FLOPs and bytes is what
 * plan/stage_work.h counts, so that rate = count / time gives the time back. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/adam.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/projector.h"
#include "kernels/vector.h"
#include "real/calibrate_state.h"
#include "real/lane.h"
#include "traces/summary.h"

enum { SAMPLES_MAX = 64, FIT_TERMS = 5 };

float *lspo_pool_take(lspo_pool_t *pool, size_t n)
{
    n = (n + 15) / 16 * 16; /* keep cache lines whole */
    if (pool->at + n > pool->count)
        pool->at = 0;
    float *taken = pool->data + pool->at;
    pool->at += n;
    return taken;
}

double lspo_calibrate_time_s(lspo_timed_function_t function, void *context, uint32_t samples)
{
    double times_s[SAMPLES_MAX];
    samples = samples < SAMPLES_MAX ? samples : SAMPLES_MAX;
    function(context);
    for (uint32_t i = 0; i < samples; i++) {
        double start_s = lspo_lane_cpu_s();
        function(context);
        times_s[i] = lspo_lane_cpu_s() - start_s;
    }
    return lspo_median(times_s, samples);
}

/* ---- matrix products ---- */

/* Terms of time / flop: 1, 1/m, 1/n, 1/k, 1/flop. */
static void fit_terms(const lspo_gemm_time_t *row, double terms[FIT_TERMS])
{
    terms[0] = 1;
    terms[1] = 1 / row->m;
    terms[2] = 1 / row->n;
    terms[3] = 1 / row->k;
    terms[4] = 1 / (2 * row->m * row->n * row->k);
}

/* Least squares over the terms in `used`: coefficients of the others are 0. */
static int solve(const lspo_gemm_time_t *times, size_t count, const bool used[FIT_TERMS],
                 double coefficients[FIT_TERMS])
{
    size_t columns = 0;
    for (int term = 0; term < FIT_TERMS; term++)
        columns += used[term];
    gsl_matrix *x = gsl_matrix_alloc(count, columns), *covariance = gsl_matrix_alloc(columns, columns);
    gsl_vector *y = gsl_vector_alloc(count), *c = gsl_vector_alloc(columns);
    gsl_multifit_linear_workspace *space = gsl_multifit_linear_alloc(count, columns);
    int failed = !x || !covariance || !y || !c || !space;
    for (size_t i = 0; !failed && i < count; i++) {
        double terms[FIT_TERMS], scale = 2 * times[i].m * times[i].n * times[i].k / times[i].time_s;
        fit_terms(&times[i], terms);
        size_t column = 0;
        for (int term = 0; term < FIT_TERMS; term++)
            if (used[term])
                gsl_matrix_set(x, i, column++, terms[term] * scale * 1e-9); /* coefficients in ns a flop */
        gsl_vector_set(y, i, 1);
    }
    double chi_squared;
    failed = failed || gsl_multifit_linear(x, y, c, covariance, &chi_squared, space) != GSL_SUCCESS;
    size_t column = 0;
    for (int term = 0; !failed && term < FIT_TERMS; term++)
        coefficients[term] = used[term] ? gsl_vector_get(c, column++) * 1e-9 : 0;
    gsl_multifit_linear_free(space);
    gsl_vector_free(c);
    gsl_vector_free(y);
    gsl_matrix_free(covariance);
    gsl_matrix_free(x);
    return failed;
}

static int most_negative(const double coefficients[FIT_TERMS], const bool used[FIT_TERMS])
{
    int worst = -1;
    for (int term = 1; term < FIT_TERMS; term++)
        if (used[term] && coefficients[term] < 0 && (worst < 0 || coefficients[term] < coefficients[worst]))
            worst = term;
    return worst;
}

lspo_status_t lspo_calibrate_fit_gemm(const lspo_gemm_time_t *times, size_t count, lspo_gemm_fit_t *fit_out)
{
    bool used[FIT_TERMS] = {true, true, true, true, true};
    double coefficients[FIT_TERMS];
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    int failed = 0, dropped = 0;
    while (!failed && dropped >= 0) {
        failed = solve(times, count, used, coefficients);
        dropped = failed ? -1 : most_negative(coefficients, used);
        if (dropped >= 0)
            used[dropped] = false;
    }
    gsl_set_error_handler(handler);
    if (failed || !(coefficients[0] > 0))
        return lspo_error(LSPO_ERR_CHECK, "the rates of matrix products do not fit the model: is the machine busy?");
    *fit_out = (lspo_gemm_fit_t){.flops = 1 / coefficients[0],
                                 .m_half = coefficients[1] / coefficients[0],
                                 .n_half = coefficients[2] / coefficients[0],
                                 .k_half = coefficients[3] / coefficients[0],
                                 .launch_s = coefficients[4]};
    return LSPO_OK;
}

typedef enum { LAYOUT_NN, LAYOUT_NT, LAYOUT_TN, LAYOUT_COUNT } layout_t;

typedef struct {
    lspo_calibration_t *calibration;
    layout_t layout;
    size_t m, n, k;
} gemm_call_t;

static void call_gemm(void *context)
{
    const gemm_call_t *call = context;
    size_t m = call->m, n = call->n, k = call->k;
    const float *a = lspo_pool_take(&call->calibration->input, m * k);
    const float *b = lspo_pool_take(&call->calibration->input, k * n);
    float *c = lspo_pool_take(&call->calibration->output, m * n);
    switch (call->layout) {
    case LAYOUT_NN:
        lspo_gemm_nn(m, n, k, 1, a, k, b, n, 0, c, n);
        break;
    case LAYOUT_NT:
        lspo_gemm_nt(m, n, k, 1, a, k, b, k, 0, c, n);
        break;
    default:
        lspo_gemm_tn(m, n, k, 1, a, m, b, n, 0, c, n);
    }
}

static lspo_gemm_time_t time_gemm(lspo_calibration_t *calibration, layout_t layout, size_t m, size_t n, size_t k)
{
    gemm_call_t call = {.calibration = calibration, .layout = layout, .m = m, .n = n, .k = k};
    double time_s = lspo_calibrate_time_s(call_gemm, &call, calibration->samples);
    return (lspo_gemm_time_t){.m = (double)m, .n = (double)n, .k = (double)k, .time_s = time_s};
}

/* Y = X W, dX = dY W^T and dW = X^T dY of layers from narrow to wide, and the small square products of subspaces. */
static size_t time_gemms(lspo_calibration_t *calibration, lspo_gemm_time_t *times)
{
    static const size_t tokens[] = {256, 512, 1024}, subspaces[] = {32, 64, 128, 256};
    static const size_t layers[][2] = {{128, 384},  {128, 512}, {512, 128},  {256, 256},  {256, 768},
                                       {256, 1024}, {384, 384}, {384, 1536}, {1536, 384}, {512, 1536}};
    size_t count = 0;
    for (size_t t = 0; t < sizeof tokens / sizeof tokens[0]; t++) {
        if (calibration->quick && tokens[t] == 256)
            continue;
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
            size_t in = layers[i][0], out = layers[i][1];
            times[count++] = time_gemm(calibration, LAYOUT_NN, tokens[t], out, in);
            times[count++] = time_gemm(calibration, LAYOUT_NT, tokens[t], in, out);
            times[count++] = time_gemm(calibration, LAYOUT_TN, in, out, tokens[t]);
        }
        for (size_t i = 0; i < sizeof subspaces / sizeof subspaces[0]; i++)
            times[count++] = time_gemm(calibration, LAYOUT_TN, subspaces[i], subspaces[i], tokens[t]);
    }
    return count;
}

lspo_status_t lspo_calibrate_gemm(lspo_calibration_t *calibration)
{
    enum { TIMES_MAX = 128 };
    lspo_gemm_time_t times[TIMES_MAX];
    lspo_gemm_fit_t fit;
    lspo_status_t status = lspo_calibrate_fit_gemm(times, time_gemms(calibration, times), &fit);
    if (status != LSPO_OK)
        return status;
    lspo_machine_t *machine = calibration->machine;
    for (int precision = 0; precision < LSPO_PRECISION_COUNT; precision++)
        machine->gpu.gemm_flops[precision] = fit.flops; /* the host device computes in fp32 whatever is asked */
    machine->gpu.gemm_m_half = fit.m_half;
    machine->gpu.gemm_n_half = fit.n_half;
    machine->gpu.gemm_k_half = fit.k_half;
    machine->gpu.launch_s = fit.launch_s;
    return LSPO_OK;
}

/* ---- the fused kernels ---- */

enum { TOKENS = 1024, WIDTH = 384, MLP_WIDTH = 1536, VOCABULARY = 256 };

/* `amount` of FLOPs or bytes in `time_s`, of which `launches` launches are accounted elsewhere. */
static double rate(const lspo_calibration_t *calibration, double amount, double time_s, double launches)
{
    double net_s = time_s - launches * calibration->machine->gpu.launch_s;
    return amount / fmax(net_s, time_s / 10);
}

typedef struct {
    lspo_calibration_t *calibration;
    size_t batch, sequence, heads, head_width;
    float *probabilities;
} attention_call_t;

static size_t attention_elements(const attention_call_t *call)
{
    return call->batch * call->sequence * call->heads * call->head_width;
}

static void call_attention_forward(void *context)
{
    attention_call_t *call = context;
    lspo_pool_t *input = &call->calibration->input, *output = &call->calibration->output;
    call->probabilities = lspo_pool_take(output, call->batch * call->heads * call->sequence * call->sequence);
    lspo_attention_forward(call->batch, call->sequence, call->heads, call->head_width,
                           lspo_pool_take(input, 3 * attention_elements(call)), call->probabilities,
                           lspo_pool_take(output, attention_elements(call)), call->calibration->scratch);
}

static void call_attention_backward(void *context)
{
    attention_call_t *call = context;
    lspo_pool_t *input = &call->calibration->input, *output = &call->calibration->output;
    const float *qkv = lspo_pool_take(input, 3 * attention_elements(call));
    const float *dout = lspo_pool_take(input, attention_elements(call));
    lspo_attention_backward(call->batch, call->sequence, call->heads, call->head_width, qkv, call->probabilities, dout,
                            lspo_pool_take(output, 3 * attention_elements(call)), call->calibration->scratch);
}

static double attention_flops(lspo_calibration_t *calibration, size_t heads, size_t head_width)
{
    attention_call_t call = {
        .calibration = calibration, .batch = 4, .sequence = 256, .heads = heads, .head_width = head_width};
    double pairs = (double)(call.sequence * (call.sequence + 1)) / 2;
    double flop = (4 + 8) * (double)call.batch * pairs * (double)(heads * head_width);
    double time_s = lspo_calibrate_time_s(call_attention_forward, &call, calibration->samples);
    time_s += lspo_calibrate_time_s(call_attention_backward, &call, calibration->samples);
    return rate(calibration, flop, time_s, 2);
}

void lspo_calibrate_attention(lspo_calibration_t *calibration)
{
    calibration->machine->gpu.attention_flops =
        sqrt(attention_flops(calibration, 4, 32) * attention_flops(calibration, 6, 64));
}

static void call_norm_forward(void *context)
{
    lspo_calibration_t *c = context;
    lspo_norm_forward(TOKENS, WIDTH, lspo_pool_take(&c->input, (size_t)TOKENS * WIDTH),
                      lspo_pool_take(&c->input, WIDTH), lspo_pool_take(&c->input, WIDTH),
                      lspo_pool_take(&c->output, (size_t)TOKENS * WIDTH), lspo_pool_take(&c->output, TOKENS),
                      lspo_pool_take(&c->output, TOKENS));
}

static void call_norm_backward(void *context)
{
    lspo_calibration_t *c = context;
    size_t n = (size_t)TOKENS * WIDTH;
    const float *dout = lspo_pool_take(&c->input, n), *x = lspo_pool_take(&c->input, n);
    const float *mean = lspo_pool_take(&c->input, TOKENS), *rstd = lspo_pool_take(&c->input, TOKENS);
    const float *gain = lspo_pool_take(&c->input, WIDTH), *residual = lspo_pool_take(&c->input, n);
    float *dx = lspo_pool_take(&c->output, n), *dgain = lspo_pool_take(&c->output, WIDTH);
    float *dbias = lspo_pool_take(&c->output, WIDTH), *sum = lspo_pool_take(&c->output, WIDTH);
    lspo_norm_backward(TOKENS, WIDTH, dout, x, mean, rstd, gain, residual, false, dx, dgain, dbias, sum);
}

static void call_gelu_forward(void *context)
{
    lspo_calibration_t *c = context;
    size_t n = (size_t)TOKENS * MLP_WIDTH;
    lspo_gelu_forward(n, lspo_pool_take(&c->input, n), lspo_pool_take(&c->output, n));
}

/* In place on a copy of inputs would time the copy too; derivatives of at most 1.13 let no value grow far. */
static void call_gelu_backward(void *context)
{
    lspo_calibration_t *c = context;
    size_t n = (size_t)TOKENS * MLP_WIDTH;
    const float *x = lspo_pool_take(&c->input, n);
    float *d = lspo_pool_take(&c->output, n);
    lspo_gelu_backward(TOKENS, MLP_WIDTH, x, false, d, lspo_pool_take(&c->output, MLP_WIDTH));
}

typedef struct {
    lspo_calibration_t *calibration;
    uint32_t targets[TOKENS];
    float *logits;
} loss_call_t;

static void call_loss(void *context)
{
    loss_call_t *call = context;
    call->logits = lspo_pool_take(&call->calibration->output, (size_t)TOKENS * VOCABULARY);
    lspo_cross_entropy_forward(TOKENS, VOCABULARY, call->targets, call->logits);
    lspo_cross_entropy_backward(TOKENS, VOCABULARY, call->targets, call->logits, 1.0F / TOKENS, call->logits);
}

/* What the plans call STREAM: biases in (4 and 8 bytes an element) and out (4), copies (8). */
static void call_stream(void *context)
{
    lspo_calibration_t *c = context;
    size_t n = (size_t)TOKENS * WIDTH;
    lspo_bias_fill(TOKENS, WIDTH, lspo_pool_take(&c->input, WIDTH), lspo_pool_take(&c->output, n));
    lspo_bias_add(TOKENS, WIDTH, lspo_pool_take(&c->input, n), lspo_pool_take(&c->input, WIDTH),
                  lspo_pool_take(&c->output, n));
    lspo_column_sum(TOKENS, WIDTH, lspo_pool_take(&c->input, n), false, lspo_pool_take(&c->output, WIDTH));
    memcpy(lspo_pool_take(&c->output, n), lspo_pool_take(&c->input, n), n * sizeof(float));
}

void lspo_calibrate_vector_kernels(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = calibration->machine;
    uint32_t samples = calibration->samples;
    double elements = (double)TOKENS * WIDTH, mlp_elements = (double)TOKENS * MLP_WIDTH;
    double norm_s = lspo_calibrate_time_s(call_norm_forward, calibration, samples) +
                    lspo_calibrate_time_s(call_norm_backward, calibration, samples);
    double gelu_s = lspo_calibrate_time_s(call_gelu_forward, calibration, samples) +
                    lspo_calibrate_time_s(call_gelu_backward, calibration, samples);
    double stream_s = lspo_calibrate_time_s(call_stream, calibration, samples);
    loss_call_t loss = {.calibration = calibration};
    double loss_s = lspo_calibrate_time_s(call_loss, &loss, samples);
    machine->gpu.norm_Bps = rate(calibration, elements * (8 + 16), norm_s, 2);
    machine->gpu.activation_Bps = rate(calibration, mlp_elements * (8 + 12), gelu_s, 2);
    machine->gpu.loss_Bps = rate(calibration, (double)TOKENS * VOCABULARY * (8 + 8), loss_s, 2);
    machine->gpu.stream_Bps = rate(calibration, elements * (4 + 8 + 4 + 8), stream_s, 4);
}

/* ---- projectors ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_projector_t p, q;
} projector_call_t;

static void call_gather(void *context)
{
    projector_call_t *call = context;
    lspo_projector_gather(&call->p, TOKENS, lspo_pool_take(&call->calibration->input, (size_t)TOKENS * call->p.rows),
                          call->p.rows, lspo_pool_take(&call->calibration->output, (size_t)TOKENS * call->p.d));
}

static void call_scatter(void *context)
{
    projector_call_t *call = context;
    lspo_projector_apply(&call->p, &call->q, lspo_pool_take(&call->calibration->input, (size_t)call->p.d * call->q.d),
                         1e-6F, 0, lspo_pool_take(&call->calibration->output, (size_t)call->p.rows * call->q.rows),
                         call->calibration->scratch);
}

/* Seconds of a gather over MLP_WIDTH columns and of an update of WIDTH x MLP_WIDTH weights with r nonzeros a row. */
static lspo_status_t time_projectors(lspo_calibration_t *calibration, uint32_t d, uint32_t r, double *gather_s_out,
                                     double *scatter_s_out)
{
    projector_call_t gather = {.calibration = calibration}, scatter = {.calibration = calibration};
    bool works = lspo_projector_random(MLP_WIDTH, d, r, 1, &gather.p);
    if (works && !lspo_projector_random(WIDTH, d, r, 2, &scatter.p)) {
        lspo_projector_release(&gather.p);
        works = false;
    }
    if (!works)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a projector");
    scatter.q = gather.p;
    *gather_s_out = lspo_calibrate_time_s(call_gather, &gather, calibration->samples);
    *scatter_s_out = lspo_calibrate_time_s(call_scatter, &scatter, calibration->samples);
    lspo_projector_release(&scatter.p);
    lspo_projector_release(&gather.p);
    return LSPO_OK;
}

/* With one nonzero a row memory decides, with many arithmetic does.  The rate of the latter is taken where it is used,
 * at 4 and 8 nonzeros: geometric mean. */
lspo_status_t lspo_calibrate_projectors(lspo_calibration_t *calibration)
{
    static const uint32_t nonzeros[] = {1, 4, 8};
    const double d = 128, w = WIDTH, f = MLP_WIDTH, t = TOKENS;
    lspo_machine_t *machine = calibration->machine;
    double gather_flops = 1, scatter_flops = 1;
    for (size_t i = 0; i < 3; i++) {
        double r = nonzeros[i], gather_s = 0, scatter_s = 0;
        lspo_status_t status = time_projectors(calibration, (uint32_t)d, nonzeros[i], &gather_s, &scatter_s);
        if (status != LSPO_OK)
            return status;
        if (i == 0) {
            machine->gpu.gather_Bps = rate(calibration, 4 * t * (f + d), gather_s, 1);
            machine->gpu.scatter_Bps = rate(calibration, 4 * (2 * w * f + d * d), scatter_s, 1);
            continue;
        }
        gather_flops *= rate(calibration, 2 * t * f * r, gather_s, 1);
        scatter_flops *= rate(calibration, 2 * w * d * r + 2 * w * f * r, scatter_s, 1);
    }
    machine->gpu.gather_flops = sqrt(gather_flops);
    machine->gpu.scatter_flops = sqrt(scatter_flops);
    return LSPO_OK;
}

/* ---- Adam ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_adam_t adam;
    size_t n, repeats; /* elements of a call, calls on the same state */
    bool direction;
} adam_call_t;

static void call_adam(void *context)
{
    adam_call_t *call = context;
    lspo_pool_t *state = &call->calibration->state;
    const float *gradient = lspo_pool_take(&call->calibration->input, call->n);
    float *m = lspo_pool_take(state, call->n), *v = lspo_pool_take(state, call->n);
    float *w = lspo_pool_take(state, call->n);
    for (size_t i = 0; i < call->repeats; i++) {
        if (call->direction)
            lspo_adam_direction(&call->adam, call->n, gradient, m, v, w);
        else
            lspo_adam_parameters(&call->adam, call->n, gradient, m, v, w);
    }
}

/* The second moments must stay those of a second moment: every call finds m, v and w where the last left them, or zeros,
 * because n never changes. */
static double adam_pps(lspo_calibration_t *calibration, size_t n, size_t repeats)
{
    double time_s = 0;
    for (int direction = 0; direction < 2; direction++) {
        memset(calibration->state.data, 0, calibration->state.count * sizeof(float));
        calibration->state.at = 0;
        adam_call_t call = {.calibration = calibration,
                            .adam = lspo_adam_default(1e-3F, 1),
                            .n = n,
                            .repeats = repeats,
                            .direction = direction};
        time_s += lspo_calibrate_time_s(call_adam, &call, 3 * calibration->samples);
    }
    return 2 * (double)(n * repeats) / time_s;
}

double lspo_calibrate_adam_pps(lspo_calibration_t *calibration)
{
    return adam_pps(calibration, (size_t)1 << 20, 1);
}

double lspo_calibrate_adam_cached_pps(lspo_calibration_t *calibration, size_t state_bytes)
{
    return adam_pps(calibration, state_bytes / 16, 16);
}
