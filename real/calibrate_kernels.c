/* calibrate_kernels.c - rates of the fused kernels of plan/work.h.  What counts as a kernel's FLOPs and bytes is what
 * plan/stage_work.h counts, so that count / rate gives the time back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/projector.h"
#include "kernels/vector.h"
#include "real/calibrate_state.h"

enum { ROWS_MAX = 1024 };

typedef struct {
    lspo_calibration_t *calibration;
    size_t rows, width;
} vector_call_t;

/* ---- one pass forward and one backward of each class ---- */

/* What the plans call STREAM, as a block has it: 7 widths of biases to start products from (4 bytes an element), two
 * residuals (8), column sums of 4 widths (4). */
static void call_stream(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, w = call->width;
    lspo_bias_fill(rows, 3 * w, lspo_calibrate_recent(c, 3 * w), lspo_calibrate_saved_output(c, rows * 3 * w));
    lspo_bias_add(rows, w, lspo_calibrate_recent(c, rows * w), lspo_calibrate_recent(c, w),
                  lspo_calibrate_saved_output(c, rows * w));
    lspo_bias_fill(rows, 4 * w, lspo_calibrate_recent(c, 4 * w), lspo_calibrate_saved_output(c, rows * 4 * w));
    lspo_bias_add(rows, w, lspo_calibrate_recent(c, rows * w), lspo_calibrate_recent(c, w),
                  lspo_calibrate_saved_output(c, rows * w));
    lspo_column_sum(rows, w, lspo_calibrate_recent(c, rows * w), false, lspo_calibrate_recent_output(c, w));
    lspo_column_sum(rows, 3 * w, lspo_calibrate_recent(c, rows * 3 * w), false, lspo_calibrate_recent_output(c, 3 * w));
}

static void call_norm(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t rows = call->rows, w = call->width, n = rows * w;
    const float *gain = lspo_calibrate_recent(c, w), *bias = lspo_calibrate_recent(c, w);
    const float *mean = lspo_calibrate_recent(c, rows), *rstd = lspo_calibrate_recent(c, rows);
    float *sums = lspo_calibrate_recent_output(c, 3 * w), *statistics = lspo_calibrate_recent_output(c, 2 * rows);
    lspo_norm_forward(rows, w, lspo_calibrate_recent(c, n), gain, bias, lspo_calibrate_saved_output(c, n), statistics,
                      statistics + rows);
    lspo_norm_backward(rows, w, lspo_calibrate_recent(c, n), lspo_calibrate_saved(c, n), mean, rstd, gain,
                       lspo_calibrate_recent(c, n), false, lspo_calibrate_recent_output(c, n), sums, sums + w,
                       sums + 2 * w);
}

/* In place on a copy of inputs would time the copy too; derivatives of at most 1.13 let no value grow far. */
static void call_gelu(void *context)
{
    const vector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t n = call->rows * call->width;
    lspo_gelu_forward(n, lspo_calibrate_recent(c, n), lspo_calibrate_saved_output(c, n));
    lspo_gelu_backward(call->rows, call->width, lspo_calibrate_saved(c, n), false, lspo_calibrate_recent_output(c, n),
                       lspo_calibrate_recent_output(c, call->width));
}

static void call_loss(void *context)
{
    static const uint32_t targets[ROWS_MAX]; /* the first class, always */
    const vector_call_t *call = context;
    float *logits = lspo_calibrate_saved_output(call->calibration, call->rows * call->width);
    lspo_cross_entropy_forward(call->rows, call->width, targets, logits);
    lspo_cross_entropy_backward(call->rows, call->width, targets, logits, 1e-3F, logits);
}

/* ---- classes that time and bytes describe ---- */

typedef struct {
    const char *kind;
    lspo_timed_function_t call;
    double element_bytes, launches; /* of one call */
    double *memory_Bps, *cached_Bps;
    size_t width_factor;
} vector_class_t;

enum { SHAPES = 7, TIMINGS = 2 * SHAPES, FIT_ROWS_MAX = TIMINGS * 64 };
static const size_t vector_shapes[SHAPES][2] = {{16, 64},   {64, 128},   {128, 128}, {512, 128},
                                                {256, 384}, {1024, 384}, {1024, 512}};

/* t = launches launch + bytes near + bytes (far - near) where far.  `launch_s` is fitted too where it points to NaN. */
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
    if (status == LSPO_OK && !(fit.cost[0] > 0))
        status = lspo_error(LSPO_ERR_CHECK, "%s: no rate fits its times: is the machine busy?", class->kind);
    if (status != LSPO_OK)
        return status;
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
    double x[TIMINGS][3];
    for (size_t i = 0; i < TIMINGS; i++) {
        vector_call_t call = {.calibration = calibration,
                              .rows = vector_shapes[i / 2][0],
                              .width = class->width_factor * vector_shapes[i / 2][1]};
        char shape[48];
        calibration->far = i % 2;
        snprintf(shape, sizeof shape, "%zux%zu %s", call.rows, call.width, calibration->far ? "far" : "near");
        timings[i] = lspo_calibrate_time(calibration, class->kind, shape, calibration->repeats, class->call, &call);
        x[i][0] = class->element_bytes * (double)(call.rows * call.width);
        x[i][1] = calibration->far ? x[i][0] : 0;
        x[i][2] = class->launches;
    }
    return fit_class(calibration, class, launch_s, timings, x);
}

lspo_status_t lspo_calibrate_vector_kernels(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const vector_class_t classes[] = {
        {"stream", call_stream, 7 * 4 + 2 * 8 + 4 * 4, 6, &machine->gpu.stream_Bps, &machine->gpu.stream_cached_Bps, 1},
        {"norm", call_norm, 8 + 16, 2, &machine->gpu.norm_Bps, &machine->gpu.norm_cached_Bps, 1},
        {"activation", call_gelu, 8 + 12, 2, &machine->gpu.activation_Bps, &machine->gpu.activation_cached_Bps, 2},
        {"loss", call_loss, 8 + 8, 2, &machine->gpu.loss_Bps, &machine->gpu.loss_cached_Bps, 1},
    };
    lspo_status_t status = LSPO_OK;
    machine->gpu.launch_s = NAN; /* from the first, the simplest */
    for (size_t i = 0; status == LSPO_OK && i < sizeof classes / sizeof classes[0]; i++)
        status = calibrate_class(calibration, &classes[i], &machine->gpu.launch_s);
    return status;
}

/* ---- projectors ---- */

typedef struct {
    lspo_calibration_t *calibration;
    size_t tokens;
    lspo_projector_t p, q;
} projector_call_t;

static void call_gather(void *context)
{
    projector_call_t *call = context;
    lspo_projector_gather(&call->q, call->tokens, lspo_calibrate_saved(call->calibration, call->tokens * call->q.rows),
                          call->q.rows, lspo_calibrate_recent_output(call->calibration, call->tokens * call->q.d));
}

static void call_scatter(void *context)
{
    projector_call_t *call = context;
    size_t d_elements = (size_t)call->p.d * call->q.d, w_elements = (size_t)call->p.rows * call->q.rows;
    lspo_projector_apply(&call->p, &call->q, lspo_calibrate_recent(call->calibration, d_elements), 1e-6F, 0,
                         lspo_calibrate_saved_output(call->calibration, w_elements), call->calibration->memory.scratch);
}

enum { WIDTH_P = 384, WIDTH_Q = 1536, SUBSPACE = 128, TOKENS = 512, PROJECTOR_TIMINGS = 6 };

/* By nonzeros (1, 4, 8), near and far. */
typedef struct {
    lspo_timing_t gather[PROJECTOR_TIMINGS], scatter[PROJECTOR_TIMINGS];
} projector_times_t;

static const uint32_t nonzeros[PROJECTOR_TIMINGS / 2] = {1, 4, 8};

static lspo_status_t time_projectors(lspo_calibration_t *calibration, uint32_t index, projector_times_t *times)
{
    projector_call_t call = {.calibration = calibration, .tokens = TOKENS};
    uint32_t r = nonzeros[index / 2];
    lspo_status_t status = LSPO_OK;
    char shape[48];
    calibration->far = index % 2;
    snprintf(shape, sizeof shape, "d%d r%u %s", SUBSPACE, r, calibration->far ? "far" : "near");
    if (!lspo_projector_random(WIDTH_P, SUBSPACE, r, 1, &call.p))
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a projector");
    if (!lspo_projector_random(WIDTH_Q, SUBSPACE, r, 2, &call.q)) {
        status = lspo_error(LSPO_ERR_MEMORY, "no memory for a projector");
        goto release_p;
    }
    times->gather[index] = lspo_calibrate_time(calibration, "gather", shape, calibration->repeats, call_gather, &call);
    times->scatter[index] =
        lspo_calibrate_time(calibration, "scatter", shape, calibration->repeats, call_scatter, &call);
    lspo_projector_release(&call.q);
release_p:
    lspo_projector_release(&call.p);
    return status;
}

/* With one nonzero a row memory decides, with many arithmetic does.  The rate of the latter is taken where it is used,
 * at 4 and 8 nonzeros near: geometric mean. */
static void set_projector_rates(lspo_calibration_t *calibration, const lspo_timing_t *timings, double bytes,
                                double flop_a_nonzero, double *flops, double *memory_Bps, double *cached_Bps)
{
    *flops = flop_a_nonzero * sqrt(nonzeros[1] / timings[2].median_s * (nonzeros[2] / timings[4].median_s));
    *cached_Bps = bytes / timings[0].median_s;
    *memory_Bps = fmin(bytes / timings[1].median_s, *cached_Bps);
    for (uint32_t i = 0; i < PROJECTOR_TIMINGS; i++)
        lspo_calibrate_set_fitted(
            calibration, &timings[i],
            fmax(flop_a_nonzero * nonzeros[i / 2] / *flops, bytes / (i % 2 ? *memory_Bps : *cached_Bps)));
    uint32_t samples = timings[0].count;
    lspo_calibrate_note(
        calibration, flops,
        *flops * hypot(timings[2].error_s / timings[2].median_s, timings[4].error_s / timings[4].median_s) / 2,
        2 * samples);
    lspo_calibrate_note(calibration, cached_Bps, *cached_Bps * timings[0].error_s / timings[0].median_s, samples);
    lspo_calibrate_note(calibration, memory_Bps, *memory_Bps * timings[1].error_s / timings[1].median_s, samples);
}

lspo_status_t lspo_calibrate_projectors(lspo_calibration_t *calibration)
{
    const double d = SUBSPACE, w = WIDTH_P, f = WIDTH_Q, t = TOKENS;
    lspo_machine_t *machine = &calibration->result->machine;
    projector_times_t times;
    for (uint32_t i = 0; i < PROJECTOR_TIMINGS; i++) {
        lspo_status_t status = time_projectors(calibration, i, &times);
        if (status != LSPO_OK)
            return status;
    }
    set_projector_rates(calibration, times.gather, 4 * t * (f + d), 2 * t * f, &machine->gpu.gather_flops,
                        &machine->gpu.gather_Bps, &machine->gpu.gather_cached_Bps);
    set_projector_rates(calibration, times.scatter, 4 * (2 * w * f + d * d), 2 * w * d + 2 * w * f,
                        &machine->gpu.scatter_flops, &machine->gpu.scatter_Bps, &machine->gpu.scatter_cached_Bps);
    return LSPO_OK;
}
