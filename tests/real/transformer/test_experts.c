/* Blocks with experts against the naive implementation of family_reference.h, and packed experts against the same ones
 * in the block's array. */
#include "kernels/ternary.h"
#include "plan/policies/qmoe.h"
#include "real/generate/generator.h"
#include "tests/family_reference.h"

enum { STAGES = 4, BATCH = 2, LENGTH = 7, VOCABULARY = 19, WIDTH = 24, INNER = 40, EXPERTS = 5 };

/* ---- the reference ---- */

/* Does expert e belong to the chosen ones: are fewer than k gates larger, or the same and before it? */
static bool reference_chooses(const lspo_model_t *m, const double *gates, size_t e)
{
    size_t before = 0;
    for (size_t i = 0; i < m->expert_count; i++)
        before += gates[i] > gates[e] || (gates[i] >= gates[e] && i < e);
    return before < m->experts_per_token;
}

/* out <- the sum of the results of one token's experts, each times its share. */
static void reference_token(const reference_t *r, uint32_t stage, const double *x, double *out)
{
    const lspo_model_t *m = &r->model;
    const size_t w = m->width, f = m->mlp_width;
    double *gates = doubles(m->expert_count), *pre = doubles(f), *gate = doubles(f), *result = doubles(w), sum = 0;
    reference_linear((linear_t){w, m->expert_count, tensor(r, stage, "router"), NULL}, 1, x, gates);
    for (size_t e = 0; e < m->expert_count; e++)
        sum += m->router == LSPO_ROUTER_ALL || reference_chooses(m, gates, e) ? exp(gates[e]) : 0;
    memset(out, 0, w * sizeof *out);
    for (size_t e = 0; e < m->expert_count; e++) {
        if (!reference_chooses(m, gates, e))
            continue;
        reference_linear((linear_t){w, f, tensor(r, stage, "experts_gate") + e * w * f, NULL}, 1, x, gate);
        reference_linear((linear_t){w, f, tensor(r, stage, "experts_up") + e * w * f, NULL}, 1, x, pre);
        for (size_t i = 0; i < f; i++)
            pre[i] *= gate[i] / (1.0 + exp(-gate[i]));
        reference_linear((linear_t){f, w, tensor(r, stage, "experts_down") + e * w * f, NULL}, 1, pre, result);
        for (size_t j = 0; j < w; j++)
            out[j] += exp(gates[e]) / sum * result[j];
    }
    free(gates), free(pre), free(gate), free(result);
}

static void reference_experts(const reference_t *r, uint32_t stage, const double *x, double *out)
{
    for (size_t i = 0; i < r->tokens; i++)
        reference_token(r, stage, x + i * r->model.width, out + i * r->model.width);
}

/* ---- logits ---- */

static lspo_model_t with_experts(uint32_t per_token, lspo_router_t router)
{
    return (lspo_model_t){.name = "experts",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = STAGES - 2,
                          .width = WIDTH,
                          .head_count = 4,
                          .kv_head_count = 2,
                          .mlp_width = INNER,
                          .vocabulary = VOCABULARY,
                          .max_sequence = 32,
                          .norm_epsilon = 1e-5,
                          .rope_theta = 50,
                          .biases = LSPO_BIASES_QKV,
                          .expert_count = EXPERTS,
                          .experts_per_token = per_token,
                          .router = router};
}

/* Weights of all stages, large enough that experts, their shares and positions show. */
static void draw(const lspo_model_t *model, reference_t *r, float **wide)
{
    *r = (reference_t){.model = *model,
                       .batch = BATCH,
                       .sequence = LENGTH,
                       .tokens = BATCH * LENGTH,
                       .stages = STAGES,
                       .mlp = reference_experts};
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_model_stage(model, s, &r->shape[s]);
        wide[s] = floats(r->shape[s].element_count);
        r->weights[s] = doubles(r->shape[s].element_count);
        lspo_transformer_init(model, s, 5, wide[s]);
        for (size_t i = 0; i < r->shape[s].element_count; i++)
            wide[s][i] = 10 * wide[s][i] + 0.01F * (float)(i % 7);
    }
}

static void copy_weights(reference_t *r, float *const *wide)
{
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < r->shape[s].element_count; i++)
            r->weights[s][i] = (double)wide[s][i];
}

static void release(reference_t *r, float **wide)
{
    for (uint32_t s = 0; s < STAGES; s++)
        free(wide[s]);
    reference_destroy(r);
}

static uint32_t token_at(size_t b, size_t i)
{
    return (uint32_t)((b * 11 + i * 7 + i * i / 3) % VOCABULARY);
}

/* The logits behind the last token of each sequence, read in two passes. */
static void check_logits(uint32_t per_token, lspo_router_t router)
{
    const lspo_model_t model = with_experts(per_token, router);
    reference_t r;
    float *wide[STAGES];
    uint32_t tokens[BATCH * LENGTH];
    lspo_device_t *device = NULL;
    lspo_generator_t *g = NULL;
    double *wanted = doubles((size_t)BATCH * LENGTH * VOCABULARY);
    draw(&model, &r, wide);
    copy_weights(&r, wide);
    for (size_t i = 0; i < BATCH * LENGTH; i++)
        tokens[i] = token_at(i / LENGTH, i % LENGTH);
    reference_logits(&r, tokens, wanted);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    const lspo_generator_options_t options = {.model = &model,
                                              .stages = (const void *const *)wide,
                                              .batch = BATCH,
                                              .positions = LENGTH,
                                              .weights = LSPO_NUMBER_FP32,
                                              .cache = LSPO_NUMBER_FP32,
                                              .device = device};
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    cr_assert_eq(lspo_generator_read(g, tokens, LENGTH, LENGTH - 1), LSPO_OK);
    cr_assert_eq(lspo_generator_read(g, tokens + LENGTH - 1, LENGTH, 1), LSPO_OK);
    for (size_t b = 0; b < BATCH; b++)
        for (size_t j = 0; j < VOCABULARY; j++)
            cr_assert_float_eq((double)lspo_generator_logits(g)[b * VOCABULARY + j],
                               wanted[(b * LENGTH + LENGTH - 1) * VOCABULARY + j], 2e-4,
                               "top %u, router %d: %zu, %zu: %g, %g", per_token, (int)router, b, j,
                               (double)lspo_generator_logits(g)[b * VOCABULARY + j],
                               wanted[(b * LENGTH + LENGTH - 1) * VOCABULARY + j]);
    lspo_generator_destroy(g);
    lspo_device_close(device);
    free(wanted);
    release(&r, wide);
}

Test(experts, logits_are_those_of_the_reference)
{
    check_logits(1, LSPO_ROUTER_ALL);
    check_logits(1, LSPO_ROUTER_CHOSEN);
    check_logits(2, LSPO_ROUTER_CHOSEN);
    check_logits(3, LSPO_ROUTER_ALL);
    check_logits(EXPERTS, LSPO_ROUTER_CHOSEN);
}

/* ---- packed ---- */

enum { MATRICES = 3 };

/* Makes the experts of a block ternary in its array, and packs them. */
static void pack(const lspo_stage_t *block, float *wide, lspo_ternary_t *packed, char **memory)
{
    const size_t m[MATRICES] = {WIDTH, WIDTH, INNER}, n[MATRICES] = {INNER, INNER, WIDTH};
    for (size_t e = 0; e < EXPERTS; e++)
        for (size_t i = 0; i < MATRICES; i++) {
            float *w = wide + block->tensors[block->expert_first + i].offset_elements + e * WIDTH * INNER;
            float scratch[WIDTH * INNER];
            size_t used = 0;
            char *at = memory[e * MATRICES + i] = malloc(lspo_ternary_bytes(n[i], WIDTH * INNER));
            packed[e * MATRICES + i] = lspo_ternary_in(m[i], n[i], at);
            lspo_ternary_round(m[i], n[i], 0.5, w, scratch);
            cr_assert_eq(lspo_ternary_pack(w, WIDTH * INNER, &packed[e * MATRICES + i], &used), LSPO_OK);
        }
}

/* A block's array without its experts. */
static float *without_experts(const lspo_stage_t *block, const float *wide)
{
    const size_t first = block->tensors[block->expert_first].offset_elements;
    const size_t rest = block->tensors[block->linear_count].offset_elements;
    float *out = floats(block->element_count - (rest - first));
    memcpy(out, wide, first * sizeof *out);
    memcpy(out + first, wide + rest, (block->element_count - rest) * sizeof *out);
    return out;
}

typedef struct {
    lspo_transformer_t *t;
    void *workspace, *cache;
} pass_t;

static pass_t open_pass(const lspo_model_t *model, lspo_compute_t *compute, bool apart)
{
    const lspo_generation_shape_t shape = {
        .batch = BATCH, .tokens = LENGTH, .positions = LENGTH, .experts_apart = apart};
    const size_t bytes = lspo_generation_workspace_bytes(model, &shape, 1);
    pass_t pass = {.workspace = aligned_alloc(64, (bytes + 63) / 64 * 64),
                   .cache = malloc(lspo_generation_cache_bytes(model, &shape))};
    cr_assert_eq(lspo_generation_create(model, &shape, compute, pass.workspace, &pass.t), LSPO_OK);
    lspo_generation_begin(pass.t, 0, LENGTH);
    return pass;
}

static void close_pass(pass_t *pass)
{
    lspo_transformer_destroy(pass->t);
    free(pass->workspace);
    free(pass->cache);
}

/* The chosen ones are two different experts of each token, and those that nobody has chosen may be missing. */
static void check_chosen(const uint32_t *chosen, size_t count, lspo_ternary_t *packed)
{
    bool used[EXPERTS] = {false};
    cr_assert_eq(count, BATCH * LENGTH * 2);
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(chosen[i], EXPERTS);
        cr_assert(i % 2 == 0 || chosen[i] != chosen[i - 1]);
        used[chosen[i]] = true;
    }
    for (size_t e = 0; e < EXPERTS; e++)
        if (!used[e])
            memset(packed + e * MATRICES, 0, MATRICES * sizeof *packed);
}

Test(experts, packed_ones_give_what_the_same_dense_ones_give)
{
    const lspo_model_t model = with_experts(2, LSPO_ROUTER_CHOSEN);
    reference_t r;
    float *wide[STAGES], *x = floats(BATCH * LENGTH * WIDTH), *y = floats(BATCH * LENGTH * WIDTH);
    float *other = floats(BATCH * LENGTH * WIDTH);
    lspo_ternary_t packed[EXPERTS * MATRICES];
    char *memory[EXPERTS * MATRICES];
    lspo_compute_t *compute = NULL;
    draw(&model, &r, wide);
    pack(&r.shape[1], wide[1], packed, memory);
    float *apart = without_experts(&r.shape[1], wide[1]);
    lspo_random_normal_fill(3, 1, 1, BATCH * LENGTH * WIDTH, x);
    cr_assert_eq(lspo_compute_create_generation(NULL, &compute), LSPO_OK);
    pass_t dense = open_pass(&model, compute, false), split = open_pass(&model, compute, true);
    lspo_generation_block_forward(dense.t, wide[1], dense.cache, x, y);
    const lspo_chosen_t chosen = lspo_generation_block_begin(split.t, apart, split.cache, x);
    check_chosen(chosen.experts, chosen.count, packed);
    lspo_generation_block_experts(split.t, apart, packed, other);
    for (size_t i = 0; i < BATCH * LENGTH * WIDTH; i++)
        cr_assert_float_eq(other[i], y[i], 1e-4, "%zu: %g, %g", i, (double)other[i], (double)y[i]);
    close_pass(&dense), close_pass(&split);
    lspo_compute_destroy(compute);
    for (size_t i = 0; i < EXPERTS * MATRICES; i++)
        free(memory[i]);
    free(apart), free(x), free(y), free(other);
    release(&r, wide);
}

Test(experts, what_is_not_computed_is_refused)
{
    const lspo_model_t model = with_experts(2, LSPO_ROUTER_CHOSEN);
    lspo_generation_shape_t shape = {.batch = 1, .tokens = 4, .positions = 4};
    lspo_transformer_t *t = NULL;
    cr_expect_eq(lspo_generation_check(&model, &shape), LSPO_OK);
    shape.int4 = (lspo_int4_form_t){.on = true, .group = 32};
    cr_expect_eq(lspo_generation_check(&model, &shape), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_transformer_create(&model, 1, 4, lspo_compute_host(), NULL, &t), LSPO_ERR_INPUT);
    cr_expect_not(lspo_model_trains(&model));
}
