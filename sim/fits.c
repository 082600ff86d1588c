/* fits.c - do peaks fit, on one machine or on peers that differ; see fit.h. */
#include <math.h>

#include "plan/place.h"
#include "sim/fit.h"
#include "sim/framework_memory.h"

/* ---- on one machine ---- */

double lspo_fit_gpu_bytes(const lspo_machine_t *machine)
{
    return fmax(machine->gpu.memory_bytes - machine->gpu.context_bytes, 0);
}

static uint64_t excess(uint64_t peak_bytes, double there_bytes)
{
    return (double)peak_bytes > there_bytes ? peak_bytes - (uint64_t)there_bytes : 0;
}

uint64_t lspo_fit_gpu_excess(const lspo_machine_t *machine, uint64_t peak_gpu_bytes)
{
    return excess(peak_gpu_bytes, lspo_fit_gpu_bytes(machine));
}

uint64_t lspo_fit_host_excess(const lspo_machine_t *machine, uint64_t peak_host_bytes)
{
    return excess(peak_host_bytes, machine->cpu.memory_bytes);
}

bool lspo_fits(const lspo_machine_t *machine, uint64_t peak_gpu_bytes, uint64_t peak_host_bytes)
{
    return lspo_fit_gpu_excess(machine, peak_gpu_bytes) == 0 && lspo_fit_host_excess(machine, peak_host_bytes) == 0;
}

/* ---- on peers ---- */

/* The GPU's peak and the memory there is, of a peer with its framework. */
static void compare_peer(const lspo_plan_t *plan, const lspo_machine_t *usual, const lspo_peer_peaks_t *peaks,
                         uint32_t peer, lspo_short_peer_t *most)
{
    lspo_machine_t own;
    const uint32_t kind = plan->peer_kinds[peer];
    lspo_network_machine(&plan->network, usual, kind, kind, &own);
    const uint64_t tensors = peaks->gpu_bytes[peer], gone = tensors - plan->peer_static[peer].gpu_bytes;
    const uint64_t needed_bytes =
        tensors + lspo_framework_reserve_bytes(&own, gone) + (uint64_t)own.software.library_bytes;
    const uint64_t excess_bytes = lspo_fit_gpu_excess(&own, needed_bytes);
    if (excess_bytes <= most->excess_bytes)
        return;
    *most = (lspo_short_peer_t){.peer = peer, .excess_bytes = excess_bytes, .needed_bytes = needed_bytes};
}

lspo_status_t lspo_fits_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                             const lspo_memory_t *memory, lspo_short_peer_t *short_out, bool *fits_out)
{
    if (plan->network.kind_count == 0) {
        *short_out = (lspo_short_peer_t){0};
        *fits_out = lspo_fits(machine, memory->gpu_bytes, memory->host_bytes);
        return LSPO_OK;
    }
    lspo_framework_memory_t framework;
    lspo_peer_peaks_t peaks = {0};
    lspo_short_peer_t most = {0};
    lspo_status_t status = lspo_framework_memory_create(plan, machine, &framework);
    if (status != LSPO_OK)
        return status;
    status = lspo_memory_replay_peers(framework.plan, trace, &peaks);
    for (uint32_t p = 0; status == LSPO_OK && p < peaks.count; p++)
        compare_peer(framework.plan, machine, &peaks, p, &most);
    lspo_peer_peaks_release(&peaks);
    lspo_framework_memory_release(&framework);
    if (status != LSPO_OK)
        return status;
    *short_out = most;
    *fits_out = most.excess_bytes == 0;
    return LSPO_OK;
}
