/* quantized.c - the frozen linear weights of blocks as 4-bit codes (kernels/nf4.h).  They are quantized on the host
 * when a stage's weights are set, by all CPUs of the process; the device has only the codes, and room to expand one
 * weight, which all stages share. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "real/session/state.h"

/* From so many numbers on, threads pay. */
enum { SHARED_FROM = 1 << 20 };

/* The sizes of a stage's linear weights. */
typedef struct {
    size_t parts, counts[LSPO_LINEAR_MAX];
    size_t bytes, largest; /* of all codes; numbers of the largest weight */
} sizes_t;

static sizes_t sizes_of(const lspo_session_stage_t *stage)
{
    sizes_t sizes = {.parts = stage->shape.linear_count};
    for (size_t i = 0; i < sizes.parts; i++) {
        sizes.counts[i] = (size_t)stage->shape.tensors[i].rows * stage->shape.tensors[i].cols;
        sizes.largest = sizes.counts[i] > sizes.largest ? sizes.counts[i] : sizes.largest;
    }
    sizes.bytes = lspo_nf4_bytes(sizes.parts, sizes.counts);
    return sizes;
}

size_t lspo_session_codes_bytes(const lspo_session_stage_t *stage)
{
    return sizes_of(stage).bytes;
}

lspo_status_t lspo_session_take_codes(lspo_session_t *session, lspo_session_stage_t *stage)
{
    const sizes_t sizes = sizes_of(stage);
    lspo_status_t status = LSPO_OK;
    if (!lspo_plan_quantizes(session->plan) || sizes.parts == 0)
        return LSPO_OK;
    if (!session->expanded) /* all blocks are alike */
        status = lspo_session_take(session, sizes.largest * session->number_bytes, &session->expanded);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take(session, sizes.bytes, &stage->codes);
    if (status != LSPO_OK)
        return status;
    stage->quantized.expanded = session->expanded;
    lspo_nf4_place(sizes.parts, sizes.counts, stage->codes, stage->quantized.linear);
    return LSPO_OK;
}

/* ---- quantize ---- */

static lspo_status_t refuse(const lspo_session_t *session, uint32_t s, uint32_t tensor, const float *w)
{
    char name[16];
    size_t at = 0;
    while (isfinite(w[at]))
        at++;
    return lspo_error(LSPO_ERR_INPUT,
                      "weight %s of stage %s: number %zu is %g; --base-weights nf4 can only hold finite numbers",
                      session->stages[s].shape.tensors[tensor].name,
                      lspo_model_stage_name(&session->plan->model, s, name), at, (double)w[at]);
}

static lspo_status_t quantize(lspo_session_t *session, uint32_t s, lspo_workers_t *workers, const float *weights,
                              const lspo_nf4_t *parts)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    float *scratch = malloc((lspo_nf4_blocks(sizes_of(stage).largest) + 1) * sizeof *scratch);
    lspo_status_t status = scratch ? LSPO_OK : lspo_no_memory("the magnitudes of stage %" PRIu32, s);
    for (uint32_t i = 0; status == LSPO_OK && i < stage->shape.linear_count; i++) {
        const float *w = weights + stage->shape.tensors[i].offset_elements;
        if (!lspo_nf4_quantize(workers, w, scratch, &parts[i]))
            status = refuse(session, s, i, w);
    }
    free(scratch);
    return status;
}

/* Into host memory, then to the device; `copy` is NULL if the device's memory is the host's. */
static lspo_status_t store(lspo_session_t *session, uint32_t s, const float *weights, void *copy)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const sizes_t sizes = sizes_of(stage);
    lspo_nf4_t parts[LSPO_LINEAR_MAX];
    lspo_workers_t *workers = sizes.largest >= SHARED_FROM ? lspo_workers_of_process() : NULL;
    lspo_nf4_place(sizes.parts, sizes.counts, copy ? copy : stage->codes, parts);
    lspo_status_t status = quantize(session, s, workers, weights, parts);
    lspo_workers_destroy(workers);
    if (status == LSPO_OK && copy)
        status = lspo_device_write(session->device, stage->codes, copy, sizes.bytes);
    return status;
}

lspo_status_t lspo_session_quantize(lspo_session_t *session, uint32_t s, const float *weights)
{
    if (!session->asynchronous)
        return store(session, s, weights, NULL);
    void *copy = malloc(lspo_session_codes_bytes(&session->stages[s]));
    if (!copy)
        return lspo_no_memory("the codes of stage %" PRIu32, s);
    lspo_status_t status = store(session, s, weights, copy);
    free(copy);
    return status;
}

/* ---- read ---- */

lspo_status_t lspo_session_expanded_weights(lspo_session_t *session, uint32_t s, float *out)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    for (uint32_t i = 0; i < stage->shape.linear_count; i++) {
        const lspo_nf4_t *codes = &stage->quantized.linear[i];
        lspo_compute_nf4_expand(session->compute, codes, session->expanded);
        lspo_status_t status = lspo_compute_status(session->compute);
        if (status != LSPO_OK)
            return status;
        status = lspo_session_read_numbers(session, codes->count, session->expanded,
                                           out + stage->shape.tensors[i].offset_elements);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
