#include "real/formats/hf_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const json_t *config;
    const char *path;
} reader_t;

/* Absent and null are the same to Hugging Face's configurations. */
static const json_t *get(const reader_t *r, const char *key)
{
    const json_t *value = json_object_get(r->config, key);
    return json_is_null(value) ? NULL : value;
}

static lspo_status_t refuse(const reader_t *r, const char *key)
{
    char *value = json_dumps(json_object_get(r->config, key), JSON_ENCODE_ANY | JSON_COMPACT);
    lspo_status_t status =
        lspo_error(LSPO_ERR_INPUT, "%s: %s = %.80s is not supported", r->path, key, value ? value : "(missing)");
    free(value);
    return status;
}

/* A size; `otherwise` 0: required. */
static lspo_status_t take_size(const reader_t *r, const char *key, uint32_t otherwise, uint32_t *size_out)
{
    const json_t *value = get(r, key);
    if (!value && otherwise > 0) {
        *size_out = otherwise;
        return LSPO_OK;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s is missing or no size", r->path, key);
    *size_out = (uint32_t)json_integer_value(value);
    return LSPO_OK;
}

static lspo_status_t take_number(const reader_t *r, const char *key, double otherwise, double *number_out)
{
    const json_t *value = get(r, key);
    if (value && !(json_is_number(value) && json_number_value(value) > 0.0))
        return refuse(r, key);
    *number_out = value ? json_number_value(value) : otherwise;
    return LSPO_OK;
}

static bool take_flag(const reader_t *r, const char *key, bool otherwise)
{
    const json_t *value = get(r, key);
    return value ? json_is_true(value) : otherwise;
}

typedef struct {
    const char *key;
    uint32_t *size;
    uint32_t otherwise;
} size_field_t;

static lspo_status_t take_sizes(const reader_t *r, const size_field_t *fields, size_t count)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < count && status == LSPO_OK; i++)
        status = take_size(r, fields[i].key, fields[i].otherwise, fields[i].size);
    return status;
}

typedef struct {
    const char *key;
    bool wanted; /* and default */
} flag_field_t;

static lspo_status_t check_flags(const reader_t *r, const flag_field_t *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (take_flag(r, fields[i].key, fields[i].wanted) != fields[i].wanted)
            return refuse(r, fields[i].key);
    return LSPO_OK;
}

/* The value, or its default, is one of two names. */
static lspo_status_t check_name(const reader_t *r, const char *key, const char *otherwise, const char *a, const char *b)
{
    const json_t *value = get(r, key);
    const char *text = value ? json_string_value(value) : otherwise;
    return text && (strcmp(text, a) == 0 || strcmp(text, b) == 0) ? LSPO_OK : refuse(r, key);
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static lspo_status_t parse_gpt2(const reader_t *r, lspo_model_t *m)
{
    const size_field_t sizes[] = {{"vocab_size", &m->vocabulary, 50257},
                                  {"n_positions", &m->max_sequence, 1024},
                                  {"n_embd", &m->width, 768},
                                  {"n_layer", &m->block_count, 12},
                                  {"n_head", &m->head_count, 12}};
    const flag_field_t flags[] = {
        {"scale_attn_weights", true}, {"scale_attn_by_inverse_layer_idx", false}, {"add_cross_attention", false}};
    m->family = LSPO_FAMILY_GPT;
    lspo_status_t status = take_sizes(r, sizes, COUNT(sizes));
    if (status == LSPO_OK)
        status = take_size(r, "n_inner", m->width <= INT32_MAX / 4 ? 4 * m->width : INT32_MAX, &m->mlp_width);
    if (status == LSPO_OK)
        status = check_flags(r, flags, COUNT(flags));
    if (status == LSPO_OK)
        status = check_name(r, "activation_function", "gelu_new", "gelu_new", "gelu_pytorch_tanh");
    if (status == LSPO_OK)
        status = take_number(r, "layer_norm_epsilon", 1e-5, &m->norm_epsilon);
    m->kv_head_count = m->head_count;
    m->tied_head = take_flag(r, "tie_word_embeddings", true);
    return status;
}

/* rope_theta stands by itself or, since transformers 5, in rope_parameters; any scaling of the angles is refused. */
static lspo_status_t parse_rope(const reader_t *r, lspo_model_t *m)
{
    const json_t *parameters = get(r, "rope_parameters");
    const reader_t inner = {.config = parameters, .path = r->path};
    const char *type = json_string_value(json_object_get(parameters, "rope_type"));
    double rotated = 1.0;
    if (get(r, "rope_scaling"))
        return refuse(r, "rope_scaling");
    if (parameters && (!json_is_object(parameters) || (type && strcmp(type, "default") != 0)))
        return refuse(r, "rope_parameters");
    lspo_status_t status = take_number(r, "rope_theta", 10000.0, &m->rope_theta);
    if (status == LSPO_OK)
        status = take_number(&inner, "rope_theta", m->rope_theta, &m->rope_theta);
    if (status == LSPO_OK)
        status = take_number(&inner, "partial_rotary_factor", 1.0, &rotated);
    if (status == LSPO_OK && rotated != 1.0)
        status = refuse(r, "rope_parameters");
    return status;
}

static lspo_status_t parse_llama(const reader_t *r, lspo_model_t *m)
{
    const size_field_t sizes[] = {
        {"vocab_size", &m->vocabulary, 0},          {"hidden_size", &m->width, 0},
        {"intermediate_size", &m->mlp_width, 0},    {"num_hidden_layers", &m->block_count, 0},
        {"num_attention_heads", &m->head_count, 0}, {"max_position_embeddings", &m->max_sequence, 2048}};
    const flag_field_t flags[] = {{"attention_bias", false}, {"mlp_bias", false}};
    uint32_t head_width = 0;
    m->family = LSPO_FAMILY_LLAMA;
    lspo_status_t status = take_sizes(r, sizes, COUNT(sizes));
    if (status == LSPO_OK)
        status = take_size(r, "num_key_value_heads", m->head_count, &m->kv_head_count);
    if (status == LSPO_OK && m->width % m->head_count == 0) {
        status = take_size(r, "head_dim", m->width / m->head_count, &head_width);
        if (status == LSPO_OK && head_width != m->width / m->head_count)
            status = refuse(r, "head_dim");
    }
    if (status == LSPO_OK)
        status = check_flags(r, flags, COUNT(flags));
    if (status == LSPO_OK)
        status = check_name(r, "hidden_act", "silu", "silu", "swish");
    if (status == LSPO_OK)
        status = take_number(r, "rms_norm_eps", 1e-6, &m->norm_epsilon);
    if (status == LSPO_OK)
        status = parse_rope(r, m);
    m->tied_head = take_flag(r, "tie_word_embeddings", false);
    return status;
}

/* Labels of a classifier: num_labels, or as many as id2label lists, or Hugging Face's default, two. */
static lspo_status_t count_classes(const reader_t *r, uint32_t wanted, uint32_t *count_out)
{
    const char *architecture = json_string_value(json_array_get(get(r, "architectures"), 0));
    size_t labels = json_object_size(get(r, "id2label"));
    if (wanted > 0 || !architecture || strcmp(architecture, "RobertaForSequenceClassification") != 0) {
        *count_out = wanted;
        return LSPO_OK;
    }
    return take_size(r, "num_labels", labels > 0 && labels < INT32_MAX ? (uint32_t)labels : 2, count_out);
}

static lspo_status_t parse_roberta(const reader_t *r, uint32_t class_count, lspo_model_t *m)
{
    uint32_t positions = 0, types = 0, pad = 1;
    const size_field_t sizes[] = {{"vocab_size", &m->vocabulary, 50265},
                                  {"hidden_size", &m->width, 768},
                                  {"intermediate_size", &m->mlp_width, 3072},
                                  {"num_hidden_layers", &m->block_count, 12},
                                  {"num_attention_heads", &m->head_count, 12},
                                  {"max_position_embeddings", &positions, 512},
                                  {"type_vocab_size", &types, 2}};
    const flag_field_t flags[] = {{"is_decoder", false}, {"add_cross_attention", false}};
    const json_t *pad_value = get(r, "pad_token_id");
    m->family = LSPO_FAMILY_BERT;
    lspo_status_t status = take_sizes(r, sizes, COUNT(sizes));
    if (status == LSPO_OK && pad_value)
        status = take_size(r, "pad_token_id", 1, &pad);
    /* Positions are numbered from the padding's id + 1. */
    if (status == LSPO_OK && pad + 1 != LSPO_BERT_UNUSED_POSITIONS)
        status = refuse(r, "pad_token_id");
    if (status == LSPO_OK && types != 1)
        status = refuse(r, "type_vocab_size");
    if (status == LSPO_OK && positions <= LSPO_BERT_UNUSED_POSITIONS)
        status = refuse(r, "max_position_embeddings");
    if (status == LSPO_OK)
        status = check_flags(r, flags, COUNT(flags));
    if (status == LSPO_OK)
        status = check_name(r, "hidden_act", "gelu", "gelu", "gelu");
    if (status == LSPO_OK)
        status = check_name(r, "position_embedding_type", "absolute", "absolute", "absolute");
    if (status == LSPO_OK)
        status = take_number(r, "layer_norm_eps", 1e-12, &m->norm_epsilon);
    if (status == LSPO_OK)
        status = count_classes(r, class_count, &m->class_count);
    if (status != LSPO_OK)
        return status;
    m->max_sequence = positions - LSPO_BERT_UNUSED_POSITIONS;
    m->kv_head_count = m->head_count;
    m->tied_head = m->class_count == 0 && take_flag(r, "tie_word_embeddings", true);
    return LSPO_OK;
}

lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out)
{
    const reader_t r = {.config = config, .path = path};
    const char *type = json_string_value(get(&r, "model_type"));
    lspo_model_t model = {0};
    lspo_status_t status;
    if (get(&r, "quantization_config"))
        return refuse(&r, "quantization_config");
    if (type && strcmp(type, "gpt2") == 0)
        status = parse_gpt2(&r, &model);
    else if (type && strcmp(type, "llama") == 0)
        status = parse_llama(&r, &model);
    else if (type && strcmp(type, "roberta") == 0)
        status = parse_roberta(&r, class_count, &model);
    else
        return lspo_error(LSPO_ERR_INPUT, "%s: model_type %s is none of gpt2, llama, roberta", path,
                          type ? type : "(missing)");
    if (status == LSPO_OK && class_count > 0 && model.family != LSPO_FAMILY_BERT)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier needs a roberta, not a %s", path, type);
    if (status == LSPO_OK)
        *model_out = model;
    return status;
}

int lspo_hf_config_set_classes(json_t *config, uint32_t class_count)
{
    json_t *labels = json_object(), *ids = json_object();
    int failed = !labels || !ids;
    for (uint32_t i = 0; i < class_count && !failed; i++) {
        char id[16], label[24];
        snprintf(id, sizeof id, "%" PRIu32, i);
        snprintf(label, sizeof label, "LABEL_%" PRIu32, i);
        failed =
            json_object_set_new(labels, id, json_string(label)) || json_object_set_new(ids, label, json_integer(i));
    }
    failed = failed || json_object_set(config, "id2label", labels) || json_object_set(config, "label2id", ids) ||
             json_object_set_new(config, "architectures", json_pack("[s]", "RobertaForSequenceClassification"));
    json_decref(ids);
    json_decref(labels);
    json_object_del(config, "num_labels");
    return failed ? -1 : 0;
}

static json_t *make_gpt2(const lspo_model_t *m)
{
    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type", "gpt2", "architectures",
                     "GPT2LMHeadModel", "vocab_size", (int)m->vocabulary, "n_positions", (int)m->max_sequence, "n_embd",
                     (int)m->width, "n_layer", (int)m->block_count, "n_head", (int)m->head_count, "n_inner",
                     (int)m->mlp_width, "activation_function", "gelu_new", "layer_norm_epsilon",
                     lspo_model_norm_epsilon(m), "tie_word_embeddings", m->tied_head);
}

static json_t *make_llama(const lspo_model_t *m)
{
    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:b}", "model_type", "llama",
                     "architectures", "LlamaForCausalLM", "vocab_size", (int)m->vocabulary, "max_position_embeddings",
                     (int)m->max_sequence, "hidden_size", (int)m->width, "intermediate_size", (int)m->mlp_width,
                     "num_hidden_layers", (int)m->block_count, "num_attention_heads", (int)m->head_count,
                     "num_key_value_heads", (int)m->kv_head_count, "hidden_act", "silu", "rms_norm_eps",
                     lspo_model_norm_epsilon(m), "rope_theta", lspo_model_rope_theta(m), "tie_word_embeddings",
                     m->tied_head);
}

static json_t *make_roberta(const lspo_model_t *m)
{
    json_t *config = json_pack(
        "{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type", "roberta", "architectures",
        "RobertaForMaskedLM", "vocab_size", (int)m->vocabulary, "max_position_embeddings",
        (int)(m->max_sequence + LSPO_BERT_UNUSED_POSITIONS), "hidden_size", (int)m->width, "intermediate_size",
        (int)m->mlp_width, "num_hidden_layers", (int)m->block_count, "num_attention_heads", (int)m->head_count,
        "type_vocab_size", 1, "pad_token_id", 1, "hidden_act", "gelu", "layer_norm_eps", lspo_model_norm_epsilon(m),
        "tie_word_embeddings", m->class_count == 0 ? m->tied_head : true);
    if (config && m->class_count > 0 && lspo_hf_config_set_classes(config, m->class_count) != 0) {
        json_decref(config);
        return NULL;
    }
    return config;
}

json_t *lspo_hf_config_make(const lspo_model_t *model)
{
    switch (model->family) {
    case LSPO_FAMILY_GPT:
        return make_gpt2(model);
    case LSPO_FAMILY_LLAMA:
        return make_llama(model);
    case LSPO_FAMILY_BERT:
        return make_roberta(model);
    }
    return NULL;
}
