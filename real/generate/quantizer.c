/* quantizer.c - see quantizer.h. */
#include "real/generate/quantizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "kernels/pruned.h"
#include "real/transformer/generation.h"

enum { STORED, WIDE, FORMS };

struct lspo_quantizer {
    lspo_quantizer_options_t options;
    lspo_stage_t block;
    float *wide;   /* a block's weights in fp32 */
    float *scores; /* only for pruning: scratch of a matrix */
    /* Only for GPTQ and Wanda. */
    lspo_compute_t *compute;
    lspo_transformer_t *transformers[FORMS]; /* with the stored weights, and with those in fp32 */
    void *workspaces[FORMS], *cache;
    float *x, *y;                 /* activations of all sequences; of one */
    float *sums[LSPO_LINEAR_MAX]; /* of inputs: X^T X, for Wanda its diagonal; NULL: those of the tensor before */
    const float *seen;            /* the input of the tensor before */
    lspo_status_t status;         /* of the observer */
};

static bool calibrates(const lspo_quantizer_options_t *options)
{
    return options->tokens != NULL;
}

static bool prunes(const lspo_quantizer_options_t *options)
{
    return !options->from.int4.on;
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

static size_t sums_bytes(const lspo_quantizer_options_t *options, const lspo_stage_t *block, uint32_t tensor)
{
    const size_t inputs = block->tensors[tensor].rows;
    return (prunes(options) ? inputs : inputs * inputs) * sizeof(float);
}

static size_t scores_bytes(const lspo_quantizer_options_t *options, const lspo_stage_t *block)
{
    size_t most = 0;
    for (uint32_t i = 0; prunes(options) && i < block->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(block, i);
        const size_t some = calibrates(options) ? lspo_prune_wanda_scratch(options->workers, pruned.rows)
                                                : (size_t)pruned.rows * pruned.cols;
        most = pruned.count > 0 && some > most ? some : most;
    }
    return most * sizeof(float);
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
    uint64_t bytes = block.element_count * sizeof(float) + scores_bytes(options, &block);
    if (!calibrates(options))
        return bytes;
    for (uint32_t i = 0; i < block.linear_count; i++)
        bytes += sums_bytes(options, &block, i);
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
    if (calibrates(options) && options->from.model->expert_count > 0)
        return lspo_error(
            LSPO_ERR_INPUT,
            "model %s has experts, each of which sees only some tokens: a calibration does not tell their "
            "inputs apart",
            options->from.model->name);
    lspo_quantizer_t *q = calloc(1, sizeof *q);
    if (q == NULL)
        return lspo_no_memory("a quantizer");
    q->options = *options;
    lspo_model_stage(options->from.model, 1, &q->block);
    lspo_status_t status = take(q, q->block.element_count * sizeof(float), &q->wide);
    if (status == LSPO_OK && prunes(options))
        status = take(q, scores_bytes(options, &q->block), &q->scores);
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
        give_back(quantizer, quantizer->sums[i]);
    give_back(quantizer, quantizer->wide);
    give_back(quantizer, quantizer->scores);
    give_back(quantizer, quantizer->cache);
    give_back(quantizer, quantizer->x);
    give_back(quantizer, quantizer->y);
    lspo_compute_destroy(quantizer->compute);
    free(quantizer);
}

/* ---- calibration ---- */

/* Adds the inputs of a tensor to its sums, which are made when the first block is seen. */
static void observe(void *context, uint32_t tensor, size_t tokens, const float *x)
{
    lspo_quantizer_t *q = context;
    const bool is_new = tensor == 0 || x != q->seen;
    const size_t bytes = sums_bytes(&q->options, &q->block, tensor), inputs = q->block.tensors[tensor].rows;
    q->seen = x;
    if (q->status != LSPO_OK || !is_new)
        return;
    if (q->sums[tensor] == NULL) {
        q->status = take(q, bytes, &q->sums[tensor]);
        if (q->status != LSPO_OK)
            return;
        memset(q->sums[tensor], 0, bytes);
    }
    if (prunes(&q->options))
        lspo_wanda_add_inputs(inputs, tokens, x, q->sums[tensor]);
    else
        lspo_gptq_add_inputs(q->options.workers, inputs, tokens, x, q->sums[tensor]);
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

/* The inputs of each linear tensor; by_tensor_out: linear_count, of which some are the same. */
static lspo_status_t measure(lspo_quantizer_t *q, float **by_tensor_out)
{
    for (uint32_t i = 0; i < q->block.linear_count; i++)
        if (q->sums[i] != NULL)
            memset(q->sums[i], 0, sums_bytes(&q->options, &q->block, i));
    lspo_generation_observe(q->transformers[WIDE], observe, q);
    pass(q, WIDE, q->wide, false);
    for (uint32_t i = 0; i < q->block.linear_count; i++)
        by_tensor_out[i] = q->sums[i] != NULL || i == 0 ? q->sums[i] : by_tensor_out[i - 1];
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

static lspo_status_t refuse(const lspo_model_t *model, uint32_t stage, const lspo_tensor_t *tensor, const char *what)
{
    char name[16];
    return lspo_error(LSPO_ERR_INPUT, "weight %s of stage %s has %s", tensor->name,
                      lspo_model_stage_name(model, stage, name), what);
}

static const char beyond_int4[] = "numbers that are not finite or above 491,280; int4 cannot hold them";

/* What is behind the linear tensors. */
static void convert_rest(const lspo_weights_source_t *to, const lspo_stage_t *block, const float *wide, char *out)
{
    const uint64_t linear = block->tensors[block->linear_count].offset_elements;
    lspo_convert(block->element_count - linear, LSPO_NUMBER_FP32, wide + linear, to->number,
                 out + lspo_generation_weight_offset(block, to->number, &to->int4, block->linear_count));
}

lspo_status_t lspo_quantizer_round(const lspo_weights_source_t *to, const lspo_quantizer_columns_t *of,
                                   lspo_workers_t *workers, const float *columns, void *out)
{
    lspo_stage_t block;
    lspo_model_stage(to->model, of->stage, &block);
    const lspo_tensor_t *tensor = &block.tensors[of->tensor];
    const lspo_int4_shape_t shape = lspo_int4_shape(&to->int4, tensor->rows, of->count);
    const lspo_int4_shape_t before = lspo_int4_shape(&to->int4, tensor->rows, of->first);
    char *packed = (char *)out + lspo_generation_weight_offset(&block, to->number, &to->int4, of->tensor);
    return lspo_int4_round(workers, &shape, columns, packed + lspo_int4_bytes(&before))
               ? LSPO_OK
               : refuse(to->model, of->stage, tensor, beyond_int4);
}

static lspo_status_t round_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    const lspo_weights_source_t *to = &q->options.from;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        status = lspo_quantizer_round(to, &(lspo_quantizer_columns_t){stage, i, 0, q->block.tensors[i].cols},
                                      q->options.workers, q->wide + q->block.tensors[i].offset_elements, weights);
    if (status == LSPO_OK)
        convert_rest(to, &q->block, q->wide, weights);
    return status;
}

static lspo_status_t quantize_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    const lspo_weights_source_t *to = &q->options.from;
    float *uppers[LSPO_LINEAR_MAX];
    lspo_status_t status = measure(q, uppers);
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        if (q->sums[i] != NULL)
            status = lspo_gptq_factor(q->block.tensors[i].rows, q->sums[i]);
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++) {
        const lspo_tensor_t *tensor = &q->block.tensors[i];
        const lspo_int4_shape_t shape = lspo_int4_shape(&to->int4, tensor->rows, tensor->cols);
        if (!lspo_gptq_quantize(q->options.workers, &shape, q->wide + tensor->offset_elements, uppers[i],
                                weights + lspo_generation_weight_offset(&q->block, to->number, &to->int4, i)))
            return refuse(to->model, stage, tensor, beyond_int4);
    }
    if (status == LSPO_OK)
        convert_rest(to, &q->block, q->wide, weights);
    return status;
}

static bool are_finite(size_t count, const float *x)
{
    bool all = true;
    for (size_t i = 0; i < count; i++)
        all &= isfinite(x[i]) != 0;
    return all;
}

/* squares: NULL: by magnitude. */
static void prune_tensor(lspo_quantizer_t *q, uint32_t tensor, const float *squares)
{
    const lspo_pruned_t pruned = lspo_stage_pruned(&q->block, tensor);
    const size_t count = (size_t)pruned.rows * pruned.cols;
    const double sparsity = q->options.sparsity;
    float *w = q->wide + q->block.tensors[tensor].offset_elements;
    if (squares != NULL && pruned.count > 0)
        lspo_prune_wanda(q->options.workers, &(lspo_wanda_t){pruned.rows, pruned.cols, sparsity, squares}, w,
                         q->scores);
    else
        for (uint32_t k = 0; k < pruned.count; k++)
            lspo_prune_magnitude(count, sparsity, w + k * count, q->scores);
}

static lspo_status_t prune_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    const lspo_weights_source_t *to = &q->options.from;
    const bool wanda = calibrates(&q->options);
    float *squares[LSPO_LINEAR_MAX];
    lspo_status_t status = wanda ? measure(q, squares) : LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++) {
        const lspo_tensor_t *tensor = &q->block.tensors[i];
        if (!are_finite((size_t)tensor->rows * tensor->cols, q->wide + tensor->offset_elements))
            return refuse(to->model, stage, tensor, "numbers that are not finite");
        if (wanda && !are_finite(tensor->rows, squares[i]))
            return refuse(to->model, stage, tensor, "inputs in the calibration whose squares are not finite");
    }
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        prune_tensor(q, i, wanda ? squares[i] : NULL);
    if (status == LSPO_OK)
        lspo_convert(q->block.element_count, LSPO_NUMBER_FP32, q->wide, to->number, weights);
    return status;
}

static lspo_status_t load_block(lspo_quantizer_t *q, uint32_t stage, void *weights)
{
    const lspo_weights_source_t *from = &q->options.from;
    lspo_status_t status = from->load(from->context, stage, LSPO_NUMBER_FP32, q->wide);
    if (status == LSPO_OK)
        status = (prunes(&q->options)       ? prune_block
                  : calibrates(&q->options) ? quantize_block
                                            : round_block)(q, stage, weights);
    if (status == LSPO_OK && calibrates(&q->options))
        pass(q, STORED, weights, true);
    return status;
}

lspo_status_t lspo_quantizer_load(void *quantizer, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_quantizer_t *q = quantizer;
    lspo_stage_t shape;
    lspo_model_stage(q->options.from.model, stage, &shape);
    if (shape.kind == LSPO_STAGE_BLOCK)
        return load_block(q, stage, weights);
    lspo_status_t status = q->options.from.load(q->options.from.context, stage, number, weights);
    if (status == LSPO_OK && stage == 0 && calibrates(&q->options))
        embed(q, weights);
    return status;
}
