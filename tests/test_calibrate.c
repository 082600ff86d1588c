/* Calibration: the fit against times made from known rates, and the whole on this machine against kernels timed here. */
#include "real/calibrate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/gemm.h"
#include "kernels/random.h"
#include "real/calibrate_state.h"
#include "real/device.h"

static double model_s(const lspo_gemm_fit_t *fit, double m, double n, double k)
{
    return 2 * m * n * k / fit->flops * (1 + fit->m_half / m + fit->n_half / n + fit->k_half / k) + fit->launch_s;
}

/* 3 x 3 x 3 shapes; time = model x (1 + noise). */
static size_t make_times(const lspo_gemm_fit_t *truth, double noise, lspo_gemm_time_t *times)
{
    const double sizes[] = {32, 200, 1024};
    size_t count = 0;
    for (int m = 0; m < 3; m++)
        for (int n = 0; n < 3; n++)
            for (int k = 0; k < 3; k++) {
                double factor = 1 + noise * lspo_random_normal(1, 1, count);
                times[count++] = (lspo_gemm_time_t){.m = sizes[m],
                                                    .n = sizes[n],
                                                    .k = sizes[k],
                                                    .time_s = factor * model_s(truth, sizes[m], sizes[n], sizes[k])};
            }
    return count;
}

Test(calibrate, gemm_fit_recovers_the_rates)
{
    lspo_gemm_fit_t truth = {.flops = 123e9, .m_half = 17, .n_half = 5, .k_half = 40, .launch_s = 2e-6}, fit;
    lspo_gemm_time_t times[27];
    cr_assert_eq(lspo_calibrate_fit_gemm(times, make_times(&truth, 0, times), &fit), LSPO_OK);
    cr_assert_float_eq(fit.flops / truth.flops, 1, 1e-9);
    cr_assert_float_eq(fit.m_half, 17, 1e-6);
    cr_assert_float_eq(fit.n_half, 5, 1e-6);
    cr_assert_float_eq(fit.k_half, 40, 1e-6);
    cr_assert_float_eq(fit.launch_s, 2e-6, 1e-12);
}

Test(calibrate, gemm_fit_predicts_through_noise)
{
    lspo_gemm_fit_t truth = {.flops = 123e9, .m_half = 17, .n_half = 5, .k_half = 40, .launch_s = 2e-6}, fit;
    lspo_gemm_time_t times[27];
    cr_assert_eq(lspo_calibrate_fit_gemm(times, make_times(&truth, 0.05, times), &fit), LSPO_OK);
    for (double size = 64; size <= 1024; size *= 2)
        cr_assert_float_eq(model_s(&fit, size, 256, 512) / model_s(&truth, size, 256, 512), 1, 0.1);
}

/* Times that fall as k does, faster than flop: the half-size of k would be negative.  It must come out 0, not less. */
Test(calibrate, gemm_fit_keeps_half_sizes_non_negative)
{
    lspo_gemm_fit_t truth = {.flops = 100e9, .m_half = 10, .n_half = 10, .k_half = -8, .launch_s = 1e-6}, fit;
    lspo_gemm_time_t times[27];
    cr_assert_eq(lspo_calibrate_fit_gemm(times, make_times(&truth, 0, times), &fit), LSPO_OK);
    cr_assert_eq(fit.k_half, 0);
    cr_assert_geq(fit.m_half, 0);
    cr_assert_geq(fit.n_half, 0);
    cr_assert_geq(fit.launch_s, 0);
    cr_assert_gt(fit.flops, 0);
}

Test(calibrate, gemm_fit_refuses_nonsense)
{
    lspo_gemm_time_t times[27];
    for (int i = 0; i < 27; i++)
        times[i] = (lspo_gemm_time_t){.m = 64, .n = 64, .k = 64, .time_s = -1e-3};
    lspo_gemm_fit_t fit = {.flops = 7};
    cr_assert_eq(lspo_calibrate_fit_gemm(times, 27, &fit), LSPO_ERR_CHECK);
    cr_assert_eq(fit.flops, 7, "set on success only");
}

/* Pools hand out neighbouring regions and start again when the next one does not fit: 100 floats, rounded up to 16s. */
Test(calibrate, pools_wrap)
{
    float data[100];
    lspo_pool_t pool = {.data = data, .count = 100};
    cr_assert_eq(lspo_pool_take(&pool, 40) - data, 0);
    cr_assert_eq(lspo_pool_take(&pool, 40) - data, 48);
    cr_assert_eq(lspo_pool_take(&pool, 16) - data, 0);
}

typedef struct {
    size_t size;
    float *a, *b, *c;
} product_t;

static void multiply(void *context)
{
    product_t *p = context;
    lspo_gemm_nn(p->size, p->size, p->size, 1, p->a, p->size, p->b, p->size, 0, p->c, p->size);
}

static double product_flops(size_t size)
{
    product_t p = {.size = size,
                   .a = calloc(size * size, sizeof(float)),
                   .b = calloc(size * size, sizeof(float)),
                   .c = calloc(size * size, sizeof(float))};
    double time_s = lspo_calibrate_time_s(multiply, &p, 9);
    free(p.a);
    free(p.b);
    free(p.c);
    return 2 * pow((double)size, 3) / time_s;
}

static void count_progress(void *context, const char *label, unsigned done, unsigned of)
{
    cr_assert_not_null(label);
    cr_assert_leq(done, of);
    ++*(unsigned *)context;
}

/* Other work on the machine changes every rate, so bounds are wide; what they catch is a wrong unit or count. */
Test(calibrate, this_machine_quickly)
{
    unsigned reports = 0;
    lspo_calibrate_options_t options = {
        .device = "host", .quick = true, .progress = count_progress, .progress_context = &reports};
    lspo_machine_t machine;
    uint64_t start_ns = lspo_now_ns();
    cr_assert_eq(lspo_calibrate(&options, &machine), LSPO_OK);
    double elapsed_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    double flops = product_flops(512);
    double fitted = 2 * pow(512, 3) /
                    (2 * pow(512, 3) / machine.gpu.gemm_flops[LSPO_FP32] *
                         (1 + (machine.gpu.gemm_m_half + machine.gpu.gemm_n_half + machine.gpu.gemm_k_half) / 512) +
                     machine.gpu.launch_s);
    cr_assert_gt(reports, 2u);
    cr_assert_eq(lspo_machine_check(&machine), LSPO_OK);
    cr_assert_gt(fitted / flops, 0.3, "fitted %g FLOP/s, measured here %g", fitted, flops);
    cr_assert_lt(fitted / flops, 3, "fitted %g FLOP/s, measured here %g", fitted, flops);
    cr_assert_lt(machine.gpu.attention_flops, 2 * machine.gpu.gemm_flops[LSPO_FP32]);
    cr_assert_geq(machine.cpu.adam_cached_pps, machine.cpu.adam_pps);
    cr_assert_lt(machine.link.h2d_latency_s, 0.05);
    cr_assert_lt(machine.gpu.op_s, 0.01);
    if (elapsed_s > 60) /* not an error: sanitizers and other work stretch it */
        fprintf(stderr, "a quick calibration took %g s here\n", elapsed_s);

    /* What is written reads back. */
    char path[] = "/tmp/lspo-test-calibrate-XXXXXX";
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "w");
    cr_assert_not_null(file);
    cr_assert_eq(lspo_machine_write(&machine, NULL, file), LSPO_OK);
    fclose(file);
    lspo_machine_t again;
    cr_assert_eq(lspo_machine_find(path, &again), LSPO_OK);
    unlink(path);
    cr_assert_eq(again.gpu.attention_flops, machine.gpu.attention_flops);
    cr_assert_eq(again.contention[LSPO_LANE_GPU][LSPO_LANE_CPU], machine.contention[LSPO_LANE_GPU][LSPO_LANE_CPU]);
}

Test(calibrate, unknown_device_is_refused)
{
    lspo_calibrate_options_t options = {.device = "cuda:9"};
    lspo_machine_t machine;
    cr_assert_eq(lspo_calibrate(&options, &machine), LSPO_ERR_DEVICE);
    options.device = "nonsense";
    cr_assert_eq(lspo_calibrate(&options, &machine), LSPO_ERR_INPUT);
}
