/* host_memory.c - what a session keeps in host memory for its stages, and all of its host memory asked for at once, so
 * that a GPU's is one pinned block and too little is told before anything starts. */
#include "real/session/state.h"

/* Purposes in the order of the message that says what did not fit. */
enum { MASTERS, OPTIMIZERS, LANDING, OUTGOING, PARAMETERS, PROJECTORS, WINDOWS, OTHERS, PURPOSES };

static const char *const purpose_names[PURPOSES] = {[MASTERS] = "master weights",
                                                    [OPTIMIZERS] = "optimizer state",
                                                    [LANDING] = "gradients that arrive",
                                                    [OUTGOING] = "updates that leave",
                                                    [PARAMETERS] = "parameters of swapped blocks",
                                                    [PROJECTORS] = "projectors",
                                                    [WINDOWS] = "columns and windows",
                                                    [OTHERS] = "batches and scratch"};

/* What lspo_device_host_alloc() takes for it. */
static uint64_t rounded(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Takes it, or with `counted` only counts it. */
static lspo_status_t take(lspo_session_t *session, uint64_t *counted, int purpose, size_t bytes, void **slot)
{
    if (!counted)
        return lspo_device_host_alloc(session->device, bytes, slot);
    counted[purpose] += rounded(bytes);
    return LSPO_OK;
}

static lspo_status_t make_update_buffers(lspo_session_t *session, lspo_session_stage_t *stage, uint64_t *counted)
{
    bool parameters = session->plan->return_form == LSPO_RETURN_PARAMETERS;
    /* The master is what goes out, unless the link carries another format or the next update may overtake the copy. */
    bool sends_master = parameters && !lspo_session_packs(session) && session->slots == 1;
    lspo_status_t status = LSPO_OK;
    for (uint32_t slot = 0; status == LSPO_OK && slot < session->slots; slot++) {
        status = take(session, counted, LANDING, stage->link_bytes, &stage->landing[slot]);
        if (status == LSPO_OK && !sends_master)
            status = take(session, counted, OUTGOING, stage->link_bytes, &stage->outgoing[slot]);
    }
    if (status == LSPO_OK && parameters)
        status = take(session, counted, MASTERS, stage->message.element_count * sizeof(float), (void **)&stage->master);
    return status;
}

lspo_status_t lspo_session_make_host_state(lspo_session_t *session, uint32_t s, uint64_t *counted)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    if (stage->updated_on_host || stage->swapped)
        status = take(session, counted, OPTIMIZERS, lspo_session_host_optimizer_count(stage) * sizeof(float),
                      (void **)&stage->host_optimizer);
    if (status == LSPO_OK && stage->swapped)
        status = take(session, counted, PARAMETERS, stage->shape.element_count * session->number_bytes, &stage->home);
    if (status == LSPO_OK && stage->updated_on_host)
        status = make_update_buffers(session, stage, counted);
    return status;
}

/* zenflow: two selections of each weight, the sums of two windows. */
static uint64_t window_bytes(const lspo_session_stage_t *stage)
{
    uint64_t bytes = 2 * rounded(stage->sent_count * sizeof(float));
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        bytes += 2 * rounded(stage->message.linear[i].cols * sizeof(uint32_t));
    return bytes;
}

/* Batches on their way, what the GPU tells, scratch of one worker. */
static uint64_t other_bytes(const lspo_session_t *session)
{
    uint64_t batches = session->asynchronous ? 2 * rounded(2 * session->tokens * sizeof(uint32_t)) : 0;
    uint64_t widest = 0;
    for (uint32_t s = 0; session->plan->gradient_form == LSPO_FORM_COLUMNS && s < session->stage_count; s++)
        for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++)
            if (session->stages[s].message.linear[i].cols > widest)
                widest = session->stages[s].message.linear[i].cols;
    return batches + rounded(session->stage_count * sizeof(double)) + 2 * rounded(sizeof(lspo_session_norms_t)) +
           rounded(LSPO_UPDATE_BLOCK * sizeof(float)) + rounded(3 * widest * sizeof(float));
}

lspo_status_t lspo_session_reserve_host(lspo_session_t *session)
{
    uint64_t counted[PURPOSES] = {
        [PROJECTORS] = session->plan->footprint.host_projectors_bytes, [OTHERS] = other_bytes(session)};
    lspo_device_host_item_t items[PURPOSES];
    size_t count = 0;
    uint64_t sum = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_make_host_state(session, s, counted);
        if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
            counted[WINDOWS] += window_bytes(&session->stages[s]);
    }
    for (int purpose = 0; purpose < PURPOSES; purpose++) {
        counted[purpose] = rounded(counted[purpose]);
        sum += counted[purpose];
        if (counted[purpose] > 0)
            items[count++] = (lspo_device_host_item_t){.purpose = purpose_names[purpose], .bytes = counted[purpose]};
    }
    return lspo_device_host_reserve(session->device, sum, items, count);
}
