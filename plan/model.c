/* model.c - stages, tensors and checks of a model. */
#include "plan/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DIMENSION_MAX = 1 << 20, HEADS_MAX = 4096, VOCABULARY_MAX = 1 << 24, SEQUENCE_MAX = 1 << 24 };
enum { CLASSES_MAX = 1 << 16 };

static const char *const family_names[] = {
    [LSPO_FAMILY_GPT] = "gpt", [LSPO_FAMILY_LLAMA] = "llama", [LSPO_FAMILY_BERT] = "bert"};

#define FIELD(key, field, kind_name)                                                                                   \
    .name = key, .offset_bytes = offsetof(lspo_model_t, field), .kind = LSPO_RECORD_##kind_name

const lspo_record_field_t lspo_model_fields[] = {
    {FIELD("family", family, NAMED), .names = family_names},
    {FIELD("blocks", block_count, U32)},
    {FIELD("width", width, U32)},
    {FIELD("heads", head_count, U32)},
    {FIELD("kv_heads", kv_head_count, U32)},
    {FIELD("mlp_width", mlp_width, U32)},
    {FIELD("vocabulary", vocabulary, U32)},
    {FIELD("max_sequence", max_sequence, U32)},
    {FIELD("tied_head", tied_head, BOOL)},
    {FIELD("norm_epsilon", norm_epsilon, REAL)},
    {FIELD("rope_theta", rope_theta, REAL)},
    {FIELD("classes", class_count, U32)},
};
const size_t lspo_model_field_count = sizeof lspo_model_fields / sizeof lspo_model_fields[0];

uint32_t lspo_model_stage_count(const lspo_model_t *model)
{
    return model->block_count + 2;
}

static void add_tensor(lspo_stage_t *stage, const char *name, uint32_t rows, uint32_t cols, bool linear)
{
    stage->tensors[stage->tensor_count++] = (lspo_tensor_t){
        .name = name, .rows = rows, .cols = cols, .offset_elements = stage->element_count, .linear = linear};
    stage->linear_count += linear;
    stage->element_count += (uint64_t)rows * cols;
}

static void add_linear(lspo_stage_t *stage, const char *name, uint32_t inputs, uint32_t outputs)
{
    add_tensor(stage, name, inputs, outputs, true);
}

static void add_rest(lspo_stage_t *stage, const char *name, uint32_t rows, uint32_t cols)
{
    add_tensor(stage, name, rows, cols, false);
}

static void build_embed(const lspo_model_t *model, lspo_stage_t *stage)
{
    add_rest(stage, "token", model->vocabulary, model->width);
    if (model->family == LSPO_FAMILY_GPT) {
        add_rest(stage, "position", model->max_sequence, model->width);
    }
    if (model->family == LSPO_FAMILY_BERT) {
        add_rest(stage, "position", model->max_sequence + LSPO_BERT_UNUSED_POSITIONS, model->width);
        add_rest(stage, "token_type", 1, model->width);
        add_rest(stage, "norm_gain", 1, model->width);
        add_rest(stage, "norm_bias", 1, model->width);
    }
}

static void build_gpt_block(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width;
    uint32_t qkv_width = width + 2 * (width / model->head_count * model->kv_head_count);
    add_linear(stage, "qkv", width, qkv_width);
    add_linear(stage, "attention_out", width, width);
    add_linear(stage, "mlp_up", width, model->mlp_width);
    add_linear(stage, "mlp_down", model->mlp_width, width);
    add_rest(stage, "qkv_bias", 1, qkv_width);
    add_rest(stage, "attention_out_bias", 1, width);
    add_rest(stage, "mlp_up_bias", 1, model->mlp_width);
    add_rest(stage, "mlp_down_bias", 1, width);
    add_rest(stage, "norm1_gain", 1, width);
    add_rest(stage, "norm1_bias", 1, width);
    add_rest(stage, "norm2_gain", 1, width);
    add_rest(stage, "norm2_bias", 1, width);
}

static void build_llama_block(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width;
    uint32_t kv_width = width / model->head_count * model->kv_head_count;
    add_linear(stage, "q", width, width);
    add_linear(stage, "k", width, kv_width);
    add_linear(stage, "v", width, kv_width);
    add_linear(stage, "attention_out", width, width);
    add_linear(stage, "gate", width, model->mlp_width);
    add_linear(stage, "up", width, model->mlp_width);
    add_linear(stage, "down", model->mlp_width, width);
    add_rest(stage, "norm1_gain", 1, width);
    add_rest(stage, "norm2_gain", 1, width);
}

static void build_classifier(const lspo_model_t *model, lspo_stage_t *stage)
{
    add_rest(stage, "dense", model->width, model->width);
    add_rest(stage, "dense_bias", 1, model->width);
    add_rest(stage, "output", model->width, model->class_count);
    add_rest(stage, "output_bias", 1, model->class_count);
}

static void build_head(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width;
    if (model->class_count > 0) {
        build_classifier(model, stage);
        return;
    }
    if (model->family == LSPO_FAMILY_BERT) {
        add_rest(stage, "dense", width, width);
        add_rest(stage, "dense_bias", 1, width);
    }
    add_rest(stage, "norm_gain", 1, width);
    if (model->family != LSPO_FAMILY_LLAMA) {
        add_rest(stage, "norm_bias", 1, width);
    }
    if (!model->tied_head) {
        add_rest(stage, "output", width, model->vocabulary);
    }
    if (model->family == LSPO_FAMILY_BERT) {
        add_rest(stage, "output_bias", 1, model->vocabulary);
    }
}

void lspo_model_stage(const lspo_model_t *model, uint32_t stage, lspo_stage_t *stage_out)
{
    memset(stage_out, 0, sizeof *stage_out);
    if (stage == 0) {
        stage_out->kind = LSPO_STAGE_EMBED;
        build_embed(model, stage_out);
    } else if (stage <= model->block_count) {
        stage_out->kind = LSPO_STAGE_BLOCK;
        if (model->family == LSPO_FAMILY_LLAMA) {
            build_llama_block(model, stage_out);
        } else {
            build_gpt_block(model, stage_out);
        }
    } else {
        stage_out->kind = LSPO_STAGE_HEAD;
        build_head(model, stage_out);
    }
}

uint64_t lspo_model_parameter_count(const lspo_model_t *model)
{
    lspo_stage_t embed, block, head;
    lspo_model_stage(model, 0, &embed);
    lspo_model_stage(model, 1, &block);
    lspo_model_stage(model, model->block_count + 1, &head);
    return embed.element_count + model->block_count * block.element_count + head.element_count;
}

double lspo_model_norm_epsilon(const lspo_model_t *model)
{
    if (model->norm_epsilon > 0.0) {
        return model->norm_epsilon;
    }
    return model->family == LSPO_FAMILY_LLAMA ? 1e-6 : 1e-5;
}

double lspo_model_rope_theta(const lspo_model_t *model)
{
    return model->rope_theta > 0.0 ? model->rope_theta : 10000.0;
}

/* What only one family has. */
static lspo_status_t check_family(const lspo_model_t *model)
{
    if ((unsigned)model->family >= LSPO_FAMILY_COUNT) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: no such family", model->name);
    }
    if (!(model->norm_epsilon >= 0.0 && model->norm_epsilon < 1.0)) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: norm_epsilon %g is outside 0..1", model->name,
                          model->norm_epsilon);
    }
    if (model->rope_theta != 0.0 && !(model->rope_theta > 1.0 && model->rope_theta < 1e12)) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: rope_theta %g is outside 1..1e12", model->name, model->rope_theta);
    }
    if (model->class_count == 0) {
        return LSPO_OK;
    }
    if (model->family != LSPO_FAMILY_BERT || model->tied_head) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: classes need family bert and tied_head false", model->name);
    }
    if (model->class_count > CLASSES_MAX) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: classes %" PRIu32 " is outside 0..%d", model->name,
                          model->class_count, CLASSES_MAX);
    }
    return LSPO_OK;
}

lspo_status_t lspo_model_check(const lspo_model_t *model)
{
    const struct {
        const char *key;
        uint32_t value, high;
    } sizes[] = {
        {"blocks", model->block_count, LSPO_BLOCKS_MAX},
        {"width", model->width, DIMENSION_MAX},
        {"heads", model->head_count, HEADS_MAX},
        {"kv_heads", model->kv_head_count, HEADS_MAX},
        {"mlp_width", model->mlp_width, DIMENSION_MAX},
        {"vocabulary", model->vocabulary, VOCABULARY_MAX},
        {"max_sequence", model->max_sequence, SEQUENCE_MAX},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].high) {
            return lspo_error(LSPO_ERR_INPUT, "model %s: %s %" PRIu32 " is outside 1..%" PRIu32, model->name,
                              sizes[i].key, sizes[i].value, sizes[i].high);
        }
    }
    if (model->width % model->head_count != 0) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: width %" PRIu32 " is no multiple of heads %" PRIu32, model->name,
                          model->width, model->head_count);
    }
    if (model->head_count % model->kv_head_count != 0) {
        return lspo_error(LSPO_ERR_INPUT, "model %s: heads %" PRIu32 " is no multiple of kv_heads %" PRIu32,
                          model->name, model->head_count, model->kv_head_count);
    }
    return check_family(model);
}

const char *lspo_model_stage_name(const lspo_model_t *model, uint32_t stage, char *buffer)
{
    if (stage == 0) {
        return strcpy(buffer, "embed");
    }
    if (stage > model->block_count) {
        return strcpy(buffer, "head");
    }
    snprintf(buffer, 16, "%" PRIu32, stage);
    return buffer;
}

const char *lspo_family_name(lspo_family_t family)
{
    return (unsigned)family < LSPO_FAMILY_COUNT ? family_names[family] : "?";
}
