/* memory.c - replay a plan's allocations in the order of a trace: peak bytes on GPU and host; see memory.h. */
#include "sim/memory.h"

#include <inttypes.h>
#include <stdlib.h>

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

lspo_status_t lspo_memory_replay(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t *peak_gpu_bytes_out,
                                 uint64_t *peak_host_bytes_out)
{
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].op >= plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "memory replay: op %" PRIu32 " is not in the plan", trace->rows[i].op);
    lspo_trace_event_t *events = NULL;
    lspo_status_t status = lspo_trace_events(trace, &events);
    if (status != LSPO_OK)
        return status;
    level_t gpu = {0}, host = {0};
    for (size_t i = 0; i < 2 * (size_t)trace->row_count; i++) {
        const lspo_op_t *op = &plan->ops[events[i].op];
        if (events[i].starts) {
            change(&gpu, op->gpu_alloc_bytes, 0);
            change(&host, op->host_alloc_bytes, 0);
        } else {
            change(&gpu, 0, op->gpu_free_bytes);
            change(&host, 0, op->host_free_bytes);
        }
    }
    free(events);
    if (gpu.now_bytes != 0 || host.now_bytes != 0)
        return lspo_error(LSPO_ERR_CHECK,
                          "memory replay: %" PRId64 " bytes on the GPU and %" PRId64
                          " on the host are never given back",
                          gpu.now_bytes, host.now_bytes);
    *peak_gpu_bytes_out = plan->gpu_static_bytes + (uint64_t)gpu.peak_bytes;
    *peak_host_bytes_out = plan->host_static_bytes + (uint64_t)host.peak_bytes;
    return LSPO_OK;
}

lspo_status_t lspo_memory_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                  uint64_t *peak_gpu_bytes_out, uint64_t *peak_host_bytes_out)
{
    lspo_status_t status = lspo_memory_replay(plan, trace, peak_gpu_bytes_out, peak_host_bytes_out);
    if (status != LSPO_OK)
        return status;
    *peak_host_bytes_out +=
        (uint64_t)machine->cpu.process_bytes + (plan->gradient_form == LSPO_FORM_LOWRANK ? (uint64_t)LAPACK_BYTES : 0);
    return LSPO_OK;
}
