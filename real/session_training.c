/* session_training.c - what a training loop adds to a session: batches, rates, and the state for checkpoints. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "real/session_state.h"

void lspo_session_set_batches(lspo_session_t *session, lspo_batch_function_t function, void *context)
{
    session->batches = function;
    session->batches_context = context;
}

void lspo_session_set_learning_rate(lspo_session_t *session, lspo_rate_function_t function, void *context)
{
    session->rate = function;
    session->rate_context = context;
}

float lspo_session_rate_at(const lspo_session_t *session, uint32_t step)
{
    double rate = session->rate ? session->rate(session->rate_context, step) : session->plan->workload.learning_rate;
    return (float)rate;
}

float lspo_session_rate(const lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_session_rate_at(session, lspo_session_step(session, op));
}

/* Ids index tables: those beyond them would read other memory. */
static lspo_status_t check_batch(const lspo_session_t *session, uint32_t step)
{
    const lspo_model_t *model = &session->plan->model;
    bool classifies = model->class_count > 0;
    for (size_t i = 0; i < session->tokens; i++)
        if (session->tokens_in[i] >= model->vocabulary)
            return lspo_error(LSPO_ERR_INPUT, "step %" PRIu32 ": token %" PRIu32 " of a vocabulary of %" PRIu32, step,
                              session->tokens_in[i], model->vocabulary);
    bool numbers = model->class_count == 1; /* targets are the bits of floats */
    uint32_t limit = classifies ? model->class_count : model->vocabulary;
    size_t count = classifies ? session->plan->workload.batch : session->tokens;
    for (size_t i = 0; !numbers && i < count; i++)
        if (session->targets[i] >= limit && session->targets[i] != LSPO_TARGET_IGNORED)
            return lspo_error(LSPO_ERR_INPUT, "step %" PRIu32 ": target %" PRIu32 " of %" PRIu32, step,
                              session->targets[i], limit);
    return LSPO_OK;
}

lspo_status_t lspo_session_fill_batch(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                      uint32_t step, uint32_t micro)
{
    lspo_batch_t batch = {.tokens = session->tokens_in, .targets = session->targets, .lengths = session->lengths};
    for (uint32_t i = 0; i < session->plan->workload.batch; i++)
        batch.lengths[i] = session->plan->workload.sequence;
    lspo_status_t status = function(context, step, micro, &batch);
    if (status == LSPO_OK)
        status = check_batch(session, step);
    return status == LSPO_OK ? lspo_transformer_set_lengths(session->transformer, batch.lengths) : status;
}

lspo_status_t lspo_session_load_batch(lspo_session_t *session, uint32_t step, uint32_t micro)
{
    const lspo_workload_t *workload = &session->plan->workload;
    if (session->batches)
        return lspo_session_fill_batch(session, session->batches, session->batches_context, step, micro);
    if (!session->text)
        return lspo_error(LSPO_ERR_INPUT, "a session has neither a text nor a function that makes batches");
    lspo_text_batch(session->text, workload->seed, step, micro, workload->batch, workload->sequence, session->tokens_in,
                    session->targets);
    return LSPO_OK;
}

double lspo_session_gradient_norm(const lspo_session_t *session)
{
    return session->gradient_norm;
}

lspo_session_bias_t lspo_session_bias(const lspo_session_t *session)
{
    return session->bias;
}

/* ---- state ---- */

/* Walks all arrays in one order; fills `array` when it comes to number `wanted`. */
typedef struct {
    uint32_t at, wanted;
    lspo_state_array_t *array;
} walk_t;

__attribute__((format(printf, 5, 6))) static void visit(walk_t *walk, void *data, uint64_t count,
                                                        lspo_state_type_t type, const char *format, ...)
{
    if (!data || count == 0)
        return;
    if (walk->array && walk->at == walk->wanted) {
        *walk->array = (lspo_state_array_t){.data = data, .element_count = count, .type = type};
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(walk->array->name, sizeof walk->array->name, format, arguments);
        va_end(arguments);
    }
    walk->at++;
}

static void visit_projector(walk_t *walk, const lspo_projector_t *p, const char *stage, uint32_t weight, char side)
{
    uint64_t count = (uint64_t)p->rows * p->r;
    visit(walk, p->index, count, LSPO_STATE_U32, "%s.%c%" PRIu32 ".index", stage, side, weight);
    visit(walk, p->value, count, LSPO_STATE_F32, "%s.%c%" PRIu32 ".value", stage, side, weight);
}

/* Projectors that weights share are those of the first of them. */
static void visit_factors(const lspo_session_t *session, uint32_t s, const char *name, walk_t *walk)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        uint64_t shorter = linear->rows < linear->cols ? linear->rows : linear->cols;
        if (lspo_session_owns_pair(session, s, i)) {
            visit_projector(walk, &stage->p[i], name, i, 'p');
            visit_projector(walk, &stage->q[i], name, i, 'q');
        }
        visit(walk, stage->basis[i], shorter * session->plan->workload.rank, LSPO_STATE_F32, "%s.basis%" PRIu32, name,
              i);
    }
    visit(walk, stage->factors, lspo_session_factor_count(stage), LSPO_STATE_F32, "%s.adapters", name);
}

/* A stale policy's gradients wait in the landing buffers; others have used theirs up. */
static void visit_pending(const lspo_session_t *session, const lspo_session_stage_t *stage, const char *name,
                          walk_t *walk)
{
    lspo_state_type_t type = lspo_session_packs(session) ? LSPO_STATE_U16 : LSPO_STATE_F32;
    for (uint32_t slot = 0; session->slots > 1 && slot < session->slots; slot++)
        visit(walk, stage->landing[slot], stage->message.element_count, type, "%s.pending%" PRIu32, name, slot);
}

/* zenflow: two selections, the sums of two windows and the update of the one before. */
static void visit_columns(const lspo_session_t *session, const lspo_session_stage_t *stage, const char *name,
                          walk_t *walk)
{
    if (stage->sent_count == 0)
        return;
    for (uint32_t slot = 0; slot < 2; slot++) {
        for (uint32_t i = 0; i < stage->message.linear_count; i++)
            visit(walk, stage->columns[slot][i], stage->message.linear[i].cols, LSPO_STATE_U32,
                  "%s.columns%" PRIu32 ".%" PRIu32, name, slot, i);
        visit(walk, stage->window_sum[slot], stage->sent_count, LSPO_STATE_F32, "%s.window%" PRIu32, name, slot);
    }
    lspo_state_type_t type = lspo_session_packs(session) ? LSPO_STATE_U16 : LSPO_STATE_F32;
    visit(walk, stage->outgoing[0], stage->sent_count, type, "%s.update", name);
}

static void walk_state(const lspo_session_t *session, walk_t *walk)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        char name[16];
        lspo_model_stage_name(&session->plan->model, s, name);
        visit(walk, stage->swapped ? stage->home : stage->weights, stage->shape.element_count, LSPO_STATE_F32,
              "%s.weights", name);
        visit(walk, stage->master, stage->message.element_count, LSPO_STATE_F32, "%s.master", name);
        visit(walk, stage->host_optimizer, stage->host_moments, LSPO_STATE_F32, "%s.moments", name);
        if (!session->turn_state)
            visit(walk, stage->optimizer, stage->gpu_moments, LSPO_STATE_F32, "%s.gpu_moments", name);
        visit_factors(session, s, name, walk);
        visit_pending(session, stage, name, walk);
        visit_columns(session, stage, name, walk);
    }
    visit(walk, session->turn_state, session->turn_count, LSPO_STATE_F32, "turn.moments");
    visit(walk, (void *)session->norm_host, 2, LSPO_STATE_F32, "norms");
}

uint32_t lspo_session_state_count(const lspo_session_t *session)
{
    walk_t walk = {0};
    walk_state(session, &walk);
    return walk.at;
}

void lspo_session_state_at(lspo_session_t *session, uint32_t index, lspo_state_array_t *array_out)
{
    walk_t walk = {.wanted = index, .array = array_out};
    walk_state(session, &walk);
}

/* A selection that has not been yet is all zeros. */
static bool split_is_sound(const uint32_t *columns, uint32_t count)
{
    for (uint32_t i = 0; columns && i < count; i++)
        if (columns[i] >= count)
            return false;
    return true;
}

static bool positions_are_sound(const lspo_projector_t *p)
{
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        if (p->index[e] >= p->d || (e % p->r > 0 && p->index[e] <= p->index[e - 1]))
            return false;
    return true;
}

lspo_status_t lspo_session_state_written(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; i < stage->message.linear_count; i++) {
            uint32_t columns = stage->message.linear[i].cols;
            if (!split_is_sound(stage->columns[0][i], columns) || !split_is_sound(stage->columns[1][i], columns))
                return lspo_error(LSPO_ERR_INPUT, "the state's columns of stage %" PRIu32 " are out of range", s);
            if (!lspo_session_owns_pair(session, s, i))
                continue;
            if (!positions_are_sound(&stage->p[i]) || !positions_are_sound(&stage->q[i]))
                return lspo_error(LSPO_ERR_INPUT,
                                  "the state's projectors of stage %" PRIu32 " have positions that are "
                                  "out of range or not in order",
                                  s);
            lspo_projector_refresh(&stage->p[i]);
            lspo_projector_refresh(&stage->q[i]);
        }
    }
    lspo_session_learn_projectors(session);
    return LSPO_OK;
}
