/* tiny_training.h - trainings of a tiny model in a separate folder, which take a second under any policy.  Each
 * test that writes files calls make_folder() and remove_folder(): under ThreadSanitizer there are no fixtures. */
#ifndef LSPO_TESTS_TINY_TRAINING_H
#define LSPO_TESTS_TINY_TRAINING_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "real/train/train.h"
#include "tests/own_values.h"

enum { STAGES_MAX = 8, STEPS = 14 };

static char folder[32];

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/lspo-train-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static inline void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    int code = system(command);
    cr_assert_eq(code, 0);
}

static inline const char *path_of(const char *name)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

/* Weights as the training leaves them, and where the next one begins. */
typedef struct {
    float *stages[STAGES_MAX];
    size_t counts[STAGES_MAX];
    uint32_t count;
} weights_t;

static inline lspo_model_t tiny_model(void)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    model.block_count = 2;
    model.width = 32;
    model.head_count = model.kv_head_count = 2;
    model.mlp_width = 64;
    model.max_sequence = 16;
    return model;
}

static inline lspo_status_t keep_weights(void *context, const float *const *stages)
{
    weights_t *kept = context;
    lspo_model_t model = tiny_model();
    kept->count = lspo_model_stage_count(&model);
    for (uint32_t s = 0; s < kept->count; s++) {
        lspo_stage_t stage;
        lspo_model_stage(&model, s, &stage);
        kept->counts[s] = stage.element_count;
        kept->stages[s] = malloc(stage.element_count * sizeof(float));
        cr_assert_not_null(kept->stages[s]);
        memcpy(kept->stages[s], stages[s], stage.element_count * sizeof(float));
    }
    return LSPO_OK;
}

static inline lspo_status_t give_weights(void *context, uint32_t stage, float *weights, bool *given_out)
{
    const weights_t *kept = context;
    *given_out = true;
    memcpy(weights, kept->stages[stage], kept->counts[stage] * sizeof(float));
    return LSPO_OK;
}

static inline void release(weights_t *kept)
{
    for (uint32_t s = 0; s < kept->count; s++)
        free(kept->stages[s]);
}

static inline bool equal(const weights_t *a, const weights_t *b)
{
    for (uint32_t s = 0; s < a->count; s++)
        if (memcmp(a->stages[s], b->stages[s], a->counts[s] * sizeof(float)) != 0)
            return false;
    return a->count == b->count && a->count > 0;
}

static inline lspo_dataset_t *open_data(void)
{
    char text[2048] = "";
    for (int i = 0; i < 40; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d times %d is %d; ", i, i, i * i);
    const char *path = path_of("data.txt");
    write_text(path, text);
    lspo_dataset_options_t options = {
        .path = path, .sequence = 16, .seed = 3, .held_out = 0.2, .encoder = lspo_encoder_bytes()};
    lspo_dataset_t *data;
    cr_assert_eq(lspo_dataset_open(&options, &data), LSPO_OK);
    return data;
}

static inline lspo_train_options_t options_for(const char *policy, const lspo_dataset_t *data, weights_t *kept)
{
    lspo_train_options_t options = {.model = tiny_model(),
                                    .data = data,
                                    .device = "host",
                                    .steps = STEPS,
                                    .warmup_steps = 3,
                                    .eval_batches = 4,
                                    .keep = 2,
                                    .predicted_step_s = NAN,
                                    .save = keep_weights,
                                    .model_context = kept};
    cr_assert_eq(lspo_policy_find(policy, &options.policy), LSPO_OK);
    lspo_workload_default(&options.workload);
    lspo_workload_t *workload = &options.workload;
    workload->precision = workload->transfer = LSPO_FP32;
    workload->batch = 2;
    workload->sequence = 16;
    workload->checkpointing = false;
    workload->iterations = 4;
    lspo_lsp_values_edit(workload)->subspace = 16;
    lspo_lsp_values_edit(workload)->nnz = 2;
    set_rank(workload, 4);
    lspo_lsp_values_edit(workload)->check_every = 5;
    lspo_lsp_values_edit(workload)->fit_steps = 10;
    lspo_galore_values_edit(workload)->project_every = 5;
    lspo_badam_values_edit(workload)->switch_every = 3;
    workload->learning_rate = 1e-2;
    workload->weight_decay = 0.01;
    return options;
}

static inline lspo_train_result_t train(const lspo_train_options_t *options)
{
    lspo_train_result_t result = {0};
    cr_assert_eq(lspo_train(options, &result), LSPO_OK, "%s", options->policy->name);
    return result;
}

/* At a rate this high the model soon gets worse and stays so: the best evaluation is in between, and patience ends
 * it. */
static inline lspo_train_options_t options_past_the_best(const char *policy, const lspo_dataset_t *data,
                                                         weights_t *kept)
{
    lspo_train_options_t options = options_for(policy, data, kept);
    options.workload.learning_rate = 0.3;
    options.steps = 60;
    options.eval_every = 1;
    options.patience = 4;
    return options;
}

/* Those that a training is tried under. */
static const char *const policies[] = {
    "native", "swap", "stream", "zero",    "zero-delayed",          "zero-layerwise", "backward-update", "lsp", "lora",
    "galore", "lomo", "badam",  "zenflow", "deep-optimizer-states", "axonn"};
enum { POLICY_COUNT = sizeof policies / sizeof policies[0] };

#endif
