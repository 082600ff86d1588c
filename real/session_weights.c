/* session_weights.c - a stage's weights from outside and to the outside.  See session.h. */
#include <string.h>

#include "kernels/gemm.h"
#include "real/session_state.h"

void lspo_session_set_weights(lspo_session_t *session, uint32_t stage, const float *weights)
{
    lspo_session_stage_t *to = &session->stages[stage];
    memcpy(to->swapped ? to->home : to->weights, weights, to->shape.element_count * sizeof(float));
    if (to->master) /* a message without the rest is the head of the stage's array */
        memcpy(to->master, weights, to->message.element_count * sizeof(float));
}

/* A (m x rank), then B (n x rank), of each linear weight in turn. */
static void add_adapters(const lspo_session_stage_t *stage, float *out)
{
    size_t rank = stage->adapters.rank;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage->shape.tensors[i];
        const float *a = stage->factors + stage->message.linear[i].message_offset_elements;
        const float *b = a + tensor->rows * rank;
        lspo_gemm_nt(tensor->rows, tensor->cols, rank, stage->adapters.scale, a, rank, b, rank, 1,
                     out + tensor->offset_elements, tensor->cols);
    }
}

void lspo_session_merged_weights(const lspo_session_t *session, uint32_t stage, float *out)
{
    const lspo_session_stage_t *from = &session->stages[stage];
    memcpy(out, lspo_session_weights(session, stage), from->shape.element_count * sizeof(float));
    if (from->factors)
        add_adapters(from, out);
}
