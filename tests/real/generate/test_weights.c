/* Weights for generation: their numbers in each format, from folders and checkpoints, and the memory of the process
 * while they are read, as the kernel counts it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "real/formats/hf_model.h"
#include "real/generate/weights.h"
#include "real/machine/process.h"
#include "real/train/checkpoint.h"
#include "real/train/checkpoint_weights.h"
#include "tests/own_folder.h"

TestSuite(weights, .init = make_folder, .fini = remove_folder);

#if defined(__SANITIZE_ADDRESS__)
static const bool kernel_counts_others = true; /* the sanitizer's own memory */
#else
static const bool kernel_counts_others = false;
#endif

enum { STAGES = 3 };

/* The block has 12.6 million weights: 50 MB in fp32. */
static lspo_model_t wide_block(void)
{
    return (lspo_model_t){.name = "wide",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = STAGES - 2,
                          .width = 64,
                          .head_count = 4,
                          .kv_head_count = 4,
                          .mlp_width = 65536,
                          .vocabulary = 48,
                          .max_sequence = 16};
}

static uint64_t elements(const lspo_model_t *model, uint32_t stage)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    return shape.element_count;
}

/* Exact in all formats, and different from place to place. */
static float value_at(uint32_t stage, uint64_t i)
{
    return (float)((int)((i * 2654435761U >> 7) % 255) - 127) / (float)(16 << stage);
}

static float *make_stage(const lspo_model_t *model, uint32_t stage)
{
    float *weights = malloc(elements(model, stage) * sizeof *weights);
    cr_assert_not_null(weights);
    for (uint64_t i = 0; i < elements(model, stage); i++)
        weights[i] = value_at(stage, i);
    return weights;
}

static void expect_stage(const lspo_model_t *model, uint32_t stage, lspo_number_t number, const void *stored)
{
    enum { PIECE = 4096 };
    float values[PIECE];
    for (uint64_t i = 0; i < elements(model, stage); i += PIECE) {
        const uint64_t left = elements(model, stage) - i, some = left < PIECE ? left : PIECE;
        lspo_convert(some, number, (const char *)stored + i * lspo_number_bytes(number), LSPO_NUMBER_FP32, values);
        for (uint64_t j = 0; j < some; j++)
            cr_assert_eq(values[j], value_at(stage, i + j), "stage %u, weight %zu", stage, (size_t)(i + j));
    }
}

/* A quarter of the block in fp32 is more than parts take, and less than any copy of the block. */
static void check_load(const lspo_model_t *model, lspo_number_t number, lspo_stage_load_t load, void *context)
{
    const lspo_weights_source_t source = {.model = model, .number = number, .load = load, .context = context};
    lspo_process_mark_t mark;
    lspo_device_t *device = NULL;
    lspo_generation_weights_t weights;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    lspo_process_mark(&mark);
    cr_assert_eq(lspo_generation_weights_load(&source, device, &weights), LSPO_OK);
    const uint64_t peak_bytes = lspo_process_peak_bytes(&mark), counted_bytes = lspo_device_peak_bytes(device);
    for (uint32_t stage = 0; stage < STAGES; stage++)
        expect_stage(model, stage, number, weights.stages[stage]);
    lspo_generation_weights_release(&weights);
    lspo_device_close(device);
    if (mark.starts_anew && !kernel_counts_others)
        cr_expect_leq(peak_bytes, counted_bytes + elements(model, 1),
                      "format %d: the process took %zu bytes, %zu are "
                      "counted",
                      number, (size_t)peak_bytes, (size_t)counted_bytes);
}

/* ---- a folder ---- */

static lspo_status_t load_folder(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    return lspo_hf_model_read_as(context, stage, number, weights);
}

Test(weights, a_folder_is_read_in_parts)
{
    static const lspo_number_t numbers[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_BF16, LSPO_NUMBER_FP16};
    const lspo_model_t model = wide_block();
    float *stages[STAGES];
    lspo_hf_model_t *hf = NULL;
    for (uint32_t stage = 0; stage < STAGES; stage++)
        stages[stage] = make_stage(&model, stage);
    cr_assert_eq(lspo_hf_model_save(&model, NULL, (const float *const *)stages, folder), LSPO_OK);
    for (uint32_t stage = 0; stage < STAGES; stage++)
        free(stages[stage]);
    cr_assert_eq(lspo_hf_model_open(folder, 0, &hf), LSPO_OK);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        check_load(&model, numbers[i], load_folder, hf);
    lspo_hf_model_close(hf);
}

/* ---- checkpoints ---- */

static void write_checkpoint(const lspo_model_t *model, const char *precision, lspo_number_t number,
                             lspo_state_type_t type)
{
    lspo_setting_t settings[] = {{.key = "policy", .value = "zero"}, {.key = "precision"}};
    lspo_state_array_t arrays[STAGES];
    char name[16];
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        float *wide = make_stage(model, stage);
        arrays[stage] = (lspo_state_array_t){.element_count = elements(model, stage), .type = type};
        snprintf(arrays[stage].name, sizeof arrays[stage].name, "%s.weights",
                 lspo_model_stage_name(model, stage, name));
        arrays[stage].data = malloc(lspo_state_array_bytes(&arrays[stage]));
        cr_assert_not_null(arrays[stage].data);
        lspo_convert(arrays[stage].element_count, LSPO_NUMBER_FP32, wide, number, arrays[stage].data);
        free(wide);
    }
    snprintf(settings[1].value, sizeof settings[1].value, "%s", precision);
    lspo_train_state_t state = {.step = 1, .steps = 1, .finished = true};
    const lspo_checkpoint_t checkpoint = {
        .state = &state, .settings = settings, .setting_count = 2, .arrays = arrays, .array_count = STAGES};
    cr_assert_eq(lspo_checkpoint_write(folder, &checkpoint, 1), LSPO_OK);
    for (uint32_t stage = 0; stage < STAGES; stage++)
        free(arrays[stage].data);
}

/* Of meft's and lora's adapters, and of a policy that lspo does not have; only the policy differs from one of zero. */
Test(weights, a_checkpoint_without_the_models_weights_is_refused)
{
    static const char *const policies[] = {"zero", "meft", "lora", "magic"};
    const lspo_model_t model = wide_block();
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_setting_t settings[] = {{.key = "policy"}, {.key = "precision", .value = "fp32"}};
        lspo_train_state_t state = {.step = 1, .steps = 1, .finished = true};
        const lspo_checkpoint_t checkpoint = {.state = &state, .settings = settings, .setting_count = 2};
        lspo_checkpoint_weights_t *weights = NULL;
        snprintf(settings[0].value, sizeof settings[0].value, "%s", policies[i]);
        cr_assert_eq(lspo_checkpoint_write(folder, &checkpoint, 1), LSPO_OK);
        cr_expect_eq(lspo_checkpoint_weights_open(folder, &model, &weights), i == 0 ? LSPO_OK : LSPO_ERR_INPUT, "%s",
                     policies[i]);
        lspo_checkpoint_weights_close(weights);
    }
}

static lspo_status_t load_checkpoint(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    return lspo_checkpoint_weights_read(context, stage, number, weights);
}

static void check_checkpoint(const char *precision, lspo_number_t from, lspo_state_type_t type,
                             const lspo_number_t to[2])
{
    const lspo_model_t model = wide_block();
    lspo_checkpoint_weights_t *weights = NULL;
    write_checkpoint(&model, precision, from, type);
    cr_assert_eq(lspo_checkpoint_weights_open(folder, &model, &weights), LSPO_OK);
    cr_expect_eq(lspo_checkpoint_weights_number(weights), from);
    for (int i = 0; i < 2; i++)
        check_load(&model, to[i], load_checkpoint, weights);
    lspo_checkpoint_weights_close(weights);
}

Test(weights, a_checkpoint_is_read_in_parts)
{
    const lspo_number_t to[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_FP16};
    check_checkpoint("fp32", LSPO_NUMBER_FP32, LSPO_STATE_F32, to);
}

Test(weights, a_checkpoint_of_16_bits_is_read_in_parts)
{
    const lspo_number_t to[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_BF16};
    check_checkpoint("bf16", LSPO_NUMBER_BF16, LSPO_STATE_BF16, to);
}
