/* Models that differ from their family: their files, tensors, kernels and activations, by hand. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/family.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/stage_work.h"

/* w 6, 2 heads of 4 (a 8), 1 of K and V (kv 4), f 8, V 10; batch 2 of s 5, so T 10; fp32. */
static const lspo_model_t llama = {.name = "toy",
                                   .family = LSPO_FAMILY_LLAMA,
                                   .block_count = 6,
                                   .width = 6,
                                   .head_count = 2,
                                   .kv_head_count = 1,
                                   .mlp_width = 8,
                                   .vocabulary = 10,
                                   .max_sequence = 5,
                                   .head_width = 4};

/* w 6, 2 heads of 3, f 8. */
static const lspo_model_t gpt = {.name = "toy",
                                 .family = LSPO_FAMILY_GPT,
                                 .block_count = 6,
                                 .width = 6,
                                 .head_count = 2,
                                 .kv_head_count = 2,
                                 .mlp_width = 8,
                                 .vocabulary = 10,
                                 .max_sequence = 5,
                                 .tied_head = true};

static lspo_workload_t toy_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 5;
    workload.precision = LSPO_FP32;
    return workload;
}

static double class_flop(const lspo_work_t *work, lspo_kernel_class_t kernel_class)
{
    double flop = 0.0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        flop += work->kernels[i].kernel_class == kernel_class ? work->kernels[i].flop : 0.0;
    return flop;
}

static uint64_t class_bytes(const lspo_work_t *work, lspo_kernel_class_t kernel_class)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        bytes += work->kernels[i].kernel_class == kernel_class ? work->kernels[i].bytes : 0;
    return bytes;
}

/* "norm1_gain norm2_gain ": the tensors of a stage that are not linear. */
static const char *rest_of(const lspo_model_t *model, uint32_t stage)
{
    static char text[1024];
    lspo_stage_t shape;
    cr_assert_eq(lspo_model_check(model), LSPO_OK);
    lspo_model_stage(model, stage, &shape);
    text[0] = '\0';
    for (uint32_t i = shape.linear_count; i < shape.tensor_count; i++) {
        strcat(text, shape.tensors[i].name);
        strcat(text, " ");
    }
    return text;
}

Test(traits, tensors)
{
    lspo_model_t m = llama;
    cr_expect_str_eq(rest_of(&m, 1), "norm1_gain norm2_gain ");
    m.norms = LSPO_NORMS_BOTH;
    m.qk_norm = LSPO_QK_NORM_HEAD;
    m.biases = LSPO_BIASES_QKV;
    cr_expect_str_eq(rest_of(&m, 1), "q_bias k_bias v_bias norm1_gain norm2_gain norm1_after_gain norm2_after_gain "
                                     "q_norm_gain k_norm_gain ");
    m.norms = LSPO_NORMS_AFTER;
    m.biases = LSPO_BIASES_ALL;
    m.qk_norm = LSPO_QK_NORM_NONE;
    cr_expect_str_eq(rest_of(&m, 1), "q_bias k_bias v_bias attention_out_bias gate_bias up_bias down_bias "
                                     "norm1_after_gain norm2_after_gain ");
    m = llama;
    m.norm = LSPO_NORM_LAYER_PLAIN;
    cr_expect_str_eq(rest_of(&m, 1), "");
    m = gpt;
    m.norms = LSPO_NORMS_PARALLEL_SHARED;
    m.norm = LSPO_NORM_LAYER_GAIN;
    m.biases = LSPO_BIASES_MLP;
    m.positions = LSPO_POSITIONS_ROTARY;
    cr_expect_str_eq(rest_of(&m, 1), "mlp_up_bias mlp_down_bias norm1_gain ");
    cr_expect_str_eq(rest_of(&m, 0), "token ");
    cr_expect_str_eq(rest_of(&m, 7), "norm_gain ");
}

/* embed 10 6; a block q 6 8, k and v 6 4, out 8 6, gate, up, down 6 8, norms 2 6: 300; head 6 + 6 10. */
Test(traits, parameters)
{
    lspo_model_t m = llama;
    cr_expect_eq(lspo_model_parameter_count(&m), 60u + 6 * 300 + 66);
    m.qk_norm = LSPO_QK_NORM_HEAD; /* 2 x 4 */
    cr_expect_eq(lspo_model_parameter_count(&m), 60u + 6 * 308 + 66);
    m.qk_norm = LSPO_QK_NORM_WIDTH; /* 8 + 4 */
    cr_expect_eq(lspo_model_parameter_count(&m), 60u + 6 * 312 + 66);
    m = gpt;
    m.unused_positions = 2;
    cr_expect_eq(lspo_model_parameter_count(&m), lspo_model_parameter_count(&gpt) + 2 * 6);
}

/* Query i of 1..5 sees min(i, window) keys: 15 without a window, 1 + 2 + 2 + 2 + 2 = 9 with one of 2.  Forward 4 a of
 * them for each of the 2 sequences. */
Test(traits, windows)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_model_t m = llama;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 4.0 * 8 * 2 * 15);
    m.window = 2;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 4.0 * 8 * 2 * 9);
    m.full_every = 3; /* blocks 3 and 6 have no window */
    for (uint32_t stage = 1; stage <= 6; stage++) {
        lspo_stage_work_backward(&m, &workload, stage, true, true, &work);
        cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 8.0 * 8 * 2 * (stage % 3 == 0 ? 15 : 9), "%u", stage);
    }
    m.window = 5; /* as long as the sequence */
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 4.0 * 8 * 2 * 15);
}

/* Every FWD of a plan has the work of its own stage. */
Test(traits, a_plan_knows_the_windows_of_its_blocks)
{
    lspo_workload_t workload = toy_workload();
    const lspo_policy_t *policy;
    lspo_plan_t *plan;
    lspo_model_t m = llama;
    m.window = 2;
    m.full_every = 3;
    workload.iterations = 2;
    cr_assert_eq(lspo_policy_find("native", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, &workload, policy, &plan), LSPO_OK);
    uint32_t met = 0;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        if (op->kind != LSPO_OP_FWD && op->kind != LSPO_OP_BWD)
            continue;
        const bool block = op->layer >= 1 && op->layer <= 6;
        const double pairs = !block ? 0 : op->layer % 3 == 0 ? 15 : 9;
        cr_expect_eq(class_flop(&plan->works[op->work], LSPO_KERNEL_ATTENTION),
                     (op->kind == LSPO_OP_FWD ? 4.0 : 8.0) * 8 * 2 * pairs, "op %u of stage %u", i, op->layer);
        met += block;
    }
    cr_expect_eq(met, 2u * 2 * 6);
    lspo_plan_destroy(plan);
}

/* Linear weights of 288: 2 T 288 = 5760 flop.  Streams T 4 B (2 (8 + 4) of the positions, 2 x 2 w of the residuals);
 * with biases of Q, K and V 8 + 2 x 4 more, with all of them 2 f more, and backward 8 + 8 + 6 + 2 f + 6. */
Test(traits, biases_and_heads_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_model_t m = llama;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 5760.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * (24 + 24));
    m.biases = LSPO_BIASES_QKV;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * (24 + 24 + 16));
    m.biases = LSPO_BIASES_ALL;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * (24 + 24 + 16 + 16));
    lspo_stage_work_backward(&m, &workload, 1, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 2 * 5760.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * (24 + 16 + 6 + 16 + 6));
    lspo_stage_work_backward(&m, &workload, 1, true, false, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * 24);
}

/* Norms: 2 w each forward; 4 w backward where they add a residual, else 3 w; of Q and K 2 and 3 times 8 + 4.  A norm
 * behind a product needs its result and another read of the residual, also in recompute. */
Test(traits, norms_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_model_t m = llama;
    m.norms = LSPO_NORMS_BOTH;
    m.qk_norm = LSPO_QK_NORM_HEAD;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 10u * 4 * (4 * 12 + 24));
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 10u * 4 * (24 + 2 * 18));
    lspo_stage_work_recompute(&m, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 5760.0);
    lspo_stage_work_backward(&m, &workload, 1, true, true, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 10u * 4 * (2 * 24 + 2 * 18 + 36));
    m = gpt;
    m.norms = LSPO_NORMS_PARALLEL_SHARED;
    lspo_stage_work_forward(&m, &workload, 1, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 10u * 4 * 12);
    lspo_stage_work_backward(&m, &workload, 1, true, true, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 10u * 4 * 24);
}

static uint64_t saved_bytes(const lspo_model_t *model)
{
    const lspo_workload_t workload = toy_workload();
    lspo_activations_t a;
    lspo_activations(model, &workload, &a);
    return a.saved_bytes;
}

/* 3 w + 2 a + 2 kv + 3 f = 66, attention 2 s = 10, two norms' 1/sigma; then what other norms keep.  GPT: 5 w + 2 kv
 * + 2 f = 58 and four statistics; parallel without one w, or two w and a norm. */
Test(traits, saved_activations_by_hand)
{
    lspo_model_t m = llama;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (66 + 10 + 2));
    m.norms = LSPO_NORMS_BOTH;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (66 + 12 + 10 + 4));
    m.norms = LSPO_NORMS_AFTER;
    m.qk_norm = LSPO_QK_NORM_WIDTH;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (66 + 12 + 10 + 2 + 2));
    m = gpt;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (58 + 10 + 4));
    m.norms = LSPO_NORMS_PARALLEL;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (58 - 6 + 10 + 4));
    m.norms = LSPO_NORMS_PARALLEL_SHARED;
    cr_expect_eq(saved_bytes(&m), 10u * 4 * (58 - 12 + 10 + 2));
}

static lspo_status_t read_text(const char *text, lspo_model_t *model)
{
    char path[] = "/tmp/lspo-traits-XXXXXX";
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    lspo_status_t status = lspo_model_find(path, model);
    unlink(path);
    return status;
}

#define LLAMA                                                                                                          \
    "[model]\nname = mine\nfamily = llama\nblocks = 4\nwidth = 32\nheads = 4\nvocabulary = 10\nmax_sequence = 8\n"

#define ALL_KEYS                                                                                                       \
    LLAMA "head_dim = 6\nbiases = qkv\nnorm = layer\nnorms = both\nqk_norm = head\nwindow = 4\nfull_every = 2\n"       \
          "rope_scaling = llama3\nrope_factor = 8\nrope_low_factor = 1\nrope_high_factor = 4\nrope_original = 4\n"     \
          "predict_only = true\n"

Test(traits, a_file_may_have_all_keys)
{
    lspo_model_t m;
    cr_assert_eq(read_text(ALL_KEYS, &m), LSPO_OK);
    cr_expect_eq(lspo_model_attention_width(&m), 24u);
    cr_expect_eq(m.biases, LSPO_BIASES_QKV);
    cr_expect_eq(m.norm, LSPO_NORM_LAYER);
    cr_expect_eq(m.norms, LSPO_NORMS_BOTH);
    cr_expect_eq(m.qk_norm, LSPO_QK_NORM_HEAD);
    cr_expect_eq(lspo_model_window(&m, 1), 4u);
    cr_expect_eq(lspo_model_window(&m, 2), 0u);
    cr_expect_eq(m.rope_scaling, LSPO_ROPE_LLAMA3);
    cr_expect(m.predict_only);
    cr_expect_not(m.tied_head, "predict_only is not tied_head");
    cr_expect_eq(lspo_model_check_trains(&m), LSPO_ERR_INPUT);
}

/* Every preset, and a model with all keys. */
Test(traits, what_is_written_is_read_back)
{
    const uint32_t presets = lspo_model_preset_count();
    for (uint32_t i = 0; i <= presets; i++) {
        lspo_model_t model, again;
        char text[2048] = "", before[64], after[64];
        if (i < presets)
            cr_assert_eq(lspo_model_preset(i, &model), LSPO_OK);
        else
            cr_assert_eq(read_text(ALL_KEYS, &model), LSPO_OK);
        FILE *file = fmemopen(text, sizeof text, "w");
        lspo_model_write(&model, file);
        fclose(file);
        cr_assert_eq(read_text(text, &again), LSPO_OK, "%s", text);
        cr_expect_str_eq(model.name, again.name);
        cr_expect_str_eq(model.source, again.source);
        for (size_t k = 0; k < lspo_model_field_count; k++) {
            lspo_record_format(&lspo_model_fields[k], &model, before, sizeof before);
            lspo_record_format(&lspo_model_fields[k], &again, after, sizeof after);
            cr_expect_str_eq(before, after, "%s: %s", model.name, lspo_model_fields[k].name);
        }
    }
}

/* Each message names the key, and the value or what is needed. */
Test(traits, bad_values_are_refused, .init = cr_redirect_stderr)
{
    static const struct {
        const char *lines, *message;
    } cases[] = {
        {"biases = some\n", "[model] biases: 'some' is"},
        {"norms = behind\n", "[model] norms: 'behind' is"},
        {"window = -1\n", "[model] window: '-1' is not an integer from 0 to 16777216"},
        {"head_dim = 70000\n", "[model] head_dim: '70000' is not an integer from 0 to 65536"},
        {"rope_factor = 0.5\n", "[model] rope_factor 0.5 is outside 1..1e+06"},
        {"rope_factor = 2\n", "rope_factor needs rope_scaling"},
        {"rope_scaling = linear\n", "rope_factor is missing"},
        {"rope_scaling = llama3\nrope_factor = 2\n", "llama3 needs rope_high_factor > rope_low_factor > 0"},
        {"rope_scaling = llama3\nrope_factor = 2\nrope_low_factor = 1\nrope_high_factor = 4\n",
         "rope_original is missing"},
        {"rope_scaling = linear\nrope_factor = 2\npositions = alibi\n", "rope_scaling needs positions = rotary"},
        {"full_every = 2\n", "full_every needs window"},
        {"unused_positions = 2\n", "unused_positions needs positions = learned"},
        {"predict_only = maybe\n", "[model] predict_only: 'maybe' is not one of true, false"},
    };
    char text[8192] = "";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_model_t model;
        char file[1024];
        snprintf(file, sizeof file, LLAMA "%s", cases[i].lines);
        cr_expect_eq(read_text(file, &model), LSPO_ERR_INPUT, "%s", cases[i].lines);
    }
    lspo_model_t bert = {.name = "b", .family = LSPO_FAMILY_BERT, .block_count = 1, .width = 8, .head_count = 2};
    bert.kv_head_count = 2;
    bert.mlp_width = bert.vocabulary = bert.max_sequence = 8;
    bert.window = 4;
    cr_expect_eq(lspo_model_check(&bert), LSPO_ERR_INPUT);
    fflush(stderr);
    cr_assert_gt(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()), 0u);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect(strstr(text, cases[i].message) != NULL, "%s is not in %s", cases[i].message, text);
    cr_expect(strstr(text, "model b: window needs family gpt or llama") != NULL);
}
