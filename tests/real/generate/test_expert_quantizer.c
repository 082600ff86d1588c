/* Experts of models as they are loaded: packed ternary ones against the same numbers in dense weights, GPTQ against
 * rounding, whose inputs count for an expert, memory, and what is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gptq.h"
#include "kernels/pack.h"
#include "kernels/ternary_quantize.h"
#include "real/generate/generator.h"
#include "real/generate/quantizer.h"
#include "tests/said.h"

enum { STAGES = 4, VOCABULARY = 50, WIDTH = 48, INNER = 64, MOST = 120, SEQUENCES = 8, LENGTH = 60, EXPERTS = 4 };
enum { MATRICES = 3, TOKENS = SEQUENCES * LENGTH };

static lspo_model_t mixtral(uint32_t experts)
{
    return (lspo_model_t){.name = "small",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 6,
                          .kv_head_count = 2,
                          .mlp_width = INNER,
                          .vocabulary = VOCABULARY,
                          .max_sequence = MOST,
                          .expert_count = experts,
                          .experts_per_token = 2};
}

/* Random weights, four times as large as a training begins with. */
typedef struct {
    lspo_model_t model;
    bool same_gates; /* the router's weights are 0: each token chooses experts 0 and 1 */
    bool without_attention;
    bool bad; /* a number of an expert of the last block is infinite */
} origin_t;

static float *wide_of(const origin_t *origin, uint32_t stage)
{
    lspo_stage_t shape;
    lspo_model_stage(&origin->model, stage, &shape);
    float *wide = calloc(shape.element_count, sizeof *wide);
    cr_assert_not_null(wide);
    lspo_transformer_init(&origin->model, stage, 5, wide);
    for (size_t i = 0; i < shape.element_count; i++)
        wide[i] *= 4;
    if (shape.kind != LSPO_STAGE_BLOCK)
        return wide;
    const lspo_tensor_t *router = &shape.tensors[shape.expert_first - 1];
    for (size_t i = 0; i < (size_t)router->rows * router->cols; i++)
        wide[router->offset_elements + i] *= origin->same_gates ? 0 : 20;
    const lspo_tensor_t *attention = &shape.tensors[shape.expert_first - 2];
    for (size_t i = 0; i < (size_t)attention->rows * attention->cols; i++)
        wide[attention->offset_elements + i] *= origin->without_attention ? 0 : 1;
    for (uint32_t i = shape.linear_count; origin->without_attention && i < shape.tensor_count; i++)
        for (size_t k = 0; k < (size_t)shape.tensors[i].rows * shape.tensors[i].cols; k++)
            wide[shape.tensors[i].offset_elements + k] = 1;
    if (origin->bad && stage == STAGES - 2)
        wide[shape.tensors[shape.expert_first + 1].offset_elements + 7] = INFINITY;
    return wide;
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
    float *wide = wide_of(origin, stage);
    lspo_convert(elements(&origin->model, stage), LSPO_NUMBER_FP32, wide, number, weights);
    free(wide);
    return LSPO_OK;
}

static void fill_tokens(uint32_t *tokens)
{
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = (uint32_t)((i * 7 + i * i / 5 + i * i * i / 11) % VOCABULARY);
}

typedef struct {
    lspo_device_t *device;
    lspo_generation_weights_t weights;
    uint64_t cap_bytes, peak_bytes;
    uint32_t unseen;
} loaded_t;

static lspo_quantizer_options_t options_of(origin_t *origin, const uint32_t *tokens)
{
    return (lspo_quantizer_options_t){
        .from = {.model = &origin->model, .ternary = true, .load = load, .context = origin},
        .tokens = tokens,
        .sequences = SEQUENCES,
        .length = LENGTH};
}

static uint64_t used_bytes(const loaded_t *l)
{
    return l->cap_bytes - lspo_device_room_bytes(l->device);
}

static lspo_status_t quantize(lspo_quantizer_options_t options, uint64_t cap_bytes, loaded_t *out)
{
    lspo_quantizer_t *quantizer = NULL;
    *out = (loaded_t){.cap_bytes = cap_bytes > 0 ? cap_bytes : 1U << 30};
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = out->cap_bytes}, &out->device),
                 LSPO_OK);
    options.device = out->device;
    lspo_status_t status = lspo_quantizer_create(&options, &quantizer);
    if (status != LSPO_OK)
        return status;
    lspo_weights_source_t source = options.from;
    source.load = lspo_quantizer_load;
    source.context = quantizer;
    status = lspo_generation_weights_load(&source, out->device, &out->weights);
    if (status == LSPO_OK)
        out->weights.experts = lspo_quantizer_take_experts(quantizer);
    out->unseen = lspo_quantizer_unseen(quantizer);
    out->peak_bytes = lspo_device_peak_bytes(out->device);
    lspo_quantizer_destroy(quantizer);
    return status;
}

static loaded_t quantized(origin_t *origin, const uint32_t *tokens)
{
    loaded_t l;
    cr_assert_eq(quantize(options_of(origin, tokens), 0, &l), LSPO_OK);
    return l;
}

static void release(loaded_t *l)
{
    lspo_generation_weights_release(&l->weights);
    lspo_device_close(l->device);
}

/* A packed matrix, as products with unit vectors have it. */
static void expand(const lspo_ternary_t *packed, float *out)
{
    float unit[INNER] = {0};
    for (size_t i = 0; i < packed->m; i++) {
        unit[i] = 1;
        lspo_ternary_product(packed, 1, unit, out + i * packed->n, NULL);
        unit[i] = 0;
    }
}

/* A block's whole array: of fp32 what was stored, and the numbers of its packed experts. */
static float *dense_of(const origin_t *origin, const loaded_t *l, uint32_t stage)
{
    const size_t count = elements(&origin->model, stage);
    const float *stored = l->weights.stages[stage];
    float *wide = calloc(count, sizeof *wide);
    lspo_stage_t shape;
    cr_assert_not_null(wide);
    lspo_model_stage(&origin->model, stage, &shape);
    if (shape.kind != LSPO_STAGE_BLOCK) {
        memcpy(wide, stored, count * sizeof *wide);
        return wide;
    }
    const size_t first = shape.tensors[shape.expert_first].offset_elements;
    const size_t rest = shape.tensors[shape.linear_count].offset_elements;
    memcpy(wide, stored, first * sizeof *wide);
    memcpy(wide + rest, stored + first, (count - rest) * sizeof *wide);
    for (uint32_t e = 0; e < origin->model.expert_count; e++)
        for (uint32_t i = 0; i < MATRICES; i++)
            expand(&lspo_ternary_experts_of(l->weights.experts, stage)[e * MATRICES + i],
                   wide + shape.tensors[shape.expert_first + i].offset_elements + (size_t)e * WIDTH * INNER);
    return wide;
}

static lspo_generator_t *generator(const lspo_model_t *model, const void *const *stages,
                                   const lspo_ternary_experts_t *experts, lspo_device_t *device)
{
    lspo_generator_t *g = NULL;
    const lspo_generator_options_t options = {
        .model = model, .stages = stages, .experts = experts, .batch = 1, .positions = MOST, .device = device};
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    return g;
}

static void write_text(lspo_generator_t *g, uint32_t *tokens)
{
    const lspo_text_options_t options = {.most = 40};
    lspo_text_result_t result;
    fill_tokens(tokens);
    cr_assert_eq(lspo_generator_continue(g, &options, tokens, 20, &result), LSPO_OK);
    cr_assert_eq(result.count, 40);
}

static void check_texts(const uint32_t *calibration)
{
    origin_t origin = {.model = mixtral(EXPERTS)};
    loaded_t l = quantized(&origin, calibration);
    float *wide[STAGES];
    uint32_t tokens[TOKENS], others[TOKENS];
    for (uint32_t s = 0; s < STAGES; s++)
        wide[s] = dense_of(&origin, &l, s);
    lspo_generator_t *packed =
        generator(&origin.model, (const void *const *)l.weights.stages, l.weights.experts, l.device);
    lspo_generator_t *dense = generator(&origin.model, (const void *const *)wide, NULL, l.device);
    write_text(packed, tokens);
    write_text(dense, others);
    cr_expect_arr_eq(tokens, others, 60 * sizeof *tokens);
    for (size_t i = 0; i < VOCABULARY; i++)
        cr_expect_float_eq((double)lspo_generator_logits(packed)[i], (double)lspo_generator_logits(dense)[i], 1e-4);
    lspo_generator_destroy(packed);
    lspo_generator_destroy(dense);
    for (uint32_t s = 0; s < STAGES; s++)
        free(wide[s]);
    release(&l);
}

Test(expert_quantizer, texts_are_those_of_the_same_numbers_in_dense_weights)
{
    uint32_t tokens[TOKENS];
    fill_tokens(tokens);
    check_texts(NULL);
    check_texts(tokens);
}

/* Routers, attention, norms, embedding and head as they were; experts rounded as a kernel rounds each alone. */
Test(expert_quantizer, without_a_calibration_only_experts_change)
{
    origin_t origin = {.model = mixtral(EXPERTS)};
    loaded_t l = quantized(&origin, NULL);
    uint64_t nonzeros = 0;
    for (uint32_t s = 0; s < STAGES; s++) {
        float *wanted = wide_of(&origin, s), *got = dense_of(&origin, &l, s);
        lspo_stage_t shape;
        lspo_model_stage(&origin.model, s, &shape);
        for (uint32_t i = shape.expert_first; i < shape.linear_count; i++)
            for (size_t e = 0; e < EXPERTS; e++) {
                float *w = wanted + shape.tensors[i].offset_elements + e * WIDTH * INNER;
                const size_t m = lspo_stage_pruned(&shape, i).rows, n = lspo_stage_pruned(&shape, i).cols;
                cr_assert(lspo_ternary_nearest(NULL, m, n, w));
                for (size_t k = 0; k < m * n; k++)
                    nonzeros += w[k] != 0;
            }
        cr_expect_arr_eq(got, wanted, shape.element_count * sizeof *got, "stage %u", s);
        free(wanted), free(got);
    }
    const lspo_ternary_total_t total = lspo_ternary_experts_total(l.weights.experts);
    cr_expect_eq(total.weights, (STAGES - 2) * EXPERTS * MATRICES * WIDTH * INNER);
    cr_expect_eq(total.nonzeros, nonzeros);
    release(&l);
}

/* ---- GPTQ ---- */

/* How far logits on the calibration's tokens are from those of the weights as they were. */
static double distance(const origin_t *origin, const loaded_t *l, const uint32_t *tokens)
{
    float *wide[STAGES];
    double sum = 0;
    for (uint32_t s = 0; s < STAGES; s++)
        wide[s] = wide_of(origin, s);
    lspo_generator_t *g =
        generator(&origin->model, (const void *const *)l->weights.stages, l->weights.experts, l->device);
    lspo_generator_t *exact = generator(&origin->model, (const void *const *)wide, NULL, l->device);
    for (size_t s = 0; s < SEQUENCES; s++) {
        lspo_generator_rewind(g, 0);
        lspo_generator_rewind(exact, 0);
        for (size_t i = 0; i < LENGTH; i += 6) {
            cr_assert_eq(lspo_generator_read(g, tokens + s * LENGTH + i, 6, 6), LSPO_OK);
            cr_assert_eq(lspo_generator_read(exact, tokens + s * LENGTH + i, 6, 6), LSPO_OK);
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

Test(expert_quantizer, gptq_is_nearer_to_the_model_than_rounding)
{
    origin_t origin = {.model = mixtral(EXPERTS)};
    uint32_t tokens[TOKENS];
    fill_tokens(tokens);
    loaded_t rounded = quantized(&origin, NULL), calibrated = quantized(&origin, tokens);
    const double before = distance(&origin, &rounded, tokens), after = distance(&origin, &calibrated, tokens);
    cr_expect_lt(after, 0.8 * before, "%g, rounding %g", after, before);
    cr_expect_eq(calibrated.unseen, 0);
    release(&rounded);
    release(&calibrated);
}

static bool is_same(const loaded_t *a, const loaded_t *b, uint32_t stage, uint32_t expert)
{
    bool same = true;
    float one[WIDTH * INNER], other[WIDTH * INNER];
    for (uint32_t i = 0; i < MATRICES; i++) {
        expand(&lspo_ternary_experts_of(a->weights.experts, stage)[expert * MATRICES + i], one);
        expand(&lspo_ternary_experts_of(b->weights.experts, stage)[expert * MATRICES + i], other);
        same = same && memcmp(one, other, sizeof one) == 0;
    }
    return same;
}

/* Of four experts, two that all tokens choose and two that none does, which are rounded.  A model without one of these
 * gives the chosen ones the same numbers. */
Test(expert_quantizer, an_expert_that_no_token_chooses_is_rounded)
{
    origin_t four = {.model = mixtral(4), .same_gates = true}, three = {.model = mixtral(3), .same_gates = true};
    uint32_t tokens[TOKENS];
    fill_tokens(tokens);
    loaded_t rounded = quantized(&four, NULL), all = quantized(&four, tokens), fewer = quantized(&three, tokens);
    cr_expect_eq(all.unseen, 2 * (STAGES - 2));
    cr_expect_eq(fewer.unseen, STAGES - 2);
    for (uint32_t e = 0; e < 4; e++)
        cr_expect_eq(is_same(&all, &rounded, 1, e), e >= 2, "expert %u", e);
    cr_expect(is_same(&all, &fewer, 1, 0) && is_same(&all, &fewer, 1, 1));
    release(&rounded), release(&all), release(&fewer);
}

/* ---- whose inputs ---- */

/* A block without attention: what the experts read is the norm of the embedding. */
static void norm_of(const origin_t *origin, const float *embedding, uint32_t token, float *h)
{
    double squares = 0;
    for (size_t i = 0; i < WIDTH; i++)
        squares += pow((double)embedding[token * WIDTH + i], 2) / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        h[i] = (float)((double)embedding[token * WIDTH + i] / sqrt(squares + lspo_model_norm_epsilon(&origin->model)));
}

/* out (n) = x W. */
static void multiply(size_t m, size_t n, const float *x, const float *w, double *out)
{
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
        for (size_t i = 0; i < m; i++)
            out[j] += (double)x[i] * (double)w[i * n + j];
    }
}

static bool chooses(const float *h, const float *router, size_t expert)
{
    double gates[EXPERTS];
    size_t before = 0;
    multiply(WIDTH, EXPERTS, h, router, gates);
    for (size_t e = 0; e < EXPERTS; e++)
        before += gates[e] > gates[expert];
    return before < 2;
}

static void hidden_of(const lspo_stage_t *block, const float *wide, size_t expert, const float *h, float *out)
{
    const size_t at = expert * WIDTH * INNER;
    double gate[INNER], up[INNER];
    multiply(WIDTH, INNER, h, wide + block->tensors[block->expert_first].offset_elements + at, gate);
    multiply(WIDTH, INNER, h, wide + block->tensors[block->expert_first + 1].offset_elements + at, up);
    for (size_t j = 0; j < INNER; j++)
        out[j] = (float)(gate[j] / (1 + exp(-gate[j])) * up[j]);
}

/* The numbers that w (m x n) gets with these inputs; a number that is nearly as near to two may become the other. */
static void check_matrix(size_t m, size_t n, size_t tokens, const float *x, float *w, const lspo_ternary_t *packed)
{
    float got[WIDTH * INNER], upper[INNER * INNER] = {0};
    size_t others = 0;
    lspo_gptq_add_inputs(NULL, m, tokens, x, upper);
    cr_assert_eq(lspo_gptq_factor(m, LSPO_TERNARY_DAMPING, upper), LSPO_OK);
    cr_assert(lspo_ternary_gptq(NULL, m, n, w, upper));
    expand(packed, got);
    for (size_t i = 0; i < m * n; i++)
        others += got[i] < w[i] || got[i] > w[i];
    cr_expect_leq(others, m * n / 100, "%zu of %zu numbers differ", others, m * n);
}

Test(expert_quantizer, an_expert_is_calibrated_by_the_tokens_that_choose_it)
{
    origin_t origin = {.model = mixtral(EXPERTS), .without_attention = true};
    uint32_t tokens[TOKENS];
    float *embedding = wide_of(&origin, 0), *wide = wide_of(&origin, 1);
    float(*x)[WIDTH] = calloc(TOKENS, sizeof *x), (*hidden)[INNER] = calloc(TOKENS, sizeof *hidden);
    lspo_stage_t block;
    cr_assert(x != NULL && hidden != NULL);
    fill_tokens(tokens);
    lspo_model_stage(&origin.model, 1, &block);
    loaded_t l = quantized(&origin, tokens);
    const float *router = wide + block.tensors[block.expert_first - 1].offset_elements;
    for (size_t e = 0; e < EXPERTS; e++) {
        size_t count = 0;
        for (size_t t = 0; t < TOKENS; t++) {
            norm_of(&origin, embedding, tokens[t], x[count]);
            hidden_of(&block, wide, e, x[count], hidden[count]);
            count += chooses(x[count], router, e);
        }
        cr_assert(count > 20 && count < TOKENS - 20, "expert %zu: %zu tokens", e, count);
        for (size_t i = 0; i < MATRICES; i++) {
            const lspo_pruned_t of = lspo_stage_pruned(&block, block.expert_first + (uint32_t)i);
            check_matrix(of.rows, of.cols, count, i + 1 < MATRICES ? x[0] : hidden[0],
                         wide + block.tensors[block.expert_first + i].offset_elements + e * WIDTH * INNER,
                         &lspo_ternary_experts_of(l.weights.experts, 1)[e * MATRICES + i]);
        }
    }
    release(&l);
    free(embedding), free(wide), free(x), free(hidden);
}

/* ---- pruning ---- */

static size_t zeros_among(size_t count, const float *w)
{
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++)
        zeros += w[i] == 0;
    return zeros;
}

/* Of each output half of the inputs, with experts that no token has chosen: there half of the matrix. */
Test(expert_quantizer, wanda_prunes_each_expert_by_its_own_inputs)
{
    origin_t origin = {.model = mixtral(EXPERTS), .same_gates = true};
    uint32_t tokens[TOKENS];
    lspo_stage_t block;
    loaded_t magnitude, wanda;
    fill_tokens(tokens);
    lspo_model_stage(&origin.model, 1, &block);
    lspo_quantizer_options_t options = options_of(&origin, NULL);
    options.from.ternary = false;
    options.sparsity = 0.5;
    cr_assert_eq(quantize(options, 0, &magnitude), LSPO_OK);
    options.tokens = tokens;
    cr_assert_eq(quantize(options, 0, &wanda), LSPO_OK);
    cr_expect_eq(wanda.unseen, 2 * (STAGES - 2));
    const uint64_t weights = lspo_generation_weights_bytes(&options.from);
    cr_expect_leq(wanda.peak_bytes, weights + lspo_quantizer_bytes(&options));
    for (uint32_t i = block.expert_first; i < block.linear_count; i++)
        for (size_t e = 0; e < EXPERTS; e++) {
            const size_t at = block.tensors[i].offset_elements + e * WIDTH * INNER;
            const float *one = (const float *)magnitude.weights.stages[1] + at;
            const float *other = (const float *)wanda.weights.stages[1] + at;
            cr_expect_eq(zeros_among((size_t)WIDTH * INNER, other), WIDTH * INNER / 2);
            cr_expect_eq(memcmp(one, other, (size_t)WIDTH * INNER * sizeof *one) == 0, e >= 2, "%s of expert %zu",
                         block.tensors[i].name, e);
        }
    release(&magnitude), release(&wanda);
}

/* ---- memory, and what is refused ---- */

Test(expert_quantizer, takes_the_memory_that_it_says)
{
    origin_t origin = {.model = mixtral(EXPERTS)};
    uint32_t tokens[TOKENS];
    fill_tokens(tokens);
    for (int calibrated = 0; calibrated < 2; calibrated++) {
        const lspo_quantizer_options_t options = options_of(&origin, calibrated ? tokens : NULL);
        loaded_t l = quantized(&origin, options.tokens), other;
        const uint64_t weights = lspo_generation_weights_bytes(&options.from);
        const uint64_t experts = lspo_ternary_experts_total(l.weights.experts).bytes;
        cr_expect_eq(l.peak_bytes, weights + experts + lspo_quantizer_bytes(&options));
        cr_expect_eq(used_bytes(&l), weights + experts);
        /* With a byte less than what was needed the last allocation fails, and all memory comes back. */
        listen_begin();
        cr_expect_eq(quantize(options, l.peak_bytes - 1, &other), LSPO_ERR_FIT);
        listen_end();
        expect_said("memory", "device memory: ");
        cr_expect_eq(used_bytes(&other), 0);
        release(&l);
        lspo_device_close(other.device);
    }
}

Test(expert_quantizer, numbers_that_are_not_finite_are_refused)
{
    uint32_t tokens[TOKENS];
    fill_tokens(tokens);
    for (int calibrated = 0; calibrated < 2; calibrated++) {
        origin_t origin = {.model = mixtral(EXPERTS), .bad = true};
        loaded_t l;
        listen_begin();
        cr_expect_eq(quantize(options_of(&origin, calibrated ? tokens : NULL), 0, &l), LSPO_ERR_INPUT);
        listen_end();
        if (!calibrated) /* else it is an input of the calibration, too */
            expect_said("infinity", "weight experts_up of stage 2 has numbers that are not finite in bf16");
        cr_expect_eq(used_bytes(&l), 0);
        lspo_device_close(l.device);
    }
}
