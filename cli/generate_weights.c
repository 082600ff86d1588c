/* generate_weights.c - see generate_weights.h. */
#include "cli/generate_weights.h"

#include "cli/generate_windows.h"
#include "real/generate/generator.h"

/* Sequences of a calibration at least, and their tokens. */
enum { SEQUENCES = 64, LENGTH = 256 };

/* Of the linear weight of a block that has most: X^T X of GPTQ has full rank only from as many tokens. */
static uint32_t most_inputs(const lspo_model_t *model)
{
    lspo_stage_t block;
    uint64_t most = 0;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = 0; i < block.linear_count; i++)
        most = block.tensors[i].rows > most ? block.tensors[i].rows : most;
    return (uint32_t)most;
}

static lspo_status_t load_stage(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    const lspo_generate_weights_t *from = context;
    return from->checkpoint != NULL ? lspo_checkpoint_weights_read(from->checkpoint, stage, number, weights)
                                    : lspo_hf_model_read_as(from->hf, stage, number, weights);
}

bool lspo_generate_weights_are_packed(const lspo_generate_weights_t *weights)
{
    return weights->checkpoint == NULL && weights->hf != NULL && lspo_hf_model_int4(weights->hf)->on;
}

static lspo_status_t load_packed(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    return lspo_hf_model_read_int4(((const lspo_generate_weights_t *)context)->hf, stage, number, weights);
}

static lspo_weights_source_t source_of(const lspo_generate_weights_t *weights)
{
    return (lspo_weights_source_t){.model = weights->model,
                                   .number = weights->number,
                                   .int4 = weights->int4,
                                   .load = lspo_generate_weights_are_packed(weights) ? load_packed : load_stage,
                                   .context = (void *)weights};
}

static lspo_quantizer_options_t quantizer_of(const lspo_generate_weights_t *weights, lspo_device_t *device)
{
    static const uint32_t some; /* tokens, of which only the number counts at first */
    const uint32_t most = lspo_generation_positions(weights->model), length = most < LENGTH ? most : LENGTH;
    const uint32_t needed = weights->pruned ? SEQUENCES : (most_inputs(weights->model) + length - 1) / length;
    return (lspo_quantizer_options_t){.from = source_of(weights),
                                      .sparsity = weights->sparsity,
                                      .workers = weights->workers,
                                      .device = device,
                                      .tokens = weights->calibration != NULL ? &some : NULL,
                                      .sequences = needed > SEQUENCES ? needed : SEQUENCES,
                                      .length = length};
}

uint64_t lspo_generate_weights_bytes(const lspo_generate_weights_t *weights)
{
    const lspo_weights_source_t source = source_of(weights);
    return lspo_generation_weights_bytes(&source);
}

static bool are_changed(const lspo_generate_weights_t *weights)
{
    return weights->pruned || (weights->int4.on && !lspo_generate_weights_are_packed(weights));
}

uint64_t lspo_generate_weights_scratch(const lspo_generate_weights_t *weights)
{
    const lspo_quantizer_options_t options = quantizer_of(weights, NULL);
    return are_changed(weights) ? lspo_quantizer_bytes(&options) : 0;
}

static lspo_status_t load_changed(const lspo_quantizer_options_t *options, lspo_generation_weights_t *loaded_out)
{
    lspo_quantizer_t *quantizer = NULL;
    lspo_status_t status = lspo_quantizer_create(options, &quantizer);
    if (status != LSPO_OK)
        return status;
    lspo_weights_source_t source = options->from;
    source.load = lspo_quantizer_load;
    source.context = quantizer;
    status = lspo_generation_weights_load(&source, options->device, loaded_out);
    lspo_quantizer_destroy(quantizer);
    return status;
}

static lspo_status_t load_calibrated(const lspo_generate_weights_t *weights, lspo_quantizer_options_t *options,
                                     lspo_generation_weights_t *loaded_out)
{
    const uint32_t least = weights->pruned ? options->length + 1 : most_inputs(weights->model);
    const char *why = weights->pruned ? "a window and the token after it" : "as many as a weight has inputs";
    lspo_windows_t windows;
    lspo_status_t status =
        lspo_windows_open(weights->calibration, weights->tokenizer, weights->model->vocabulary, &windows);
    if (status != LSPO_OK)
        return status;
    status = lspo_windows_draw(&windows, weights->seed, options->sequences, least, why, &options->length);
    options->tokens = windows.tokens;
    if (status == LSPO_OK)
        status = load_changed(options, loaded_out);
    lspo_windows_close(&windows);
    return status;
}

lspo_status_t lspo_generate_weights_load(const lspo_generate_weights_t *weights, lspo_device_t *device,
                                         lspo_generation_weights_t *loaded_out)
{
    const lspo_weights_source_t source = source_of(weights);
    lspo_quantizer_options_t options = quantizer_of(weights, device);
    if (!are_changed(weights))
        return lspo_generation_weights_load(&source, device, loaded_out);
    return weights->calibration != NULL ? load_calibrated(weights, &options, loaded_out)
                                        : load_changed(&options, loaded_out);
}
