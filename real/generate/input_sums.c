/* input_sums.c - see input_sums.h. */
#include "real/generate/input_sums.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/gptq.h"
#include "kernels/pruned.h"
#include "real/transformer/generation.h"

enum { STORED, WIDE, FORMS };

struct lspo_input_sums {
    lspo_input_sums_options_t options;
    lspo_stage_t block;
    lspo_compute_t *compute;
    lspo_transformer_t *transformers[FORMS]; /* with the stored weights, and with those in fp32 */
    void *workspaces[FORMS], *cache;
    float *x, *y;                 /* activations of all sequences; of one */
    float *sums[LSPO_LINEAR_MAX]; /* of each of a tensor's matrices; NULL: none, or those of the tensor before */
    uint64_t *tokens;             /* of each expert */
    lspo_status_t status;         /* of the observer */
};

static lspo_generation_shape_t shape_of(const lspo_input_sums_options_t *options, int form)
{
    const lspo_weights_source_t *from = &options->from;
    lspo_generation_shape_t shape = {.batch = 1, .tokens = options->length, .positions = options->length};
    if (form == WIDE)
        return shape;
    shape.weights = from->number;
    shape.int4 = from->int4;
    shape.experts_apart = from->ternary;
    return shape;
}

static size_t activation_bytes(const lspo_input_sums_options_t *options)
{
    return (size_t)options->length * options->from.model->width * sizeof(float);
}

/* Of the tensors that are summed the first one; a router comes before experts. */
static uint32_t first_summed(const lspo_input_sums_options_t *options, const lspo_stage_t *block)
{
    return options->from.ternary ? block->expert_first : 0;
}

/* Has the tensor sums of its own?  Else they are not wanted, or those of the one before. */
static bool is_summed(const lspo_input_sums_options_t *options, const lspo_stage_t *block, uint32_t tensor)
{
    return tensor >= first_summed(options, block) && !block->tensors[tensor].same_input;
}

/* Floats of one matrix's sums, and how many matrices a tensor has. */
static size_t sums_floats(const lspo_input_sums_options_t *options, const lspo_stage_t *block, uint32_t tensor)
{
    const size_t inputs = lspo_stage_pruned(block, tensor).rows;
    return options->squares ? inputs : inputs * inputs;
}

static size_t matrices_of(const lspo_stage_t *block, uint32_t tensor)
{
    return tensor >= block->expert_first ? block->expert_count : 1;
}

static size_t sums_bytes(const lspo_input_sums_options_t *options, const lspo_stage_t *block, uint32_t tensor)
{
    return matrices_of(block, tensor) * sums_floats(options, block, tensor) * sizeof(float);
}

static size_t workspace_bytes(const lspo_input_sums_options_t *options, int form)
{
    const lspo_generation_shape_t shape = shape_of(options, form);
    return lspo_generation_workspace_bytes(options->from.model, &shape, lspo_workers_count(options->workers));
}

static size_t cache_bytes(const lspo_input_sums_options_t *options)
{
    const lspo_generation_shape_t shape = shape_of(options, WIDE);
    return lspo_generation_cache_bytes(options->from.model, &shape);
}

uint64_t lspo_input_sums_bytes(const lspo_input_sums_options_t *options)
{
    lspo_stage_t block;
    uint64_t bytes = 0;
    lspo_model_stage(options->from.model, 1, &block);
    for (uint32_t i = 0; i < block.linear_count; i++)
        bytes += is_summed(options, &block, i) ? sums_bytes(options, &block, i) : 0;
    return bytes + workspace_bytes(options, STORED) + workspace_bytes(options, WIDE) + cache_bytes(options) +
           (options->sequences + 1) * activation_bytes(options);
}

/* ---- the object ---- */

static lspo_status_t take(lspo_input_sums_t *c, size_t bytes, void *memory_out)
{
    return lspo_device_alloc(c->options.device, bytes, memory_out);
}

static lspo_status_t open_transformer(lspo_input_sums_t *c, int form)
{
    const lspo_input_sums_options_t *options = &c->options;
    const lspo_generation_shape_t shape = shape_of(options, form);
    lspo_status_t status = take(c, workspace_bytes(options, form), &c->workspaces[form]);
    if (status != LSPO_OK)
        return status;
    return lspo_generation_create(options->from.model, &shape, c->compute, c->workspaces[form], &c->transformers[form]);
}

static lspo_status_t open_sums(lspo_input_sums_t *c)
{
    const lspo_input_sums_options_t *options = &c->options;
    c->tokens = calloc(c->block.expert_count + 1, sizeof *c->tokens);
    if (c->tokens == NULL)
        return lspo_no_memory("the tokens of %u experts", c->block.expert_count);
    lspo_status_t status = lspo_compute_create_generation(options->workers, &c->compute);
    for (int form = 0; status == LSPO_OK && form < FORMS; form++)
        status = open_transformer(c, form);
    if (status == LSPO_OK)
        status = take(c, cache_bytes(options), &c->cache);
    if (status == LSPO_OK)
        status = take(c, options->sequences * activation_bytes(options), &c->x);
    return status == LSPO_OK ? take(c, activation_bytes(options), &c->y) : status;
}

lspo_status_t lspo_input_sums_create(const lspo_input_sums_options_t *options, lspo_input_sums_t **sums_out)
{
    lspo_input_sums_t *c = calloc(1, sizeof *c);
    if (c == NULL)
        return lspo_no_memory("the sums of inputs");
    c->options = *options;
    lspo_model_stage(options->from.model, 1, &c->block);
    lspo_status_t status = open_sums(c);
    if (status != LSPO_OK) {
        lspo_input_sums_destroy(c);
        return status;
    }
    *sums_out = c;
    return LSPO_OK;
}

static void give_back(lspo_input_sums_t *c, void *memory)
{
    if (memory != NULL)
        lspo_device_free(c->options.device, memory);
}

void lspo_input_sums_destroy(lspo_input_sums_t *sums)
{
    if (sums == NULL)
        return;
    for (int form = 0; form < FORMS; form++) {
        lspo_transformer_destroy(sums->transformers[form]);
        give_back(sums, sums->workspaces[form]);
    }
    for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
        give_back(sums, sums->sums[i]);
    give_back(sums, sums->cache);
    give_back(sums, sums->x);
    give_back(sums, sums->y);
    lspo_compute_destroy(sums->compute);
    free(sums->tokens);
    free(sums);
}

/* ---- sums ---- */

static void clear_sums(lspo_input_sums_t *c)
{
    for (uint32_t i = 0; i < c->block.linear_count; i++)
        if (c->sums[i] != NULL)
            memset(c->sums[i], 0, sums_bytes(&c->options, &c->block, i));
    memset(c->tokens, 0, (c->block.expert_count + 1) * sizeof *c->tokens);
}

/* Sums are made when the first block is seen. */
static bool make_sums(lspo_input_sums_t *c, uint32_t tensor)
{
    const size_t bytes = sums_bytes(&c->options, &c->block, tensor);
    if (c->sums[tensor] != NULL)
        return true;
    c->status = take(c, bytes, &c->sums[tensor]);
    if (c->status != LSPO_OK)
        return false;
    memset(c->sums[tensor], 0, bytes);
    return true;
}

/* Adds the inputs of a tensor to its sums. */
static void observe(void *context, uint32_t tensor, uint32_t expert, size_t tokens, const float *x)
{
    lspo_input_sums_t *c = context;
    const size_t inputs = lspo_stage_pruned(&c->block, tensor).rows;
    if (tensor == c->block.expert_first)
        c->tokens[expert] += tokens;
    if (c->status != LSPO_OK || !is_summed(&c->options, &c->block, tensor) || !make_sums(c, tensor))
        return;
    float *sums = c->sums[tensor] + expert * sums_floats(&c->options, &c->block, tensor);
    if (c->options.squares)
        lspo_wanda_add_inputs(inputs, tokens, x, sums);
    else
        lspo_gptq_add_inputs(c->options.workers, inputs, tokens, x, sums);
}

/* ---- passes ---- */

static float *inputs_of(const lspo_input_sums_t *c, uint32_t sequence)
{
    return c->x + sequence * (activation_bytes(&c->options) / sizeof(float));
}

void lspo_input_sums_embed(lspo_input_sums_t *sums, const void *weights)
{
    const size_t count = sums->options.length;
    lspo_transformer_t *t = sums->transformers[STORED];
    for (uint32_t s = 0; s < sums->options.sequences; s++) {
        lspo_generation_begin(t, 0, count);
        lspo_transformer_embed_forward(t, sums->options.tokens + s * count, weights, inputs_of(sums, s));
    }
}

lspo_status_t lspo_input_sums_measure(lspo_input_sums_t *sums, const void *wide)
{
    lspo_transformer_t *t = sums->transformers[WIDE];
    clear_sums(sums);
    lspo_generation_observe(t, observe, sums);
    for (uint32_t s = 0; s < sums->options.sequences; s++) {
        lspo_generation_begin(t, 0, sums->options.length);
        lspo_generation_block_forward(t, wide, sums->cache, inputs_of(sums, s), sums->y);
    }
    return sums->status;
}

void lspo_input_sums_follow(lspo_input_sums_t *sums, const void *weights, const lspo_ternary_t *experts)
{
    lspo_transformer_t *t = sums->transformers[STORED];
    for (uint32_t s = 0; s < sums->options.sequences; s++) {
        float *x = inputs_of(sums, s);
        lspo_generation_begin(t, 0, sums->options.length);
        if (experts == NULL)
            lspo_generation_block_forward(t, weights, sums->cache, x, sums->y);
        else {
            lspo_generation_block_begin(t, weights, sums->cache, x);
            lspo_generation_block_experts(t, weights, experts, sums->y);
        }
        memcpy(x, sums->y, activation_bytes(&sums->options));
    }
}

float *lspo_input_sums_of(const lspo_input_sums_t *sums, uint32_t tensor, uint32_t expert, bool *is_first_out)
{
    *is_first_out = !sums->block.tensors[tensor].same_input;
    while (sums->block.tensors[tensor].same_input)
        tensor--;
    return sums->sums[tensor] + expert * sums_floats(&sums->options, &sums->block, tensor);
}

uint64_t lspo_input_sums_tokens(const lspo_input_sums_t *sums, uint32_t expert)
{
    return sums->tokens[expert];
}
