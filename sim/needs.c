/* needs.c - the predicted memory of a plan, itemised; see needs.h. */
#include "sim/needs.h"

/* What is left of a total behind its other items; 0 if a framework takes less than they are. */
static uint64_t rest(uint64_t total_bytes, uint64_t items_bytes)
{
    return total_bytes > items_bytes ? total_bytes - items_bytes : 0;
}

static void itemise_gpu(const lspo_footprint_t *f, const lspo_memory_t *memory, const lspo_machine_t *machine,
                        lspo_needs_t *needs)
{
    uint64_t others =
        f->gpu_parameters_bytes + f->gpu_gradients_bytes + f->gpu_projectors_bytes + f->gpu_workspace_bytes;
    needs->gpu_weights_bytes = f->gpu_parameters_bytes;
    needs->gpu_gradients_bytes = f->gpu_gradients_bytes;
    needs->gpu_projectors_bytes = f->gpu_projectors_bytes;
    needs->gpu_workspace_bytes = f->gpu_workspace_bytes;
    needs->gpu_optimizer_bytes = rest(memory->gpu_static_bytes, others);
    needs->gpu_step_bytes = rest(memory->gpu_tensor_bytes, others + needs->gpu_optimizer_bytes);
    needs->gpu_reserve_bytes = memory->gpu_reserve_bytes + memory->gpu_library_bytes;
    needs->gpu_context_bytes = (uint64_t)machine->gpu.context_bytes;
    needs->gpu_bytes = memory->gpu_bytes + needs->gpu_context_bytes;
}

static void itemise_host(const lspo_footprint_t *f, const lspo_memory_t *memory, lspo_needs_t *needs)
{
    uint64_t weights = f->host_master_bytes + f->host_parameters_bytes;
    uint64_t buffers = f->host_gradients_bytes + f->host_outgoing_bytes + f->host_projectors_bytes;
    needs->host_weights_bytes = weights;
    needs->host_buffers_bytes = buffers;
    needs->host_optimizer_bytes = rest(memory->host_static_bytes, weights + buffers);
    needs->host_step_bytes = rest(memory->host_bytes, weights + buffers + needs->host_optimizer_bytes);
    needs->host_bytes = memory->host_bytes;
}

lspo_status_t lspo_needs_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                 lspo_needs_t *needs_out)
{
    lspo_memory_t memory;
    lspo_status_t status = lspo_memory_predict(plan, machine, trace, &memory);
    if (status != LSPO_OK)
        return status;
    itemise_gpu(&plan->footprint, &memory, machine, needs_out);
    itemise_host(&plan->footprint, &memory, needs_out);
    return LSPO_OK;
}
