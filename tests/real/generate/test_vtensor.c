/* vtensor, executed: the texts are those of an ordinary cache to the bit, wherever chunks end, with the memory of the
 * plan; texts of different lengths in one pass are those of passes of their own. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "kernels/random.h"
#include "plan/policies/vtensor.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/generate/session.h"
#include "real/generate/text_cache.h"
#include "real/transformer/generation.h"
#include "sim/memory.h"

enum { BLOCKS = 3, WIDTH = 24, VOCABULARY = 50, PROMPT = 30, NEW = 60, BATCH = 2, MICROS = 2 };

static lspo_model_t model_of(lspo_family_t family)
{
    const bool llama = family == LSPO_FAMILY_LLAMA;
    return (lspo_model_t){.name = "small",
                          .family = family,
                          .block_count = BLOCKS,
                          .width = WIDTH,
                          .head_count = 4,
                          .kv_head_count = llama ? 2 : 4,
                          .mlp_width = 40,
                          .vocabulary = VOCABULARY,
                          .max_sequence = 128,
                          .head_width = llama ? 10 : 0, /* a token is no part of a chunk of 2^n bytes */
                          .tied_head = !llama};
}

typedef struct {
    uint32_t tokens[MICROS][BATCH * NEW];
} texts_t;

/* `values`: NULL: resident. */
static void write_texts(lspo_family_t family, lspo_precision_t precision, const lspo_vtensor_values_t *values,
                        texts_t *out)
{
    const lspo_model_t model = model_of(family);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = BATCH;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.accumulation = MICROS;
    w.precision = w.transfer = precision;
    if (values != NULL)
        *lspo_vtensor_values_edit(&w) = *values;
    cr_assert_eq(lspo_policy_find_any(values != NULL ? "vtensor" : "resident", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    for (int i = 0; i < 2; i++) {
        const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
        lspo_trace_t *trace = NULL;
        uint64_t gpu = 0, host = 0;
        lspo_generation_session_reset(session);
        cr_assert_eq(lspo_play(plan, &play, NULL, &trace), LSPO_OK);
        cr_assert_eq(lspo_memory_replay(plan, trace, &gpu, &host), LSPO_OK);
        cr_expect_eq(lspo_device_peak_bytes(device), gpu, "the memory of the plan");
        lspo_trace_destroy(trace);
    }
    for (uint32_t m = 0; m < MICROS; m++)
        memcpy(out->tokens[m], lspo_generation_session_tokens(session, m), sizeof out->tokens[m]);
    lspo_generation_session_destroy(session);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
}

Test(vtensor_run, writes_the_texts_of_an_ordinary_cache)
{
    for (int k = 0; k < 2 * 2 * 4; k++) {
        const lspo_family_t family = k % 2 == 0 ? LSPO_FAMILY_GPT : LSPO_FAMILY_LLAMA;
        const lspo_precision_t precision = k / 2 % 2 == 0 ? LSPO_FP32 : LSPO_BF16;
        const lspo_vtensor_values_t values = {.chunk = 4096,
                                              .map_ahead = k / 4 % 2 == 0 ? 0 : 40,
                                              .range = k / 8 % 2 == 0 ? LSPO_RANGE_TENSOR : LSPO_RANGE_TEXT,
                                              .chunks = k / 4 % 2 == 0 ? LSPO_CHUNKS_GROW : LSPO_CHUNKS_START,
                                              .access = k % 3 == 0 ? LSPO_ACCESS_CHUNK : LSPO_ACCESS_RANGE};
        texts_t wanted, got;
        write_texts(family, precision, NULL, &wanted);
        write_texts(family, precision, &values, &got);
        cr_expect_arr_eq(&got, &wanted, sizeof got, "case %d", k);
    }
}

/* ---- texts of different lengths ---- */

enum { TEXTS = 3, LONGEST = 20, POSITIONS = 100 };
static const size_t lengths[TEXTS] = {7, LONGEST, 1};

typedef struct {
    lspo_model_t model;
    lspo_number_t number;
    float *stages[BLOCKS + 2]; /* in `number` */
    lspo_device_t *device;
    lspo_compute_t *compute;
    char *workspace;
    lspo_transformer_t *t;
    float x[TEXTS * LONGEST * WIDTH], y[TEXTS * LONGEST * WIDTH];
} bench_t;

static void open_bench(lspo_family_t family, lspo_number_t number, bench_t *b)
{
    *b = (bench_t){.model = model_of(family), .number = number};
    const lspo_generation_shape_t shape = {
        .batch = TEXTS, .tokens = LONGEST, .positions = POSITIONS, .weights = number, .cache = number};
    for (uint32_t s = 0; s < BLOCKS + 2; s++) {
        lspo_stage_t stage;
        lspo_model_stage(&b->model, s, &stage);
        float *wide = malloc(stage.element_count * sizeof *wide);
        b->stages[s] = aligned_alloc(64, (stage.element_count * sizeof(float) + 8192) / 64 * 64);
        lspo_transformer_init(&b->model, s, 3, wide);
        lspo_convert(stage.element_count, LSPO_NUMBER_FP32, wide, number, b->stages[s]);
        free(wide);
    }
    b->workspace = aligned_alloc(64, (lspo_generation_workspace_bytes(&b->model, &shape, 1) + 127) / 64 * 64);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &b->device), LSPO_OK);
    cr_assert_eq(lspo_compute_create_generation(NULL, &b->compute), LSPO_OK);
    cr_assert_eq(lspo_generation_create(&b->model, &shape, b->compute, b->workspace, &b->t), LSPO_OK);
}

static void close_bench(bench_t *b)
{
    lspo_transformer_destroy(b->t);
    lspo_compute_destroy(b->compute);
    lspo_device_close(b->device);
    for (uint32_t s = 0; s < BLOCKS + 2; s++)
        free(b->stages[s]);
    free(b->workspace);
}

/* The output of the last block for `count` tokens of each of `texts`, into b->x. */
static void pass(bench_t *b, lspo_text_cache_t *const *caches, size_t texts, const size_t *firsts,
                 const uint32_t *tokens, size_t count)
{
    float *x = b->x, *y = b->y;
    lspo_generation_begin_each(b->t, texts, firsts, count);
    lspo_transformer_embed_forward(b->t, tokens, b->stages[0], x);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        void *k[TEXTS], *v[TEXTS];
        for (size_t i = 0; i < texts; i++) {
            k[i] = lspo_text_cache_k(caches[i], block);
            v[i] = lspo_text_cache_v(caches[i], block);
        }
        const lspo_generation_caches_t of = {.k = k, .v = v, .token_stride = lspo_text_cache_stride(caches[0])};
        lspo_generation_block_forward_each(b->t, b->stages[block + 1], &of, x, y);
        float *swap = x;
        x = y;
        y = swap;
    }
    if (x != b->x)
        memcpy(b->x, x, sizeof b->x);
}

/* Texts of 7, 20 and 1 tokens are read, each in a pass of its own; their next tokens in one pass, and one by one from
 * caches that share their beginnings. */
static void compare(lspo_family_t family, lspo_number_t number, bool one_range)
{
    static bench_t b;
    lspo_chunks_t *pool = NULL;
    lspo_text_cache_t *caches[TEXTS], *shared = NULL;
    uint32_t tokens[LONGEST], next[TEXTS];
    float together[TEXTS * WIDTH];
    const size_t zero = 0;
    open_bench(family, number, &b);
    cr_assert_eq(
        lspo_chunks_create(&(lspo_chunks_options_t){.device = b.device, .chunk_bytes = 4096, .most = 200}, &pool),
        LSPO_OK);
    const lspo_text_cache_options_t options = {&b.model, number, one_range, POSITIONS, pool};
    for (size_t i = 0; i < TEXTS; i++) {
        for (size_t j = 0; j < lengths[i]; j++)
            tokens[j] = lspo_random_below(9, i, j, VOCABULARY);
        next[i] = lspo_random_below(9, i, 99, VOCABULARY);
        cr_assert_eq(lspo_text_cache_create(&options, &caches[i]), LSPO_OK);
        cr_assert_eq(lspo_text_cache_grow(caches[i], lengths[i]), LSPO_OK);
        pass(&b, &caches[i], 1, &zero, tokens, lengths[i]);
        cr_assert_eq(lspo_text_cache_grow(caches[i], lengths[i] + 1), LSPO_OK);
    }
    pass(&b, caches, TEXTS, lengths, next, 1);
    memcpy(together, b.x, sizeof together);
    cr_assert_eq(lspo_text_cache_create(&options, &shared), LSPO_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        cr_assert_eq(lspo_text_cache_share(shared, caches[i], lengths[i]), LSPO_OK);
        cr_assert_eq(lspo_text_cache_grow(shared, lengths[i] + 1), LSPO_OK);
        pass(&b, &shared, 1, &lengths[i], &next[i], 1);
        for (size_t j = 0; j < WIDTH; j++)
            cr_expect_float_eq(together[i * WIDTH + j], b.x[j], 1e-5, "text %zu: %g, alone %g", i,
                               (double)together[i * WIDTH + j], (double)b.x[j]);
        lspo_text_cache_shrink(shared, 0);
    }
    lspo_text_cache_destroy(shared);
    for (size_t i = 0; i < TEXTS; i++)
        lspo_text_cache_destroy(caches[i]);
    lspo_chunks_destroy(pool);
    close_bench(&b);
}

Test(vtensor_run, texts_of_different_lengths_do_not_disturb_each_other)
{
    for (int k = 0; k < 8; k++)
        compare(k % 2 == 0 ? LSPO_FAMILY_GPT : LSPO_FAMILY_LLAMA, k / 2 % 2 == 0 ? LSPO_NUMBER_FP32 : LSPO_NUMBER_BF16,
                k / 4 == 0);
}

/* Chunks that the device has no room for are an error while the plan runs, and all is given back. */
Test(vtensor_run, a_cache_that_does_not_fit_ends_the_run)
{
    const lspo_model_t model = model_of(LSPO_FAMILY_GPT);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    lspo_workload_t w;
    void *memory = NULL;
    lspo_workload_default(&w);
    w.batch = 1;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.precision = w.transfer = LSPO_FP32;
    lspo_vtensor_values_edit(&w)->chunk = 4096;
    lspo_vtensor_values_edit(&w)->map_ahead = 1;
    cr_assert_eq(lspo_policy_find_any("vtensor", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    const lspo_device_caps_t caps = {.memory_bytes = plan->gpu_static_bytes + (2 * BLOCKS + 1) * 4096};
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
    cr_expect_eq(lspo_play(plan, &play, NULL, &trace), LSPO_ERR_FIT);
    lspo_generation_session_destroy(session);
    cr_expect_eq(lspo_device_alloc(device, caps.memory_bytes, &memory), LSPO_OK, "all of it is free again");
    lspo_device_free(device, memory);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
}
