/* memory.c - replay a plan's allocations in the order of a trace: peak bytes on GPU and host; see memory.h. */
#include "sim/memory.h"

#include <inttypes.h>
#include <stdlib.h>

#include "plan/peers.h"
#include "sim/framework_memory.h"
#include "sim/memory_bound.h"
#include "sim/memory_least.h"
#include "traces/events.h"

/* Low-rank bases: workspaces and code of LAPACK beyond its scratch, which no other policy uses.  Measured as the
 * difference between the processes of a training with bases and one with adapters: 1.1 MB at widths 128 and 384, 2.3 MB
 * at 512. */
enum { LAPACK_BYTES = 1200000 };

/* Signed: an op that takes no time ends "before" it starts. */
typedef struct {
    int64_t now_bytes, peak_bytes;
} level_t;

static void change(level_t *level, uint64_t taken_bytes, uint64_t freed_bytes)
{
    level->now_bytes = (int64_t)((uint64_t)level->now_bytes + taken_bytes - freed_bytes);
    if (level->now_bytes > level->peak_bytes)
        level->peak_bytes = level->now_bytes;
}

/* The levels of each peer, by its index. */
typedef struct {
    lspo_peers_t peers;
    level_t *gpu, *host; /* owned by gpu */
} replay_t;

static void replay_release(replay_t *replay)
{
    free(replay->gpu);
    lspo_peers_release(&replay->peers);
}

static lspo_status_t replay_create(const lspo_plan_t *plan, replay_t *replay_out)
{
    replay_t replay = {0};
    lspo_status_t status = lspo_peers_create(plan, &replay.peers);
    if (status != LSPO_OK)
        return status;
    replay.gpu = calloc(2 * (size_t)replay.peers.count + 1, sizeof *replay.gpu);
    replay.host = replay.gpu + replay.peers.count;
    if (!replay.gpu) {
        replay_release(&replay);
        return lspo_no_memory("the memory of %" PRIu32 " peers", replay.peers.count);
    }
    *replay_out = replay;
    return LSPO_OK;
}

static lspo_status_t replay_events(const lspo_plan_t *plan, const lspo_trace_t *trace, const replay_t *replay)
{
    lspo_trace_event_t *events = NULL;
    lspo_status_t status = lspo_trace_events(trace, &events);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < 2 * (size_t)trace->row_count; i++) {
        const lspo_op_t *op = &plan->ops[events[i].op];
        const uint32_t peer =
            events[i].starts ? replay->peers.taker[events[i].op] : lspo_peers_giver(&replay->peers, op);
        if (events[i].starts) {
            change(&replay->gpu[peer], op->gpu_alloc_bytes, 0);
            change(&replay->host[peer], op->host_alloc_bytes, 0);
        } else {
            change(&replay->gpu[peer], 0, op->gpu_free_bytes);
            change(&replay->host[peer], 0, op->host_free_bytes);
        }
    }
    free(events);
    for (uint32_t peer = 0; peer < replay->peers.count; peer++)
        if (replay->gpu[peer].now_bytes != 0 || replay->host[peer].now_bytes != 0)
            return lspo_error(LSPO_ERR_CHECK,
                              "memory replay: %" PRId64 " bytes on the GPU and %" PRId64
                              " on the host are never given back",
                              replay->gpu[peer].now_bytes, replay->host[peer].now_bytes);
    return LSPO_OK;
}

lspo_status_t lspo_memory_replay_peers(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_peer_peaks_t *peaks_out)
{
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].op >= plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "memory replay: op %" PRIu32 " is not in the plan", trace->rows[i].op);
    replay_t replay = {0};
    lspo_peer_peaks_t peaks = {0};
    lspo_status_t status = replay_create(plan, &replay);
    if (status != LSPO_OK)
        return status;
    status = replay_events(plan, trace, &replay);
    if (status != LSPO_OK)
        goto cleanup;
    peaks = (lspo_peer_peaks_t){.count = replay.peers.count,
                                .gpu_bytes = malloc(2 * (size_t)replay.peers.count * sizeof *peaks.gpu_bytes)};
    if (!peaks.gpu_bytes) {
        status = lspo_no_memory("the memory of %" PRIu32 " peers", replay.peers.count);
        goto cleanup;
    }
    peaks.host_bytes = peaks.gpu_bytes + peaks.count;
    for (uint32_t p = 0; p < peaks.count; p++) {
        peaks.gpu_bytes[p] = lspo_peers_gpu_static_bytes(plan, p) + (uint64_t)replay.gpu[p].peak_bytes;
        peaks.host_bytes[p] = lspo_peers_host_static_bytes(plan, p) + (uint64_t)replay.host[p].peak_bytes;
    }
    *peaks_out = peaks;
cleanup:
    replay_release(&replay);
    return status;
}

void lspo_peer_peaks_release(lspo_peer_peaks_t *peaks)
{
    free(peaks->gpu_bytes);
    *peaks = (lspo_peer_peaks_t){0};
}

lspo_status_t lspo_memory_replay(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t *peak_gpu_bytes_out,
                                 uint64_t *peak_host_bytes_out)
{
    lspo_peer_peaks_t peaks = {0};
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_status_t status = lspo_memory_replay_peers(plan, trace, &peaks);
    if (status != LSPO_OK)
        return status;
    for (uint32_t p = 0; p < peaks.count; p++) {
        gpu_bytes = peaks.gpu_bytes[p] > gpu_bytes ? peaks.gpu_bytes[p] : gpu_bytes;
        host_bytes = peaks.host_bytes[p] > host_bytes ? peaks.host_bytes[p] : host_bytes;
    }
    *peak_gpu_bytes_out = gpu_bytes;
    *peak_host_bytes_out = host_bytes;
    lspo_peer_peaks_release(&peaks);
    return LSPO_OK;
}

static bool has_other_lanes(const lspo_plan_t *plan)
{
    for (uint32_t i = 0; i < plan->op_count; i++)
        if (lspo_op_kind_lane((lspo_op_kind_t)plan->ops[i].kind) != LSPO_LANE_GPU)
            return true;
    return false;
}

static uint64_t process_bytes(const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    return (uint64_t)machine->cpu.process_bytes + (has_other_lanes(plan) ? (uint64_t)machine->cpu.lanes_bytes : 0) +
           (plan->gradient_form == LSPO_FORM_LOWRANK ? (uint64_t)LAPACK_BYTES : 0);
}

static lspo_memory_t sum_up(const lspo_plan_t *plan, const lspo_machine_t *machine, uint64_t tensor_bytes,
                            uint64_t reserve_bytes, uint64_t host_bytes)
{
    const uint64_t library_bytes = (uint64_t)machine->software.library_bytes;
    return (lspo_memory_t){.gpu_bytes = tensor_bytes + reserve_bytes + library_bytes,
                           .host_bytes = host_bytes + process_bytes(plan, machine),
                           .gpu_tensor_bytes = tensor_bytes,
                           .gpu_reserve_bytes = reserve_bytes,
                           .gpu_library_bytes = library_bytes,
                           .gpu_static_bytes = plan->gpu_static_bytes,
                           .host_static_bytes = plan->host_static_bytes};
}

lspo_memory_t lspo_memory_of_peaks(const lspo_plan_t *plan, const lspo_machine_t *machine, uint64_t gpu_bytes,
                                   uint64_t host_bytes)
{
    return sum_up(plan, machine, gpu_bytes, lspo_framework_reserve_bytes(machine, gpu_bytes - plan->gpu_static_bytes),
                  host_bytes);
}

lspo_status_t lspo_memory_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                  lspo_memory_t *memory_out)
{
    lspo_framework_memory_t framework;
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_status_t status = lspo_framework_memory_create(plan, machine, &framework);
    if (status != LSPO_OK)
        return status;
    status = lspo_memory_replay(framework.plan, trace, &gpu_bytes, &host_bytes);
    if (status == LSPO_OK)
        *memory_out = lspo_memory_of_peaks(framework.plan, machine, gpu_bytes, host_bytes);
    lspo_framework_memory_release(&framework);
    return status;
}

lspo_status_t lspo_memory_predict_least(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                        lspo_memory_t *memory_out)
{
    lspo_framework_memory_t framework;
    uint64_t gpu_bytes = 0;
    lspo_status_t status = lspo_framework_memory_create(plan, machine, &framework);
    if (status != LSPO_OK)
        return status;
    status = lspo_memory_least(framework.plan, &gpu_bytes);
    if (status == LSPO_OK)
        *memory_out = lspo_memory_of_peaks(framework.plan, machine, gpu_bytes, framework.plan->host_static_bytes);
    lspo_framework_memory_release(&framework);
    return status;
}

lspo_status_t lspo_memory_predict_bound(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                        const lspo_trace_t *trace, uint64_t slack_ns, lspo_memory_t *memory_out)
{
    lspo_framework_memory_t framework;
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_status_t status = lspo_framework_memory_create(plan, machine, &framework);
    if (status != LSPO_OK)
        return status;
    status = lspo_memory_bound(framework.plan, trace, slack_ns, &gpu_bytes, &host_bytes);
    if (status == LSPO_OK)
        *memory_out =
            sum_up(framework.plan, machine, gpu_bytes,
                   lspo_framework_reserve_most_bytes(machine, gpu_bytes, gpu_bytes - framework.plan->gpu_static_bytes),
                   host_bytes);
    lspo_framework_memory_release(&framework);
    return status;
}
