/* quantizer.c - see quantizer.h. */
#include "real/generate/quantizer.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "real/transformer/generation.h"

enum { STORED, WIDE, FORMS };

struct lspo_quantizer {
    lspo_quantizer_options_t options;
    lspo_stage_t block;
    float *wide; /* a block's weights in fp32 */
    /* Only for GPTQ. */
    lspo_compute_t *compute;
    lspo_transformer_t *transformers[FORMS]; /* with the stored weights, and with those in fp32 */
    void *workspaces[FORMS], *cache;
    float *x, *y;                     /* activations of all sequences; of one */
    float *hessians[LSPO_LINEAR_MAX]; /* NULL: that of the tensor before, which has the same input */
    const float *seen;                /* the input of the tensor before */
    lspo_status_t status;             /* of the observer */
};

static bool calibrates(const lspo_quantizer_options_t *options)
{
    return options->tokens != NULL;
}

static lspo_generation_shape_t shape_of(const lspo_quantizer_options_t *options, int form)
{
    return (lspo_generation_shape_t){.batch = 1,
                                     .tokens = options->length,
                                     .positions = options->length,
                                     .weights = form == WIDE ? LSPO_NUMBER_FP32 : options->from.number,
                                     .int4 = form == WIDE ? (lspo_int4_form_t){0} : options->from.int4};
}

static size_t activation_bytes(const lspo_quantizer_options_t *options)
{
    return (size_t)options->length * options->from.model->width * sizeof(float);
}

static size_t hessian_bytes(const lspo_stage_t *block, uint32_t tensor)
{
    return (size_t)block->tensors[tensor].rows * block->tensors[tensor].rows * sizeof(float);
}

static size_t workspace_bytes(const lspo_quantizer_options_t *options, int form)
{
    const lspo_generation_shape_t shape = shape_of(options, form);
    return lspo_generation_workspace_bytes(options->from.model, &shape, lspo_workers_count(options->workers));
}

static size_t cache_bytes(const lspo_quantizer_options_t *options)
{
    const lspo_generation_shape_t shape = shape_of(options, WIDE);
    return lspo_generation_cache_bytes(options->from.model, &shape);
}

uint64_t lspo_quantizer_bytes(const lspo_quantizer_options_t *options)
{
    lspo_stage_t block;
    lspo_model_stage(options->from.model, 1, &block);
    uint64_t bytes = block.element_count * sizeof(float);
    if (!calibrates(options))
        return bytes;
    for (uint32_t i = 0; i < block.linear_count; i++)
        bytes += hessian_bytes(&block, i);
    return bytes + workspace_bytes(options, STORED) + workspace_bytes(options, WIDE) + cache_bytes(options) +
           (options->sequences + 1) * activation_bytes(options);
}

/* ---- the object ---- */

static lspo_status_t take(lspo_quantizer_t *q, size_t bytes, void *memory_out)
{
    return lspo_device_alloc(q->options.device, bytes, memory_out);
}

static lspo_status_t open_calibration(lspo_quantizer_t *q)
{
    const lspo_quantizer_options_t *options = &q->options;
    lspo_status_t status = lspo_compute_create_generation(options->workers, &q->compute);
    for (int form = 0; status == LSPO_OK && form < FORMS; form++) {
        const lspo_generation_shape_t shape = shape_of(options, form);
        status = take(q, workspace_bytes(options, form), &q->workspaces[form]);
        if (status == LSPO_OK)
            status = lspo_generation_create(options->from.model, &shape, q->compute, q->workspaces[form],
                                            &q->transformers[form]);
    }
    if (status == LSPO_OK)
        status = take(q, cache_bytes(options), &q->cache);
    if (status == LSPO_OK)
        status = take(q, options->sequences * activation_bytes(options), &q->x);
    return status == LSPO_OK ? take(q, activation_bytes(options), &q->y) : status;
}

lspo_status_t lspo_quantizer_create(const lspo_quantizer_options_t *options, lspo_quantizer_t **quantizer_out)
{
    lspo_quantizer_t *q = calloc(1, sizeof *q);
    if (q == NULL)
        return lspo_no_memory("a quantizer");
    q->options = *options;
    lspo_model_stage(options->from.model, 1, &q->block);
    lspo_status_t status = take(q, q->block.element_count * sizeof(float), &q->wide);
    if (status == LSPO_OK && calibrates(options))
        status = open_calibration(q);
    if (status != LSPO_OK) {
        lspo_quantizer_destroy(q);
        return status;
    }
    *quantizer_out = q;
    return LSPO_OK;
}

static void give_back(lspo_quantizer_t *q, void *memory)
{
    if (memory != NULL)
        lspo_device_free(q->options.device, memory);
}

void lspo_quantizer_destroy(lspo_quantizer_t *quantizer)
{
    if (quantizer == NULL)
        return;
    for (int form = 0; form < FORMS; form++) {
        lspo_transformer_destroy(quantizer->transformers[form]);
        give_back(quantizer, quantizer->workspaces[form]);
    }
    for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
        give_back(quantizer, quantizer->hessians[i]);
    give_back(quantizer, quantizer->wide);
    give_back(quantizer, quantizer->cache);
    give_back(quantizer, quantizer->x);
    give_back(quantizer, quantizer->y);
    lspo_compute_destroy(quantizer->compute);
    free(quantizer);
}

/* ---- calibration ---- */

/* Adds the inputs of a tensor to its hessian, which is made when the first block is seen. */
static void observe(void *context, uint32_t tensor, size_t tokens, const float *x)
{
    lspo_quantizer_t *q = context;
    const bool is_new = tensor == 0 || x != q->seen;
    q->seen = x;
    if (q->status != LSPO_OK || !is_new)
        return;
    if (q->hessians[tensor] == NULL) {
        q->status = take(q, hessian_bytes(&q->block, tensor), &q->hessians[tensor]);
        if (q->status != LSPO_OK)
            return;
        memset(q->hessians[tensor], 0, hessian_bytes(&q->block, tensor));
    }
    lspo_gptq_add_inputs(q->options.workers, q->block.tensors[tensor].rows, tokens, x, q->hessians[tensor]);
}

/* All sequences through a block; only with `keeps` they become what comes out. */
static void pass(lspo_quantizer_t *q, int form, const void *weights, bool keeps)
{
    lspo_transformer_t *t = q->transformers[form];
    const size_t count = q->options.length;
    for (uint32_t s = 0; s < q->options.sequences; s++) {
        float *x = q->x + s * (activation_bytes(&q->options) / sizeof *x);
        lspo_generation_begin(t, 0, count);
        lspo_generation_block_forward(t, weights, q->cache, x, q->y);
        if (keeps)
            memcpy(x, q->y, activation_bytes(&q->options));
    }
}

static lspo_status_t measure(lspo_quantizer_t *q)
{
    for (uint32_t i = 0; i < q->block.linear_count; i++)
        if (q->hessians[i] != NULL)
            memset(q->hessians[i], 0, hessian_bytes(&q->block, i));
    lspo_generation_observe(q->transformers[WIDE], observe, q);
    pass(q, WIDE, q->wide, false);
    for (uint32_t i = 0; q->status == LSPO_OK && i < q->block.linear_count; i++)
        if (q->hessians[i] != NULL)
            q->status = lspo_gptq_factor(q->block.tensors[i].rows, q->hessians[i]);
    return q->status;
}

static void embed(lspo_quantizer_t *q, const void *weights)
{
    lspo_transformer_t *t = q->transformers[STORED];
    const size_t count = q->options.length;
    for (uint32_t s = 0; s < q->options.sequences; s++) {
        lspo_generation_begin(t, 0, count);
        lspo_transformer_embed_forward(t, q->options.tokens + s * count, weights,
                                       q->x + s * (activation_bytes(&q->options) / sizeof(float)));
    }
}

/* ---- stages ---- */

static lspo_status_t quantize(lspo_quantizer_t *q, uint32_t stage, uint32_t tensor, const float *upper, void *packed)
{
    const lspo_tensor_t *at = &q->block.tensors[tensor];
    const lspo_int4_shape_t shape = lspo_int4_shape(&q->options.from.int4, at->rows, at->cols);
    float *w = q->wide + at->offset_elements;
    if (calibrates(&q->options) ? lspo_gptq_quantize(q->options.workers, &shape, w, upper, packed)
                                : lspo_int4_round(q->options.workers, &shape, w, packed))
        return LSPO_OK;
    char name[16];
    return lspo_error(LSPO_ERR_INPUT,
                      "weight %s of stage %s has numbers that are not finite or above 491,280; int4 cannot hold them",
                      at->name, lspo_model_stage_name(q->options.from.model, stage, name));
}

static lspo_status_t load_block(lspo_quantizer_t *q, uint32_t stage, lspo_number_t number, char *weights)
{
    const lspo_int4_form_t *int4 = &q->options.from.int4;
    const uint32_t count = q->block.linear_count;
    const uint64_t linear = q->block.tensors[count].offset_elements;
    const float *upper = NULL;
    lspo_status_t status = q->options.from.load(q->options.from.context, stage, LSPO_NUMBER_FP32, q->wide);
    if (status == LSPO_OK && calibrates(&q->options))
        status = measure(q);
    for (uint32_t i = 0; status == LSPO_OK && i < count; i++) {
        upper = q->hessians[i] != NULL ? q->hessians[i] : upper;
        status = quantize(q, stage, i, upper, weights + lspo_generation_weight_offset(&q->block, number, int4, i));
    }
    if (status != LSPO_OK)
        return status;
    lspo_convert(q->block.element_count - linear, LSPO_NUMBER_FP32, q->wide + linear, number,
                 weights + lspo_generation_weight_offset(&q->block, number, int4, count));
    if (calibrates(&q->options))
        pass(q, STORED, weights, true);
    return LSPO_OK;
}

lspo_status_t lspo_quantizer_load(void *quantizer, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_quantizer_t *q = quantizer;
    lspo_stage_t shape;
    lspo_model_stage(q->options.from.model, stage, &shape);
    if (shape.kind == LSPO_STAGE_BLOCK)
        return load_block(q, stage, number, weights);
    lspo_status_t status = q->options.from.load(q->options.from.context, stage, number, weights);
    if (status == LSPO_OK && stage == 0 && calibrates(&q->options))
        embed(q, weights);
    return status;
}
