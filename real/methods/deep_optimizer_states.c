/* deep_optimizer_states.c - Adam in subgroups, on the CPU and, for those of which the plan says so, on the GPU.
 *     COMPRESS   copies the gradient of a subgroup of the GPU, because the stage's is given back when the rest is sent
 *     UPD        master <- master - eta adam(g)   on the host; H2D sends it, APPLY overwrites the weights
 *     SWAP_IN    m, v and an fp32 master of 16-bit weights, from the host's arrays of the whole stage
 *     UPD_GPU    w <- w - eta adam(g)
 *     SWAP_OUT   m, v and the master, or else the weights, into the same arrays
 * So between two steps all state is on the host, and is the same whoever has updated it. */
#include <stdlib.h>

#include "real/methods/gpu_adam.h"
#include "real/methods/host_adam.h"
#include "real/methods/methods.h"

typedef struct {
    lspo_host_adam_t host;
    void **kept; /* owned: gradients by part, on the device from COMPRESS to UPD_GPU */
    uint32_t part_count;
} states_stage_t;

static states_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

/* ---- memory ---- */

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_describe(session, &session->stages[s], &stage_of(session, s)->host);
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    lspo_host_adam_t *host = &stage_of(session, s)->host;
    if (!stage->trained)
        return LSPO_OK;
    lspo_status_t status = lspo_host_adam_take_moments(session, host, 0, count);
    if (status != LSPO_OK)
        return status;
    return stage->updated_on_host ? lspo_host_adam_take_outgoing(session, s, host, true, count)
                                  : lspo_host_adam_take_master(session, host, count);
}

static lspo_status_t create(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        states_stage_t *own = stage_of(session, s);
        own->part_count = lspo_chunk_count(session->plan, session->stages[s].message.element_count);
        own->kept = calloc(own->part_count, sizeof *own->kept);
        if (!own->kept)
            return lspo_no_memory("%u subgroups", own->part_count);
    }
    return LSPO_OK;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_clear(&stage_of(session, s)->host);
    return LSPO_OK;
}

static void drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t part = 0; stage_of(session, s)->kept && part < stage_of(session, s)->part_count; part++)
            lspo_session_give_back(session, &stage_of(session, s)->kept[part]);
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_host_adam_give_back(session, &stage_of(session, s)->host);
        free(stage_of(session, s)->kept);
        stage_of(session, s)->kept = NULL;
    }
}

/* The trained tensors are the head of the stage's array. */
static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    const lspo_host_adam_t *host = &stage_of(session, s)->host;
    if (host->master)
        lspo_session_pack_numbers(host->number, session->stages[s].message.element_count, weights, host->master);
    return LSPO_OK;
}

/* ---- the state of a subgroup on the device: m and v as in real/methods/moments.h, then the master ---- */

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

static pieces_t pieces_of(lspo_session_t *session, const lspo_op_t *op, void *memory)
{
    const lspo_host_adam_t *host = &stage_of(session, op->layer)->host;
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

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_host_adam_t *host = &stage_of(session, op->layer)->host;
    lspo_swap_use_t *use = &session->swaps[op - session->plan->ops];
    const size_t count = lspo_session_part(session, op).count;
    const bool master = lspo_moments_have_master(session);
    lspo_status_t status =
        lspo_session_take(session, moments_bytes(host, count) + (master ? count * sizeof(float) : 0), &use->memory);
    if (status != LSPO_OK)
        return status;
    const pieces_t all = pieces_of(session, op, use->memory);
    for (int i = 0; i < (master ? PIECES : PIECES - 1); i++)
        if (all.pieces[i].bytes > 0)
            lspo_device_copy(session->device, LSPO_COPY_H2D, all.pieces[i].device, all.pieces[i].host,
                             all.pieces[i].bytes);
    return LSPO_OK;
}

static lspo_status_t swap_out(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_OPTIMIZER);
    const pieces_t all = pieces_of(session, op, use->memory);
    for (int i = 0; i < PIECES; i++)
        if (all.pieces[i].bytes > 0)
            lspo_device_copy(session->device, LSPO_COPY_D2H, all.pieces[i].host, all.pieces[i].device,
                             all.pieces[i].bytes);
    lspo_session_give_back(session, &use->memory);
    return LSPO_OK;
}

/* ---- gradients and updates ---- */

static lspo_status_t keep_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_part_t part = lspo_session_part(session, op);
    const void *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    void **kept = &stage_of(session, op->layer)->kept[op->micro];
    lspo_status_t status = lspo_session_take(session, part.count * session->number_bytes, kept);
    if (status == LSPO_OK)
        lspo_compute_copy(session->compute, part.count * session->number_bytes,
                          lspo_session_at(session, gradient, part.first), *kept);
    return status;
}

static lspo_status_t update_host(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    size_t count = lspo_host_adam_update(session, op, &stage_of(session, op->layer)->host);
    lspo_session_pace_update(session, start_ns, count);
    return LSPO_OK;
}

static lspo_status_t update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const states_stage_t *own = stage_of(session, op->layer);
    const lspo_session_part_t part = lspo_session_part(session, op);
    const lspo_swap_use_t *use = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_OPTIMIZER);
    const lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    lspo_adam_state_t state = state_at(session, &own->host, use->memory, part.count);
    void **gradient = own->part_count > 1 ? &own->kept[op->micro] : &stage->gradient[lspo_session_parity(session, op)];
    lspo_moments_seed(session, op, part.first, &state);
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_adam_parameters(session->compute, &adam, &state, *gradient,
                                     lspo_session_at(session, stage->weights, part.first));
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    lspo_host_adam_visit(&stage_of(session, s)->host, name, walk);
}

const lspo_method_t lspo_method_deep_optimizer_states = {
    .name = "deep-optimizer-states",
    .stage_bytes = sizeof(states_stage_t),
    .describe = describe,
    .take_host = take_host,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_COMPRESS] = keep_gradient,
            [LSPO_OP_UPD] = update_host,
            [LSPO_OP_UPD_GPU] = update_gpu,
            [LSPO_OP_SWAP_IN] = swap_in,
            [LSPO_OP_SWAP_OUT] = swap_out},
    .weights_stored = weights_stored,
    .visit_stage = visit_stage,
};
