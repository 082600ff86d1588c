/* checkpoint.c - the arrays of a session that belong in a checkpoint.  See session.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "real/session/state.h"

/* Goes over all arrays in a fixed order; fills `array` at number `wanted`. */
struct lspo_state_walk {
    uint32_t at, wanted;
    lspo_device_t *device; /* an asynchronous device; NULL: device memory is host memory */
    lspo_state_array_t *array;
};

__attribute__((format(printf, 2, 0))) static void visit(lspo_state_walk_t *walk, const char *format, va_list arguments,
                                                        const lspo_state_array_t *found)
{
    if (!found->data || found->element_count == 0)
        return;
    if (walk->array && walk->at == walk->wanted) {
        *walk->array = *found;
        vsnprintf(walk->array->name, sizeof walk->array->name, format, arguments);
    }
    walk->at++;
}

void lspo_walk_host(lspo_state_walk_t *walk, void *data, uint64_t count, lspo_state_type_t type, const char *format,
                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    visit(walk, format, arguments, &(lspo_state_array_t){.data = data, .element_count = count, .type = type});
    va_end(arguments);
}

void lspo_walk_device(lspo_state_walk_t *walk, void *data, uint64_t count, lspo_state_type_t type, const char *format,
                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    visit(walk, format, arguments,
          &(lspo_state_array_t){.data = data, .element_count = count, .type = type, .device = walk->device});
    va_end(arguments);
}

lspo_state_type_t lspo_state_type_of(lspo_number_t number)
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

lspo_state_type_t lspo_session_message_type(const lspo_session_t *session)
{
    return lspo_session_packs(session) ? LSPO_STATE_U16 : LSPO_STATE_F32;
}

/* The gradients of a stale policy wait in the landing buffers; other policies have used theirs. */
static void visit_pending(const lspo_session_t *session, const lspo_session_stage_t *stage, const char *name,
                          lspo_state_walk_t *walk)
{
    for (uint32_t slot = 0; session->slots > 1 && slot < session->slots; slot++)
        lspo_walk_host(walk, stage->landing[slot], stage->message.element_count, lspo_session_message_type(session),
                       "%s.pending%" PRIu32, name, slot);
}

static void visit_weights(const lspo_session_t *session, const lspo_session_stage_t *stage, const char *name,
                          lspo_state_walk_t *walk)
{
    lspo_state_type_t type = lspo_state_type_of(session->number);
    lspo_walk_host(walk, stage->home, stage->shape.element_count, type, "%s.weights", name);
    lspo_walk_device(walk, stage->weights, lspo_session_weights_count(stage), type, "%s.weights", name);
    lspo_walk_device(walk, stage->codes, stage->codes ? lspo_session_codes_bytes(stage) : 0, LSPO_STATE_U8, "%s.codes",
                     name);
}

static void walk_state(const lspo_session_t *session, lspo_state_walk_t *walk)
{
    const lspo_method_t *method = session->method;
    walk->device = session->asynchronous ? session->device : NULL;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        char name[16];
        if (!stage->here && stage->copied_elements == 0)
            continue;
        lspo_model_stage_name(&session->plan->model, s, name);
        visit_weights(session, stage, name, walk);
        if (!stage->here)
            continue;
        if (method->visit_stage)
            method->visit_stage(session, s, name, walk);
        visit_pending(session, stage, name, walk);
    }
    if (method->visit)
        method->visit(session, walk);
    lspo_walk_host(walk, session->host_norms->norm, 2, LSPO_STATE_F32, "norms");
    if (!session->scaling.dynamic)
        return;
    lspo_walk_host(walk, session->host_norms->scale, 2, LSPO_STATE_F32, "scales");
    lspo_walk_host(walk, (void *)&session->scaling.now, 1, LSPO_STATE_F32, "scale");
    lspo_walk_host(walk, (void *)&session->scaling.good_steps, 1, LSPO_STATE_F32, "good_steps");
}

uint32_t lspo_session_state_count(const lspo_session_t *session)
{
    lspo_state_walk_t walk = {0};
    walk_state(session, &walk);
    return walk.at;
}

void lspo_session_state_at(lspo_session_t *session, uint32_t index, lspo_state_array_t *array_out)
{
    lspo_state_walk_t walk = {.wanted = index, .array = array_out};
    walk_state(session, &walk);
}

lspo_status_t lspo_session_state_written(lspo_session_t *session)
{
    lspo_status_t status = session->method->written ? session->method->written(session) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    /* The next segment begins with the update of a pending gradient, for which the GPU lane needs its norm. */
    session->norms = *session->host_norms;
    return LSPO_OK;
}

static size_t element_bytes(lspo_state_type_t type)
{
    switch (type) {
    case LSPO_STATE_F32:
    case LSPO_STATE_U32:
        return 4;
    case LSPO_STATE_U8:
        return 1;
    case LSPO_STATE_U16:
    case LSPO_STATE_BF16:
    case LSPO_STATE_F16:
        break;
    }
    return 2;
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
