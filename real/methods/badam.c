/* badam.c - Adam on the GPU for one stage at a time, with m = v = 0 at the beginning of its turn (plan/plan.h,
 * lspo_plan_trains()).  All stages use the same memory for the state in turn; a tied head and its embedding share a
 * turn. */
#include "real/methods/gpu_adam.h"
#include "real/methods/methods.h"

typedef struct {
    float *state; /* device: m, v, master of the current stage */
    size_t count; /* number of floats in it */
} badam_t;

static lspo_gpu_adam_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static void describe(lspo_session_t *session)
{
    bool master = session->number != LSPO_NUMBER_FP32;
    for (uint32_t s = 0; s < session->stage_count; s++) { /* also stages whose turn comes in a later plan */
        size_t n = session->stages[s].message.element_count;
        *stage_of(session, s) = (lspo_gpu_adam_t){.moments = 2 * n, .master = master ? n : 0};
    }
}

static size_t state_count(const lspo_gpu_adam_t *stage)
{
    return stage->moments + stage->master;
}

/* Room for the largest stage. */
static lspo_status_t create(lspo_session_t *session)
{
    badam_t *own = session->own;
    uint32_t head = session->stage_count - 1;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        size_t count = state_count(stage_of(session, s));
        if (s == 0 && session->plan->model.tied_head)
            count += state_count(stage_of(session, head));
        own->count = count > own->count ? count : own->count;
    }
    lspo_status_t status = lspo_session_take(session, own->count * sizeof(float), (void **)&own->state);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++)
        stage_of(session, s)->state = own->state;
    if (session->plan->model.tied_head)
        stage_of(session, head)->state += state_count(stage_of(session, 0));
    return LSPO_OK;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_gpu_adam_clear(session, stage_of(session, s));
    return LSPO_OK;
}

static void release(lspo_session_t *session)
{
    lspo_session_give_back(session, (void **)&((badam_t *)session->own)->state);
}

/* The first step of a turn: moments start at zero, the master from the weights. */
static void begin_turn(lspo_session_t *session, const lspo_session_stage_t *stage, const lspo_gpu_adam_t *gpu)
{
    size_t n = stage->message.element_count;
    lspo_compute_zero(session->compute, 2 * n * sizeof(float), gpu->state);
    if (gpu->master > 0)
        lspo_compute_convert(session->compute, n, session->number, stage->weights, LSPO_NUMBER_FP32,
                             gpu->state + 2 * n);
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_gpu_adam_t *gpu = stage_of(session, op->layer);
    void **gradient = &stage->gradient[lspo_session_parity(session, op)];
    float *m = gpu->state;
    size_t n = stage->message.element_count;
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    if (adam.step == 1)
        begin_turn(session, stage, gpu);
    const lspo_adam_state_t state = {.count = n, .m = m, .v = m + n, .master = gpu->master > 0 ? m + 2 * n : NULL};
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_adam_parameters(session->compute, &adam, &state, *gradient, stage->weights);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

static void visit(const lspo_session_t *session, lspo_state_walk_t *walk)
{
    const badam_t *own = session->own;
    lspo_walk_device(walk, own->state, own->count, LSPO_STATE_F32, "turn.moments");
}

const lspo_method_t lspo_method_badam = {
    .name = "badam",
    .state_bytes = sizeof(badam_t),
    .stage_bytes = sizeof(lspo_gpu_adam_t),
    .describe = describe,
    .create = create,
    .reset = reset,
    .release = release,
    .ops = {[LSPO_OP_UPD_GPU] = update},
    .visit = visit,
};
