/* checkpoint_weights.c - see checkpoint_weights.h. */
#include "real/train/checkpoint_weights.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "plan/policy.h"
#include "plan/precision.h"
#include "real/device/compute.h"
#include "real/train/checkpoint_parts.h"

struct lspo_checkpoint_weights {
    const lspo_model_t *model;
    char state_path[LSPO_CHECKPOINT_PATH_BYTES], arrays_path[LSPO_CHECKPOINT_PATH_BYTES];
    lspo_number_t number;
};

/* A damaged file is as unusable here as a wrong one. */
static lspo_status_t as_input(lspo_status_t status)
{
    return status == LSPO_ERR_CHECK ? LSPO_ERR_INPUT : status;
}

/* In a file of shapes 0 stands for the usual value, which a config.json names. */
static bool means_the_same(const lspo_record_field_t *field, const char *written, const lspo_model_t *model)
{
    lspo_model_t theirs = *model;
    switch (field->offset_bytes) {
    case offsetof(lspo_model_t, norm_epsilon):
        theirs.norm_epsilon = strtod(written, NULL);
        return lspo_model_norm_epsilon(&theirs) == lspo_model_norm_epsilon(model);
    case offsetof(lspo_model_t, rope_theta):
        theirs.rope_theta = strtod(written, NULL);
        return lspo_model_rope_theta(&theirs) == lspo_model_rope_theta(model);
    case offsetof(lspo_model_t, head_width):
        theirs.head_width = (uint32_t)strtoul(written, NULL, 10);
        return lspo_model_head_width(&theirs) == lspo_model_head_width(model);
    default:
        return false;
    }
}

static lspo_status_t check_shapes(const lspo_checkpoint_weights_t *w)
{
    char key[64], written[LSPO_SETTING_BYTES], ours[LSPO_SETTING_BYTES];
    for (size_t i = 0; i < lspo_model_field_count; i++) {
        snprintf(key, sizeof key, "model %s", lspo_model_fields[i].name);
        lspo_status_t status = as_input(lspo_checkpoint_read_setting(w->state_path, key, written));
        if (status != LSPO_OK)
            return status;
        lspo_record_format(&lspo_model_fields[i], w->model, ours, sizeof ours);
        if (*written != '\0' && strcmp(written, ours) != 0 && !means_the_same(&lspo_model_fields[i], written, w->model))
            return lspo_error(LSPO_ERR_INPUT, "%s: the training was of a model with %s %s; that of model %s is %s",
                              w->state_path, lspo_model_fields[i].name, written, w->model->name, ours);
    }
    return LSPO_OK;
}

static lspo_status_t check_training(lspo_checkpoint_weights_t *w)
{
    char policy[LSPO_SETTING_BYTES], precision[LSPO_SETTING_BYTES];
    const lspo_policy_t *trained_with = NULL;
    lspo_precision_t format;
    lspo_status_t status = as_input(lspo_checkpoint_read_setting(w->state_path, "policy", policy));
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < lspo_policy_count() && trained_with == NULL; i++)
        trained_with = strcmp(lspo_policy_at(i)->name, policy) == 0 ? lspo_policy_at(i) : NULL;
    if (trained_with == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: the training was of policy '%s', which this lspo does not have",
                          w->state_path, policy);
    if (trained_with->stands_apart)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the training was of adapters beside the MLPs, which no weights of the model can hold",
                          w->state_path);
    if (strcmp(policy, "lora") == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the training was of adapters, which are not merged into the weights; export the model "
                          "with the training's flags and --resume --export FOLDER",
                          w->state_path);
    status = as_input(lspo_checkpoint_read_setting(w->state_path, "precision", precision));
    if (status != LSPO_OK)
        return status;
    status = lspo_precision_parse(w->state_path, precision, &format);
    if (status != LSPO_OK)
        return status;
    w->number = lspo_compute_number_of(format);
    return check_shapes(w);
}

lspo_status_t lspo_checkpoint_weights_open(const char *folder, const lspo_model_t *model,
                                           lspo_checkpoint_weights_t **weights_out)
{
    lspo_checkpoint_weights_t *w = calloc(1, sizeof *w);
    if (w == NULL)
        return lspo_no_memory("a checkpoint");
    w->model = model;
    lspo_status_t status = lspo_checkpoint_newest(folder, w->state_path, w->arrays_path);
    if (status == LSPO_OK)
        status = check_training(w);
    if (status == LSPO_OK)
        *weights_out = w;
    else
        free(w);
    return status;
}

void lspo_checkpoint_weights_close(lspo_checkpoint_weights_t *weights)
{
    free(weights);
}

lspo_number_t lspo_checkpoint_weights_number(const lspo_checkpoint_weights_t *weights)
{
    return weights->number;
}

typedef struct {
    lspo_number_t from, to;
    char *out;
} conversion_t;

static lspo_status_t convert(void *context, size_t offset_bytes, size_t bytes, const void *part)
{
    const conversion_t *c = context;
    const size_t item_bytes = lspo_number_bytes(c->from);
    lspo_convert(bytes / item_bytes, c->from, part, c->to,
                 c->out + offset_bytes / item_bytes * lspo_number_bytes(c->to));
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_weights_read(const lspo_checkpoint_weights_t *weights, uint32_t stage,
                                           lspo_number_t number, void *out)
{
    static const lspo_state_type_t types[] = {
        [LSPO_NUMBER_FP32] = LSPO_STATE_F32, [LSPO_NUMBER_BF16] = LSPO_STATE_BF16, [LSPO_NUMBER_FP16] = LSPO_STATE_F16};
    lspo_stage_t shape;
    lspo_train_state_t state;
    uint64_t hash = 0;
    char name[16];
    lspo_model_stage(weights->model, stage, &shape);
    if (shape.element_count == 0)
        return LSPO_OK;
    lspo_state_array_t array = {.element_count = shape.element_count, .type = types[weights->number]};
    snprintf(array.name, sizeof array.name, "%s.weights", lspo_model_stage_name(weights->model, stage, name));
    const lspo_checkpoint_t checkpoint = {.arrays = &array, .array_count = 1, .some_arrays = true};
    lspo_status_t status = as_input(lspo_checkpoint_read_state(weights->state_path, &checkpoint, &hash, &state));
    if (status != LSPO_OK)
        return status;
    conversion_t conversion = {.from = weights->number, .to = number, .out = out};
    return as_input(lspo_checkpoint_read_parts(weights->arrays_path, &array, hash, convert, &conversion));
}
