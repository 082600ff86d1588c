/* weights.c - see weights.h. */
#include "real/generate/weights.h"

#include <stdlib.h>

#include "real/transformer/generation.h"

static size_t stage_bytes(const lspo_weights_source_t *source, uint32_t stage)
{
    lspo_stage_t shape, dense;
    lspo_model_stage(source->model, stage, &shape);
    if (!source->ternary || shape.kind != LSPO_STAGE_BLOCK)
        return lspo_generation_weight_bytes(source->model, stage, source->number, &source->int4);
    lspo_stage_without_experts(&shape, &dense);
    return dense.element_count * lspo_number_bytes(source->number);
}

uint64_t lspo_generation_weights_bytes(const lspo_weights_source_t *source)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(source->model); s++)
        bytes += stage_bytes(source, s);
    return bytes;
}

static lspo_status_t load_stage(const lspo_weights_source_t *source, uint32_t stage, lspo_device_t *device,
                                void **weights_out)
{
    lspo_status_t status = lspo_device_alloc(device, stage_bytes(source, stage), weights_out);
    return status == LSPO_OK ? source->load(source->context, stage, source->number, *weights_out) : status;
}

lspo_status_t lspo_generation_weights_load(const lspo_weights_source_t *source, lspo_device_t *device,
                                           lspo_generation_weights_t *weights_out)
{
    lspo_generation_weights_t weights = {.device = device, .stage_count = lspo_model_stage_count(source->model)};
    lspo_status_t status = LSPO_OK;
    weights.stages = calloc(weights.stage_count, sizeof *weights.stages);
    if (weights.stages == NULL)
        return lspo_no_memory("the weights of %u stages", weights.stage_count);
    for (uint32_t s = 0; status == LSPO_OK && s < weights.stage_count; s++)
        status = load_stage(source, s, device, &weights.stages[s]);
    if (status == LSPO_OK)
        *weights_out = weights;
    else
        lspo_generation_weights_release(&weights);
    return status;
}

void lspo_generation_weights_release(lspo_generation_weights_t *weights)
{
    for (uint32_t s = 0; weights->stages != NULL && s < weights->stage_count; s++)
        if (weights->stages[s] != NULL)
            lspo_device_free(weights->device, weights->stages[s]);
    free(weights->stages);
    lspo_ternary_experts_destroy(weights->experts);
    *weights = (lspo_generation_weights_t){0};
}
