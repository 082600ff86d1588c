/* gpu_adam.c - a part of methods: Adam for one stage on the device. */
#include "real/methods/gpu_adam.h"

void lspo_gpu_adam_describe(const lspo_session_t *session, const lspo_session_stage_t *stage, bool keeps_master,
                            lspo_gpu_adam_t *gpu_out)
{
    bool master = keeps_master && session->number != LSPO_NUMBER_FP32 && stage->updated_on_gpu;
    *gpu_out = (lspo_gpu_adam_t){.moments = 2 * stage->message.element_count,
                                 .master = master ? stage->message.element_count : 0};
}

lspo_status_t lspo_gpu_adam_take(lspo_session_t *session, const lspo_session_stage_t *stage, lspo_gpu_adam_t *gpu)
{
    if (!stage->updated_on_gpu || stage->swapped)
        return LSPO_OK;
    return lspo_session_take(session, (gpu->moments + gpu->master) * sizeof(float), (void **)&gpu->state);
}

void lspo_gpu_adam_give_back(lspo_session_t *session, lspo_gpu_adam_t *gpu)
{
    lspo_session_give_back(session, (void **)&gpu->state);
}

void lspo_gpu_adam_clear(lspo_session_t *session, const lspo_gpu_adam_t *gpu)
{
    if (gpu->state)
        lspo_compute_zero(session->compute, gpu->moments * sizeof(float), gpu->state);
}

lspo_status_t lspo_gpu_adam_write_master(lspo_session_t *session, const lspo_gpu_adam_t *gpu, size_t at, size_t n,
                                         const float *values)
{
    if (!gpu->state || gpu->master == 0 || n == 0)
        return LSPO_OK;
    return lspo_device_write(session->device, gpu->state + gpu->moments + at, values, n * sizeof *values);
}

lspo_adam_t lspo_gpu_adam_of(const lspo_session_t *session, const lspo_op_t *op)
{
    lspo_adam_t adam =
        lspo_adam_default(lspo_session_rate(session, op), lspo_plan_adam_step(session->plan, op->iteration));
    adam.weight_decay = (float)session->plan->workload.weight_decay; /* only for the parameters form */
    adam.gradient_scale = lspo_session_op_scale(session, op, &session->norms);
    return adam;
}

void lspo_gpu_adam_visit(const lspo_gpu_adam_t *gpu, const char *name, lspo_state_walk_t *walk)
{
    if (!gpu->state)
        return;
    lspo_walk_device(walk, gpu->state, gpu->moments, LSPO_STATE_F32, "%s.gpu_moments", name);
    lspo_walk_device(walk, gpu->state + gpu->moments, gpu->master, LSPO_STATE_F32, "%s.gpu_master", name);
}
