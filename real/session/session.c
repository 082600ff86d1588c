/* session.c - a session's state: made, reset, released.  What its ops do: gpu.c, host.c. */
#include "real/session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/sketch.h"
#include "real/session/state.h"

/* Y = X W + b + s (X A) B^T with s = alpha / r, alpha = 2 r whatever the rank is. */
static const float adapter_scale = 2.0F;

lspo_swap_use_t *lspo_session_swap_of(lspo_session_t *session, const lspo_op_t *op, lspo_op_variant_t variant)
{
    const lspo_plan_t *plan = session->plan;
    if (!session->swaps)
        return NULL;
    for (uint32_t i = 0; i < op->dep_count; i++) {
        lspo_op_id_t id = plan->deps[op->dep_first + i];
        const lspo_op_t *before = &plan->ops[id];
        if (before->layer != op->layer)
            continue;
        if (before->kind == LSPO_OP_SWAP_IN && before->variant == variant)
            return &session->swaps[id];
        if (op->kind == LSPO_OP_SWAP_OUT && before->kind == LSPO_OP_UPD_GPU)
            return lspo_session_swap_of(session, before, variant);
    }
    return NULL;
}

void lspo_session_swap_drop(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, LSPO_VARIANT_PARAMETERS);
    if (use && use->last_user == (lspo_op_id_t)(op - session->plan->ops))
        lspo_session_give_back(session, &use->memory);
}

static lspo_status_t check_plan(const lspo_plan_t *plan, const lspo_text_t *text)
{
    const lspo_model_t *model = &plan->model;
    if (!text)
        return LSPO_OK;
    if (model->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s classifies: it trains on labelled examples, not on a text",
                          model->name);
    if (model->vocabulary < lspo_text_vocabulary(text))
        return lspo_error(LSPO_ERR_INPUT, "model %s has a vocabulary of %u; training on bytes needs at least %d",
                          model->name, model->vocabulary, LSPO_TEXT_VOCABULARY);
    return lspo_text_check(text, plan->workload.sequence);
}

/* zenflow: the message is the CPU's columns; the CPU has room for the moments of all, since any may come. */
static void describe_columns(const lspo_session_t *session, lspo_session_stage_t *stage)
{
    stage->sent_count = stage->message.element_count - stage->message.rest_elements;
    stage->link_bytes = stage->sent_count * lspo_precision_bytes(session->plan->workload.transfer);
    stage->gradient_count = stage->trained ? stage->linear_elements + stage->message.rest_elements : 0;
    stage->gpu_moments = 2 * (stage->gradient_count - stage->sent_count);
    stage->host_moments = 2 * stage->linear_elements;
}

static void describe_messages(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        lspo_model_stage(&session->plan->model, s, &stage->shape);
        lspo_plan_message(session->plan, s, &stage->message);
        stage->trained = stage->message.element_count > 0;
        stage->link_bytes = stage->message.element_count * lspo_precision_bytes(session->plan->workload.transfer);
        for (uint32_t i = 0; i < stage->shape.linear_count; i++)
            stage->linear_elements += (size_t)stage->shape.tensors[i].rows * stage->shape.tensors[i].cols;
        stage->gradient_count = stage->message.element_count;
        stage->gpu_moments = stage->host_moments = 2 * stage->message.element_count;
        if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
            describe_columns(session, stage);
    }
}

/* 16-bit weights lose small steps; what Adam on the GPU steps along as it lies has an fp32 master for them.  Others are
 * rounded at random (session.h). */
static bool has_gpu_master(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    const lspo_plan_t *plan = session->plan;
    bool as_it_lies = plan->gradient_form == LSPO_FORM_DENSE || plan->gradient_form == LSPO_FORM_ADAPTER;
    return session->number != LSPO_NUMBER_FP32 && stage->updated_on_gpu && as_it_lies &&
           plan->optimizer != LSPO_OPTIMIZER_SGD;
}

/* Which stages are swapped and where they are updated is what the plan does with them.  What is sent is updated on the
 * host, if not in this plan. */
static void describe_ops(lspo_session_t *session)
{
    const lspo_plan_t *plan = session->plan;
    for (uint32_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        lspo_session_stage_t *stage = &session->stages[op->layer];
        bool gradient = op->kind == LSPO_OP_D2H && op->variant == LSPO_VARIANT_NONE;
        stage->updated_on_host |= op->kind == LSPO_OP_UPD || gradient;
        stage->updated_on_gpu |= op->kind == LSPO_OP_UPD_GPU;
        stage->swapped |= op->kind == LSPO_OP_SWAP_IN;
        session->probes |= op->variant == LSPO_VARIANT_PROBE;
    }
    for (uint32_t s = 0; s < session->stage_count; s++)
        if (has_gpu_master(session, &session->stages[s]))
            session->stages[s].gpu_master = session->stages[s].message.element_count;
}

static bool swaps(const lspo_plan_t *plan)
{
    for (uint32_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == LSPO_OP_SWAP_IN)
            return true;
    return false;
}

/* What belongs to one plan: losses, and the last users of what it swaps. */
static lspo_status_t take_plan(lspo_session_t *session, const lspo_plan_t *plan)
{
    double *losses = calloc(plan->workload.iterations, sizeof *losses);
    lspo_swap_use_t *uses = swaps(plan) ? calloc(plan->op_count, sizeof *uses) : NULL;
    if (!losses || (swaps(plan) && !uses)) {
        free(uses);
        free(losses);
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a plan of %u ops", plan->op_count);
    }
    for (uint32_t id = 0; uses && id < plan->op_count; id++)
        for (uint32_t i = 0; i < plan->ops[id].dep_count; i++)
            uses[plan->deps[plan->ops[id].dep_first + i]].last_user = id;
    free(session->losses);
    free(session->swaps);
    session->losses = losses;
    session->swaps = uses;
    session->plan = plan;
    return LSPO_OK;
}

static bool same_shapes(const lspo_plan_t *a, const lspo_plan_t *b)
{
    const lspo_workload_t *x = &a->workload, *y = &b->workload;
    bool models = a->stage_count == b->stage_count && a->model.width == b->model.width &&
                  a->model.mlp_width == b->model.mlp_width && a->model.vocabulary == b->model.vocabulary;
    return models && a->policy == b->policy && x->batch == y->batch && x->sequence == y->sequence &&
           x->transfer == y->transfer && x->precision == y->precision && x->loss_scale == y->loss_scale &&
           (x->clip_norm > 0) == (y->clip_norm > 0) && x->train_rest == y->train_rest && x->subspace == y->subspace &&
           x->projectors == y->projectors && x->nnz == y->nnz && x->rank == y->rank &&
           x->resident_blocks == y->resident_blocks && (x->check_every > 0) == (y->check_every > 0);
}

lspo_status_t lspo_session_continue(lspo_session_t *session, const lspo_plan_t *plan)
{
    if (!same_shapes(session->plan, plan))
        return lspo_error(LSPO_ERR_INPUT, "a training goes on with another policy, model, batch or subspace");
    return take_plan(session, plan);
}

size_t lspo_session_factor_count(const lspo_session_stage_t *stage)
{
    return stage->message.element_count - stage->message.rest_elements;
}

static lspo_status_t make_bases(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        size_t shorter = linear->rows < linear->cols ? linear->rows : linear->cols;
        size_t bytes = shorter * session->plan->workload.rank * session->number_bytes;
        if (linear->compressed)
            status = lspo_session_take(session, bytes, &stage->basis[i]);
    }
    return status;
}

/* All blocks are alike, and one runs at a time: the adapters share one scratch. */
static lspo_status_t make_adapters(lspo_session_t *session, lspo_session_stage_t *stage)
{
    if (stage->message.linear_count == 0)
        return LSPO_OK;
    uint32_t rank = session->plan->workload.rank;
    lspo_status_t status =
        lspo_session_take(session, lspo_session_factor_count(stage) * session->number_bytes, &stage->factors);
    if (status == LSPO_OK && !session->scratch)
        status = lspo_session_take(session, 2 * session->tokens * rank * session->number_bytes, &session->scratch);
    stage->adapters =
        (lspo_adapters_t){.factors = stage->factors, .rank = rank, .scale = adapter_scale, .scratch = session->scratch};
    return status;
}

/* What stands between a stage's message and its weights. */
static lspo_status_t make_factors(lspo_session_t *session, uint32_t s)
{
    switch (session->plan->gradient_form) {
    case LSPO_FORM_DENSE:
    case LSPO_FORM_COLUMNS:
        break;
    case LSPO_FORM_SUBSPACE:
        return lspo_session_make_projectors(session, s);
    case LSPO_FORM_ADAPTER:
        return make_adapters(session, &session->stages[s]);
    case LSPO_FORM_LOWRANK:
        return make_bases(session, &session->stages[s]);
    }
    return LSPO_OK;
}

const lspo_adapters_t *lspo_session_adapters(const lspo_session_t *session, uint32_t stage)
{
    const lspo_session_stage_t *of = &session->stages[stage];
    return of->factors ? &of->adapters : NULL;
}

static size_t projection_scratch(const lspo_session_t *session, const lspo_projector_t *p, const lspo_projector_t *q)
{
    if (session->plan->dense_sketches)
        return lspo_sketch_scratch(p, q, session->tokens);
    size_t compress = lspo_projector_compress_scratch(p, q, session->tokens);
    if (session->asynchronous) /* a GPU applies without */
        return compress;
    size_t apply = lspo_projector_apply_scratch(p, q);
    return compress > apply ? compress : apply;
}

/* COMPRESS and APPLY never run at once, so they share one scratch; a packed delta needs room to be unpacked. */
static lspo_status_t make_scratch(lspo_session_t *session)
{
    size_t scratch = 0, unpacked = 0;
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_create(session);
    if (session->plan->gradient_form != LSPO_FORM_SUBSPACE)
        return LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; i < stage->message.linear_count; i++) {
            if (!stage->message.linear[i].compressed)
                continue;
            if (stage->message.linear[i].message_elements > unpacked)
                unpacked = stage->message.linear[i].message_elements;
            size_t needed = projection_scratch(session, &stage->p[i], &stage->q[i]);
            scratch = needed > scratch ? needed : scratch;
        }
    }
    lspo_status_t status = LSPO_OK;
    if (scratch)
        status = lspo_session_take(session, scratch * session->number_bytes, &session->scratch);
    if (status == LSPO_OK && unpacked && session->plan->return_form == LSPO_RETURN_DELTA && lspo_session_packs(session))
        status = lspo_session_take(session, unpacked * sizeof(float), (void **)&session->unpacked);
    return status;
}

static lspo_status_t make_device_state(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    if (!stage->swapped)
        status = lspo_session_take(session, stage->shape.element_count * session->number_bytes, &stage->weights);
    if (status == LSPO_OK && stage->updated_on_gpu && !stage->swapped &&
        session->plan->optimizer == LSPO_OPTIMIZER_ADAM)
        status = lspo_session_take(session, (stage->gpu_moments + stage->gpu_master) * sizeof(float),
                                   (void **)&stage->optimizer);
    return status == LSPO_OK ? make_factors(session, s) : status;
}

static lspo_status_t take_host(lspo_session_t *session, size_t bytes, void **slot)
{
    return lspo_device_host_alloc(session->device, bytes, slot);
}

/* Batches as the device sees them: the host's own arrays, or copies that pinned ones are on their way to. */
static lspo_status_t make_batches(lspo_session_t *session)
{
    size_t bytes = session->tokens * sizeof(uint32_t);
    session->gpu_tokens = session->tokens_in;
    session->gpu_targets = session->targets;
    if (!session->asynchronous)
        return LSPO_OK;
    session->gpu_tokens = session->gpu_targets = NULL;
    lspo_status_t status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&session->gpu_tokens);
    if (status == LSPO_OK)
        status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&session->gpu_targets);
    for (int i = 0; status == LSPO_OK && i < 2; i++)
        status = take_host(session, 2 * bytes, (void **)&session->pinned_batch[i]);
    return status;
}

/* Some hundred bytes that no plan counts. */
static lspo_status_t take_report(lspo_session_t *session, size_t bytes, void **slot)
{
    return session->asynchronous ? lspo_device_alloc_uncounted(session->device, bytes, slot)
                                 : take_host(session, bytes, slot);
}

static void give_back_report(lspo_session_t *session, void *memory)
{
    if (session->asynchronous)
        lspo_device_free(session->device, memory);
    else
        lspo_device_host_free(session->device, memory);
}

/* What the GPU tells the host besides messages: losses, and squares and norms of gradients. */
static lspo_status_t make_reports(lspo_session_t *session)
{
    size_t squares_bytes = 2 * (size_t)session->stage_count * sizeof(double);
    lspo_status_t status = take_host(session, session->stage_count * sizeof(double), (void **)&session->squares_read);
    if (status == LSPO_OK)
        status = take_host(session, sizeof *session->loss_read, (void **)&session->loss_read);
    if (status == LSPO_OK)
        status = take_host(session, sizeof *session->host_norms, (void **)&session->host_norms);
    if (status == LSPO_OK)
        status = take_report(session, squares_bytes, (void **)&session->squares);
    if (status == LSPO_OK)
        status = take_report(session, sizeof *session->gpu_norms, (void **)&session->gpu_norms);
    if (status == LSPO_OK)
        status = take_report(session, sizeof *session->gpu_loss, (void **)&session->gpu_loss);
    return status;
}

static lspo_status_t make_common(lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    session->tokens_in = calloc(session->tokens, sizeof(uint32_t));
    session->targets = calloc(session->tokens, sizeof(uint32_t));
    session->lengths = calloc(workload->batch, sizeof(uint32_t));
    if (!session->tokens_in || !session->targets || !session->lengths)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a session");
    lspo_status_t status = make_batches(session);
    if (status == LSPO_OK)
        status = make_reports(session);
    if (status == LSPO_OK)
        status = lspo_session_take(session,
                                   lspo_transformer_workspace_bytes(&session->plan->model, workload->batch,
                                                                    workload->sequence, session->number),
                                   &session->workspace);
    if (status == LSPO_OK)
        status = lspo_transformer_create(&session->plan->model, workload->batch, workload->sequence, session->compute,
                                         session->workspace, &session->transformer);
    return status;
}

static size_t gpu_optimizer_count(const lspo_session_stage_t *stage)
{
    return stage->gpu_moments + stage->gpu_master;
}

/* badam: room for the largest stage; a tied head and its embedding have it together. */
static lspo_status_t make_turn_state(lspo_session_t *session)
{
    uint32_t head = session->stage_count - 1;
    if (session->plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM)
        return LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        size_t count = gpu_optimizer_count(&session->stages[s]);
        if (s == 0 && session->plan->model.tied_head)
            count += gpu_optimizer_count(&session->stages[head]);
        session->turn_count = count > session->turn_count ? count : session->turn_count;
    }
    lspo_status_t status =
        lspo_session_take(session, session->turn_count * sizeof(float), (void **)&session->turn_state);
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++)
        session->stages[s].optimizer = session->turn_state;
    if (status == LSPO_OK && session->plan->model.tied_head)
        session->stages[head].optimizer += gpu_optimizer_count(&session->stages[0]);
    return status;
}

static lspo_status_t make_state(lspo_session_t *session)
{
    session->stages = calloc(session->stage_count, sizeof *session->stages);
    session->pairs = calloc((size_t)session->stage_count * LSPO_LINEAR_MAX, sizeof *session->pairs);
    if (!session->stages || !session->pairs)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %u stages", session->stage_count);
    describe_messages(session);
    describe_ops(session);
    lspo_status_t status = lspo_session_reserve_host(session);
    if (status == LSPO_OK)
        status = make_common(session);
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        status = make_device_state(session, s);
        if (status == LSPO_OK)
            status = lspo_session_make_host_state(session, s, NULL);
    }
    if (status == LSPO_OK)
        status = make_turn_state(session);
    if (status == LSPO_OK)
        status = lspo_session_make_carry(session);
    if (status == LSPO_OK)
        status = make_scratch(session);
    return status == LSPO_OK ? lspo_session_make_worker_scratch(session) : status;
}

static lspo_status_t set_formats(lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    session->number = lspo_compute_number_of(workload->precision);
    session->number_bytes = lspo_number_bytes(session->number);
    session->link = lspo_compute_number_of(workload->transfer);
    session->asynchronous = lspo_device_is_asynchronous(session->device);
    session->compute = lspo_device_compute(session->device);
    return lspo_device_set_number(session->device, session->number);
}

lspo_status_t lspo_session_create(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                  lspo_session_t **session_out)
{
    const lspo_first_weights_t seeded = {0};
    return lspo_session_create_from(plan, device, text, &seeded, session_out);
}

lspo_status_t lspo_session_create_from(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                       const lspo_first_weights_t *first, lspo_session_t **session_out)
{
    lspo_status_t status = check_plan(plan, text);
    if (status != LSPO_OK)
        return status;
    lspo_session_t *session = calloc(1, sizeof *session);
    if (!session)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a session");
    session->plan = plan;
    session->device = device;
    session->text = text;
    session->first_weights = *first;
    session->stage_count = plan->stage_count;
    /* zenflow's windows have buffers of their own. */
    session->slots = plan->gradient_form == LSPO_FORM_COLUMNS ? 1 : plan->staleness_steps + 1;
    session->tokens = lspo_workload_tokens(&plan->workload);
    status = set_formats(session);
    if (status == LSPO_OK)
        status = take_plan(session, plan);
    if (status == LSPO_OK)
        status = make_state(session);
    if (status == LSPO_OK)
        status = lspo_session_reset(session);
    if (status != LSPO_OK) {
        lspo_session_destroy(session);
        return status;
    }
    *session_out = session;
    return LSPO_OK;
}

static void release_dynamic(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        lspo_session_give_back(session, &stage->output);
        lspo_session_give_back(session, &stage->saved);
        lspo_session_give_back(session, &stage->full_gradient);
        lspo_session_give_back(session, &stage->critical);
        lspo_session_give_back(session, &stage->sending);
        for (int parity = 0; parity < 2; parity++) {
            lspo_session_give_back(session, &stage->staging[parity]);
            lspo_session_give_back(session, &stage->gradient[parity]);
            lspo_session_give_back(session, &stage->packed[parity]);
        }
    }
    for (uint32_t i = 0; session->pairs && i < session->stage_count * LSPO_LINEAR_MAX; i++)
        lspo_session_drop_candidate(session, &session->pairs[i]);
    lspo_session_give_back(session, &session->dx);
    for (uint32_t id = 0; session->swaps && id < session->plan->op_count; id++)
        lspo_session_give_back(session, &session->swaps[id].memory);
}

static void release_stage(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lspo_session_give_back(session, &stage->weights);
    if (!session->turn_state)
        lspo_session_give_back(session, (void **)&stage->optimizer);
    lspo_session_give_back(session, &stage->factors);
    lspo_session_columns_release(session, stage);
    for (int i = 0; i < LSPO_LINEAR_MAX; i++)
        lspo_session_give_back(session, &stage->basis[i]);
    for (int slot = 0; slot < 2; slot++) {
        lspo_device_host_free(session->device, stage->landing[slot]);
        lspo_device_host_free(session->device, stage->outgoing[slot]);
    }
    lspo_device_host_free(session->device, stage->master);
    lspo_device_host_free(session->device, stage->host_optimizer);
    lspo_device_host_free(session->device, stage->home);
}

static void release_batches(lspo_session_t *session)
{
    if (!session->asynchronous)
        return;
    for (int i = 0; i < 2; i++)
        lspo_device_host_free(session->device, session->pinned_batch[i]);
    lspo_session_give_back(session, (void **)&session->gpu_targets);
    lspo_session_give_back(session, (void **)&session->gpu_tokens);
}

void lspo_session_destroy(lspo_session_t *session)
{
    if (!session)
        return;
    if (session->stages) {
        release_dynamic(session);
        for (uint32_t s = 0; s < session->stage_count; s++)
            release_stage(session, &session->stages[s]);
    }
    lspo_session_release_projectors(session);
    lspo_transformer_destroy(session->transformer);
    lspo_session_give_back(session, (void **)&session->turn_state);
    lspo_session_give_back(session, (void **)&session->unpacked);
    lspo_session_give_back(session, &session->scratch);
    lspo_session_give_back(session, &session->workspace);
    give_back_report(session, session->gpu_loss);
    give_back_report(session, session->gpu_norms);
    give_back_report(session, session->squares);
    release_batches(session);
    lspo_device_host_free(session->device, session->carry_scratch);
    lspo_device_host_free(session->device, session->update_scratch);
    lspo_device_host_free(session->device, session->row_scratch);
    lspo_device_host_free(session->device, session->host_norms);
    lspo_device_host_free(session->device, session->loss_read);
    lspo_device_host_free(session->device, session->squares_read);
    free(session->losses);
    free(session->lengths);
    free(session->targets);
    free(session->tokens_in);
    free(session->swaps);
    free(session->pairs);
    free(session->stages);
    free(session);
}

/* m = v = 0 on either side. */
static void clear_moments(lspo_session_t *session, lspo_session_stage_t *stage)
{
    if (stage->host_optimizer)
        memset(stage->host_optimizer, 0, stage->host_moments * sizeof(float));
    if (stage->optimizer)
        lspo_compute_zero(session->compute, stage->gpu_moments * sizeof(float), stage->optimizer);
}

lspo_status_t lspo_session_reset(lspo_session_t *session)
{
    const lspo_plan_t *plan = session->plan;
    release_dynamic(session);
    session->bias = (lspo_session_bias_t){0};
    session->gradient_norm = (double)NAN;
    lspo_status_t status = lspo_session_reset_projectors(session);
    if (status != LSPO_OK)
        return status;
    session->scaling = lspo_session_first_scaling(plan, session->number);
    session->norms = (lspo_session_norms_t){.scale = {session->scaling.now, session->scaling.now}};
    *session->host_norms = session->norms;
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        clear_moments(session, &session->stages[s]);
        status = lspo_session_make_weights(session, s);
        if (status == LSPO_OK && session->stages[s].factors)
            status = lspo_session_seed_adapters(session, s);
    }
    memset(session->losses, 0, plan->workload.iterations * sizeof(double));
    return status == LSPO_OK ? lspo_compute_status(session->compute) : status;
}

lspo_status_t lspo_session_run_op(void *session_void, const lspo_op_t *op)
{
    lspo_session_t *session = session_void;
    if (op->lane != LSPO_LANE_GPU)
        return lspo_session_host_op(session, op);
    lspo_status_t status = lspo_session_gpu_op(session, op);
    if (status == LSPO_OK)
        status = lspo_compute_status(session->compute);
    return status == LSPO_OK && !session->asynchronous ? lspo_session_finish_op(session, op) : status;
}

const double *lspo_session_losses(const lspo_session_t *session)
{
    return session->losses;
}
