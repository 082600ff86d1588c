/* gpu_adam.c - a part of methods: Adam for one stage on the device. */
#include "real/methods/gpu_adam.h"

#include <stdio.h>

void lspo_gpu_adam_describe(const lspo_session_t *session, const lspo_session_stage_t *stage, bool keeps_master,
                            lspo_gpu_adam_t *gpu_out)
{
    bool master = keeps_master && lspo_moments_have_master(session) && stage->updated_on_gpu;
    *gpu_out = (lspo_gpu_adam_t){.moments = lspo_moments_of(session, &stage->message),
                                 .master = master ? stage->message.element_count : 0};
}

size_t lspo_gpu_adam_bytes(const lspo_gpu_adam_t *gpu)
{
    return lspo_moments_bytes(&gpu->moments) + gpu->master * sizeof(float);
}

lspo_status_t lspo_gpu_adam_take(lspo_session_t *session, const lspo_session_stage_t *stage, lspo_gpu_adam_t *gpu)
{
    if (!stage->updated_on_gpu || stage->swapped)
        return LSPO_OK;
    return lspo_session_take(session, lspo_gpu_adam_bytes(gpu), &gpu->moments.memory);
}

void lspo_gpu_adam_give_back(lspo_session_t *session, lspo_gpu_adam_t *gpu)
{
    lspo_session_give_back(session, &gpu->moments.memory);
}

void lspo_gpu_adam_clear(lspo_session_t *session, const lspo_gpu_adam_t *gpu)
{
    if (gpu->moments.memory)
        lspo_compute_zero(session->compute, lspo_moments_bytes(&gpu->moments), gpu->moments.memory);
}

lspo_status_t lspo_gpu_adam_write_master(lspo_session_t *session, const lspo_gpu_adam_t *gpu, size_t at, size_t n,
                                         const float *values)
{
    if (!gpu->moments.memory || gpu->master == 0 || n == 0)
        return LSPO_OK;
    return lspo_device_write(session->device, lspo_gpu_adam_master(gpu) + at, values, n * sizeof *values);
}

lspo_adam_t lspo_gpu_adam_of(const lspo_session_t *session, const lspo_op_t *op)
{
    lspo_adam_t adam =
        lspo_session_adam(session, lspo_session_rate(session, op), lspo_plan_adam_step(session->plan, op->iteration));
    adam.gradient_scale = lspo_session_op_scale(session, op, &session->norms);
    return adam;
}

float *lspo_gpu_adam_master(const lspo_gpu_adam_t *gpu)
{
    return (float *)gpu->moments.memory + lspo_moments_bytes(&gpu->moments) / sizeof(float);
}

lspo_adam_state_t lspo_gpu_adam_at(const lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                                   size_t at, size_t n)
{
    lspo_adam_state_t state = lspo_moments_at(session, op, &gpu->moments, at, n);
    state.master = gpu->master > 0 ? lspo_gpu_adam_master(gpu) + at : NULL;
    return state;
}

void lspo_gpu_adam_visit(const lspo_gpu_adam_t *gpu, const char *name, lspo_state_walk_t *walk)
{
    char place[48];
    if (!gpu->moments.memory)
        return;
    snprintf(place, sizeof place, "%s.gpu_", name);
    lspo_moments_visit(&gpu->moments, place, lspo_walk_device, walk);
    lspo_walk_device(walk, lspo_gpu_adam_master(gpu), gpu->master, LSPO_STATE_F32, "%smaster", place);
}
