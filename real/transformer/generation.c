/* generation.c - see generation.h. */
#include "real/transformer/generation.h"

#include <assert.h>

#include "plan/family.h"
#include "real/transformer/state.h"

static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Batch x tokens and batch x positions, for products of sizes, fit in 31 bits, and no size below overflows. */
static bool sizes_hold(const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    const double rows = (double)shape->batch * shape->positions, limit = 2147483647.0;
    const double widest = 11.0 * model->width + 3.0 * model->mlp_width + 3.0 * model->expert_count +
                          9.0 * lspo_model_head_width(model) * model->head_count + 32.0 * shape->positions;
    return rows <= limit && model->vocabulary <= limit && rows * widest < 0x1p50 / 4;
}

size_t lspo_generation_cache_bytes(const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    return (size_t)2 * shape->batch * shape->positions * lspo_model_kv_width(model) * lspo_number_bytes(shape->cache);
}

size_t lspo_generation_weight_offset(const lspo_stage_t *stage, lspo_number_t weights, const lspo_int4_form_t *int4,
                                     uint32_t tensor)
{
    size_t bytes = 0;
    if (!int4->on)
        return stage->tensors[tensor].offset_elements * lspo_number_bytes(weights);
    for (uint32_t i = 0; i < tensor; i++) {
        const lspo_int4_shape_t shape = lspo_int4_shape(int4, stage->tensors[i].rows, stage->tensors[i].cols);
        bytes += lspo_int4_bytes(&shape);
    }
    return bytes;
}

size_t lspo_generation_weight_bytes(const lspo_model_t *model, uint32_t stage, lspo_number_t weights,
                                    const lspo_int4_form_t *int4)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    if (!int4->on || shape.kind != LSPO_STAGE_BLOCK)
        return shape.element_count * lspo_number_bytes(weights);
    const uint64_t linear = shape.tensors[shape.linear_count].offset_elements;
    return lspo_generation_weight_offset(&shape, weights, int4, shape.linear_count) +
           (shape.element_count - linear) * lspo_number_bytes(weights);
}

/* Floats behind the linear weights of a block, or the gain and bias of the head's norm. */
static size_t vector_floats(const lspo_model_t *model)
{
    lspo_stage_t block;
    lspo_model_stage(model, 1, &block);
    const size_t of_block = block.element_count - block.tensors[block.linear_count].offset_elements;
    return of_block > 2 * (size_t)model->width ? of_block : 2 * (size_t)model->width;
}

/* The largest of any pass: with as many queries as there may be, and with one. */
static size_t attention_floats(const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    static const uint32_t some_block = 0;
    lspo_cached_attention_t a = {.queries = shape->tokens,
                                 .blocks = shape->paged ? &some_block : NULL,
                                 .first = shape->positions - shape->tokens,
                                 .head_width = lspo_model_head_width(model),
                                 .number = shape->cache};
    const size_t most = lspo_cached_attention_scratch(&a);
    a.queries = 1;
    a.first = shape->positions - 1;
    const size_t one = lspo_cached_attention_scratch(&a);
    return most > one ? most : one;
}

/* Of lspo_language_head_logits(). */
static size_t logits_bytes(const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    return (size_t)shape->batch * shape->tokens * (2 + 2 * (size_t)model->width) * sizeof(float);
}

size_t lspo_generation_workspace_bytes(const lspo_model_t *model, const lspo_generation_shape_t *shape,
                                       uint32_t workers)
{
    return rounded(lspo_transformer_rotary_bytes(model, shape->positions)) + rounded(logits_bytes(model, shape)) +
           rounded(vector_floats(model) * sizeof(float)) + rounded(lspo_transformer_generation_saved(model, shape)) +
           attention_floats(model, shape) * workers * sizeof(float);
}

/* Lay out the memory behind the rotary table. */
static void occupy(lspo_transformer_t *t, const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    char *at = t->workspace + rounded(logits_bytes(model, shape));
    t->pass.shape = *shape;
    t->int4 = shape->int4;
    t->pass.vectors = (float *)(void *)at;
    at += rounded(vector_floats(model) * sizeof(float));
    t->pass.saved = at;
    at += rounded(lspo_transformer_generation_saved(model, shape));
    t->pass.attention = (float *)(void *)at;
}

uint32_t lspo_generation_positions(const lspo_model_t *model)
{
    return model->window > 0 && model->window < model->max_sequence ? model->window : model->max_sequence;
}

lspo_status_t lspo_generation_check(const lspo_model_t *model, const lspo_generation_shape_t *shape)
{
    lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    if (!lspo_family_of(model)->causal)
        return lspo_error(LSPO_ERR_INPUT, "model %s reads a text in both directions and cannot continue it",
                          model->name);
    status = lspo_model_check_trains(model);
    if (status != LSPO_OK)
        return status;
    if (shape->positions > lspo_generation_positions(model))
        return lspo_error(LSPO_ERR_INPUT, "model %s: a text has at most %u tokens%s, not %u", model->name,
                          lspo_generation_positions(model),
                          model->window > 0 ? " (the window of its attention, which is not computed)" : "",
                          shape->positions);
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY && lspo_model_head_width(model) % 2 != 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s: rotary positions need an even head width, not %u", model->name,
                          lspo_model_head_width(model));
    if (model->expert_count > 0 && shape->int4.on)
        return lspo_error(LSPO_ERR_INPUT, "model %s: weights of 4 bits are not computed in blocks with experts",
                          model->name);
    if (!sizes_hold(model, shape))
        return lspo_error(LSPO_ERR_INPUT, "model %s with %u sequences of %u tokens is too large for 31-bit sizes",
                          model->name, shape->batch, shape->positions);
    return LSPO_OK;
}

lspo_status_t lspo_generation_create(const lspo_model_t *model, const lspo_generation_shape_t *shape,
                                     lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out)
{
    assert(shape->batch > 0 && shape->tokens > 0 && shape->tokens <= shape->positions);
    assert(lspo_compute_generates(compute));
    lspo_status_t status = lspo_generation_check(model, shape);
    if (status != LSPO_OK)
        return status;
    const lspo_transformer_sizes_t sizes = {shape->batch, shape->tokens, shape};
    status = lspo_transformer_make(model, &sizes, compute, workspace, transformer_out);
    if (status == LSPO_OK)
        occupy(*transformer_out, model, shape);
    return status;
}

void lspo_generation_begin(lspo_transformer_t *t, size_t first, size_t count)
{
    assert(count > 0 && count <= t->pass.shape.tokens && first + count <= t->pass.shape.positions);
    t->pass.first = first;
    t->pass.firsts = NULL;
    t->batch = t->pass.shape.batch;
    t->sequence = count;
    t->tokens = t->batch * count;
}

void lspo_generation_begin_each(lspo_transformer_t *t, size_t texts, const size_t *firsts, size_t count)
{
    assert(texts > 0 && texts <= t->pass.shape.batch);
    for (size_t b = 0; b < texts; b++)
        lspo_generation_begin(t, firsts[b], count);
    t->pass.firsts = firsts;
    t->batch = texts;
    t->tokens = texts * count;
}

void lspo_generation_observe(lspo_transformer_t *t, lspo_generation_observer_t observer, void *context)
{
    t->pass.observer = observer;
    t->pass.context = context;
}

/* The next block: what its array has behind the linear weights. */
static void enter_block(lspo_transformer_t *t, const void *weights)
{
    const size_t linear = t->block.tensors[t->block.linear_count].offset_elements;
    lspo_compute_convert(t->compute, t->block.element_count - linear, t->weight_number,
                         lspo_linear_in_generation(t, t->block.linear_count, weights), LSPO_NUMBER_FP32,
                         t->pass.vectors);
}

static void use_cache(lspo_transformer_t *t, void *cache)
{
    t->pass.caches = NULL;
    t->pass.k = cache;
    t->pass.v = t->pass.k + t->batch * t->kv_width * lspo_number_bytes(t->pass.shape.cache);
}

void lspo_generation_block_forward(lspo_transformer_t *t, const void *weights, void *cache, const float *x_in,
                                   float *x_out)
{
    const lspo_block_parameters_t from = {.weights = weights};
    enter_block(t, weights);
    use_cache(t, cache);
    lspo_transformer_block_forward(t, &from, x_in, t->pass.saved, x_out);
}

void lspo_generation_block_forward_each(lspo_transformer_t *t, const void *weights,
                                        const lspo_generation_caches_t *caches, const float *x_in, float *x_out)
{
    const lspo_block_parameters_t from = {.weights = weights};
    assert(t->pass.firsts != NULL);
    enter_block(t, weights);
    t->pass.caches = caches;
    lspo_transformer_block_forward(t, &from, x_in, t->pass.saved, x_out);
}

lspo_chosen_t lspo_generation_block_begin(lspo_transformer_t *t, const void *weights, void *cache, const float *x_in)
{
    const lspo_block_parameters_t from = {.weights = weights};
    enter_block(t, weights);
    use_cache(t, cache);
    t->family->attention_forward(t, &from, x_in, t->pass.saved);
    return (lspo_chosen_t){t->tokens * t->chosen, t->family->route(t, &from, t->pass.saved)};
}

void lspo_generation_block_experts(lspo_transformer_t *t, const void *weights, const lspo_ternary_t *experts,
                                   float *x_out)
{
    const lspo_block_parameters_t from = {.weights = weights};
    t->pass.experts = experts;
    t->family->experts_forward(t, &from, t->pass.saved, x_out);
}

void lspo_generation_keep_inputs(lspo_transformer_t *t, const float *x_in, size_t kept, void *inputs_out)
{
    const lspo_number_t number = t->pass.shape.cache;
    const size_t row_bytes = t->width * lspo_number_bytes(number);
    char *out = inputs_out;
    for (size_t i = 0; i < kept; i++)
        for (size_t b = 0; b < t->batch; b++, out += row_bytes)
            lspo_compute_convert(t->compute, t->width, LSPO_NUMBER_FP32, x_in + (b * t->sequence + i) * t->width,
                                 number, out);
}

void lspo_generation_block_rebuild(lspo_transformer_t *t, const void *weights, const void *inputs, size_t tokens,
                                   float *scratch, void *cache)
{
    const lspo_block_parameters_t from = {.weights = weights};
    const lspo_number_t number = t->pass.shape.cache;
    const size_t most = t->pass.shape.tokens, position = t->batch * t->width;
    assert(!t->int4.on); /* of GPT-2, K and V are columns of a weight in `weights` */
    enter_block(t, weights);
    use_cache(t, cache);
    for (size_t first = 0; first < tokens; first += most) {
        const size_t some = tokens - first < most ? tokens - first : most;
        lspo_generation_begin(t, first, some);
        lspo_compute_convert(t->compute, some * position, number,
                             (const char *)inputs + first * position * lspo_number_bytes(number), LSPO_NUMBER_FP32,
                             scratch);
        t->family->block_rebuild(t, &from, scratch, t->pass.saved);
    }
}
