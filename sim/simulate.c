#include <stdlib.h>

#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/memory.h"
#include "sim/memory_bound.h"
#include "sim/report.h"
#include "sim/sim.h"

uint32_t lspo_simulate_warmup(uint32_t iterations)
{
    uint32_t warmup = iterations / 4;
    uint32_t samples = iterations > warmup + 1 ? iterations - 1 - warmup : 0;
    return samples % 2 == 1 && samples > 1 ? warmup + 1 : warmup;
}

static lspo_status_t describe(lspo_trace_t *trace, const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "sim");
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(trace, "machine", machine->name);
    if (status == LSPO_OK)
        status = lspo_trace_describe_plan(trace, plan);
    return status;
}

lspo_status_t lspo_simulate_native(const lspo_plan_t *plan, const lspo_machine_t *machine, uint32_t iterations,
                                   lspo_plan_t **native_out, uint64_t **work_ns_out)
{
    lspo_workload_t workload = lspo_policy_workload(plan);
    workload.iterations = iterations;
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *native = NULL;
    lspo_status_t status = lspo_policy_find("native", &policy);
    if (status == LSPO_OK)
        status = lspo_plan_build(&plan->model, &workload, policy, &native);
    if (status == LSPO_OK)
        status = lspo_cost_plan(machine, native, work_ns_out);
    if (status == LSPO_OK)
        *native_out = native;
    else
        lspo_plan_destroy(native);
    return status;
}

/* Time an iteration of native; memory is unlimited, since time does not depend on it. */
static lspo_status_t native_iteration(const lspo_plan_t *plan, const lspo_machine_t *machine, double *iteration_s_out)
{
    enum { ITERATIONS = 4 };
    lspo_plan_t *native = NULL;
    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    lspo_summary_t summary = {0};
    lspo_status_t status = lspo_simulate_native(plan, machine, ITERATIONS, &native, &work_ns);
    if (status == LSPO_OK)
        status = lspo_engine_play(native, machine, work_ns, &trace);
    if (status == LSPO_OK)
        status = lspo_summary_create(trace, lspo_simulate_warmup(ITERATIONS), &summary);
    if (status == LSPO_OK)
        *iteration_s_out = summary.iteration_s;
    lspo_summary_release(&summary);
    lspo_trace_destroy(trace);
    free(work_ns);
    lspo_plan_destroy(native);
    return status;
}

/* Peaks, and their bounds: over the first ops of a long plan, since they repeat.  What the process takes besides is in both. */
static lspo_status_t predict_peaks(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                   double iteration_s, lspo_peaks_t *peaks)
{
    enum { ROWS_MAX = 10000 };
    lspo_trace_t part = {.rows = trace->rows, .row_count = trace->row_count < ROWS_MAX ? trace->row_count : ROWS_MAX};
    uint64_t slack_ns = (uint64_t)(LSPO_SIMULATE_SLACK * 1e9 * iteration_s);
    uint64_t replayed_bytes = 0, unused_bytes = 0;
    lspo_status_t status = lspo_memory_predict(plan, machine, trace, &peaks->gpu_bytes, &peaks->host_bytes);
    if (status == LSPO_OK)
        status = lspo_memory_replay(plan, trace, &unused_bytes, &replayed_bytes);
    if (status == LSPO_OK)
        status = lspo_memory_bound(plan, &part, slack_ns, &peaks->gpu_bound_bytes, &peaks->host_bound_bytes);
    if (status == LSPO_OK)
        peaks->host_bound_bytes += peaks->host_bytes - replayed_bytes;
    return status;
}

/* Everything that follows from the played plan; the summary in `prediction` is released by the caller on error. */
static lspo_status_t predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                             const lspo_trace_t *trace, lspo_prediction_t *prediction)
{
    double native_s = 0;
    lspo_peaks_t peaks = {0};
    lspo_status_t status =
        lspo_summary_create(trace, lspo_simulate_warmup(plan->workload.iterations), &prediction->summary);
    if (status == LSPO_OK)
        status = lspo_bound_iteration(plan, work_ns, &prediction->lower_bound_s);
    if (status == LSPO_OK)
        status = predict_peaks(plan, machine, trace, prediction->summary.iteration_s, &peaks);
    if (status == LSPO_OK)
        status = native_iteration(plan, machine, &native_s);
    if (status == LSPO_OK)
        status = lspo_report_bound(plan, trace, &prediction->summary, sizeof prediction->bound, prediction->bound,
                                   &prediction->bound_lane);
    if (status == LSPO_OK)
        status = lspo_report_advice(plan, machine, &peaks, sizeof prediction->advice, prediction->advice);
    if (status != LSPO_OK)
        return status;
    prediction->peak_gpu_bytes = peaks.gpu_bytes;
    prediction->peak_host_bytes = peaks.host_bytes;
    prediction->peak_gpu_bound_bytes = peaks.gpu_bound_bytes;
    prediction->peak_host_bound_bytes = peaks.host_bound_bytes;
    prediction->fits = lspo_report_fits(machine, peaks.gpu_bytes, peaks.host_bytes);
    prediction->slowdown = prediction->summary.iteration_s / native_s;
    prediction->tokens_per_s =
        (double)lspo_workload_tokens(&plan->workload) * plan->workload.accumulation / prediction->summary.iteration_s;
    return LSPO_OK;
}

lspo_status_t lspo_simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction_out,
                            lspo_trace_t **trace_out)
{
    if (plan->workload.iterations < 2)
        return lspo_error(LSPO_ERR_INPUT, "--iterations %u: time an iteration takes at least 2",
                          plan->workload.iterations);
    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    lspo_prediction_t prediction = {0};
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_engine_play(plan, machine, work_ns, &trace);
    if (status == LSPO_OK)
        status = describe(trace, plan, machine);
    if (status == LSPO_OK)
        status = predict(plan, machine, work_ns, trace, &prediction);
    if (status != LSPO_OK) {
        lspo_prediction_release(&prediction);
        goto free_all;
    }
    *prediction_out = prediction;
    if (trace_out) {
        *trace_out = trace;
        trace = NULL;
    }

free_all:
    lspo_trace_destroy(trace);
    free(work_ns);
    return status;
}

void lspo_prediction_release(lspo_prediction_t *prediction)
{
    lspo_summary_release(&prediction->summary);
}
