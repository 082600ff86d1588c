/* hf_gpt_kinds.c - shapes of models that are like GPT-2 but not computed as it is: GPT-NeoX and Pythia, OPT, MPT. */
#include <string.h>

#include "real/formats/hf_family.h"

/* [Black et al., arXiv 2204.06745, Sec. 2] */
lspo_status_t lspo_hf_parse_neox(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {
        {"vocab_size", &m->vocabulary, 50432},       {"hidden_size", &m->width, 6144},
        {"num_hidden_layers", &m->block_count, 44},  {"num_attention_heads", &m->head_count, 64},
        {"intermediate_size", &m->mlp_width, 24576}, {"max_position_embeddings", &m->max_sequence, 2048}};
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    m->kv_head_count = m->head_count;
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    m->positions = LSPO_POSITIONS_ROTARY;
    if (lspo_hf_take_flag(r, "use_parallel_residual", true))
        m->norms = LSPO_NORMS_PARALLEL;
    if (!lspo_hf_take_flag(r, "attention_bias", true))
        m->biases = LSPO_BIASES_MLP;
    return lspo_hf_take_number(r, "layer_norm_eps", 1e-5, &m->norm_epsilon);
}

/* [Zhang et al., arXiv 2205.01068].  OPT-350m has a narrower token table and norms behind the sums: refused. */
lspo_status_t lspo_hf_parse_opt(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    const lspo_hf_size_t sizes[] = {
        {"vocab_size", &m->vocabulary, 50272},      {"hidden_size", &m->width, 768},
        {"num_hidden_layers", &m->block_count, 12}, {"num_attention_heads", &m->head_count, 12},
        {"ffn_dim", &m->mlp_width, 3072},           {"max_position_embeddings", &m->max_sequence, 2048}};
    const lspo_hf_flag_t flags[] = {
        {"do_layer_norm_before", true}, {"layer_norm_elementwise_affine", true}, {"_remove_final_layer_norm", false}};
    uint32_t table_width = 0;
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_size(r, "word_embed_proj_dim", m->width, &table_width);
    if (status != LSPO_OK)
        return status;
    if (table_width != m->width)
        return lspo_hf_refuse(r, "word_embed_proj_dim");
    status = lspo_hf_check_flags(r, flags, LSPO_COUNT(flags));
    if (status != LSPO_OK)
        return status;
    m->kv_head_count = m->head_count;
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    m->unused_positions = 2;
    if (!lspo_hf_take_flag(r, "enable_bias", true))
        m->biases = LSPO_BIASES_NONE;
    return LSPO_OK;
}

/* Its attention has an object of its own. */
static lspo_status_t parse_mpt_attention(const lspo_hf_reader_t *r, lspo_model_t *m)
{
    const json_t *attention = lspo_hf_get(r, "attn_config");
    const lspo_hf_reader_t inner = {.config = attention, .path = r->path, .shapes_only = r->shapes_only};
    if (attention && !json_is_object(attention))
        return lspo_hf_refuse(r, "attn_config");
    if (lspo_hf_take_flag(&inner, "qk_ln", false))
        return lspo_hf_refuse(&inner, "qk_ln");
    const char *type = json_string_value(lspo_hf_get(&inner, "attn_type"));
    uint32_t kv_heads = m->head_count;
    if (type && strcmp(type, "multiquery_attention") == 0)
        kv_heads = 1;
    m->positions = LSPO_POSITIONS_LEARNED;
    if (lspo_hf_take_flag(&inner, "alibi", true))
        m->positions = LSPO_POSITIONS_ALIBI;
    else if (!lspo_hf_take_flag(r, "learned_pos_emb", true))
        return lspo_hf_refuse(r, "learned_pos_emb");
    return lspo_hf_take_size(&inner, "kv_n_heads", kv_heads, &m->kv_head_count);
}

/* [MosaicML, "Introducing MPT-7B", 2023; config.json of mosaicml/mpt-7b] */
lspo_status_t lspo_hf_parse_mpt(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    uint32_t ratio = 0;
    const lspo_hf_size_t sizes[] = {{"vocab_size", &m->vocabulary, 50368},   {"d_model", &m->width, 2048},
                                    {"n_layers", &m->block_count, 24},       {"n_heads", &m->head_count, 16},
                                    {"max_seq_len", &m->max_sequence, 2048}, {"expansion_ratio", &ratio, 4}};
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    if (ratio > INT32_MAX / m->width)
        return lspo_hf_refuse(r, "expansion_ratio");
    m->mlp_width = ratio * m->width;
    m->tied_head = lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    if (lspo_hf_take_flag(r, "no_bias", true)) {
        m->biases = LSPO_BIASES_NONE;
        m->norm = LSPO_NORM_LAYER_GAIN;
    }
    return parse_mpt_attention(r, m);
}
