/* generator.c - see generator.h. */
#include "real/generate/generator.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lspo_generator {
    lspo_generator_options_t options;
    lspo_generation_shape_t shape;
    lspo_compute_t *compute;
    lspo_transformer_t *transformer;
    uint32_t stage_count;
    char *memory; /* all of the following, of the device */
    char *workspace, *caches;
    float *x, *y; /* activations, which change roles from block to block */
    float *logits;
    uint32_t *tokens; /* of a pass, dense */
    uint32_t *last;   /* rows of the last token of each sequence */
    lspo_candidate_t *candidates;
    size_t length;
};

/* The parts of the memory, in order. */
typedef struct {
    size_t workspace, cache, activations, logits, tokens, last, candidates;
} sizes_t;

static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static lspo_generation_shape_t shape_of(const lspo_generator_options_t *options)
{
    return (lspo_generation_shape_t){.batch = options->batch,
                                     .tokens = options->positions < LSPO_GENERATOR_CHUNK ? options->positions
                                                                                         : LSPO_GENERATOR_CHUNK,
                                     .positions = options->positions,
                                     .weights = options->weights,
                                     .cache = options->cache,
                                     .int4 = options->int4,
                                     .experts_apart = options->experts != NULL};
}

static sizes_t sizes_of(const lspo_generator_options_t *options)
{
    const lspo_model_t *model = options->model;
    const lspo_generation_shape_t shape = shape_of(options);
    const size_t rows = (size_t)shape.batch * shape.tokens;
    return (sizes_t){.workspace =
                         rounded(lspo_generation_workspace_bytes(model, &shape, lspo_workers_count(options->workers))),
                     .cache = rounded(lspo_generation_cache_bytes(model, &shape)),
                     .activations = rounded(rows * model->width * sizeof(float)),
                     .logits = rounded((size_t)shape.batch * model->vocabulary * sizeof(float)),
                     .tokens = rounded(rows * sizeof(uint32_t)),
                     .last = rounded(shape.batch * sizeof(uint32_t)),
                     .candidates = rounded(model->vocabulary * sizeof(lspo_candidate_t))};
}

uint64_t lspo_generator_bytes(const lspo_generator_options_t *options)
{
    const sizes_t s = sizes_of(options);
    return s.workspace + s.cache * options->model->block_count + 2 * s.activations + s.logits + s.tokens + s.last +
           s.candidates;
}

static void place(lspo_generator_t *g)
{
    const sizes_t s = sizes_of(&g->options);
    char *at = g->memory;
    g->workspace = at;
    at += s.workspace;
    g->caches = at;
    at += s.cache * g->options.model->block_count;
    g->x = (float *)(void *)at;
    at += s.activations;
    g->y = (float *)(void *)at;
    at += s.activations;
    g->logits = (float *)(void *)at;
    at += s.logits;
    g->tokens = (uint32_t *)(void *)at;
    at += s.tokens;
    g->last = (uint32_t *)(void *)at;
    at += s.last;
    g->candidates = (lspo_candidate_t *)(void *)at;
}

lspo_status_t lspo_generator_check(const lspo_generator_options_t *options)
{
    const lspo_generation_shape_t shape = shape_of(options);
    return lspo_generation_check(options->model, &shape);
}

static lspo_status_t open_generator(lspo_generator_t *g)
{
    const lspo_generator_options_t *options = &g->options;
    lspo_status_t status = lspo_compute_create_generation(options->workers, &g->compute);
    if (status != LSPO_OK)
        return status;
    status = lspo_generator_check(options);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_alloc(options->device, lspo_generator_bytes(options), (void **)&g->memory);
    if (status != LSPO_OK)
        return status;
    place(g);
    return lspo_generation_create(options->model, &g->shape, g->compute, g->workspace, &g->transformer);
}

lspo_status_t lspo_generator_create(const lspo_generator_options_t *options, lspo_generator_t **generator_out)
{
    assert(options->batch > 0 && options->positions > 0);
    lspo_generator_t *g = calloc(1, sizeof *g);
    if (g == NULL)
        return lspo_no_memory("a generator");
    g->options = *options;
    g->shape = shape_of(options);
    g->stage_count = lspo_model_stage_count(options->model);
    lspo_status_t status = open_generator(g);
    if (status != LSPO_OK) {
        lspo_generator_destroy(g);
        return status;
    }
    *generator_out = g;
    return LSPO_OK;
}

void lspo_generator_destroy(lspo_generator_t *generator)
{
    if (generator == NULL)
        return;
    lspo_transformer_destroy(generator->transformer);
    if (generator->memory != NULL)
        lspo_device_free(generator->options.device, generator->memory);
    lspo_compute_destroy(generator->compute);
    free(generator);
}

/* ---- passes ---- */

static bool is_set(const atomic_int *stop)
{
    return stop != NULL && atomic_load(stop) != 0;
}

static void pass_block(lspo_generator_t *g, uint32_t stage, const float *from, float *to)
{
    const void *weights = g->options.stages[stage];
    void *cache = g->caches + (stage - 1) * sizes_of(&g->options).cache;
    if (g->options.experts == NULL) {
        lspo_generation_block_forward(g->transformer, weights, cache, from, to);
        return;
    }
    lspo_generation_block_begin(g->transformer, weights, cache, from);
    lspo_generation_block_experts(g->transformer, weights, lspo_ternary_experts_of(g->options.experts, stage), to);
}

/* Reads `count` tokens per sequence, which are in g->tokens; with logits of the last ones.  LSPO_ERR_INTERRUPTED, and
 * none of them read, once `stop` is set. */
static lspo_status_t pass(lspo_generator_t *g, size_t count, bool logits, const atomic_int *stop)
{
    const void *const *stages = g->options.stages;
    const uint32_t head = g->stage_count - 1;
    lspo_generation_begin(g->transformer, g->length, count);
    lspo_transformer_embed_forward(g->transformer, g->tokens, stages[0], g->x);
    for (uint32_t stage = 1; stage < head; stage++) {
        float *from = g->x;
        if (is_set(stop))
            return LSPO_ERR_INTERRUPTED;
        pass_block(g, stage, from, g->y);
        g->x = g->y;
        g->y = from;
    }
    g->length += count;
    if (!logits)
        return lspo_compute_status(g->compute);
    for (uint32_t b = 0; b < g->shape.batch; b++)
        g->last[b] = (uint32_t)((b + 1) * count - 1);
    lspo_transformer_logits(g->transformer, &(lspo_head_parameters_t){stages[head], stages[0]}, g->x, g->shape.batch,
                            g->last, g->logits);
    return lspo_compute_status(g->compute);
}

static lspo_status_t read_tokens(lspo_generator_t *g, const uint32_t *tokens, size_t stride, size_t count,
                                 const atomic_int *stop)
{
    assert(count > 0 && g->length + count <= g->shape.positions);
    lspo_status_t status = LSPO_OK;
    for (size_t done = 0; status == LSPO_OK && done < count;) {
        const size_t some = count - done < g->shape.tokens ? count - done : g->shape.tokens;
        for (size_t b = 0; b < g->shape.batch; b++)
            for (size_t i = 0; i < some; i++)
                g->tokens[b * some + i] = tokens[b * stride + done + i];
        done += some;
        status = pass(g, some, done == count, stop);
    }
    return status;
}

lspo_status_t lspo_generator_read(lspo_generator_t *generator, const uint32_t *tokens, size_t stride, size_t count)
{
    return read_tokens(generator, tokens, stride, count, NULL);
}

/* -ln p of a token. */
static double surprise(size_t vocabulary, const float *logits, uint32_t token)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < vocabulary; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < vocabulary; i++)
        sum += exp((double)logits[i] - most);
    return log(sum) + most - (double)logits[token];
}

/* Of the tokens behind those of the last pass, which read `count`. */
static double score_pass(lspo_generator_t *g, const uint32_t *next, size_t count)
{
    const uint32_t head = g->stage_count - 1;
    const lspo_head_parameters_t from = {g->options.stages[head], g->options.stages[0]};
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        g->last[0] = (uint32_t)i;
        lspo_transformer_logits(g->transformer, &from, g->x, 1, g->last, g->logits);
        sum += surprise(g->options.model->vocabulary, g->logits, next[i]);
    }
    return sum;
}

lspo_status_t lspo_generator_score(lspo_generator_t *generator, const uint32_t *tokens, size_t count, double *sum_out)
{
    lspo_generator_t *g = generator;
    double sum = 0;
    assert(g->shape.batch == 1 && count > 1 && count <= (size_t)g->shape.positions + 1);
    lspo_generator_rewind(g, 0);
    while (g->length + 1 < count) {
        const size_t left = count - 1 - g->length, some = left < g->shape.tokens ? left : g->shape.tokens;
        memcpy(g->tokens, tokens + g->length, some * sizeof *tokens);
        lspo_status_t status = pass(g, some, false, NULL);
        if (status != LSPO_OK)
            return status;
        sum += score_pass(g, tokens + g->length - some + 1, some);
    }
    if (!isfinite(sum))
        return lspo_error(LSPO_ERR_NUMERIC, "the cross-entropy of a text is not a finite number");
    *sum_out = sum;
    return LSPO_OK;
}

void lspo_generator_rewind(lspo_generator_t *generator, size_t count)
{
    assert(count <= generator->length);
    generator->length = count;
}

size_t lspo_generator_length(const lspo_generator_t *generator)
{
    return generator->length;
}

const float *lspo_generator_logits(const lspo_generator_t *generator)
{
    return generator->logits;
}

/* ---- one text ---- */

static bool ends(const lspo_text_options_t *options, uint32_t token)
{
    for (size_t i = 0; i < options->end_count; i++)
        if (options->ends[i] == token)
            return true;
    return false;
}

/* The next token, and whether it ends the text. */
static lspo_status_t next_token(lspo_generator_t *g, const lspo_text_options_t *options, uint32_t *token_out)
{
    lspo_status_t status = lspo_choose_token(&options->choice, g->options.model->vocabulary, g->logits, g->length,
                                             g->candidates, token_out);
    if (status != LSPO_OK || options->token == NULL || ends(options, *token_out))
        return status;
    return options->token(options->context, *token_out);
}

lspo_status_t lspo_generator_continue(lspo_generator_t *generator, const lspo_text_options_t *options, uint32_t *tokens,
                                      size_t count, lspo_text_result_t *result_out)
{
    lspo_text_result_t result = {.end = LSPO_END_TOKENS};
    assert(generator->shape.batch == 1 && options->most > 0);
    lspo_generator_rewind(generator, 0);
    uint64_t start_ns = lspo_now_ns(), first_ns = start_ns;
    lspo_status_t status = read_tokens(generator, tokens, count, count, options->stop);
    while (status == LSPO_OK) {
        uint32_t *token = &tokens[count + result.count];
        status = next_token(generator, options, token);
        if (status != LSPO_OK)
            break;
        if (result.count++ == 0)
            first_ns = lspo_now_ns();
        if (ends(options, *token))
            result.end = LSPO_END_TOKEN;
        else if (is_set(options->stop) && result.count < options->most)
            result.end = LSPO_END_STOPPED;
        else if (result.count < options->most) {
            status = read_tokens(generator, token, 1, 1, options->stop);
            continue;
        }
        break;
    }
    if (status == LSPO_ERR_INTERRUPTED)
        result.end = LSPO_END_STOPPED;
    else if (status != LSPO_OK)
        return status;
    if (result.count > 0) {
        result.first_s = 1e-9 * (double)(first_ns - start_ns);
        result.rest_s = 1e-9 * (double)(lspo_now_ns() - first_ns);
    }
    *result_out = result;
    return LSPO_OK;
}
