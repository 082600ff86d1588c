/* meft_update.c - Adam on the rows of meft that a step has used, on the CPU. */
#include <string.h>

#include "real/methods/meft_state.h"

/* An UPD, shared by the workers row by row. */
typedef struct {
    lspo_session_t *session;
    const lspo_session_stage_t *stage;
    lspo_meft_stage_t *own;
    lspo_adam_t adam;
    bool skips;
} update_t;

/* Numbers of gradients that are in fp32 at a time. */
static size_t piece_of(size_t numbers, size_t at)
{
    return numbers - at < LSPO_UPDATE_BLOCK ? numbers - at : LSPO_UPDATE_BLOCK;
}

static void step_row(const update_t *update, size_t row, size_t at, size_t n, const float *gradient)
{
    lspo_meft_stage_t *own = update->own;
    const size_t first = row * lspo_meft_row_numbers(update->session) + at;
    const lspo_adam_state_t state = {.count = n,
                                     .m = own->moments + first,
                                     .v = own->moments + lspo_meft_all_numbers(update->session) + first,
                                     .format = LSPO_ADAM_FP32};
    lspo_adam_t adam = update->adam;
    adam.step = own->steps[row];
    lspo_adam_parameters(&adam, &state, gradient, own->rows + first);
}

static void update_chosen(void *context, uint32_t worker, size_t slot)
{
    const update_t *update = context;
    lspo_session_t *session = update->session;
    const size_t numbers = lspo_meft_row_numbers(session), row = update->own->chosen[slot];
    update->own->steps[row]++;
    for (size_t at = 0; at < numbers; at += LSPO_UPDATE_BLOCK) {
        const size_t n = piece_of(numbers, at);
        step_row(update, row, at, n,
                 lspo_session_landed(session, worker, update->stage->landing[0], slot * numbers + at, n));
    }
}

static void update_added(void *context, uint32_t worker, size_t row)
{
    const update_t *update = context;
    lspo_meft_stage_t *own = update->own;
    const size_t numbers = lspo_meft_row_numbers(update->session);
    (void)worker;
    if (!own->added[row])
        return;
    if (!update->skips) {
        own->steps[row]++;
        step_row(update, row, 0, numbers, own->sums + row * numbers);
    }
    memset(own->sums + row * numbers, 0, numbers * sizeof *own->sums);
    own->added[row] = 0;
}

static void add_chosen(void *context, uint32_t worker, size_t slot)
{
    const update_t *update = context;
    const size_t numbers = lspo_meft_row_numbers(update->session), row = update->own->chosen[slot];
    float *sum = update->own->sums + row * numbers;
    for (size_t at = 0; at < numbers; at += LSPO_UPDATE_BLOCK) {
        const size_t n = piece_of(numbers, at);
        const float *gradient =
            lspo_session_landed(update->session, worker, update->stage->landing[0], slot * numbers + at, n);
        for (size_t i = 0; i < n; i++)
            sum[at + i] += gradient[i];
    }
    update->own->added[row] = 1;
}

static void square_row(void *context, uint32_t worker, size_t row)
{
    const update_t *update = context;
    const size_t numbers = lspo_meft_row_numbers(update->session);
    double sum = 0;
    (void)worker;
    for (size_t i = row * numbers; update->own->added[row] && i < (row + 1) * numbers; i++)
        sum += (double)update->own->sums[i] * (double)update->own->sums[i];
    lspo_meft_of(update->session)->row_squares[row] = sum;
}

/* The last one of a step also sums squares, row after row in their order. */
static void accumulate(const lspo_op_t *op, update_t *update)
{
    lspo_session_t *session = update->session;
    lspo_meft_t *meft = lspo_meft_of(session);
    lspo_workers_run(session->workers, update->own->chosen_count, add_chosen, update);
    if (!(session->plan->workload.clip_norm > 0) || !lspo_session_is_last_micro(session, op))
        return;
    lspo_workers_run(session->workers, meft->shape.width, square_row, update);
    meft->squares[op->layer] = 0;
    for (size_t row = 0; row < meft->shape.width; row++)
        meft->squares[op->layer] += meft->row_squares[row];
}

static size_t rows_added(const lspo_session_t *session, const lspo_meft_stage_t *own)
{
    size_t count = 0;
    for (size_t row = 0; row < lspo_meft_of(session)->shape.width; row++)
        count += own->added[row];
    return count;
}

lspo_status_t lspo_meft_update(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    update_t update = {
        .session = session, .stage = &session->stages[op->layer], .own = lspo_meft_stage_of(session, op->layer)};
    if (op->variant == LSPO_VARIANT_ACCUMULATE) {
        accumulate(op, &update);
        return LSPO_OK;
    }
    const size_t count = lspo_meft_has_sums(session) ? rows_added(session, update.own) : update.own->chosen_count;
    update.adam = lspo_session_adam(session, lspo_session_rate(session, op), 1);
    update.adam.gradient_scale = lspo_session_op_scale(session, op, session->host_norms);
    update.skips = lspo_session_skips_step(session, op, session->host_norms);
    if (lspo_meft_has_sums(session))
        lspo_workers_run(session->workers, lspo_meft_of(session)->shape.width, update_added, &update);
    else if (!update.skips)
        lspo_workers_run(session->workers, count, update_chosen, &update);
    lspo_session_pace_update(session, start_ns, count * lspo_meft_row_numbers(session));
    return LSPO_OK;
}
