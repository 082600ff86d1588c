/* visiting.c - see visiting.h.  A state on the device is m and v as in real/methods/moments.h, then the master. */
#include "real/methods/visiting.h"

#include "real/methods/gpu_adam.h"

static size_t moments_bytes(const lspo_host_adam_t *host, size_t count)
{
    return lspo_adam_state_bytes(host->moments.format, lspo_adam_places(host->moments.format, count));
}

static lspo_adam_state_t state_at(const lspo_session_t *session, const lspo_host_adam_t *host, void *memory,
                                  size_t count)
{
    const lspo_adam_format_t format = host->moments.format;
    lspo_adam_state_t state = lspo_adam_state_at(format, memory, lspo_adam_places(format, count), 0, count);
    state.master =
        lspo_moments_have_master(session) ? (float *)memory + moments_bytes(host, count) / sizeof(float) : NULL;
    return state;
}

typedef struct {
    void *host, *device;
    size_t bytes;
} piece_t;

enum { PIECES = 5 };

/* What a swap copies of a subgroup whose state on the device is in `memory`; pieces of no bytes are left out. */
typedef struct {
    piece_t pieces[PIECES];
} pieces_t;

static pieces_t pieces_of(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host, void *memory)
{
    const lspo_session_part_t part = lspo_session_part(session, op);
    const lspo_adam_format_t format = host->moments.format;
    const size_t places = lspo_adam_places(format, part.count), number_bytes = lspo_number_bytes(host->number);
    const lspo_adam_state_t there = state_at(session, host, memory, part.count);
    const lspo_adam_state_t here = lspo_adam_state_at(format, host->moments.memory, host->moments.places,
                                                      lspo_adam_places(format, part.first), part.count);
    const size_t each = (size_t)((char *)there.v - (char *)there.m);
    const size_t scales = format == LSPO_ADAM_8BIT ? places / LSPO_ADAM_BLOCK * sizeof(float) : 0;
    void *updated =
        there.master ? (void *)there.master : lspo_session_at(session, session->stages[op->layer].weights, part.first);
    return (pieces_t){{{here.m, there.m, each},
                       {here.v, there.v, each},
                       {here.m_scale, there.m_scale, scales},
                       {here.v_scale, there.v_scale, scales},
                       {(char *)host->master + part.first * number_bytes, updated, part.count * number_bytes}}};
}

lspo_status_t lspo_visiting_in(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    lspo_swap_use_t *use = &session->swaps[op - session->plan->ops];
    const size_t count = lspo_session_part(session, op).count;
    const bool master = lspo_moments_have_master(session);
    lspo_status_t status =
        lspo_session_take(session, moments_bytes(host, count) + (master ? count * sizeof(float) : 0), &use->memory);
    if (status != LSPO_OK)
        return status;
    const pieces_t all = pieces_of(session, op, host, use->memory);
    for (int i = 0; i < (master ? PIECES : PIECES - 1); i++)
        if (all.pieces[i].bytes > 0)
            lspo_device_copy(session->device, LSPO_COPY_H2D, all.pieces[i].device, all.pieces[i].host,
                             all.pieces[i].bytes);
    return LSPO_OK;
}

lspo_status_t lspo_visiting_out(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_OPTIMIZER);
    const pieces_t all = pieces_of(session, op, host, use->memory);
    for (int i = 0; i < PIECES; i++)
        if (all.pieces[i].bytes > 0)
            lspo_device_copy(session->device, LSPO_COPY_D2H, all.pieces[i].host, all.pieces[i].device,
                             all.pieces[i].bytes);
    lspo_session_give_back(session, &use->memory);
    return LSPO_OK;
}

void lspo_visiting_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                          const void *gradient)
{
    const lspo_session_part_t part = lspo_session_part(session, op);
    const lspo_swap_use_t *use = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_OPTIMIZER);
    const lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    lspo_adam_state_t state = state_at(session, host, use->memory, part.count);
    lspo_moments_seed(session, op, part.first, &state);
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_adam_parameters(session->compute, &adam, &state, gradient,
                                     lspo_session_at(session, session->stages[op->layer].weights, part.first));
}

/* The trained tensors are the head of the stage's array. */
void lspo_visiting_store(const lspo_session_t *session, uint32_t stage, const lspo_host_adam_t *host,
                         const float *weights)
{
    if (host->master)
        lspo_session_pack_numbers(host->number, session->stages[stage].message.element_count, weights, host->master);
}
