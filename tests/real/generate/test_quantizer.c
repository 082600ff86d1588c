/* Models with blocks in 4 bits: the same logits as of the numbers that their codes stand for, GPTQ against rounding,
 * cross-entropy against logits, and what cannot be held; pruned models against inputs and scores in double. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "real/generate/generator.h"
#include "real/generate/quantizer.h"

enum { STAGES = 4, VOCABULARY = 50, WIDTH = 48, MOST = 300, SEQUENCES = 6, LENGTH = 40 };

static lspo_model_t gpt(void)
{
    return (lspo_model_t){.name = "gpt",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 3,
                          .kv_head_count = 3,
                          .mlp_width = 200,
                          .vocabulary = VOCABULARY,
                          .max_sequence = MOST,
                          .tied_head = true};
}

static lspo_model_t llama(void)
{
    return (lspo_model_t){.name = "llama",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 6,
                          .kv_head_count = 2,
                          .mlp_width = 150,
                          .vocabulary = VOCABULARY,
                          .max_sequence = MOST,
                          .biases = LSPO_BIASES_ALL};
}

/* Random weights, four times as large as a training begins with, and in one place something else. */
typedef struct {
    lspo_model_t model;
    uint32_t stage; /* of that place; 0: there is none */
    float bad;
    bool uneven; /* some channels of norms and experts are larger, as in large models, and inputs have no mean */
} origin_t;

/* Of one of an expert's matrices. */
static size_t expert_elements(const lspo_model_t *model)
{
    return (size_t)model->width * model->mlp_width;
}

static void fill(const origin_t *origin, uint32_t stage, float *wide)
{
    lspo_stage_t shape;
    lspo_model_stage(&origin->model, stage, &shape);
    lspo_transformer_init(&origin->model, stage, 5, wide);
    for (size_t i = 0; i < shape.element_count; i++)
        wide[i] = 4 * wide[i] + (origin->uneven ? 0 : 0.01F * (float)(i % 7));
    for (uint32_t i = 0; origin->uneven && i < shape.tensor_count; i++)
        for (size_t k = 0; strstr(shape.tensors[i].name, "norm") != NULL && k < WIDTH; k += 6)
            wide[shape.tensors[i].offset_elements + k] *= 8;
    for (uint32_t i = shape.expert_first; origin->uneven && i < shape.linear_count; i++)
        for (size_t k = 0, one = expert_elements(&origin->model); k < one * origin->model.expert_count; k++)
            wide[shape.tensors[i].offset_elements + k] *= (float)(1 + k / one);
    if (stage > 0 && stage == origin->stage)
        wide[77] = origin->bad;
}

static size_t elements(const lspo_model_t *model, uint32_t stage)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    return shape.element_count;
}

static lspo_status_t load(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    const origin_t *origin = context;
    float *wide = malloc(elements(&origin->model, stage) * sizeof *wide);
    cr_assert_not_null(wide);
    fill(origin, stage, wide);
    lspo_convert(elements(&origin->model, stage), LSPO_NUMBER_FP32, wide, number, weights);
    free(wide);
    return LSPO_OK;
}

typedef struct {
    lspo_device_t *device;
    lspo_generation_weights_t weights;
    uint64_t peak_bytes;
} loaded_t;

static lspo_quantizer_options_t options_of(origin_t *origin, uint32_t group, const uint32_t *tokens)
{
    return (lspo_quantizer_options_t){.from = {.model = &origin->model,
                                               .number = LSPO_NUMBER_BF16,
                                               .int4 = {.on = true, .group = group},
                                               .load = load,
                                               .context = origin},
                                      .tokens = tokens,
                                      .sequences = SEQUENCES,
                                      .length = LENGTH};
}

static lspo_status_t quantize(lspo_quantizer_options_t options, loaded_t *out)
{
    lspo_quantizer_t *quantizer = NULL;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &out->device), LSPO_OK);
    options.device = out->device;
    cr_assert_eq(lspo_quantizer_create(&options, &quantizer), LSPO_OK);
    lspo_weights_source_t source = options.from;
    source.load = lspo_quantizer_load;
    source.context = quantizer;
    lspo_status_t status = lspo_generation_weights_load(&source, out->device, &out->weights);
    out->peak_bytes = lspo_device_peak_bytes(out->device);
    lspo_quantizer_destroy(quantizer);
    return status;
}

static void release(loaded_t *l)
{
    lspo_generation_weights_release(&l->weights);
    lspo_device_close(l->device);
}

/* The numbers that a stage's codes stand for. */
static float *expanded(const lspo_model_t *model, uint32_t stage, const lspo_int4_form_t *int4, const char *stored)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    float *wide = malloc(shape.element_count * sizeof *wide);
    cr_assert_not_null(wide);
    if (shape.kind != LSPO_STAGE_BLOCK) {
        lspo_convert(shape.element_count, LSPO_NUMBER_BF16, stored, LSPO_NUMBER_FP32, wide);
        return wide;
    }
    for (uint32_t i = 0; i < shape.linear_count; i++) {
        const lspo_int4_shape_t of = lspo_int4_shape(int4, shape.tensors[i].rows, shape.tensors[i].cols);
        lspo_int4_expand(&of, stored, &(lspo_int4_part_t){0, of.m, 0, of.n}, wide + shape.tensors[i].offset_elements,
                         of.n);
        stored += lspo_int4_bytes(&of);
    }
    const uint64_t linear = shape.tensors[shape.linear_count].offset_elements;
    lspo_convert(shape.element_count - linear, LSPO_NUMBER_BF16, stored, LSPO_NUMBER_FP32, wide + linear);
    return wide;
}

static void fill_tokens(size_t count, uint32_t *tokens)
{
    for (size_t i = 0; i < count; i++)
        tokens[i] = (uint32_t)((i * 7 + i * i / 5 + i * i * i / 11) % VOCABULARY);
}

static lspo_generator_t *generator(const lspo_model_t *model, const void *const *stages, lspo_number_t number,
                                   const lspo_int4_form_t *int4, lspo_device_t *device)
{
    lspo_generator_t *g = NULL;
    const lspo_generator_options_t options = {.model = model,
                                              .stages = stages,
                                              .batch = 1,
                                              .positions = MOST,
                                              .weights = number,
                                              .int4 = *int4,
                                              .device = device};
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    return g;
}

static void check_logits(lspo_model_t model, uint32_t group)
{
    origin_t origin = {.model = model};
    const lspo_int4_form_t int4 = {.on = true, .group = group};
    float *wide[STAGES];
    uint32_t tokens[60];
    loaded_t l;
    fill_tokens(60, tokens);
    cr_assert_eq(quantize(options_of(&origin, group, NULL), &l), LSPO_OK);
    for (uint32_t s = 0; s < STAGES; s++)
        wide[s] = expanded(&model, s, &int4, l.weights.stages[s]);
    lspo_generator_t *g = generator(&model, (const void *const *)l.weights.stages, LSPO_NUMBER_BF16, &int4, l.device);
    lspo_generator_t *same =
        generator(&model, (const void *const *)wide, LSPO_NUMBER_FP32, &(lspo_int4_form_t){0}, l.device);
    for (size_t at = 0, some = 40; at < 60; at += some, some = at < 50 ? 5 : 1) { /* many rows, few, one */
        double error = 0, size = 0;
        cr_assert_eq(lspo_generator_read(g, tokens + at, some, some), LSPO_OK);
        cr_assert_eq(lspo_generator_read(same, tokens + at, some, some), LSPO_OK);
        for (size_t i = 0; i < VOCABULARY; i++) {
            error += fabs((double)lspo_generator_logits(g)[i] - (double)lspo_generator_logits(same)[i]);
            size += fabs((double)lspo_generator_logits(same)[i]);
        }
        cr_assert_lt(error, 1e-3 * size, "%s, group %u, %zu tokens: %g of %g", model.name, group, at + some, error,
                     size);
    }
    lspo_generator_destroy(g);
    lspo_generator_destroy(same);
    for (uint32_t s = 0; s < STAGES; s++)
        free(wide[s]);
    release(&l);
}

Test(quantizer, logits_are_those_of_the_numbers_that_codes_stand_for)
{
    check_logits(gpt(), 128);
    check_logits(gpt(), 0);
    check_logits(llama(), 32);
}

/* ---- GPTQ ---- */

/* How far the output of the model's blocks on the calibration's tokens is from that of the weights in fp32, as the
 * difference of logits. */
static double distance(const origin_t *origin, const loaded_t *l, const lspo_int4_form_t *int4, const uint32_t *tokens)
{
    const lspo_model_t *model = &origin->model;
    float *wide[STAGES];
    double sum = 0;
    for (uint32_t s = 0; s < STAGES; s++) {
        wide[s] = malloc(elements(model, s) * sizeof(float));
        cr_assert_not_null(wide[s]);
        fill(origin, s, wide[s]);
    }
    lspo_generator_t *g = generator(model, (const void *const *)l->weights.stages, LSPO_NUMBER_BF16, int4, l->device);
    lspo_generator_t *exact =
        generator(model, (const void *const *)wide, LSPO_NUMBER_FP32, &(lspo_int4_form_t){0}, l->device);
    for (size_t s = 0; s < SEQUENCES; s++) {
        lspo_generator_rewind(g, 0);
        lspo_generator_rewind(exact, 0);
        for (size_t i = 0; i < LENGTH; i++) {
            cr_assert_eq(lspo_generator_read(g, tokens + s * LENGTH + i, 1, 1), LSPO_OK);
            cr_assert_eq(lspo_generator_read(exact, tokens + s * LENGTH + i, 1, 1), LSPO_OK);
            for (size_t j = 0; j < VOCABULARY; j++)
                sum += pow((double)lspo_generator_logits(g)[j] - (double)lspo_generator_logits(exact)[j], 2);
        }
    }
    lspo_generator_destroy(g);
    lspo_generator_destroy(exact);
    for (uint32_t s = 0; s < STAGES; s++)
        free(wide[s]);
    return sum;
}

Test(quantizer, gptq_is_nearer_to_the_model_than_rounding)
{
    const lspo_model_t models[] = {gpt(), llama()};
    uint32_t tokens[SEQUENCES * LENGTH];
    fill_tokens(SEQUENCES * LENGTH, tokens);
    for (size_t k = 0; k < 2; k++) {
        origin_t origin = {.model = models[k]};
        const lspo_int4_form_t int4 = {.on = true, .group = 32};
        loaded_t rounded, calibrated;
        cr_assert_eq(quantize(options_of(&origin, 32, NULL), &rounded), LSPO_OK);
        cr_assert_eq(quantize(options_of(&origin, 32, tokens), &calibrated), LSPO_OK);
        const double before = distance(&origin, &rounded, &int4, tokens);
        const double after = distance(&origin, &calibrated, &int4, tokens);
        cr_expect_lt(after, 0.8 * before, "%s: %g, rounding %g", models[k].name, after, before);
        release(&rounded);
        release(&calibrated);
    }
}

/* ---- pruning ---- */

static lspo_quantizer_options_t pruned_of(origin_t *origin, double sparsity, const uint32_t *tokens)
{
    lspo_quantizer_options_t options = options_of(origin, 0, tokens);
    options.from.int4.on = false;
    options.sparsity = sparsity;
    return options;
}

/* A number as it is stored. */
static double in_bf16(float x)
{
    uint16_t narrow;
    lspo_convert(1, LSPO_NUMBER_FP32, &x, LSPO_NUMBER_BF16, &narrow);
    lspo_convert(1, LSPO_NUMBER_BF16, &narrow, LSPO_NUMBER_FP32, &x);
    return (double)x;
}

static const float *tensor_of(const lspo_stage_t *block, const float *weights, const char *name)
{
    for (uint32_t i = 0; i < block->tensor_count; i++)
        if (strcmp(block->tensors[i].name, name) == 0)
            return weights + block->tensors[i].offset_elements;
    return NULL;
}

/* Sums of squares of what the first weights of the first block read: the norm of an embedding. */
static void squares_of_norms(const origin_t *origin, const uint32_t *tokens, const float *weights, double *squares_out)
{
    const bool is_gpt = origin->model.family == LSPO_FAMILY_GPT;
    float *embedding = malloc(elements(&origin->model, 0) * sizeof *embedding);
    lspo_stage_t block;
    cr_assert_not_null(embedding);
    fill(origin, 0, embedding);
    lspo_model_stage(&origin->model, 1, &block);
    const float *gain = tensor_of(&block, weights, "norm1_gain"), *bias = tensor_of(&block, weights, "norm1_bias");
    cr_assert(gain != NULL && (bias != NULL) == is_gpt);
    memset(squares_out, 0, WIDTH * sizeof *squares_out);
    for (size_t t = 0; t < SEQUENCES * LENGTH; t++) {
        double x[WIDTH], mean = 0, variance = 0;
        for (size_t i = 0; i < WIDTH; i++) {
            x[i] = in_bf16(embedding[tokens[t] * WIDTH + i]);
            x[i] += is_gpt ? in_bf16(embedding[(VOCABULARY + t % LENGTH) * WIDTH + i]) : 0;
            mean += is_gpt ? x[i] / WIDTH : 0;
        }
        for (size_t i = 0; i < WIDTH; i++)
            variance += (x[i] - mean) * (x[i] - mean) / WIDTH;
        for (size_t i = 0; i < WIDTH; i++)
            squares_out[i] += pow((x[i] - mean) / sqrt(variance + (is_gpt ? 1e-5 : 1e-6)) * (double)gain[i] +
                                      (is_gpt ? (double)bias[i] : 0),
                                  2);
    }
    free(embedding);
}

/* A column of WIDTH inputs: half is pruned, and nothing that clearly counts more than what stays.  Is it other than the
 * half of least magnitude? */
static bool check_column(const float *dense, const float *pruned, size_t stride, const double *squares)
{
    double most_pruned = 0, least_kept = INFINITY, largest_pruned = 0, smallest_kept = INFINITY;
    size_t zeros = 0;
    for (size_t i = 0; i < WIDTH; i++) {
        const double magnitude = fabs((double)dense[i * stride]), score = magnitude * sqrt(squares[i]);
        if (pruned[i * stride] == 0) {
            zeros++;
            most_pruned = fmax(most_pruned, score);
            largest_pruned = fmax(largest_pruned, magnitude);
        } else {
            least_kept = fmin(least_kept, score);
            smallest_kept = fmin(smallest_kept, magnitude);
            cr_assert_float_eq((double)pruned[i * stride], (double)dense[i * stride], 0.005 * magnitude);
        }
    }
    cr_assert_eq(zeros, WIDTH / 2, "%zu zeros", zeros);
    cr_assert_leq(most_pruned, least_kept * (1 + 1e-4), "%g is pruned, %g kept", most_pruned, least_kept);
    return largest_pruned > smallest_kept;
}

static void check_wanda(lspo_model_t model, uint32_t weights)
{
    origin_t origin = {.model = model, .uneven = true};
    uint32_t tokens[SEQUENCES * LENGTH];
    double squares[WIDTH];
    lspo_stage_t block;
    loaded_t l;
    fill_tokens(SEQUENCES * LENGTH, tokens);
    lspo_model_stage(&origin.model, 1, &block);
    float *dense = malloc(block.element_count * sizeof *dense), *pruned = malloc(block.element_count * sizeof *pruned);
    cr_assert(dense != NULL && pruned != NULL);
    fill(&origin, 1, dense);
    squares_of_norms(&origin, tokens, dense, squares);
    cr_assert_eq(quantize(pruned_of(&origin, 0.5, tokens), &l), LSPO_OK);
    lspo_convert(block.element_count, LSPO_NUMBER_BF16, l.weights.stages[1], LSPO_NUMBER_FP32, pruned);
    for (uint32_t k = 0; k < weights; k++) {
        const lspo_tensor_t *w = &block.tensors[k];
        size_t other = 0;
        for (size_t j = 0; j < w->cols; j++)
            other +=
                check_column(dense + w->offset_elements + j, pruned + w->offset_elements + j, w->cols, squares) ? 1 : 0;
        cr_expect_gt(other, w->cols / 2, "%s: the inputs decide in %zu of %u columns", w->name, other, w->cols);
    }
    release(&l);
    free(dense), free(pruned);
}

Test(quantizer, wanda_prunes_by_the_inputs_of_the_calibration)
{
    check_wanda(gpt(), 1);   /* qkv     */
    check_wanda(llama(), 3); /* q, k, v */
}

Test(quantizer, wanda_is_nearer_to_the_model_than_magnitude)
{
    const lspo_model_t models[] = {gpt(), llama()};
    uint32_t tokens[SEQUENCES * LENGTH];
    fill_tokens(SEQUENCES * LENGTH, tokens);
    for (size_t k = 0; k < 2; k++) {
        origin_t origin = {.model = models[k], .uneven = true};
        const lspo_int4_form_t none = {0};
        loaded_t magnitude, wanda;
        cr_assert_eq(quantize(pruned_of(&origin, 0.5, NULL), &magnitude), LSPO_OK);
        cr_assert_eq(quantize(pruned_of(&origin, 0.5, tokens), &wanda), LSPO_OK);
        const double before = distance(&origin, &magnitude, &none, tokens);
        const double after = distance(&origin, &wanda, &none, tokens);
        cr_expect_lt(after, 0.95 * before, "%s: %g, magnitude %g", models[k].name, after, before);
        release(&magnitude);
        release(&wanda);
    }
}

Test(quantizer, what_is_not_finite_is_not_pruned)
{
    uint32_t tokens[SEQUENCES * LENGTH];
    fill_tokens(SEQUENCES * LENGTH, tokens);
    for (int calibrated = 0; calibrated < 2; calibrated++) {
        origin_t origin = {.model = llama(), .stage = 2, .bad = NAN};
        loaded_t l = {0};
        cr_expect_eq(quantize(pruned_of(&origin, 0.5, calibrated ? tokens : NULL), &l), LSPO_ERR_INPUT);
        lspo_device_close(l.device);
    }
    /* Inputs of the second block, by weights of the first. */
    origin_t origin = {.model = llama(), .stage = 1, .bad = 3e38F};
    loaded_t l = {0};
    cr_expect_eq(quantize(pruned_of(&origin, 0, tokens), &l), LSPO_ERR_INPUT);
    lspo_device_close(l.device);
}

static lspo_model_t with_experts(void)
{
    lspo_model_t model = llama();
    model.expert_count = 4;
    model.experts_per_token = 2;
    return model;
}

static size_t zeros_among(size_t count, const float *w)
{
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++)
        zeros += w[i] == 0;
    return zeros;
}

/* Whose weights are up to four times as large as those of another. */
Test(quantizer, each_expert_loses_the_share_and_the_router_nothing)
{
    origin_t origin = {.model = with_experts(), .uneven = true};
    const size_t one = expert_elements(&origin.model);
    lspo_stage_t block;
    loaded_t l;
    lspo_model_stage(&origin.model, 1, &block);
    float *w = malloc(block.element_count * sizeof *w);
    cr_assert_not_null(w);
    cr_assert_eq(quantize(pruned_of(&origin, 0.25, NULL), &l), LSPO_OK);
    lspo_convert(block.element_count, LSPO_NUMBER_BF16, l.weights.stages[1], LSPO_NUMBER_FP32, w);
    cr_assert_str_eq(block.tensors[block.expert_first - 1].name, "router");
    for (uint32_t i = 0; i < block.expert_first; i++) {
        const size_t count = (size_t)block.tensors[i].rows * block.tensors[i].cols;
        cr_expect_eq(zeros_among(count, w + block.tensors[i].offset_elements),
                     i + 1 < block.expert_first ? count / 4 : 0, "%s", block.tensors[i].name);
    }
    for (uint32_t i = block.expert_first; i < block.linear_count; i++)
        for (size_t e = 0; e < origin.model.expert_count; e++)
            cr_expect_eq(zeros_among(one, w + block.tensors[i].offset_elements + e * one), one / 4, "%s of expert %zu",
                         block.tensors[i].name, e);
    release(&l);
    free(w);
}

/* By magnitude all is known beforehand: beside the weights a block in fp32 and the scores of its largest matrix. */
Test(quantizer, memory_of_pruning_is_what_it_says)
{
    const lspo_model_t models[] = {gpt(), llama(), with_experts()};
    for (size_t k = 0; k < 3; k++) {
        origin_t origin = {.model = models[k]};
        const lspo_quantizer_options_t options = pruned_of(&origin, 0.5, NULL);
        const uint64_t bytes = (elements(&models[k], 1) + expert_elements(&models[k])) * sizeof(float);
        loaded_t l;
        cr_expect_eq(lspo_quantizer_bytes(&options), bytes);
        cr_assert_eq(quantize(options, &l), LSPO_OK);
        cr_expect_eq(l.peak_bytes, lspo_generation_weights_bytes(&options.from) + bytes);
        release(&l);
    }
}

Test(quantizer, takes_the_memory_that_it_says)
{
    uint32_t tokens[SEQUENCES * LENGTH];
    fill_tokens(SEQUENCES * LENGTH, tokens);
    origin_t origin = {.model = llama()};
    for (int kind = 0; kind < 4; kind++) {
        const uint32_t *some = kind % 2 == 1 ? tokens : NULL;
        const lspo_quantizer_options_t options =
            kind < 2 ? options_of(&origin, 128, some) : pruned_of(&origin, 0.5, some);
        loaded_t l;
        cr_assert_eq(quantize(options, &l), LSPO_OK);
        const uint64_t weights = lspo_generation_weights_bytes(&options.from);
        cr_expect_eq(l.peak_bytes, weights + lspo_quantizer_bytes(&options));
        release(&l);
    }
}

Test(quantizer, weights_that_4_bits_cannot_hold_are_refused)
{
    static const float bad[] = {NAN, INFINITY, 1e9F};
    uint32_t tokens[SEQUENCES * LENGTH];
    fill_tokens(SEQUENCES * LENGTH, tokens);
    for (size_t k = 0; k < 3; k++)
        for (int calibrated = 0; calibrated < 2; calibrated++) {
            origin_t origin = {.model = llama(), .stage = 2, .bad = bad[k]};
            loaded_t l = {0};
            cr_expect_eq(quantize(options_of(&origin, 128, calibrated ? tokens : NULL), &l), LSPO_ERR_INPUT);
            lspo_device_close(l.device);
        }
}

/* ---- cross-entropy ---- */

Test(quantizer, a_score_is_the_cross_entropy_of_every_token_but_the_first)
{
    enum { COUNT = 290 }; /* more than a pass reads */
    origin_t origin = {.model = llama()};
    const lspo_int4_form_t int4 = {.on = true, .group = 128};
    uint32_t tokens[COUNT];
    double wanted = 0, sum = 0, again = 0;
    loaded_t l;
    fill_tokens(COUNT, tokens);
    cr_assert_eq(quantize(options_of(&origin, 128, NULL), &l), LSPO_OK);
    lspo_generator_t *g =
        generator(&origin.model, (const void *const *)l.weights.stages, LSPO_NUMBER_BF16, &int4, l.device);
    for (size_t i = 0; i + 1 < COUNT; i++) {
        double total = 0;
        cr_assert_eq(lspo_generator_read(g, tokens + i, 1, 1), LSPO_OK);
        for (size_t j = 0; j < VOCABULARY; j++)
            total += exp((double)lspo_generator_logits(g)[j]);
        wanted += log(total) - (double)lspo_generator_logits(g)[tokens[i + 1]];
    }
    cr_assert_eq(lspo_generator_score(g, tokens, COUNT, &sum), LSPO_OK);
    cr_assert_eq(lspo_generator_score(g, tokens, COUNT, &again), LSPO_OK);
    cr_expect_float_eq(sum, wanted, 1e-3 * wanted, "%g, one by one %g", sum, wanted);
    cr_expect_eq(sum, again);
    lspo_generator_destroy(g);
    release(&l);
}
