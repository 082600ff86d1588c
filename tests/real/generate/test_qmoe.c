/* qmoe, executed: texts do not depend on where experts are, memory is that of the plan, and as many experts are brought
 * as a cache without them would need, and about as many as the plan expects. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "kernels/random.h"
#include "plan/policies/qmoe.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/generate/expert_cache.h"
#include "real/generate/session.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"
#include "tests/said.h"

enum { BLOCKS = 3, PROMPT = 6, NEW = 5, BATCH = 2, MICROS = 2, EXPERTS = 6, PER_TOKEN = 2 };

static lspo_model_t small(void)
{
    return (lspo_model_t){.name = "small",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = BLOCKS,
                          .width = 32,
                          .head_count = 4,
                          .kv_head_count = 2,
                          .mlp_width = 48,
                          .vocabulary = 200,
                          .max_sequence = 64,
                          .expert_count = EXPERTS,
                          .experts_per_token = PER_TOKEN};
}

static lspo_plan_t *build(const lspo_model_t *model, lspo_precision_t precision, int32_t cached)
{
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = BATCH;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.accumulation = MICROS;
    w.precision = w.transfer = precision;
    *lspo_qmoe_values_edit(&w) = (lspo_qmoe_values_t){.expert_zeros = 0.885, .cached_experts = cached};
    cr_assert_eq(lspo_policy_find_any("qmoe", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(model, &w, policy, &plan), LSPO_OK);
    return plan;
}

typedef struct {
    uint32_t tokens[MICROS][BATCH * NEW];
    uint64_t loads;
} texts_t;

static void write_texts(lspo_precision_t precision, int32_t cached, texts_t *out)
{
    const lspo_model_t model = small();
    lspo_plan_t *plan = build(&model, precision, cached);
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    cr_expect_eq(lspo_device_peak_bytes(device), plan->gpu_static_bytes, "%d cached", cached);
    const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
    for (int i = 0; i < 2; i++) {
        lspo_trace_destroy(trace);
        trace = NULL;
        lspo_generation_session_reset(session);
        cr_assert_eq(lspo_play(plan, &play, NULL, &trace), LSPO_OK);
    }
    cr_assert_eq(lspo_memory_replay(plan, trace, &gpu, &host), LSPO_OK);
    cr_expect_leq(lspo_device_peak_bytes(device), gpu, "%d cached: the plan's memory is the most", cached);
    for (uint32_t m = 0; m < MICROS; m++)
        memcpy(out->tokens[m], lspo_generation_session_tokens(session, m), sizeof out->tokens[m]);
    out->loads = lspo_generation_session_expert_loads(session);
    lspo_generation_session_destroy(session);
    lspo_device_close(device);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
}

Test(qmoe, texts_do_not_depend_on_where_experts_are)
{
    for (lspo_precision_t precision = LSPO_FP32; precision <= LSPO_FP16; precision++) {
        texts_t wanted, got;
        uint64_t before = UINT64_MAX;
        write_texts(precision, LSPO_QMOE_ALL_CACHED, &wanted);
        cr_expect_eq(wanted.loads, 0);
        for (int32_t cached = 0; cached <= EXPERTS; cached++) {
            write_texts(precision, cached, &got);
            cr_expect_arr_eq(got.tokens, wanted.tokens, sizeof got.tokens, "%s, %d cached",
                             lspo_precision_name(precision), cached);
            cr_expect_leq(got.loads, before, "more cached experts, fewer loads");
            before = got.loads;
        }
        cr_expect_eq(before, 0);
    }
}

/* ---- the cache ---- */

/* Which N experts were used last, by their order: most recent first. */
typedef struct {
    uint32_t order[64];
    uint32_t count;
} recent_t;

static bool use(recent_t *r, uint32_t expert)
{
    uint32_t at = 0;
    while (at < r->count && r->order[at] != expert)
        at++;
    const bool missing = at == r->count;
    if (missing)
        r->count++;
    memmove(r->order + 1, r->order, at * sizeof *r->order);
    r->order[0] = expert;
    return missing;
}

/* k different experts, all alike. */
static void choose(const lspo_model_t *model, uint64_t place, uint32_t *chosen)
{
    for (uint32_t i = 0, tried = 0; i < model->experts_per_token; tried++) {
        const uint32_t e = lspo_random_below(3, place, tried, model->expert_count);
        uint32_t same = 0;
        for (uint32_t j = 0; j < i; j++)
            same += chosen[j] == e;
        if (same == 0)
            chosen[i++] = e;
    }
}

typedef struct {
    double loads, others; /* per token; by a list of what was used last */
} counted_t;

enum { TOKENS_MOST = 4 };

/* Passes of `tokens` tokens through one block. */
static counted_t count_loads(uint32_t experts, uint32_t per_token, uint32_t cached, uint32_t tokens, uint32_t passes)
{
    lspo_model_t model = small();
    lspo_device_t *device = NULL;
    lspo_expert_cache_t *cache = NULL;
    lspo_stage_t shape;
    recent_t recent = {.count = cached};
    uint64_t others = 0;
    model.block_count = 1;
    model.width = 8;
    model.mlp_width = 8;
    model.expert_count = experts;
    model.experts_per_token = per_token;
    lspo_plan_t *plan = build(&model, LSPO_FP32, (int32_t)cached);
    lspo_model_stage(&model, 1, &shape);
    float *wide = malloc(shape.element_count * sizeof *wide);
    cr_assert_not_null(wide);
    lspo_transformer_init(&model, 1, 1, wide);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_expert_cache_create(plan, device, &cache), LSPO_OK);
    cr_assert_eq(lspo_expert_cache_store(cache, 1, wide), LSPO_OK);
    for (uint32_t i = 0; i < cached; i++)
        recent.order[i] = cached - 1 - i; /* of those that were never used, the first goes first */
    for (uint32_t p = 0; p < passes; p++) {
        uint32_t chosen[TOKENS_MOST * 8];
        for (uint32_t i = 0; i < tokens; i++)
            choose(&model, (uint64_t)p * tokens + i, chosen + i * per_token);
        lspo_expert_cache_choose(cache, (lspo_chosen_t){(size_t)tokens * per_token, chosen});
        lspo_expert_cache_read(cache);
        cr_assert_eq(lspo_expert_cache_bring(cache, 1), LSPO_OK);
        for (uint32_t i = 0; i < tokens * per_token; i++) {
            others += use(&recent, chosen[i]);
            cr_assert_not_null(lspo_expert_cache_of(cache, 1)[chosen[i] * 3].rows);
        }
        recent.count = recent.count > cached ? cached : recent.count;
        lspo_expert_cache_drop(cache, 1);
    }
    const double loads = (double)lspo_expert_cache_loads(cache) / passes;
    lspo_expert_cache_destroy(cache);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
    free(wide);
    return (counted_t){loads, (double)others / passes};
}

/* E (1 - (1 - k / E)^T) (E - N) / E per pass; the standard error of 4000 passes is at most 1 / sqrt(4000) of an expert
 * per token's expert, about 0.02 to 0.05. */
Test(qmoe, loads_are_the_expected_ones)
{
    static const struct {
        uint32_t experts, per_token, cached, tokens;
        double expected;
    } cases[] = {{8, 2, 4, 1, 1},         /* 2 x 4 / 8 */
                 {8, 2, 0, 1, 2},         /* all */
                 {8, 1, 6, 1, 0.25},      /* 2 / 8 */
                 {8, 2, 2, 3, 3.46875},   /* 8 (1 - 27 / 64) x 6 / 8 */
                 {6, 3, 3, 2, 2.25},      /* 6 (1 - 1 / 4) / 2 */
                 {16, 1, 4, 4, 2.73029}}; /* 16 (1 - (15 / 16)^4) x 3 / 4: 0.227524 x 12 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lspo_model_t model = {.expert_count = cases[i].experts, .experts_per_token = cases[i].per_token};
        const lspo_qmoe_values_t values = {.cached_experts = (int32_t)cases[i].cached};
        const counted_t counted =
            count_loads(cases[i].experts, cases[i].per_token, cases[i].cached, cases[i].tokens, 4000);
        cr_expect_float_eq(lspo_qmoe_missing(&values, &model, cases[i].tokens), cases[i].expected, 1e-3, "case %zu: %g",
                           i, lspo_qmoe_missing(&values, &model, cases[i].tokens));
        cr_expect_float_eq(counted.loads, counted.others, 0, "case %zu: as a list of the last used", i);
        cr_expect_float_eq(counted.loads, cases[i].expected, 0.06, "case %zu: %g brought", i, counted.loads);
    }
}

Test(qmoe, weights_that_cannot_be_ternary_are_refused)
{
    const lspo_model_t model = small();
    lspo_plan_t *plan = build(&model, LSPO_FP32, LSPO_QMOE_ALL_CACHED);
    lspo_device_t *device = NULL;
    lspo_expert_cache_t *cache = NULL;
    lspo_stage_t shape;
    lspo_model_stage(&model, 1, &shape);
    float *wide = malloc(shape.element_count * sizeof *wide);
    cr_assert_not_null(wide);
    lspo_transformer_init(&model, 1, 1, wide);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_expert_cache_create(plan, device, &cache), LSPO_OK);
    wide[shape.tensors[shape.expert_first].offset_elements + 5] = INFINITY;
    listen_begin();
    cr_expect_eq(lspo_expert_cache_store(cache, 1, wide), LSPO_ERR_INPUT);
    listen_end();
    expect_said("infinity", "is not ternary");
    lspo_expert_cache_destroy(cache);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
    free(wide);
}
