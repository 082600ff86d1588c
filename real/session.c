/* session.c - a session's state: made, reset, evaluated, released.  What its ops do: session_gpu.c, session_host.c. */
#include "real/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/sketch.h"
#include "real/session_state.h"

/* Y = X W + b + s (X A) B^T with s = alpha / r, alpha = 2 r whatever the rank is. */
static const float adapter_scale = 2.0F;

bool lspo_session_packs(const lspo_session_t *session)
{
    return session->plan->workload.transfer != LSPO_FP32;
}

void lspo_session_pack(const lspo_session_t *session, size_t n, const float *in, uint16_t *out)
{
    if (session->plan->workload.transfer == LSPO_BF16)
        lspo_pack_bf16(n, in, out);
    else
        lspo_pack_fp16(n, in, out);
}

void lspo_session_unpack(const lspo_session_t *session, size_t n, const uint16_t *in, float *out)
{
    if (session->plan->workload.transfer == LSPO_BF16)
        lspo_unpack_bf16(n, in, out);
    else
        lspo_unpack_fp16(n, in, out);
}

float lspo_session_clip_scale(const lspo_session_t *session, float norm)
{
    double clip = session->plan->workload.clip_norm;
    return clip > 0 && (double)norm > clip ? (float)(clip / (double)norm) : 1.0F;
}

lspo_status_t lspo_session_take(lspo_session_t *session, size_t bytes, void **slot)
{
    return lspo_device_alloc(session->device, bytes, slot);
}

void lspo_session_give_back(lspo_session_t *session, void **slot)
{
    lspo_device_free(session->device, *slot);
    *slot = NULL;
}

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
    if (plan->workload.precision != LSPO_FP32)
        return lspo_error(LSPO_ERR_INPUT, "the host device computes in fp32: use --precision fp32 (--transfer may be "
                                          "bf16 or fp16)");
    if (!text)
        return LSPO_OK;
    if (model->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s classifies: it trains on labelled examples, not on a text",
                          model->name);
    if (model->vocabulary < LSPO_TEXT_VOCABULARY)
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
           x->transfer == y->transfer && x->train_rest == y->train_rest && x->subspace == y->subspace &&
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
        size_t bytes = shorter * session->plan->workload.rank * sizeof(float);
        if (linear->compressed)
            status = lspo_session_take(session, bytes, (void **)&stage->basis[i]);
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
        lspo_session_take(session, lspo_session_factor_count(stage) * sizeof(float), (void **)&stage->factors);
    if (status == LSPO_OK && !session->scratch)
        status = lspo_session_take(session, 2 * session->tokens * rank * sizeof(float), (void **)&session->scratch);
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
            if (stage->message.linear[i].message_elements > unpacked)
                unpacked = stage->message.linear[i].message_elements;
            if (!stage->message.linear[i].compressed)
                continue;
            size_t needed = projection_scratch(session, &stage->p[i], &stage->q[i]);
            scratch = needed > scratch ? needed : scratch;
        }
        if (stage->message.rest_elements > unpacked)
            unpacked = stage->message.rest_elements;
    }
    lspo_status_t status = LSPO_OK;
    if (scratch)
        status = lspo_session_take(session, scratch * sizeof(float), (void **)&session->scratch);
    if (status == LSPO_OK && session->plan->return_form == LSPO_RETURN_DELTA && lspo_session_packs(session))
        status = lspo_session_take(session, unpacked * sizeof(float), (void **)&session->unpacked);
    return status;
}

static lspo_status_t make_device_state(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    if (!stage->swapped)
        status = lspo_session_take(session, stage->shape.element_count * sizeof(float), (void **)&stage->weights);
    if (status == LSPO_OK && stage->updated_on_gpu && !stage->swapped &&
        session->plan->optimizer == LSPO_OPTIMIZER_ADAM)
        status = lspo_session_take(session, stage->gpu_moments * sizeof(float), (void **)&stage->optimizer);
    return status == LSPO_OK ? make_factors(session, s) : status;
}

static lspo_status_t take_host(lspo_session_t *session, size_t bytes, void **slot)
{
    return lspo_device_host_alloc(session->device, bytes, slot);
}

static lspo_status_t make_update_buffers(lspo_session_t *session, lspo_session_stage_t *stage)
{
    bool parameters = session->plan->return_form == LSPO_RETURN_PARAMETERS;
    /* The master is what goes out, unless the link carries another format or the next update may overtake the copy. */
    bool sends_master = parameters && !lspo_session_packs(session) && session->slots == 1;
    lspo_status_t status = LSPO_OK;
    for (uint32_t slot = 0; status == LSPO_OK && slot < session->slots; slot++) {
        status = take_host(session, stage->link_bytes, &stage->landing[slot]);
        if (status == LSPO_OK && !sends_master)
            status = take_host(session, stage->link_bytes, &stage->outgoing[slot]);
    }
    if (status == LSPO_OK && parameters)
        status = take_host(session, stage->message.element_count * sizeof(float), (void **)&stage->master);
    return status;
}

static lspo_status_t make_host_state(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    if (stage->updated_on_host || stage->swapped)
        status = take_host(session, stage->host_moments * sizeof(float), (void **)&stage->host_optimizer);
    if (status == LSPO_OK && stage->swapped)
        status = take_host(session, stage->shape.element_count * sizeof(float), (void **)&stage->home);
    if (status == LSPO_OK && stage->updated_on_host)
        status = make_update_buffers(session, stage);
    return status;
}

static lspo_status_t make_common(lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    session->tokens_in = calloc(session->tokens, sizeof(uint32_t));
    session->targets = calloc(session->tokens, sizeof(uint32_t));
    session->squares = calloc(2 * (size_t)session->stage_count, sizeof(double));
    session->lengths = calloc(workload->batch, sizeof(uint32_t));
    if (!session->tokens_in || !session->targets || !session->squares || !session->lengths)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a session");
    lspo_status_t status = take_host(session, LSPO_UPDATE_BLOCK * sizeof(float), (void **)&session->update_scratch);
    if (status == LSPO_OK)
        status = lspo_session_take(session,
                                   lspo_transformer_workspace_bytes(&session->plan->model, workload->batch,
                                                                    workload->sequence, LSPO_NUMBER_FP32),
                                   &session->workspace);
    if (status == LSPO_OK)
        status = lspo_transformer_create(&session->plan->model, workload->batch, workload->sequence,
                                         lspo_compute_host(), session->workspace, &session->transformer);
    return status;
}

/* badam: room for the largest stage; a tied head and its embedding have it together. */
static lspo_status_t make_turn_state(lspo_session_t *session)
{
    uint32_t head = session->stage_count - 1;
    if (session->plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM)
        return LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        size_t count = 2 * session->stages[s].message.element_count;
        if (s == 0 && session->plan->model.tied_head)
            count += 2 * session->stages[head].message.element_count;
        session->turn_count = count > session->turn_count ? count : session->turn_count;
    }
    lspo_status_t status =
        lspo_session_take(session, session->turn_count * sizeof(float), (void **)&session->turn_state);
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++)
        session->stages[s].optimizer = session->turn_state;
    if (status == LSPO_OK && session->plan->model.tied_head)
        session->stages[head].optimizer += 2 * session->stages[0].message.element_count;
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
    lspo_status_t status = make_common(session);
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        status = make_device_state(session, s);
        if (status == LSPO_OK)
            status = make_host_state(session, s);
    }
    if (status == LSPO_OK)
        status = make_turn_state(session);
    if (status == LSPO_OK)
        status = lspo_session_make_carry(session);
    return status == LSPO_OK ? make_scratch(session) : status;
}

lspo_status_t lspo_session_create(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                  lspo_session_t **session_out)
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
    session->stage_count = plan->stage_count;
    /* zenflow's windows have buffers of their own. */
    session->slots = plan->gradient_form == LSPO_FORM_COLUMNS ? 1 : plan->staleness_steps + 1;
    session->tokens = lspo_workload_tokens(&plan->workload);
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
        lspo_session_give_back(session, (void **)&stage->output);
        lspo_session_give_back(session, (void **)&stage->saved);
        lspo_session_give_back(session, (void **)&stage->critical);
        lspo_session_give_back(session, &stage->sending);
        for (int parity = 0; parity < 2; parity++) {
            lspo_session_give_back(session, &stage->staging[parity]);
            lspo_session_give_back(session, (void **)&stage->gradient[parity]);
            lspo_session_give_back(session, (void **)&stage->packed[parity]);
        }
    }
    for (uint32_t i = 0; session->pairs && i < session->stage_count * LSPO_LINEAR_MAX; i++)
        lspo_session_drop_candidate(session, &session->pairs[i]);
    lspo_session_give_back(session, (void **)&session->dx);
    lspo_session_give_back(session, (void **)&session->full_gradient);
    for (uint32_t id = 0; session->swaps && id < session->plan->op_count; id++)
        lspo_session_give_back(session, &session->swaps[id].memory);
}

static void release_stage(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lspo_session_give_back(session, (void **)&stage->weights);
    if (!session->turn_state)
        lspo_session_give_back(session, (void **)&stage->optimizer);
    lspo_session_give_back(session, (void **)&stage->factors);
    lspo_session_columns_release(session, stage);
    for (int i = 0; i < LSPO_LINEAR_MAX; i++)
        lspo_session_give_back(session, (void **)&stage->basis[i]);
    for (int slot = 0; slot < 2; slot++) {
        lspo_device_host_free(session->device, stage->landing[slot]);
        lspo_device_host_free(session->device, stage->outgoing[slot]);
    }
    lspo_device_host_free(session->device, stage->master);
    lspo_device_host_free(session->device, stage->host_optimizer);
    lspo_device_host_free(session->device, stage->home);
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
    lspo_session_give_back(session, (void **)&session->scratch);
    lspo_session_give_back(session, &session->workspace);
    lspo_device_host_free(session->device, session->carry_scratch);
    lspo_device_host_free(session->device, session->update_scratch);
    lspo_device_host_free(session->device, session->row_scratch);
    free(session->losses);
    free(session->squares);
    free(session->lengths);
    free(session->targets);
    free(session->tokens_in);
    free(session->swaps);
    free(session->pairs);
    free(session->stages);
    free(session);
}

/* A ~ N(0, 1 / m), so that X A of a normed X is of order one; B = 0, so that training starts at the frozen model. */
static void init_adapters(const lspo_session_t *session, uint32_t s)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    size_t rank = session->plan->workload.rank;
    memset(stage->factors, 0, lspo_session_factor_count(stage) * sizeof(float));
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        uint64_t stream = ((uint64_t)s << 8) | 0x80U | i; /* beside those of the weights, real/transformer.c */
        lspo_random_normal_fill(session->plan->workload.seed, stream, 1.0 / sqrt((double)linear->rows),
                                linear->rows * rank, stage->factors + linear->message_offset_elements);
    }
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
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        float *weights = stage->swapped ? stage->home : stage->weights;
        lspo_transformer_init(&plan->model, s, plan->workload.seed, weights);
        if (stage->master) /* a message without the rest is the head of the stage's array */
            memcpy(stage->master, weights, stage->message.element_count * sizeof(float));
        if (stage->host_optimizer)
            memset(stage->host_optimizer, 0, stage->host_moments * sizeof(float));
        if (stage->optimizer)
            memset(stage->optimizer, 0, stage->gpu_moments * sizeof(float));
        if (stage->factors)
            init_adapters(session, s);
    }
    memset(session->losses, 0, plan->workload.iterations * sizeof(double));
    return LSPO_OK;
}

lspo_status_t lspo_session_run_op(void *session, const lspo_op_t *op)
{
    return op->lane == LSPO_LANE_GPU ? lspo_session_gpu_op(session, op) : lspo_session_host_op(session, op);
}

const double *lspo_session_losses(const lspo_session_t *session)
{
    return session->losses;
}

const float *lspo_session_weights(const lspo_session_t *session, uint32_t stage)
{
    return session->stages[stage].swapped ? session->stages[stage].home : session->stages[stage].weights;
}

/* How many targets of the batch at hand the loss is a mean of. */
static size_t counted_targets(const lspo_session_t *session)
{
    return lspo_targets_counted(lspo_transformer_targets(session->transformer), session->targets);
}

/* One batch through all stages, to its mean loss; x and y are activations that swap roles. */
static double forward_batch(lspo_session_t *session, void *saved, float *x, float *y)
{
    lspo_transformer_t *t = session->transformer;
    uint32_t head = session->stage_count - 1;
    lspo_transformer_embed_forward(t, session->tokens_in, lspo_session_weights(session, 0), x);
    for (uint32_t s = 1; s < head; s++) {
        lspo_transformer_block_forward(t, lspo_session_weights(session, s), lspo_session_adapters(session, s), x, saved,
                                       y);
        float *swap = x;
        x = y;
        y = swap;
    }
    double sum;
    lspo_transformer_head_forward(t, lspo_session_weights(session, head), lspo_session_weights(session, 0),
                                  session->targets, x, NULL, &sum);
    size_t counted = counted_targets(session);
    return counted > 0 ? sum / (double)counted : 0.0;
}

/* Device memory for the evaluation of one batch. */
typedef struct {
    void *saved, *x, *y;
} evaluation_t;

static lspo_status_t begin_evaluation(lspo_session_t *session, evaluation_t *evaluation)
{
    size_t activation_bytes = session->tokens * session->plan->model.width * sizeof(float);
    *evaluation = (evaluation_t){0};
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, 1), &evaluation->saved);
    if (status == LSPO_OK)
        status = lspo_session_take(session, activation_bytes, &evaluation->x);
    if (status == LSPO_OK)
        status = lspo_session_take(session, activation_bytes, &evaluation->y);
    return status;
}

static void end_evaluation(lspo_session_t *session, evaluation_t *evaluation)
{
    lspo_session_give_back(session, &evaluation->y);
    lspo_session_give_back(session, &evaluation->x);
    lspo_session_give_back(session, &evaluation->saved);
}

lspo_status_t lspo_session_held_out_loss(lspo_session_t *session, uint32_t batches, double *loss_out)
{
    const lspo_workload_t *workload = &session->plan->workload;
    evaluation_t evaluation;
    lspo_status_t status = begin_evaluation(session, &evaluation);
    double sum = 0;
    for (uint32_t i = 0; status == LSPO_OK && i < batches; i++) {
        lspo_text_held_out(session->text, i, batches, workload->batch, workload->sequence, session->tokens_in,
                           session->targets);
        sum += forward_batch(session, evaluation.saved, evaluation.x, evaluation.y);
    }
    end_evaluation(session, &evaluation);
    if (status == LSPO_OK)
        *loss_out = sum / batches;
    return status;
}

lspo_status_t lspo_session_evaluate(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                    uint32_t batches, lspo_evaluation_t *evaluation_out)
{
    bool classifies = session->plan->model.class_count > 1;
    evaluation_t evaluation;
    lspo_status_t status = begin_evaluation(session, &evaluation);
    double sum = 0, count = 0, right = 0;
    for (uint32_t i = 0; status == LSPO_OK && i < batches; i++) {
        status = lspo_session_fill_batch(session, function, context, i, 0);
        if (status != LSPO_OK)
            break;
        double counted = (double)counted_targets(session);
        sum += counted * forward_batch(session, evaluation.saved, evaluation.x, evaluation.y);
        count += counted;
        if (classifies)
            right += (double)lspo_transformer_classified_right(session->transformer, session->targets);
    }
    end_evaluation(session, &evaluation);
    if (status == LSPO_OK && !(count > 0))
        status = lspo_error(LSPO_ERR_INPUT, "%u batches have no target that counts", batches);
    if (status == LSPO_OK)
        *evaluation_out =
            (lspo_evaluation_t){.loss = sum / count, .accuracy = classifies ? right / count : (double)NAN};
    return status;
}
