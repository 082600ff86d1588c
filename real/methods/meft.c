/* meft.c - an adapter beside each MLP, on the host with its Adam state; rows that a batch uses are on the device from
 * the block's FWD to its BWD.  plan/policies/meft.c has the schedule.
 *     FWD           attention and norm, gates of the experts; FWD mlp; FWD rows adds the adapter's result
 *     D2H rows      the MLP's input, the experts of each token and their gates
 *     SELECT        rows of each token; those of all tokens, in the link's format, and their lists
 *     H2D           both
 *     D2H, UPD      gradients of these rows; Adam, whose t is each row's own number of updates, on them alone
 *     UPD accumulate   adds the gradients of a micro-batch; UPD then updates all rows that were added to
 * Weight decay acts in a row's updates, too.  --train-rest on: UPD_GPU of all other tensors but the linear weights. */
#include <stdio.h>

#include "real/methods/meft_state.h"
#include "real/methods/methods.h"

/* ---- which rows ---- */

/* On the device: gates and experts of each token, and the tokens in the link's format; returns the latter. */
static const void *route(lspo_session_t *session, uint32_t s, const void *saved)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    const size_t tokens = session->tokens, d = meft->width, experts = meft->shape.experts;
    const lspo_route_t route = {tokens, experts, meft->shape.probes};
    const void *h = lspo_transformer_mlp_input(session->transformer, saved);
    lspo_compute_gemm_nn(session->compute, &(lspo_gemm_t){.m = tokens,
                                                          .n = experts,
                                                          .k = d,
                                                          .alpha = 1,
                                                          .a = h,
                                                          .a_stride = d,
                                                          .b = lspo_meft_stage_of(session, s)->router,
                                                          .b_stride = experts,
                                                          .c = meft->gates,
                                                          .c_stride = experts});
    lspo_compute_keys_route(session->compute, &route, meft->gates, meft->gpu_experts,
                            (float *)meft->gpu_experts + tokens * route.probes);
    if (!meft->packed_tokens)
        return h;
    lspo_compute_convert(session->compute, tokens * d, session->number, h, session->link, meft->packed_tokens);
    return meft->packed_tokens;
}

/* Numbers from the link's format to fp32, or back, shared by the workers in pieces of some rows of `width`. */
typedef struct {
    const lspo_session_t *session;
    size_t width, rows;
    const float *fp32;
    const uint32_t *numbers; /* of the rows to take; NULL: of tokens to unpack */
    void *link;
    float *unpacked;
} copy_t;

enum { ROWS_AT_ONCE = 16 };

static void copy_piece(void *context, uint32_t worker, size_t piece)
{
    const copy_t *copy = context;
    const lspo_session_t *session = copy->session;
    const size_t first = piece * ROWS_AT_ONCE, rest = copy->rows - first;
    (void)worker;
    for (size_t i = first; i < first + (rest < ROWS_AT_ONCE ? rest : ROWS_AT_ONCE); i++) {
        void *link = lspo_session_link_at(session, copy->link, i * copy->width);
        if (copy->numbers)
            lspo_session_pack_numbers(session->link, copy->width, copy->fp32 + copy->numbers[i] * copy->width, link);
        else
            lspo_session_unpack_numbers(session->link, copy->width, link, copy->unpacked + i * copy->width);
    }
}

static void share_copy(lspo_session_t *session, copy_t *copy)
{
    lspo_workers_run(session->workers, (copy->rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, copy_piece, copy);
}

static uint32_t *leaving_lists(const lspo_session_t *session)
{
    return (uint32_t *)(void *)((char *)lspo_meft_of(session)->leaving +
                                lspo_meft_of(session)->most * lspo_meft_link_row_bytes(session));
}

/* From what has come of the device's tokens: the rows that leave, and their lists. */
static void choose(lspo_session_t *session, uint32_t s)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    const size_t tokens = session->tokens, probed = tokens * meft->shape.probes, entries = tokens * meft->shape.chosen;
    uint32_t *lists = leaving_lists(session), *scratch = meft->scratch;
    lspo_meft_chosen_t chosen = {lists, lists + entries, lists + 2 * entries, own->chosen, 0};
    lspo_meft_choice_t choice = {.shape = meft->shape,
                                 .tokens = tokens,
                                 .width = meft->width,
                                 .rows = own->rows,
                                 .h = meft->tokens_fp32 ? meft->tokens_fp32 : meft->tokens,
                                 .experts = meft->experts,
                                 .gates = (float *)meft->experts + probed,
                                 .place = scratch,
                                 .first_of = scratch + meft->shape.width,
                                 .scratch = session->method_scratch};
    choice.tokens_of = choice.first_of + meft->shape.experts + 1;
    choice.scores = (float *)choice.tokens_of + probed;
    if (meft->tokens_fp32)
        share_copy(session, &(copy_t){.session = session,
                                      .width = meft->width,
                                      .rows = tokens,
                                      .link = meft->tokens,
                                      .unpacked = meft->tokens_fp32});
    lspo_meft_choose(&choice, session->workers, &chosen);
    own->chosen_count = chosen.count;
    share_copy(session, &(copy_t){.session = session,
                                  .width = lspo_meft_row_numbers(session),
                                  .rows = chosen.count,
                                  .fp32 = own->rows,
                                  .numbers = own->chosen,
                                  .link = meft->leaving});
    meft->ledger.batches++;
    meft->ledger.rows += chosen.count;
    meft->ledger.alike += lspo_meft_alike(&choice);
}

static lspo_status_t take_arriving(lspo_session_t *session, lspo_meft_stage_t *own)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_status_t status = lspo_session_take(session, meft->most * lspo_meft_link_row_bytes(session), &own->arrived);
    if (status != LSPO_OK)
        return status;
    return lspo_session_take(session, lspo_meft_lists_bytes(session, meft->most), (void **)&own->lists);
}

/* What has arrived, in the device's format, becomes the block's rows. */
static lspo_status_t place_rows(lspo_session_t *session, uint32_t s)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    const size_t entries = session->tokens * meft->shape.chosen,
                 numbers = own->chosen_count * lspo_meft_row_numbers(session);
    if (lspo_meft_packs(session)) {
        lspo_status_t status =
            lspo_session_take(session, meft->most * lspo_meft_number_row_bytes(session), &own->unpacked);
        if (status != LSPO_OK)
            return status;
        lspo_compute_convert(session->compute, numbers, session->link, own->arrived, session->number, own->unpacked);
        lspo_session_give_back(session, &own->arrived);
    }
    own->keys = (lspo_block_keys_t){.rows = {.tokens = session->tokens,
                                             .width = meft->width,
                                             .count = own->chosen_count,
                                             .chosen = meft->shape.chosen,
                                             .rows = own->unpacked ? own->unpacked : own->arrived,
                                             .slots = own->lists,
                                             .entries = own->lists + entries,
                                             .first = own->lists + 2 * entries},
                                    .scratch = meft->activations};
    session->stages[s].keys = &own->keys;
    return LSPO_OK;
}

/* ---- forward and backward ---- */

static lspo_status_t begin_forward(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_block_parameters_t block = lspo_session_block(stage, stage->weights);
    lspo_status_t status = lspo_session_take(session, lspo_session_output_bytes(session), &flight->output);
    if (status == LSPO_OK)
        status =
            lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &flight->saved);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_block_begin(session->transformer, &block, *lspo_session_input(session, op), flight->saved);
    route(session, op->layer, flight->saved);
    return LSPO_OK;
}

static lspo_status_t end_forward(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = place_rows(session, op->layer);
    if (status != LSPO_OK)
        return status;
    const lspo_block_parameters_t block = lspo_session_block(stage, stage->weights);
    lspo_transformer_block_end(session->transformer, &block, flight->saved, flight->output);
    if (session->plan->workload.checkpointing)
        lspo_session_give_back(session, &flight->saved);
    return LSPO_OK;
}

static lspo_status_t forward(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    if (!lspo_meft_is_block(session, op->layer))
        return lspo_session_forward(session, op);
    if (op->variant == LSPO_VARIANT_NONE)
        return begin_forward(session, op);
    if (op->variant == LSPO_VARIANT_ROWS)
        return end_forward(session, op);
    const lspo_block_parameters_t block = lspo_session_block(stage, stage->weights);
    lspo_transformer_block_mlp(session->transformer, &block, flight->saved, flight->output);
    return LSPO_OK;
}

static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, op->layer);
    lspo_status_t status = lspo_session_take(session, meft->most * lspo_meft_number_row_bytes(session), &own->gradient);
    if (status == LSPO_OK && lspo_meft_packs(session))
        status = lspo_session_take(session, meft->most * lspo_meft_link_row_bytes(session), &own->packed);
    backward->sink.linear = NULL;
    backward->sink.rest = session->stages[op->layer].message.rest_elements > 0 ? backward->gradient : NULL;
    backward->sink.keys = own->gradient;
    return status;
}

static lspo_status_t backward(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, op->layer);
    lspo_status_t status = lspo_session_backward(session, op);
    if (status != LSPO_OK || !lspo_meft_is_block(session, op->layer))
        return status;
    const size_t numbers = own->chosen_count * lspo_meft_row_numbers(session);
    if (session->plan->workload.clip_norm > 0 && !lspo_meft_has_sums(session))
        lspo_compute_sum_of_squares(
            session->compute, numbers, own->gradient,
            &meft->gpu_squares[lspo_session_parity(session, op) * session->stage_count + op->layer]);
    if (own->packed)
        lspo_compute_convert(session->compute, numbers, session->number, own->gradient, session->link, own->packed);
    lspo_meft_give_back_rows(session, op->layer);
    return LSPO_OK;
}

/* The squares of rows are apart from those of the rest: on the device, or of sums on the host. */
static lspo_status_t norm(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    const size_t bytes = session->stage_count * sizeof(double),
                 at = lspo_session_parity(session, op) * session->stage_count;
    double *rows = meft->squares, *all = rows + session->stage_count;
    lspo_status_t status = lspo_device_read(session->device, all, session->squares + at, bytes);
    if (status == LSPO_OK && !lspo_meft_has_sums(session))
        status = lspo_device_read(session->device, rows, meft->gpu_squares + at, bytes);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        double rest = session->stages[s].message.rest_elements > 0 ? all[s] : 0;
        all[s] = rest + (lspo_meft_is_block(session, s) ? rows[s] : 0);
    }
    status = lspo_device_write(session->device, session->squares + at, all, bytes);
    return status == LSPO_OK ? lspo_session_norm(session, op) : status;
}

/* ---- the link ---- */

static lspo_status_t send(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, op->layer);
    if (op->variant == LSPO_VARIANT_NORM_SCALAR)
        return lspo_session_send(session, op);
    if (op->variant == LSPO_VARIANT_ROWS) {
        const void *tokens =
            meft->packed_tokens
                ? meft->packed_tokens
                : lspo_transformer_mlp_input(session->transformer, lspo_session_flight(session, op, op->layer)->saved);
        lspo_device_copy(session->device, LSPO_COPY_D2H, meft->tokens, tokens, lspo_meft_token_bytes(session));
        lspo_device_copy(session->device, LSPO_COPY_D2H, meft->experts, meft->gpu_experts,
                         lspo_meft_routes_bytes(session));
        return LSPO_OK;
    }
    const size_t bytes = own->chosen_count * lspo_meft_link_row_bytes(session);
    lspo_device_copy(session->device, LSPO_COPY_D2H, stage->landing[0], own->packed ? own->packed : own->gradient,
                     bytes);
    meft->ledger.to_host_bytes += bytes;
    lspo_session_give_back(session, &own->packed);
    lspo_session_give_back(session, &own->gradient);
    return LSPO_OK;
}

static lspo_status_t bring(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, op->layer);
    const size_t bytes = own->chosen_count * lspo_meft_link_row_bytes(session),
                 lists = lspo_meft_lists_bytes(session, own->chosen_count);
    lspo_status_t status = take_arriving(session, own);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(session->device, LSPO_COPY_H2D, own->arrived, meft->leaving, bytes);
    lspo_device_copy(session->device, LSPO_COPY_H2D, own->lists, leaving_lists(session), lists);
    meft->ledger.to_gpu_bytes += bytes;
    meft->ledger.routing_bytes += lists + lspo_meft_token_bytes(session) + lspo_meft_routes_bytes(session);
    return LSPO_OK;
}

/* ---- the CPU ---- */

static lspo_status_t select_rows(lspo_session_t *session, const lspo_op_t *op)
{
    choose(session, op->layer);
    return LSPO_OK;
}

/* The rest of a stage is its array behind the linear weights. */
static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    return lspo_gpu_adam_write_master(session, &lspo_meft_stage_of(session, s)->gpu, 0, stage->message.rest_elements,
                                      weights + stage->linear_elements);
}

static lspo_status_t update_rest(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **gradient = &stage->gradient[lspo_session_parity(session, op)];
    const size_t n = stage->message.rest_elements;
    const lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    const lspo_adam_state_t state = lspo_gpu_adam_at(session, op, &lspo_meft_stage_of(session, op->layer)->gpu, 0, n);
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_adam_parameters(session->compute, &adam, &state, *gradient, lspo_session_rest(session, stage));
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

/* ---- evaluation, checkpoints ---- */

/* All at once, outside of messages. */
static lspo_status_t evaluate_block(lspo_session_t *session, uint32_t s, const lspo_block_parameters_t *block,
                                    const void *x_in, void *saved, void *x_out)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    const lspo_meft_ledger_t ledger = meft->ledger;
    lspo_transformer_block_begin(session->transformer, block, x_in, saved);
    lspo_status_t status =
        lspo_device_read(session->device, meft->tokens, route(session, s, saved), lspo_meft_token_bytes(session));
    if (status == LSPO_OK)
        status = lspo_device_read(session->device, meft->experts, meft->gpu_experts, lspo_meft_routes_bytes(session));
    if (status != LSPO_OK)
        return status;
    choose(session, s);
    meft->ledger = ledger;
    status = take_arriving(session, own);
    if (status == LSPO_OK)
        status = lspo_device_write(session->device, own->arrived, meft->leaving,
                                   own->chosen_count * lspo_meft_link_row_bytes(session));
    if (status == LSPO_OK)
        status = lspo_device_write(session->device, own->lists, leaving_lists(session),
                                   lspo_meft_lists_bytes(session, own->chosen_count));
    if (status == LSPO_OK)
        status = place_rows(session, s);
    if (status == LSPO_OK) {
        const lspo_block_parameters_t with_rows = lspo_session_block(&session->stages[s], block->weights);
        lspo_transformer_block_mlp(session->transformer, &with_rows, saved, x_out);
        lspo_transformer_block_end(session->transformer, &with_rows, saved, x_out);
        status = lspo_compute_status(session->compute);
    }
    lspo_meft_give_back_rows(session, s);
    return status;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    const lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    lspo_walk_host(walk, own->rows, lspo_meft_all_numbers(session), LSPO_STATE_F32, "%s.rows", name);
    lspo_walk_host(walk, own->moments, 2 * lspo_meft_all_numbers(session), LSPO_STATE_F32, "%s.moments", name);
    lspo_walk_host(walk, own->steps, meft->shape.width, LSPO_STATE_U32, "%s.steps", name);
    lspo_walk_device(walk, own->router, meft->width * meft->shape.experts, lspo_state_type_of(session->number),
                     "%s.router", name);
}

/* Of a block and a micro-batch, on average. */
static lspo_status_t report(const lspo_session_t *session, lspo_device_entry_t add, void *context)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    const lspo_meft_ledger_t *ledger = &meft->ledger;
    const double batches = ledger->batches > 0 ? (double)ledger->batches : 1, alike = ledger->alike / batches;
    const double used = (double)ledger->rows / batches;
    const double planned = lspo_meft_values_of(&session->plan->workload)->alike;
    const struct {
        const char *key;
        double value;
    } entries[] = {{"rows expected", lspo_meft_rows_expected(&meft->shape, session->tokens, planned)},
                   {"tokens alike", alike},
                   {"rows of such tokens", lspo_meft_rows_expected(&meft->shape, session->tokens, alike)},
                   {"rows used", used},
                   {"alike by rows", lspo_meft_alike_by_rows(&meft->shape, session->tokens, used)},
                   {"row bytes to gpu", (double)ledger->to_gpu_bytes / batches},
                   {"row bytes to host", (double)ledger->to_host_bytes / batches},
                   {"routing bytes", (double)ledger->routing_bytes / batches}};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < sizeof entries / sizeof entries[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.9g", entries[i].value);
        status = add(context, entries[i].key, text);
    }
    return status;
}

const lspo_method_t lspo_method_meft = {
    .name = "meft",
    .state_bytes = sizeof(lspo_meft_t),
    .stage_bytes = sizeof(lspo_meft_stage_t),
    .describe = lspo_meft_describe,
    .take_host = lspo_meft_take_host,
    .take_device = lspo_meft_take_device,
    .create = lspo_meft_create,
    .reset = lspo_meft_reset,
    .drop = lspo_meft_drop,
    .release = lspo_meft_release,
    .ops = {[LSPO_OP_FWD] = forward,
            [LSPO_OP_BWD] = backward,
            [LSPO_OP_NORM] = norm,
            [LSPO_OP_D2H] = send,
            [LSPO_OP_SELECT] = select_rows,
            [LSPO_OP_H2D] = bring,
            [LSPO_OP_UPD] = lspo_meft_update,
            [LSPO_OP_UPD_GPU] = update_rest},
    .begin_backward = begin_backward,
    .weights_stored = weights_stored,
    .evaluate_block = evaluate_block,
    .visit_stage = visit_stage,
    .report = report,
};
