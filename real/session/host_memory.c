/* host_memory.c - the host memory of a session's stages.  All host memory is reserved at once, so that with a GPU it is
 * one pinned block, and a lack of memory is reported before anything starts. */
#include "real/session/state.h"

static const char *const purpose_names[LSPO_HOST_PURPOSES] = {[LSPO_HOST_MASTERS] = "master weights",
                                                              [LSPO_HOST_OPTIMIZERS] = "optimizer state",
                                                              [LSPO_HOST_LANDING] = "gradients that arrive",
                                                              [LSPO_HOST_OUTGOING] = "updates that leave",
                                                              [LSPO_HOST_PARAMETERS] = "parameters between their uses",
                                                              [LSPO_HOST_PROJECTORS] = "projectors",
                                                              [LSPO_HOST_WINDOWS] = "columns and windows",
                                                              [LSPO_HOST_ACTIVATIONS] = "activations of blocks",
                                                              [LSPO_HOST_OTHERS] = "batches and scratch"};

/* The bytes that lspo_device_host_alloc() takes for it. */
static uint64_t rounded(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

lspo_status_t lspo_session_take_host(lspo_session_t *session, lspo_host_count_t *count, lspo_host_purpose_t purpose,
                                     size_t bytes, void **slot)
{
    if (!count)
        return lspo_device_host_alloc(session->device, bytes, slot);
    count->bytes[purpose] += rounded(bytes);
    return LSPO_OK;
}

lspo_status_t lspo_session_take_outgoing(lspo_session_t *session, lspo_session_stage_t *stage, lspo_host_count_t *count)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t slot = 0; slot < session->slots; slot++) {
        status =
            lspo_session_take_host(session, count, LSPO_HOST_OUTGOING, stage->returned_bytes, &stage->outgoing[slot]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Room for the message; where sums of micro-batches wait on the host, also for one in the device's format. */
static size_t landing_bytes(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    bool keeps_sums = stage->swapped || lspo_plan_sums_on_host(session->plan);
    size_t sum_bytes = keeps_sums ? stage->gradient_count * session->number_bytes : 0;
    return sum_bytes > stage->sent_bytes ? sum_bytes : stage->sent_bytes;
}

lspo_status_t lspo_session_make_host_state(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    lspo_session_stage_t *stage = &session->stages[s];
    size_t weight_bytes = stage->shape.element_count * session->number_bytes;
    lspo_status_t status = LSPO_OK;
    if (stage->swapped)
        status = lspo_session_take_host(session, count, LSPO_HOST_PARAMETERS, weight_bytes, &stage->home);
    if (status != LSPO_OK)
        return status;
    if (lspo_plan_swaps_activations(session->plan, s))
        status = lspo_session_take_host(session, count, LSPO_HOST_ACTIVATIONS, lspo_session_kept_bytes(session),
                                        &stage->kept);
    if (status != LSPO_OK)
        return status;
    for (uint32_t slot = 0; stage->updated_on_host && slot < session->slots; slot++) {
        status = lspo_session_take_host(session, count, LSPO_HOST_LANDING, landing_bytes(session, stage),
                                        &stage->landing[slot]);
        if (status != LSPO_OK)
            return status;
    }
    if (session->method->take_host)
        status = session->method->take_host(session, s, count);
    return status;
}

/* Batches in transit, results that the GPU reports, scratch of one worker. */
static uint64_t other_bytes(const lspo_session_t *session)
{
    uint64_t batches = session->asynchronous ? 2 * rounded(2 * session->tokens * sizeof(uint32_t)) : 0;
    return batches + rounded(session->stage_count * sizeof(double)) + rounded(sizeof *session->loss_read) +
           2 * rounded(sizeof(lspo_session_norms_t)) + rounded(LSPO_UPDATE_BLOCK * sizeof(float)) +
           rounded(session->method_scratch_count * sizeof(float));
}

lspo_status_t lspo_session_reserve_host(lspo_session_t *session)
{
    lspo_host_count_t count = {{[LSPO_HOST_PROJECTORS] = session->plan->footprint.host_projectors_bytes,
                                [LSPO_HOST_OTHERS] = other_bytes(session)}};
    lspo_device_host_item_t items[LSPO_HOST_PURPOSES];
    size_t item_count = 0;
    uint64_t sum = 0;
    for (uint32_t s = 0; s < session->stage_count; s++)
        if (session->stages[s].here)
            lspo_session_make_host_state(session, s, &count);
    for (int purpose = 0; purpose < LSPO_HOST_PURPOSES; purpose++) {
        uint64_t bytes = rounded(count.bytes[purpose]);
        sum += bytes;
        if (bytes > 0)
            items[item_count++] = (lspo_device_host_item_t){.purpose = purpose_names[purpose], .bytes = bytes};
    }
    return lspo_device_host_reserve(session->device, sum, items, item_count);
}
