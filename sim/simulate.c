/* simulate.c - predict the time and memory of a plan; see sim.h. */
#include <math.h>

#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/fit.h"
#include "sim/memory.h"
#include "sim/report.h"
#include "sim/sim.h"
#include "sim/trial.h"

lspo_status_t lspo_simulate_check_settled(const lspo_plan_t *plan, const lspo_prediction_t *prediction)
{
    uint32_t iterations = plan->workload.iterations;
    uint32_t least = lspo_policy_iterations_least(plan->policy, &plan->workload);
    if (iterations < least)
        return lspo_error(LSPO_ERR_INPUT,
                          "--iterations %u is too few: updates of %s come up to %u step%s late, so its first steps "
                          "are not typical; at least %u are needed",
                          iterations, plan->policy->name, plan->staleness_steps, plan->staleness_steps == 1 ? "" : "s",
                          least);
    if (prediction->summary.iteration_s < prediction->lower_bound_s * (1 - 1e-9))
        return lspo_error(LSPO_ERR_INPUT,
                          "--iterations %u is too few for %s to settle: %.4g s per iteration is below the lower bound "
                          "of %.4g s; try %u",
                          iterations, plan->policy->name, prediction->summary.iteration_s, prediction->lower_bound_s,
                          2 * iterations);
    return LSPO_OK;
}

lspo_status_t lspo_simulate_native(const lspo_plan_t *plan, uint32_t iterations, lspo_plan_t **native_out)
{
    lspo_workload_t workload = lspo_policy_workload(plan);
    workload.iterations = iterations;
    const lspo_policy_t *policy = NULL;
    lspo_status_t status = lspo_policy_find("native", &policy);
    if (status != LSPO_OK)
        return status;
    return lspo_plan_build(&plan->model, &workload, policy, native_out);
}

/* The time of native, which does not depend on whether it fits. */
static lspo_status_t predict_native(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_native_t *native_out)
{
    enum { ITERATIONS = 4 };
    lspo_plan_t *native = NULL;
    lspo_fit_t fit = {0};
    lspo_status_t status = lspo_simulate_native(plan, ITERATIONS, &native);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_fit_plan(native, machine, &fit);
    if (status != LSPO_OK)
        goto cleanup;
    *native_out = (lspo_native_t){.iteration_s = fit.iteration_s,
                                  .peak_gpu_bytes = fit.gpu_bytes,
                                  .peak_host_bytes = fit.host_bytes,
                                  .fits = fit.fits};
cleanup:
    lspo_plan_destroy(native);
    return status;
}

/* Peaks, and their bounds when lanes run early or late. */
static lspo_status_t predict_peaks(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                   double iteration_s, lspo_prediction_t *prediction)
{
    uint64_t slack_ns = (uint64_t)(LSPO_SIMULATE_SLACK * 1e9 * iteration_s);
    lspo_memory_t peak = {0}, bound = {0};
    lspo_status_t status = lspo_memory_predict(plan, machine, trace, &peak);
    if (status != LSPO_OK)
        return status;
    status = lspo_memory_predict_bound(plan, machine, trace, slack_ns, &bound);
    if (status != LSPO_OK)
        return status;
    prediction->peak_gpu_bytes = peak.gpu_bytes;
    prediction->peak_host_bytes = peak.host_bytes;
    prediction->gpu_tensor_bytes = peak.gpu_tensor_bytes;
    prediction->gpu_reserve_bytes = peak.gpu_reserve_bytes;
    prediction->gpu_library_bytes = peak.gpu_library_bytes;
    prediction->peak_gpu_bound_bytes = bound.gpu_bytes;
    prediction->gpu_tensor_bound_bytes = bound.gpu_tensor_bytes;
    prediction->peak_host_bound_bytes = bound.host_bytes;
    prediction->fits = lspo_fits(machine, peak.gpu_bytes, peak.host_bytes);
    return LSPO_OK;
}

/* Everything except the summary that follows from the played plan. */
static lspo_status_t predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trial_t *trial,
                             lspo_prediction_t *prediction)
{
    double iteration_s = trial->summary.iteration_s;
    prediction->lower_bound_s = NAN;
    lspo_status_t status = predict_peaks(plan, machine, trial->trace, iteration_s, prediction);
    if (status != LSPO_OK)
        return status;
    status = predict_native(plan, machine, &prediction->native);
    if (status != LSPO_OK)
        return status;
    status = lspo_report_bound(plan, trial->trace, &trial->summary, sizeof prediction->bound, prediction->bound,
                               &prediction->bound_lane);
    if (status != LSPO_OK)
        return status;
    prediction->slowdown = iteration_s / prediction->native.iteration_s;
    prediction->tokens_per_s =
        (double)lspo_workload_tokens(&plan->workload) * plan->workload.accumulation / iteration_s;
    return LSPO_OK;
}

lspo_status_t lspo_simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction_out,
                            lspo_trace_t **trace_out)
{
    lspo_trial_t trial = {0};
    lspo_prediction_t prediction = {0};
    lspo_status_t status = lspo_trial_play(plan, machine, &trial);
    if (status != LSPO_OK)
        goto release;
    status = predict(plan, machine, &trial, &prediction);
    if (status != LSPO_OK)
        goto release;
    prediction.summary = trial.summary;
    trial.summary = (lspo_summary_t){0};
    *prediction_out = prediction;
    if (trace_out) {
        *trace_out = trial.trace;
        trial.trace = NULL;
    }

release:
    lspo_trial_release(&trial);
    return status;
}

lspo_status_t lspo_simulate_bound(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction)
{
    return lspo_bound_plan(plan, machine, &prediction->lower_bound_s);
}

void lspo_prediction_release(lspo_prediction_t *prediction)
{
    lspo_summary_release(&prediction->summary);
}
