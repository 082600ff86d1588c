/* kvpr, executed: keys and values that are rebuilt from inputs are those of the forward pass, and the texts are the
 * same for every number of rebuilt tokens. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "kernels/random.h"
#include "plan/policies/kvpr.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/generate/session.h"
#include "real/transformer/generation.h"
#include "sim/memory.h"

enum { BLOCKS = 2, PROMPT = 9, NEW = 4, BATCH = 2, MICROS = 2, MOST = 32 };

static lspo_model_t model_of(lspo_family_t family)
{
    const bool llama = family == LSPO_FAMILY_LLAMA;
    return (lspo_model_t){.name = "small",
                          .family = family,
                          .block_count = BLOCKS,
                          .width = 32,
                          .head_count = 8,
                          .kv_head_count = llama ? 2 : 8,
                          .mlp_width = 40,
                          .vocabulary = 50,
                          .max_sequence = MOST,
                          .qk_norm = llama ? LSPO_QK_NORM_HEAD : LSPO_QK_NORM_NONE,
                          .head_width = llama ? 8 : 0,
                          .tied_head = !llama};
}

/* ---- a block ---- */

typedef struct {
    lspo_model_t model;
    lspo_compute_t *compute;
    lspo_transformer_t *t;
    void *workspace, *weights;
    float *x, *y, *scratch; /* BATCH x PROMPT rows */
    char *cache, *rebuilt, *inputs;
    size_t cache_bytes;
} block_t;

static block_t block_of(lspo_family_t family, lspo_number_t number, uint32_t tokens_at_a_time)
{
    block_t b = {.model = model_of(family)};
    const lspo_generation_shape_t shape = {
        .batch = BATCH, .tokens = tokens_at_a_time, .positions = MOST, .weights = number, .cache = number};
    const size_t rows = (size_t)BATCH * PROMPT * b.model.width;
    lspo_stage_t stage;
    lspo_model_stage(&b.model, 1, &stage);
    float *wide = malloc(stage.element_count * sizeof *wide);
    b.cache_bytes = lspo_generation_cache_bytes(&b.model, &shape);
    b.workspace = malloc(lspo_generation_workspace_bytes(&b.model, &shape, 1));
    b.weights = malloc(stage.element_count * sizeof(float));
    b.x = malloc(rows * sizeof *b.x);
    b.y = malloc(rows * sizeof *b.y);
    b.scratch = malloc(rows * sizeof *b.scratch);
    b.inputs = malloc(rows * sizeof *b.x);
    b.cache = calloc(1, b.cache_bytes);
    b.rebuilt = calloc(1, b.cache_bytes);
    lspo_transformer_init(&b.model, 1, 1, wide);
    for (size_t i = 0; i < stage.element_count; i++) /* biases are 0 and gains 1 at first */
        wide[i] += 0.1F * (float)lspo_random_below(1, 5, i, 1000) / 1000;
    lspo_convert(stage.element_count, LSPO_NUMBER_FP32, wide, number, b.weights);
    free(wide);
    for (size_t i = 0; i < rows; i++)
        b.x[i] = (float)lspo_random_below(1, 6, i, 1000) / 500 - 1;
    cr_assert_eq(lspo_compute_create_generation(NULL, &b.compute), LSPO_OK);
    cr_assert_eq(lspo_generation_create(&b.model, &shape, b.compute, b.workspace, &b.t), LSPO_OK);
    return b;
}

static void release(block_t *b)
{
    lspo_transformer_destroy(b->t);
    lspo_compute_destroy(b->compute);
    void *const all[] = {b->workspace, b->weights, b->x, b->y, b->scratch, b->inputs, b->cache, b->rebuilt};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* The largest difference of the first numbers, relative to the largest of them. */
static double worst_of(const block_t *b, lspo_number_t number, size_t bytes)
{
    const size_t count = bytes / lspo_number_bytes(number);
    float *wanted = malloc(2 * count * sizeof *wanted + 1), *got = wanted + count;
    double worst = 0, most = 0;
    lspo_convert(count, number, b->cache, LSPO_NUMBER_FP32, wanted);
    lspo_convert(count, number, b->rebuilt, LSPO_NUMBER_FP32, got);
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)wanted[i] - (double)got[i]));
        most = fmax(most, fabs((double)wanted[i]));
    }
    free(wanted);
    return most > 0 ? worst / most : worst;
}

/* The prompt in one pass; then the first l positions of the cache from the inputs, `some` at a time. */
static void check_block(lspo_family_t family, lspo_number_t number, double tolerance)
{
    for (uint32_t l = 0; l <= PROMPT; l++) {
        block_t b = block_of(family, number, PROMPT);
        const size_t bytes = b.cache_bytes / MOST * l;
        lspo_generation_begin(b.t, 0, PROMPT);
        lspo_generation_keep_inputs(b.t, b.x, l, b.inputs);
        lspo_generation_block_forward(b.t, b.weights, b.cache, b.x, b.y);
        lspo_generation_block_rebuild(b.t, b.weights, b.inputs, l, b.scratch, b.rebuilt);
        cr_expect_leq(worst_of(&b, number, bytes), tolerance, "family %d, number %d, %u tokens", family, number, l);
        for (size_t i = bytes; i < b.cache_bytes; i++)
            cr_assert_eq(b.rebuilt[i], 0, "nothing behind the first %u tokens", l);
        release(&b);
    }
}

/* fp32: within rounding of products, whose kernels depend on the number of rows; 16 bits: of inputs, too. */
Test(kvpr, rebuilds_the_keys_and_values_of_the_forward_pass)
{
    for (lspo_family_t family = LSPO_FAMILY_GPT; family <= LSPO_FAMILY_LLAMA; family++) {
        check_block(family, LSPO_NUMBER_FP32, 1e-6);
        check_block(family, LSPO_NUMBER_BF16, 0x1p-7);
        check_block(family, LSPO_NUMBER_FP16, 0x1p-10);
    }
}

/* Five tokens, and the other four, in passes of at most five: rebuilt together they are nine positions. */
Test(kvpr, rebuilds_more_tokens_than_a_pass_has)
{
    for (lspo_family_t family = LSPO_FAMILY_GPT; family <= LSPO_FAMILY_LLAMA; family++) {
        block_t b = block_of(family, LSPO_NUMBER_FP32, 5);
        const size_t width = b.model.width, position = BATCH * width * sizeof(float);
        for (size_t first = 0; first < PROMPT; first += 5) {
            const size_t count = first == 0 ? 5 : PROMPT - 5;
            lspo_generation_begin(b.t, first, count);
            lspo_generation_keep_inputs(b.t, b.x + first * BATCH * width, count, b.inputs + first * position);
            lspo_generation_block_forward(b.t, b.weights, b.cache, b.x + first * BATCH * width, b.y);
        }
        lspo_generation_block_rebuild(b.t, b.weights, b.inputs, PROMPT, b.scratch, b.rebuilt);
        cr_expect_leq(worst_of(&b, LSPO_NUMBER_FP32, b.cache_bytes / MOST * PROMPT), 1e-6, "family %d", family);
        release(&b);
    }
}

/* ---- texts ---- */

static void write_texts(lspo_family_t family, const char *name, lspo_kvpr_schedule_t schedule, double share,
                        uint32_t tokens[MICROS][BATCH * NEW])
{
    const lspo_model_t model = model_of(family);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = BATCH;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.accumulation = MICROS;
    w.precision = w.transfer = LSPO_FP32;
    lspo_kvpr_values_edit(&w)->recompute_share = share;
    lspo_kvpr_values_edit(&w)->schedule = schedule;
    cr_assert_eq(lspo_policy_find_any(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
    cr_assert_eq(lspo_play(plan, &play, NULL, &trace), LSPO_OK);
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_memory_replay(plan, trace, &gpu, &host), LSPO_OK);
    cr_expect_leq(lspo_device_peak_bytes(device), gpu, "share %g takes more than its plan", share);
    for (uint32_t m = 0; m < MICROS; m++)
        memcpy(tokens[m], lspo_generation_session_tokens(session, m), sizeof tokens[m]);
    lspo_generation_session_destroy(session);
    lspo_device_close(device);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
}

/* Every l of 0 to 9 of the first decoding step, and what follows from it for the later ones. */
Test(kvpr, writes_the_same_texts_for_every_share)
{
    for (lspo_family_t family = LSPO_FAMILY_GPT; family <= LSPO_FAMILY_LLAMA; family++) {
        uint32_t wanted[MICROS][BATCH * NEW], got[MICROS][BATCH * NEW];
        write_texts(family, "resident", LSPO_SCHEDULE_LATENCY, 0, wanted);
        for (uint32_t l = 0; l <= PROMPT; l++)
            for (lspo_kvpr_schedule_t schedule = LSPO_SCHEDULE_LATENCY; schedule <= LSPO_SCHEDULE_THROUGHPUT;
                 schedule++) {
                write_texts(family, "kvpr", schedule, (double)l / PROMPT, got);
                cr_expect_arr_eq(got, wanted, sizeof got, "family %d, %u tokens rebuilt", family, l);
            }
    }
}
