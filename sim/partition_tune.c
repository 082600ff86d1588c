/* partition_tune.c - see partition_tune.h. */
#include "sim/partition_tune.h"

#include <math.h>
#include <stdlib.h>

#include "base/texts.h"
#include "plan/chain.h"
#include "plan/largest.h"
#include "plan/policies/fusion.h"
#include "sim/cost.h"
#include "sim/fit.h"
#include "sim/partition.h"

/* What the solver asks about, owned. */
typedef struct {
    double *time_s, *send_s, *latency_s, *memory_bytes;
    uint64_t *static_bytes, *kept_bytes, *passing_bytes, message_bytes, compress_bytes;
    uint32_t *counts;
} tables_t;

static void release(tables_t *t)
{
    free(t->time_s);
    free(t->static_bytes);
    free(t->counts);
}

static lspo_status_t take_room(const lspo_network_t *network, uint32_t stages, tables_t *t)
{
    const size_t kinds = network->kind_count;
    t->time_s = calloc(kinds * stages + 2 * kinds * kinds + kinds, sizeof *t->time_s);
    t->static_bytes = calloc(3 * (size_t)stages, sizeof *t->static_bytes);
    t->counts = calloc(kinds, sizeof *t->counts);
    if (t->time_s == NULL || t->static_bytes == NULL || t->counts == NULL)
        return lspo_no_memory("a partition of %u stages", stages);
    t->send_s = t->time_s + kinds * stages;
    t->latency_s = t->send_s + kinds * kinds;
    t->memory_bytes = t->latency_s + kinds * kinds;
    t->kept_bytes = t->static_bytes + stages;
    t->passing_bytes = t->kept_bytes + stages;
    return LSPO_OK;
}

/* ---- times ---- */

/* Those of a micro-batch that is neither the first nor the last, where there is one. */
static lspo_status_t fill_times(const lspo_plan_t *plan, const lspo_machine_t *machine, double speed, double *time_s)
{
    const uint32_t micro = plan->workload.accumulation / 2;
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        if (lspo_op_is_pass(op) && op->iteration == 0 && op->micro == micro)
            time_s[op->layer] += 1e-9 * (double)lspo_cost_op_ns(op, work_ns) / speed;
    }
    free(work_ns);
    return LSPO_OK;
}

static lspo_status_t fill_kinds(const lspo_plan_t *plan, const lspo_machine_t *usual, const lspo_network_t *network,
                                tables_t *t)
{
    const uint32_t kinds = network->kind_count;
    lspo_activations_t activations;
    lspo_activations(&plan->model, &plan->workload, &activations);
    for (uint32_t k = 0; k < kinds; k++) {
        lspo_machine_t machine;
        lspo_network_machine(network, usual, k, k, &machine);
        lspo_status_t status =
            fill_times(plan, &machine, network->kinds[k].speed, t->time_s + (size_t)k * plan->stage_count);
        if (status != LSPO_OK)
            return status;
        t->counts[k] = network->kinds[k].count;
        t->memory_bytes[k] = fmax(lspo_fit_gpu_bytes(&machine) - machine.software.library_bytes -
                                      (double)activations.workspace_bytes - (double)t->compress_bytes,
                                  0);
        for (uint32_t q = 0; q < kinds; q++) {
            const lspo_peer_link_t *link = lspo_network_link(network, k, q);
            t->latency_s[k * kinds + q] = link->latency_s;
            t->send_s[k * kinds + q] = link->Bps > 0 ? (double)activations.input_bytes / link->Bps : 0;
        }
    }
    return LSPO_OK;
}

/* ---- memory ---- */

/* The token embedding, of which a tied head has a copy. */
static uint64_t tied_bytes(const lspo_plan_t *plan)
{
    lspo_stage_t shape;
    lspo_model_stage(&plan->model, 0, &shape);
    return (uint64_t)shape.tensors[0].rows * shape.tensors[0].cols * lspo_precision_bytes(plan->workload.precision);
}

/* Weights, gradient and optimizer state; a tied head has a copy of the embedding and its gradient. */
static uint64_t static_bytes(const lspo_plan_t *plan, uint32_t s)
{
    const uint64_t p = lspo_precision_bytes(plan->workload.precision);
    const lspo_optimizer_state_t state = lspo_plan_optimizer_state(plan);
    lspo_stage_t shape;
    lspo_message_t message;
    lspo_model_stage(&plan->model, s, &shape);
    lspo_plan_message(plan, s, &message);
    const uint64_t elements = message.element_count, rest = message.rest_elements;
    uint64_t bytes = (shape.element_count + elements) * p + lspo_optimizer_state_bytes(state, elements - rest, rest);
    if (lspo_optimizer_state_has_master(state, plan->workload.precision))
        bytes += elements * sizeof(float);
    if (plan->model.tied_head && s + 1 == plan->stage_count) {
        lspo_model_stage(&plan->model, 0, &shape);
        bytes += tied_bytes(plan) + shape.element_count * p;
    }
    if (plan->model.tied_head && s == 0) /* the last peer's part of its gradient comes, too */
        bytes += tied_bytes(plan);
    return bytes;
}

/* Of a peer that chooses what it sends: scratch, what was not sent, and a message beside its numbers. */
static uint64_t compress_bytes(const lspo_plan_t *plan, const lspo_workload_t *workload)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(workload);
    lspo_activations_t a;
    lspo_activations(&plan->model, workload, &a);
    if (own->compress_links <= 1)
        return 0;
    return lspo_largest_scratch_bytes(a.input_bytes / lspo_precision_bytes(workload->precision)) +
           (own->link_feedback ? 2 : 1) * a.input_bytes;
}

static void fill_memory(const lspo_plan_t *plan, tables_t *t)
{
    lspo_activations_t a;
    lspo_activations(&plan->model, &plan->workload, &a);
    t->message_bytes = a.input_bytes;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const bool block = s > 0 && s + 1 < plan->stage_count;
        t->static_bytes[s] = static_bytes(plan, s);
        /* Its input, which the stage before has made (the embedding's is tokens), and the head's logits. */
        t->kept_bytes[s] = (s > 0 ? a.input_bytes : 0) + (s + 1 == plan->stage_count ? a.head_bytes : 0) +
                           (block && !plan->workload.checkpointing ? a.saved_bytes : 0);
        /* Two messages that come, dx, and what the stage has meanwhile besides what it keeps. */
        t->passing_bytes[s] = 3 * a.input_bytes + (block && plan->workload.checkpointing ? a.saved_bytes : 0);
    }
}

/* ---- the chain ---- */

static lspo_status_t refuse(const lspo_plan_t *plan, const char *path, const lspo_network_t *network, const tables_t *t)
{
    char needed[32], there[32], largest[32];
    double needed_bytes = 0, there_bytes = 0, largest_bytes = 0;
    const bool all_held = lspo_fusion_values_of(&plan->workload)->peer_order == LSPO_PEER_ORDER_GPIPE;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const uint64_t held = all_held ? plan->workload.accumulation : 1;
        const double bytes = (double)(t->static_bytes[s] + held * t->kept_bytes[s]);
        needed_bytes += bytes;
        largest_bytes = fmax(largest_bytes, bytes + (double)t->passing_bytes[s]);
    }
    for (uint32_t k = 0; k < network->kind_count; k++)
        there_bytes += t->counts[k] * t->memory_bytes[k];
    return lspo_error(
        LSPO_ERR_INPUT,
        "--peers %s: no chain of its %u peers has the memory to train %s: with what %s the layers need at "
        "least %s, one of them %s, and all peers have %s",
        path, network->peer_count, plan->model.name,
        all_held ? "all micro-batches of a step keep" : "one micro-batch keeps",
        lspo_format_quantity(needed_bytes, LSPO_UNIT_BYTES, needed, sizeof needed),
        lspo_format_quantity(largest_bytes, LSPO_UNIT_BYTES, largest, sizeof largest),
        lspo_format_quantity(there_bytes, LSPO_UNIT_BYTES, there, sizeof there));
}

static lspo_status_t write_chain(const lspo_chain_t *chain, const lspo_network_t *network, lspo_workload_t *workload)
{
    char *text = NULL;
    lspo_status_t status = lspo_chain_write(chain, network, &text);
    if (status == LSPO_OK)
        status = lspo_text_number(text, &lspo_fusion_values_edit(workload)->chain);
    free(text);
    return status;
}

static lspo_status_t solve(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_network_t *network,
                           lspo_workload_t *workload)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(workload);
    tables_t t = {0};
    lspo_partition_found_t found = {0};
    lspo_status_t status = take_room(network, plan->stage_count, &t);
    t.compress_bytes = compress_bytes(plan, workload);
    if (status == LSPO_OK)
        status = fill_kinds(plan, machine, network, &t);
    if (status == LSPO_OK) {
        fill_memory(plan, &t);
        const uint64_t number_bytes = lspo_precision_bytes(workload->precision);
        const lspo_partition_t question = {.most = own->compress_links,
                                           .numbers = t.message_bytes / number_bytes,
                                           .number_bytes = number_bytes,
                                           .kind_count = network->kind_count,
                                           .stage_count = plan->stage_count,
                                           .micros = workload->accumulation,
                                           .gpipe = own->peer_order == LSPO_PEER_ORDER_GPIPE,
                                           .counts = t.counts,
                                           .time_s = t.time_s,
                                           .send_s = t.send_s,
                                           .latency_s = t.latency_s,
                                           .memory_bytes = t.memory_bytes,
                                           .static_bytes = t.static_bytes,
                                           .kept_bytes = t.kept_bytes,
                                           .passing_bytes = t.passing_bytes,
                                           .message_bytes = t.message_bytes};
        status = lspo_partition_solve(&question, &found);
    }
    if (status == LSPO_OK)
        status = found.chain.count == 0 ? refuse(plan, lspo_text_of(own->peers), network, &t)
                                        : write_chain(&found.chain, network, workload);
    lspo_chain_release(&found.chain);
    release(&t);
    return status;
}

lspo_status_t lspo_partition_tune(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                                  lspo_workload_t *workload)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(workload);
    lspo_network_t network = {0};
    lspo_plan_t *plan = NULL;
    if (policy->parameters != &lspo_fusion_parameters || own->peers == 0 || own->chain != 0)
        return LSPO_OK;
    lspo_workload_t one = *workload;
    lspo_fusion_values_edit(&one)->peers = 0;
    one.iterations = 1;
    lspo_status_t status = lspo_network_read(lspo_text_of(own->peers), &network);
    if (status == LSPO_OK)
        status = lspo_plan_build(model, &one, policy, &plan);
    if (status == LSPO_OK)
        status = solve(plan, machine, &network, workload);
    lspo_plan_destroy(plan);
    lspo_network_release(&network);
    return status;
}
