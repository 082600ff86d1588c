/* weights.c - a stage's weights: initialise, import and export them.  See session.h. */
#include <stdlib.h>

#include "plan/policy.h"
#include "real/session/state.h"

lspo_status_t lspo_session_set_weights(lspo_session_t *session, uint32_t s, const float *weights)
{
    lspo_session_stage_t *stage = &session->stages[s];
    const float *first = weights + (stage->codes ? stage->linear_elements : 0); /* of stage->weights */
    lspo_status_t status = stage->codes ? lspo_session_quantize(session, s, weights) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (stage->swapped)
        lspo_session_pack_numbers(session->number, stage->shape.element_count, weights, stage->home);
    else
        status = lspo_session_write_numbers(session, lspo_session_weights_count(stage), first, stage->weights);
    if (status != LSPO_OK)
        return status;
    if (session->method->weights_stored)
        status = session->method->weights_stored(session, s, weights);
    return status;
}

/* Where the initial weights can be written directly, without a copy.  NULL: nowhere; a copy of a tied embedding has
 * room for a part of its stage only. */
static float *place_in_fp32(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    if (session->number != LSPO_NUMBER_FP32 || stage->codes || stage->copied_elements > 0)
        return NULL;
    if (stage->swapped)
        return stage->home;
    return session->asynchronous ? NULL : stage->weights;
}

/* Loaded weights are not initialised first. */
static lspo_status_t fill_first(const lspo_session_t *session, uint32_t s, float *place)
{
    const lspo_first_weights_t *first = &session->first_weights;
    bool given = first->load != NULL;
    lspo_status_t status = given ? first->load(first->context, s, place, &given) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (!given)
        lspo_transformer_init(&session->plan->model, s, session->plan->workload.seed, place);
    return LSPO_OK;
}

lspo_status_t lspo_session_make_weights(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    float *place = place_in_fp32(session, stage), *made = NULL;
    if (!place) {
        place = made = malloc((stage->shape.element_count + 1) * sizeof *made);
        if (!made)
            return lspo_no_memory("the first weights of stage %u", s);
    }
    lspo_status_t status = fill_first(session, s, place);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_session_set_weights(session, s, place);
cleanup:
    free(made);
    return status;
}

lspo_status_t lspo_session_weights(lspo_session_t *session, uint32_t s, float *out)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    float *first = out + (stage->codes ? stage->linear_elements : 0);
    lspo_status_t status = stage->codes ? lspo_session_expanded_weights(session, s, out) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (!stage->swapped)
        return lspo_session_read_numbers(session, lspo_session_weights_count(stage), stage->weights, first);
    lspo_session_unpack_numbers(session->number, stage->shape.element_count, stage->home, out);
    return LSPO_OK;
}

lspo_status_t lspo_session_merged_weights(lspo_session_t *session, uint32_t s, float *out)
{
    if (session->plan->policy->stands_apart)
        return lspo_error(LSPO_ERR_INPUT, "policy %s: what it trains is no part of the model's weights",
                          session->plan->policy->name);
    lspo_status_t status = lspo_session_weights(session, s, out);
    if (status != LSPO_OK)
        return status;
    if (session->method->merge)
        status = session->method->merge(session, s, out);
    return status;
}
