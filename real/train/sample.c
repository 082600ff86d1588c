/* sample.c - see sample.h. */
#include "real/train/sample.h"

#include <assert.h>

#include "real/generate/generator.h"

static lspo_status_t continue_text(lspo_generator_t *generator, uint32_t end, lspo_tokens_t *text)
{
    const lspo_text_options_t options = {
        .most = (uint32_t)(text->capacity - text->count), .ends = &end, .end_count = end != UINT32_MAX};
    lspo_text_result_t result;
    lspo_status_t status = lspo_generator_continue(generator, &options, text->ids, text->count, &result);
    if (status == LSPO_OK)
        text->count += result.count - (result.end == LSPO_END_TOKEN);
    return status;
}

lspo_status_t lspo_sample(const lspo_model_t *model, const float *const *stages, uint32_t end, lspo_tokens_t *text)
{
    assert(text->count >= 1 && text->count <= text->capacity && text->capacity <= model->max_sequence);
    lspo_device_t *device = NULL;
    lspo_generator_t *generator = NULL;
    lspo_status_t status = lspo_device_open("host", &(lspo_device_caps_t){0}, &device);
    if (status != LSPO_OK)
        return status;
    const lspo_generator_options_t options = {.model = model,
                                              .stages = (const void *const *)stages,
                                              .batch = 1,
                                              .positions = (uint32_t)text->capacity,
                                              .device = device};
    status = lspo_generator_create(&options, &generator);
    if (status == LSPO_OK && text->count < text->capacity)
        status = continue_text(generator, end, text);
    lspo_generator_destroy(generator);
    lspo_device_close(device);
    return status;
}
