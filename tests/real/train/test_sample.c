/* The sampled token is the one with the lowest loss: the loss of every possible next token is computed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/loss.h"
#include "real/train/sample.h"
#include "real/transformer/transformer.h"

enum { SEQUENCE = 12, VOCABULARY = 40, STAGES = 4, PROMPT = 3 };

static lspo_model_t small_model(lspo_family_t family)
{
    bool llama = family == LSPO_FAMILY_LLAMA;
    return (lspo_model_t){.name = "small",
                          .family = family,
                          .block_count = STAGES - 2,
                          .width = 16,
                          .head_count = 2,
                          .kv_head_count = llama ? 1 : 2,
                          .mlp_width = 32,
                          .vocabulary = VOCABULARY,
                          .max_sequence = SEQUENCE,
                          .class_count = family == LSPO_FAMILY_BERT ? 2 : 0,
                          .tied_head = !llama};
}

/* Ten times as large as a training begins with, so that what is said depends on what was said. */
static void make_weights(const lspo_model_t *model, float **weights)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_stage_t shape;
        lspo_model_stage(model, s, &shape);
        weights[s] = malloc(shape.element_count * sizeof(float));
        cr_assert_not_null(weights[s]);
        lspo_transformer_init(model, s, 5, weights[s]);
        for (size_t i = 0; i < shape.element_count; i++)
            weights[s][i] *= 10;
    }
}

static void free_weights(float **weights)
{
    for (uint32_t s = 0; s < STAGES; s++)
        free(weights[s]);
}

/* The token that behind `count` others costs least, from losses of sequences of exactly count tokens. */
static uint32_t cheapest(const lspo_model_t *model, float **weights, const uint32_t *ids, uint32_t count)
{
    lspo_transformer_t *t = NULL;
    void *workspace =
        aligned_alloc(64, (lspo_transformer_workspace_bytes(model, 1, count, LSPO_NUMBER_FP32) + 63) / 64 * 64);
    cr_assert_eq(lspo_transformer_create(model, 1, count, lspo_compute_host(), workspace, &t), LSPO_OK);
    float x[STAGES][SEQUENCE * 16];
    void *saved = malloc(lspo_transformer_saved_bytes(t, 1));
    lspo_transformer_embed_forward(t, ids, weights[0], x[0]);
    for (uint32_t s = 1; s + 1 < STAGES; s++)
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){.weights = weights[s]}, x[s - 1], saved, x[s]);
    double least = HUGE_VAL;
    uint32_t best = 0;
    for (uint32_t next = 0; next < VOCABULARY; next++) {
        uint32_t targets[SEQUENCE];
        double loss;
        for (uint32_t i = 0; i < count; i++)
            targets[i] = i + 1 < count ? LSPO_TARGET_IGNORED : next;
        lspo_transformer_head_forward(t, &(lspo_head_parameters_t){weights[STAGES - 1], weights[0]}, targets,
                                      x[STAGES - 2], NULL, &loss);
        best = loss < least ? next : best;
        least = loss < least ? loss : least;
    }
    free(saved);
    lspo_transformer_destroy(t);
    free(workspace);
    return best;
}

static void check_family(lspo_family_t family)
{
    const lspo_model_t model = small_model(family);
    float *weights[STAGES];
    uint32_t ids[SEQUENCE] = {7, 31, 2}, again[SEQUENCE] = {7, 31, 2}, different = 0;
    lspo_tokens_t text = {.ids = ids, .count = PROMPT, .capacity = SEQUENCE};
    make_weights(&model, weights);
    cr_assert_eq(lspo_sample(&model, (const float *const *)weights, UINT32_MAX, &text), LSPO_OK);
    cr_assert_eq(text.count, SEQUENCE);
    for (uint32_t i = PROMPT; i < SEQUENCE; i++) {
        cr_expect_eq(ids[i], cheapest(&model, weights, ids, i), "token %u", i);
        different += ids[i] != ids[PROMPT];
    }
    cr_expect_gt(different, 0, "one token only: nothing depends on the text");
    /* Fewer are the first of them; the end token ends it and is left out. */
    text = (lspo_tokens_t){.ids = again, .count = PROMPT, .capacity = PROMPT + 4};
    cr_assert_eq(lspo_sample(&model, (const float *const *)weights, UINT32_MAX, &text), LSPO_OK);
    cr_expect_eq(text.count, PROMPT + 4);
    cr_expect_arr_eq(again, ids, text.count * sizeof ids[0]);
    text.count = PROMPT;
    cr_assert_eq(lspo_sample(&model, (const float *const *)weights, ids[PROMPT], &text), LSPO_OK);
    cr_expect_eq(text.count, PROMPT);
    free_weights(weights);
}

Test(sample, is_what_costs_a_gpt_least)
{
    check_family(LSPO_FAMILY_GPT);
}

Test(sample, is_what_costs_a_llama_least)
{
    check_family(LSPO_FAMILY_LLAMA);
}

Test(sample, weights_that_are_no_numbers_and_what_reads_both_ways_are_refused)
{
    lspo_model_t model = small_model(LSPO_FAMILY_GPT);
    float *weights[STAGES];
    uint32_t ids[SEQUENCE] = {1};
    lspo_tokens_t text = {.ids = ids, .count = 1, .capacity = 3};
    make_weights(&model, weights);
    lspo_stage_t shape;
    lspo_model_stage(&model, 1, &shape);
    for (size_t i = 0; i < shape.element_count; i++)
        weights[1][i] = (float)NAN;
    cr_expect_eq(lspo_sample(&model, (const float *const *)weights, UINT32_MAX, &text), LSPO_ERR_NUMERIC);
    model = small_model(LSPO_FAMILY_BERT);
    cr_expect_eq(lspo_sample(&model, (const float *const *)weights, UINT32_MAX, &text), LSPO_ERR_INPUT);
    cr_expect_eq(text.count, 1);
    free_weights(weights);
}
