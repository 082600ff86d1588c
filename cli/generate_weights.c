/* generate_weights.c - see generate_weights.h. */
#include "cli/generate_weights.h"

#include <inttypes.h>

#include "cli/generate_windows.h"
#include "plan/policies/qmoe.h"
#include "real/generate/generator.h"

/* Sequences of a calibration at least, and their tokens. */
enum { SEQUENCES = 64, LENGTH = 256 };

/* Tokens of a calibration: X^T X of a weight has full rank only from as many as it has inputs, and an expert sees k of
 * E tokens, if all are alike. */
static uint32_t needed_tokens(const lspo_generate_weights_t *weights)
{
    const lspo_model_t *model = weights->model;
    lspo_stage_t block;
    uint64_t most = 0;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = weights->ternary ? block.expert_first : 0; i < block.linear_count; i++) {
        const uint64_t inputs = lspo_stage_pruned(&block, i).rows;
        most = inputs > most ? inputs : most;
    }
    if (weights->ternary)
        most = (most * model->expert_count + model->experts_per_token - 1) / model->experts_per_token;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
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
                                   .ternary = weights->ternary,
                                   .load = lspo_generate_weights_are_packed(weights) ? load_packed : load_stage,
                                   .context = (void *)weights};
}

static lspo_quantizer_options_t quantizer_of(const lspo_generate_weights_t *weights, lspo_device_t *device)
{
    static const uint32_t some; /* tokens, of which only the number counts at first */
    const uint32_t most = lspo_generation_positions(weights->model), length = most < LENGTH ? most : LENGTH;
    const uint32_t needed = weights->pruned ? SEQUENCES : needed_tokens(weights) / length + 1;
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
    const lspo_qmoe_values_t usual = {.expert_zeros = 0.885};
    const lspo_model_t *model = weights->model;
    const uint64_t experts = weights->ternary ? (uint64_t)model->block_count * model->expert_count : 0;
    return lspo_generation_weights_bytes(&source) + (experts > 0 ? experts * lspo_qmoe_expert_bytes(&usual, model) : 0);
}

static bool are_changed(const lspo_generate_weights_t *weights)
{
    return weights->pruned || weights->ternary || (weights->int4.on && !lspo_generate_weights_are_packed(weights));
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
    if (status == LSPO_OK)
        loaded_out->experts = lspo_quantizer_take_experts(quantizer);
    if (status == LSPO_OK && lspo_quantizer_unseen(quantizer) > 0)
        lspo_warn("%" PRIu32 " of %" PRIu32 " experts read no token of the calibration: %s",
                  lspo_quantizer_unseen(quantizer),
                  options->from.model->block_count * options->from.model->expert_count,
                  options->from.ternary ? "they are rounded" : "they are pruned by magnitude");
    lspo_quantizer_destroy(quantizer);
    return status;
}

static lspo_status_t load_calibrated(const lspo_generate_weights_t *weights, lspo_quantizer_options_t *options,
                                     lspo_generation_weights_t *loaded_out)
{
    const uint32_t least = weights->pruned ? options->length + 1 : needed_tokens(weights);
    const char *why = weights->pruned    ? "a window and the token after it"
                      : weights->ternary ? "so that an expert reads as many as a weight of it has inputs"
                                         : "as many as a weight has inputs";
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
