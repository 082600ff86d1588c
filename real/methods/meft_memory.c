/* meft_memory.c - the memory of the method meft, and its first rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/methods/meft_state.h"

static lspo_session_stage_t rest_of(const lspo_session_stage_t *stage)
{
    lspo_session_stage_t rest = *stage;
    rest.message.element_count = stage->message.rest_elements;
    rest.message.rest_offset_elements = 0;
    return rest;
}

void lspo_meft_describe(lspo_session_t *session)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    meft->shape = lspo_meft_shape(lspo_meft_values_of(&session->plan->workload));
    meft->width = session->plan->model.width;
    meft->most = lspo_meft_rows_most(&meft->shape, session->tokens);
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        const lspo_session_stage_t rest = rest_of(stage);
        lspo_gpu_adam_describe(session, &rest, true, &lspo_meft_stage_of(session, s)->gpu);
        stage->gradient_count = stage->message.rest_elements;
        stage->sent_bytes = stage->returned_bytes =
            lspo_meft_is_block(session, s) ? meft->most * lspo_meft_link_row_bytes(session) : 0;
        stage->packed_bytes = 0;
    }
    session->method_scratch_count = lspo_meft_choose_scratch(&meft->shape, meft->width);
    session->workers_multiply = true;
}

/* ---- memory ---- */

/* One of the arrays of a list. */
typedef struct {
    lspo_host_purpose_t purpose;
    size_t bytes;
    void **slot;
} item_t;

static lspo_status_t take_items(lspo_session_t *session, lspo_host_count_t *count, const item_t *items, size_t n)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < n; i++)
        if (items[i].bytes > 0)
            status = lspo_session_take_host(session, count, items[i].purpose, items[i].bytes, items[i].slot);
    return status;
}

static lspo_status_t take_shared(lspo_session_t *session, lspo_host_count_t *count)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    const size_t leaving_bytes =
        meft->most * lspo_meft_link_row_bytes(session) + lspo_meft_lists_bytes(session, meft->most);
    const size_t fp32_bytes = session->tokens * meft->width * sizeof(float);
    const item_t items[] = {
        {LSPO_HOST_LANDING, lspo_meft_token_bytes(session), &meft->tokens},
        {LSPO_HOST_LANDING, lspo_meft_routes_bytes(session), (void **)&meft->experts},
        {LSPO_HOST_LANDING, lspo_meft_has_sums(session) ? meft->shape.width * sizeof(double) : 0,
         (void **)&meft->row_squares},
        {LSPO_HOST_OUTGOING, lspo_session_packs(session) ? fp32_bytes : 0, (void **)&meft->tokens_fp32},
        {LSPO_HOST_OUTGOING, lspo_meft_choice_bytes(&meft->shape, session->tokens), (void **)&meft->scratch},
        {LSPO_HOST_OUTGOING, leaving_bytes, &meft->leaving},
    };
    return take_items(session, count, items, sizeof items / sizeof items[0]);
}

lspo_status_t lspo_meft_take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    const size_t bytes = lspo_meft_all_numbers(session) * sizeof(float), rows = meft->shape.width;
    const bool sums = lspo_meft_has_sums(session);
    const item_t items[] = {
        {LSPO_HOST_MASTERS, bytes, (void **)&own->rows},
        {LSPO_HOST_OPTIMIZERS, 2 * bytes, (void **)&own->moments},
        {LSPO_HOST_OPTIMIZERS, rows * sizeof(uint32_t), (void **)&own->steps},
        {LSPO_HOST_LANDING, meft->most * sizeof(uint32_t), (void **)&own->chosen},
        {LSPO_HOST_LANDING, sums ? bytes : 0, (void **)&own->sums},
        {LSPO_HOST_LANDING, sums ? rows : 0, (void **)&own->added},
    };
    if (!lspo_meft_is_block(session, s))
        return LSPO_OK;
    lspo_status_t status = s == 1 ? take_shared(session, count) : LSPO_OK;
    return status == LSPO_OK ? take_items(session, count, items, sizeof items / sizeof items[0]) : status;
}

lspo_status_t lspo_meft_take_device(lspo_session_t *session, uint32_t s)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    lspo_status_t status = lspo_gpu_adam_take(session, &session->stages[s], &lspo_meft_stage_of(session, s)->gpu);
    if (status == LSPO_OK && lspo_meft_is_block(session, s))
        status = lspo_session_take(session, meft->width * meft->shape.experts * session->number_bytes,
                                   &lspo_meft_stage_of(session, s)->router);
    return status;
}

lspo_status_t lspo_meft_create(lspo_session_t *session)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    const size_t squares_bytes = 2 * session->stage_count * sizeof(double);
    const struct {
        size_t bytes;
        void **slot;
    } items[] = {{session->tokens * meft->shape.experts * session->number_bytes, &meft->gates},
                 {lspo_meft_routes_bytes(session), (void **)&meft->gpu_experts},
                 {lspo_meft_packs(session) ? lspo_meft_token_bytes(session) : 0, &meft->packed_tokens},
                 {2 * session->tokens * meft->shape.chosen * sizeof(float), (void **)&meft->activations}};
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        lspo_status_t status = items[i].bytes > 0 ? lspo_session_take(session, items[i].bytes, items[i].slot) : LSPO_OK;
        if (status != LSPO_OK)
            return status;
    }
    meft->squares = calloc(2 * (size_t)session->stage_count, sizeof *meft->squares);
    if (!meft->squares)
        return lspo_no_memory("%u stages", session->stage_count);
    return lspo_device_alloc_uncounted(session->device, squares_bytes, (void **)&meft->gpu_squares);
}

void lspo_meft_give_back_rows(lspo_session_t *session, uint32_t s)
{
    lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    session->stages[s].keys = NULL;
    lspo_session_give_back(session, &own->arrived);
    lspo_session_give_back(session, &own->unpacked);
    lspo_session_give_back(session, (void **)&own->lists);
}

void lspo_meft_drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_meft_give_back_rows(session, s);
        lspo_session_give_back(session, &lspo_meft_stage_of(session, s)->gradient);
        lspo_session_give_back(session, &lspo_meft_stage_of(session, s)->packed);
    }
}

static void release_stage(lspo_session_t *session, lspo_meft_stage_t *own)
{
    void *const host[] = {own->rows, own->moments, own->steps, own->sums, own->added, own->chosen};
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++)
        lspo_device_host_free(session->device, host[i]);
    lspo_session_give_back(session, &own->router);
    lspo_gpu_adam_give_back(session, &own->gpu);
}

void lspo_meft_release(lspo_session_t *session)
{
    lspo_meft_t *meft = lspo_meft_of(session);
    void *const host[] = {meft->tokens,  meft->tokens_fp32, meft->experts,
                          meft->scratch, meft->leaving,     meft->row_squares};
    void **const device[] = {&meft->gates, &meft->packed_tokens, (void **)&meft->gpu_experts,
                             (void **)&meft->activations, (void **)&meft->gpu_squares};
    for (uint32_t s = 0; s < session->stage_count; s++)
        release_stage(session, lspo_meft_stage_of(session, s));
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++)
        lspo_device_host_free(session->device, host[i]);
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++)
        lspo_session_give_back(session, device[i]);
    free(meft->squares);
    meft->squares = NULL;
}

/* Keys ~ N(0, 1 / d), so that their products with a normed token are of order one; values 0, so that training starts at
 * the frozen model; W_g as the keys. */
static lspo_status_t seed_rows(lspo_session_t *session, uint32_t s)
{
    const lspo_meft_t *meft = lspo_meft_of(session);
    const lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
    const uint64_t seed = session->plan->workload.seed, stream = ((uint64_t)s << 8) | 0x80U;
    const size_t d = meft->width, count = d * meft->shape.experts;
    float *router = malloc((count + 1) * sizeof *router);
    if (!router)
        return lspo_no_memory("the router of stage %u", s);
    memset(own->rows, 0, lspo_meft_all_numbers(session) * sizeof *own->rows);
    memset(own->moments, 0, 2 * lspo_meft_all_numbers(session) * sizeof *own->moments);
    memset(own->steps, 0, meft->shape.width * sizeof *own->steps);
    for (size_t row = 0; row < meft->shape.width; row++)
        lspo_random_normal_fill_from(seed, stream, 1.0 / sqrt((double)d), row * d, d, own->rows + row * 2 * d);
    lspo_random_normal_fill(seed, stream + 1, 1.0 / sqrt((double)d), count, router);
    lspo_status_t status = lspo_session_write_numbers(session, count, router, own->router);
    free(router);
    return status;
}

lspo_status_t lspo_meft_reset(lspo_session_t *session)
{
    lspo_status_t status = LSPO_OK;
    lspo_meft_of(session)->ledger = (lspo_meft_ledger_t){0};
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
        lspo_gpu_adam_clear(session, &own->gpu);
        if (own->sums)
            memset(own->sums, 0, lspo_meft_all_numbers(session) * sizeof *own->sums);
        if (own->added)
            memset(own->added, 0, lspo_meft_of(session)->shape.width);
        if (lspo_meft_is_block(session, s))
            status = seed_rows(session, s);
    }
    return status;
}
