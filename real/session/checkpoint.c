/* checkpoint.c - the arrays of a session that a checkpoint must hold.  See session.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "real/session/state.h"

/* Walks all arrays in one order; fills `array` when it comes to number `wanted`. */
typedef struct {
    uint32_t at, wanted;
    lspo_device_t *device; /* what the next arrays are in memory of; NULL: the host's */
    lspo_state_array_t *array;
} walk_t;

__attribute__((format(printf, 5, 6))) static void visit(walk_t *walk, void *data, uint64_t count,
                                                        lspo_state_type_t type, const char *format, ...)
{
    if (!data || count == 0)
        return;
    if (walk->array && walk->at == walk->wanted) {
        *walk->array = (lspo_state_array_t){.data = data, .element_count = count, .type = type, .device = walk->device};
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(walk->array->name, sizeof walk->array->name, format, arguments);
        va_end(arguments);
    }
    walk->at++;
}

static lspo_state_type_t type_of(lspo_number_t number)
{
    switch (number) {
    case LSPO_NUMBER_BF16:
        return LSPO_STATE_BF16;
    case LSPO_NUMBER_FP16:
        return LSPO_STATE_F16;
    case LSPO_NUMBER_FP32:
        break;
    }
    return LSPO_STATE_F32;
}

/* From here on arrays of the device, or of the host again. */
static void enter_device(const lspo_session_t *session, walk_t *walk)
{
    walk->device = session->asynchronous ? session->device : NULL;
}

static void leave_device(walk_t *walk)
{
    walk->device = NULL;
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
            visit_projector(walk, &stage->pair[i]->host_p, name, i, 'p');
            visit_projector(walk, &stage->pair[i]->host_q, name, i, 'q');
        }
        enter_device(session, walk);
        visit(walk, stage->basis[i], shorter * session->plan->workload.rank, type_of(session->number),
              "%s.basis%" PRIu32, name, i);
        leave_device(walk);
    }
    enter_device(session, walk);
    visit(walk, stage->factors, lspo_session_factor_count(stage), type_of(session->number), "%s.adapters", name);
    leave_device(walk);
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

/* Weights and what stands behind them: masters, moments. */
static void visit_weights(const lspo_session_t *session, const lspo_session_stage_t *stage, const char *name,
                          walk_t *walk)
{
    float *gpu_master = stage->swapped ? stage->host_optimizer + stage->host_moments : NULL;
    if (stage->swapped) {
        visit(walk, stage->home, stage->shape.element_count, type_of(session->number), "%s.weights", name);
    } else {
        enter_device(session, walk);
        visit(walk, stage->weights, stage->shape.element_count, type_of(session->number), "%s.weights", name);
        leave_device(walk);
    }
    visit(walk, stage->master, stage->message.element_count, LSPO_STATE_F32, "%s.master", name);
    visit(walk, stage->host_optimizer, stage->host_moments, LSPO_STATE_F32, "%s.moments", name);
    visit(walk, gpu_master, stage->gpu_master, LSPO_STATE_F32, "%s.gpu_master", name);
    if (session->turn_state || !stage->optimizer)
        return;
    enter_device(session, walk);
    visit(walk, stage->optimizer, stage->gpu_moments, LSPO_STATE_F32, "%s.gpu_moments", name);
    visit(walk, stage->optimizer + stage->gpu_moments, stage->gpu_master, LSPO_STATE_F32, "%s.gpu_master", name);
    leave_device(walk);
}

static void walk_state(const lspo_session_t *session, walk_t *walk)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        char name[16];
        lspo_model_stage_name(&session->plan->model, s, name);
        visit_weights(session, stage, name, walk);
        visit_factors(session, s, name, walk);
        visit_pending(session, stage, name, walk);
        visit_columns(session, stage, name, walk);
    }
    enter_device(session, walk);
    visit(walk, session->turn_state, session->turn_count, LSPO_STATE_F32, "turn.moments");
    leave_device(walk);
    visit(walk, session->host_norms->norm, 2, LSPO_STATE_F32, "norms");
    if (!session->scaling.dynamic)
        return;
    visit(walk, session->host_norms->scale, 2, LSPO_STATE_F32, "scales");
    visit(walk, (void *)&session->scaling.now, 1, LSPO_STATE_F32, "scale");
    visit(walk, (void *)&session->scaling.good_steps, 1, LSPO_STATE_F32, "good_steps");
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

static lspo_status_t projector_written(lspo_session_t *session, uint32_t s, lspo_session_pair_t *pair)
{
    if (!positions_are_sound(&pair->host_p) || !positions_are_sound(&pair->host_q))
        return lspo_error(LSPO_ERR_INPUT,
                          "the state's projectors of stage %" PRIu32 " have positions that are "
                          "out of range or not in order",
                          s);
    lspo_projector_refresh(&pair->host_p);
    lspo_projector_refresh(&pair->host_q);
    return lspo_session_upload_pair(session, pair);
}

lspo_status_t lspo_session_state_written(lspo_session_t *session)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
            uint32_t columns = stage->message.linear[i].cols;
            if (!split_is_sound(stage->columns[0][i], columns) || !split_is_sound(stage->columns[1][i], columns))
                return lspo_error(LSPO_ERR_INPUT, "the state's columns of stage %" PRIu32 " are out of range", s);
            if (lspo_session_owns_pair(session, s, i))
                status = projector_written(session, s, stage->pair[i]);
        }
        if (status == LSPO_OK)
            status = lspo_session_columns_written(session, stage);
    }
    if (status != LSPO_OK)
        return status;
    lspo_session_learn_projectors(session);
    /* An update of a pending gradient begins the next segment: the GPU's lane asks for its norm, too. */
    session->norms = *session->host_norms;
    return LSPO_OK;
}

static size_t element_bytes(lspo_state_type_t type)
{
    return type == LSPO_STATE_F32 || type == LSPO_STATE_U32 ? 4 : 2;
}

size_t lspo_state_array_bytes(const lspo_state_array_t *array)
{
    return array->element_count * element_bytes(array->type);
}

lspo_status_t lspo_state_array_read(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes, void *out)
{
    const char *from = (const char *)array->data + offset_bytes;
    if (array->device)
        return lspo_device_read(array->device, out, from, bytes);
    memcpy(out, from, bytes);
    return LSPO_OK;
}

lspo_status_t lspo_state_array_write(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes, const void *in)
{
    char *to = (char *)array->data + offset_bytes;
    if (array->device)
        return lspo_device_write(array->device, to, in, bytes);
    memcpy(to, in, bytes);
    return LSPO_OK;
}
