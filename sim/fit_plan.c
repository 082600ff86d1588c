/* fit_plan.c - the memory that a plan needs on a machine; see fit.h. */
#include <stdlib.h>

#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/memory.h"
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

lspo_status_t lspo_fit_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out)
{
    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    lspo_fit_t fit = {0};
    lspo_memory_t memory = {0};
    lspo_short_peer_t short_peer;
    lspo_status_t status = lspo_trial_check(plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_cost_plan(machine, plan, &work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_engine_play(plan, machine, work_ns, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_trial_time(plan, trace, &fit.iteration_s);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_memory_predict(plan, machine, trace, &memory);
    if (status != LSPO_OK)
        goto cleanup;
    fit.gpu_bytes = memory.gpu_bytes;
    fit.host_bytes = memory.host_bytes;
    status = lspo_fits_plan(plan, machine, trace, &memory, &short_peer, &fit.fits);
    if (status == LSPO_OK)
        status = sum_peers(plan, trace, &fit);
    if (status == LSPO_OK)
        *fit_out = fit;
cleanup:
    lspo_trace_destroy(trace);
    free(work_ns);
    return status;
}
