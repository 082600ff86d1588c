/* session.c - create, reset and release the state of a session.  ops.c has its ops. */
#include "real/session/session.h"
#include "plan/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "real/session/state.h"

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

/* Settings for a dense gradient; the method changes what differs. */
static void describe_messages(lspo_session_t *session)
{
    const uint32_t head = session->stage_count - 1;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        lspo_model_stage(&session->plan->model, s, &stage->shape);
        lspo_plan_message(session->plan, s, &stage->message);
        stage->own = session->stage_owns + s * session->method->stage_bytes;
        stage->here = s >= session->place.first_stage && s <= session->place.last_stage;
        if (s == 0 && !stage->here && session->plan->model.tied_head && session->place.last_stage == head)
            stage->copied_elements = (size_t)stage->shape.tensors[0].rows * stage->shape.tensors[0].cols;
        stage->trained = stage->message.element_count > 0 && (stage->here || stage->copied_elements > 0);
        stage->sent_bytes = stage->message.element_count * lspo_number_bytes(session->link);
        stage->returned_bytes = stage->sent_bytes;
        for (uint32_t i = 0; i < stage->shape.linear_count; i++)
            stage->linear_elements += (size_t)stage->shape.tensors[i].rows * stage->shape.tensors[i].cols;
        stage->gradient_count = stage->message.element_count;
    }
}

/* The plan determines which stages are swapped and where they are updated.  A stage whose gradient is sent is updated
 * on the host, even if not in this plan. */
static void describe_ops(lspo_session_t *session)
{
    const lspo_plan_t *plan = session->plan;
    for (uint32_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        lspo_session_stage_t *stage = &session->stages[op->layer];
        if (!session->alone && plan->lanes.list[op->lane].peer != session->place.peer)
            continue;
        bool gradient = op->kind == LSPO_OP_D2H && op->variant == LSPO_VARIANT_NONE;
        stage->updated_on_host |= op->kind == LSPO_OP_UPD || gradient;
        stage->updated_on_gpu |= op->kind == LSPO_OP_UPD_GPU;
        stage->swapped |= op->kind == LSPO_OP_SWAP_IN && op->variant == LSPO_VARIANT_PARAMETERS;
        session->probes |= op->variant == LSPO_VARIANT_PROBE;
    }
    for (uint32_t s = 0; s < session->stage_count; s++)
        if (session->stages[s].updated_on_host && session->link != session->number)
            session->stages[s].packed_bytes = session->stages[s].sent_bytes;
}

static bool swaps(const lspo_plan_t *plan)
{
    for (uint32_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == LSPO_OP_SWAP_IN)
            return true;
    return false;
}

/* Data of one plan: losses, and the last users of swapped data. */
static lspo_status_t take_plan(lspo_session_t *session, const lspo_plan_t *plan)
{
    double *losses = calloc(plan->workload.iterations, sizeof *losses);
    lspo_swap_use_t *uses = swaps(plan) ? calloc(plan->op_count, sizeof *uses) : NULL;
    if (!losses || (swaps(plan) && !uses)) {
        free(uses);
        free(losses);
        return lspo_no_memory("a plan of %u ops", plan->op_count);
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

/* Do both plans' policies need the same arrays, by their own parameters? */
static bool same_own_shapes(const lspo_plan_t *a, const lspo_plan_t *b)
{
    const lspo_parameters_t *own = a->policy->parameters;
    for (size_t i = 0; own != NULL && i < own->count; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        double x = lspo_parameter_number(parameter, lspo_policy_value(a->policy, &a->workload, parameter));
        double y = lspo_parameter_number(parameter, lspo_policy_value(b->policy, &b->workload, parameter));
        bool same = parameter->arrays == LSPO_ARRAYS_BY_VALUE ? x == y : (x > 0) == (y > 0);
        if (parameter->arrays != LSPO_ARRAYS_SAME && !same)
            return false;
    }
    return true;
}

static bool same_shapes(const lspo_plan_t *a, const lspo_plan_t *b)
{
    const lspo_workload_t *x = &a->workload, *y = &b->workload;
    bool models = a->stage_count == b->stage_count && a->model.width == b->model.width &&
                  a->model.mlp_width == b->model.mlp_width && a->model.vocabulary == b->model.vocabulary;
    return models && a->policy == b->policy && x->batch == y->batch && x->sequence == y->sequence &&
           x->transfer == y->transfer && x->precision == y->precision && x->loss_scale == y->loss_scale &&
           x->swap_activations == y->swap_activations &&
           (x->swap_activations == 0 || x->checkpointing == y->checkpointing) &&
           (x->clip_norm > 0) == (y->clip_norm > 0) && x->train_rest == y->train_rest && same_own_shapes(a, b);
}

lspo_status_t lspo_session_continue(lspo_session_t *session, const lspo_plan_t *plan)
{
    if (!same_shapes(session->plan, plan))
        return lspo_error(LSPO_ERR_INPUT, "a training cannot continue with another policy, model, batch or subspace");
    lspo_status_t status = take_plan(session, plan);
    for (uint32_t s = 0; s < session->stage_count && status == LSPO_OK; s++)
        status = lspo_session_make_parts(session, &session->stages[s]);
    return status;
}

static lspo_status_t make_device_state(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = lspo_session_make_parts(session, stage);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take_codes(session, stage);
    if (status != LSPO_OK)
        return status;
    if (!stage->swapped)
        status = lspo_session_take(session, lspo_session_weights_count(stage) * session->number_bytes, &stage->weights);
    if (status != LSPO_OK)
        return status;
    if (session->method->take_device)
        status = session->method->take_device(session, s);
    return status;
}

static lspo_status_t take_host(lspo_session_t *session, size_t bytes, void **slot)
{
    return lspo_device_host_alloc(session->device, bytes, slot);
}

/* Batches in memory that the device can access: the host's own arrays, or copies filled from pinned ones. */
static lspo_status_t make_batches(lspo_session_t *session)
{
    size_t bytes = session->tokens * sizeof(uint32_t);
    session->gpu_tokens = session->tokens_in;
    session->gpu_targets = session->targets;
    if (!session->asynchronous)
        return LSPO_OK;
    session->gpu_tokens = session->gpu_targets = NULL;
    lspo_status_t status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&session->gpu_tokens);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&session->gpu_targets);
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i < 2; i++) {
        status = take_host(session, 2 * bytes, (void **)&session->pinned_batch[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Some hundred bytes, not counted in plans. */
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

/* Results that the GPU reports to the host besides messages: losses, and squares and norms of gradients. */
static lspo_status_t make_reports(lspo_session_t *session)
{
    size_t squares_bytes =
        (lspo_plan_has_bases_on_gpu(session->plan) ? 4 : 2) * (size_t)session->stage_count * sizeof(double);
    lspo_status_t status = take_host(session, session->stage_count * sizeof(double), (void **)&session->squares_read);
    if (status != LSPO_OK)
        return status;
    status = take_host(session, sizeof *session->loss_read, (void **)&session->loss_read);
    if (status != LSPO_OK)
        return status;
    status = take_host(session, sizeof *session->host_norms, (void **)&session->host_norms);
    if (status != LSPO_OK)
        return status;
    session->norms_sent = &session->norms;
    if (session->asynchronous)
        status = take_host(session, sizeof *session->norms_sent, (void **)&session->norms_sent);
    if (status != LSPO_OK)
        return status;
    status = take_report(session, squares_bytes, (void **)&session->squares);
    if (status != LSPO_OK)
        return status;
    status = take_report(session, sizeof *session->gpu_norms, (void **)&session->gpu_norms);
    if (status != LSPO_OK)
        return status;
    return take_report(session, sizeof *session->gpu_loss, (void **)&session->gpu_loss);
}

static lspo_status_t make_common(lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    session->tokens_in = calloc(session->tokens, sizeof(uint32_t));
    session->targets = calloc(session->tokens, sizeof(uint32_t));
    session->lengths = calloc(workload->batch, sizeof(uint32_t));
    if (!session->tokens_in || !session->targets || !session->lengths)
        return lspo_no_memory("a session");
    lspo_status_t status = make_batches(session);
    if (status != LSPO_OK)
        return status;
    status = make_reports(session);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take(
        session,
        lspo_transformer_workspace_bytes(&session->plan->model, workload->batch, workload->sequence, session->number),
        &session->workspace);
    if (status != LSPO_OK)
        return status;
    return lspo_transformer_create(&session->plan->model, workload->batch, workload->sequence, session->compute,
                                   session->workspace, &session->transformer);
}

/* Only then has a stage what the method releases. */
static bool has_owns(const lspo_session_t *session)
{
    return session->stages && session->own && session->stage_owns && session->flights && session->dx &&
           (session->alone || session->partials);
}

static lspo_status_t make_owns(lspo_session_t *session)
{
    const lspo_method_t *method = session->method;
    session->stages = calloc(session->stage_count, sizeof *session->stages);
    session->own = calloc(1, method->state_bytes + 1);
    session->stage_owns = calloc(session->stage_count, method->stage_bytes + 1);
    session->flights = calloc((size_t)session->stage_count * session->flight_count, sizeof *session->flights);
    session->dx = calloc(session->flight_count, sizeof *session->dx);
    if (!session->alone)
        session->partials = calloc(session->place.peer_count, sizeof *session->partials);
    if (!has_owns(session))
        return lspo_no_memory("%u stages and %u micro-batches in flight", session->stage_count, session->flight_count);
    for (uint32_t s = 0; s < session->stage_count; s++)
        session->stages[s].flights = session->flights + (size_t)s * session->flight_count;
    return LSPO_OK;
}

static lspo_status_t make_stage(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    if (stage->copied_elements > 0)
        return lspo_session_take(session, stage->copied_elements * session->number_bytes, &stage->weights);
    if (!stage->here)
        return LSPO_OK;
    lspo_status_t status = make_device_state(session, s);
    return status == LSPO_OK ? lspo_session_make_host_state(session, s, NULL) : status;
}

static lspo_status_t make_state(lspo_session_t *session)
{
    const lspo_method_t *method = session->method;
    lspo_status_t status = make_owns(session);
    if (status != LSPO_OK)
        return status;
    describe_messages(session);
    describe_ops(session);
    if (method->describe)
        method->describe(session);
    status = lspo_session_reserve_host(session);
    if (status != LSPO_OK)
        return status;
    status = make_common(session);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        status = make_stage(session, s);
        if (status != LSPO_OK)
            return status;
    }
    if (method->create)
        status = method->create(session);
    if (status != LSPO_OK)
        return status;
    return lspo_session_make_worker_scratch(session);
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

void lspo_session_place(const lspo_plan_t *plan, uint32_t peer, lspo_session_place_t *place_out)
{
    lspo_session_place_t place = {.peer = peer, .first_stage = UINT32_MAX, .first_micro = UINT32_MAX};
    uint32_t last_micro = 0, last_peer = 0;
    place.first_peer = UINT32_MAX;
    for (lspo_op_id_t id = 0; id < plan->op_count && plan->ops[id].iteration == 0; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->kind != LSPO_OP_FWD || plan->lanes.list[op->lane].peer != peer)
            continue;
        place.first_stage = op->layer < place.first_stage ? op->layer : place.first_stage;
        place.last_stage = op->layer > place.last_stage ? op->layer : place.last_stage;
        place.first_micro = op->micro < place.first_micro ? op->micro : place.first_micro;
        last_micro = op->micro > last_micro ? op->micro : last_micro;
    }
    place.micro_count = last_micro + 1 - place.first_micro;
    for (lspo_op_id_t id = 0; id < plan->op_count && plan->ops[id].iteration == 0; id++) {
        const uint32_t other = plan->lanes.list[plan->ops[id].lane].peer;
        if (plan->ops[id].kind != LSPO_OP_FWD || plan->ops[id].micro != place.first_micro)
            continue;
        place.first_peer = other < place.first_peer ? other : place.first_peer;
        last_peer = other > last_peer ? other : last_peer;
    }
    place.peer_count = last_peer + 1 - place.first_peer;
    *place_out = place;
}

lspo_status_t lspo_session_create_with(const lspo_plan_t *plan, lspo_device_t *device, const lspo_method_t *method,
                                       const lspo_session_start_t *start, lspo_session_t **session_out)
{
    lspo_status_t status = check_plan(plan, start->text);
    if (status != LSPO_OK)
        return status;
    lspo_session_t *session = calloc(1, sizeof *session);
    if (!session)
        return lspo_no_memory("a session");
    session->plan = plan;
    session->method = method;
    session->device = device;
    session->text = start->text;
    session->first_weights = start->weights;
    session->stage_count = plan->stage_count;
    session->slots = method->landing_slots > 0 ? method->landing_slots : plan->staleness_steps + 1;
    session->tokens = lspo_workload_tokens(&plan->workload);
    session->alone = start->place == NULL;
    session->place = (lspo_session_place_t){
        .last_stage = plan->stage_count - 1, .micro_count = plan->workload.accumulation, .peer_count = 1};
    if (start->place)
        session->place = *start->place;
    session->flight_count = session->alone ? 1 : session->place.micro_count;
    status = set_formats(session);
    if (status != LSPO_OK)
        goto failed;
    status = take_plan(session, plan);
    if (status != LSPO_OK)
        goto failed;
    status = make_state(session);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_session_reset(session);
    if (status != LSPO_OK)
        goto failed;
    *session_out = session;
    return LSPO_OK;
failed:
    lspo_session_destroy(session);
    return status;
}

static void release_dynamic(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; i < session->flight_count; i++) {
            lspo_session_give_back(session, &stage->flights[i].output);
            lspo_session_give_back(session, &stage->flights[i].saved);
        }
        lspo_session_give_back(session, &stage->sending);
        for (uint32_t part = 0; stage->parts && part < 2 * stage->part_count; part++)
            lspo_session_give_back(session, &stage->parts[part]);
        for (int parity = 0; parity < 2; parity++) {
            lspo_session_give_back(session, &stage->staging[parity]);
            lspo_session_give_back(session, &stage->gradient[parity]);
            lspo_session_give_back(session, &stage->packed[parity]);
        }
    }
    if (session->method->drop)
        session->method->drop(session);
    for (uint32_t i = 0; i < session->flight_count; i++)
        lspo_session_give_back(session, &session->dx[i]);
    lspo_session_give_back(session, &session->tied_part);
    for (uint32_t id = 0; session->swaps && id < session->plan->op_count; id++)
        lspo_session_give_back(session, &session->swaps[id].memory);
}

static void release_stages(lspo_session_t *session)
{
    if (!has_owns(session))
        return;
    release_dynamic(session);
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        lspo_session_give_back(session, &stage->weights);
        lspo_session_give_back(session, &stage->codes);
        for (int slot = 0; slot < 2; slot++) {
            lspo_device_host_free(session->device, stage->landing[slot]);
            lspo_device_host_free(session->device, stage->outgoing[slot]);
        }
        lspo_device_host_free(session->device, stage->home);
        lspo_device_host_free(session->device, stage->kept);
        free(stage->parts);
    }
    if (session->method->release)
        session->method->release(session);
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
    release_stages(session);
    lspo_transformer_destroy(session->transformer);
    lspo_session_give_back(session, &session->workspace);
    lspo_session_give_back(session, &session->expanded);
    give_back_report(session, session->gpu_loss);
    give_back_report(session, session->gpu_norms);
    give_back_report(session, session->squares);
    release_batches(session);
    lspo_device_host_free(session->device, session->update_scratch);
    lspo_device_host_free(session->device, session->method_scratch);
    lspo_device_host_free(session->device, session->host_norms);
    if (session->norms_sent != &session->norms)
        lspo_device_host_free(session->device, session->norms_sent);
    lspo_device_host_free(session->device, session->loss_read);
    lspo_device_host_free(session->device, session->squares_read);
    free(session->losses);
    free(session->lengths);
    free(session->targets);
    free(session->tokens_in);
    free(session->swaps);
    free(session->partials);
    free(session->dx);
    free(session->flights);
    free(session->stage_owns);
    free(session->own);
    free(session->stages);
    free(session);
}

lspo_status_t lspo_session_reset(lspo_session_t *session)
{
    release_dynamic(session);
    session->bias = (lspo_session_bias_t){0};
    session->gradient_norm = (double)NAN;
    lspo_status_t status = session->method->reset ? session->method->reset(session) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    session->scaling = lspo_session_first_scaling(session);
    session->norms = (lspo_session_norms_t){.scale = {session->scaling.now, session->scaling.now}};
    *session->host_norms = session->norms;
    memset(session->losses, 0, session->plan->workload.iterations * sizeof(double));
    session->used_step = session->settled_step = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        status = stage->here || stage->copied_elements > 0 ? lspo_session_make_weights(session, s) : LSPO_OK;
        if (status != LSPO_OK)
            return status;
    }
    return lspo_compute_status(session->compute);
}

const double *lspo_session_losses(const lspo_session_t *session)
{
    return session->losses;
}
