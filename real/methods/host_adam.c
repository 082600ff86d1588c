/* host_adam.c - a part of methods: Adam on the CPU for one stage's message. */
#include "real/methods/host_adam.h"

#include <stdio.h>
#include <string.h>

#include "kernels/adam.h"
#include "kernels/pack.h"
#include "kernels/rounding.h"
#include "kernels/vector.h"

void lspo_host_adam_describe(const lspo_session_t *session, const lspo_session_stage_t *stage,
                             lspo_host_adam_t *host_out)
{
    *host_out = (lspo_host_adam_t){.moments = lspo_moments_of(session, &stage->message),
                                   .count = stage->message.element_count,
                                   .number = lspo_moments_update(session)};
}

lspo_status_t lspo_host_adam_take_moments(lspo_session_t *session, lspo_host_adam_t *host, size_t extra,
                                          lspo_host_count_t *count)
{
    return lspo_session_take_host(session, count, LSPO_HOST_OPTIMIZERS,
                                  lspo_moments_bytes(&host->moments) + extra * sizeof(float), &host->moments.memory);
}

lspo_status_t lspo_host_adam_take_master(lspo_session_t *session, lspo_host_adam_t *host, lspo_host_count_t *count)
{
    return lspo_session_take_host(session, count, LSPO_HOST_MASTERS, host->count * lspo_number_bytes(host->number),
                                  &host->master);
}

lspo_status_t lspo_host_adam_take_outgoing(lspo_session_t *session, uint32_t s, lspo_host_adam_t *host,
                                           bool keeps_master, lspo_host_count_t *count)
{
    lspo_session_stage_t *stage = &session->stages[s];
    bool sends_master = keeps_master && session->link == host->number && session->slots == 1;
    lspo_status_t status = sends_master ? LSPO_OK : lspo_session_take_outgoing(session, stage, count);
    if (status != LSPO_OK)
        return status;
    if (keeps_master)
        status = lspo_host_adam_take_master(session, host, count);
    stage->returned = host->master;
    return status;
}

void lspo_host_adam_give_back(lspo_session_t *session, lspo_host_adam_t *host)
{
    lspo_device_host_free(session->device, host->second_master);
    lspo_device_host_free(session->device, host->second_moments);
    lspo_device_host_free(session->device, host->master);
    lspo_device_host_free(session->device, host->moments.memory);
    host->master = host->moments.memory = host->second_master = host->second_moments = NULL;
}

void lspo_host_adam_clear(const lspo_host_adam_t *host)
{
    if (host->moments.memory)
        memset(host->moments.memory, 0, lspo_moments_bytes(&host->moments));
}

lspo_status_t lspo_host_adam_take_second(lspo_session_t *session, lspo_host_adam_t *host, lspo_host_count_t *count)
{
    lspo_status_t status = lspo_session_take_host(session, count, LSPO_HOST_OPTIMIZERS,
                                                  lspo_moments_bytes(&host->moments), &host->second_moments);
    if (status != LSPO_OK)
        return status;
    return lspo_session_take_host(session, count, LSPO_HOST_MASTERS, host->count * sizeof(float), &host->second_master);
}

/* An UPD, shared by the workers block by block. */
typedef struct {
    lspo_session_t *session;
    const lspo_op_t *op;
    lspo_session_stage_t *stage;
    const lspo_host_adam_t *host;
    const lspo_host_adam_t *from; /* read from here, written to `host`; NULL: in place */
    lspo_adam_t adam;
    size_t first, end;      /* elements */
    const float *direction; /* of the step; NULL: Adam's */
    uint32_t slot;
    bool skips; /* skip the step: masters are unchanged and are sent */
} update_t;

/* The moments of `n` numbers from number `at` on. */
static lspo_adam_state_t moments_at(const update_t *update, size_t at, size_t n)
{
    return lspo_moments_at(update->session, update->op, &update->host->moments, at, n);
}

/* A master of 16 bits: a piece is unpacked, updated and rounded randomly. */
static void update_rounded(const update_t *update, const float *gradient, size_t at, size_t n)
{
    enum { PIECE = 4 * LSPO_ADAM_BLOCK };
    const lspo_number_t number = update->host->number;
    float piece[PIECE];
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t some = n - i < PIECE ? n - i : PIECE;
        const lspo_adam_state_t moments = moments_at(update, at + i, some);
        void *master = (uint16_t *)update->host->master + at + i;
        lspo_session_unpack_numbers(number, some, master, piece);
        lspo_adam_parameters(&update->adam, &moments, gradient + i, piece);
        lspo_pack_randomly(number, some, moments.seed, moments.first, piece, master);
    }
}

static void step_along(const update_t *update, size_t at, size_t n)
{
    const lspo_vector_step_t step = {.keep = lspo_session_kept(update->session, update->adam.learning_rate),
                                     .rate = update->adam.learning_rate};
    lspo_step_along(n, &step, update->direction + at, (float *)update->host->master + at);
}

/* Update one block with a master, and copy it to the outgoing buffer if the master itself is not sent, or into the
 * weights on the host unless they are the master. */
static void update_parameters(const update_t *update, const float *gradient, size_t at, size_t n)
{
    const lspo_session_t *session = update->session;
    const lspo_number_t number = update->host->number;
    const lspo_adam_state_t moments = moments_at(update, at, n);
    void *master = (char *)update->host->master + at * lspo_number_bytes(number);
    void *home = update->stage->home;
    void *outgoing = update->stage->outgoing[update->slot];
    if (update->direction)
        step_along(update, at, n);
    else if (!update->skips && number == LSPO_NUMBER_FP32)
        lspo_adam_parameters(&update->adam, &moments, gradient, master);
    else if (!update->skips)
        update_rounded(update, gradient, at, n);
    if (outgoing)
        lspo_convert(n, number, master, session->link, lspo_session_link_at(session, outgoing, at));
    if (home && home != update->host->master && !update->skips)
        lspo_convert(n, number, master, session->number, lspo_session_at(session, home, at));
}

static void update_direction(const update_t *update, uint32_t worker, const float *gradient, size_t at, size_t n)
{
    lspo_session_t *session = update->session;
    const lspo_adam_state_t moments = moments_at(update, at, n);
    void *outgoing = lspo_session_link_at(session, update->stage->outgoing[update->slot], at);
    if (!lspo_session_packs(session)) {
        lspo_adam_direction(&update->adam, &moments, gradient, outgoing);
        return;
    }
    float *scratch = lspo_session_update_scratch(session, worker); /* `gradient` may be the same array */
    lspo_adam_direction(&update->adam, &moments, gradient, scratch);
    lspo_session_pack_numbers(session->link, n, scratch, outgoing);
}

/* From one place into another: a piece is updated in the cache and stored past it. */
static void update_elsewhere(const update_t *update, const float *gradient, size_t at, size_t n)
{
    enum { PIECE = 4 * LSPO_ADAM_BLOCK };
    float m[PIECE], v[PIECE], w[PIECE];
    const float *master = update->from->master;
    void *outgoing = update->stage->outgoing[update->slot];
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t some = n - i < PIECE ? n - i : PIECE, bytes = some * sizeof(float);
        const lspo_adam_state_t to = moments_at(update, at + i, some);
        const lspo_adam_state_t from =
            lspo_moments_at(update->session, update->op, &update->from->moments, at + i, some);
        const lspo_adam_state_t piece = {.count = some, .m = m, .v = v, .format = LSPO_ADAM_FP32};
        memcpy(m, from.m, bytes);
        memcpy(v, from.v, bytes);
        memcpy(w, master + at + i, bytes);
        lspo_adam_parameters(&update->adam, &piece, gradient + i, w);
        lspo_vector_store(some, m, to.m);
        lspo_vector_store(some, v, to.v);
        lspo_vector_store(some, w, (float *)update->host->master + at + i);
        if (outgoing)
            lspo_convert(some, LSPO_NUMBER_FP32, w, update->session->link,
                         lspo_session_link_at(update->session, outgoing, at + i));
    }
}

static void update_block(void *context, uint32_t worker, size_t block)
{
    const update_t *update = context;
    size_t at = update->first + block * LSPO_UPDATE_BLOCK;
    size_t n = update->end - at < LSPO_UPDATE_BLOCK ? update->end - at : LSPO_UPDATE_BLOCK;
    const float *gradient =
        update->direction ? NULL
                          : lspo_session_landed(update->session, worker, update->stage->landing[update->slot], at, n);
    if (update->from)
        update_elsewhere(update, gradient, at, n);
    else if (update->host->master)
        update_parameters(update, gradient, at, n);
    else if (!update->skips)
        update_direction(update, worker, gradient, at, n);
}

lspo_adam_t lspo_host_adam_of(const lspo_session_t *session, const lspo_op_t *op)
{
    lspo_adam_t adam = lspo_session_adam(session, lspo_session_rate(session, op), lspo_session_step(session, op) + 1);
    adam.gradient_scale = lspo_session_op_scale(session, op, session->host_norms);
    return adam;
}

static update_t update_of(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    return (update_t){.session = session,
                      .op = op,
                      .stage = &session->stages[op->layer],
                      .host = host,
                      .adam = lspo_host_adam_of(session, op),
                      .slot = lspo_session_slot(session, op),
                      .skips = lspo_session_skips_step(session, op, session->host_norms)};
}

static void run_blocks(update_t *update, size_t at, size_t count)
{
    update->first = at;
    update->end = at + count;
    lspo_workers_run(update->session->workers, (count + LSPO_UPDATE_BLOCK - 1) / LSPO_UPDATE_BLOCK, update_block,
                     update);
}

void lspo_host_adam_update_part(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host, size_t at,
                                size_t count)
{
    update_t update = update_of(session, op, host);
    run_blocks(&update, at, count);
}

void lspo_host_adam_step_along(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                               const float *direction, size_t count)
{
    update_t update = update_of(session, op, host);
    update.direction = direction;
    run_blocks(&update, 0, count);
}

size_t lspo_host_adam_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    const lspo_session_part_t part = lspo_session_part(session, op);
    lspo_host_adam_update_part(session, op, host, part.first, part.count);
    return part.count;
}

/* Into the second place, with this factor of the gradient. */
static size_t update_second(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host, float scale)
{
    lspo_host_adam_t second = *host;
    second.master = host->second_master;
    second.moments.memory = host->second_moments;
    update_t update = update_of(session, op, &second);
    update.from = host;
    update.adam.gradient_scale = scale;
    update.skips = false;
    run_blocks(&update, 0, host->count);
    return host->count;
}

/* The factor of a gradient that does not clip.  Its loss scale is that of the step's forward pass, which has ended. */
static float unclipped_scale(const lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t parity = lspo_session_parity(session, op);
    return lspo_session_gradient_scale(session, 0, lspo_session_scale_of(session, parity, &session->norms));
}

size_t lspo_host_adam_speculate(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    return update_second(session, op, host, unclipped_scale(session, op));
}

static void swap_places(void **first, void **second)
{
    void *kept = *first;
    *first = *second;
    *second = kept;
}

size_t lspo_host_adam_settle(lspo_session_t *session, const lspo_op_t *op, lspo_host_adam_t *host)
{
    const float scale = lspo_session_op_scale(session, op, session->host_norms), guessed = unclipped_scale(session, op);
    size_t count = 0;
    if (lspo_session_skips_step(session, op, session->host_norms)) {
        lspo_host_adam_update(session, op, host); /* what leaves is the old master */
        return 0;
    }
    if (scale < guessed || scale > guessed)
        count = update_second(session, op, host, scale);
    swap_places(&host->master, &host->second_master);
    swap_places(&host->moments.memory, &host->second_moments);
    session->stages[op->layer].returned = host->master;
    return count;
}

void lspo_host_adam_visit(const lspo_host_adam_t *host, const char *name, lspo_state_walk_t *walk)
{
    char place[48];
    snprintf(place, sizeof place, "%s.", name);
    lspo_walk_host(walk, host->master, host->count, lspo_state_type_of(host->number), "%smaster", place);
    lspo_moments_visit(&host->moments, place, lspo_walk_host, walk);
}
