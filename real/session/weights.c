/* weights.c - a stage's weights: the first ones, from outside and to the outside.  See session.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/random.h"
#include "real/session/state.h"

/* The fp32 master behind the weights that the GPU updates: of all weights, or under lora of the adapters and then of
 * the rest. */
static lspo_status_t write_gpu_master(lspo_session_t *session, const lspo_session_stage_t *stage, size_t at, size_t n,
                                      const float *values)
{
    if (stage->gpu_master == 0 || n == 0)
        return LSPO_OK;
    if (stage->swapped) {
        memcpy(stage->host_optimizer + stage->host_moments + at, values, n * sizeof *values);
        return LSPO_OK;
    }
    return lspo_device_write(session->device, stage->optimizer + stage->gpu_moments + at, values, n * sizeof *values);
}

lspo_status_t lspo_session_store_weights(lspo_session_t *session, uint32_t s, const float *weights)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    if (stage->swapped)
        lspo_session_pack_numbers(session->number, stage->shape.element_count, weights, stage->home);
    else
        status = lspo_session_write_numbers(session, stage->shape.element_count, weights, stage->weights);
    if (stage->master) /* a message without the rest is the head of the stage's array */
        memcpy(stage->master, weights, stage->message.element_count * sizeof *weights);
    if (status != LSPO_OK || session->turn_state) /* badam: the master is made at the beginning of a turn */
        return status;
    size_t factors = stage->factors ? lspo_session_factor_count(stage) : 0;
    return write_gpu_master(session, stage, factors, stage->message.element_count - factors,
                            weights + (stage->factors ? stage->linear_elements : 0));
}

lspo_status_t lspo_session_set_weights(lspo_session_t *session, uint32_t stage, const float *weights)
{
    return lspo_session_store_weights(session, stage, weights);
}

/* Where the first weights can be made at once: no copy of them is needed.  NULL: nowhere. */
static float *place_in_fp32(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    if (session->number != LSPO_NUMBER_FP32)
        return NULL;
    if (stage->swapped)
        return stage->home;
    return session->asynchronous ? NULL : stage->weights;
}

/* What is loaded is not drawn first. */
static lspo_status_t fill_first(const lspo_session_t *session, uint32_t s, float *place)
{
    const lspo_first_weights_t *first = &session->first_weights;
    bool given = first->load != NULL;
    lspo_status_t status = given ? first->load(first->context, s, place, &given) : LSPO_OK;
    if (status == LSPO_OK && !given)
        lspo_transformer_init(&session->plan->model, s, session->plan->workload.seed, place);
    return status;
}

lspo_status_t lspo_session_make_weights(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    float *place = place_in_fp32(session, stage), *made = NULL;
    if (!place) {
        place = made = malloc((stage->shape.element_count + 1) * sizeof *made);
        if (!made)
            return lspo_error(LSPO_ERR_MEMORY, "no memory for the first weights of stage %u", s);
    }
    lspo_status_t status = fill_first(session, s, place);
    if (status == LSPO_OK)
        status = lspo_session_store_weights(session, s, place);
    free(made);
    return status;
}

/* A ~ N(0, 1 / m), so that X A of a normed X is of order one; B = 0, so that training starts at the frozen model. */
lspo_status_t lspo_session_seed_adapters(lspo_session_t *session, uint32_t s)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    size_t rank = session->plan->workload.rank, count = lspo_session_factor_count(stage);
    float *factors = calloc(count + 1, sizeof *factors);
    if (!factors)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for the first adapters of stage %u", s);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        uint64_t stream = ((uint64_t)s << 8) | 0x80U | i; /* beside those of the weights, real/transformer/transformer.c */
        lspo_random_normal_fill(session->plan->workload.seed, stream, 1.0 / sqrt((double)linear->rows),
                                linear->rows * rank, factors + linear->message_offset_elements);
    }
    lspo_status_t status = lspo_session_write_numbers(session, count, factors, stage->factors);
    if (status == LSPO_OK)
        status = write_gpu_master(session, stage, 0, count, factors);
    free(factors);
    return status;
}

lspo_status_t lspo_session_weights(lspo_session_t *session, uint32_t s, float *out)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    if (!stage->swapped)
        return lspo_session_read_numbers(session, stage->shape.element_count, stage->weights, out);
    lspo_session_unpack_numbers(session->number, stage->shape.element_count, stage->home, out);
    return LSPO_OK;
}

/* A (m x rank), then B (n x rank), of each linear weight in turn. */
static lspo_status_t add_adapters(lspo_session_t *session, const lspo_session_stage_t *stage, float *out)
{
    size_t rank = stage->adapters.rank, count = lspo_session_factor_count(stage);
    float *factors = malloc((count + 1) * sizeof *factors);
    if (!factors)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a copy of the adapters");
    lspo_status_t status = lspo_session_read_numbers(session, count, stage->factors, factors);
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage->shape.tensors[i];
        const float *a = factors + stage->message.linear[i].message_offset_elements;
        const float *b = a + tensor->rows * rank;
        lspo_gemm_nt(tensor->rows, tensor->cols, rank, stage->adapters.scale, a, rank, b, rank, 1,
                     out + tensor->offset_elements, tensor->cols);
    }
    free(factors);
    return status;
}

lspo_status_t lspo_session_merged_weights(lspo_session_t *session, uint32_t s, float *out)
{
    lspo_status_t status = lspo_session_weights(session, s, out);
    if (status == LSPO_OK && session->stages[s].factors)
        status = add_adapters(session, &session->stages[s], out);
    return status;
}
