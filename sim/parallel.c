/* parallel.c - the GPU memory of a training on one GPU or several; see parallel.h. */
#include "sim/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies.h"
#include "sim/cost.h"
#include "sim/engine.h"

const char *lspo_parallel_title(const lspo_parallel_t *layout, char *buffer, size_t buffer_bytes)
{
    int length = 0;
    if (layout->tensor == 1 && layout->data == 1)
        snprintf(buffer, buffer_bytes, "single");
    if (layout->tensor > 1)
        length = snprintf(buffer, buffer_bytes, "tensor %u", layout->tensor);
    if (layout->data > 1)
        snprintf(buffer + length, buffer_bytes - (size_t)length, "%s%s %u", length > 0 ? ", " : "",
                 layout->sharded ? "zero-3" : "data", layout->data);
    return buffer;
}

/* ---- the share of one of T GPUs ---- */

static bool divides(const lspo_model_t *model, uint32_t tensor)
{
    return model->head_count % tensor == 0 && model->kv_head_count % tensor == 0 && model->mlp_width % tensor == 0 &&
           model->vocabulary % tensor == 0 && model->class_count == 0;
}

lspo_status_t lspo_parallel_share(const lspo_model_t *model, uint32_t tensor, lspo_model_t *share_out)
{
    if (!divides(model, tensor))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s cannot be divided among %u GPUs: %u heads, %u of K, MLP width %u, vocabulary %u%s",
                          model->name, tensor, model->head_count, model->kv_head_count, model->mlp_width,
                          model->vocabulary, model->class_count > 0 ? ", a classifier" : "");
    lspo_model_t share = *model;
    if (tensor > 1) {
        share.head_width = lspo_model_head_width(model);
        share.head_count /= tensor;
        share.kv_head_count /= tensor;
        share.mlp_width /= tensor;
        share.vocabulary /= tensor;
    }
    *share_out = share;
    return LSPO_OK;
}

size_t lspo_parallel_list(const lspo_model_t *model, uint32_t devices, lspo_parallel_t *layouts_out, size_t capacity)
{
    size_t count = 0;
    for (uint32_t tensor = 1; tensor <= devices; tensor++) {
        if (devices % tensor != 0 || !divides(model, tensor))
            continue;
        uint32_t data = devices / tensor;
        for (int sharded = 0; sharded < (data > 1 ? 2 : 1) && count < capacity; sharded++)
            layouts_out[count++] = (lspo_parallel_t){tensor, data, sharded != 0};
    }
    return count;
}

/* ---- ZeRO-3: a plan with a part of its weights, gradients and states ---- */

typedef struct {
    lspo_plan_t plan; /* the original, but for its memory and its `ops` */
    lspo_op_t *ops;
    uint32_t parts;
    lspo_op_id_t *gradient_from; /* by stage: the BWD that takes its gradient in this iteration */
} sharded_t;

static uint64_t kept(const sharded_t *sharded, uint64_t bytes)
{
    return (bytes + sharded->parts - 1) / sharded->parts;
}

static void shard_static(sharded_t *sharded)
{
    lspo_footprint_t *f = &sharded->plan.footprint;
    uint64_t before = lspo_footprint_gpu_bytes(f);
    f->gpu_parameters_bytes = kept(sharded, f->gpu_parameters_bytes);
    f->gpu_gradients_bytes = kept(sharded, f->gpu_gradients_bytes);
    f->gpu_optimizer_bytes = kept(sharded, f->gpu_optimizer_bytes);
    sharded->plan.gpu_static_bytes -= before - lspo_footprint_gpu_bytes(f);
}

/* What other GPUs keep of a stage's weights; a tied head computes with the embedding's tokens. */
static uint64_t gathered_bytes(const sharded_t *sharded, uint32_t stage)
{
    const lspo_model_t *model = &sharded->plan.model;
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    uint64_t elements = shape.element_count;
    if (model->tied_head && stage + 1 == sharded->plan.stage_count)
        elements += (uint64_t)model->vocabulary * model->width;
    uint64_t bytes = elements * lspo_precision_bytes(sharded->plan.workload.precision);
    return bytes - kept(sharded, bytes);
}

/* A stage's weights are gathered from the start of the op before its first op until the end of its last. */
static void gather_weights(sharded_t *sharded)
{
    lspo_op_id_t before = LSPO_NO_OP;
    for (lspo_op_id_t id = 0; id < sharded->plan.op_count; id++) {
        lspo_op_t *op = &sharded->ops[id];
        if (!lspo_op_is_pass(op))
            continue;
        if (before == LSPO_NO_OP) {
            op->gpu_alloc_bytes += gathered_bytes(sharded, op->layer);
        } else if (sharded->ops[before].layer != op->layer) {
            sharded->ops[before].gpu_alloc_bytes += gathered_bytes(sharded, op->layer);
            sharded->ops[before].gpu_free_bytes += gathered_bytes(sharded, sharded->ops[before].layer);
        }
        before = id;
    }
    if (before != LSPO_NO_OP)
        sharded->ops[before].gpu_free_bytes += gathered_bytes(sharded, sharded->ops[before].layer);
}

/* Whole while BWD runs, then only this GPU's part until the update. */
static void scatter_gradients(sharded_t *sharded)
{
    const lspo_plan_t *plan = &sharded->plan;
    uint32_t head = plan->stage_count - 1;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        lspo_op_t *op = &sharded->ops[id];
        if (op->kind == LSPO_OP_BWD && op->micro == 0)
            sharded->gradient_from[op->layer] = id;
        if (op->kind != LSPO_OP_UPD_GPU)
            continue;
        uint32_t from = op->layer == 0 && plan->model.tied_head ? head : op->layer;
        uint64_t given = op->gpu_free_bytes - kept(sharded, op->gpu_free_bytes);
        op->gpu_free_bytes -= given;
        sharded->ops[sharded->gradient_from[from]].gpu_free_bytes += given;
    }
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) { /* the gradients of later micro-batches, before the sum */
        lspo_op_t *op = &sharded->ops[id];
        if (op->kind != LSPO_OP_BWD || op->micro == 0)
            continue;
        op->gpu_alloc_bytes += gathered_bytes(sharded, op->layer);
        op->gpu_free_bytes += gathered_bytes(sharded, op->layer);
    }
}

static lspo_status_t shard(const lspo_plan_t *plan, uint32_t parts, sharded_t *sharded_out)
{
    sharded_t sharded = {.plan = *plan, .parts = parts};
    sharded.ops = malloc(((size_t)plan->op_count + 1) * sizeof *sharded.ops);
    sharded.gradient_from = calloc(plan->stage_count, sizeof *sharded.gradient_from);
    if (sharded.ops == NULL || sharded.gradient_from == NULL) {
        free(sharded.ops);
        free(sharded.gradient_from);
        return lspo_no_memory("a share of a plan of %u ops", plan->op_count);
    }
    memcpy(sharded.ops, plan->ops, plan->op_count * sizeof *sharded.ops);
    sharded.plan.ops = sharded.ops;
    shard_static(&sharded);
    scatter_gradients(&sharded);
    gather_weights(&sharded);
    *sharded_out = sharded;
    return LSPO_OK;
}

static void release(sharded_t *sharded)
{
    free(sharded->ops);
    free(sharded->gradient_from);
}

/* ---- replay ---- */

static lspo_status_t replay(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                            const lspo_parallel_t *layout, lspo_needs_t *needs_out)
{
    sharded_t sharded;
    if (!layout->sharded)
        return lspo_needs_predict(plan, machine, trace, needs_out);
    lspo_machine_t share = *machine;
    share.software.update_bytes /= layout->data; /* counted for all weights of the plan */
    lspo_status_t status = shard(plan, layout->data, &sharded);
    if (status != LSPO_OK)
        return status;
    status = lspo_needs_predict(&sharded.plan, &share, trace, needs_out);
    release(&sharded);
    return status;
}

lspo_status_t lspo_parallel_needs(const lspo_fit_question_t *question, const lspo_parallel_t *layout,
                                  lspo_needs_t *needs_out)
{
    lspo_model_t model;
    lspo_plan_t *plan = NULL;
    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    if (layout->sharded && question->policy != &lspo_policy_native)
        return lspo_error(LSPO_ERR_INPUT, "%s: only native is divided by ZeRO-3", question->policy->name);
    lspo_status_t status = lspo_parallel_share(question->model, layout->tensor, &model);
    if (status != LSPO_OK)
        return status;
    status = lspo_plan_build(&model, &question->workload, question->policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_cost_plan(question->machine, plan, &work_ns);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_engine_play(plan, question->machine, work_ns, &trace);
    if (status == LSPO_OK)
        status = replay(plan, question->machine, trace, layout, needs_out);
cleanup:
    lspo_trace_destroy(trace);
    free(work_ns);
    lspo_plan_destroy(plan);
    return status;
}
