/* Shapes from config.json alone, of published models and of models that are refused. */
#include "real/formats/hf_config.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "plan/family.h"
#include "plan/presets.h"
#include "real/formats/hf_model.h"

static const char *data_path(const char *name)
{
    static char path[1024];
    const char *source = getenv("LSPO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/configs/%s.json", source ? source : ".", name);
    return path;
}

/* The numbers of parameters are those that Hugging Face shows for the published weights, and gemma-3-4b's that of its
 * language model (4,300,079,472 with the vision tower).  tests/peers/counts_peer.py counts them by transformers. */
static const struct {
    const char *name;
    uint64_t parameters;
} published[] = {
    {"llama-2-7b", 6738415616},     {"llama-2-13b", 13015864320}, {"llama-3.1-8b", 8030261248},
    {"llama-3.3-70b", 70553706496}, {"llama-3.2-1b", 1235814400}, {"llama-3.2-3b", 3212749824},
    {"qwen2.5-0.5b", 494032768},    {"qwen2.5-1.5b", 1543714304}, {"qwen2.5-3b", 3085938688},
    {"qwen2.5-7b", 7615616512},     {"qwen2.5-14b", 14770033664}, {"qwen3-4b", 4022468096},
    {"qwen3-8b", 8190735360},       {"mistral-7b", 7241732096},   {"mistral-nemo-12b", 12247782400},
    {"mixtral-8x7b", 46702792704},
    {"gemma-2-2b", 2614341888},     {"gemma-2-9b", 9241705984},   {"gemma-3-1b", 999885952},
    {"gemma-3-4b", 3880263168},     {"phi-3-mini", 3821079552},   {"phi-4", 14659507200},
    {"smollm2-135m", 134515008},    {"smollm2-1.7b", 1711376384}, {"olmo-2-7b", 7298617344},
    {"olmo-1b", 1176764416},        {"gpt2", 124439808},          {"gpt-neox-20b", 20554567680},
    {"pythia-1.4b", 1414647808},    {"opt-1.3b", 1315758080},     {"opt-6.7b", 6658473984},
    {"mpt-7b", 6649286656},         {"smollm3-3b", 3075098624},   {"granite-3.1-2b", 2533531648},
};

Test(hf_config, published_models_have_their_number_of_parameters)
{
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        lspo_model_t model;
        cr_assert_eq(lspo_hf_shapes_read(data_path(published[i].name), &model), LSPO_OK, "%s", published[i].name);
        cr_expect_str_eq(model.name, published[i].name);
        cr_expect_eq(lspo_model_parameter_count(&model), published[i].parameters, "%s: %" PRIu64, published[i].name,
                     lspo_model_parameter_count(&model));
    }
}

/* With LSPO_PEERS: transformers counts the same. */
Test(hf_config, transformers_counts_the_same)
{
    const char *peers = getenv("LSPO_PEERS");
    char path[1024], name[128];
    uint64_t parameters;
    size_t met = 0;
    if (!peers)
        cr_skip_test("needs LSPO_PEERS");
    snprintf(path, sizeof path, "%s/counts", peers);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    for (; fscanf(file, "%127s %" SCNu64, name, &parameters) == 2; met++) {
        lspo_model_t model;
        cr_assert_eq(lspo_hf_shapes_read(data_path(name), &model), LSPO_OK, "%s", name);
        cr_expect_eq(lspo_model_parameter_count(&model), parameters, "%s: %" PRIu64 ", not %" PRIu64, name,
                     lspo_model_parameter_count(&model), parameters);
    }
    fclose(file);
    cr_assert_eq(met, sizeof published / sizeof published[0]);
}

/* A preset is what its config.json says, but for the default of max_sequence and the names. */
Test(hf_config, presets_are_their_config)
{
    size_t met = 0;
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t preset, model;
        char ours[64], theirs[64];
        cr_assert_eq(lspo_model_preset(i, &preset), LSPO_OK);
        FILE *file = fopen(data_path(preset.name), "rb");
        if (!file)
            continue;
        fclose(file);
        met++;
        cr_assert_eq(lspo_hf_shapes_read(data_path(preset.name), &model), LSPO_OK);
        for (size_t k = 0; k < lspo_model_field_count; k++) {
            const lspo_record_field_t *field = &lspo_model_fields[k];
            const bool computed = !model.predict_only && !preset.predict_only;
            if (strcmp(field->name, "predict_only") == 0 ||
                (!computed && (field->kind == LSPO_RECORD_REAL || strncmp(field->name, "rope", 4) == 0)))
                continue;
            lspo_record_format(field, &preset, ours, sizeof ours);
            lspo_record_format(field, &model, theirs, sizeof theirs);
            cr_expect_str_eq(ours, theirs, "%s: %s is %s, in config.json %s", preset.name, field->name, ours, theirs);
        }
    }
    cr_assert_eq(met, 29u);
}

static lspo_status_t shapes(const char *text, lspo_model_t *model, bool *trains)
{
    json_t *config = json_loads(text, 0, NULL);
    cr_assert_not_null(config, "%s", text);
    lspo_status_t status = lspo_hf_config_shapes(config, "config.json", model, trains);
    json_decref(config);
    return status;
}

#define SMALL(type)                                                                                                    \
    "{\"model_type\": \"" type "\", \"vocab_size\": 40, \"hidden_size\": 32, \"intermediate_size\": 64,"               \
    "\"num_hidden_layers\": 6, \"num_attention_heads\": 4, \"num_key_value_heads\": 2"

/* The shapes, for a model that must be readable. */
static lspo_model_t model_of(const char *text)
{
    lspo_model_t model;
    bool trains;
    cr_assert_eq(shapes(text, &model, &trains), LSPO_OK, "%s", text);
    return model;
}

static bool trains(const char *text)
{
    lspo_model_t model;
    bool answer;
    cr_assert_eq(shapes(text, &model, &answer), LSPO_OK, "%s", text);
    return answer;
}

Test(hf_config, windows)
{
    /* absent: the default of the kind; null: none; without the switch: none; longer than the model: none */
    cr_expect_eq(model_of(SMALL("mistral") "}").window, 4096u);
    cr_expect_eq(model_of(SMALL("mistral") ", \"sliding_window\": null}").window, 0u);
    cr_expect_eq(model_of(SMALL("mistral") ", \"sliding_window\": 9}").window, 9u);
    cr_expect_eq(model_of(SMALL("mistral") ", \"max_position_embeddings\": 9, \"sliding_window\": 9}").window, 0u);
    cr_expect_eq(model_of(SMALL("qwen2") ", \"sliding_window\": 9}").window, 0u);
    cr_expect_eq(model_of(SMALL("qwen2") ", \"sliding_window\": 9, \"use_sliding_window\": true,"
                                         "\"max_window_layers\": 0}")
                     .window,
                 9u);
    lspo_model_t m = model_of(SMALL("qwen3") ", \"sliding_window\": 9, \"use_sliding_window\": true, \"layer_types\":"
                                             "[\"sliding_attention\", \"sliding_attention\", \"full_attention\","
                                             "\"sliding_attention\", \"sliding_attention\", \"full_attention\"]}");
    cr_expect_eq(m.full_every, 3u);
    for (uint32_t stage = 1; stage <= 6; stage++)
        cr_expect_eq(lspo_model_window(&m, stage), stage % 3 == 0 ? 0u : 9u, "block %u", stage);
    cr_expect_eq(model_of(SMALL("gemma2") ", \"sliding_window\": 9}").full_every, 2u);
    cr_expect_eq(model_of(SMALL("gemma3_text") ", \"sliding_window\": 9}").full_every, 6u);
}

Test(hf_config, heads_biases_and_positions)
{
    lspo_model_t m = model_of(SMALL("llama") ", \"head_dim\": 8, \"attention_bias\": true, \"mlp_bias\": true}");
    cr_expect_eq(m.head_width, 0u); /* 32 / 4 */
    cr_expect_eq(m.biases, LSPO_BIASES_ALL);
    cr_expect_eq(model_of(SMALL("llama") ", \"head_dim\": 6}").head_width, 6u);
    cr_expect_eq(model_of(SMALL("qwen3") "}").head_width, 128u);
    cr_expect_eq(model_of(SMALL("qwen2") "}").biases, LSPO_BIASES_QKV);
    cr_expect_eq(model_of(SMALL("llama") ", \"mlp_bias\": true}").biases, LSPO_BIASES_MLP);
    cr_expect_eq(model_of(SMALL("mistral") ", \"attention_bias\": true, \"mlp_bias\": true}").biases, 0);
    cr_expect_eq(model_of(SMALL("qwen3") ", \"attention_bias\": true}").biases, LSPO_BIASES_ATTENTION);
    m = model_of(SMALL("llama") ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}}");
    cr_expect_eq(m.rope_scaling, LSPO_ROPE_LINEAR);
    cr_expect_float_eq(m.rope_factor, 4.0, 0);
    m = model_of(SMALL("llama") ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 1.0}}");
    cr_expect_eq(m.rope_scaling, LSPO_ROPE_PLAIN);
    m = model_of(SMALL("llama") ", \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 7.0, \"factor\": 8,"
                                "\"low_freq_factor\": 1, \"high_freq_factor\": 4,"
                                "\"original_max_position_embeddings\": 16}}");
    cr_expect_eq(m.rope_scaling, LSPO_ROPE_LLAMA3);
    cr_expect_float_eq(m.rope_theta, 7.0, 0);
    cr_expect_eq(m.rope_original, 16u);
}

/* What changes only the mathematics can be predicted, but is not trained. */
Test(hf_config, what_can_be_trained)
{
    cr_expect(trains(SMALL("llama") "}"));
    cr_expect(trains(SMALL("mistral") "}"));
    cr_expect(trains(SMALL("qwen3") "}"));
    cr_expect(!trains(SMALL("llama") ", \"hidden_act\": \"gelu\"}"));
    cr_expect(!trains(SMALL("qwen3") ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}}"));
    cr_expect(!trains(SMALL("llama") ", \"partial_rotary_factor\": 0.5}"));
    cr_expect(!trains(SMALL("olmo2") "}"));
    cr_expect(!trains(SMALL("phi3") "}"));
    cr_expect(!model_of(SMALL("phi3") "}").predict_only); /* its weights alone are unknown */
}

Test(hf_config, refusals)
{
    static const char *const texts[] = {
        SMALL("phimoe") ", \"num_local_experts\": 8}",
        SMALL("llama") ", \"num_local_experts\": 8}",
        SMALL("mixtral") ", \"num_local_experts\": 0}",
        SMALL("qwen3_moe") ", \"num_experts\": 128}",
        SMALL("deepseek_v3") ", \"n_routed_experts\": 256}",
        SMALL("t5") ", \"is_encoder_decoder\": true}",
        SMALL("llava") ", \"vision_config\": {}}",
        SMALL("mamba") "}",
        SMALL("nonsense") "}",
        "{\"vocab_size\": 40}",
        SMALL("llama") ", \"quantization_config\": {\"bits\": 4}}",
        SMALL("llama") ", \"head_dim\": 0}",
        SMALL("llama") ", \"head_dim\": \"wide\"}",
        SMALL("llama") ", \"rope_scaling\": {\"type\": \"linear\"}}",
        SMALL("llama") ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": -2}}",
        SMALL("llama") ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8}}",
        SMALL("mistral") ", \"sliding_window\": -1}",
        SMALL("gemma2") ", \"layer_types\": [\"full_attention\"]}",
        SMALL("qwen2") ", \"use_sliding_window\": true, \"max_window_layers\": 3}",
        "{\"model_type\": \"opt\", \"hidden_size\": 1024, \"word_embed_proj_dim\": 512}",
        "{\"model_type\": \"opt\", \"do_layer_norm_before\": false}",
        "{\"model_type\": \"mpt\", \"attn_config\": {\"qk_ln\": true}}",
        "{\"model_type\": \"mpt\", \"expansion_ratio\": 2147483647}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lspo_model_t model;
        bool answer;
        cr_expect_eq(shapes(texts[i], &model, &answer), LSPO_ERR_INPUT, "%s", texts[i]);
    }
}

/* The config.json that is made of a Llama says what it was made of. */
Test(hf_config, made_config_is_read_back)
{
    lspo_model_t plain = model_of(SMALL("llama") ", \"rope_theta\": 500.0, \"rms_norm_eps\": 1e-5}"), variants[6];
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        variants[i] = plain;
    variants[1].head_width = 6;
    variants[1].biases = LSPO_BIASES_ALL;
    variants[2].biases = LSPO_BIASES_QKV;
    variants[3].qk_norm = LSPO_QK_NORM_HEAD;
    variants[4].window = 16;
    variants[5].rope_scaling = LSPO_ROPE_LLAMA3;
    variants[5].rope_factor = 8.0;
    variants[5].rope_low_factor = 1.0;
    variants[5].rope_high_factor = 4.0;
    variants[5].rope_original = 64;
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        lspo_model_t again;
        char before[64], after[64];
        json_t *config = lspo_hf_config_make(&variants[i]);
        cr_assert_not_null(config);
        cr_assert_eq(lspo_hf_config_parse(config, "config.json", 0, &again), LSPO_OK, "variant %zu", i);
        json_decref(config);
        for (size_t k = 0; k < lspo_model_field_count; k++) {
            lspo_record_format(&lspo_model_fields[k], &variants[i], before, sizeof before);
            lspo_record_format(&lspo_model_fields[k], &again, after, sizeof after);
            cr_expect_str_eq(before, after, "variant %zu: %s", i, lspo_model_fields[k].name);
        }
    }
}

/* Before hours of training, too: every preset that can be trained can be saved. */
Test(hf_config, presets_can_be_saved)
{
    uint32_t checked = 0;
    for (uint32_t i = 0; i < lspo_preset_count("models"); i++) {
        lspo_model_t preset;
        cr_assert_eq(lspo_model_find(lspo_preset_at("models", i)->name, &preset), LSPO_OK);
        if (!lspo_model_trains(&preset))
            continue;
        cr_expect_eq(lspo_hf_model_check_made(&preset), LSPO_OK, "%s", preset.name);
        checked++;
    }
    cr_expect_gt(checked, 10u);
}

/* Traits that no model_type has together are not lost in silence. */
Test(hf_config, what_no_config_says_is_not_saved)
{
    lspo_model_t plain = model_of(SMALL("llama") "}"), variants[] = {plain, plain, plain, plain, plain};
    char place[] = "/tmp/lspo-config-XXXXXX", command[64];
    cr_assert_not_null(mkdtemp(place));
    variants[0].qk_norm = LSPO_QK_NORM_HEAD;
    variants[0].biases = LSPO_BIASES_QKV;
    variants[1].window = 8;
    variants[1].full_every = 2;
    variants[2].window = 8;
    variants[2].biases = LSPO_BIASES_QKV;
    variants[3].window = 8;
    variants[3].biases = LSPO_BIASES_MLP;
    cr_assert_eq(lspo_model_find("gpt-tiny", &variants[4]), LSPO_OK);
    variants[4].kv_head_count = 1;
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        cr_expect_eq(lspo_hf_model_save(&variants[i], NULL, NULL, place), LSPO_ERR_INPUT, "variant %zu", i);
    snprintf(command, sizeof command, "rm -r %s", place);
    cr_assert_eq(system(command), 0);
}
