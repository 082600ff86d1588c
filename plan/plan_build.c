/* plan_build.c - build a plan from model, workload and policy. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "plan/build.h"
#include "plan/build_generate.h"
#include "plan/build_parts.h"
#include "plan/chunks.h"
#include "plan/footprint.h"
#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "plan/policy.h"

static bool resolve_train_rest(const lspo_workload_t *workload, const lspo_policy_t *policy)
{
    if (workload->train_rest == LSPO_TRAIN_REST_AUTO)
        return policy->train_rest_default;
    return workload->train_rest == LSPO_TRAIN_REST_ON;
}

static void describe_stage(lspo_builder_t *b, uint32_t index)
{
    const lspo_workload_t *w = b->workload;
    lspo_build_stage_t *stage = &b->stages[index];
    *stage = (lspo_build_stage_t){0};
    uint64_t p = lspo_precision_bytes(w->precision);
    uint64_t q = lspo_precision_bytes(w->transfer);
    bool offloads = b->plan->return_form != LSPO_RETURN_NOTHING;

    lspo_model_stage(b->model, index, &stage->shape);
    lspo_plan_message(b->plan, index, &stage->message);

    uint64_t elements = stage->message.element_count;
    stage->trained = elements > 0;
    stage->parameter_bytes = stage->shape.element_count * p;
    lspo_optimizer_state_t state = lspo_plan_optimizer_state(b->plan);
    uint64_t rest = stage->message.rest_elements;
    bool master = lspo_optimizer_state_has_master(state, w->precision) && b->plan->gradient_form != LSPO_FORM_LOWRANK;
    stage->moments_bytes = lspo_optimizer_state_bytes(state, elements - rest, rest);
    uint64_t bases_bytes =
        lspo_adam_basis_bytes(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, &stage->message);
    stage->moments_bytes += bases_bytes;
    if (lspo_plan_has_bases_on_gpu(b->plan) && index >= lspo_plan_native_layers(b->plan))
        stage->turn_bytes =
            lspo_adam_basis_turn_bytes(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, &stage->message, p);
    stage->optimizer_bytes = stage->moments_bytes + (master ? elements * sizeof(float) : 0);
    if (b->plan->optimizer == LSPO_OPTIMIZER_SGD)
        stage->optimizer_bytes = 0;
    stage->sent_bytes = stage->link_bytes = elements * q;
    stage->packed_bytes = offloads && w->transfer != w->precision ? stage->sent_bytes : 0;
    stage->gradient_bytes = elements * p + stage->packed_bytes;
    if (b->plan->policy->describe_stage)
        b->plan->policy->describe_stage(b, stage);
    if (stage->trained && index < lspo_plan_native_layers(b->plan))
        lspo_build_keep_on_gpu(stage);
    stage->parts = lspo_chunk_count(b->plan, elements);
    stage->chunk_elements = lspo_chunk_of(b->plan, elements);
    stage->update_parts = bases_bytes == 0 ? stage->parts : 1;
    stage->priority_rank = 0;
    stage->ready = stage->backward = stage->sent = stage->projected = stage->updated = stage->renewed = stage->turned =
        stage->left = LSPO_NO_OP;
}

/* Blocks are alike, but for the first ones, which --native-layers keeps on the GPU. */
static bool is_like_before(const lspo_builder_t *b, uint32_t index)
{
    return index > 1 && index <= b->model->block_count && index != lspo_plan_native_layers(b->plan);
}

static lspo_status_t create_builder(lspo_plan_t *plan, lspo_build_works_t *works, lspo_builder_t *b)
{
    *b = (lspo_builder_t){
        .plan = plan,
        .works = works,
        .model = &plan->model,
        .workload = &plan->workload,
        .train_rest = plan->workload.train_rest == LSPO_TRAIN_REST_ON,
        .compresses = plan->gradient_form == LSPO_FORM_SUBSPACE || plan->gradient_form == LSPO_FORM_LOWRANK,
        .bounds_gradients = plan->gradient_form == LSPO_FORM_DENSE && plan->return_form != LSPO_RETURN_NOTHING,
        .stage_count = plan->stage_count,
        .micro_count = plan->workload.accumulation,
        .lanes = {[LSPO_LANE_GPU] = LSPO_LANE_GPU,
                  [LSPO_LANE_D2H] = LSPO_LANE_D2H,
                  [LSPO_LANE_H2D] = LSPO_LANE_H2D,
                  [LSPO_LANE_CPU] = LSPO_LANE_CPU,
                  [LSPO_LANE_NET] = LSPO_NO_LANE,
                  [LSPO_LANE_SSD] = LSPO_NO_LANE},
        .last_compute = LSPO_NO_OP};
    memset(works->is_known, 0, sizeof works->is_known);
    b->stages = malloc(b->stage_count * sizeof *b->stages);
    if (!b->stages)
        return lspo_no_memory("a plan of %u stages", b->stage_count);
    const uint32_t *buffers = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_gradient_buffers);
    b->gradient_buffers = buffers != NULL ? *buffers : 0;
    b->sums_on_host = lspo_plan_sums_on_host(plan);
    lspo_activations(&plan->model, &plan->workload, &b->activations);
    for (uint32_t s = 0; s < b->stage_count; s++)
        if (is_like_before(b, s))
            b->stages[s] = b->stages[s - 1];
        else
            describe_stage(b, s);
    return LSPO_OK;
}

/* Products with projectors are as the policy has them unless the parameter says otherwise. */
static bool is_dense(const lspo_plan_t *plan, const lspo_parameter_t *parameter)
{
    const uint32_t *by = lspo_policy_value(plan->policy, &plan->workload, parameter);
    return by == NULL || *by == LSPO_PRODUCTS_AUTO ? plan->policy->dense_sketches : *by == LSPO_PRODUCTS_DENSE;
}

static void resolve(lspo_plan_t *plan)
{
    lspo_workload_t *w = &plan->workload;
    w->train_rest = resolve_train_rest(w, plan->policy) ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
    int32_t *transition = lspo_policy_slot(plan->policy, w, &lspo_parameter_transition);
    if (transition != NULL && *transition == LSPO_TRANSITION_AUTO)
        *transition = (int32_t)plan->stage_count - 1;
    int32_t *stride = lspo_policy_slot(plan->policy, w, &lspo_parameter_stride);
    if (stride != NULL && *stride == LSPO_STRIDE_AUTO)
        *stride = LSPO_STRIDE_LEAST;
    double *share = lspo_policy_slot(plan->policy, w, &lspo_parameter_recompute_share);
    if (share != NULL && *share < 0)
        *share = 0.5;
    uint32_t *lane = lspo_policy_slot(plan->policy, w, &lspo_parameter_basis_lane);
    if (lane != NULL && *lane == LSPO_BASIS_LANE_AUTO)
        *lane = LSPO_BASIS_LANE_CPU;
    if (plan->policy->resolve)
        plan->policy->resolve(w);
}

static lspo_status_t check_question(const lspo_model_t *model, const lspo_workload_t *workload,
                                    const lspo_policy_t *policy)
{
    lspo_status_t status = lspo_model_check(model);
    if (status == LSPO_OK)
        status = lspo_workload_check(workload, model);
    if (status == LSPO_OK)
        status = lspo_policy_check(policy, model, workload);
    if (status == LSPO_OK && policy->task == LSPO_TASK_GENERATE)
        status = lspo_generate_check(model, workload);
    return status;
}

static void describe(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                     lspo_plan_t *plan)
{
    plan->model = *model;
    plan->workload = *workload;
    plan->policy = policy;
    plan->return_form = policy->return_form;
    plan->gradient_form = policy->gradient_form;
    plan->dense_compress = is_dense(plan, &lspo_parameter_compress_by);
    plan->dense_apply = is_dense(plan, &lspo_parameter_apply_by);
    plan->optimizer = policy->optimizer;
    plan->stage_count = lspo_model_stage_count(model);
    plan->staleness_steps = lspo_policy_staleness(policy, workload);
    resolve(plan);
}

/* Ops, and static memory. */
static lspo_status_t fill_with(lspo_plan_t *plan, lspo_build_works_t *works)
{
    lspo_builder_t builder;
    lspo_status_t status = create_builder(plan, works, &builder);
    if (status != LSPO_OK)
        return status;
    status = lspo_build_check_size(&builder);
    if (status == LSPO_OK)
        status = plan->policy->build(&builder);
    plan->footprint.host_activations_bytes = plan->workload.swap_activations * kept_bytes(&builder);
    free(builder.stages);
    if (status != LSPO_OK)
        return status;
    plan->gpu_static_bytes = lspo_footprint_gpu_bytes(&plan->footprint);
    plan->host_static_bytes = lspo_footprint_host_bytes(&plan->footprint);
    return LSPO_OK;
}

/* The works are not on the stack, which may have less room than their 220 KiB. */
static lspo_status_t fill(lspo_plan_t *plan)
{
    lspo_build_works_t *works = malloc(sizeof *works);
    if (works == NULL)
        return lspo_no_memory("the works of a plan");
    lspo_status_t status = lspo_lanes_create(&plan->lanes);
    if (status == LSPO_OK)
        status = fill_with(plan, works);
    free(works);
    return status;
}

/* A plan that is described, but not filled. */
static lspo_status_t begin(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                           lspo_plan_t **plan_out)
{
    lspo_status_t status = check_question(model, workload, policy);
    if (status != LSPO_OK)
        return status;
    *plan_out = calloc(1, sizeof **plan_out);
    if (*plan_out == NULL)
        return lspo_no_memory("a plan");
    describe(model, workload, policy, *plan_out);
    return LSPO_OK;
}

lspo_status_t lspo_plan_build(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                              lspo_plan_t **plan_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = begin(model, workload, policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = fill(plan);
    if (status == LSPO_OK)
        status = lspo_plan_check(plan);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    *plan_out = plan;
    return LSPO_OK;
}

lspo_status_t lspo_plan_build_first(const lspo_model_t *model, const lspo_workload_t *workload,
                                    const lspo_policy_t *policy, uint32_t steps, lspo_plan_t **plan_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = begin(model, workload, policy, &plan);
    if (status != LSPO_OK)
        return status;
    if (policy->task == LSPO_TASK_TRAIN) {
        plan->workload.iterations = steps;
        plan->workload.open_end = true;
    }
    status = fill(plan);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    *plan_out = plan;
    return LSPO_OK;
}
