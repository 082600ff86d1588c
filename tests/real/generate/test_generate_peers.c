/* Greedy texts of transformers (tests/peers/models_peer.py), from its folders: the same tokens. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "real/formats/hf_model.h"
#include "real/generate/generator.h"
#include "real/generate/weights.h"

enum { PATH_BYTES = 1024, TEXTS = 4, LONGEST = 12 };

static const char *const names[] = {"gpt2",   "gpt2-untied",  "gpt2-sharded", "llama", "llama-tied",
                                    "llama3", "llama-linear", "mistral",      "qwen2", "qwen3"};

static void folder_of(const char *name, char *path)
{
    const char *peers = getenv("LSPO_PEERS"), *source = getenv("LSPO_SOURCE");
    if (peers)
        snprintf(path, PATH_BYTES, "%s/models/%s", peers, name);
    else
        snprintf(path, PATH_BYTES, "%s/tests/data/peers/models/%s", source ? source : ".", name);
}

/* Returns the tokens of each text. */
static size_t read_ids(const lspo_safetensors_t *file, const char *name, uint32_t *ids)
{
    int64_t values[TEXTS * LONGEST];
    const lspo_safetensor_t *tensor = lspo_safetensors_find(file, name);
    cr_assert(tensor && tensor->dtype == LSPO_DTYPE_I64 && tensor->rank == 2 && tensor->shape[0] == TEXTS &&
              tensor->shape[1] <= LONGEST);
    cr_assert_eq(lspo_safetensors_read_part(file, tensor, 0, tensor->byte_count, values), LSPO_OK);
    for (uint64_t i = 0; i < tensor->element_count; i++)
        ids[i] = (uint32_t)values[i];
    return tensor->shape[1];
}

static lspo_status_t load(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    return lspo_hf_model_read_as(context, stage, number, weights);
}

typedef struct {
    size_t prompt, whole; /* tokens of each */
    uint32_t prompts[TEXTS * LONGEST], texts[TEXTS * LONGEST];
} recorded_t;

static void check_format(const char *name, const lspo_hf_model_t *hf, lspo_number_t number, const recorded_t *recorded)
{
    lspo_device_t *device = NULL;
    lspo_generation_weights_t weights;
    lspo_generator_t *g = NULL;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    const lspo_weights_source_t source = {
        .model = lspo_hf_model_shape(hf), .number = number, .load = load, .context = (void *)hf};
    cr_assert_eq(lspo_generation_weights_load(&source, device, &weights), LSPO_OK);
    const lspo_generator_options_t options = {.model = lspo_hf_model_shape(hf),
                                              .stages = (const void *const *)weights.stages,
                                              .batch = 1,
                                              .positions = (uint32_t)recorded->whole,
                                              .weights = number,
                                              .device = device};
    cr_assert_eq(lspo_generator_create(&options, &g), LSPO_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        uint32_t text[LONGEST];
        lspo_text_result_t result;
        for (size_t j = 0; j < recorded->prompt; j++)
            text[j] = recorded->prompts[i * recorded->prompt + j];
        const lspo_text_options_t asked = {.most = (uint32_t)(recorded->whole - recorded->prompt)};
        cr_assert_eq(lspo_generator_continue(g, &asked, text, recorded->prompt, &result), LSPO_OK);
        cr_expect_arr_eq(text, recorded->texts + i * recorded->whole, recorded->whole * sizeof *text,
                         "%s, format %d, text %zu", name, number, i);
    }
    lspo_generator_destroy(g);
    lspo_generation_weights_release(&weights);
    lspo_device_close(device);
}

/* In fp32, and in the format of the file, which holds the same numbers. */
static void check_model(const char *name)
{
    char path[PATH_BYTES], file_path[PATH_BYTES + 32];
    lspo_hf_model_t *hf = NULL;
    lspo_safetensors_t *file = NULL;
    recorded_t recorded;
    folder_of(name, path);
    snprintf(file_path, sizeof file_path, "%s/generated.safetensors", path);
    cr_assert_eq(lspo_hf_model_open(path, 0, &hf), LSPO_OK, "%s", path);
    cr_assert_eq(lspo_safetensors_open(file_path, &file), LSPO_OK);
    recorded.prompt = read_ids(file, "prompts", recorded.prompts);
    recorded.whole = read_ids(file, "texts", recorded.texts);
    cr_assert_gt(recorded.whole, recorded.prompt);
    check_format(name, hf, LSPO_NUMBER_FP32, &recorded);
    if (lspo_hf_model_number(hf) != LSPO_NUMBER_FP32)
        check_format(name, hf, lspo_hf_model_number(hf), &recorded);
    lspo_safetensors_close(file);
    lspo_hf_model_close(hf);
}

Test(generate_peers, texts_are_those_of_transformers)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_model(names[i]);
}

/* Stored in bf16: gpt2-untied, llama-tied, mistral; in fp16: gpt2-sharded. */
Test(generate_peers, the_format_is_that_of_the_files)
{
    static const lspo_number_t wanted[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_BF16, LSPO_NUMBER_FP16, LSPO_NUMBER_FP32,
                                           LSPO_NUMBER_BF16, LSPO_NUMBER_FP32, LSPO_NUMBER_FP32, LSPO_NUMBER_BF16,
                                           LSPO_NUMBER_FP32, LSPO_NUMBER_FP32};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_BYTES];
        lspo_hf_model_t *hf = NULL;
        folder_of(names[i], path);
        cr_assert_eq(lspo_hf_model_open(path, 0, &hf), LSPO_OK, "%s", path);
        cr_expect_eq(lspo_hf_model_number(hf), wanted[i], "%s", names[i]);
        lspo_hf_model_close(hf);
    }
}
