/* kernels.c - measure the rates of the fused kernels of plan/work.h.  FLOPs and bytes of a kernel are counted as in
 * plan/stage_work.h, so that count / rate gives the time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/calibrate/state.h"

typedef struct {
    lspo_calibration_t *calibration;
    size_t rows, width;
} vector_call_t;

/* ---- the kernels of each class, forward and backward ---- */

/* STREAM of the plans, as in a block's forward pass: 7 widths of biases from which products start (written), two
 * residuals (read and written). */
static void call_stream(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, w = call->width;
    for (size_t widths = 3; widths <= 4; widths++) {
        lspo_compute_bias_fill(c->compute, rows, widths * w, lspo_calibrate_recent(c, widths * w),
                               lspo_calibrate_saved_output(c, rows * widths * w));
        lspo_compute_bias_add(c->compute, rows, w, lspo_calibrate_recent(c, rows * w), lspo_calibrate_recent(c, w),
                              lspo_calibrate_saved_output(c, rows * w));
    }
}

/* Column sums of 4 widths (read), as just written by a block's backward pass. */
static void call_stream_backward(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    for (size_t widths = 1; widths <= 3; widths += 2) {
        size_t w = widths * call->width;
        lspo_compute_column_sum(c->compute, call->rows, w, lspo_calibrate_recent(c, call->rows * w), false,
                                lspo_calibrate_recent_output(c, w));
    }
}

static void call_norm(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, w = call->width, n = rows * w;
    float *statistics = lspo_calibrate_recent_output_floats(c, 2 * rows);
    const lspo_norm_t norm = {.rows = rows,
                              .width = w,
                              .epsilon = 1e-5F,
                              .gain = lspo_calibrate_recent(c, w),
                              .bias = lspo_calibrate_recent(c, w)};
    lspo_compute_norm_forward(c->compute, &norm, lspo_calibrate_recent(c, n), lspo_calibrate_saved_output(c, n),
                              statistics, statistics + rows);
}

static void call_norm_backward(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, w = call->width, n = rows * w, sum_bytes = w * lspo_compute_number_bytes(c->compute);
    const float *mean = lspo_calibrate_recent_floats(c, rows), *rstd = lspo_calibrate_recent_floats(c, rows);
    char *sums = lspo_calibrate_recent_output(c, 3 * w);
    const lspo_norm_t norm = {.rows = rows, .width = w, .gain = lspo_calibrate_recent(c, w)};
    const lspo_norm_operands_t operands = {.dout = lspo_calibrate_recent(c, n),
                                           .x = lspo_calibrate_saved(c, n),
                                           .residual = lspo_calibrate_recent(c, n),
                                           .mean = mean,
                                           .rstd = rstd};
    const lspo_norm_gradients_t gradients = {.dx = lspo_calibrate_recent_output(c, n),
                                             .dgain = sums,
                                             .dbias = sums + sum_bytes,
                                             .dx_sum = sums + 2 * sum_bytes};
    lspo_compute_norm_backward(c->compute, &norm, &operands, &gradients);
}

static void call_gelu(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t n = call->rows * call->width;
    lspo_compute_gelu_forward(c->compute, LSPO_GELU_TANH, n, lspo_calibrate_recent(c, n),
                              lspo_calibrate_saved_output(c, n));
}

/* Works in place, because a copy of the inputs would be timed too; derivatives are at most 1.13, so values do not grow
 * much. */
static void call_gelu_backward(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t n = call->rows * call->width;
    const lspo_gelu_gradients_t gradients = {.d = lspo_calibrate_recent_output(c, n),
                                             .bias = lspo_calibrate_recent_output(c, call->width)};
    lspo_compute_gelu_backward(c->compute, LSPO_GELU_TANH, call->rows, call->width, lspo_calibrate_saved(c, n),
                               &gradients);
}

/* Copies all columns of a matrix that the previous kernel wrote, in two parts, to their destinations. */
static void call_columns(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, half = call->width / 2;
    const void *x = lspo_calibrate_recent(c, rows * call->width);
    for (size_t part = 0; part < 2; part++)
        lspo_compute_columns_gather(c->compute, &(lspo_columns_t){rows, call->width, half},
                                    c->memory->columns + part * (LSPO_CALIBRATE_TARGETS / 2), x,
                                    lspo_calibrate_saved_output(c, rows * half));
}

/* Of each token one row, of which there are as many. */
static void call_rows(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const size_t n = call->rows * call->width;
    const lspo_keys_t keys = {.tokens = call->rows,
                              .width = call->width,
                              .count = call->rows,
                              .chosen = 1,
                              .rows = lspo_calibrate_saved(c, 2 * n),
                              .slots = c->memory->slots};
    lspo_compute_keys_forward(c->compute, &keys, lspo_calibrate_recent(c, n), lspo_calibrate_recent_output(c, n),
                              c->memory->scratch);
}

/* The target is always the first class. */
static lspo_cross_entropy_t loss_of(const vector_call_t *call)
{
    return (lspo_cross_entropy_t){.rows = call->rows,
                                  .vocabulary = call->width,
                                  .stride = call->width,
                                  .targets = call->calibration->memory->targets};
}

static void call_loss(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const lspo_cross_entropy_t loss = loss_of(call);
    lspo_compute_cross_entropy_forward(c->compute, &loss, lspo_calibrate_saved_output(c, call->rows * call->width),
                                       c->memory->sum);
}

static void call_loss_backward(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    void *probabilities = lspo_calibrate_saved_output(c, call->rows * call->width);
    const lspo_cross_entropy_t loss = loss_of(call);
    lspo_compute_cross_entropy_backward(c->compute, &loss, probabilities, 1e-3F, probabilities);
}

/* ---- classes that time and bytes describe ---- */

typedef struct {
    const char *kind;
    lspo_timed_function_t call;
    double elements, launches; /* read or written by one call, per element of the shape; kernels */
    double *memory_Bps, *cached_Bps;
    size_t width_factor;
} vector_class_t;

enum { SHAPES = LSPO_CALIBRATE_VECTORS, TIMINGS = 2 * SHAPES, FIT_ROWS_MAX = TIMINGS * 64 };

/* t = launches x launch + bytes x near + bytes x (far - near) if far.  `launch_s` is also fitted if it points to
 * NaN. */
static lspo_status_t fit_class(lspo_calibration_t *calibration, const vector_class_t *class, double *launch_s,
                               const lspo_timing_t *timings, double (*x)[3])
{
    lspo_fit_row_t rows[FIT_ROWS_MAX];
    size_t count = 0, columns = isnan(*launch_s) ? 3 : 2;
    for (size_t i = 0; i < TIMINGS; i++)
        count += lspo_calibrate_rows(calibration, &timings[i], x[i], columns, rows + count, FIT_ROWS_MAX - count);
    for (size_t i = 0; columns == 2 && i < count; i++)
        rows[i].y = fmax(rows[i].y - class->launches * *launch_s, rows[i].y / 10);
    lspo_fit_t fit;
    lspo_status_t status = lspo_fit_rows(class->kind, rows, count, columns, &fit);
    if (status != LSPO_OK)
        return status;
    if (!(fit.cost[0] > 0))
        return lspo_error(LSPO_ERR_CHECK, "%s: no rate fits its times: is the machine busy?", class->kind);
    double near = fit.cost[0], far = fit.cost[0] + fit.cost[1];
    if (columns == 3) {
        *launch_s = fit.cost[2];
        lspo_calibrate_note(calibration, launch_s, fit.error[2], (uint32_t)count);
    }
    for (size_t i = 0; i < TIMINGS; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  class->launches * *launch_s + near * x[i][0] + (far - near) * x[i][1]);
    *class->cached_Bps = 1 / near;
    *class->memory_Bps = 1 / far;
    lspo_calibrate_note(calibration, class->cached_Bps, fit.error[0] / (near * near), (uint32_t)count);
    lspo_calibrate_note(calibration, class->memory_Bps, hypot(fit.error[0], fit.error[1]) / (far * far),
                        (uint32_t)count);
    return LSPO_OK;
}

static lspo_status_t calibrate_class(lspo_calibration_t *calibration, const vector_class_t *class, double *launch_s)
{
    lspo_timing_t timings[TIMINGS];
    double x[TIMINGS][3], number_bytes = (double)lspo_compute_number_bytes(calibration->compute);
    for (size_t i = 0; i < TIMINGS; i++) {
        const size_t *size = calibration->shapes->vectors[i / 2];
        vector_call_t call = {.calibration = calibration, .rows = size[0], .width = class->width_factor * size[1]};
        char shape[48];
        calibration->far = i % 2;
        snprintf(shape, sizeof shape, "%zux%zu %s", call.rows, call.width, calibration->far ? "far" : "near");
        timings[i] = lspo_calibrate_time(calibration, class->kind, shape, calibration->repeats, class->call, &call);
        x[i][0] = class->elements * number_bytes * (double)(call.rows * call.width);
        x[i][1] = calibration->far ? x[i][0] : 0;
        x[i][2] = class->launches;
    }
    return fit_class(calibration, class, launch_s, timings, x);
}

lspo_status_t lspo_calibrate_vector_kernels(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const vector_class_t classes[] = {
        {"stream", call_stream, 7 + 2 * 2, 4, &machine->gpu.stream_Bps, &machine->gpu.stream_cached_Bps, 1},
        {"stream backward", call_stream_backward, 4, 2, &machine->gpu.stream_backward_Bps,
         &machine->gpu.stream_backward_cached_Bps, 1},
        {"columns", call_columns, 2, 2, &machine->gpu.columns_Bps, &machine->gpu.columns_cached_Bps, 1},
        {"rows", call_rows, 2, 2, &machine->gpu.rows_Bps, &machine->gpu.rows_cached_Bps, 1},
        {"norm", call_norm, 2, 1, &machine->gpu.norm_Bps, &machine->gpu.norm_cached_Bps, 1},
        {"norm backward", call_norm_backward, 4, 1, &machine->gpu.norm_backward_Bps,
         &machine->gpu.norm_backward_cached_Bps, 1},
        {"activation", call_gelu, 2, 1, &machine->gpu.activation_Bps, &machine->gpu.activation_cached_Bps, 2},
        {"activation backward", call_gelu_backward, 3, 1, &machine->gpu.activation_backward_Bps,
         &machine->gpu.activation_backward_cached_Bps, 2},
        {"loss", call_loss, 2, 1, &machine->gpu.loss_Bps, &machine->gpu.loss_cached_Bps, 1},
        {"loss backward", call_loss_backward, 2, 1, &machine->gpu.loss_backward_Bps,
         &machine->gpu.loss_backward_cached_Bps, 1},
    };
    machine->gpu.launch_s = NAN; /* from the first and simplest class */
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        lspo_status_t status = calibrate_class(calibration, &classes[i], &machine->gpu.launch_s);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
