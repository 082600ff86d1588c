/* weights.c - see weights.h. */
#include "real/generate/weights.h"

#include <stdlib.h>

#include "real/transformer/generation.h"

uint64_t lspo_generation_weights_bytes(const lspo_model_t *model, lspo_number_t number)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(model); s++)
        bytes += lspo_generation_weight_bytes(model, s, number);
    return bytes;
}

lspo_status_t lspo_generation_weights_load(const lspo_model_t *model, lspo_number_t number, lspo_device_t *device,
                                           lspo_stage_load_t load, void *context,
                                           lspo_generation_weights_t *weights_out)
{
    lspo_generation_weights_t weights = {.device = device, .stage_count = lspo_model_stage_count(model)};
    lspo_status_t status = LSPO_OK;
    weights.stages = calloc(weights.stage_count, sizeof *weights.stages);
    if (weights.stages == NULL)
        return lspo_no_memory("the weights of %u stages", weights.stage_count);
    for (uint32_t s = 0; status == LSPO_OK && s < weights.stage_count; s++) {
        status = lspo_device_alloc(device, lspo_generation_weight_bytes(model, s, number), &weights.stages[s]);
        if (status == LSPO_OK)
            status = load(context, s, number, weights.stages[s]);
    }
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
    *weights = (lspo_generation_weights_t){0};
}
