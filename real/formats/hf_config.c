/* hf_config.c - see hf_config.h; each family has a table of type lspo_hf_family_t (hf_family.h). */
#include "real/formats/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/formats/hf_family.h"

const lspo_hf_family_t *lspo_hf_family(lspo_family_t family)
{
    static const lspo_hf_family_t *const families[] = {
#define FAMILY(id, name) [LSPO_FAMILY_##id] = &lspo_hf_##name,
        LSPO_FAMILIES(FAMILY)
#undef FAMILY
    };
    return families[family];
}

/* Kinds of models that lspo has no shapes for.  key: what in config.json tells them; NULL: the model_type. */
static const struct {
    const char *key, *types, *what;
} foreign[] = {
    {"num_local_experts", NULL, "a mixture of experts"},
    {"num_experts", NULL, "a mixture of experts"},
    {"n_routed_experts", NULL, "a mixture of experts"},
    {"moe_num_experts", NULL, "a mixture of experts"},
    {"vision_config", NULL, "a model of pictures and text; its text_config, as a file of its own, may be one of these"},
    {"audio_config", NULL, "a model of sound and text; its text_config, as a file of its own, may be one of these"},
    {NULL, " mamba mamba2 falcon_mamba jamba rwkv recurrent_gemma zamba zamba2 bamba nemotron_h xlstm ",
     "a recurrent or state-space model"},
    {NULL, " vit clip siglip dinov2 swin beit deit convnext ", "a model of pictures"},
    {NULL, " whisper wav2vec2 hubert ", "a model of sound"},
};

/* An absent key and a number of 0 or 1 tell nothing. */
static bool has_key(const lspo_hf_reader_t *r, const char *key)
{
    const json_t *value = lspo_hf_get(r, key);
    return json_is_object(value) || json_integer_value(value) > 1;
}

/* What the model is, or NULL. */
static const char *foreign_kind(const lspo_hf_reader_t *r, const char *type)
{
    char word[64];
    snprintf(word, sizeof word, " %s ", type);
    if (json_is_true(lspo_hf_get(r, "is_encoder_decoder")))
        return "an encoder with a decoder";
    for (size_t i = 0; i < LSPO_COUNT(foreign); i++)
        if (foreign[i].key ? has_key(r, foreign[i].key) : strstr(foreign[i].types, word) != NULL)
            return foreign[i].what;
    return NULL;
}

static bool can_read(const lspo_hf_kind_t *kind)
{
    return !kind->predict_only && !kind->fused;
}

static bool can_train(const lspo_hf_kind_t *kind)
{
    return can_read(kind) && kind->experts == 0;
}

/* The names of the kinds that can be trained or, if shapes are enough, of all. */
static void list_kinds(bool all, char *text, size_t bytes)
{
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; i < lspo_hf_kind_count && used < bytes; i++)
        if (all || can_train(&lspo_hf_kinds[i]))
            used +=
                (size_t)snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", lspo_hf_kinds[i].model_type);
}

static lspo_status_t find_kind(const lspo_hf_reader_t *r, const lspo_hf_kind_t **kind_out)
{
    const char *type = json_string_value(lspo_hf_get(r, "model_type"));
    const lspo_hf_kind_t *kind = type ? lspo_hf_kind_find(type) : NULL;
    const char *what = kind && kind->experts > 0 ? NULL : foreign_kind(r, type ? type : "");
    char known[256];
    list_kinds(r->shapes_only, known, sizeof known);
    if (what)
        return lspo_error(LSPO_ERR_INPUT, "%s: model_type %.60s is %s; lspo knows %s", r->path,
                          type ? type : "(missing)", what, known);
    *kind_out = kind;
    if (*kind_out && !can_read(*kind_out) && !r->shapes_only)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: a model of model_type %s can only be predicted (lspo sim, choose, show); those that can "
                          "be trained are %s",
                          r->path, type, known);
    if (*kind_out)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s: model_type %.60s is not one of %s", r->path, type ? type : "(missing)",
                      known);
}

/* trains_out: whether lspo can read its weights and compute it. */
static lspo_status_t parse(const lspo_hf_reader_t *r, uint32_t class_count, lspo_model_t *model_out, bool *trains_out)
{
    const lspo_hf_kind_t *kind = NULL;
    lspo_model_t model = {0};
    if (lspo_hf_get(r, "quantization_config") && !r->allows_int4)
        return lspo_hf_refuse(r, "quantization_config");
    lspo_status_t status = find_kind(r, &kind);
    if (status != LSPO_OK)
        return status;
    model.family = kind->family;
    model.predict_only = kind->predict_only;
    const lspo_hf_family_t *family = lspo_hf_family(model.family);
    if (family->count_classes != NULL)
        status = family->count_classes(r, class_count, &model.class_count);
    if (status != LSPO_OK)
        return status;
    status = kind->parse(r, kind, &model);
    if (status != LSPO_OK)
        return status;
    if (class_count > 0 && family->count_classes == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier must be a roberta, not a %s", r->path, kind->model_type);
    *trains_out = can_train(kind) && !model.predict_only;
    *model_out = model;
    return LSPO_OK;
}

lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out)
{
    bool trains;
    return parse(&(lspo_hf_reader_t){.config = config, .path = path}, class_count, model_out, &trains);
}

lspo_status_t lspo_hf_config_parse_int4(const json_t *config, const char *path, lspo_model_t *model_out,
                                        lspo_hf_int4_t *int4_out)
{
    const lspo_hf_reader_t r = {.config = config, .path = path, .allows_int4 = true};
    const json_t *quantization = lspo_hf_get(&r, "quantization_config");
    bool trains;
    if (quantization != NULL) {
        lspo_status_t status = lspo_hf_int4_parse(quantization, path, int4_out);
        if (status != LSPO_OK)
            return status;
    }
    return parse(&r, 0, model_out, &trains);
}

/* Gemma 3 with its vision tower has the language model in text_config. */
static const json_t *language_model(const json_t *config, const char *path)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const json_t *text = json_object_get(config, "text_config");
    const json_t *inner = json_object_get(text, "model_type");
    const bool named = json_is_string(inner) && strcmp(json_string_value(inner), "gemma3_text") == 0;
    if (!type || strcmp(type, "gemma3") != 0 || !named)
        return config;
    lspo_warn("%s: only the language model (text_config) is counted, not what reads pictures", path);
    return text;
}

lspo_status_t lspo_hf_config_shapes(const json_t *config, const char *path, lspo_model_t *model_out, bool *trains_out)
{
    const lspo_hf_reader_t r = {.config = language_model(config, path), .path = path, .shapes_only = true};
    return parse(&r, 0, model_out, trains_out);
}

json_t *lspo_hf_config_make(const lspo_model_t *model)
{
    return lspo_hf_family(model->family)->make(model);
}
