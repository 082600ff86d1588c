/* endor, executed: packed weights write the texts of the pruned dense ones, wherever they come from, with the memory of
 * the plan. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "plan/policies/endor.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/generate/packed.h"
#include "real/generate/session.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"

enum { BLOCKS = 4, PROMPT = 6, NEW = 5, BATCH = 2, MICROS = 2 };

static lspo_workload_t workload(lspo_precision_t precision, const lspo_endor_values_t *values)
{
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = BATCH;
    w.sequence = PROMPT;
    w.iterations = NEW;
    w.accumulation = MICROS;
    w.precision = w.transfer = precision;
    *lspo_endor_values_edit(&w) = *values;
    return w;
}

typedef struct {
    uint32_t tokens[MICROS][BATCH * NEW];
} texts_t;

static void write_texts(lspo_family_t family, lspo_precision_t precision, const lspo_endor_values_t *values,
                        texts_t *out)
{
    const bool llama = family == LSPO_FAMILY_LLAMA;
    const lspo_model_t model = {.name = "small",
                                .family = family,
                                .block_count = BLOCKS,
                                .width = 24,
                                .head_count = 4,
                                .kv_head_count = llama ? 2 : 4,
                                .mlp_width = 42,
                                .vocabulary = 50,
                                .max_sequence = 32,
                                .tied_head = !llama};
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_device_t *device = NULL;
    lspo_generation_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    const lspo_workload_t w = workload(precision, values);
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_policy_find_any("endor", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_generation_session_create(plan, device, &session), LSPO_OK);
    cr_expect_eq(lspo_device_peak_bytes(device), plan->gpu_static_bytes);
    const lspo_play_t play = {.device = device, .context = session, .run = lspo_generation_session_run_op};
    for (int i = 0; i < 2; i++) {
        lspo_trace_destroy(trace);
        trace = NULL;
        lspo_generation_session_reset(session);
        cr_assert_eq(lspo_play(plan, &play, NULL, &trace), LSPO_OK);
    }
    cr_assert_eq(lspo_memory_replay(plan, trace, &gpu, &host), LSPO_OK);
    for (uint32_t m = 0; m < MICROS; m++)
        memcpy(out->tokens[m], lspo_generation_session_tokens(session, m), sizeof out->tokens[m]);
    lspo_generation_session_destroy(session);
    lspo_device_close(device);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
}

/* Host, SSD (a temporary file) and direct, with one slot to more than there are layers. */
static void check(lspo_family_t family, lspo_precision_t precision, double sparsity, texts_t *wanted)
{
    lspo_endor_values_t v = {.sparsity = sparsity, .weight_format = LSPO_WEIGHTS_DENSE, .weight_slots = 2};
    write_texts(family, precision, &v, wanted);
    for (v.weight_format = LSPO_WEIGHTS_DENSE; v.weight_format <= LSPO_WEIGHTS_BITMAP; v.weight_format++)
        for (v.weight_slots = 1; v.weight_slots <= 7; v.weight_slots += 6)
            for (int tier = 0; tier < 3; tier++) {
                texts_t got;
                v.gpu_blocks = tier;
                v.host_weights = tier > 0 ? 1 : 0;
                v.direct = tier == 2;
                write_texts(family, precision, &v, &got);
                cr_expect_arr_eq(got.tokens, wanted->tokens, sizeof got.tokens,
                                 "family %d, %s, sparsity %g, format %u, %u slots, tier %d", (int)family,
                                 lspo_precision_name(precision), sparsity, v.weight_format, v.weight_slots, tier);
            }
}

Test(endor, packed_weights_write_the_texts_of_dense_ones)
{
    for (lspo_family_t family = LSPO_FAMILY_GPT; family <= LSPO_FAMILY_LLAMA; family++) {
        texts_t whole, half, none;
        check(family, LSPO_FP32, 0, &whole);
        check(family, LSPO_FP32, 0.5, &half);
        check(family, LSPO_FP32, 1, &none);
        cr_expect(memcmp(&whole, &none, sizeof whole) != 0, "the texts depend on the weights");
        check(family, LSPO_BF16, 0.5, &half);
        check(family, LSPO_FP16, 0.9, &half);
    }
}

static size_t zeros_of(size_t count, const float *w)
{
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++)
        zeros += w[i] == 0;
    return zeros;
}

/* Of each matrix, with experts of each of theirs, the share is zero; of a router and what is no matrix nothing. */
static void check_zeros(const lspo_model_t *model, const lspo_stage_t *stage, double z, const float *wide)
{
    size_t seen = 0;
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_tensor_t *t = &stage->tensors[i];
        const bool experts = strncmp(t->name, "experts", strlen("experts")) == 0;
        const size_t matrices = experts ? model->expert_count : 1, count = (size_t)t->rows * t->cols / matrices;
        const size_t wanted = strcmp(t->name, "router") == 0 ? 0 : (size_t)llround(z * (double)count);
        for (size_t k = 0; k < matrices; k++, seen += wanted)
            cr_expect_eq(zeros_of(count, wide + t->offset_elements + k * count), wanted, "sparsity %g, %s %zu", z,
                         t->name, k);
    }
    cr_expect_eq(zeros_of(stage->element_count, wide), seen, "sparsity %g: of other tensors nothing", z);
}

/* The array of a block: what is stored has the bytes of the plan, and comes back bit for bit. */
static void check_block(const lspo_model_t *model, double z, lspo_weight_format_t format, lspo_precision_t precision)
{
    lspo_stage_t stage;
    lspo_model_stage(model, 1, &stage);
    const lspo_endor_values_t v = {.sparsity = z, .weight_format = format};
    const lspo_packed_t packed = {&v, &stage, lspo_compute_number_of(precision)};
    const size_t bytes = stage.element_count * lspo_precision_bytes(precision);
    const size_t stored_bytes = lspo_endor_stored_bytes(&v, &stage, precision);
    float *wide = malloc(stage.element_count * sizeof *wide);
    char *dense = malloc(bytes), *back = malloc(bytes), *stored = malloc(stored_bytes + 8);
    cr_assert(wide != NULL && dense != NULL && back != NULL && stored != NULL);
    memset(stored, 0x5a, stored_bytes + 8);
    memset(back, 0x5a, bytes);
    lspo_transformer_init(model, 1, 1, wide);
    cr_assert_eq(lspo_packed_prune(&stage, z, wide), LSPO_OK);
    check_zeros(model, &stage, z, wide);
    lspo_convert(stage.element_count, LSPO_NUMBER_FP32, wide, packed.number, dense);
    lspo_packed_store(&packed, dense, stored);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(stored[stored_bytes + i], 0x5a, "no more bytes than the plan has");
    lspo_packed_expand(&packed, lspo_compute_host(), stored, back);
    cr_expect(memcmp(back, dense, bytes) == 0, "sparsity %g, format %d, %s, %u experts", z, (int)format,
              lspo_precision_name(precision), model->expert_count);
    free(stored), free(back), free(dense), free(wide);
}

Test(endor, a_block_comes_back_bit_for_bit)
{
    lspo_model_t model = {.name = "uneven",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = 1,
                          .width = 20,
                          .head_count = 4,
                          .kv_head_count = 2,
                          .mlp_width = 37,
                          .vocabulary = 50,
                          .max_sequence = 32,
                          .experts_per_token = 2};
    for (model.expert_count = 0; model.expert_count <= 3; model.expert_count += 3)
        for (double z = 0; z <= 1; z += 0.25)
            for (lspo_weight_format_t format = LSPO_WEIGHTS_CSR; format <= LSPO_WEIGHTS_BITMAP; format++)
                for (lspo_precision_t precision = LSPO_FP32; precision <= LSPO_FP16; precision++)
                    check_block(&model, z, format, precision);
}
