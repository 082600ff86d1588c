/* A training's state: state.json, beside tensors that are as they were written. */
#include "real/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define STEP "step-0000000012"

static float weights[4] = {1, 2, 3, 4};
static const lspo_setting_t settings[] = {{.key = "policy", .value = "zero"}, {.key = "seed", .value = "1"}};
static const lspo_state_array_t arrays[] = {
    {.name = "block1.weights", .data = weights, .element_count = 4, .type = LSPO_STATE_F32}};

/* The tensors of a checkpoint that was written well, once. */
static size_t tensors(const uint8_t **bytes_out)
{
    static uint8_t bytes[4096];
    static size_t size;
    char path[512];
    *bytes_out = bytes;
    if (size > 0)
        return size;
    lspo_train_state_t state = {.step = 12, .steps = 20};
    const lspo_checkpoint_t checkpoint = {
        .state = &state, .settings = settings, .setting_count = 2, .arrays = arrays, .array_count = 1};
    snprintf(path, sizeof path, "%s/written", fuzz_folder());
    if (mkdir(path, 0700) != 0 || lspo_checkpoint_write(path, &checkpoint, 1) != LSPO_OK)
        exit(1);
    snprintf(path, sizeof path, "%s/written/" STEP "/state.safetensors", fuzz_folder());
    FILE *file = fopen(path, "rb");
    if (file)
        size = fread(bytes, 1, sizeof bytes, file);
    if (!file || size == 0 || fclose(file) != 0)
        exit(1);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const folders[] = {"train", "train/" STEP};
    const uint8_t *bytes;
    const size_t byte_count = tensors(&bytes);
    lspo_train_state_t state = {.steps = 20};
    const lspo_checkpoint_t checkpoint = {
        .state = &state, .settings = settings, .setting_count = 2, .arrays = arrays, .array_count = 1};
    char path[512];
    bool found;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), folders[i]);
        if (mkdir(path, 0700) != 0)
            exit(1);
    }
    fuzz_file("train/" STEP "/state.safetensors", bytes, byte_count);
    fuzz_file("train/" STEP "/state.json", data, size);
    snprintf(path, sizeof path, "%s/train", fuzz_folder());
    lspo_checkpoint_resume(path, &checkpoint, false, &found);
    fuzz_remove("train"); /* where a damaged one was set aside */
    return 0;
}
