/* framework_memory.c - what a framework's implementation changes in the memory of a plan; see framework_memory.h. */
#include "sim/framework_memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/footprint.h"
#include "plan/peers.h"
#include "plan/policy.h"

/* The plan being changed. */
typedef struct {
    const lspo_plan_t *plan;
    const lspo_machine_t *machine;
    lspo_plan_t *changed;
    lspo_op_t *ops;
} change_t;

static bool is_neutral(const lspo_machine_t *machine)
{
    return machine->software.logit_bytes == 0.0 && machine->software.saved_width_bytes == 0.0 &&
           machine->software.saved_mlp_bytes == 0.0 && machine->software.saved_repeat_bytes == 0.0 &&
           machine->software.saved_score_bytes == 0.0 && machine->software.saved_adapter_bytes == 0.0 &&
           machine->software.adapter_cast_bytes == 0.0 && machine->software.half_states == 0.0 &&
           machine->software.update_bytes == 0.0 && machine->software.bucket_elements == 0.0 &&
           machine->software.host_parameter_bytes == 0.0;
}

static void take_during(lspo_op_t *op, uint64_t bytes)
{
    op->gpu_alloc_bytes += bytes;
    op->gpu_free_bytes += bytes;
}

/* Blocks */

/* Elements per token of the inputs of a block's adapted weights. */
static double adapter_inputs(const lspo_plan_t *plan)
{
    lspo_message_t message;
    double elements = 0;
    if (plan->gradient_form != LSPO_FORM_ADAPTER)
        return 0;
    lspo_plan_message(plan, 1, &message);
    for (uint32_t i = 0; i < message.linear_count; i++)
        elements += message.linear[i].rows;
    return elements;
}

static uint64_t block_bytes(const change_t *change)
{
    const lspo_model_t *model = &change->plan->model;
    const lspo_workload_t *workload = &change->plan->workload;
    double repeated = (double)lspo_model_attention_width(model) - (double)lspo_model_kv_width(model);
    double per_token = change->machine->software.saved_width_bytes * model->width +
                       change->machine->software.saved_mlp_bytes * model->mlp_width +
                       change->machine->software.saved_repeat_bytes * repeated +
                       change->machine->software.saved_score_bytes * model->head_count * workload->sequence +
                       change->machine->software.saved_adapter_bytes * adapter_inputs(change->plan);
    return (uint64_t)(per_token * (double)lspo_workload_tokens(workload));
}

static bool is_block(const change_t *change, const lspo_op_t *op)
{
    return op->layer > 0 && op->layer + 1u < change->plan->stage_count;
}

/* The forward op whose activations are kept, and the last backward op that has read them; LSPO_NO_OP: none. */
typedef struct {
    lspo_op_id_t forward, backward;
} pass_t;

static void close_pass(const change_t *change, uint64_t bytes, pass_t *pass)
{
    if (pass->forward == LSPO_NO_OP)
        return;
    change->ops[pass->forward].gpu_alloc_bytes += bytes;
    change->ops[pass->backward == LSPO_NO_OP ? pass->forward : pass->backward].gpu_free_bytes += bytes;
    *pass = (pass_t){LSPO_NO_OP, LSPO_NO_OP};
}

/* What FWD keeps, SWAP_OUT gives back and SWAP_IN takes again. */
static void follow_pass(const change_t *change, uint64_t bytes, lspo_op_id_t id, pass_t *pass)
{
    const lspo_op_t *op = &change->plan->ops[id];
    const bool swaps = lspo_op_swaps_activations(op), leaves = swaps && op->kind == LSPO_OP_SWAP_OUT;
    if (op->kind == LSPO_OP_BWD || leaves)
        pass->backward = id;
    if (op->kind == LSPO_OP_FWD || swaps)
        close_pass(change, bytes, pass);
    if ((op->kind == LSPO_OP_FWD && op->variant != LSPO_VARIANT_FROZEN) || (swaps && !leaves))
        pass->forward = id;
}

/* Without checkpointing each FWD is paired with the last BWD of its pass.  A pass is a block's micro-batch; the next
 * FWD of the same begins a new one. */
static lspo_status_t keep_passes(const change_t *change, uint64_t bytes)
{
    const lspo_plan_t *plan = change->plan;
    size_t micros = plan->workload.accumulation, count = micros * plan->stage_count;
    pass_t *passes = malloc(count * sizeof *passes);
    if (passes == NULL)
        return lspo_no_memory("memory of %zu passes", count);
    for (size_t i = 0; i < count; i++)
        passes[i] = (pass_t){LSPO_NO_OP, LSPO_NO_OP};
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (is_block(change, op))
            follow_pass(change, bytes, id, &passes[op->layer * micros + op->micro % micros]);
    }
    for (size_t i = 0; i < count; i++)
        close_pass(change, bytes, &passes[i]);
    free(passes);
    return LSPO_OK;
}

static lspo_status_t change_blocks(const change_t *change)
{
    uint64_t bytes = block_bytes(change);
    if (bytes == 0)
        return LSPO_OK;
    if (!change->plan->workload.checkpointing)
        return keep_passes(change, bytes);
    for (lspo_op_id_t id = 0; id < change->plan->op_count; id++)
        if (change->ops[id].kind == LSPO_OP_BWD && is_block(change, &change->ops[id]))
            take_during(&change->ops[id], bytes);
    return LSPO_OK;
}

/* The head */

static void change_head(const change_t *change)
{
    const lspo_plan_t *plan = change->plan;
    lspo_activations_t activations;
    uint64_t tokens = lspo_workload_tokens(&plan->workload), p = lspo_precision_bytes(plan->workload.precision);
    lspo_activations(&plan->model, &plan->workload, &activations);
    double own_bytes =
        (double)(tokens * p * lspo_logits_stride(plan->model.vocabulary, p)) + (double)activations.workspace_bytes;
    double bytes = change->machine->software.logit_bytes * (double)tokens * plan->model.vocabulary - own_bytes;
    if (bytes <= 0 || plan->model.class_count > 0)
        return;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (change->ops[id].layer + 1u == plan->stage_count &&
            (change->ops[id].kind == LSPO_OP_FWD || change->ops[id].kind == LSPO_OP_BWD))
            take_during(&change->ops[id], (uint64_t)bytes);
}

/* The optimizer */

static lspo_optimizer_state_t state_of(const change_t *change)
{
    return lspo_plan_optimizer_state(change->plan);
}

/* Where half_states has an effect: not on a plan that has chosen its states. */
static bool has_half_states(const change_t *change)
{
    return change->machine->software.half_states > 0.0 && state_of(change) == LSPO_OPTIMIZER_STATE_FP32 &&
           change->plan->gradient_form == LSPO_FORM_DENSE && change->plan->workload.precision == LSPO_BF16;
}

static uint64_t message_elements(const lspo_plan_t *plan, uint32_t stage)
{
    lspo_message_t message;
    lspo_plan_message(plan, stage, &message);
    return message.element_count;
}

/* Where state visits the GPU in parts, only the temporaries of a part are there. */
static void change_visits(const change_t *change, double each_bytes)
{
    const lspo_plan_t *plan = change->plan;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == LSPO_OP_UPD_GPU)
            take_during(&change->ops[id],
                        (uint64_t)((double)plan->works[plan->ops[id].work].kernels[0].elements * each_bytes));
}

/* One optimizer step updates all weights: its temporaries are there once, however many ops the plan has. */
static void change_updates(const change_t *change)
{
    const lspo_plan_t *plan = change->plan;
    bool half = has_half_states(change) || state_of(change) != LSPO_OPTIMIZER_STATE_FP32;
    double each_bytes = change->machine->software.update_bytes / (half ? 2 : 1);
    if (each_bytes == 0.0 || plan->optimizer == LSPO_OPTIMIZER_SGD)
        return;
    if (plan->policy->describe_part != NULL) {
        change_visits(change, each_bytes);
        return;
    }
    lspo_op_id_t first = LSPO_NO_OP;
    double elements = 0;
    for (lspo_op_id_t id = 0; id <= plan->op_count; id++) {
        bool ends = id == plan->op_count;
        if (!ends && plan->ops[id].kind != LSPO_OP_UPD_GPU)
            continue;
        if (first != LSPO_NO_OP && (ends || plan->ops[id].iteration != plan->ops[first].iteration)) {
            take_during(&change->ops[first], (uint64_t)(elements * each_bytes));
            first = LSPO_NO_OP;
            elements = 0;
        }
        if (ends)
            return;
        first = first == LSPO_NO_OP ? id : first;
        elements += (double)message_elements(plan, plan->ops[id].layer);
    }
}

/* Static memory */

static double adapter_elements(const lspo_plan_t *plan)
{
    double elements = 0;
    for (uint32_t s = 0; plan->gradient_form == LSPO_FORM_ADAPTER && s < plan->stage_count; s++)
        elements += (double)message_elements(plan, s);
    return elements;
}

/* Does host_parameter_bytes describe states of the plan's format? */
static bool knows_host_states(const change_t *change)
{
    const lspo_machine_t *machine = change->machine;
    bool half = machine->software.half_states > 0.0;
    return machine->software.host_parameter_bytes > 0.0 &&
           (state_of(change) == LSPO_OPTIMIZER_STATE_FP32 || (half && state_of(change) == LSPO_OPTIMIZER_STATE_BF16));
}

static void change_static(const change_t *change)
{
    const lspo_plan_t *plan = change->plan;
    const lspo_footprint_t *f = &plan->footprint;
    uint64_t p = lspo_precision_bytes(plan->workload.precision);
    bool dense = plan->gradient_form == LSPO_FORM_DENSE, sends = f->host_gradients_bytes > 0;
    double gpu = (double)plan->gpu_static_bytes, host = (double)plan->host_static_bytes;
    gpu += change->machine->software.adapter_cast_bytes * adapter_elements(plan);
    if (has_half_states(change))
        gpu -= (double)f->gpu_optimizer_bytes * (double)(12 - 2 * p) / 12;
    if (sends && (dense || plan->gradient_form == LSPO_FORM_COLUMNS))
        gpu += change->machine->software.bucket_elements * (double)p;
    uint64_t master = lspo_precision_bytes(lspo_optimizer_state_updates(state_of(change), plan->workload.precision));
    if (knows_host_states(change) && f->host_master_bytes > 0)
        host +=
            change->machine->software.host_parameter_bytes * (double)f->host_master_bytes / (double)master -
            (double)(f->host_master_bytes + f->host_optimizer_bytes + f->host_gradients_bytes + f->host_outgoing_bytes);
    change->changed->gpu_static_bytes = (uint64_t)gpu;
    change->changed->host_static_bytes = (uint64_t)host;
}

/* Each peer's changes as the plan's. */
static lspo_status_t change_peers(const change_t *change, lspo_framework_memory_t *memory)
{
    const lspo_plan_t *plan = change->plan;
    lspo_peers_t peers;
    if (plan->peer_static == NULL)
        return LSPO_OK;
    lspo_status_t status = lspo_peers_create(plan, &peers);
    if (status != LSPO_OK)
        return status;
    const uint32_t count = peers.count;
    lspo_peers_release(&peers);
    memory->peer_static = malloc(count * sizeof *memory->peer_static);
    if (memory->peer_static == NULL)
        return lspo_no_memory("memory of %u peers", count);
    const double gpu = (double)change->changed->gpu_static_bytes / (double)plan->gpu_static_bytes;
    const double host = (double)change->changed->host_static_bytes / (double)plan->host_static_bytes;
    for (uint32_t i = 0; i < count; i++)
        memory->peer_static[i] = (lspo_peer_static_t){(uint64_t)(gpu * (double)plan->peer_static[i].gpu_bytes + 0.5),
                                                      (uint64_t)(host * (double)plan->peer_static[i].host_bytes + 0.5)};
    change->changed->peer_static = memory->peer_static;
    return LSPO_OK;
}

lspo_status_t lspo_framework_memory_create(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                           lspo_framework_memory_t *memory_out)
{
    *memory_out = (lspo_framework_memory_t){.plan = plan};
    if (is_neutral(machine))
        return LSPO_OK;
    lspo_op_t *ops = malloc(((size_t)plan->op_count + 1) * sizeof *ops);
    if (ops == NULL)
        return lspo_no_memory("memory of %u ops", plan->op_count);
    if (plan->op_count > 0) /* what a plan holds all the time is asked of one without ops */
        memcpy(ops, plan->ops, plan->op_count * sizeof *ops);
    memory_out->changed = *plan;
    memory_out->changed.ops = memory_out->ops = ops;
    memory_out->plan = &memory_out->changed;
    change_t change = {plan, machine, &memory_out->changed, ops};
    change_static(&change);
    change_head(&change);
    change_updates(&change);
    lspo_status_t status = change_peers(&change, memory_out);
    if (status == LSPO_OK)
        status = change_blocks(&change);
    if (status != LSPO_OK)
        lspo_framework_memory_release(memory_out);
    return status;
}

void lspo_framework_memory_release(lspo_framework_memory_t *memory)
{
    free(memory->peer_static);
    free(memory->ops);
    *memory = (lspo_framework_memory_t){0};
}

uint64_t lspo_framework_reserve_bytes(const lspo_machine_t *machine, uint64_t dynamic_bytes)
{
    double share = machine->software.allocator_share;
    return (uint64_t)((double)dynamic_bytes * share / (1 - share));
}

uint64_t lspo_framework_reserve_most_bytes(const lspo_machine_t *machine, uint64_t tensor_bytes, uint64_t dynamic_bytes)
{
    double most = machine->software.allocator_most;
    return (uint64_t)fmax((double)tensor_bytes * most / (1 - most),
                          (double)lspo_framework_reserve_bytes(machine, dynamic_bytes));
}
