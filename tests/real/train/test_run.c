/* lspo_run(): samples, repeats, the native baseline, memory, and all errors. */
#include "plan/policies/lsp.h"
#include "real/train/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "plan/policy.h"
#include "real/machine/topology.h"
#include "tests/short_text.h"

static lspo_model_t small_model(void)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = 2,
                          .width = 64,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 128,
                          .vocabulary = 256,
                          .max_sequence = 64,
                          .tied_head = true};
}

static lspo_plan_t *make_plan(const char *policy_name, lspo_workload_t *workload)
{
    lspo_model_t model = small_model();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 32;
    workload.precision = LSPO_FP32;
    workload.transfer = LSPO_FP32;
    workload.iterations = 8;
    workload.learning_rate = 1e-3;
    lspo_lsp_values_edit(&workload)->subspace = 32;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    return workload;
}

static void count_progress(void *context, const char *label, uint32_t done, uint32_t of)
{
    cr_assert_not_null(label);
    cr_assert_leq(done, of);
    ++*(uint32_t *)context;
}

static void set_default(lspo_run_options_t *options)
{
    cr_assert_eq(lspo_run_default(options), LSPO_OK);
    options->text_path = short_text();
}

/* 8 iterations, 2 of them warm-up, leave at least 5 samples a play. */
Test(run, collects_samples_of_all_repeats)
{
    lspo_workload_t workload = small_workload();
    lspo_plan_t *plan = make_plan("zero", &workload);
    lspo_run_options_t options;
    cr_assert_eq(lspo_run_default(&options), LSPO_OK);
    uint32_t reports = 0;
    options.progress = count_progress;
    options.progress_context = &reports;
    lspo_run_result_t one, three;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_run(plan, &options, &one, NULL), LSPO_OK);
    options.repeat = 3;
    options.slowdown = true;
    cr_assert_eq(lspo_run(plan, &options, &three, &trace), LSPO_OK);
    cr_assert_eq(three.summary.sample_count, 3 * one.summary.sample_count);
    cr_assert_geq(one.summary.sample_count, 5u);
    cr_assert_leq(three.summary.low_s, three.summary.iteration_s);
    cr_assert_geq(three.summary.high_s, three.summary.iteration_s);
    cr_assert_gt(reports, 6u);

    cr_assert(isnan(one.slowdown) && isnan(one.native_iteration_s), "not asked for");
    cr_assert_float_eq(three.slowdown, three.summary.iteration_s / three.native_iteration_s, 1e-12);
    cr_assert_float_eq(three.tokens_per_s, 2 * 32 / three.summary.iteration_s, 1e-6);

    /* Every play starts from the same weights. */
    cr_assert_eq(one.loss_count, 8u);
    cr_assert_eq(memcmp(one.losses, three.losses, 8 * sizeof(double)), 0);
    cr_assert_eq(three.loss_first, three.losses[0]);
    cr_assert_eq(three.loss_last, three.losses[7]);
    cr_assert_gt(three.gpu_core_share, 0);
    cr_assert_leq(three.gpu_core_share, 1);
    cr_assert_lt(three.held_out_after, three.held_out_before);

    cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
    const char *const keys[] = {"origin", "device", "topology", "blas core",     "text",
                                "policy", "seed",   "repeat",   "gpu core share"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_assert_not_null(lspo_trace_meta(trace, keys[i]), "%s", keys[i]);
    cr_assert_eq(strcmp(lspo_trace_meta(trace, "repeat"), "3"), 0);
    lspo_trace_destroy(trace);
    lspo_run_result_release(&three);
    lspo_run_result_release(&one);
    lspo_run_result_release(NULL);
    lspo_plan_destroy(plan);
}

/* Time that a lane works, an iteration. */
static double lane_s(const lspo_trace_t *trace, lspo_lane_kind_t lane, uint32_t iterations)
{
    uint64_t sum_ns = 0;
    for (uint32_t row = 0; row < trace->row_count; row++)
        if (trace->rows[row].lane == lane)
            sum_ns += trace->rows[row].end_ns - trace->rows[row].start_ns;
    return (double)sum_ns * 1e-9 / iterations;
}

/* A link of 20 MB/s: each gradient and parameter byte takes its time, whatever else happens.  All tensors in fp32 are
 * 4 x parameters bytes each way; the iteration cannot be shorter than the slower of the two directions. */
Test(run, caps_slow_the_run)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 4;
    lspo_plan_t *plan = make_plan("zero", &workload);
    lspo_run_options_t options;
    set_default(&options);
    options.caps.h2d_Bps = options.caps.d2h_Bps = 20e6;
    lspo_run_result_t result;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_OK);
    double least_s = 4.0 * (double)lspo_model_parameter_count(&plan->model) / 20e6;
    cr_assert_geq(lane_s(trace, LSPO_LANE_D2H, 4), 0.999 * least_s);
    cr_assert_geq(lane_s(trace, LSPO_LANE_H2D, 4), 0.999 * least_s);
    cr_assert_geq(result.summary.iteration_s, 0.9 * least_s);
    cr_assert_not_null(lspo_trace_meta(trace, "cap.h2d"));
    cr_assert_null(lspo_trace_meta(trace, "cap.cpu"));
    lspo_trace_destroy(trace);
    lspo_run_result_release(&result);

    /* 1 M parameters a second: the same count of parameters takes seconds x 1e6. */
    options.caps = (lspo_device_caps_t){.cpu_pps = 1e6};
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_OK);
    least_s = (double)lspo_model_parameter_count(&plan->model) / 1e6;
    cr_assert_geq(lane_s(trace, LSPO_LANE_CPU, 4), 0.999 * least_s);
    lspo_trace_destroy(trace);
    lspo_run_result_release(&result);
    lspo_plan_destroy(plan);
}

/* The host holds master and moments (12 bytes a parameter), landing buffers (4) and what every run needs besides;
 * lsp's host state is a small fraction of zero's. */
Test(run, host_memory_is_measured)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 4;
    lspo_model_t model = small_model();
    model.width = 256;
    model.mlp_width = 1024;
    model.block_count = 8;
    lspo_run_options_t options;
    lspo_run_default(&options);
    uint64_t peak_bytes[2], planned_bytes[2];
    const char *const policies[] = {"lsp", "zero"};
    for (int i = 0; i < 2; i++) {
        const lspo_policy_t *policy = NULL;
        lspo_plan_t *plan = NULL;
        lspo_run_result_t result;
        cr_assert_eq(lspo_policy_find(policies[i], &policy), LSPO_OK);
        cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
        cr_assert_eq(lspo_run(plan, &options, &result, NULL), LSPO_OK);
        peak_bytes[i] = result.peak_host_bytes;
        planned_bytes[i] = plan->host_static_bytes;
        cr_assert_geq(result.peak_gpu_bytes, plan->gpu_static_bytes);
        lspo_run_result_release(&result);
        lspo_plan_destroy(plan);
    }
    /* 6.3 M parameters: about 100 MB under zero.  Page-sized slack and BLAS's own buffers stay below half of that. */
    cr_assert_gt((double)peak_bytes[1], 0.7 * (double)planned_bytes[1]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose own memory VmHWM counts too */
    cr_assert_lt((double)peak_bytes[1], 1.6 * (double)planned_bytes[1] + 64e6);
#endif
    cr_assert_lt(peak_bytes[0], peak_bytes[1]);
}

Test(run, every_failure_has_its_status)
{
    lspo_workload_t workload = small_workload();
    lspo_plan_t *plan = make_plan("zero", &workload);
    lspo_run_options_t options;
    lspo_run_result_t result = {.loss_count = 77};
    lspo_trace_t *trace = NULL;

    set_default(&options);
    options.device = "cuda";
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_DEVICE);
    options.device = "abacus";
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INPUT);
    set_default(&options);
    options.repeat = 0;
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INPUT);
    set_default(&options);
    options.warmup = 7; /* of 8 iterations */
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INPUT);
    options.warmup = UINT32_MAX;
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INPUT);
    set_default(&options);
    options.text_path = "/nonexistent/text";
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INPUT);
    set_default(&options);
    options.caps.memory_bytes = plan->gpu_static_bytes + 1000;
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_FIT);
    set_default(&options);
    atomic_int stop = 1;
    options.stop = &stop;
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_INTERRUPTED);
    plan->workload.learning_rate = 1e30;
    set_default(&options);
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_ERR_NUMERIC);

    cr_assert_eq(result.loss_count, 77u, "set on success only");
    cr_assert_null(trace);
    lspo_plan_destroy(plan);
}
