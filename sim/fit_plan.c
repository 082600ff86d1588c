/* fit_plan.c - the memory that a plan needs on a machine, and what its first steps show; see fit.h. */
#include <stdlib.h>

#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/framework_memory.h"
#include "sim/memory.h"
#include "sim/pace.h"
#include "sim/trial.h"

/* What the process takes beside is taken once. */
static lspo_status_t sum_peers(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_fit_t *fit)
{
    lspo_peer_peaks_t peaks;
    uint64_t most_host_bytes = 0;
    fit->all_gpu_bytes = fit->gpu_bytes;
    fit->all_host_bytes = fit->host_bytes;
    if (plan->peer_static == NULL)
        return LSPO_OK;
    lspo_status_t status = lspo_memory_replay_peers(plan, trace, &peaks);
    if (status != LSPO_OK)
        return status;
    fit->all_gpu_bytes = 0;
    for (uint32_t peer = 0; peer < peaks.count; peer++) {
        fit->all_gpu_bytes += peaks.gpu_bytes[peer];
        fit->all_host_bytes += peaks.host_bytes[peer];
        most_host_bytes = peaks.host_bytes[peer] > most_host_bytes ? peaks.host_bytes[peer] : most_host_bytes;
    }
    fit->all_host_bytes -= most_host_bytes;
    lspo_peer_peaks_release(&peaks);
    return LSPO_OK;
}

/* The most bytes that may come and go beside what is held all the time; -1: there is no room for that. */
static int64_t most_bytes(const lspo_machine_t *machine, const lspo_memory_t *held, bool on_gpu)
{
    const int64_t all = INT64_C(1) << 58;
    int64_t low = -1, high = all; /* low fits, high does not */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        const uint64_t bytes = (uint64_t)middle, reserve_bytes = lspo_framework_reserve_bytes(machine, bytes);
        const uint64_t excess_bytes = on_gpu ? lspo_fit_gpu_excess(machine, held->gpu_bytes + bytes + reserve_bytes)
                                             : lspo_fit_host_excess(machine, held->host_bytes + bytes);
        *(excess_bytes == 0 ? &low : &high) = middle;
    }
    return high == all ? INT64_MAX : low;
}

/* Without a trace, where that shows the peaks. */
static lspo_status_t play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns, bool stops,
                          bool *known_out, lspo_fit_t *fit)
{
    lspo_framework_memory_t framework;
    lspo_pace_t *pace = NULL;
    *known_out = false;
    if (plan->network.kind_count > 0 || plan->peer_static != NULL)
        return LSPO_OK;
    lspo_status_t status = lspo_framework_memory_create(plan, machine, &framework);
    if (status != LSPO_OK)
        return status;
    const uint64_t gpu_bytes = framework.plan->gpu_static_bytes, host_bytes = framework.plan->host_static_bytes;
    const lspo_memory_t held = lspo_memory_of_peaks(framework.plan, machine, gpu_bytes, host_bytes);
    lspo_few_memory_t memory = {.ops = framework.plan->ops,
                                .gpu_most_bytes = stops ? most_bytes(machine, &held, true) : INT64_MAX,
                                .host_most_bytes = stops ? most_bytes(machine, &held, false) : INT64_MAX};
    status = lspo_pace_create(plan, machine, work_ns, &pace);
    if (status == LSPO_OK)
        status = lspo_pace_peaks(pace, &memory, known_out, &fit->iteration_s);
    const lspo_memory_t peaks =
        lspo_memory_of_peaks(framework.plan, machine, gpu_bytes + (uint64_t)memory.gpu_peak_bytes,
                             host_bytes + (uint64_t)memory.host_peak_bytes);
    fit->gpu_bytes = fit->all_gpu_bytes = peaks.gpu_bytes;
    fit->host_bytes = fit->all_host_bytes = peaks.host_bytes;
    fit->fits = lspo_fits(machine, peaks.gpu_bytes, peaks.host_bytes);
    lspo_pace_destroy(pace);
    lspo_framework_memory_release(&framework);
    return status;
}

static lspo_status_t replay(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                            lspo_fit_t *fit)
{
    lspo_trace_t *trace = NULL;
    lspo_memory_t memory = {0};
    lspo_short_peer_t short_peer;
    lspo_status_t status = lspo_engine_play(plan, machine, work_ns, &trace);
    if (status == LSPO_OK)
        status = lspo_trial_time(plan, trace, &fit->iteration_s);
    if (status == LSPO_OK)
        status = lspo_memory_predict(plan, machine, trace, &memory);
    fit->gpu_bytes = memory.gpu_bytes;
    fit->host_bytes = memory.host_bytes;
    if (status == LSPO_OK)
        status = lspo_fits_plan(plan, machine, trace, &memory, &short_peer, &fit->fits);
    if (status == LSPO_OK)
        status = sum_peers(plan, trace, fit);
    lspo_trace_destroy(trace);
    return status;
}

static lspo_status_t fit_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, bool stops, lspo_fit_t *fit_out)
{
    uint64_t *work_ns = NULL;
    lspo_fit_t fit = {0};
    bool known = false;
    lspo_status_t status = lspo_trial_check(plan);
    if (status == LSPO_OK)
        status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = play(plan, machine, work_ns, stops, &known, &fit);
    if (status == LSPO_OK && !known)
        status = replay(plan, machine, work_ns, &fit);
    if (status == LSPO_OK)
        *fit_out = fit;
    free(work_ns);
    return status;
}

lspo_status_t lspo_fit_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out)
{
    return fit_plan(plan, machine, false, fit_out);
}

lspo_status_t lspo_fit_plan_or_stop(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out)
{
    return fit_plan(plan, machine, true, fit_out);
}

lspo_status_t lspo_fit_first(const lspo_fit_question_t *question, bool times, lspo_fit_first_t *first_out)
{
    static const double tolerance = 1e-9; /* rounding errors of times stay below it */
    lspo_plan_t *plan = NULL;
    uint64_t *work_ns = NULL;
    lspo_memory_t least;
    lspo_fit_first_t first = {0};
    lspo_status_t status =
        lspo_plan_build_first(question->model, &question->workload, question->policy, times ? 2 : 1, &plan);
    if (status == LSPO_OK)
        status = lspo_memory_predict_least(plan, question->machine, &least);
    if (status == LSPO_OK)
        first.may_fit = lspo_fits(question->machine, least.gpu_bytes, least.host_bytes);
    if (status == LSPO_OK && times)
        status = lspo_cost_plan(question->machine, plan, &work_ns);
    if (work_ns != NULL)
        status = lspo_bound_step(plan, work_ns, &first.least_s);
    first.least_s *= 1 - tolerance;
    if (status == LSPO_OK)
        *first_out = first;
    free(work_ns);
    lspo_plan_destroy(plan);
    return status;
}
