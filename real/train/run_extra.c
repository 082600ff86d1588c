/* run_extra.c - see lspo_run_extra_bytes() in run.h. */
#include "real/train/run.h"

#include "plan/policy.h"

/* native uses the GPU's lane, zero all.  The products are wide enough for BLAS to fill its workspaces as for a real
 * model. */
static lspo_status_t build_sample(const char *name, lspo_plan_t **plan_out)
{
    static const lspo_model_t model = {.name = "sample",
                                       .family = LSPO_FAMILY_GPT,
                                       .block_count = 1,
                                       .width = 320,
                                       .head_count = 5,
                                       .kv_head_count = 5,
                                       .mlp_width = 1280,
                                       .vocabulary = 256,
                                       .max_sequence = 128,
                                       .tied_head = true};
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 4;
    workload.sequence = 128;
    workload.iterations = 3;
    workload.precision = workload.transfer = LSPO_FP32;
    const lspo_policy_t *policy = NULL;
    lspo_status_t status = lspo_policy_find(name, &policy);
    if (status != LSPO_OK)
        return status;
    return lspo_plan_build(&model, &workload, policy, plan_out);
}

/* What it takes more than the samples before it. */
static lspo_status_t run_sample(const char *name, uint64_t *bytes_out)
{
    lspo_plan_t *plan = NULL;
    lspo_run_options_t options;
    lspo_run_result_t result = {0};
    lspo_status_t status = lspo_run_default(&options);
    options.warmup = 1;
    options.timing_only = true;
    if (status != LSPO_OK)
        goto cleanup;
    status = build_sample(name, &plan);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_run(plan, &options, &result, NULL);
    if (status != LSPO_OK)
        goto cleanup;
    *bytes_out = result.extra_bytes;
cleanup:
    lspo_run_result_release(&result);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_run_extra_bytes(uint64_t *bytes_out, uint64_t *lanes_bytes_out)
{
    lspo_status_t status = run_sample("native", bytes_out);
    return status == LSPO_OK ? run_sample("zero", lanes_bytes_out) : status;
}
