/* hf_llama_config.c - config.json of Llama and of models that are like it. */
#include <math.h>
#include <string.h>

#include "real/formats/hf_family.h"

/* original_max_position_embeddings, which older files have at the top. */
static lspo_status_t parse_llama3(const lspo_hf_reader_t *inner, lspo_model_t *m)
{
    m->rope_scaling = LSPO_ROPE_LLAMA3;
    lspo_status_t status = lspo_hf_need_number(inner, "factor", &m->rope_factor);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_need_number(inner, "low_freq_factor", &m->rope_low_factor);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_need_number(inner, "high_freq_factor", &m->rope_high_factor);
    if (status != LSPO_OK)
        return status;
    return lspo_hf_take_size(inner, "original_max_position_embeddings", 0, &m->rope_original);
}

/* How angles are scaled: `key` is rope_scaling or, since transformers 5, rope_parameters. */
static lspo_status_t parse_scaling(const lspo_hf_reader_t *r, const char *key, lspo_model_t *m)
{
    const json_t *object = lspo_hf_get(r, key);
    const lspo_hf_reader_t inner = {.config = object, .path = r->path, .shapes_only = r->shapes_only};
    double rotated = 1.0;
    if (!object)
        return LSPO_OK;
    if (!json_is_object(object))
        return lspo_hf_refuse(r, key);
    lspo_status_t status = lspo_hf_take_number(&inner, "partial_rotary_factor", 1.0, &rotated);
    if (status != LSPO_OK)
        return status;
    if (rotated != 1.0)
        return lspo_hf_differs(r, key, m);
    status = lspo_hf_take_number(&inner, "rope_theta", m->rope_theta, &m->rope_theta);
    if (status != LSPO_OK)
        return status;
    const json_t *name = lspo_hf_get(&inner, "rope_type");
    const char *type = json_string_value(name ? name : lspo_hf_get(&inner, "type"));
    if (!type || strcmp(type, "default") == 0)
        return LSPO_OK;
    if (strcmp(type, "llama3") == 0)
        return parse_llama3(&inner, m);
    if (strcmp(type, "linear") != 0)
        return lspo_hf_differs(r, key, m);
    m->rope_scaling = LSPO_ROPE_LINEAR;
    return lspo_hf_need_number(&inner, "factor", &m->rope_factor);
}

/* rope_theta is a key of its own or in rope_parameters.  A factor of 1 scales nothing. */
static lspo_status_t parse_rope(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    double rotated = 1.0;
    lspo_status_t status = lspo_hf_take_number(r, "rope_theta", 10000.0, &m->rope_theta);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(r, "partial_rotary_factor", 1.0, &rotated);
    if (status != LSPO_OK)
        return status;
    if (rotated != 1.0)
        status = lspo_hf_differs(r, "partial_rotary_factor", m);
    if (status != LSPO_OK)
        return status;
    status = parse_scaling(r, "rope_parameters", m);
    if (status != LSPO_OK)
        return status;
    status = parse_scaling(r, "rope_scaling", m);
    if (status != LSPO_OK)
        return status;
    if (m->rope_factor == 1.0) {
        m->rope_scaling = LSPO_ROPE_PLAIN;
        m->rope_factor = m->rope_low_factor = m->rope_high_factor = 0.0;
        m->rope_original = 0;
    }
    return LSPO_OK;
}

/* Heads of the width that all of them together give the model's need no number of their own. */
static lspo_status_t parse_heads(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const bool even = m->width % m->head_count == 0;
    uint32_t otherwise = kind->head_width > 0 ? kind->head_width : even ? m->width / m->head_count : 0;
    const uint32_t kv_heads = kind->kv_heads > 0 && kind->kv_heads < m->head_count ? kind->kv_heads : m->head_count;
    lspo_status_t status = lspo_hf_take_size(r, "num_key_value_heads", kv_heads, &m->kv_head_count);
    if (status != LSPO_OK)
        return status;
    if (otherwise == 0 && !lspo_hf_get(r, "head_dim"))
        return LSPO_OK; /* lspo_model_check() explains it */
    status = lspo_hf_take_size(r, "head_dim", otherwise, &m->head_width);
    if (status != LSPO_OK)
        return status;
    if (even && m->head_width == m->width / m->head_count)
        m->head_width = 0;
    return LSPO_OK;
}

static void parse_biases(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const bool attention = kind->attention_bias && lspo_hf_take_flag(r, "attention_bias", false);
    const bool mlp = kind->mlp_bias && lspo_hf_take_flag(r, "mlp_bias", false);
    m->biases = kind->biases;
    if (attention)
        m->biases = mlp ? LSPO_BIASES_ALL : LSPO_BIASES_ATTENTION;
    else if (mlp)
        m->biases = LSPO_BIASES_MLP;
}

static lspo_status_t parse_experts(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {{"num_local_experts", &m->expert_count, kind->experts},
                                    {"num_experts_per_tok", &m->experts_per_token, kind->experts_per_token}};
    return kind->experts > 0 ? lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes)) : LSPO_OK;
}

/* Which blocks have the window: all, or all but each n-th.  `types` is a list of names. */
static lspo_status_t parse_layer_types(const lspo_hf_reader_t *r, const json_t *types, lspo_model_t *m)
{
    const size_t count = json_array_size(types);
    size_t first = 0;
    if (count != m->block_count)
        return lspo_hf_refuse(r, "layer_types");
    for (size_t i = 0; i < count; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        const bool full = type && strcmp(type, "full_attention") == 0;
        if (!type || (!full && strcmp(type, "sliding_attention") != 0))
            return lspo_hf_refuse(r, "layer_types");
        if (full && first == 0)
            first = i + 1;
        if (full != (first > 0 && (i + 1) % first == 0))
            return lspo_hf_refuse(r, "layer_types");
    }
    m->full_every = (uint32_t)first;
    return LSPO_OK;
}

/* Qwen's blocks from max_window_layers on have the window. */
static lspo_status_t parse_switch(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const json_t *from = lspo_hf_get(r, "max_window_layers");
    if (!lspo_hf_take_flag(r, "use_sliding_window", false)) {
        m->window = 0;
        return LSPO_OK;
    }
    if (lspo_hf_get(r, "layer_types"))
        return LSPO_OK;
    if (!json_is_integer(from) || (json_integer_value(from) > 0 && json_integer_value(from) < m->block_count))
        return lspo_hf_refuse(r, "max_window_layers");
    if (json_integer_value(from) > 0)
        m->window = 0;
    return LSPO_OK;
}

/* null: no window; absent: the default of the model_type. */
static lspo_status_t parse_window(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const json_t *types = lspo_hf_get(r, "layer_types");
    lspo_status_t status = LSPO_OK;
    m->window = kind->window;
    m->full_every = kind->full_every;
    if (lspo_hf_get(r, "sliding_window"))
        status = lspo_hf_take_size(r, "sliding_window", 0, &m->window);
    else if (json_object_get(r->config, "sliding_window"))
        m->window = 0;
    if (status == LSPO_OK && kind->window_switch)
        status = parse_switch(r, m);
    if (status == LSPO_OK && kind->full_every > 0 && lspo_hf_get(r, "sliding_window_pattern"))
        status = lspo_hf_take_size(r, "sliding_window_pattern", 0, &m->full_every);
    if (status == LSPO_OK && types && m->window > 0)
        status = parse_layer_types(r, types, m);
    if (status != LSPO_OK)
        return status;
    if (m->window >= m->max_sequence || m->full_every == 1)
        m->window = 0; /* it hides nothing */
    if (m->window == 0 || m->full_every > m->block_count)
        m->full_every = 0;
    return LSPO_OK;
}

/* What the mathematics of training need; predictions do not depend on it. */
static lspo_status_t parse_mathematics(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const json_t *activation = lspo_hf_get(r, "hidden_act");
    const char *name = activation ? json_string_value(activation) : "silu";
    lspo_status_t status = LSPO_OK;
    if (!name || (strcmp(name, "silu") != 0 && strcmp(name, "swish") != 0))
        status = lspo_hf_differs(r, "hidden_act", m);
    if (status != LSPO_OK)
        return status;
    return parse_rope(r, m);
}

lspo_status_t lspo_hf_parse_llama(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {{"vocab_size", &m->vocabulary, kind->vocabulary},
                                    {"hidden_size", &m->width, 0},
                                    {"intermediate_size", &m->mlp_width, 0},
                                    {"num_hidden_layers", &m->block_count, 0},
                                    {"num_attention_heads", &m->head_count, kind->heads},
                                    {"max_position_embeddings", &m->max_sequence, kind->positions}};
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    m->norm = kind->norm;
    m->norms = kind->norms;
    m->qk_norm = kind->qk_norm;
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    status = parse_heads(r, kind, m);
    if (status != LSPO_OK)
        return status;
    parse_biases(r, kind, m);
    status = parse_experts(r, kind, m);
    if (status != LSPO_OK)
        return status;
    status = parse_window(r, kind, m);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(r, "rms_norm_eps", 1e-6, &m->norm_epsilon);
    if (status != LSPO_OK || kind->predict_only)
        return status;
    return parse_mathematics(r, m);
}

/* A config.json says llama, unless one of the others is needed to say what the model has. */
static const char *type_of(const lspo_model_t *m)
{
    if (m->qk_norm == LSPO_QK_NORM_HEAD)
        return "qwen3";
    if (m->biases == LSPO_BIASES_QKV)
        return "qwen2";
    return m->window > 0 ? "mistral" : "llama";
}

static const char *architecture_of(const lspo_model_t *m)
{
    const char *type = type_of(m);
    return strcmp(type, "qwen3") == 0     ? "Qwen3ForCausalLM"
           : strcmp(type, "qwen2") == 0   ? "Qwen2ForCausalLM"
           : strcmp(type, "mistral") == 0 ? "MistralForCausalLM"
                                          : "LlamaForCausalLM";
}

/* Keys that the plainest Llama's config.json has no need of; -1 if out of memory. */
static int add_traits(const lspo_model_t *m, json_t *config)
{
    const lspo_traits_t traits = lspo_model_traits(m);
    int failed = json_object_set_new(config, "head_dim", json_integer(lspo_model_head_width(m)));
    failed |= json_object_set_new(config, "attention_bias", json_boolean(traits.attention_out_bias));
    failed |= json_object_set_new(config, "mlp_bias", json_boolean(traits.mlp_bias));
    failed |= json_object_set_new(config, "sliding_window", m->window > 0 ? json_integer(m->window) : json_null());
    if (m->rope_scaling == LSPO_ROPE_LINEAR)
        failed |= json_object_set_new(config, "rope_scaling",
                                      json_pack("{s:s, s:f}", "rope_type", "linear", "factor", m->rope_factor));
    if (m->rope_scaling == LSPO_ROPE_LLAMA3)
        failed |= json_object_set_new(config, "rope_scaling",
                                      json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor",
                                                m->rope_factor, "low_freq_factor", m->rope_low_factor,
                                                "high_freq_factor", m->rope_high_factor,
                                                "original_max_position_embeddings", (int)m->rope_original));
    return failed != 0 ? -1 : 0;
}

json_t *lspo_hf_make_llama(const lspo_model_t *m)
{
    json_t *config = json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:b}", "model_type",
                               type_of(m), "architectures", architecture_of(m), "vocab_size", (int)m->vocabulary,
                               "max_position_embeddings", (int)m->max_sequence, "hidden_size", (int)m->width,
                               "intermediate_size", (int)m->mlp_width, "num_hidden_layers", (int)m->block_count,
                               "num_attention_heads", (int)m->head_count, "num_key_value_heads", (int)m->kv_head_count,
                               "hidden_act", "silu", "rms_norm_eps", lspo_model_norm_epsilon(m), "rope_theta",
                               lspo_model_rope_theta(m), "tie_word_embeddings", m->tied_head);
    if (config && add_traits(m, config) != 0) {
        json_decref(config);
        return NULL;
    }
    return config;
}
