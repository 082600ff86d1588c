/* hf_gpt.c - GPT-2 in Hugging Face's files. */
#include <string.h>

#include "real/formats/hf_family.h"

static const lspo_hf_tensor_name_t embed_names[] = {
    {.ours = "token", .theirs = "wte.weight"}, {.ours = "position", .theirs = "wpe.weight"}, {0}};
static const lspo_hf_tensor_name_t block_names[] = {
    {.ours = "qkv", .theirs = "attn.c_attn.weight"},
    {.ours = "attention_out", .theirs = "attn.c_proj.weight"},
    {.ours = "mlp_up", .theirs = "mlp.c_fc.weight"},
    {.ours = "mlp_down", .theirs = "mlp.c_proj.weight"},
    {"qkv_bias", "attn.c_attn.bias", LSPO_HF_VECTOR, 0, false},
    {"attention_out_bias", "attn.c_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"mlp_up_bias", "mlp.c_fc.bias", LSPO_HF_VECTOR, 0, false},
    {"mlp_down_bias", "mlp.c_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"norm1_gain", "ln_1.weight", LSPO_HF_VECTOR, 0, false},
    {"norm1_bias", "ln_1.bias", LSPO_HF_VECTOR, 0, false},
    {"norm2_gain", "ln_2.weight", LSPO_HF_VECTOR, 0, false},
    {"norm2_bias", "ln_2.bias", LSPO_HF_VECTOR, 0, false},
    {0}};
static const lspo_hf_tensor_name_t head_names[] = {{"norm_gain", "ln_f.weight", LSPO_HF_VECTOR, 0, false},
                                                   {"norm_bias", "ln_f.bias", LSPO_HF_VECTOR, 0, false},
                                                   {"output", "lm_head.weight", LSPO_HF_TRANSPOSED, 0, true},
                                                   {0}};

/* Values that change the mathematics, but not the shapes. */
static lspo_status_t parse_mathematics(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const lspo_hf_flag_t flags[] = {{"scale_attn_weights", true}, {"scale_attn_by_inverse_layer_idx", false}};
    const json_t *activation = lspo_hf_get(r, "activation_function");
    const char *name = activation ? json_string_value(activation) : "gelu_new";
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < LSPO_COUNT(flags) && status == LSPO_OK; i++)
        if (lspo_hf_take_flag(r, flags[i].key, flags[i].wanted) != flags[i].wanted)
            status = lspo_hf_differs(r, flags[i].key, m);
    if (status != LSPO_OK)
        return status;
    if (!name || (strcmp(name, "gelu_new") != 0 && strcmp(name, "gelu_pytorch_tanh") != 0))
        return lspo_hf_differs(r, "activation_function", m);
    return LSPO_OK;
}

lspo_status_t lspo_hf_parse_gpt2(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {{"vocab_size", &m->vocabulary, 50257},
                                    {"n_positions", &m->max_sequence, 1024},
                                    {"n_embd", &m->width, 768},
                                    {"n_layer", &m->block_count, 12},
                                    {"n_head", &m->head_count, 12}};
    const lspo_hf_flag_t flags[] = {{"add_cross_attention", false}};
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    m->kv_head_count = m->head_count;
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    status = lspo_hf_take_size(r, "n_inner", m->width <= INT32_MAX / 4 ? 4 * m->width : INT32_MAX, &m->mlp_width);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_check_flags(r, flags, LSPO_COUNT(flags));
    if (status != LSPO_OK)
        return status;
    status = parse_mathematics(r, m);
    if (status != LSPO_OK)
        return status;
    return lspo_hf_take_number(r, "layer_norm_epsilon", 1e-5, &m->norm_epsilon);
}

static json_t *make(const lspo_model_t *m)
{
    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type", "gpt2", "architectures",
                     "GPT2LMHeadModel", "vocab_size", (int)m->vocabulary, "n_positions", (int)m->max_sequence, "n_embd",
                     (int)m->width, "n_layer", (int)m->block_count, "n_head", (int)m->head_count, "n_inner",
                     (int)m->mlp_width, "activation_function", "gelu_new", "layer_norm_epsilon",
                     lspo_model_norm_epsilon(m), "tie_word_embeddings", m->tied_head);
}

const lspo_hf_family_t lspo_hf_gpt = {
    .prefix = "transformer.", .block = "h.", .names = {embed_names, block_names, head_names}, .make = make};
