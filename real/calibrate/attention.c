/* attention.c - time attention by sequence length and head width, forward and backward. */
#include <math.h>
#include <stdio.h>

#include "real/calibrate/state.h"
#include "traces/median.h"

typedef struct {
    lspo_calibration_t *calibration;
    size_t batch, sequence, heads, head_width;
} attention_call_t;

static size_t elements(const attention_call_t *call)
{
    return call->batch * call->sequence * call->heads * call->head_width;
}

/* Floats kept for the backward pass: probabilities, or ln of the sum of exponentials per row and head. */
static size_t kept(const attention_call_t *call)
{
    size_t rows = call->batch * call->heads * call->sequence;
    return lspo_compute_attention_is_flash(call->calibration->compute) ? rows : rows * call->sequence;
}

/* Queries, keys and values are side by side, as in a GPT block. */
static lspo_attention_t shape_of(const attention_call_t *call)
{
    size_t stride = 3 * call->heads * call->head_width;
    return (lspo_attention_t){.batch = call->batch,
                              .sequence = call->sequence,
                              .heads = call->heads,
                              .kv_heads = call->heads,
                              .head_width = call->head_width,
                              .q_stride = stride,
                              .kv_stride = stride,
                              .causal = true};
}

static void call_forward(void *context)
{
    const attention_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const lspo_attention_t shape = shape_of(call);
    size_t width_bytes = call->heads * call->head_width * lspo_compute_number_bytes(c->compute);
    const char *qkv = lspo_calibrate_recent(c, 3 * elements(call));
    float *keep = lspo_calibrate_saved_output_floats(c, kept(call));
    const lspo_attention_operands_t operands = {.q = qkv, .k = qkv + width_bytes, .v = qkv + 2 * width_bytes};
    lspo_compute_attention_forward(c->compute, &shape, &operands, keep, lspo_calibrate_saved_output(c, elements(call)),
                                   c->memory->scratch);
}

static void call_backward(void *context)
{
    const attention_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const lspo_attention_t shape = shape_of(call);
    size_t width_bytes = call->heads * call->head_width * lspo_compute_number_bytes(c->compute);
    bool flash = lspo_compute_attention_is_flash(c->compute);
    const char *qkv = lspo_calibrate_saved(c, 3 * elements(call));
    const float *keep = lspo_calibrate_saved_floats(c, kept(call));
    const void *out = flash ? lspo_calibrate_saved(c, elements(call)) : NULL; /* only used there */
    const void *dout = lspo_calibrate_recent(c, elements(call));
    char *d = lspo_calibrate_recent_output(c, 3 * elements(call));
    const lspo_attention_operands_t operands = {
        .q = qkv, .k = qkv + width_bytes, .v = qkv + 2 * width_bytes, .kept = keep, .out = out, .dout = dout};
    const lspo_attention_gradients_t gradients = {.dq = d, .dk = d + width_bytes, .dv = d + 2 * width_bytes};
    lspo_compute_attention_backward(c->compute, &shape, &operands, &gradients, c->memory->scratch);
}

enum { CASES = LSPO_CALIBRATE_ATTENTIONS, ROWS_MAX = CASES * 64 };

/* By case, pass (forward, backward), near or far. */
typedef struct {
    lspo_timing_t timings[CASES][2][2];
    double flop[CASES]; /* forward; backward twice that */
    const size_t (*cases)[4];
} attention_times_t;

static void time_cases(lspo_calibration_t *calibration, attention_times_t *times)
{
    times->cases = calibration->shapes->attentions;
    for (size_t i = 0; i < CASES; i++) {
        const size_t *size = times->cases[i];
        attention_call_t call = {calibration, size[0], size[1], size[2], size[3]};
        times->flop[i] = 2 * (double)(call.sequence + 1) * (double)elements(&call);
        for (int j = 0; j < 4; j++) {
            char shape[48];
            calibration->far = j % 2;
            snprintf(shape, sizeof shape, "b%zu s%zu h%zu e%zu %s %s", call.batch, call.sequence, call.heads,
                     call.head_width, j / 2 ? "backward" : "forward", j % 2 ? "far" : "near");
            times->timings[i][j / 2][j % 2] = lspo_calibrate_time(calibration, "attention", shape, calibration->repeats,
                                                                  j / 2 ? call_backward : call_forward, &call);
        }
    }
}

/* Near and forward: t = flop cost (1 + sequence_half/s) (1 + width_half/e), and the other three that times a factor
 * each: the median over the cases. */
typedef struct {
    double cost, cost_error, sequence_half, width_half, width_half_error;
    double factor[2][2]; /* by pass, per flop; near or far */
    size_t samples;
} attention_fit_t;

static double fitted_s(const attention_fit_t *fit, const attention_times_t *times, size_t i, int pass, int far)
{
    double shape =
        (1 + fit->sequence_half / (double)times->cases[i][1]) * (1 + fit->width_half / (double)times->cases[i][3]);
    return fit->cost * shape * times->flop[i] * (pass ? 2 : 1) * fit->factor[pass][far];
}

/* Sum of squared logarithms of measured against fitted, near. */
static double misfit(const attention_fit_t *fit, const attention_times_t *times)
{
    double sum = 0;
    for (size_t i = 0; i < CASES; i++)
        for (int pass = 0; pass < 2; pass++)
            sum += pow(log(times->timings[i][pass][0].median_s / fitted_s(fit, times, i, pass, 0)), 2);
    return sum;
}

/* For a fixed sequence_half the remaining problem is linear. */
static lspo_status_t fit_widths(const lspo_calibration_t *calibration, const attention_times_t *times,
                                attention_fit_t *fit)
{
    lspo_fit_row_t rows[ROWS_MAX];
    fit->samples = 0;
    for (size_t i = 0; i < 2 * CASES; i++) {
        double cost = times->flop[i / 2] * (1 + fit->sequence_half / (double)times->cases[i / 2][1]);
        cost *= (i % 2 ? 2 : 1) * fit->factor[i % 2][0];
        double x[2] = {cost, cost / (double)times->cases[i / 2][3]};
        fit->samples += lspo_calibrate_rows(calibration, &times->timings[i / 2][i % 2][0], x, 2, rows + fit->samples,
                                            ROWS_MAX - fit->samples);
    }
    lspo_fit_t linear;
    lspo_status_t status = lspo_fit_rows("attention", rows, fit->samples, 2, &linear);
    if (status != LSPO_OK)
        return status;
    if (!(linear.cost[0] > 0)) { /* heads of all widths take equally long, because they are padded */
        status = lspo_fit_rows("attention", rows, fit->samples, 1, &linear);
        linear.cost[1] = linear.error[1] = 0;
        if (status != LSPO_OK)
            return status;
        if (!(linear.cost[0] > 0))
            return lspo_error(LSPO_ERR_CHECK, "attention: no rate fits its times: is the machine busy?");
    }
    fit->cost = linear.cost[0];
    fit->cost_error = linear.error[0];
    fit->width_half = linear.cost[1] / linear.cost[0];
    fit->width_half_error = linear.error[1] / linear.cost[0];
    return LSPO_OK;
}

static void set_factors(const attention_times_t *times, attention_fit_t *fit)
{
    for (int pass = 0; pass < 2; pass++)
        for (int far = 0; far < 2; far++) {
            double factors[CASES];
            for (size_t i = 0; i < CASES; i++)
                factors[i] = times->timings[i][pass][far].median_s / times->timings[i][0][0].median_s / (pass ? 2 : 1);
            fit->factor[pass][far] = lspo_median(factors, CASES);
        }
}

static lspo_status_t fit_cases(const lspo_calibration_t *calibration, const attention_times_t *times,
                               attention_fit_t *best)
{
    attention_fit_t fit = {0};
    double least = INFINITY;
    set_factors(times, &fit);
    for (fit.sequence_half = 0; fit.sequence_half <= 512; fit.sequence_half += 8) {
        lspo_status_t status = fit_widths(calibration, times, &fit);
        if (status != LSPO_OK)
            return status;
        double sum = misfit(&fit, times);
        if (sum < least) {
            least = sum;
            *best = fit;
        }
    }
    return LSPO_OK;
}

static void set_rate(lspo_calibration_t *calibration, const attention_fit_t *fit, double factor, double *flops)
{
    *flops = 1 / (fit->cost * factor);
    lspo_calibrate_note(calibration, flops, *flops * fit->cost_error / fit->cost, (uint32_t)fit->samples);
}

lspo_status_t lspo_calibrate_attention(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    attention_times_t times;
    attention_fit_t fit = {0};
    time_cases(calibration, &times);
    lspo_status_t status = fit_cases(calibration, &times, &fit);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < 4 * CASES; i++)
        lspo_calibrate_set_fitted(calibration, &times.timings[i / 4][i / 2 % 2][i % 2],
                                  fitted_s(&fit, &times, i / 4, i / 2 % 2, i % 2));
    set_rate(calibration, &fit, fmax(fit.factor[0][1], 1), &machine->gpu.attention_flops);
    set_rate(calibration, &fit, 1, &machine->gpu.attention_cached_flops);
    set_rate(calibration, &fit, fmax(fit.factor[1][1], fit.factor[1][0]), &machine->gpu.attention_backward_flops);
    set_rate(calibration, &fit, fit.factor[1][0], &machine->gpu.attention_backward_cached_flops);
    machine->gpu.attention_sequence_half = fit.sequence_half;
    machine->gpu.attention_width_half = fit.width_half;
    lspo_calibrate_note(calibration, &machine->gpu.attention_sequence_half, NAN, (uint32_t)fit.samples);
    lspo_calibrate_note(calibration, &machine->gpu.attention_width_half, fit.width_half_error, (uint32_t)fit.samples);
    return LSPO_OK;
}
