/* The calibration's measurements: that they go through the device's memory, streams and marks.  On the CPU that stands
 * in for a GPU (tests/cuda_on_host/) at sizes that it manages, and what they find is its speed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "real/calibrate/state.h"
#include "tests/cuda_on_host/cuda_on_host.h"

static const lspo_calibration_shapes_t small_shapes = {
    .near_floats = (2 << 20) + 64, /* the largest gradient of the CPU optimizer */
    .far_floats = 8 << 20,
    .product_sizes = {2, 4, 6, 8, 16, 32, 48, 64},
    .vectors = {{8, 32}, {16, 64}, {32, 64}, {32, 128}, {64, 128}, {64, 192}, {128, 192}},
    .attentions = {{1, 16, 2, 16},
                   {1, 32, 2, 16},
                   {1, 48, 2, 16},
                   {2, 32, 2, 16},
                   {1, 16, 2, 32},
                   {1, 32, 2, 32},
                   {2, 32, 1, 64},
                   {1, 64, 1, 64}},
    .width_p = 64,
    .width_q = 96,
    .subspace = 16,
    .nonzeros = {1, 4, 8},
    .tokens = 32,
    .adam_near = 512,
    .adam_far = 65536,
    .message_sizes = 9,
    .block_width = 32,
    .block_sequence = 16,
};

static void count_progress(void *context, const char *label, unsigned done, unsigned of)
{
    cr_assert_not_null(label);
    cr_assert_leq(done, of);
    ++*(unsigned *)context;
}

/* A machine that others use may have times that fit nothing: then again. */
static lspo_status_t calibrate(lspo_calibration_result_t *result_out)
{
    unsigned reports = 0;
    const lspo_calibrate_options_t options = {.device = "cuda",
                                              .precision = cuda_has_bf16() ? LSPO_BF16 : LSPO_FP16,
                                              .quick = true,
                                              .progress = count_progress,
                                              .progress_context = &reports};
    lspo_status_t status = LSPO_ERR_CHECK;
    for (int i = 0; status == LSPO_ERR_CHECK && i < 2; i++)
        status = lspo_calibrate_at(&options, cuda_on_host() ? &small_shapes : NULL, result_out);
    cr_assert_gt(reports, 2u);
    return status;
}

/* Between an op of the CPU and one of the GPU: the clocks of the two agree to some microseconds (mark_cuda.c); where
 * they contradict the order of ops, the gap is 0. */
static bool is_gap(const lspo_calibration_sample_t *sample)
{
    return strncmp(sample->shape, "gap ", 4) == 0;
}

/* Median of the samples of a kind and, unless NULL, shape; NaN without any. */
static double median_s(const lspo_calibration_result_t *result, const char *kind, const char *shape, size_t *count_out)
{
    double *times_s = malloc(result->sample_count * sizeof *times_s), median = NAN;
    size_t count = 0;
    for (size_t i = 0; i < result->sample_count; i++) {
        const lspo_calibration_sample_t *sample = &result->samples[i];
        if (strcmp(sample->kind, kind) == 0 && (shape == NULL || strcmp(sample->shape, shape) == 0)) {
            cr_expect(sample->time_s > 0 || (is_gap(sample) && sample->time_s >= 0), "%s %s: %g s", sample->kind,
                      sample->shape, sample->time_s);
            size_t at = count++;
            for (; at > 0 && times_s[at - 1] > sample->time_s; at--)
                times_s[at] = times_s[at - 1];
            times_s[at] = sample->time_s;
        }
    }
    if (count > 0)
        median = times_s[count / 2];
    free(times_s);
    *count_out = count;
    return median;
}

static void check_result(const lspo_calibration_result_t *result)
{
    static const char *const kinds[] = {"stream",
                                        "norm",
                                        "activation",
                                        "loss",
                                        "gemm",
                                        "attention",
                                        "gather",
                                        "scatter",
                                        "compress sparse",
                                        "compress dense",
                                        "apply sparse",
                                        "apply dense",
                                        "adam gpu",
                                        "adam cpu",
                                        "adam cpu bf16",
                                        "adam cpu 8bit",
                                        "h2d",
                                        "d2h",
                                        "noise gpu",
                                        "noise d2h",
                                        "h2d pageable",
                                        "d2h pageable",
                                        "adam cpu threads",
                                        "stream backward",
                                        "norm backward",
                                        "activation backward",
                                        "loss backward"};
    size_t count;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        (void)median_s(result, kinds[i], NULL, &count);
        cr_expect_gt(count, 0u, "%s", kinds[i]);
    }
    cr_expect_geq(result->machine.products.size_count, 8u);
    cr_expect_eq(result->machine.gpu.cache_bytes, 0, "what is in a GPU's cache is no part of its profile");
    cr_expect_not_null(strstr(result->topology, "CPU optimizer:"));
    for (int narrow = 0; narrow < 2; narrow++) {
        cr_expect_gt(result->machine.cpu.adam_narrow[narrow].memory_pps, 0);
        cr_expect_geq(result->machine.cpu.adam_narrow[narrow].cached_pps,
                      result->machine.cpu.adam_narrow[narrow].memory_pps);
    }
    if (!cuda_on_host())
        return;
    cr_expect_eq(result->machine.products.sizes[7], 64);
    /* 128 times the work.  Times of queueing it would be alike. */
    double near_s = median_s(result, "adam gpu", "512 parameters near", &count);
    double far_s = median_s(result, "adam gpu", "65536 parameters far", &count);
    cr_expect_gt(far_s, 8 * near_s);
    /* 256 times the bytes; the same holds. */
    double small_s = median_s(result, "d2h", "16384 B queued", &count);
    double large_s = median_s(result, "d2h", "4194304 B queued", &count);
    cr_expect_gt(large_s, 8 * small_s);
}

Test(calibrate_cuda, all_of_it_in_16_bits)
{
    lspo_calibration_result_t result;
    cr_assert_eq(calibrate(&result), LSPO_OK);
    check_result(&result);
    lspo_calibration_release(&result);
}

/* cudaErrorLaunchFailure in the first thing that is queued: what was measured is not kept, and nothing hangs. */
Test(calibrate_cuda, a_device_that_fails)
{
    ONLY_ON_HOST();
    const lspo_calibrate_options_t options = {.device = "cuda", .precision = LSPO_FP32, .quick = true};
    lspo_calibration_result_t result = {.sample_count = 77};
    cuda_on_host_fail_next(719);
    cr_assert_eq(lspo_calibrate_at(&options, &small_shapes, &result), LSPO_ERR_DEVICE);
    cr_expect_eq(result.sample_count, 77u);
}
