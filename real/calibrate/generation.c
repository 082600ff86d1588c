/* generation.c - measure the kernels of generation, which read a weight or a cache once, the expansion of pruned
 * weights, and products with ternary ones.  They run on the host device only. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cached_attention.h"
#include "kernels/few_rows.h"
#include "kernels/int4.h"
#include "kernels/pruned.h"
#include "kernels/random.h"
#include "kernels/ternary.h"
#include "real/calibrate/state.h"

/* t = launch_s + bytes near + bytes (far - near) if from memory + amount / rate + overhead of a kernel; of the second
 * and third together, and the fourth, the longer hides the share `overlap` of the shorter.  overlap: NULL: none. */
typedef struct {
    const char *kind;
    double *memory_Bps, *cached_Bps, *rate, *kernel_s, *overlap;
} reading_t;

enum { WEIGHTS = 5, ROW_COUNTS = 3, CACHES = 7, COLUMNS = 4 };
enum { TIMINGS_MAX = 2 * ROW_COUNTS * WEIGHTS, FIT_ROWS_MAX = TIMINGS_MAX * 64 };
static const size_t weights[WEIGHTS][2] = {{128, 384}, {512, 128}, {384, 384}, {384, 1536}, {1536, 384}};
static const size_t row_counts[ROW_COUNTS] = {1, 6, LSPO_FEW_ROWS};
static const size_t caches[CACHES][4] = {{1, 96, 4, 32},  {4, 128, 4, 32}, {4, 192, 4, 32}, {1, 64, 6, 64},
                                         {1, 160, 6, 64}, {4, 128, 6, 64}, {2, 240, 6, 64}};

typedef struct {
    lspo_timing_t timings[TIMINGS_MAX];
    double x[TIMINGS_MAX][COLUMNS];
    size_t count;
} readings_t;

/* A kernel at one shape. */
typedef struct {
    char shape[48];
    lspo_timed_function_t call;
    void *context;
    double bytes, amount;
} shaped_t;

static void add_reading(lspo_calibration_t *calibration, const reading_t *reading, const shaped_t *shaped,
                        readings_t *readings)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s", shaped->shape, calibration->far ? "far" : "near");
    const size_t i = readings->count++;
    readings->timings[i] =
        lspo_calibrate_time(calibration, reading->kind, name, calibration->repeats, shaped->call, shaped->context);
    readings->x[i][0] = shaped->bytes;
    readings->x[i][1] = calibration->far ? shaped->bytes : 0;
    readings->x[i][2] = shaped->amount;
    readings->x[i][3] = 1;
}

/* The times of a reading by a fit, with x as in readings_t. */
static double fitted_s(const lspo_fit_t *fit, double overlap, const double *x)
{
    const double read_s = fit->cost[0] * x[0] + fit->cost[1] * x[1], rate_s = fit->cost[2] * x[2];
    return fmax(read_s, rate_s) + (1 - overlap) * fmin(read_s, rate_s) + fit->cost[3] * x[3];
}

/* Sum of squared relative errors, each limited to 30 %: a disturbed sample must not determine the overlap. */
static double misfit(const lspo_fit_row_t *rows, size_t count, const lspo_fit_t *fit, double overlap)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double error = fmin(0.3, fabs(fitted_s(fit, overlap, rows[i].x) - rows[i].y) / rows[i].scale);
        sum += error * error;
    }
    return sum;
}

/* Which of the two times is the shorter depends on the costs, and the other way round: a few steps are enough. */
static lspo_status_t fit_overlapped(const char *kind, const lspo_fit_row_t *rows, size_t count, double overlap,
                                    lspo_fit_t *fit)
{
    enum { STEPS = 5 };
    lspo_fit_row_t scaled[FIT_ROWS_MAX];
    lspo_status_t status = lspo_fit_rows(kind, rows, count, COLUMNS, fit);
    for (int step = 0; overlap > 0 && step < STEPS && status == LSPO_OK; step++) {
        for (size_t i = 0; i < count; i++) {
            const double *x = rows[i].x;
            const bool reads = fit->cost[0] * x[0] + fit->cost[1] * x[1] >= fit->cost[2] * x[2];
            scaled[i] = rows[i];
            scaled[i].x[0] *= reads ? 1 : 1 - overlap;
            scaled[i].x[1] *= reads ? 1 : 1 - overlap;
            scaled[i].x[2] *= reads ? 1 - overlap : 1;
        }
        status = lspo_fit_rows(kind, scaled, count, COLUMNS, fit);
    }
    return status;
}

/* The overlap of which the times are nearest. */
static lspo_status_t fit_any(const reading_t *reading, const lspo_fit_row_t *rows, size_t count, lspo_fit_t *fit_out,
                             double *overlap_out)
{
    enum { TRIED = 10 };
    double best = INFINITY;
    *overlap_out = 0;
    for (int tried = 0; tried <= (reading->overlap != NULL ? TRIED : 0); tried++) {
        const double overlap = (double)tried / TRIED;
        lspo_fit_t fit;
        const lspo_status_t status = fit_overlapped(reading->kind, rows, count, overlap, &fit);
        if (status != LSPO_OK)
            return status;
        const double sum = misfit(rows, count, &fit, overlap);
        if (sum < best) {
            best = sum;
            *fit_out = fit;
            *overlap_out = overlap;
        }
    }
    return LSPO_OK;
}

/* Reading from cache that takes no time is taken to be so much faster than from memory. */
enum { CACHED_MOST = 100 };

static lspo_status_t fit_reading(lspo_calibration_t *calibration, const reading_t *reading, const readings_t *readings)
{
    const double launch_s = calibration->result->machine.gpu.launch_s;
    lspo_fit_row_t rows[FIT_ROWS_MAX];
    lspo_fit_t fit;
    size_t count = 0;
    double overlap;
    for (size_t i = 0; i < readings->count; i++)
        count += lspo_calibrate_rows(calibration, &readings->timings[i], readings->x[i], COLUMNS, rows + count,
                                     FIT_ROWS_MAX - count);
    for (size_t i = 0; i < count; i++)
        rows[i].y = fmax(rows[i].y - launch_s, rows[i].y / 10);
    lspo_status_t status = fit_any(reading, rows, count, &fit, &overlap);
    /* A busy machine hides what reading costs behind the rest: then the rest is left out. */
    if (status == LSPO_OK && !(fit.cost[0] + fit.cost[1] > 0))
        status = lspo_fit_rows(reading->kind, rows, count, 2, &fit);
    if (status != LSPO_OK)
        return status;
    const double far = fit.cost[0] + fit.cost[1], near = fmax(fit.cost[0], far / CACHED_MOST);
    if (!(far > 0))
        return lspo_error(LSPO_ERR_CHECK, "%s: no rate fits its times: is the machine busy?", reading->kind);
    for (size_t i = 0; i < readings->count; i++)
        lspo_calibrate_set_fitted(calibration, &readings->timings[i],
                                  launch_s + fitted_s(&fit, overlap, readings->x[i]));
    *reading->memory_Bps = 1 / far;
    *reading->cached_Bps = 1 / near;
    *reading->rate = fit.cost[2] > 0 ? 1 / fit.cost[2] : 0;
    *reading->kernel_s = fit.cost[3];
    lspo_calibrate_note(calibration, reading->memory_Bps, hypot(fit.error[0], fit.error[1]) / (far * far),
                        (uint32_t)count);
    lspo_calibrate_note(calibration, reading->cached_Bps, fit.error[0] / (near * near), (uint32_t)count);
    if (fit.cost[2] > 0)
        lspo_calibrate_note(calibration, reading->rate, fit.error[2] / (fit.cost[2] * fit.cost[2]), (uint32_t)count);
    lspo_calibrate_note(calibration, reading->kernel_s, fit.error[3], (uint32_t)count);
    if (reading->overlap != NULL) {
        *reading->overlap = overlap;
        lspo_calibrate_note(calibration, reading->overlap, NAN, (uint32_t)count);
    }
    return LSPO_OK;
}

/* The activations of a token, which are small and stay in the core's own cache. */
typedef struct {
    const float *x, *residual;
    float *out;
} vectors_t;

static vectors_t take_vectors(lspo_calibration_t *calibration, size_t in, size_t out)
{
    return (vectors_t){.x = lspo_calibrate_recent_floats(calibration, in),
                       .residual = lspo_calibrate_recent_floats(calibration, out),
                       .out = lspo_calibrate_recent_output_floats(calibration, out)};
}

/* ---- products of few rows ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_few_rows_t product;
    vectors_t vectors;
} product_call_t;

static void call_product(void *context)
{
    product_call_t *call = context;
    call->product.w = lspo_calibrate_saved_floats(call->calibration, call->product.m * call->product.n);
    lspo_few_rows_product(&call->product, call->vectors.x, call->vectors.residual, call->vectors.out, NULL);
}

static lspo_status_t calibrate_products(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const reading_t reading = {"few rows",
                               &machine->gpu.few_rows_Bps,
                               &machine->gpu.few_rows_cached_Bps,
                               &machine->gpu.few_rows_flops,
                               &machine->gpu.few_rows_s,
                               &machine->gpu.few_rows_overlap};
    readings_t readings = {0};
    for (size_t i = 0; i < 2 * ROW_COUNTS * WEIGHTS; i++) {
        const size_t *shape = weights[i / (2 * ROW_COUNTS)];
        const size_t rows = row_counts[i / 2 % ROW_COUNTS], m = shape[0], n = shape[1];
        const vectors_t vectors = take_vectors(calibration, rows * m, rows * n);
        product_call_t call = {
            calibration, {.rows = rows, .m = m, .n = n, .number = LSPO_NUMBER_FP32, .bias = vectors.residual}, vectors};
        shaped_t shaped = {.call = call_product,
                           .context = &call,
                           .bytes = 4.0 * (double)(m * n + rows * (m + n)),
                           .amount = 2.0 * (double)(rows * m * n)};
        calibration->far = i % 2;
        snprintf(shaped.shape, sizeof shaped.shape, "%zux%zux%zu", rows, m, n);
        add_reading(calibration, &reading, &shaped, &readings);
    }
    return fit_reading(calibration, &reading, &readings);
}

/* ---- the same with weights in 4 bits ---- */

enum { GROUP = 128, PACKED_BYTES = 2 * LSPO_CALIBRATE_FAR_BYTES };

typedef struct {
    lspo_calibration_t *calibration;
    lspo_int4_product_t product;
    vectors_t vectors;
    char *copies; /* of W, in memory much larger than a cache */
    size_t copy_count, next;
} int4_call_t;

/* Those that are used in turn: as large as a pool. */
static size_t copies_of(const int4_call_t *call)
{
    const lspo_calibration_t *c = call->calibration;
    return c->far ? call->copy_count
                  : c->memory->near_input.around * sizeof(float) / lspo_int4_bytes(&call->product.shape);
}

static void call_int4(void *context)
{
    int4_call_t *call = context;
    call->next = (call->next + 1) % copies_of(call);
    call->product.packed = call->copies + call->next * lspo_int4_bytes(&call->product.shape);
    lspo_int4_product(&call->product, call->vectors.x, call->vectors.residual, call->vectors.out, NULL);
}

/* A weight of m x n whose codes are all different from their neighbours, as often as it fits. */
static lspo_status_t fill_copies(int4_call_t *call)
{
    const lspo_int4_shape_t *shape = &call->product.shape;
    const size_t bytes = lspo_int4_bytes(shape), scale_count = lspo_int4_groups(shape) * shape->n;
    uint8_t *codes = malloc(shape->m * shape->n);
    uint16_t *scales = malloc(scale_count * sizeof *scales);
    lspo_status_t status = codes && scales ? LSPO_OK : lspo_no_memory("a weight in 4 bits");
    for (size_t i = 0; status == LSPO_OK && i < shape->m * shape->n; i++)
        codes[i] = (uint8_t)(i * 7 % LSPO_INT4_CODES);
    for (size_t i = 0; status == LSPO_OK && i < scale_count; i++)
        scales[i] = 0x2c00; /* fp16: 1/16 */
    call->copy_count = PACKED_BYTES / bytes;
    if (status == LSPO_OK)
        lspo_int4_pack(shape, codes, scales, NULL, call->copies);
    for (size_t i = 1; status == LSPO_OK && i < call->copy_count; i++)
        memcpy(call->copies + i * bytes, call->copies, bytes);
    free(codes);
    free(scales);
    return status;
}

static lspo_status_t time_int4(lspo_calibration_t *calibration, const reading_t *reading, char *copies,
                               readings_t *readings)
{
    for (size_t i = 0; i < WEIGHTS; i++) {
        int4_call_t call = {.calibration = calibration,
                            .product.shape = {.m = weights[i][0], .n = weights[i][1], .group = GROUP},
                            .copies = copies};
        const lspo_int4_shape_t *shape = &call.product.shape;
        lspo_status_t status = fill_copies(&call);
        if (status != LSPO_OK)
            return status;
        for (size_t j = 0; j < 2 * ROW_COUNTS; j++) {
            const size_t rows = row_counts[j / 2];
            shaped_t shaped = {.call = call_int4,
                               .context = &call,
                               .bytes = (double)lspo_int4_bytes(shape) + 4.0 * (double)(rows * (shape->m + shape->n)),
                               .amount = 2.0 * (double)(rows * shape->m * shape->n)};
            calibration->far = j % 2;
            call.product.rows = rows;
            call.vectors = take_vectors(calibration, rows * shape->m, rows * shape->n);
            for (size_t k = 0; !calibration->far && k < copies_of(&call); k++)
                call_int4(&call);
            snprintf(shaped.shape, sizeof shaped.shape, "%zux%zux%zu", rows, shape->m, shape->n);
            add_reading(calibration, reading, &shaped, readings);
        }
    }
    return LSPO_OK;
}

static lspo_status_t calibrate_int4(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const reading_t reading = {"4-bit rows",
                               &machine->gpu.int4_Bps,
                               &machine->gpu.int4_cached_Bps,
                               &machine->gpu.int4_flops,
                               &machine->gpu.int4_s,
                               NULL};
    readings_t readings = {0};
    char *copies = NULL; /* in large pages, as weights are */
    lspo_status_t status = lspo_device_host_alloc(calibration->device, PACKED_BYTES, (void **)&copies);
    if (status != LSPO_OK)
        return status;
    status = time_int4(calibration, &reading, copies, &readings);
    lspo_device_host_free(calibration->device, copies);
    return status == LSPO_OK ? fit_reading(calibration, &reading, &readings) : status;
}

/* ---- attention of one token to a cache ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_cached_attention_t attention;
    vectors_t vectors;
} cache_call_t;

static void call_cache(void *context)
{
    const cache_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    lspo_cached_attention_t a = call->attention;
    const size_t numbers = a.batch * a.sequence_stride;
    a.k = (float *)(uintptr_t)lspo_calibrate_saved_floats(c, numbers);
    a.v = (float *)(uintptr_t)lspo_calibrate_saved_floats(c, numbers);
    lspo_cached_attention(&a, call->vectors.x, call->vectors.out, c->memory->scratch, NULL);
}

static lspo_status_t calibrate_caches(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const reading_t reading = {"cache",
                               &machine->gpu.cache_Bps,
                               &machine->gpu.cache_cached_Bps,
                               &machine->gpu.cache_scores_pps,
                               &machine->gpu.cache_s,
                               NULL};
    readings_t readings = {0};
    for (size_t i = 0; i < 2 * CACHES; i++) {
        const size_t *shape = caches[i / 2], width = shape[2] * shape[3];
        cache_call_t call = {calibration,
                             {.batch = shape[0],
                              .queries = 1,
                              .first = shape[1] - 1,
                              .heads = shape[2],
                              .kv_heads = shape[2],
                              .head_width = shape[3],
                              .q_stride = width,
                              .kv_stride = width,
                              .number = LSPO_NUMBER_FP32,
                              .token_stride = width,
                              .sequence_stride = shape[1] * width},
                             take_vectors(calibration, shape[0] * width, shape[0] * width)};
        shaped_t shaped = {.call = call_cache,
                           .context = &call,
                           .bytes = 4.0 * 2.0 * (double)(shape[0] * width * (shape[1] + 1)),
                           .amount = (double)(shape[0] * shape[1] * shape[2])};
        calibration->far = i % 2;
        snprintf(shaped.shape, sizeof shaped.shape, "%zux%zu of %zux%zu", shape[0], shape[1], shape[2], shape[3]);
        add_reading(calibration, &reading, &shaped, &readings);
    }
    return fit_reading(calibration, &reading, &readings);
}

/* ---- expansion of pruned weights, half of them zero ---- */

enum { PRUNED_ROWS = 384, PRUNED_COLS = 1536, PRUNED_COUNT = PRUNED_ROWS * PRUNED_COLS };

typedef struct {
    lspo_calibration_t *calibration;
    lspo_bitmap_t bitmap;
    lspo_csr_t csr;
} pruned_call_t;

static void call_bitmap(void *context)
{
    const pruned_call_t *call = context;
    lspo_bitmap_expand(&call->bitmap, lspo_calibrate_saved_output_floats(call->calibration, PRUNED_COUNT));
}

static void call_csr(void *context)
{
    const pruned_call_t *call = context;
    lspo_csr_expand(&call->csr, lspo_calibrate_saved_output_floats(call->calibration, PRUNED_COUNT));
}

static void keep_expansion(lspo_calibration_t *calibration, const char *kind, lspo_timed_function_t function,
                           void *call, double bytes, double *Bps)
{
    const lspo_timing_t timing =
        lspo_calibrate_time(calibration, kind, "384x1536 far", calibration->repeats, function, call);
    *Bps = bytes / timing.median_s;
    lspo_calibrate_set_fitted(calibration, &timing, timing.median_s);
    lspo_calibrate_note(calibration, Bps, *Bps * timing.error_s / timing.median_s, timing.count);
}

static lspo_status_t calibrate_expansion(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const size_t kept = PRUNED_COUNT / 2;
    const size_t bitmap_bytes = lspo_bitmap_bytes(PRUNED_COUNT, kept, LSPO_NUMBER_FP32);
    const size_t csr_bytes = lspo_csr_bytes(PRUNED_ROWS, kept, LSPO_NUMBER_FP32);
    float *dense = malloc(PRUNED_COUNT * sizeof *dense), *scratch = malloc(PRUNED_COUNT * sizeof *scratch);
    const size_t csr_at = (bitmap_bytes + 63) / 64 * 64;
    char *packed = NULL; /* in large pages, as weights are */
    lspo_status_t status = dense && scratch
                               ? lspo_device_host_alloc(calibration->device, csr_at + csr_bytes, (void **)&packed)
                               : lspo_no_memory("a pruned weight");
    if (status != LSPO_OK)
        goto cleanup;
    pruned_call_t call = {calibration, lspo_bitmap_place(PRUNED_COUNT, kept, LSPO_NUMBER_FP32, packed),
                          lspo_csr_place(PRUNED_ROWS, PRUNED_COLS, kept, LSPO_NUMBER_FP32, packed + csr_at)};
    calibration->far = true;
    memcpy(dense, lspo_calibrate_saved_floats(calibration, PRUNED_COUNT), PRUNED_COUNT * sizeof *dense);
    lspo_prune_magnitude(PRUNED_COUNT, 0.5, dense, scratch);
    lspo_bitmap_pack(dense, &call.bitmap);
    lspo_csr_pack(dense, &call.csr);
    keep_expansion(calibration, "bitmap", call_bitmap, &call, (double)bitmap_bytes + 4.0 * PRUNED_COUNT,
                   &machine->gpu.bitmap_Bps);
    keep_expansion(calibration, "CSR", call_csr, &call, (double)csr_bytes + 4.0 * PRUNED_COUNT, &machine->gpu.csr_Bps);
cleanup:
    lspo_device_host_free(calibration->device, packed);
    free(scratch);
    free(dense);
    return status;
}

/* ---- products with ternary weights ---- */

typedef struct {
    lspo_ternary_t packed;
    vectors_t vectors;
} ternary_call_t;

static void call_ternary(void *context)
{
    const ternary_call_t *call = context;
    lspo_ternary_product(&call->packed, 1, call->vectors.x, call->vectors.out, NULL);
}

/* Random weights as those of experts: 88.5 % zeros.  The codes are small, and stay in a cache. */
static lspo_status_t calibrate_ternary(lspo_calibration_t *calibration)
{
    const size_t room = PRUNED_COUNT / 2;
    float *dense = malloc(PRUNED_COUNT * sizeof *dense), *scratch = malloc(PRUNED_COUNT * sizeof *scratch);
    char *memory = malloc(lspo_ternary_bytes(PRUNED_COLS, room));
    lspo_status_t status = LSPO_OK;
    size_t codes = 0;
    if (dense == NULL || scratch == NULL || memory == NULL) {
        status = lspo_no_memory("a ternary weight");
        goto cleanup;
    }
    ternary_call_t call = {lspo_ternary_in(PRUNED_ROWS, PRUNED_COLS, memory),
                           take_vectors(calibration, PRUNED_ROWS, PRUNED_COLS)};
    lspo_random_normal_fill(1, 1, 0.02, PRUNED_COUNT, dense);
    lspo_ternary_round(PRUNED_ROWS, PRUNED_COLS, 0.885, dense, scratch);
    status = lspo_ternary_pack(dense, room, &call.packed, &codes);
    if (status == LSPO_OK)
        keep_expansion(calibration, "ternary", call_ternary, &call,
                       (double)lspo_ternary_bytes(PRUNED_COLS, codes) + 2.0 * PRUNED_COUNT,
                       &calibration->result->machine.gpu.ternary_Bps);
cleanup:
    free(memory);
    free(scratch);
    free(dense);
    return status;
}

lspo_status_t lspo_calibrate_generation(lspo_calibration_t *calibration)
{
    lspo_status_t (*const parts[])(lspo_calibration_t *) = {calibrate_products, calibrate_int4, calibrate_caches,
                                                            calibrate_expansion, calibrate_ternary};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; !calibration->asynchronous && status == LSPO_OK && i < sizeof parts / sizeof parts[0]; i++)
        status = parts[i](calibration);
    return status;
}
