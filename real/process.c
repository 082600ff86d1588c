/* process.c - see process.h. */
#include "real/process.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "plan/policy.h"
#include "real/run.h"

/* A line of /proc/self/status in bytes; 0 where the system has none. */
static uint64_t status_bytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (!file)
        return 0;
    char line[256];
    uint64_t kibibytes = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %" SCNu64, &kibibytes);
    fclose(file);
    return kibibytes * 1024;
}

static bool start_high_water_mark(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return false;
    bool written = fputs("5", file) >= 0;
    return fclose(file) == 0 && written;
}

void lspo_process_mark(lspo_process_mark_t *mark_out)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    mark_out->starts_anew = start_high_water_mark();
    mark_out->resident_bytes = status_bytes("VmRSS");
    if (!mark_out->starts_anew && !atomic_flag_test_and_set(&said))
        lspo_warn("the kernel does not start VmHWM anew: peak memory is what is resident at the end of a run");
}

uint64_t lspo_process_peak_bytes(const lspo_process_mark_t *mark)
{
    uint64_t peak_bytes = status_bytes(mark->starts_anew ? "VmHWM" : "VmRSS");
    return peak_bytes > mark->resident_bytes ? peak_bytes - mark->resident_bytes : 0;
}

/* zero uses every lane.  Products wide enough that BLAS fills its workspaces as it does for a real model. */
static lspo_status_t build_sample(lspo_plan_t **plan_out)
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
    lspo_status_t status = lspo_policy_find("zero", &policy);
    return status == LSPO_OK ? lspo_plan_build(&model, &workload, policy, plan_out) : status;
}

lspo_status_t lspo_process_extra_bytes(uint64_t *bytes_out)
{
    lspo_plan_t *plan = NULL;
    lspo_run_options_t options;
    lspo_run_result_t result = {0};
    lspo_status_t status = lspo_run_default(&options);
    options.warmup = 1;
    options.timing_only = true;
    if (status == LSPO_OK)
        status = build_sample(&plan);
    if (status == LSPO_OK)
        status = lspo_run(plan, &options, &result, NULL);
    if (status == LSPO_OK)
        *bytes_out = result.extra_bytes;
    lspo_run_result_release(&result);
    lspo_plan_destroy(plan);
    return status;
}
