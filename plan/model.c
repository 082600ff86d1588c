/* model.c - stages, tensors and checks of a model. */
#include "plan/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plan/family.h"
#include "plan/model_fields.h"

enum { DIMENSION_MAX = 1 << 20, HEADS_MAX = 4096, VOCABULARY_MAX = 1 << 24, SEQUENCE_MAX = 1 << 24 };
enum { CLASSES_MAX = 1 << 16, HEAD_WIDTH_MAX = 1 << 16, EXPERTS_MAX = 4096, WHAT_BYTES = 640 };

#define FIELD(key, field, kind_name)                                                                                   \
    .name = key, .offset_bytes = offsetof(lspo_model_t, field), .kind = LSPO_RECORD_##kind_name

const lspo_record_field_t lspo_model_fields[] = {
    {FIELD("family", family, NAMED), .names = lspo_family_names},
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
    {FIELD("head_dim", head_width, U32)},
    {FIELD("biases", biases, NAMED), .names = lspo_biases_names},
    {FIELD("norm", norm, NAMED), .names = lspo_norm_kind_names},
    {FIELD("norms", norms, NAMED), .names = lspo_norms_names},
    {FIELD("qk_norm", qk_norm, NAMED), .names = lspo_qk_norm_names},
    {FIELD("positions", positions, NAMED), .names = lspo_positions_names},
    {FIELD("unused_positions", unused_positions, U32)},
    {FIELD("window", window, U32)},
    {FIELD("full_every", full_every, U32)},
    {FIELD("rope_scaling", rope_scaling, NAMED), .names = lspo_rope_scaling_names},
    {FIELD("rope_factor", rope_factor, REAL)},
    {FIELD("rope_low_factor", rope_low_factor, REAL)},
    {FIELD("rope_high_factor", rope_high_factor, REAL)},
    {FIELD("rope_original", rope_original, U32)},
    {FIELD("experts", expert_count, U32)},
    {FIELD("experts_per_token", experts_per_token, U32)},
    {FIELD("router", router, NAMED), .names = lspo_router_names},
    {FIELD("predict_only", predict_only, BOOL)},
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
    stage->expert_first += linear;
    stage->element_count += (uint64_t)rows * cols;
}

void lspo_stage_add_linear(lspo_stage_t *stage, const char *name, uint32_t inputs, uint32_t outputs)
{
    add_tensor(stage, name, inputs, outputs, true);
}

void lspo_stage_add_experts(lspo_stage_t *stage, const char *name, const lspo_model_t *model, uint32_t inputs,
                            uint32_t outputs)
{
    const uint32_t first = stage->expert_first;
    add_tensor(stage, name, model->expert_count * inputs, outputs, true);
    stage->expert_first = first;
    stage->expert_count = model->expert_count;
}

void lspo_stage_add_rest(lspo_stage_t *stage, const char *name, uint32_t rows, uint32_t cols)
{
    add_tensor(stage, name, rows, cols, false);
}

void lspo_model_stage(const lspo_model_t *model, uint32_t stage, lspo_stage_t *stage_out)
{
    const lspo_family_row_t *family = lspo_family_of(model);
    memset(stage_out, 0, sizeof *stage_out);
    if (stage == 0) {
        stage_out->kind = LSPO_STAGE_EMBED;
        family->embed(model, stage_out);
    } else if (stage <= model->block_count) {
        stage_out->kind = LSPO_STAGE_BLOCK;
        family->block(model, stage_out);
    } else {
        stage_out->kind = LSPO_STAGE_HEAD;
        family->head(model, stage_out);
    }
}

void lspo_stage_without_experts(const lspo_stage_t *stage, lspo_stage_t *stage_out)
{
    *stage_out = (lspo_stage_t){.kind = stage->kind};
    for (uint32_t i = 0; i < stage->tensor_count; i++) {
        const lspo_tensor_t *t = &stage->tensors[i];
        if (i < stage->expert_first || i >= stage->linear_count)
            add_tensor(stage_out, t->name, t->rows, t->cols, t->linear);
    }
}

lspo_pruned_t lspo_stage_pruned(const lspo_stage_t *stage, uint32_t tensor)
{
    const lspo_tensor_t *t = &stage->tensors[tensor];
    if (tensor >= stage->expert_first)
        return (lspo_pruned_t){stage->expert_count, t->rows / stage->expert_count, t->cols};
    const bool is_router = stage->expert_count > 0 && tensor + 1 == stage->expert_first;
    return (lspo_pruned_t){is_router ? 0 : 1, t->rows, t->cols};
}

uint64_t lspo_model_expert_elements(const lspo_model_t *model)
{
    const uint32_t matrices = lspo_family_of(model)->gated ? 3 : 2;
    return model->expert_count > 0 ? (uint64_t)matrices * model->width * model->mlp_width : 0;
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
    if (model->norm_epsilon > 0.0)
        return model->norm_epsilon;
    return lspo_family_of(model)->norm_epsilon;
}

double lspo_model_rope_theta(const lspo_model_t *model)
{
    return model->rope_theta > 0.0 ? model->rope_theta : 10000.0;
}

static lspo_status_t check_classes(const char *what, const lspo_model_t *model)
{
    char names[LSPO_NAME_BYTES] = "";
    for (int i = 0; i < LSPO_FAMILY_COUNT; i++) {
        if (lspo_family_row((lspo_family_t)i)->classifies) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? " or " : "", lspo_family_names[i]);
        }
    }
    if (!lspo_family_of(model)->classifies || model->tied_head)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: --classes, and classes in a file of shapes, need family %s and tied_head false; its "
                          "family is %s, its tied_head %s",
                          what, names, lspo_family_names[model->family], model->tied_head ? "true" : "false");
    return LSPO_OK;
}

/* The range of each key; a rope_theta of 0 means the family's default. */
static const struct {
    const char *key;
    double low, high;
} ranges[] = {
    {"blocks", 1, LSPO_BLOCKS_MAX},    {"width", 1, DIMENSION_MAX},           {"heads", 1, HEADS_MAX},
    {"kv_heads", 1, HEADS_MAX},        {"mlp_width", 1, DIMENSION_MAX},       {"vocabulary", 1, VOCABULARY_MAX},
    {"max_sequence", 1, SEQUENCE_MAX}, {"classes", 0, CLASSES_MAX},           {"norm_epsilon", 0, 1},
    {"rope_theta", 1, 1e12},           {"head_dim", 0, HEAD_WIDTH_MAX},       {"unused_positions", 0, 1024},
    {"window", 0, SEQUENCE_MAX},       {"full_every", 0, LSPO_BLOCKS_MAX},    {"rope_factor", 1, 1e6},
    {"rope_low_factor", 0, 1e6},       {"rope_high_factor", 0, 1e6},          {"rope_original", 0, SEQUENCE_MAX},
    {"experts", 0, EXPERTS_MAX},       {"experts_per_token", 0, EXPERTS_MAX},
};

void lspo_model_range(const lspo_record_field_t *field, double *low_out, double *high_out)
{
    *low_out = 0.0;
    *high_out = UINT32_MAX;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (strcmp(ranges[i].key, field->name) == 0) {
            *low_out = ranges[i].low;
            *high_out = ranges[i].high;
        }
    }
}

lspo_status_t lspo_model_check_field(const char *what, const lspo_record_field_t *field, const lspo_model_t *model)
{
    const void *member = (const char *)model + field->offset_bytes;
    double low, high;
    lspo_model_range(field, &low, &high);
    if (field->kind == LSPO_RECORD_U32) {
        uint32_t value = *(const uint32_t *)member;
        return value >= low && value <= high
                   ? LSPO_OK
                   : lspo_error(LSPO_ERR_INPUT, "%s %" PRIu32 " is outside %.0f..%.0f", what, value, low, high);
    }
    if (field->kind == LSPO_RECORD_REAL) {
        double value = *(const double *)member;
        bool inside = value == 0.0 || (value > low && value < high);
        return inside ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "%s %g is outside %g..%g", what, value, low, high);
    }
    return LSPO_OK;
}

lspo_status_t lspo_model_check_named(const char *what, const lspo_model_t *model)
{
    if ((unsigned)model->family >= LSPO_FAMILY_COUNT)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown family", what);
    for (size_t i = 0; i < lspo_model_field_count; i++) {
        char field[WHAT_BYTES];
        snprintf(field, sizeof field, "%s: %s", what, lspo_model_fields[i].name);
        lspo_status_t status = lspo_model_check_field(field, &lspo_model_fields[i], model);
        if (status != LSPO_OK)
            return status;
    }
    if (model->head_width == 0 && model->width % model->head_count != 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: width %" PRIu32 " must be a multiple of heads %" PRIu32 ", or head_dim be given", what,
                          model->width, model->head_count);
    if ((uint64_t)model->head_width * model->head_count > DIMENSION_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: heads %" PRIu32 " times head_dim %" PRIu32 " must be at most %d", what,
                          model->head_count, model->head_width, DIMENSION_MAX);
    if (model->head_count % model->kv_head_count != 0) {
        return lspo_error(LSPO_ERR_INPUT, "%s: heads %" PRIu32 " must be a multiple of kv_heads %" PRIu32, what,
                          model->head_count, model->kv_head_count);
    }
    lspo_status_t status = lspo_model_check_traits(what, model);
    if (status != LSPO_OK)
        return status;
    return model->class_count > 0 ? check_classes(what, model) : LSPO_OK;
}

lspo_status_t lspo_model_check(const lspo_model_t *model)
{
    char what[LSPO_NAME_BYTES + 32];
    snprintf(what, sizeof what, "model %s", model->name);
    return lspo_model_check_named(what, model);
}

const char *lspo_model_stage_name(const lspo_model_t *model, uint32_t stage, char *buffer)
{
    if (stage == 0)
        return strcpy(buffer, "embed");
    if (stage > model->block_count)
        return strcpy(buffer, "head");
    snprintf(buffer, 16, "%" PRIu32, stage);
    return buffer;
}
