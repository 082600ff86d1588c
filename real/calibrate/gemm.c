/* gemm.c - time matrix products: a grid of shapes in the cache, and the added time for operands from memory. */
#include <math.h>
#include <stdio.h>

#include "real/calibrate/state.h"
#include "traces/median.h"

typedef struct {
    lspo_calibration_t *calibration;
    lspo_layout_t layout;
    size_t m, n, k;
} gemm_call_t;

/* As in the passes: Y = X W (nn) and dX = dY W^T (nt) with weights that were last used long ago; dW = X^T dY (tn) with
 * an X of the forward pass and a gradient that was last used in the previous iteration. */
static void call_gemm(void *context)
{
    const gemm_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t m = call->m, n = call->n, k = call->k;
    if (call->layout == LSPO_LAYOUT_TN) {
        const void *x = lspo_calibrate_saved(c, m * k), *dy = lspo_calibrate_recent(c, k * n);
        lspo_compute_gemm_tn(c->compute, &(lspo_gemm_t){.m = m,
                                                        .n = n,
                                                        .k = k,
                                                        .alpha = 1,
                                                        .a = x,
                                                        .a_stride = m,
                                                        .b = dy,
                                                        .b_stride = n,
                                                        .c = lspo_calibrate_saved_output(c, m * n),
                                                        .c_stride = n});
        return;
    }
    const void *x = lspo_calibrate_recent(c, m * k), *weights = lspo_calibrate_saved(c, k * n);
    const bool nn = call->layout == LSPO_LAYOUT_NN;
    const lspo_gemm_t product = {.m = m,
                                 .n = n,
                                 .k = k,
                                 .alpha = 1,
                                 .a = x,
                                 .a_stride = k,
                                 .b = weights,
                                 .b_stride = nn ? n : k,
                                 .c = lspo_calibrate_recent_output(c, m * n),
                                 .c_stride = n};
    (nn ? lspo_compute_gemm_nn : lspo_compute_gemm_nt)(c->compute, &product);
}

static lspo_timing_t time_gemm(lspo_calibration_t *calibration, lspo_layout_t layout, const size_t size[3],
                               uint32_t repeats)
{
    gemm_call_t call = {calibration, layout, size[0], size[1], size[2]};
    char shape[48];
    snprintf(shape, sizeof shape, "m%zu n%zu k%zu %s %s", size[0], size[1], size[2], lspo_layout_name(layout),
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

/* Median time of each shape in each layout.  All shapes are timed once per sweep, because a machine's speed drifts and
 * shapes must be comparable. */
static void sweep_grid(lspo_calibration_t *calibration, uint32_t sweeps, double median_s[LSPO_LAYOUT_COUNT][SHAPES],
                       double error_s[LSPO_LAYOUT_COUNT][SHAPES])
{
    static double times_s[LSPO_LAYOUT_COUNT][SHAPES][SWEEPS_MAX];
    calibration->far = calibration->asynchronous; /* the profile of a GPU has no cache: see time_memory() */
    for (uint32_t sweep = 0; sweep < sweeps; sweep++)
        for (size_t shape = 0; shape < SHAPES; shape++) {
            size_t size[3];
            shape_size(calibration, shape, size);
            for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++)
                times_s[layout][shape][sweep] = time_gemm(calibration, (lspo_layout_t)layout, size, 1).median_s;
        }
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++)
        for (size_t shape = 0; shape < SHAPES; shape++) {
            median_s[layout][shape] = lspo_median(times_s[layout][shape], sweeps);
            error_s[layout][shape] = lspo_calibrate_error(times_s[layout][shape], sweeps);
        }
}

/* The grid and its best rate, without the time of launches; shapes shorter than ten launches do not count for the best
 * rate. */
static void time_grid(lspo_calibration_t *calibration)
{
    static double median_s[LSPO_LAYOUT_COUNT][SHAPES], error_s[LSPO_LAYOUT_COUNT][SHAPES];
    static double flops[LSPO_LAYOUT_COUNT][SHAPES];
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_products_t *grid = &machine->products;
    uint32_t sweeps = calibration->quick ? 3 : SWEEPS_MAX;
    double best = 0, best_error = 0, launch_s = machine->gpu.launch_s;
    sweep_grid(calibration, sweeps, median_s, error_s);
    for (size_t i = 0; i < LSPO_LAYOUT_COUNT * SHAPES; i++) {
        size_t layout = i / SHAPES, shape = i % SHAPES, size[3];
        double time_s = median_s[layout][shape];
        shape_size(calibration, shape, size);
        flops[layout][shape] =
            2 * (double)size[0] * (double)size[1] * (double)size[2] / fmax(time_s - launch_s, time_s / 2);
        if (time_s >= 10 * launch_s && flops[layout][shape] > best) {
            best = flops[layout][shape];
            best_error = error_s[layout][shape] / time_s;
        }
    }
    if (!(best > 0)) /* launches take longer than every product: use the largest one */
        best = flops[LSPO_LAYOUT_NN][SHAPES - 1];
    grid->size_count = SIZES;
    for (size_t i = 0; i < SIZES; i++)
        grid->sizes[i] = (double)calibration->shapes->product_sizes[i];
    for (size_t i = 0; i < LSPO_LAYOUT_COUNT * SHAPES; i++) { /* four digits are more than the accuracy */
        size_t layout = i / SHAPES, shape = i % SHAPES;
        grid->share[layout][shape / SIZES / SIZES][shape / SIZES % SIZES][shape % SIZES] =
            fmin(fmax(round(flops[layout][shape] / best * 1e4), 1), 1e4) / 1e4;
    }
    /* Other formats than the measured one: the host device computes at the same rate; for a GPU, calibrate with another
     * precision. */
    for (int precision = 0; precision < LSPO_PRECISION_COUNT; precision++) {
        machine->gpu.gemm_flops[precision] = best;
        lspo_calibrate_note(calibration, &machine->gpu.gemm_flops[precision], best * best_error,
                            SHAPES * LSPO_LAYOUT_COUNT * sweeps);
    }
}

/* Tokens; inputs and outputs of linear layers, from narrow to wide. */
static const size_t far_tokens[] = {128, 512}, far_layers[][2] = {{128, 384},  {128, 512},  {512, 128}, {384, 384},
                                                                  {384, 1536}, {1536, 384}, {512, 16},  {16, 512}};
enum { FAR_TOKENS = sizeof far_tokens / sizeof far_tokens[0], FAR_LAYERS = sizeof far_layers / sizeof far_layers[0] };

/* Difference of far and near by far bytes: a robust fit through the origin. */
static lspo_status_t time_memory(lspo_calibration_t *calibration, lspo_layout_t layout)
{
    enum { ROWS_MAX = FAR_TOKENS * FAR_LAYERS * 32 };
    double *rate = &calibration->result->machine.gpu.gemm_memory_Bps[layout];
    lspo_fit_row_t rows[ROWS_MAX];
    lspo_fit_t fit;
    size_t count = 0;
    for (size_t i = 0; i < FAR_TOKENS * FAR_LAYERS; i++) {
        size_t t = far_tokens[i % FAR_TOKENS], in = far_layers[i / FAR_TOKENS][0], out = far_layers[i / FAR_TOKENS][1];
        const size_t shapes[LSPO_LAYOUT_COUNT][3] = {{t, out, in}, {t, in, out}, {in, out, t}};
        double bytes = 4 * (double)(layout == LSPO_LAYOUT_TN ? t * in + in * out : in * out);
        calibration->far = false;
        lspo_timing_t near = time_gemm(calibration, layout, shapes[layout], calibration->repeats);
        calibration->far = true;
        lspo_timing_t far = time_gemm(calibration, layout, shapes[layout], calibration->repeats);
        for (uint32_t sample = 0; sample < far.count && count < ROWS_MAX; sample++)
            rows[count++] = (lspo_fit_row_t){
                .x = {bytes},
                .y = calibration->result->samples[far.first + sample].time_s - near.median_s,
                .scale = near.median_s,
            };
    }
    lspo_status_t status = lspo_fit_rows("products from memory", rows, count, 1, &fit);
    if (status != LSPO_OK)
        return status;
    if (fit.cost[0] > 0) { /* otherwise memory is as fast as the cache */
        *rate = 1 / fit.cost[0];
        lspo_calibrate_note(calibration, rate, fit.error[0] / (fit.cost[0] * fit.cost[0]), (uint32_t)count);
    }
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_gemm(lspo_calibration_t *calibration)
{
    if (calibration->asynchronous) { /* the grid of a GPU was already timed with operands outside its small cache */
        time_grid(calibration);
        return LSPO_OK;
    }
    calibration->evicted = true; /* the library packs operands into buffers that other kernels evict */
    time_grid(calibration);
    lspo_status_t status = LSPO_OK;
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++) {
        status = time_memory(calibration, (lspo_layout_t)layout);
        if (status != LSPO_OK)
            break;
    }
    calibration->evicted = false;
    return status;
}
