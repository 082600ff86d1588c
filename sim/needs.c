/* needs.c - the predicted memory of a plan, itemised; see needs.h. */
#include "sim/needs.h"

/* Make the items add up to the static memory under a framework: more than they are is its own, less is taken from them
 * in turn. */
static void balance(uint64_t static_bytes, uint64_t *const items[], size_t count, uint64_t *framework_out)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += *items[i];
    *framework_out = static_bytes > sum ? static_bytes - sum : 0;
    uint64_t less = sum > static_bytes ? sum - static_bytes : 0;
    for (size_t i = 0; i < count && less > 0; i++) {
        uint64_t taken = *items[i] < less ? *items[i] : less;
        *items[i] -= taken;
        less -= taken;
    }
}

static void itemise_gpu(const lspo_footprint_t *f, const lspo_memory_t *memory, const lspo_machine_t *machine,
                        lspo_needs_t *needs)
{
    uint64_t *const items[] = {&needs->gpu_optimizer_bytes, &needs->gpu_gradients_bytes, &needs->gpu_projectors_bytes,
                               &needs->gpu_workspace_bytes, &needs->gpu_weights_bytes};
    needs->gpu_weights_bytes = f->gpu_parameters_bytes;
    needs->gpu_gradients_bytes = f->gpu_gradients_bytes;
    needs->gpu_optimizer_bytes = f->gpu_optimizer_bytes;
    needs->gpu_projectors_bytes = f->gpu_projectors_bytes;
    needs->gpu_workspace_bytes = f->gpu_workspace_bytes;
    balance(memory->gpu_static_bytes, items, sizeof items / sizeof items[0], &needs->gpu_framework_bytes);
    needs->gpu_step_bytes = memory->gpu_tensor_bytes - memory->gpu_static_bytes;
    needs->gpu_reserve_bytes = memory->gpu_reserve_bytes + memory->gpu_library_bytes;
    needs->gpu_context_bytes = (uint64_t)machine->gpu.context_bytes;
    needs->gpu_bytes = memory->gpu_bytes + needs->gpu_context_bytes;
}

static void itemise_host(const lspo_footprint_t *f, const lspo_memory_t *memory, lspo_needs_t *needs)
{
    uint64_t *const items[] = {&needs->host_buffers_bytes, &needs->host_optimizer_bytes, &needs->host_weights_bytes,
                               &needs->host_activations_bytes};
    needs->host_weights_bytes = f->host_master_bytes + f->host_parameters_bytes;
    needs->host_optimizer_bytes = f->host_optimizer_bytes;
    needs->host_buffers_bytes = f->host_gradients_bytes + f->host_outgoing_bytes + f->host_projectors_bytes;
    needs->host_activations_bytes = f->host_activations_bytes;
    balance(memory->host_static_bytes, items, sizeof items / sizeof items[0], &needs->host_framework_bytes);
    needs->host_step_bytes = memory->host_bytes - memory->host_static_bytes;
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

void lspo_needs_share_host(lspo_needs_t *needs, uint32_t count)
{
    uint64_t *const items[] = {&needs->host_weights_bytes,
                               &needs->host_optimizer_bytes,
                               &needs->host_buffers_bytes,
                               &needs->host_activations_bytes,
                               &needs->host_framework_bytes,
                               &needs->host_step_bytes,
                               &needs->host_bytes};
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        *items[i] *= count;
}
