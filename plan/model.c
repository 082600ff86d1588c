#include "plan/model.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/names.h"
#include "base/units.h"

enum { DIMENSION_MAX = 1 << 20, HEADS_MAX = 4096, VOCABULARY_MAX = 1 << 24, SEQUENCE_MAX = 1 << 24 };
enum { CLASSES_MAX = 1 << 16 };

#define GPT2_SOURCE "Radford et al. 2019; config.json of openai-community/gpt2 and gpt2-large: vocab 50257, n_ctx 1024"
#define BYTES_SOURCE "byte-level GPT of this project, for training on the host"

static const lspo_model_t presets[] = {
    {"gpt-tiny", BYTES_SOURCE, LSPO_FAMILY_GPT, 5, 128, 4, 4, 512, 256, 256, true, 0, 0, 0},
    {"gpt-small", BYTES_SOURCE, LSPO_FAMILY_GPT, 6, 384, 6, 6, 1536, 256, 256, true, 0, 0, 0},
    {"gpt-medium", BYTES_SOURCE, LSPO_FAMILY_GPT, 10, 512, 8, 8, 2048, 256, 256, true, 0, 0, 0},
    {"gpt2-124m", GPT2_SOURCE, LSPO_FAMILY_GPT, 12, 768, 12, 12, 3072, 50257, 1024, true, 0, 0, 0},
    {"gpt2-774m", GPT2_SOURCE, LSPO_FAMILY_GPT, 36, 1280, 20, 20, 5120, 50257, 1024, true, 0, 0, 0},
    {"gpt2-1.3b",
     "arXiv 2406.10181 gives 40 layers; width 1600 with 25 heads (those of GPT-2 XL) then makes 1.31 billion "
     "parameters",
     LSPO_FAMILY_GPT, 40, 1600, 25, 25, 6400, 50257, 1024, true, 0, 0, 0},
    {"llama-3b", "config.json of openlm-research/open_llama_3b", LSPO_FAMILY_LLAMA, 26, 3200, 32, 32, 8640, 32000, 2048,
     false, 0, 0, 0},
    {"llama-7b", "Touvron et al. 2023, arXiv 2302.13971; config.json of huggyllama/llama-7b", LSPO_FAMILY_LLAMA, 32,
     4096, 32, 32, 11008, 32000, 2048, false, 0, 0, 0},
    {"deepseek-coder-1.3b", "config.json of deepseek-ai/deepseek-coder-1.3b-base", LSPO_FAMILY_LLAMA, 24, 2048, 16, 16,
     5504, 32256, 16384, false, 0, 0, 0},
    {"deepseek-coder-6.7b", "config.json of deepseek-ai/deepseek-coder-6.7b-base", LSPO_FAMILY_LLAMA, 32, 4096, 32, 32,
     11008, 32256, 16384, false, 0, 0, 0},
    {"roberta-base", "Liu et al. 2019, arXiv 1907.11692; config.json of FacebookAI/roberta-base; masked-language head",
     LSPO_FAMILY_BERT, 12, 768, 12, 12, 3072, 50265, 512, true, 0, 0, 0},
};

static const char *const family_names[] = {
    [LSPO_FAMILY_GPT] = "gpt", [LSPO_FAMILY_LLAMA] = "llama", [LSPO_FAMILY_BERT] = "bert"};
enum { FAMILY_COUNT = sizeof family_names / sizeof family_names[0] };

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
    if ((unsigned)model->family >= FAMILY_COUNT) {
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

uint32_t lspo_model_preset_count(void)
{
    return sizeof presets / sizeof presets[0];
}

const lspo_model_t *lspo_model_preset(uint32_t index)
{
    return &presets[index];
}

static lspo_status_t parse_size(const char *what, const char *value, uint32_t *size_out)
{
    int64_t number = 0;
    lspo_status_t status = lspo_parse_integer(what, value, 1, VOCABULARY_MAX, &number);
    if (status == LSPO_OK) {
        *size_out = (uint32_t)number;
    }
    return status;
}

static lspo_status_t parse_text(const char *what, const char *value, char *text, size_t text_bytes)
{
    if (*value == '\0' || strlen(value) >= text_bytes) {
        return lspo_error(LSPO_ERR_INPUT, "%s: needs 1 to %zu characters", what, text_bytes - 1);
    }
    memcpy(text, value, strlen(value) + 1);
    return LSPO_OK;
}

static lspo_status_t parse_family(const char *what, const char *value, lspo_family_t *family_out)
{
    for (int i = 0; i < FAMILY_COUNT; i++) {
        if (strcmp(value, family_names[i]) == 0) {
            *family_out = (lspo_family_t)i;
            return LSPO_OK;
        }
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of gpt, llama, bert", what, value);
}

static lspo_status_t parse_boolean(const char *what, const char *value, bool *boolean_out)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "false") != 0 && strcmp(value, "no") != 0) {
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of true, false", what, value);
    }
    *boolean_out = yes;
    return LSPO_OK;
}

typedef struct {
    lspo_model_t model;
    bool has_family, has_tied_head;
} model_file_t;

static lspo_status_t take_key(void *context, const char *where, const char *section, const char *key, const char *value)
{
    model_file_t *file = context;
    lspo_model_t *model = &file->model;
    char what[640];
    snprintf(what, sizeof what, "%s: [%s] %s", where, section, key);
    const struct {
        const char *key;
        uint32_t *size;
    } sizes[] = {{"blocks", &model->block_count},        {"width", &model->width},
                 {"heads", &model->head_count},          {"kv_heads", &model->kv_head_count},
                 {"mlp_width", &model->mlp_width},       {"vocabulary", &model->vocabulary},
                 {"max_sequence", &model->max_sequence}, {"classes", &model->class_count}};
    const struct {
        const char *key;
        double *number;
    } numbers[] = {{"norm_epsilon", &model->norm_epsilon}, {"rope_theta", &model->rope_theta}};
    if (strcmp(section, "model") != 0) {
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown section; a model file has [model] only", what);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(key, sizes[i].key) == 0) {
            return parse_size(what, value, sizes[i].size);
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            return lspo_parse_quantity(what, value, LSPO_UNIT_NONE, numbers[i].number);
        }
    }
    if (strcmp(key, "name") == 0) {
        return parse_text(what, value, model->name, sizeof model->name);
    }
    if (strcmp(key, "source") == 0) {
        return parse_text(what, value, model->source, sizeof model->source);
    }
    if (strcmp(key, "family") == 0) {
        file->has_family = true;
        return parse_family(what, value, &model->family);
    }
    if (strcmp(key, "tied_head") == 0) {
        file->has_tied_head = true;
        return parse_boolean(what, value, &model->tied_head);
    }
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: unknown key; known: name, source, family, blocks, width, heads, kv_heads, mlp_width, "
                      "vocabulary, max_sequence, tied_head, norm_epsilon, rope_theta, classes",
                      what);
}

/* kv_heads defaults to heads, mlp_width to 4 width, tied_head to the family's custom; the rest must be there. */
static lspo_status_t complete_model(const char *path, model_file_t *file)
{
    lspo_model_t *model = &file->model;
    const struct {
        const char *key;
        bool present;
    } required[] = {{"name", model->name[0] != '\0'},         {"family", file->has_family},
                    {"blocks", model->block_count > 0},       {"width", model->width > 0},
                    {"heads", model->head_count > 0},         {"vocabulary", model->vocabulary > 0},
                    {"max_sequence", model->max_sequence > 0}};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!required[i].present) {
            return lspo_error(LSPO_ERR_INPUT, "%s: [model] %s is missing", path, required[i].key);
        }
    }
    if (model->kv_head_count == 0) {
        model->kv_head_count = model->head_count;
    }
    if (model->mlp_width == 0) {
        model->mlp_width = 4 * model->width;
    }
    if (!file->has_tied_head) {
        model->tied_head = model->family != LSPO_FAMILY_LLAMA && model->class_count == 0;
    }
    return lspo_model_check(model);
}

static lspo_status_t read_model(const char *path, lspo_model_t *model_out)
{
    model_file_t file = {0};
    lspo_status_t status = lspo_ini_read(path, take_key, &file);
    if (status == LSPO_OK) {
        status = complete_model(path, &file);
    }
    if (status == LSPO_OK) {
        *model_out = file.model;
    }
    return status;
}

static lspo_status_t refuse_name(const char *name)
{
    const char *names[sizeof presets / sizeof presets[0]];
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        names[i] = presets[i].name;
    }
    return lspo_name_refuse("model", name, names, lspo_model_preset_count(),
                            ", nor a file or folder here (`lspo help models`)");
}

/* "owner/name" is what Hugging Face calls a model; any other path is taken for the folder that is wanted. */
static lspo_status_t refuse_path(const char *path)
{
    const char *slash = strchr(path, '/');
    bool repository = slash != NULL && slash > path && path[0] != '.' && path[0] != '~' && slash[1] != '\0' &&
                      strchr(slash + 1, '/') == NULL;
    if (strlen(path) > 4 && strcmp(path + strlen(path) - 4, ".ini") == 0) {
        return lspo_error(LSPO_ERR_INPUT, "model: there is no file %s", path);
    }
    return lspo_error(LSPO_ERR_INPUT,
                      "model: there is no file or folder %s; download one: "
                      "hf download %s --local-dir %s (`lspo help models`)",
                      path, repository ? path : "openai-community/gpt2", repository ? slash + 1 : path);
}

lspo_status_t lspo_model_find(const char *name_or_path, lspo_model_t *model_out)
{
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        if (strcmp(name_or_path, presets[i].name) == 0) {
            *model_out = presets[i];
            return LSPO_OK;
        }
    }
    if (access(name_or_path, F_OK) != 0) {
        return lspo_name_is_path(name_or_path) ? refuse_path(name_or_path) : refuse_name(name_or_path);
    }
    return read_model(name_or_path, model_out);
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
    return (unsigned)family < FAMILY_COUNT ? family_names[family] : "?";
}
