/* Plans of generation, executed: every exact policy writes the same texts, which are those of a generator, and takes
 * the memory that its plan says. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/ternary.h"
#include "plan/build_generate.h"
#include "plan/policies/endor.h"
#include "plan/policies/qmoe.h"
#include "plan/policies/vtensor.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/generate/generator.h"
#include "real/generate/session.h"
#include "sim/memory.h"

enum { BLOCKS = 3, STAGES = BLOCKS + 2, PROMPT = 6, NEW = 5, BATCH = 2, MICROS = 3, MOST = 64 };

/* GPT, a Llama, and a Llama with experts. */
typedef enum { GPT, LLAMA, EXPERTS, KINDS } kind_t;

static lspo_model_t model_of(kind_t kind)
{
    const bool llama = kind != GPT;
    return (lspo_model_t){.name = "small",
                          .family = llama ? LSPO_FAMILY_LLAMA : LSPO_FAMILY_GPT,
                          .block_count = BLOCKS,
                          .width = 24,
                          .head_count = 4,
                          .kv_head_count = llama ? 2 : 4,
                          .mlp_width = 40,
                          .vocabulary = 50,
                          .max_sequence = MOST,
                          .qk_norm = llama ? LSPO_QK_NORM_HEAD : LSPO_QK_NORM_NONE,
                          .head_width = llama ? 8 : 0,
                          .tied_head = !llama,
                          .expert_count = kind == EXPERTS ? 5 : 0,
                          .experts_per_token = kind == EXPERTS ? 2 : 0};
}

static lspo_plan_t *plan_of(kind_t kind, lspo_precision_t precision, const char *name)
{
    const lspo_model_t model = model_of(kind);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = BATCH;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.accumulation = MICROS;
    w.precision = w.transfer = precision;
    lspo_endor_values_edit(&w)->sparsity = 0; /* else other weights, tests/real/generate/test_endor.c */
    lspo_vtensor_values_edit(&w)->chunk = 4096;
    cr_assert_eq(lspo_policy_find_any(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    return plan;
}

typedef struct {
    uint32_t tokens[MICROS][BATCH * NEW];
    uint64_t peak_bytes;
} texts_t;

static void write_texts(const lspo_plan_t *plan, uint32_t times, texts_t *out)
{
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    cr_expect_eq(lspo_device_peak_bytes(device), plan->gpu_static_bytes, "%s holds what its plan says",
                 plan->policy->name);
    for (uint32_t i = 0; i < times; i++) {
        const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
        lspo_trace_t *trace = NULL;
        lspo_generation_session_reset(session);
        cr_assert_eq(lspo_play(plan, &play, NULL, &trace), LSPO_OK);
        uint64_t gpu = 0, host = 0;
        cr_assert_eq(lspo_memory_replay(plan, trace, &gpu, &host), LSPO_OK);
        cr_expect_leq(lspo_device_peak_bytes(device), gpu > out->peak_bytes ? gpu : out->peak_bytes,
                      "%s takes more than its plan", plan->policy->name);
        out->peak_bytes = gpu > out->peak_bytes ? gpu : out->peak_bytes;
        lspo_trace_destroy(trace);
    }
    for (uint32_t m = 0; m < MICROS; m++)
        memcpy(out->tokens[m], lspo_generation_session_tokens(session, m), sizeof out->tokens[m]);
    lspo_generation_session_destroy(session);
    lspo_device_close(device);
}

/* A block with linear weights in 4 bits, one behind the other, and then the rest. */
static void pack(const lspo_stage_t *block, lspo_number_t number, const lspo_int4_form_t *int4, const float *wide,
                 char *out)
{
    const uint64_t linear = block->tensors[block->linear_count].offset_elements;
    for (uint32_t i = 0; i < block->linear_count; i++) {
        const lspo_int4_shape_t shape = lspo_int4_shape(int4, block->tensors[i].rows, block->tensors[i].cols);
        cr_assert(lspo_int4_round(NULL, &shape, wide + block->tensors[i].offset_elements, out));
        out += lspo_int4_bytes(&shape);
    }
    lspo_convert(block->element_count - linear, LSPO_NUMBER_FP32, wide + linear, number, out);
}

/* The experts of a block, ternary as qmoe makes them. */
static void round_experts(const lspo_plan_t *plan, const lspo_stage_t *block, float *wide)
{
    for (uint32_t i = block->expert_first; i < block->linear_count; i++)
        for (uint32_t e = 0; e < plan->model.expert_count; e++) {
            const size_t m = block->tensors[i].rows / plan->model.expert_count, n = block->tensors[i].cols;
            float *scratch = malloc(m * n * sizeof *scratch);
            cr_assert_not_null(scratch);
            lspo_ternary_round(m, n, lspo_qmoe_values_of(&plan->workload)->expert_zeros,
                               wide + block->tensors[i].offset_elements + e * m * n, scratch);
            free(scratch);
        }
}

/* The same weights and prompts, and a generator that reads them. */
static void continue_texts(const lspo_plan_t *plan, texts_t *out)
{
    const lspo_model_t *model = &plan->model;
    const lspo_workload_t *w = &plan->workload;
    const lspo_number_t number = lspo_compute_number_of(w->precision);
    lspo_int4_form_t int4 = {0};
    void *stages[STAGES];
    lspo_device_t *device = NULL;
    int4.on = lspo_generate_weight_group(plan, &int4.group);
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_stage_t shape;
        lspo_model_stage(model, s, &shape);
        float *wide = malloc(shape.element_count * sizeof *wide);
        stages[s] = aligned_alloc(64, (shape.element_count * sizeof(float) + 8192) / 64 * 64);
        cr_assert(wide != NULL && stages[s] != NULL);
        lspo_transformer_init(model, s, w->seed, wide);
        if (lspo_policy_use(plan->policy, &lspo_parameter_cached_experts) != NULL)
            round_experts(plan, &shape, wide);
        if (int4.on && shape.kind == LSPO_STAGE_BLOCK)
            pack(&shape, number, &int4, wide, stages[s]);
        else
            lspo_convert(shape.element_count, LSPO_NUMBER_FP32, wide, number, stages[s]);
        free(wide);
    }
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    const lspo_generator_options_t options = {.model = model,
                                              .stages = (const void *const *)stages,
                                              .batch = 1,
                                              .positions = PROMPT + NEW,
                                              .weights = number,
                                              .cache = number,
                                              .int4 = int4,
                                              .device = device};
    lspo_generator_t *g = NULL;
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    for (uint32_t i = 0; i < MICROS * BATCH; i++) {
        uint32_t text[PROMPT + NEW];
        lspo_text_result_t result;
        for (uint32_t t = 0; t < PROMPT; t++)
            text[t] = lspo_random_below(w->seed, 77, (uint64_t)i * PROMPT + t, model->vocabulary);
        cr_assert_eq(lspo_generator_continue(g, &(lspo_text_options_t){.choice = {.top_p = 1}, .most = NEW}, text,
                                             PROMPT, &result),
                     LSPO_OK);
        memcpy(&out->tokens[i / BATCH][(size_t)(i % BATCH) * NEW], text + PROMPT, NEW * sizeof *text);
    }
    lspo_generator_destroy(g);
    lspo_device_close(device);
    for (uint32_t s = 0; s < STAGES; s++)
        free(stages[s]);
}

static void check(kind_t kind, lspo_precision_t precision)
{
    texts_t wanted = {.peak_bytes = 0}, own = wanted; /* of exact policies; of weights in another form */
    for (uint32_t p = 0; p < lspo_generation_policy_count(); p++) {
        const lspo_model_t model = model_of(kind);
        if (!lspo_policy_takes(lspo_generation_policy_at(p), &model))
            continue;
        lspo_plan_t *plan = plan_of(kind, precision, lspo_generation_policy_at(p)->name);
        texts_t got = {.peak_bytes = 0};
        if (p == 0 || plan->policy->semantics != LSPO_SEMANTICS_EXACT)
            continue_texts(plan, p == 0 ? &wanted : &own);
        write_texts(plan, 2, &got);
        const bool is_exact = plan->policy->semantics == LSPO_SEMANTICS_EXACT;
        cr_expect_arr_eq(got.tokens, is_exact ? wanted.tokens : own.tokens, sizeof got.tokens, "%s, %s: other texts",
                         plan->policy->name, lspo_precision_name(precision));
        lspo_plan_destroy(plan);
    }
}

Test(generation_session, every_policy_writes_the_texts_of_its_weights)
{
    for (lspo_precision_t precision = LSPO_FP32; precision <= LSPO_FP16; precision++) {
        check(GPT, precision);
        check(LLAMA, precision);
        check(EXPERTS, precision);
    }
}

/* The plan's workspace is what a pass computes with, for prompts of one token, few and many. */
Test(generation_session, the_workspace_is_that_of_the_transformer)
{
    for (kind_t kind = GPT; kind < KINDS; kind++)
        for (lspo_precision_t precision = LSPO_FP32; precision <= LSPO_FP16; precision++)
            for (uint32_t sequence = 1; sequence <= 40; sequence += 3) {
                const lspo_model_t model = model_of(kind);
                lspo_workload_t w;
                lspo_workload_default(&w);
                w.batch = BATCH;
                w.sequence = sequence;
                w.iterations = 7;
                w.precision = precision;
                lspo_generate_sizes_t sizes;
                lspo_generate_sizes(&model, &w, &sizes);
                const lspo_generation_shape_t shape = {.batch = BATCH,
                                                       .tokens = sequence,
                                                       .positions = sequence + 6,
                                                       .weights = lspo_compute_number_of(precision),
                                                       .cache = lspo_compute_number_of(precision)};
                const size_t bytes = lspo_generation_workspace_bytes(&model, &shape, 1);
                cr_expect_eq(sizes.pass, (bytes + 63) / 64 * 64, "model %d, %u tokens", (int)kind, sequence);
            }
}

/* A device that is too small, and everything is given back. */
Test(generation_session, refuses_a_cache_that_does_not_fit)
{
    lspo_plan_t *plan = plan_of(GPT, LSPO_FP32, "resident");
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    const lspo_device_caps_t caps = {.memory_bytes = plan->gpu_static_bytes - 1};
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(lspo_generation_session_create(plan, device, &session), LSPO_ERR_FIT);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
}
