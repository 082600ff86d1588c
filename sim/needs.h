/* needs.h - the predicted memory of a plan, itemised. */
#ifndef LSPO_SIM_NEEDS_H
#define LSPO_SIM_NEEDS_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/memory.h"
#include "traces/trace.h"

/* The items of each memory add up to its total.  What a framework's static memory (framework_memory.h) is more than the
 * plan's is an item of its own; what it is less is taken from the states, then from the other items. */
typedef struct {
    uint64_t gpu_weights_bytes, gpu_gradients_bytes, gpu_optimizer_bytes, gpu_projectors_bytes, gpu_workspace_bytes;
    uint64_t gpu_framework_bytes;
    uint64_t gpu_step_bytes;    /* activations, messages, what comes and goes within a step, at its peak */
    uint64_t gpu_reserve_bytes; /* held unused by the framework's allocator, and its libraries */
    uint64_t gpu_context_bytes; /* of the driver */
    uint64_t gpu_bytes;
    uint64_t host_weights_bytes; /* fp32 copies, and weights that wait on the host */
    uint64_t host_optimizer_bytes;
    uint64_t host_buffers_bytes;     /* gradients that arrive, weights that leave, projectors */
    uint64_t host_activations_bytes; /* that wait on the host: --swap-activations */
    uint64_t host_framework_bytes;
    uint64_t host_step_bytes; /* what comes and goes within a step, and the process */
    uint64_t host_bytes;
} lspo_needs_t;

/* Of lspo_memory_predict() for a trace of the plan. */
lspo_status_t lspo_needs_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                 lspo_needs_t *needs_out);

/* Of `count` such processes on one host, each with a GPU of its own: the host's items times their number. */
void lspo_needs_share_host(lspo_needs_t *needs, uint32_t count);

#endif
