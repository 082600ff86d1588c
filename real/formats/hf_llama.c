/* hf_llama.c - Llama in Hugging Face's files. */
#include <string.h>

#include "real/formats/hf_family.h"

static const lspo_hf_tensor_name_t embed_names[] = {{.ours = "token", .theirs = "embed_tokens.weight"}, {0}};
static const lspo_hf_tensor_name_t block_names[] = {
    {"q", "self_attn.q_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"k", "self_attn.k_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"v", "self_attn.v_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"attention_out", "self_attn.o_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"gate", "mlp.gate_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"up", "mlp.up_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"down", "mlp.down_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"norm1_gain", "input_layernorm.weight", LSPO_HF_VECTOR, 0, false},
    {"norm2_gain", "post_attention_layernorm.weight", LSPO_HF_VECTOR, 0, false},
    {0}};
static const lspo_hf_tensor_name_t head_names[] = {{"norm_gain", "norm.weight", LSPO_HF_VECTOR, 0, false},
                                                   {"output", "lm_head.weight", LSPO_HF_TRANSPOSED, 0, true},
                                                   {0}};

/* rope_theta is a key of its own or, since transformers 5, in rope_parameters; scaling of angles is refused. */
static lspo_status_t parse_rope(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const json_t *parameters = lspo_hf_get(r, "rope_parameters");
    const lspo_hf_reader_t inner = {.config = parameters, .path = r->path};
    const char *type = json_string_value(json_object_get(parameters, "rope_type"));
    double rotated = 1.0;
    if (lspo_hf_get(r, "rope_scaling"))
        return lspo_hf_refuse(r, "rope_scaling");
    if (parameters && (!json_is_object(parameters) || (type && strcmp(type, "default") != 0)))
        return lspo_hf_refuse(r, "rope_parameters");
    lspo_status_t status = lspo_hf_take_number(r, "rope_theta", 10000.0, &m->rope_theta);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(&inner, "rope_theta", m->rope_theta, &m->rope_theta);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(&inner, "partial_rotary_factor", 1.0, &rotated);
    if (status != LSPO_OK)
        return status;
    if (rotated != 1.0)
        return lspo_hf_refuse(r, "rope_parameters");
    return LSPO_OK;
}

/* Refuse heads whose width is not the model's width divided by their number. */
static lspo_status_t check_head_width(const lspo_hf_reader_t *r, const lspo_model_t *m)
{
    uint32_t head_width = 0;
    if (m->width % m->head_count != 0)
        return LSPO_OK;
    lspo_status_t status = lspo_hf_take_size(r, "head_dim", m->width / m->head_count, &head_width);
    if (status != LSPO_OK)
        return status;
    return head_width == m->width / m->head_count ? LSPO_OK : lspo_hf_refuse(r, "head_dim");
}

static lspo_status_t parse(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {
        {"vocab_size", &m->vocabulary, 0},          {"hidden_size", &m->width, 0},
        {"intermediate_size", &m->mlp_width, 0},    {"num_hidden_layers", &m->block_count, 0},
        {"num_attention_heads", &m->head_count, 0}, {"max_position_embeddings", &m->max_sequence, 2048}};
    const lspo_hf_flag_t flags[] = {{"attention_bias", false}, {"mlp_bias", false}};
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", false);
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_size(r, "num_key_value_heads", m->head_count, &m->kv_head_count);
    if (status != LSPO_OK)
        return status;
    status = check_head_width(r, m);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_check_flags(r, flags, LSPO_COUNT(flags));
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_check_name(r, "hidden_act", "silu", "silu", "swish");
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(r, "rms_norm_eps", 1e-6, &m->norm_epsilon);
    if (status != LSPO_OK)
        return status;
    return parse_rope(r, m);
}

static json_t *make(const lspo_model_t *m)
{
    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:b}", "model_type", "llama",
                     "architectures", "LlamaForCausalLM", "vocab_size", (int)m->vocabulary, "max_position_embeddings",
                     (int)m->max_sequence, "hidden_size", (int)m->width, "intermediate_size", (int)m->mlp_width,
                     "num_hidden_layers", (int)m->block_count, "num_attention_heads", (int)m->head_count,
                     "num_key_value_heads", (int)m->kv_head_count, "hidden_act", "silu", "rms_norm_eps",
                     lspo_model_norm_epsilon(m), "rope_theta", lspo_model_rope_theta(m), "tie_word_embeddings",
                     m->tied_head);
}

const lspo_hf_family_t lspo_hf_llama = {.model_type = "llama",
                                        .prefix = "model.",
                                        .block = "layers.",
                                        .names = {embed_names, block_names, head_names},
                                        .parse = parse,
                                        .make = make};
