/* A generator against the whole forward pass of the transformer: logits at each length, in any division into passes. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "real/generate/generator.h"

enum { STAGES = 4, VOCABULARY = 40, BATCH = 2, WIDTH = 24, MOST = 300 };

static lspo_model_t gpt(void)
{
    return (lspo_model_t){.name = "gpt",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 3,
                          .kv_head_count = 3,
                          .mlp_width = 40,
                          .vocabulary = VOCABULARY,
                          .max_sequence = MOST,
                          .tied_head = true};
}

/* Grouped queries, heads of another width, norms of Q and K, biases, scaled positions. */
static lspo_model_t llama(void)
{
    return (lspo_model_t){.name = "llama",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 6,
                          .kv_head_count = 2,
                          .mlp_width = 40,
                          .vocabulary = VOCABULARY,
                          .max_sequence = MOST,
                          .head_width = 6,
                          .biases = LSPO_BIASES_ALL,
                          .qk_norm = LSPO_QK_NORM_HEAD,
                          .rope_scaling = LSPO_ROPE_LINEAR,
                          .rope_factor = 3};
}

typedef struct {
    lspo_model_t model;
    lspo_number_t number;
    void *stages[STAGES]; /* in the format */
    float *wide[STAGES];  /* their values  */
    uint32_t tokens[BATCH * MOST];
    lspo_device_t *device;
} fixture_t;

static fixture_t *make(lspo_model_t model, lspo_number_t number)
{
    fixture_t *f = calloc(1, sizeof *f);
    cr_assert_not_null(f);
    f->model = model;
    f->number = number;
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_stage_t shape;
        lspo_model_stage(&model, s, &shape);
        f->wide[s] = malloc(shape.element_count * sizeof(float));
        f->stages[s] = malloc(shape.element_count * sizeof(float));
        cr_assert(f->wide[s] != NULL && f->stages[s] != NULL);
        lspo_transformer_init(&model, s, 5, f->wide[s]);
        for (size_t i = 0; i < shape.element_count; i++) /* ten times, and no bias that is 0 or gain that is 1 */
            f->wide[s][i] = 10 * f->wide[s][i] + 0.01F * (float)(i % 7);
        lspo_convert(shape.element_count, LSPO_NUMBER_FP32, f->wide[s], number, f->stages[s]);
        lspo_convert(shape.element_count, number, f->stages[s], LSPO_NUMBER_FP32, f->wide[s]);
    }
    for (size_t i = 0; i < BATCH * MOST; i++)
        f->tokens[i] = (uint32_t)((i * 7 + i * i / 5) % VOCABULARY);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &f->device), LSPO_OK);
    return f;
}

static void release(fixture_t *f)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        free(f->stages[s]);
        free(f->wide[s]);
    }
    lspo_device_close(f->device);
    free(f);
}

static lspo_generator_options_t options_of(const fixture_t *f, uint32_t batch, uint32_t positions)
{
    return (lspo_generator_options_t){.model = &f->model,
                                      .stages = (const void *const *)f->stages,
                                      .batch = batch,
                                      .positions = positions,
                                      .weights = f->number,
                                      .device = f->device};
}

/* The logits behind the first `count` tokens of sequence b, by a pass over all of them. */
static void whole(const fixture_t *f, size_t b, uint32_t count, float *logits)
{
    const size_t bytes = lspo_transformer_workspace_bytes(&f->model, 1, count, LSPO_NUMBER_FP32);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    lspo_transformer_t *t = NULL;
    cr_assert_eq(lspo_transformer_create(&f->model, 1, count, lspo_compute_host(), workspace, &t), LSPO_OK);
    float *x = malloc(count * WIDTH * sizeof *x), *y = malloc(count * WIDTH * sizeof *y);
    void *saved = malloc(lspo_transformer_saved_bytes(t, 1));
    const uint32_t last = count - 1;
    lspo_transformer_embed_forward(t, f->tokens + b * MOST, f->wide[0], x);
    for (uint32_t s = 1; s + 1 < STAGES; s++) {
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){.weights = f->wide[s]}, x, saved, y);
        memcpy(x, y, count * WIDTH * sizeof *x);
    }
    lspo_transformer_logits(t, &(lspo_head_parameters_t){f->wide[STAGES - 1], f->wide[0]}, x, 1, &last, logits);
    free(saved);
    free(y);
    free(x);
    lspo_transformer_destroy(t);
    free(workspace);
}

static void check_logits(const fixture_t *f, const lspo_generator_t *g, uint32_t batch, double tolerance)
{
    const uint32_t count = (uint32_t)lspo_generator_length(g);
    for (size_t b = 0; b < batch; b++) {
        float wanted[VOCABULARY];
        double largest = 0;
        whole(f, b, count, wanted);
        for (size_t i = 0; i < VOCABULARY; i++)
            largest = fmax(largest, fabs((double)wanted[i]));
        for (size_t i = 0; i < VOCABULARY; i++)
            cr_assert_float_eq((double)lspo_generator_logits(g)[b * VOCABULARY + i], (double)wanted[i],
                               tolerance * largest, "%s, format %d: sequence %zu, %u tokens, logit %zu", f->model.name,
                               f->number, b, count, i);
    }
}

/* Products of few and of many rows add in another order, which these weights make larger: up to 6e-5. */
static const double rounding = 2e-4;

/* A prompt longer than a chunk, tokens one by one, some at once, and from an earlier place again. */
static void check_model(lspo_model_t model, lspo_number_t number)
{
    fixture_t *f = make(model, number);
    const lspo_generator_options_t options = options_of(f, BATCH, MOST);
    lspo_generator_t *g = NULL;
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    const size_t passes[] = {1, 1, 3, 1, 60, 1, LSPO_GENERATOR_CHUNK - 67, 1, 7};
    size_t length = 0;
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        cr_assert_eq(lspo_generator_read(g, f->tokens + length, MOST, passes[i]), LSPO_OK);
        length += passes[i];
        check_logits(f, g, BATCH, rounding);
    }
    lspo_generator_rewind(g, 4);
    cr_assert_eq(lspo_generator_read(g, f->tokens + 4, MOST, LSPO_GENERATOR_CHUNK + 9), LSPO_OK);
    check_logits(f, g, BATCH, rounding);
    cr_assert_eq(lspo_generator_read(g, f->tokens + lspo_generator_length(g), MOST, 1), LSPO_OK);
    check_logits(f, g, BATCH, rounding);
    lspo_generator_destroy(g);
    release(f);
}

Test(generator, a_gpt_is_its_whole_forward_pass)
{
    check_model(gpt(), LSPO_NUMBER_FP32);
}

Test(generator, a_llama_is_its_whole_forward_pass)
{
    check_model(llama(), LSPO_NUMBER_FP32);
}

Test(generator, weights_of_16_bits_are_their_values)
{
    check_model(gpt(), LSPO_NUMBER_BF16);
    check_model(llama(), LSPO_NUMBER_BF16);
    check_model(llama(), LSPO_NUMBER_FP16);
}

/* 8 bits of mantissa in K and V: close, but not equal. */
Test(generator, a_cache_of_16_bits_is_near)
{
    fixture_t *f = make(llama(), LSPO_NUMBER_FP32);
    lspo_generator_options_t options = options_of(f, 1, 20);
    options.cache = LSPO_NUMBER_BF16;
    lspo_generator_t *g = NULL;
    float wanted[VOCABULARY];
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    cr_assert_eq(lspo_generator_read(g, f->tokens, MOST, 12), LSPO_OK);
    cr_assert_eq(lspo_generator_read(g, f->tokens + 12, MOST, 1), LSPO_OK);
    check_logits(f, g, 1, 0.2);
    whole(f, 0, 13, wanted);
    cr_expect_neq(memcmp(wanted, lspo_generator_logits(g), sizeof wanted), 0);
    lspo_generator_destroy(g);
    release(f);
}

Test(generator, the_number_of_workers_does_not_change_the_result)
{
    fixture_t *f = make(llama(), LSPO_NUMBER_BF16);
    lspo_generator_options_t options = options_of(f, 1, 40);
    lspo_generator_t *one = NULL, *three = NULL;
    cr_assert_eq(lspo_generator_create(&options, &one), LSPO_OK);
    cr_assert_eq(lspo_workers_create(3, NULL, &options.workers), LSPO_OK);
    cr_assert_eq(lspo_generator_create(&options, &three), LSPO_OK);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(lspo_generator_read(one, f->tokens + i, MOST, 1), LSPO_OK);
        cr_assert_eq(lspo_generator_read(three, f->tokens + i, MOST, 1), LSPO_OK);
        cr_expect_arr_eq(lspo_generator_logits(one), lspo_generator_logits(three), VOCABULARY * sizeof(float));
    }
    lspo_generator_destroy(three);
    lspo_generator_destroy(one);
    lspo_workers_destroy(options.workers);
    release(f);
}

/* ---- one text ---- */

typedef struct {
    uint32_t tokens[16];
    size_t count, fail_at;
    atomic_int stop;
    size_t stop_at;
} heard_t;

static lspo_status_t hear(void *context, uint32_t token)
{
    heard_t *heard = context;
    if (heard->count == heard->fail_at)
        return LSPO_ERR_IO;
    heard->tokens[heard->count++] = token;
    if (heard->count == heard->stop_at)
        heard->stop = 1;
    return LSPO_OK;
}

static lspo_status_t continue_text(const fixture_t *f, lspo_text_options_t options, heard_t *heard, uint32_t *ids,
                                   lspo_text_result_t *result)
{
    const lspo_generator_options_t generator_options = options_of(f, 1, 13);
    lspo_generator_t *g = NULL;
    options.token = hear;
    options.context = heard;
    options.stop = &heard->stop;
    memcpy(ids, f->tokens, 3 * sizeof *ids);
    cr_assert_eq(lspo_generator_create(&generator_options, &g), LSPO_OK);
    const lspo_status_t status = lspo_generator_continue(g, &options, ids, 3, result);
    lspo_generator_destroy(g);
    return status;
}

Test(generator, a_text_ends_where_it_is_told)
{
    fixture_t *f = make(gpt(), LSPO_NUMBER_FP32);
    uint32_t all[13], ids[13];
    heard_t heard = {.fail_at = 99};
    lspo_text_result_t result;
    cr_assert_eq(continue_text(f, (lspo_text_options_t){.most = 10}, &heard, all, &result), LSPO_OK);
    cr_expect_eq(result.count, 10);
    cr_expect_eq(result.end, LSPO_END_TOKENS);
    cr_expect_arr_eq(heard.tokens, all + 3, sizeof(uint32_t) * 10);
    /* The first token that has not come before it: the text ends there, and it is not heard. */
    size_t at = 4;
    while (all[at] == all[3])
        at++;
    heard = (heard_t){.fail_at = 99};
    const uint32_t end[] = {VOCABULARY, all[at]};
    cr_assert_eq(continue_text(f, (lspo_text_options_t){.most = 10, .ends = end, .end_count = 2}, &heard, ids, &result),
                 LSPO_OK);
    cr_expect_eq(result.end, LSPO_END_TOKEN);
    cr_expect_eq(result.count, at - 2);
    cr_expect_eq(heard.count, at - 3);
    /* Cancelled behind the fourth. */
    heard = (heard_t){.fail_at = 99, .stop_at = 4};
    cr_assert_eq(continue_text(f, (lspo_text_options_t){.most = 10}, &heard, ids, &result), LSPO_OK);
    cr_expect_eq(result.end, LSPO_END_STOPPED);
    cr_expect_eq(result.count, 4);
    cr_expect_arr_eq(ids, all, 7 * sizeof *ids);
    /* What hears the tokens may fail. */
    heard = (heard_t){.fail_at = 2};
    cr_expect_eq(continue_text(f, (lspo_text_options_t){.most = 10}, &heard, ids, &result), LSPO_ERR_IO);
    release(f);
}

/* Stopped while the prompt is read: no token comes, nothing is heard, and the next text is as ever. */
Test(generator, a_long_prompt_can_be_stopped)
{
    fixture_t *f = make(gpt(), LSPO_NUMBER_FP32);
    const lspo_generator_options_t generator_options = options_of(f, 1, MOST);
    enum { PROMPT = LSPO_GENERATOR_CHUNK + 9 };
    uint32_t ids[MOST];
    heard_t heard = {.fail_at = 99, .stop = 1};
    lspo_text_options_t options = {.most = 3, .token = hear, .context = &heard, .stop = &heard.stop};
    lspo_text_result_t result;
    lspo_generator_t *g = NULL;
    memcpy(ids, f->tokens, sizeof ids);
    cr_assert_eq(lspo_generator_create(&generator_options, &g), LSPO_OK);
    cr_assert_eq(lspo_generator_continue(g, &options, ids, PROMPT, &result), LSPO_OK);
    cr_expect_eq(result.end, LSPO_END_STOPPED);
    cr_expect_eq(result.count, 0);
    cr_expect(result.first_s == 0 && result.rest_s == 0);
    cr_expect_eq(heard.count, 0);
    cr_expect_lt(lspo_generator_length(g), PROMPT);
    heard.stop = 0;
    cr_assert_eq(lspo_generator_continue(g, &options, ids, PROMPT, &result), LSPO_OK);
    cr_expect_eq(result.end, LSPO_END_TOKENS);
    cr_expect_eq(heard.count, 3);
    lspo_generator_destroy(g);
    release(f);
}

/* ---- bad input ---- */

static lspo_status_t try_create(const lspo_generator_options_t *options)
{
    lspo_generator_t *g = NULL;
    const lspo_status_t status = lspo_generator_create(options, &g);
    lspo_generator_destroy(g);
    return status;
}

Test(generator, refuses_what_it_cannot_compute)
{
    fixture_t *f = make(llama(), LSPO_NUMBER_FP32);
    lspo_generator_options_t options = options_of(f, 1, MOST + 1);
    cr_expect_eq(try_create(&options), LSPO_ERR_INPUT); /* beyond the model's positions */
    options.positions = 20;
    f->model.window = 19;
    cr_expect_eq(try_create(&options), LSPO_ERR_INPUT); /* beyond its window */
    options.positions = 19;
    cr_expect_eq(try_create(&options), LSPO_OK);
    f->model.family = LSPO_FAMILY_BERT;
    cr_expect_eq(try_create(&options), LSPO_ERR_INPUT);
    release(f);
}

/* A cache that does not fit: the device has everything back. */
Test(generator, refuses_a_cache_that_does_not_fit)
{
    fixture_t *f = make(gpt(), LSPO_NUMBER_FP32);
    lspo_generator_options_t options = options_of(f, BATCH, MOST);
    const uint64_t bytes = lspo_generator_bytes(&options);
    lspo_device_t *small = NULL, *enough = NULL;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = bytes - 1}, &small), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = bytes}, &enough), LSPO_OK);
    options.device = small;
    cr_expect_eq(try_create(&options), LSPO_ERR_FIT);
    options.device = enough;
    cr_expect_eq(try_create(&options), LSPO_OK);
    cr_expect_eq(try_create(&options), LSPO_OK);
    cr_expect_eq(lspo_device_peak_bytes(enough), bytes);
    lspo_device_close(enough);
    lspo_device_close(small);
    release(f);
}
