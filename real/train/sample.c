/* sample.c - see sample.h. */
#include "real/train/sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "plan/family.h"
#include "real/transformer/transformer.h"

typedef struct {
    const lspo_model_t *model;
    const float *const *stages;
    lspo_transformer_t *transformer;
    void *workspace, *saved;
    float *x, *y; /* activations, which swap roles from block to block */
    float *logits;
    uint32_t *tokens; /* padded */
} sampler_t;

static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static lspo_status_t open_sampler(sampler_t *s, size_t tokens)
{
    const lspo_model_t *model = s->model;
    size_t workspace_bytes = lspo_transformer_workspace_bytes(model, 1, (uint32_t)tokens, LSPO_NUMBER_FP32);
    s->workspace = workspace_bytes < SIZE_MAX - 64 ? aligned_alloc(64, rounded(workspace_bytes)) : NULL;
    if (!s->workspace)
        return lspo_no_memory("continuing a text");
    lspo_status_t status =
        lspo_transformer_create(model, 1, (uint32_t)tokens, lspo_compute_host(), s->workspace, &s->transformer);
    if (status != LSPO_OK)
        return status;
    s->saved = aligned_alloc(64, rounded(lspo_transformer_saved_bytes(s->transformer, 1)));
    s->x = malloc(tokens * model->width * sizeof *s->x);
    s->y = malloc(tokens * model->width * sizeof *s->y);
    s->logits = malloc(model->vocabulary * sizeof *s->logits);
    s->tokens = calloc(tokens, sizeof *s->tokens);
    bool complete = s->saved && s->x && s->y && s->logits && s->tokens;
    return complete ? LSPO_OK : lspo_no_memory("continuing a text");
}

static void close_sampler(sampler_t *s)
{
    free(s->tokens);
    free(s->logits);
    free(s->y);
    free(s->x);
    free(s->saved);
    lspo_transformer_destroy(s->transformer);
    free(s->workspace);
}

/* The token after token `last`; later tokens are ignored. */
static uint32_t most_likely(sampler_t *s, uint32_t last)
{
    uint32_t head = lspo_model_stage_count(s->model) - 1, best = 0;
    lspo_transformer_embed_forward(s->transformer, s->tokens, s->stages[0], s->x);
    for (uint32_t stage = 1; stage < head; stage++) {
        lspo_transformer_block_forward(s->transformer, &(lspo_block_parameters_t){.weights = s->stages[stage]}, s->x,
                                       s->saved, s->y);
        float *swap = s->x;
        s->x = s->y;
        s->y = swap;
    }
    lspo_transformer_logits(s->transformer, &(lspo_head_parameters_t){s->stages[head], s->stages[0]}, s->x, 1, &last,
                            s->logits);
    for (uint32_t i = 1; i < s->model->vocabulary; i++)
        if (s->logits[i] > s->logits[best])
            best = i;
    return best;
}

static lspo_status_t continue_text(sampler_t *s, uint32_t end, lspo_tokens_t *text)
{
    size_t count = text->count;
    for (size_t i = 0; i < count; i++)
        s->tokens[i] = text->ids[i];
    while (count < text->capacity) {
        uint32_t next = most_likely(s, (uint32_t)count - 1);
        if (!isfinite(s->logits[next]))
            return lspo_error(LSPO_ERR_NUMERIC, "the weights give no number for the next token of a text");
        if (next == end)
            break;
        s->tokens[count] = text->ids[count] = next;
        count++;
    }
    text->count = count;
    return LSPO_OK;
}

lspo_status_t lspo_sample(const lspo_model_t *model, const float *const *stages, uint32_t end, lspo_tokens_t *text)
{
    assert(text->count >= 1 && text->count <= text->capacity && text->capacity <= model->max_sequence);
    if (!lspo_family_of(model)->causal)
        return lspo_error(LSPO_ERR_INPUT, "model %s sees a text from both ends: it does not continue one", model->name);
    sampler_t sampler = {.model = model, .stages = stages};
    lspo_status_t status = open_sampler(&sampler, text->capacity);
    if (status != LSPO_OK)
        goto cleanup;
    status = continue_text(&sampler, end, text);
cleanup:
    close_sampler(&sampler);
    return status;
}
