/* badam.c - Adam on the GPU for one stage at a time, with m = v = 0 at the beginning of its turn (plan/plan.h,
 * lspo_plan_trains()).  All stages use the same memory for the state in turn; a tied head and its embedding share a
 * turn. */
#include "real/methods/gpu_adam.h"
#include "real/methods/methods.h"

typedef struct {
    void *state; /* device: m, v, master of the current stage */
    size_t bytes;
} badam_t;

static lspo_gpu_adam_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static void describe(lspo_session_t *session)
{
    bool master = lspo_moments_have_master(session);
    for (uint32_t s = 0; s < session->stage_count; s++) { /* also stages whose turn comes in a later plan */
        const lspo_message_t *message = &session->stages[s].message;
        *stage_of(session, s) = (lspo_gpu_adam_t){.moments = lspo_moments_of(session, message),
                                                  .master = master ? message->element_count : 0};
    }
}

/* Room for the largest stage. */
static lspo_status_t create(lspo_session_t *session)
{
    badam_t *own = session->own;
    uint32_t head = session->stage_count - 1;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        size_t bytes = lspo_gpu_adam_bytes(stage_of(session, s));
        if (s == 0 && session->plan->model.tied_head)
            bytes += lspo_gpu_adam_bytes(stage_of(session, head));
        own->bytes = bytes > own->bytes ? bytes : own->bytes;
    }
    lspo_status_t status = lspo_session_take(session, own->bytes, &own->state);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++)
        stage_of(session, s)->moments.memory = own->state;
    if (session->plan->model.tied_head)
        stage_of(session, head)->moments.memory = (char *)own->state + lspo_gpu_adam_bytes(stage_of(session, 0));
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
    lspo_session_give_back(session, &((badam_t *)session->own)->state);
}

/* The first step of a turn: moments start at zero, the master from the weights. */
static void begin_turn(lspo_session_t *session, const lspo_session_stage_t *stage, const lspo_gpu_adam_t *gpu)
{
    lspo_gpu_adam_clear(session, gpu);
    if (gpu->master > 0)
        lspo_compute_convert(session->compute, gpu->master, session->number, stage->weights, LSPO_NUMBER_FP32,
                             lspo_gpu_adam_master(gpu));
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_gpu_adam_t *gpu = stage_of(session, op->layer);
    void **gradient = &stage->gradient[lspo_session_parity(session, op)];
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    if (adam.step == 1)
        begin_turn(session, stage, gpu);
    const lspo_adam_state_t state = lspo_gpu_adam_at(session, op, gpu, 0, stage->message.element_count);
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_adam_parameters(session->compute, &adam, &state, *gradient, stage->weights);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

static void visit(const lspo_session_t *session, lspo_state_walk_t *walk)
{
    static const struct {
        lspo_state_type_t type;
        size_t bytes;
    } arrays[] = {[LSPO_ADAM_FP32] = {LSPO_STATE_F32, 4},
                  [LSPO_ADAM_BF16] = {LSPO_STATE_BF16, 2},
                  [LSPO_ADAM_8BIT] = {LSPO_STATE_U8, 1}}; /* codes and scales */
    const badam_t *own = session->own;
    lspo_adam_format_t format = stage_of(session, 0)->moments.format;
    lspo_walk_device(walk, own->state, own->bytes / arrays[format].bytes, arrays[format].type, "turn.moments");
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
