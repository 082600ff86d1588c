/* plan.c - the functions on finished plans; see plan.h. */
#include "plan/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/build.h"
#include "plan/policies/lora.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "plan/policy.h"

void lspo_plan_message(const lspo_plan_t *plan, uint32_t stage, lspo_message_t *message_out)
{
    bool rest = plan->workload.train_rest == LSPO_TRAIN_REST_ON;
    lspo_stage_t shape;
    lspo_model_stage(&plan->model, stage, &shape);
    if (plan->policy->describe_message && stage >= lspo_plan_native_layers(plan))
        plan->policy->describe_message(&plan->workload, &shape, rest, message_out);
    else
        lspo_message_dense(&shape, rest, message_out);
}

uint32_t lspo_plan_native_layers(const lspo_plan_t *plan)
{
    const uint32_t *layers = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_native_layers);
    return layers != NULL ? *layers : 0;
}

bool lspo_plan_speculates(const lspo_plan_t *plan)
{
    const uint32_t *speculate = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_speculate_clip);
    return speculate != NULL && *speculate == LSPO_SPECULATE_ON && plan->workload.clip_norm > 0;
}

bool lspo_plan_redoes(const lspo_plan_t *plan, uint32_t iteration)
{
    const uint32_t every = lspo_layerwise_values_of(&plan->workload)->clip_every;
    return every > 0 && ((uint64_t)plan->workload.first_step + iteration + 1) % every == 0;
}

uint32_t lspo_plan_first_sent_block(const lspo_plan_t *plan)
{
    uint32_t native = lspo_plan_native_layers(plan), head = plan->stage_count - 1;
    return native < 1 ? 1 : native < head ? native : head;
}

static bool trains_rest(const lspo_plan_t *plan)
{
    return plan->workload.train_rest == LSPO_TRAIN_REST_ON;
}

uint32_t lspo_plan_turn_steps(const lspo_plan_t *plan)
{
    const uint32_t *steps = lspo_policy_value(plan->policy, &plan->workload, plan->policy->turn);
    return steps ? *steps : 1;
}

uint32_t lspo_plan_lowest_trained(const lspo_plan_t *plan, uint32_t iteration)
{
    const lspo_workload_t *w = &plan->workload;
    uint32_t lowest = trains_rest(plan) ? 0 : 1;
    if (plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM)
        return lowest;
    uint32_t head = plan->stage_count - 1;
    uint32_t highest = trains_rest(plan) && !plan->model.tied_head ? head : head - 1;
    uint32_t turn = (w->first_step + iteration) / lspo_plan_turn_steps(plan) % (highest - lowest + 1);
    return turn == 0 ? lowest : highest + 1 - turn;
}

bool lspo_plan_trains(const lspo_plan_t *plan, uint32_t stage, uint32_t iteration)
{
    bool head = stage + 1 == plan->stage_count;
    if ((stage == 0 || head) && !trains_rest(plan))
        return false;
    if (plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM)
        return true;
    uint32_t active = lspo_plan_lowest_trained(plan, iteration);
    return stage == active || (active == 0 && head && plan->model.tied_head);
}

uint32_t lspo_plan_adam_step(const lspo_plan_t *plan, uint32_t iteration)
{
    uint32_t step = plan->workload.first_step + iteration;
    return (plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM ? step % lspo_plan_turn_steps(plan) : step) + 1;
}

bool lspo_plan_checks_projectors(const lspo_plan_t *plan, uint32_t iteration)
{
    const lspo_workload_t *w = &plan->workload;
    if (plan->gradient_form != LSPO_FORM_SUBSPACE || w->identity_projectors)
        return false;
    const lspo_lsp_values_t *lsp = lspo_lsp_values_of(w);
    uint32_t step = w->first_step + iteration;
    return lsp->check_every > 0 && step >= lsp->first_check && step % lsp->check_every == 0;
}

uint32_t lspo_plan_fit_steps(const lspo_plan_t *plan)
{
    const lspo_lsp_values_t *lsp = lspo_lsp_values_of(&plan->workload);
    uint32_t batches = lsp->fit_batches - 2; /* the first checks, the last decides */
    return (lsp->fit_steps + batches - 1) / batches;
}

/* All blocks are alike. */
static bool compresses_weights(const lspo_plan_t *plan)
{
    lspo_message_t message;
    bool compressed = false;
    lspo_plan_message(plan, 1, &message);
    for (uint32_t i = 0; i < message.linear_count; i++)
        compressed |= message.linear[i].compressed;
    return compressed;
}

lspo_optimizer_state_t lspo_plan_optimizer_state(const lspo_plan_t *plan)
{
    const uint32_t *state = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_optimizer_state);
    return state != NULL ? (lspo_optimizer_state_t)*state : LSPO_OPTIMIZER_STATE_FP32;
}

lspo_adam_basis_t lspo_plan_adam_basis(const lspo_plan_t *plan)
{
    const uint32_t *basis = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_adam_basis);
    return basis != NULL ? (lspo_adam_basis_t)*basis : LSPO_ADAM_BASIS_PLAIN;
}

bool lspo_plan_renews_adam_basis(const lspo_plan_t *plan, uint32_t stage, uint32_t iteration)
{
    const uint32_t *every = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_basis_every);
    lspo_adam_basis_t basis = lspo_plan_adam_basis(plan);
    uint32_t step = plan->workload.first_step + iteration;
    if (basis == LSPO_ADAM_BASIS_PLAIN || step == 0)
        return basis != LSPO_ADAM_BASIS_PLAIN;
    return basis == LSPO_ADAM_BASIS_EIGEN && (step + stage) % *every == 0;
}

bool lspo_plan_renews_apart(const lspo_plan_t *plan)
{
    return plan->gradient_form == LSPO_FORM_SUBSPACE && lspo_plan_adam_basis(plan) != LSPO_ADAM_BASIS_PLAIN;
}

bool lspo_plan_has_bases_on_gpu(const lspo_plan_t *plan)
{
    const uint32_t *lane = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_basis_lane);
    return lane != NULL && *lane == LSPO_BASIS_LANE_GPU && lspo_plan_adam_basis(plan) != LSPO_ADAM_BASIS_PLAIN;
}

bool lspo_plan_turns_on_gpu(const lspo_plan_t *plan, uint32_t iteration)
{
    return lspo_plan_has_bases_on_gpu(plan) && !lspo_plan_checks_projectors(plan, iteration);
}

uint32_t lspo_plan_rank(const lspo_plan_t *plan)
{
    const uint32_t *rank = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_rank);
    return rank != NULL ? *rank : 0;
}

bool lspo_plan_quantizes(const lspo_plan_t *plan)
{
    const uint32_t *base = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_base_weights);
    return base != NULL && *base == LSPO_BASE_WEIGHTS_NF4;
}

bool lspo_plan_renews_bases(const lspo_plan_t *plan, uint32_t iteration)
{
    if (plan->gradient_form != LSPO_FORM_LOWRANK)
        return false;
    const uint32_t *every = lspo_policy_value(plan->policy, &plan->workload, plan->policy->periods[0].parameter);
    return (plan->workload.first_step + iteration) % *every == 0 && compresses_weights(plan);
}

bool lspo_plan_keeps_gradients(const lspo_plan_t *plan, uint32_t iteration)
{
    return plan->workload.accumulation > 1 && lspo_plan_renews_bases(plan, iteration);
}

double lspo_plan_tokens(const lspo_plan_t *plan)
{
    const lspo_workload_t *w = &plan->workload;
    const bool generates = plan->policy->task == LSPO_TASK_GENERATE;
    return (generates ? (double)w->batch : (double)lspo_workload_tokens(w)) * w->accumulation;
}

bool lspo_plan_sums_on_host(const lspo_plan_t *plan)
{
    const uint32_t *where = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_accumulate_on);
    return plan->workload.accumulation > 1 && where != NULL && *where == LSPO_ACCUMULATE_ON_HOST;
}

void lspo_plan_destroy(lspo_plan_t *plan)
{
    if (!plan)
        return;
    free(plan->ops);
    free(plan->deps);
    free(plan->works);
    free(plan->peer_static);
    free(plan->peer_kinds);
    lspo_network_release(&plan->network);
    lspo_lanes_release(&plan->lanes);
    free(plan);
}

static lspo_status_t check_op(const lspo_plan_t *plan, lspo_op_id_t id)
{
    const lspo_op_t *op = &plan->ops[id];
    if (op->kind >= LSPO_OP_KIND_COUNT || op->variant >= LSPO_VARIANT_COUNT)
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u has kind %u, variant %u", id, op->kind, op->variant);
    const char *kind = lspo_op_kind_name((lspo_op_kind_t)op->kind);
    if (op->lane >= plan->lanes.count)
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) is on lane %u of %u", id, kind, op->lane,
                          plan->lanes.count);
    if (plan->lanes.list[op->lane].kind != lspo_op_kind_lane((lspo_op_kind_t)op->kind))
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) is on lane %s, which is of another kind", id, kind,
                          plan->lanes.list[op->lane].name);
    if (op->layer >= plan->stage_count || op->iteration >= plan->workload.iterations)
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) is of layer %u, iteration %u, out of range", id, kind,
                          op->layer, op->iteration);
    if (op->work >= plan->work_count)
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) has work %u of %u", id, kind, op->work, plan->work_count);
    if (op->dep_first > plan->dep_count || op->dep_count > plan->dep_count - op->dep_first)
        return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) has dependencies out of range", id, kind);
    for (uint32_t i = 0; i < op->dep_count; i++) {
        lspo_op_id_t dep = plan->deps[op->dep_first + i];
        if (dep >= id)
            return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) waits for op %u, which does not precede it", id, kind,
                              dep);
        if (plan->ops[dep].iteration > op->iteration + plan->staleness_steps)
            return lspo_error(LSPO_ERR_CHECK, "plan: op %u (%s) of iteration %u waits for iteration %u", id, kind,
                              op->iteration, plan->ops[dep].iteration);
    }
    return LSPO_OK;
}

/* Allocations and frees must cancel; otherwise the second iteration starts with less memory than the first. */
static lspo_status_t check_balance(const lspo_plan_t *plan)
{
    uint64_t taken[2] = {0, 0}, given[2] = {0, 0};
    for (uint32_t i = 0; i < plan->op_count; i++) {
        taken[0] += plan->ops[i].gpu_alloc_bytes;
        given[0] += plan->ops[i].gpu_free_bytes;
        taken[1] += plan->ops[i].host_alloc_bytes;
        given[1] += plan->ops[i].host_free_bytes;
    }
    for (int where = 0; where < 2; where++)
        if (taken[where] != given[where])
            return lspo_error(LSPO_ERR_CHECK, "plan: ops take %" PRIu64 " bytes of %s memory and give back %" PRIu64,
                              taken[where], where ? "host" : "GPU", given[where]);
    return LSPO_OK;
}

lspo_status_t lspo_plan_check(const lspo_plan_t *plan)
{
    lspo_status_t st = lspo_lanes_check(&plan->lanes);
    if (st != LSPO_OK)
        return st;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        st = check_op(plan, i);
        if (st != LSPO_OK)
            return st;
    }
    return check_balance(plan);
}

lspo_status_t lspo_plan_successors(const lspo_plan_t *plan, uint32_t **first_out, lspo_op_id_t **successors_out)
{
    uint32_t *first = calloc((size_t)plan->op_count + 2, sizeof *first);
    lspo_op_id_t *successors = malloc(((size_t)plan->dep_count + 1) * sizeof *successors);
    if (!first || !successors) {
        free(first);
        free(successors);
        return lspo_no_memory("the successors of %u ops", plan->op_count);
    }
    /* Counting sort: first[i + 2] counts, then becomes the place of i's next successor, and ends as first[i + 1]. */
    for (uint32_t d = 0; d < plan->dep_count; d++)
        first[plan->deps[d] + 2]++;
    for (uint32_t i = 2; i <= plan->op_count + 1; i++)
        first[i] += first[i - 1];
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        for (uint32_t d = 0; d < op->dep_count; d++)
            successors[first[plan->deps[op->dep_first + d] + 1]++] = i;
    }
    *first_out = first;
    *successors_out = successors;
    return LSPO_OK;
}

static const char *const variant_suffixes[LSPO_VARIANT_COUNT] = {
    [LSPO_VARIANT_NORM_SCALAR] = " norm",
    [LSPO_VARIANT_PARAMETERS] = " parameters",
    [LSPO_VARIANT_OPTIMIZER] = " optimizer",
    [LSPO_VARIANT_PENDING] = " pending",
    [LSPO_VARIANT_CALIBRATE] = " calibrate",
    [LSPO_VARIANT_FIT] = " fit",
    [LSPO_VARIANT_DECIDE] = " decide",
    [LSPO_VARIANT_PROJECTORS] = " projectors",
    [LSPO_VARIANT_FROZEN] = " frozen",
    [LSPO_VARIANT_ACCUMULATE] = " accumulate",
    [LSPO_VARIANT_DRAIN] = " drain",
    [LSPO_VARIANT_DRAIN_LAST] = " drain last",
    [LSPO_VARIANT_PROBE] = " probe",
    [LSPO_VARIANT_RENEW] = " renew",
    [LSPO_VARIANT_CACHE] = " cache",
    [LSPO_VARIANT_INPUTS] = " inputs",
    [LSPO_VARIANT_SUM] = " sum",
    [LSPO_VARIANT_ACTIVATIONS] = " activations",
    [LSPO_VARIANT_GRADIENT] = " gradient",
    [LSPO_VARIANT_SHARE] = " share",
    [LSPO_VARIANT_DELAY] = " delay",
    [LSPO_VARIANT_SPECULATE] = " speculate",
    [LSPO_VARIANT_SETTLE] = " settle",
    [LSPO_VARIANT_REDO] = " redo",
    [LSPO_VARIANT_MLP] = " mlp",
    [LSPO_VARIANT_EXPERTS] = " experts",
    [LSPO_VARIANT_ROWS] = " rows",
};

/* Behind the name of its kind. */
static const char *variant_suffix(const lspo_op_t *op)
{
    return variant_suffixes[op->variant] != NULL ? variant_suffixes[op->variant] : "";
}

static void print_row(const lspo_plan_t *plan, lspo_op_id_t id, int lane_width, FILE *file)
{
    const lspo_op_t *op = &plan->ops[id];
    const lspo_work_t *work = &plan->works[op->work];
    char layer[16], kind[32];
    snprintf(kind, sizeof kind, "%s%s", lspo_op_kind_name((lspo_op_kind_t)op->kind), variant_suffix(op));
    fprintf(file, "%6u  %-*s  %-20s %-6s %5u %5u %8u %12.3f %14" PRIu64 "  ", id, lane_width,
            plan->lanes.list[op->lane].name, kind, lspo_model_stage_name(&plan->model, op->layer, layer), op->iteration,
            op->micro, op->priority, lspo_work_flop(work) * 1e-9, lspo_work_link_bytes(work));
    for (uint32_t d = 0; d < op->dep_count; d++)
        fprintf(file, "%s%u", d ? "," : "", plan->deps[op->dep_first + d]);
    fputc('\n', file);
}

void lspo_plan_print(const lspo_plan_t *plan, uint32_t row_limit, FILE *file)
{
    int lane_width = 4;
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        if ((int)strlen(plan->lanes.list[lane].name) > lane_width)
            lane_width = (int)strlen(plan->lanes.list[lane].name);
    fprintf(file, "%6s  %-*s  %-20s %-6s %5s %5s %8s %12s %14s  %s\n", "op", lane_width, "lane", "kind", "layer",
            "iter", "micro", "priority", "GFLOP", "link_bytes", "waits for");
    uint32_t rows = row_limit && row_limit < plan->op_count ? row_limit : plan->op_count;
    for (uint32_t i = 0; i < rows; i++)
        print_row(plan, i, lane_width, file);
    if (rows < plan->op_count)
        fprintf(file, "... and %u more ops\n", plan->op_count - rows);
}

/* by_lane[first[i] .. first[i + 1]) are the ops of lane i, in the order of ids. */
static lspo_status_t sort_by_lane(const lspo_plan_t *plan, uint32_t **first_out, lspo_op_id_t **by_lane_out)
{
    uint32_t *first = calloc((size_t)plan->lanes.count + 2, sizeof *first);
    lspo_op_id_t *by_lane = malloc(((size_t)plan->op_count + 1) * sizeof *by_lane);
    if (!first || !by_lane) {
        free(first);
        free(by_lane);
        return lspo_no_memory("printing %" PRIu32 " ops", plan->op_count);
    }
    /* As in lspo_plan_successors(). */
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        first[plan->ops[id].lane + 2]++;
    for (uint32_t lane = 2; lane <= plan->lanes.count + 1; lane++)
        first[lane] += first[lane - 1];
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        by_lane[first[plan->ops[id].lane + 1]++] = id;
    *first_out = first;
    *by_lane_out = by_lane;
    return LSPO_OK;
}

static void print_node(const lspo_plan_t *plan, lspo_op_id_t id, FILE *file)
{
    const lspo_op_t *op = &plan->ops[id];
    char layer[16];
    fprintf(file, "    op%u [label=\"%s%s %s\\niteration %u\"];\n", id, lspo_op_kind_name((lspo_op_kind_t)op->kind),
            variant_suffix(op), lspo_model_stage_name(&plan->model, op->layer, layer), op->iteration);
}

lspo_status_t lspo_plan_print_dot(const lspo_plan_t *plan, uint32_t iteration_limit, FILE *file)
{
    uint32_t *first = NULL, last = iteration_limit ? iteration_limit : UINT32_MAX;
    lspo_op_id_t *by_lane = NULL;
    lspo_status_t st = sort_by_lane(plan, &first, &by_lane);
    if (st != LSPO_OK)
        return st;
    fprintf(file, "digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++) {
        const char *name = plan->lanes.list[lane].name;
        fprintf(file, "  subgraph \"cluster_%s\" {\n    label=\"%s\";\n", name, name);
        for (uint32_t i = first[lane]; i < first[lane + 1]; i++)
            if (plan->ops[by_lane[i]].iteration < last)
                print_node(plan, by_lane[i], file);
        fprintf(file, "  }\n");
    }
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        for (uint32_t d = 0; op->iteration < last && d < op->dep_count; d++)
            fprintf(file, "  op%u -> op%u;\n", plan->deps[op->dep_first + d], i);
    }
    fprintf(file, "}\n");
    free(by_lane);
    free(first);
    return LSPO_OK;
}
