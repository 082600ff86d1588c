/* calibrate_gemm.c - matrix products: a grid of shapes near, and what operands from memory add. */
#include <math.h>
#include <stdio.h>

#include "real/calibrate_state.h"
#include "traces/summary.h"

typedef enum { LAYOUT_NN, LAYOUT_NT, LAYOUT_TN, LAYOUT_COUNT } layout_t;
static const char *const layout_names[LAYOUT_COUNT] = {"nn", "nt", "tn"};

typedef struct {
    lspo_calibration_t *calibration;
    layout_t layout;
    size_t m, n, k;
} gemm_call_t;

/* As the passes call it: Y = X W (nn) and dX = dY W^T (nt) with weights that were last used long ago, dW = X^T dY (tn)
 * with an X of the forward pass and a gradient that nobody has touched since the last iteration. */
static void call_gemm(void *context)
{
    const gemm_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t m = call->m, n = call->n, k = call->k;
    if (call->layout == LAYOUT_TN) {
        const void *x = lspo_calibrate_saved(c, m * k), *dy = lspo_calibrate_recent(c, k * n);
        lspo_compute_gemm_tn(c->compute, m, n, k, 1, x, m, dy, n, 0, lspo_calibrate_saved_output(c, m * n), n);
        return;
    }
    const void *x = lspo_calibrate_recent(c, m * k), *weights = lspo_calibrate_saved(c, k * n);
    void *y = lspo_calibrate_recent_output(c, m * n);
    if (call->layout == LAYOUT_NN)
        lspo_compute_gemm_nn(c->compute, m, n, k, 1, x, k, weights, n, 0, y, n);
    else
        lspo_compute_gemm_nt(c->compute, m, n, k, 1, x, k, weights, k, 0, y, n);
}

static lspo_timing_t time_gemm(lspo_calibration_t *calibration, layout_t layout, const size_t size[3], uint32_t repeats)
{
    gemm_call_t call = {calibration, layout, size[0], size[1], size[2]};
    char shape[48];
    snprintf(shape, sizeof shape, "m%zu n%zu k%zu %s %s", size[0], size[1], size[2], layout_names[layout],
             calibration->far ? "far" : "near");
    return lspo_calibrate_time(calibration, "gemm", shape, repeats, call_gemm, &call);
}

enum { SIZES = LSPO_PRODUCT_SIZES_MAX, SHAPES = SIZES * SIZES * SIZES, SWEEPS_MAX = 7 };

static void shape_size(const lspo_calibration_t *calibration, size_t shape, size_t size[3])
{
    const size_t *sizes = calibration->shapes->product_sizes;
    size[0] = sizes[shape / SIZES / SIZES];
    size[1] = sizes[shape / SIZES % SIZES];
    size[2] = sizes[shape % SIZES];
}

/* Mean time of the three layouts of each shape, median of the sweeps.  Sweep after sweep, because a machine's speed
 * drifts: shapes that are compared must be timed at the same time. */
static void sweep_grid(lspo_calibration_t *calibration, uint32_t sweeps, double median_s[SHAPES],
                       double error_s[SHAPES])
{
    static double times_s[SHAPES][SWEEPS_MAX];
    calibration->far = calibration->asynchronous; /* the profile of a GPU has no cache: see time_memory() */
    for (uint32_t sweep = 0; sweep < sweeps; sweep++)
        for (size_t shape = 0; shape < SHAPES; shape++) {
            size_t size[3];
            shape_size(calibration, shape, size);
            times_s[shape][sweep] = 0;
            for (int layout = 0; layout < LAYOUT_COUNT; layout++)
                times_s[shape][sweep] += time_gemm(calibration, (layout_t)layout, size, 1).median_s / LAYOUT_COUNT;
        }
    for (size_t shape = 0; shape < SHAPES; shape++) {
        median_s[shape] = lspo_median(times_s[shape], sweeps);
        error_s[shape] = lspo_calibrate_error(times_s[shape], sweeps);
    }
}

/* The grid and its best rate, less what launches cost; shapes shorter than ten launches do not count for the best. */
static void time_grid(lspo_calibration_t *calibration)
{
    static double median_s[SHAPES], error_s[SHAPES], flops[SHAPES];
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_products_t *grid = &machine->products;
    uint32_t sweeps = calibration->quick ? 3 : SWEEPS_MAX;
    double best = 0, best_error = 0, launch_s = machine->gpu.launch_s;
    sweep_grid(calibration, sweeps, median_s, error_s);
    for (size_t shape = 0; shape < SHAPES; shape++) {
        size_t size[3];
        shape_size(calibration, shape, size);
        flops[shape] = 2 * (double)size[0] * (double)size[1] * (double)size[2] /
                       fmax(median_s[shape] - launch_s, median_s[shape] / 2);
        if (median_s[shape] >= 10 * launch_s && flops[shape] > best) {
            best = flops[shape];
            best_error = error_s[shape] / median_s[shape];
        }
    }
    if (!(best > 0)) /* launches that outlast every product: the largest is all there is to go by */
        best = flops[SHAPES - 1];
    grid->size_count = SIZES;
    for (size_t i = 0; i < SIZES; i++)
        grid->sizes[i] = (double)calibration->shapes->product_sizes[i];
    for (size_t shape = 0; shape < SHAPES; shape++) /* four digits: more than is known */
        grid->share[shape / SIZES / SIZES][shape / SIZES % SIZES][shape % SIZES] =
            fmin(fmax(round(flops[shape] / best * 1e4), 1), 1e4) / 1e4;
    /* In other formats than the measured one the host device computes at the same rate, and a GPU at one that
     * lspo_calibrate() with another precision finds. */
    for (int precision = 0; precision < LSPO_PRECISION_COUNT; precision++) {
        machine->gpu.gemm_flops[precision] = best;
        lspo_calibrate_note(calibration, &machine->gpu.gemm_flops[precision], best * best_error,
                            SHAPES * LAYOUT_COUNT * sweeps);
    }
}

/* Far less near, by far bytes, those of weights and those of a weight gradient: robust through the origin. */
static lspo_status_t time_memory(lspo_calibration_t *calibration)
{
    /* tokens, in and out of linear layers from narrow to wide */
    static const size_t tokens[] = {256, 1024}, layers[][2] = {{128, 384},  {128, 512},  {512, 128}, {384, 384},
                                                               {384, 1536}, {1536, 384}, {512, 16},  {16, 512}};
    enum { LAYERS = sizeof layers / sizeof layers[0], ROWS_MAX = 2 * LAYERS * LAYOUT_COUNT * 32 };
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_fit_row_t rows[ROWS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < 2 * LAYERS * LAYOUT_COUNT; i++) {
        size_t t = tokens[i % 2], in = layers[i / 2 % LAYERS][0], out = layers[i / 2 % LAYERS][1];
        layout_t layout = (layout_t)(i / 2 / LAYERS);
        const size_t shapes[LAYOUT_COUNT][3] = {{t, out, in}, {t, in, out}, {in, out, t}};
        double bytes = 4 * (double)(layout == LAYOUT_TN ? t * in + in * out : in * out); /* those that are far */
        calibration->far = false;
        lspo_timing_t near = time_gemm(calibration, layout, shapes[layout], calibration->repeats);
        calibration->far = true;
        lspo_timing_t far = time_gemm(calibration, layout, shapes[layout], calibration->repeats);
        for (uint32_t sample = 0; sample < far.count && count < ROWS_MAX; sample++)
            rows[count++] = (lspo_fit_row_t){
                .x = {layout == LAYOUT_TN ? 0 : bytes, layout == LAYOUT_TN ? bytes : 0},
                .y = calibration->result->samples[far.first + sample].time_s - near.median_s,
                .scale = near.median_s,
            };
    }
    lspo_fit_t fit;
    lspo_status_t status = lspo_fit_rows("products from memory", rows, count, 2, &fit);
    if (status != LSPO_OK)
        return status;
    double *const rates[] = {&machine->gpu.gemm_weight_Bps, &machine->gpu.gemm_memory_Bps};
    for (size_t i = 0; i < 2; i++)
        if (fit.cost[i] > 0) { /* else memory is as fast as the cache: nothing to add */
            *rates[i] = 1 / fit.cost[i];
            lspo_calibrate_note(calibration, rates[i], fit.error[i] / (fit.cost[i] * fit.cost[i]), (uint32_t)count);
        }
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_gemm(lspo_calibration_t *calibration)
{
    if (calibration->asynchronous) { /* operands that are not in a GPU's small cache are what the grid was timed with */
        time_grid(calibration);
        return LSPO_OK;
    }
    calibration->evicted = true; /* the library packs operands into buffers that other kernels push out */
    time_grid(calibration);
    lspo_status_t status = time_memory(calibration);
    calibration->evicted = false;
    return status;
}
