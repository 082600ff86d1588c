/* Shapes of the presets against published parameter counts; model files; workload checks; kernels of each stage. */
#include "plan/model.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/family.h"
#include "plan/message_work.h"
#include "plan/stage_work.h"
#include "plan/workload.h"
#include "tests/toy_gpt.h"

static lspo_model_t find(const char *name)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find(name, &model), LSPO_OK, "%s", name);
    return model;
}

/* The counts that the published checkpoints have (numel() over the distinct parameters of the model). */
Test(model, presets_have_the_published_parameter_counts)
{
    static const struct {
        const char *name;
        uint64_t parameters;
    } published[] = {
        {"gpt2-124m", 124439808},
        {"gpt2-774m", 774030080},
        {"llama-3b", 3426473600},
        {"llama-7b", 6738415616},
        {"deepseek-coder-1.3b", 1346471936},
        {"deepseek-coder-6.7b", 6740512768},
        {"roberta-base", 124697433}, /* RobertaForMaskedLM */
    };
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        lspo_model_t model = find(published[i].name);
        cr_expect_eq(lspo_model_parameter_count(&model), published[i].parameters, "%s: %" PRIu64, model.name,
                     lspo_model_parameter_count(&model));
    }
}

/* Without a checkpoint: what the names promise, within 6 %. */
Test(model, other_presets_have_about_the_size_of_their_name)
{
    static const struct {
        const char *name;
        double parameters;
    } about[] = {{"gpt2-1.3b", 1.3e9}, {"gpt-tiny", 1.0e6}, {"gpt-small", 10.5e6}, {"gpt-medium", 30e6}};
    for (size_t i = 0; i < sizeof about / sizeof about[0]; i++) {
        lspo_model_t model = find(about[i].name);
        double ratio = (double)lspo_model_parameter_count(&model) / about[i].parameters;
        cr_expect(ratio > 0.94 && ratio < 1.06, "%s: %g", model.name, ratio);
    }
    cr_expect_eq(find("gpt2-1.3b").block_count, 40u);
}

Test(model, stages_of_every_preset_are_one_gapless_array)
{
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t preset;
        cr_assert_eq(lspo_model_preset(i, &preset), LSPO_OK);
        cr_expect_str_eq(preset.name, lspo_model_preset_name(i));
        const lspo_model_t *model = &preset;
        uint64_t total = 0;
        cr_expect_eq(lspo_model_check(model), LSPO_OK);
        for (uint32_t s = 0; s < lspo_model_stage_count(model); s++) {
            lspo_stage_t stage;
            lspo_model_stage(model, s, &stage);
            uint64_t offset = 0;
            for (uint32_t t = 0; t < stage.tensor_count; t++) {
                cr_expect_eq(stage.tensors[t].offset_elements, offset);
                cr_expect_eq(stage.tensors[t].linear, t < stage.linear_count);
                offset += (uint64_t)stage.tensors[t].rows * stage.tensors[t].cols;
            }
            cr_expect_eq(stage.element_count, offset);
            total += offset;
        }
        cr_expect_eq(total, lspo_model_parameter_count(model), "%s", model->name);
    }
}

Test(model, gpt_block_lies_as_the_header_says)
{
    static const char *const names[] = {"qkv",        "attention_out",      "mlp_up",      "mlp_down",
                                        "qkv_bias",   "attention_out_bias", "mlp_up_bias", "mlp_down_bias",
                                        "norm1_gain", "norm1_bias",         "norm2_gain",  "norm2_bias"};
    lspo_model_t model = find("gpt-tiny");
    lspo_stage_t stage;
    lspo_model_stage(&model, 3, &stage);
    cr_assert_eq(stage.tensor_count, 12u);
    cr_assert_eq(stage.linear_count, 4u);
    for (uint32_t t = 0; t < 12; t++) {
        cr_expect_str_eq(stage.tensors[t].name, names[t]);
    }
    cr_expect_eq(stage.tensors[0].rows, 128u);
    cr_expect_eq(stage.tensors[0].cols, 384u);
    cr_expect_eq(stage.tensors[3].rows, 512u);
    cr_expect_eq(stage.tensors[3].cols, 128u);
}

Test(model, stage_names)
{
    lspo_model_t model = find("gpt-tiny");
    char name[16];
    cr_expect_str_eq(lspo_model_stage_name(&model, 0, name), "embed");
    cr_expect_str_eq(lspo_model_stage_name(&model, 5, name), "5");
    cr_expect_str_eq(lspo_model_stage_name(&model, 6, name), "head");
}

Test(model, unknown_names_say_where_the_known_are, .init = cr_redirect_stderr)
{
    lspo_model_t model;
    cr_expect_eq(lspo_model_find("gpt2", &model), LSPO_ERR_INPUT);
    fflush(stderr);
    char text[2048] = "";
    FILE *errors = cr_get_redirected_stderr();
    cr_assert_gt(fread(text, 1, sizeof text - 1, errors), 0u);
    cr_expect(strstr(text, "'gpt2' is not one of `lspo list models`") != NULL &&
                  strstr(text, "did you mean gpt2-124m, gpt2-774m, gpt2-1.3b?") != NULL,
              "%s", text);
}

/* Writes `text` to a file of its own; the caller unlinks it. */
static void write_file(char *path, const char *text)
{
    strcpy(path, "/tmp/lspo-model-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static lspo_status_t read_text(const char *text, lspo_model_t *model)
{
    char path[32];
    write_file(path, text);
    lspo_status_t status = lspo_model_find(path, model);
    unlink(path);
    return status;
}

#define GOOD_MODEL                                                                                                     \
    "[model]\nname = mine\nfamily = llama\nblocks = 2\nwidth = 8\nheads = 4\nvocabulary = 16\nmax_sequence = 32\n"

Test(model, a_file_gives_a_model_with_the_defaults_of_its_family)
{
    lspo_model_t model;
    cr_assert_eq(read_text("# a comment\n" GOOD_MODEL "kv_heads = 2 ; grouped\nmlp_width=24\n", &model), LSPO_OK);
    cr_expect_str_eq(model.name, "mine");
    cr_expect_eq(model.family, LSPO_FAMILY_LLAMA);
    cr_expect_eq(model.kv_head_count, 2u);
    cr_expect_not(model.tied_head);
    /* block: q 64, k and v 8 x 4 each, out 64, 3 x 8 x 24, norms 16 = 784; embed 128; head 8 + 128 */
    cr_expect_eq(lspo_model_parameter_count(&model), 2u * 784u + 128u + 136u);
    cr_assert_eq(read_text(GOOD_MODEL, &model), LSPO_OK);
    cr_expect_eq(model.kv_head_count, 4u);
    cr_expect_eq(model.mlp_width, 32u);
}

#define CLASSIFIER                                                                                                     \
    "[model]\nname = mine\nfamily = bert\nblocks = 1\nwidth = 8\nheads = 4\nvocabulary = 16\nmax_sequence = 6\n"

/* block: qkv 192, out 64, mlp 2 x 8 x 32, biases 24 + 8 + 32 + 8, norms 32 = 872; embed (16 + 8 + 1) x 8 + 16 = 216;
 * head: dense 64 + 8, output 8 x 3 + 3. */
Test(model, a_classifier_has_a_head_of_its_own)
{
    lspo_model_t model;
    cr_assert_eq(read_text(CLASSIFIER "classes = 3\nnorm_epsilon = 1e-12\n", &model), LSPO_OK);
    cr_expect_eq(model.class_count, 3u);
    cr_expect_not(model.tied_head);
    cr_expect_eq(lspo_model_parameter_count(&model), 872u + 216u + 99u);
    cr_expect_eq(lspo_model_norm_epsilon(&model), 1e-12);
    cr_assert_eq(read_text(CLASSIFIER, &model), LSPO_OK);
    cr_expect_eq(model.class_count, 0u);
    cr_expect(model.tied_head);
    cr_expect_eq(lspo_model_norm_epsilon(&model), 1e-5);
    cr_assert_eq(read_text(GOOD_MODEL "rope_theta = 500000\n", &model), LSPO_OK);
    cr_expect_eq(lspo_model_rope_theta(&model), 5e5);
    cr_expect_eq(lspo_model_norm_epsilon(&model), 1e-6);
    cr_assert_eq(read_text(GOOD_MODEL, &model), LSPO_OK);
    cr_expect_eq(lspo_model_rope_theta(&model), 1e4);
}

Test(model, malformed_files_are_refused)
{
    static char long_line[4000];
    memset(long_line, 'x', sizeof long_line - 2);
    memcpy(long_line, "[model]\nname = ", 15);
    const char *const bad[] = {
        "",
        "name = mine\n",
        "[model]\nname = mine\n",
        "[model\nname = mine\n",
        "[model]\nname mine\n",
        GOOD_MODEL "colour = red\n",
        GOOD_MODEL "width = 16\n",
        GOOD_MODEL "[machine]\nname = x\n",
        GOOD_MODEL "mlp_width = 0\n",
        GOOD_MODEL "mlp_width = -3\n",
        GOOD_MODEL "classes = 2\n",
        GOOD_MODEL "norm_epsilon = 1\n",
        GOOD_MODEL "norm_epsilon = nan\n",
        GOOD_MODEL "rope_theta = 0.5\n",
        CLASSIFIER "classes = 2\ntied_head = true\n",
        CLASSIFIER "classes = 65537\n",
        GOOD_MODEL "mlp_width = 99999999999999999999\n",
        GOOD_MODEL "mlp_width = 4194304\n",
        GOOD_MODEL "kv_heads = 3\n",
        GOOD_MODEL "tied_head = maybe\n",
        "[model]\nname = a\nfamily = gpt\nblocks = 0\nwidth = 8\nheads = 4\nvocabulary = 16\nmax_sequence = 32\n",
        "[model]\nname = a\nfamily = gpt\nblocks = 1001\nwidth = 8\nheads = 4\nvocabulary = 16\nmax_sequence = 32\n",
        "[model]\nname = a\nfamily = gpt\nblocks = 1\nwidth = 9\nheads = 4\nvocabulary = 16\nmax_sequence = 32\n",
        "[model]\nname = a\nfamily = rnn\nblocks = 1\nwidth = 8\nheads = 4\nvocabulary = 16\nmax_sequence = 32\n",
        long_line,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_model_t model;
        cr_expect_eq(read_text(bad[i], &model), LSPO_ERR_INPUT, "%.60s", bad[i]);
    }
    lspo_model_t model;
    cr_expect_eq(lspo_model_find("/", &model), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_model_find("", &model), LSPO_ERR_INPUT);
}

Test(model, a_refusal_names_file_line_and_key, .init = cr_redirect_stderr)
{
    char path[32], expected[128];
    lspo_model_t model;
    write_file(path, "[model]\n# one\n\nfamily = rnn\n");
    lspo_model_find(path, &model);
    unlink(path);
    fflush(stderr);
    snprintf(expected, sizeof expected, "lspo: error: %s:4: [model] family: 'rnn' is not one of gpt, llama, bert\n",
             path);
    cr_assert_stderr_eq_str(expected);
}

/* The range is said at the key's line, not of the whole model. */
Test(model, a_value_outside_its_range_is_refused_at_its_line, .init = cr_redirect_stderr)
{
    lspo_model_t model;
    char text[2048] = "";
    cr_expect_eq(read_text(GOOD_MODEL "norm_epsilon = 1\n", &model), LSPO_ERR_INPUT);
    cr_expect_eq(read_text(GOOD_MODEL "rope_theta = 0.5\n", &model), LSPO_ERR_INPUT);
    cr_expect_eq(read_text(GOOD_MODEL "kv_heads = 4097\n", &model), LSPO_ERR_INPUT);
    cr_expect_eq(read_text(CLASSIFIER "classes = 65537\n", &model), LSPO_ERR_INPUT);
    fflush(stderr);
    cr_assert_gt(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()), 0u);
    cr_expect(strstr(text, ":9: [model] norm_epsilon 1 is outside 0..1\n") != NULL, "%s", text);
    cr_expect(strstr(text, ":9: [model] rope_theta 0.5 is outside 1..1e+12\n") != NULL, "%s", text);
    cr_expect(strstr(text, ":9: [model] kv_heads: '4097' is not an integer from 1 to 4096\n") != NULL, "%s", text);
    cr_expect(strstr(text, ":9: [model] classes: '65537' is not an integer from 0 to 65536\n") != NULL, "%s", text);
}

/* Each family has all of its functions, its stages are what its row says, and no two share a name. */
Test(model, every_family_is_a_whole_row)
{
    for (int f = 0; f < LSPO_FAMILY_COUNT; f++) {
        const lspo_family_row_t *row = lspo_family_row((lspo_family_t)f);
        lspo_model_t model = {.name = "toy",
                              .family = (lspo_family_t)f,
                              .block_count = 2,
                              .width = 8,
                              .head_count = 2,
                              .kv_head_count = 2,
                              .mlp_width = 16,
                              .vocabulary = 10,
                              .max_sequence = 6,
                              .tied_head = row->tied_head};
        lspo_stage_t block, head;
        cr_assert_eq(lspo_model_check(&model), LSPO_OK);
        cr_expect(row->embed != NULL && row->embed_forward != NULL && row->embed_backward != NULL);
        cr_expect(row->block_forward != NULL && row->block_backward != NULL);
        cr_expect(row->head_forward != NULL && row->head_backward != NULL);
        lspo_model_stage(&model, 1, &block);
        lspo_model_stage(&model, 3, &head);
        bool has_gate = false, has_bias = false;
        for (uint32_t t = 0; t < block.tensor_count; t++) {
            has_gate |= strcmp(block.tensors[t].name, "gate") == 0;
            has_bias |= strcmp(block.tensors[t].name, "norm1_bias") == 0;
        }
        cr_expect_eq(has_gate, row->gated, "%s", lspo_family_names[f]);
        cr_expect_eq(has_bias, row->norm == LSPO_NORM_LAYER, "%s", lspo_family_names[f]);
        cr_expect_eq(row->rms_norm, row->norm == LSPO_NORM_RMS, "%s", lspo_family_names[f]);
        model.tied_head = false;
        model.class_count = 3;
        cr_expect_eq(lspo_model_check(&model), row->classifies ? LSPO_OK : LSPO_ERR_INPUT);
        for (int g = 0; g < f; g++)
            cr_expect_str_neq(lspo_family_names[f], lspo_family_names[g]);
    }
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.sequence = 128;
    return workload;
}

Test(workload, defaults_pass_and_each_bad_field_is_refused)
{
    lspo_model_t model = find("gpt-tiny");
    lspo_workload_t good = small_workload();
    cr_assert_eq(lspo_workload_check(&good, &model), LSPO_OK);
    lspo_workload_t bad[] = {good, good, good, good, good, good, good, good, good};
    bad[0].sequence = 257;
    bad[1].sequence = 0;
    bad[2].batch = 0;
    bad[3].batch = UINT32_MAX;
    bad[4].iterations = 0;
    bad[5].accumulation = 70000;
    bad[6].clip_norm = -1.0;
    bad[7].learning_rate = 0.0 / 0.0 * good.learning_rate;
    bad[8].precision = LSPO_PRECISION_COUNT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(lspo_workload_check(&bad[i], &model), LSPO_ERR_INPUT, "case %zu", i);
    }
}

Test(workload, each_bad_value_of_a_policy_is_refused)
{
    static const struct {
        const char *policy, *key;
        double value;
    } bad[] = {
        {"lsp", "subspace", 513}, /* gpt-tiny's largest dimension is its MLP's 512 */
        {"lsp", "subspace", 0},
        {"lsp", "nnz", 513},
        {"lsp", "nnz", 0},
        {"lsp", "transition", 7}, /* stages 0..6 */
        {"lsp", "transition", -2},
        {"swap", "resident-blocks", 6},
        {"lsp", "fit-batches", 2}, /* one checks, one decides: none is left to fit to */
        {"lsp-paper", "fit-beta", -1e-4},
        {"lsp", "bias-threshold", -0.1},
        {"lsp", "projector-values", 2},
        {"lsp", "projectors", 2},
        {"lora", "rank", 513},
        {"galore", "rank", 0},
        {"zenflow", "critical", 0},
        {"zenflow", "critical", 1.5},
    };
    lspo_model_t model = find("gpt-tiny");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const lspo_policy_t *policy;
        lspo_workload_t workload = small_workload();
        cr_assert_eq(lspo_policy_find(bad[i].policy, &policy), LSPO_OK);
        lspo_policy_set_defaults(policy, &model, false, &workload);
        cr_expect_eq(lspo_policy_check(policy, &model, &workload), LSPO_OK, "%s's defaults", policy->name);
        const lspo_parameter_use_t *use = lspo_policy_named_use(policy, bad[i].key, strlen(bad[i].key));
        cr_assert_not_null(use, "%s", bad[i].key);
        lspo_parameter_store(use->parameter, bad[i].value, lspo_policy_slot(policy, &workload, use->parameter));
        cr_expect_eq(lspo_policy_check(policy, &model, &workload), LSPO_ERR_INPUT, "--%s %g", bad[i].key, bad[i].value);
    }
}

Test(workload, a_refusal_names_flag_value_and_range, .init = cr_redirect_stderr)
{
    lspo_model_t model = find("gpt-tiny");
    lspo_workload_t workload = small_workload();
    workload.sequence = 300;
    lspo_workload_check(&workload, &model);
    fflush(stderr);
    cr_assert_stderr_eq_str("lspo: error: --sequence 300 is outside 1..256\n");
}

Test(workload, precisions)
{
    lspo_precision_t precision;
    for (int p = 0; p < LSPO_PRECISION_COUNT; p++) {
        cr_expect_eq(lspo_precision_parse("--precision", lspo_precision_name((lspo_precision_t)p), &precision),
                     LSPO_OK);
        cr_expect_eq((int)precision, p);
    }
    cr_expect_eq(lspo_precision_parse("--precision", "fp64", &precision), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_precision_bytes(LSPO_FP32), 4u);
    cr_expect_eq(lspo_precision_bytes(LSPO_BF16), 2u);
}

/* Batch 2 of s 3, so T 6; fp32. */
static lspo_workload_t toy_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 3;
    workload.precision = workload.transfer = LSPO_FP32;
    lspo_lsp_values_edit(&workload)->subspace = 2;
    lspo_lsp_values_edit(&workload)->nnz = 1;
    return workload;
}

static double class_flop(const lspo_work_t *work, lspo_kernel_class_t kernel_class)
{
    double flop = 0.0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        flop += work->kernels[i].kernel_class == kernel_class ? work->kernels[i].flop : 0.0;
    }
    return flop;
}

static uint64_t class_bytes(const lspo_work_t *work, lspo_kernel_class_t kernel_class)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        bytes += work->kernels[i].kernel_class == kernel_class ? work->kernels[i].bytes : 0;
    }
    return bytes;
}

/* Linear weights: 4x12 + 4x4 + 4x8 + 8x4 = 128 elements, so 2 T 128 = 1536 flop.
 * Attention: a sequence and head 2 s (s + 1) e = 2 x 3 x 4 x 2 = 48 flop; 4 of them 192.
 *   Its bytes: 4 (4 s e + s (s + 1) / 2) = 4 (24 + 6) = 120 each, 480.
 * Norms 2 x 2 T w 4 B = 384; GELU 2 T f 4 B = 384; streams T 4 B (12 + 8 biases, 2 x 8 residuals) = 864. */
Test(stage_work, forward_of_a_block_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_stage_work_forward(&toy, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1536.0);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 192.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_ATTENTION), 480u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 384u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_ACTIVATION), 384u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 864u);
    /* qkv: (6 x 4)(4 x 12), 4 (24 + 48 + 72) bytes */
    cr_expect_eq(work.kernels[3].m, 6u);
    cr_expect_eq(work.kernels[3].n, 12u);
    cr_expect_eq(work.kernels[3].k, 4u);
    cr_expect_eq(work.kernels[3].bytes, 576u);
    cr_expect_not(work.backward);
    /* Without mlp_down: 2 x 6 x 32 = 384 flop less, and its residual pass of 2 T w 4 B = 192 bytes. */
    lspo_stage_work_recompute(&toy, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1152.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 672u);
    lspo_stage_work_recompute(&toy, &workload, 2, &work);
    cr_expect_eq(work.kernel_count, 0u);
}

Test(stage_work, backward_of_a_block_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_stage_work_backward(&toy, &workload, 1, true, true, &work);
    cr_expect(work.backward);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 3072.0);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 384.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 768u);       /* 2 x 4 T w 4 B */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_ACTIVATION), 576u); /* 3 T f 4 B     */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 384u);     /* T (12 + 4) 4 B */
    lspo_stage_work_backward(&toy, &workload, 1, false, false, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1536.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 0u);
}

Test(stage_work, embedding_and_head_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_stage_work_forward(&toy, &workload, 0, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 288u); /* 3 T w 4 B */
    lspo_stage_work_backward(&toy, &workload, 0, true, true, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 480u); /* 5 T w 4 B */
    lspo_stage_work_backward(&toy, &workload, 0, true, false, &work);
    cr_expect_eq(work.kernel_count, 0u);
    lspo_stage_work_forward(&toy, &workload, 2, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 480.0); /* 2 T w V   */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_LOSS), 480u); /* 2 T V 4 B */
    lspo_stage_work_backward(&toy, &workload, 2, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 960.0);
    lspo_stage_work_backward(&toy, &workload, 2, true, false, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 480.0);
}

/* w 4, kv 2, f 8, untied.  Linear weights q 16, k 8, v 8, out 16, gate, up, down 32 each: 144, 2 T 144 = 1728 flop.
 * Streams T 4 B (12 of the rotary positions, 2 x 8 of the residuals) = 672; SwiGLU 3 T f 4 B = 576. */
Test(stage_work, llama_by_hand)
{
    const lspo_model_t llama = {.name = "toy",
                                .family = LSPO_FAMILY_LLAMA,
                                .block_count = 1,
                                .width = 4,
                                .head_count = 2,
                                .kv_head_count = 1,
                                .mlp_width = 8,
                                .vocabulary = 10,
                                .max_sequence = 3};
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_stage_work_forward(&llama, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1728.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 384u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 672u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_ACTIVATION), 576u);
    lspo_stage_work_recompute(&llama, &workload, 1, &work); /* without down */
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1344.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 480u);
    lspo_stage_work_backward(&llama, &workload, 1, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 3456.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 768u);       /* 2 x 4 T w 4 B */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_ACTIVATION), 960u); /* 5 T f 4 B     */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 288u);
    lspo_stage_work_backward(&llama, &workload, 0, true, true, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 448u); /* 3 T w 4 B, and V w 4 B of zeros */
    lspo_stage_work_backward(&llama, &workload, 2, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 960.0);
}

/* As the GPT of these sizes, but that recompute leaves out nothing, norms add no residual (3 T w each) and two copies
 * start the products that do (2 T w each), and that mlp_down's bias costs no pass. */
Test(stage_work, classifier_by_hand)
{
    const lspo_model_t bert = {.name = "toy",
                               .family = LSPO_FAMILY_BERT,
                               .block_count = 1,
                               .width = 4,
                               .head_count = 2,
                               .kv_head_count = 2,
                               .mlp_width = 8,
                               .vocabulary = 10,
                               .max_sequence = 3,
                               .class_count = 3};
    lspo_workload_t workload = toy_workload();
    lspo_work_t work;
    lspo_stage_work_recompute(&bert, &workload, 1, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 1536.0);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_ATTENTION), 288.0); /* 2 x 2 of 4 s^2 e = 72 */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 864u);
    lspo_stage_work_backward(&bert, &workload, 1, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 3072.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 576u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 672u); /* T (2 x 8 + 12) 4 B */
    lspo_stage_work_backward(&bert, &workload, 0, true, true, &work);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 1120u); /* (5 + 5) T w 4 B, and V w 4 B of zeros */
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_NORM), 480u);    /* 5 T w 4 B */
    /* the head: 2 b (w w + 3 w) = 112 flop, for two sequences */
    lspo_stage_work_forward(&bert, &workload, 2, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 112.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_LOSS), 48u);
    lspo_stage_work_backward(&bert, &workload, 2, true, true, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 224.0);
    lspo_stage_work_backward(&bert, &workload, 2, true, false, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 112.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 96u); /* T w 4 B of zeros */
}

/* d 2, r 1.  Gathers: 2 T r flop an input and an output dimension: (4+12)+(4+4)+(4+8)+(8+4) = 48 dimensions, 576 flop;
 * bytes T 4 B (48 + 8 x 2) = 1536.  Products: 4 of 2 T d^2 = 48, 192 flop.
 * Scatter: 2 m d r + 2 m n r over the weights: 2 x 2 (4+4+4+8) + 2 x 128 = 336 flop;
 * bytes: W read and written 2 x 128 x 4, deltas 4 x 4 elements x 4: 1088. */
Test(stage_work, compress_and_apply_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_stage_t stage;
    lspo_message_t message;
    lspo_work_t work;
    lspo_model_stage(&toy, 1, &stage);
    lspo_message_projected(&stage, 2, 1, false, &message);
    lspo_message_work_compress(&workload, &message, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GATHER), 576.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_GATHER), 1536u);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_GEMM), 192.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_STREAM), 0u);
    lspo_message_work_apply_delta(&workload, &message, &work);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_SCATTER), 336.0);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_SCATTER), 1088u);
}

/* Weights of 48, 16, 32 and 32 elements, a block each: 33 bytes, and 8 of the weight: 4 x 41 = 164 bytes of codes;
 * 128 numbers of 4 bytes.  A recompute leaves out the last: 123 and 96.  A weight of 64 x 256 + 1 elements has 257
 * blocks of 33 bytes, 2 groups of 4, and its mean: 8493. */
Test(stage_work, expansion_by_hand)
{
    lspo_workload_t workload = toy_workload();
    lspo_stage_t stage;
    lspo_message_t message;
    lspo_work_t work = {0};
    lspo_model_stage(&toy, 1, &stage);
    lspo_message_adapters(&stage, 2, false, &message);
    lspo_work_append_gemm(&work, 4, LSPO_LAYOUT_NN, 6, 12, 4);
    cr_assert_gt(work.kernels[0].far_bytes, 0u);
    lspo_message_work_add_expansion(&workload, &message, false, &work);
    cr_expect_eq(work.kernel_count, 2u);
    cr_expect_eq(work.kernels[0].far_bytes, 0u);
    cr_expect_eq(work.kernels[1].count, 4u);
    cr_expect_eq(work.kernels[1].far_bytes, 164u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_EXPAND), 164u + 512u);
    cr_expect_eq(class_flop(&work, LSPO_KERNEL_EXPAND), 0.0);
    work = (lspo_work_t){0};
    lspo_message_work_add_expansion(&workload, &message, true, &work);
    cr_expect_eq(work.kernels[0].count, 3u);
    cr_expect_eq(class_bytes(&work, LSPO_KERNEL_EXPAND), 123u + 384u);
    cr_expect_eq(lspo_nf4_weight_bytes(64 * 256 + 1), 8493u);
}

static uint64_t work_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        bytes += work->kernels[i].bytes;
    }
    return bytes;
}

Test(stage_work, single_kernels)
{
    lspo_work_t work;
    lspo_work_copy(1000, &work);
    cr_expect_eq(lspo_work_link_bytes(&work), 1000u);
    lspo_work_adam(10, &work);
    cr_expect_eq(work.kernels[0].elements, 10u);
    cr_expect_eq(work_bytes(&work), 280u);
    cr_expect_eq(lspo_work_link_bytes(&work), 0u);
    lspo_work_stream(64, &work);
    lspo_work_append(&work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_STREAM, .count = 1, .bytes = 6});
    cr_expect_eq(work_bytes(&work), 70u);
}

/* The rule of thumb for a dense transformer: 6 N flop a token in the linear layers, N those of blocks and head. */
Test(stage_work, every_preset_trains_at_six_flop_a_weight_and_token)
{
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t preset;
        cr_assert_eq(lspo_model_preset(i, &preset), LSPO_OK);
        const lspo_model_t *model = &preset;
        lspo_workload_t workload = toy_workload();
        if (model->expert_count > 0)
            continue; /* it is not trained */
        double flop = 0.0, weights = (double)model->width * model->vocabulary;
        if (model->family == LSPO_FAMILY_BERT) {
            weights += (double)model->width * model->width;
        }
        for (uint32_t s = 0; s < lspo_model_stage_count(model); s++) {
            lspo_work_t forward, backward;
            lspo_stage_t stage;
            lspo_stage_work_forward(model, &workload, s, &forward);
            lspo_stage_work_backward(model, &workload, s, true, true, &backward);
            flop += class_flop(&forward, LSPO_KERNEL_GEMM) + class_flop(&backward, LSPO_KERNEL_GEMM);
            lspo_model_stage(model, s, &stage);
            for (uint32_t t = 0; t < stage.linear_count; t++) {
                weights += (double)stage.tensors[t].rows * stage.tensors[t].cols;
            }
        }
        cr_expect_float_eq(flop / (6.0 * weights * 6.0), 1.0, 1e-12, "%s", model->name);
    }
}
