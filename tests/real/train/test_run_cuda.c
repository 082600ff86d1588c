/* lspo_run() on the CUDA device (a GPU, or the CPU that stands in for one): the same losses as on the host, and the
 * header of the trace. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/train/run.h"
#include "tests/cuda_on_host/cuda_on_host.h"

static lspo_plan_t *make_plan(const char *policy_name)
{
    const lspo_model_t model = {.name = "test",
                                .family = LSPO_FAMILY_GPT,
                                .block_count = 2,
                                .width = 32,
                                .head_count = 2,
                                .kv_head_count = 2,
                                .mlp_width = 64,
                                .vocabulary = 256,
                                .max_sequence = 16,
                                .tied_head = true};
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 16;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.iterations = 5;
    workload.learning_rate = 1e-3;
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    workload.clip_norm = 1;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_run_options_t options_on(const char *device)
{
    lspo_run_options_t options;
    cr_assert_eq(lspo_run_default(&options), LSPO_OK);
    options.device = device;
    options.timing_only = true;
    return options;
}

Test(run_cuda, losses_are_the_hosts)
{
    static const char *const policies[] = {"native", "zero", "lsp"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_plan_t *plan = make_plan(policies[i]);
        lspo_run_options_t on_host = options_on("host"), on_cuda = options_on("cuda");
        lspo_run_result_t host, cuda;
        lspo_trace_t *trace = NULL;
        cuda_on_host_delays((unsigned)i);
        on_cuda.repeat = 2;
        cr_assert_eq(lspo_run(plan, &on_host, &host, NULL), LSPO_OK);
        cr_assert_eq(lspo_run(plan, &on_cuda, &cuda, &trace), LSPO_OK, "%s", policies[i]);
        cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
        cr_assert_eq(cuda.loss_count, host.loss_count);
        for (uint32_t step = 0; step < host.loss_count; step++)
            cr_assert_lt(fabs(cuda.losses[step] - host.losses[step]), 1e-4 * host.losses[step],
                         "%s, step %u: %g, not %g", policies[i], step, cuda.losses[step], host.losses[step]);
        cr_assert_lt(fabs(cuda.loss_last - host.loss_last), 1e-4 * host.loss_last, "the second play begins anew");
        cr_assert_eq(cuda.gpu_core_share, 1);
        cr_assert_gt(cuda.peak_gpu_bytes, 0u);
        cr_assert_geq(cuda.peak_total_bytes, cuda.peak_gpu_bytes + cuda.peak_host_bytes);
        lspo_trace_destroy(trace);
        lspo_run_result_release(&host);
        lspo_run_result_release(&cuda);
        lspo_plan_destroy(plan);
    }
}

Test(run_cuda, the_header_says_what_it_ran_on)
{
    static const char *const keys[] = {
        "gpu",          "sm count", "driver",           "pageable bytes",    "topology",
        "cpu threads",  "cap.h2d",  "cap.memory",       "cap.sms",           "compute capability",
        "cuda runtime", "device",   "gpu memory bytes", "gpu reserved bytes"};
    lspo_plan_t *plan = make_plan("zero");
    lspo_run_options_t options = options_on("cuda:0");
    lspo_run_result_t result;
    lspo_trace_t *trace = NULL;
    options.caps = (lspo_device_caps_t){.memory_bytes = 1u << 30, .h2d_Bps = 1e9, .d2h_Bps = 1e9, .sms = 16};
    cr_assert_eq(lspo_run(plan, &options, &result, &trace), LSPO_OK);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_assert_not_null(lspo_trace_meta(trace, keys[i]), "no '%s'", keys[i]);
    cr_assert_str_eq(lspo_trace_meta(trace, "device"), "cuda:0");
    cr_assert_str_eq(lspo_trace_meta(trace, "cap.sms"), "16");
    cr_assert_str_eq(lspo_trace_meta(trace, "pageable bytes"), "0");
    cr_assert_null(lspo_trace_meta(trace, "gpu core share"), "the host device's alone");
    lspo_trace_destroy(trace);
    lspo_run_result_release(&result);
    lspo_plan_destroy(plan);
}

Test(run_cuda, what_does_not_fit_is_refused)
{
    lspo_plan_t *plan = make_plan("native");
    lspo_run_options_t options = options_on("cuda");
    lspo_run_result_t result;
    options.caps.memory_bytes = 64 << 10;
    cr_assert_eq(lspo_run(plan, &options, &result, NULL), LSPO_ERR_FIT);
    lspo_plan_destroy(plan);
}

Test(run_cuda, a_missing_gpu_is_an_error_of_the_device)
{
    lspo_plan_t *plan = make_plan("native");
    lspo_run_options_t options = options_on("cuda:9999");
    lspo_run_result_t result;
    cr_assert_eq(lspo_run(plan, &options, &result, NULL), LSPO_ERR_DEVICE);
    lspo_plan_destroy(plan);
}
