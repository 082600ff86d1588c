/* simulate.c - predict the time and memory of a plan; see sim.h. */
#include <math.h>
#include <stdlib.h>

#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/fit.h"
#include "sim/memory.h"
#include "sim/pace.h"
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

lspo_workload_t lspo_simulate_native_workload(const lspo_plan_t *plan, uint32_t iterations)
{
    lspo_workload_t workload = lspo_policy_workload(plan);
    workload.iterations = iterations;
    workload.swap_activations = 0; /* its memory is unlimited */
    if (plan->policy->task == LSPO_TASK_GENERATE)
        workload.iterations = plan->workload.iterations; /* a new token takes longer the later it comes */
    return workload;
}

lspo_status_t lspo_simulate_native(const lspo_plan_t *plan, uint32_t iterations, lspo_plan_t **native_out)
{
    const lspo_workload_t workload = lspo_simulate_native_workload(plan, iterations);
    return lspo_plan_build(&plan->model, &workload, lspo_policy_baseline(plan->policy->task), native_out);
}

static lspo_status_t fit_native(const lspo_plan_t *native, const lspo_machine_t *machine, lspo_native_t *native_out)
{
    lspo_fit_t fit = {0};
    lspo_status_t status = lspo_fit_plan(native, machine, &fit);
    if (status != LSPO_OK)
        return status;
    *native_out = (lspo_native_t){.iteration_s = fit.iteration_s,
                                  .peak_gpu_bytes = fit.gpu_bytes,
                                  .peak_host_bytes = fit.host_bytes,
                                  .fits = fit.fits};
    return LSPO_OK;
}

lspo_status_t lspo_simulate_baseline(const lspo_plan_t *plan, const lspo_machine_t *machine, bool peaks,
                                     lspo_native_t *native_out)
{
    enum { ITERATIONS = 4 };
    lspo_plan_t *native = NULL;
    lspo_native_t baseline = {0};
    lspo_status_t status = lspo_simulate_native(plan, ITERATIONS, &native);
    if (status != LSPO_OK)
        return status;
    if (peaks)
        status = fit_native(native, machine, &baseline);
    else
        status = lspo_pace_of(native, machine, &baseline.iteration_s);
    if (status == LSPO_OK)
        *native_out = baseline;
    lspo_plan_destroy(native);
    return status;
}

static lspo_status_t predict_peaks(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                   lspo_prediction_t *prediction)
{
    lspo_memory_t peak = {0};
    lspo_status_t status = lspo_memory_predict(plan, machine, trace, &peak);
    if (status != LSPO_OK)
        return status;
    prediction->peak_gpu_bytes = peak.gpu_bytes;
    prediction->peak_host_bytes = peak.host_bytes;
    prediction->gpu_tensor_bytes = peak.gpu_tensor_bytes;
    prediction->gpu_reserve_bytes = peak.gpu_reserve_bytes;
    prediction->gpu_library_bytes = peak.gpu_library_bytes;
    return lspo_fits_plan(plan, machine, trace, &peak, &prediction->short_peer, &prediction->fits);
}

/* The bounds of the peaks when lanes run early or late. */
static lspo_status_t predict_peak_bounds(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                         const lspo_trace_t *trace, lspo_prediction_t *prediction)
{
    uint64_t slack_ns = (uint64_t)(LSPO_SIMULATE_SLACK * 1e9 * prediction->summary.iteration_s);
    lspo_memory_t bound = {0};
    lspo_status_t status = lspo_memory_predict_bound(plan, machine, trace, slack_ns, &bound);
    if (status != LSPO_OK)
        return status;
    prediction->peak_gpu_bound_bytes = bound.gpu_bytes;
    prediction->gpu_tensor_bound_bytes = bound.gpu_tensor_bytes;
    prediction->peak_host_bound_bytes = bound.host_bytes;
    return LSPO_OK;
}

/* What follows from the played plan, besides the summary, which the prediction has. */
static lspo_status_t predict_from_trace(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                        const lspo_trace_t *trace, unsigned wanted, lspo_prediction_t *prediction)
{
    lspo_status_t status = LSPO_OK;
    if (wanted & LSPO_WANT_PEAKS)
        status = predict_peaks(plan, machine, trace, prediction);
    if (status != LSPO_OK)
        return status;
    if (wanted & LSPO_WANT_PEAK_BOUNDS)
        status = predict_peak_bounds(plan, machine, trace, prediction);
    if (status != LSPO_OK)
        return status;
    if (wanted & LSPO_WANT_WORDS)
        status = lspo_report_bound(plan, trace, &prediction->summary, sizeof prediction->bound, prediction->bound,
                                   &prediction->bound_lane);
    return status;
}

/* What needs neither the plan's trace nor its own time. */
static lspo_status_t predict_native(const lspo_plan_t *plan, const lspo_machine_t *machine, unsigned wanted,
                                    lspo_prediction_t *prediction)
{
    prediction->lower_bound_s = NAN;
    if (!(wanted & (LSPO_WANT_NATIVE | LSPO_WANT_NATIVE_PEAKS)))
        return LSPO_OK;
    return lspo_simulate_baseline(plan, machine, (wanted & LSPO_WANT_NATIVE_PEAKS) != 0, &prediction->native);
}

static void derive(const lspo_plan_t *plan, lspo_prediction_t *prediction)
{
    double iteration_s = prediction->summary.iteration_s;
    if (prediction->native.iteration_s > 0)
        prediction->slowdown = iteration_s / prediction->native.iteration_s;
    prediction->tokens_per_s = lspo_plan_tokens(plan) / iteration_s;
}

/* Play the plan, and predict what is wanted; *trace_out is the caller's. */
static lspo_status_t simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, unsigned wanted,
                              lspo_prediction_t *prediction, lspo_trace_t **trace_out)
{
    lspo_trial_t trial = {0};
    lspo_status_t status = lspo_trial_play(plan, machine, &trial);
    if (status != LSPO_OK)
        return status;
    prediction->summary = trial.summary;
    trial.summary = (lspo_summary_t){0};
    status = predict_native(plan, machine, wanted, prediction);
    if (status == LSPO_OK)
        status = predict_from_trace(plan, machine, trial.trace, wanted, prediction);
    if (status == LSPO_OK && trace_out) {
        *trace_out = trial.trace;
        trial.trace = NULL;
    }
    lspo_trial_release(&trial);
    return status;
}

/* Only times. */
static lspo_status_t time_only(const lspo_plan_t *plan, const lspo_machine_t *machine, unsigned wanted,
                               lspo_prediction_t *prediction)
{
    lspo_status_t status = lspo_trial_check(plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_pace_of(plan, machine, &prediction->summary.iteration_s);
    return status == LSPO_OK ? predict_native(plan, machine, wanted, prediction) : status;
}

lspo_status_t lspo_simulate_wanted(const lspo_plan_t *plan, const lspo_machine_t *machine, unsigned wanted,
                                   const lspo_native_t *native, lspo_prediction_t *prediction_out)
{
    static const unsigned of_times = LSPO_WANT_NATIVE | LSPO_WANT_NATIVE_PEAKS | LSPO_WANT_BOUND;
    lspo_prediction_t prediction = {0};
    if (native) {
        prediction.native = *native;
        wanted &= ~(unsigned)(LSPO_WANT_NATIVE | LSPO_WANT_NATIVE_PEAKS);
    }
    lspo_status_t status = (wanted & ~of_times) ? simulate(plan, machine, wanted, &prediction, NULL)
                                                : time_only(plan, machine, wanted, &prediction);
    if (status == LSPO_OK && (wanted & LSPO_WANT_BOUND))
        status = lspo_simulate_bound(plan, machine, &prediction);
    if (status != LSPO_OK) {
        lspo_prediction_release(&prediction);
        return status;
    }
    derive(plan, &prediction);
    *prediction_out = prediction;
    return LSPO_OK;
}

lspo_status_t lspo_simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction_out,
                            lspo_trace_t **trace_out)
{
    lspo_prediction_t prediction = {0};
    lspo_status_t status = simulate(plan, machine, LSPO_WANT_ALL, &prediction, trace_out);
    if (status != LSPO_OK) {
        lspo_prediction_release(&prediction);
        return status;
    }
    derive(plan, &prediction);
    *prediction_out = prediction;
    return LSPO_OK;
}

lspo_status_t lspo_simulate_bound(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction)
{
    return lspo_bound_plan(plan, machine, &prediction->lower_bound_s);
}

void lspo_prediction_release(lspo_prediction_t *prediction)
{
    lspo_summary_release(&prediction->summary);
}
