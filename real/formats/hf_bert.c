/* hf_bert.c - RoBERTa in Hugging Face's files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "real/formats/hf_config.h"
#include "real/formats/hf_family.h"

static const lspo_hf_tensor_name_t embed_names[] = {
    {.ours = "token", .theirs = "embeddings.word_embeddings.weight"},
    {.ours = "position", .theirs = "embeddings.position_embeddings.weight"},
    {.ours = "token_type", .theirs = "embeddings.token_type_embeddings.weight"},
    {"norm_gain", "embeddings.LayerNorm.weight", LSPO_HF_VECTOR, 0, false},
    {"norm_bias", "embeddings.LayerNorm.bias", LSPO_HF_VECTOR, 0, false},
    {0}};
static const lspo_hf_tensor_name_t block_names[] = {
    {"qkv", "attention.self.query.weight", LSPO_HF_PART, 0, false},
    {"qkv", "attention.self.key.weight", LSPO_HF_PART, 1, false},
    {"qkv", "attention.self.value.weight", LSPO_HF_PART, 2, false},
    {"attention_out", "attention.output.dense.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"mlp_up", "intermediate.dense.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"mlp_down", "output.dense.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"qkv_bias", "attention.self.query.bias", LSPO_HF_PART_VECTOR, 0, false},
    {"qkv_bias", "attention.self.key.bias", LSPO_HF_PART_VECTOR, 1, false},
    {"qkv_bias", "attention.self.value.bias", LSPO_HF_PART_VECTOR, 2, false},
    {"attention_out_bias", "attention.output.dense.bias", LSPO_HF_VECTOR, 0, false},
    {"mlp_up_bias", "intermediate.dense.bias", LSPO_HF_VECTOR, 0, false},
    {"mlp_down_bias", "output.dense.bias", LSPO_HF_VECTOR, 0, false},
    {"norm1_gain", "attention.output.LayerNorm.weight", LSPO_HF_VECTOR, 0, false},
    {"norm1_bias", "attention.output.LayerNorm.bias", LSPO_HF_VECTOR, 0, false},
    {"norm2_gain", "output.LayerNorm.weight", LSPO_HF_VECTOR, 0, false},
    {"norm2_bias", "output.LayerNorm.bias", LSPO_HF_VECTOR, 0, false},
    {0}};
static const lspo_hf_tensor_name_t language_head[] = {
    {"dense", "lm_head.dense.weight", LSPO_HF_TRANSPOSED, 0, true},
    {"dense_bias", "lm_head.dense.bias", LSPO_HF_VECTOR, 0, true},
    {"norm_gain", "lm_head.layer_norm.weight", LSPO_HF_VECTOR, 0, true},
    {"norm_bias", "lm_head.layer_norm.bias", LSPO_HF_VECTOR, 0, true},
    {"output", "lm_head.decoder.weight", LSPO_HF_TRANSPOSED, 0, true},
    {"output_bias", "lm_head.bias", LSPO_HF_VECTOR, 0, true},
    {0}};
static const lspo_hf_tensor_name_t class_head[] = {
    {"dense", "classifier.dense.weight", LSPO_HF_TRANSPOSED, 0, true},
    {"dense_bias", "classifier.dense.bias", LSPO_HF_VECTOR, 0, true},
    {"output", "classifier.out_proj.weight", LSPO_HF_TRANSPOSED, 0, true},
    {"output_bias", "classifier.out_proj.bias", LSPO_HF_VECTOR, 0, true},
    {0}};

/* The number of labels of a classifier: num_labels, or the length of id2label, or Hugging Face's default of two. */
static lspo_status_t count_classes(const lspo_hf_reader_t *r, uint32_t wanted, uint32_t *count_out)
{
    const char *architecture = json_string_value(json_array_get(lspo_hf_get(r, "architectures"), 0));
    size_t labels = json_object_size(lspo_hf_get(r, "id2label"));
    if (wanted > 0 || !architecture || strcmp(architecture, "RobertaForSequenceClassification") != 0) {
        *count_out = wanted;
        return LSPO_OK;
    }
    return lspo_hf_take_size(r, "num_labels", labels > 0 && labels < INT32_MAX ? (uint32_t)labels : 2, count_out);
}

lspo_status_t lspo_hf_parse_roberta(const lspo_hf_reader_t *r, const lspo_hf_kind_t *kind, lspo_model_t *m)
{
    uint32_t positions = 0, types = 0, pad = 1;
    const lspo_hf_size_t sizes[] = {{"vocab_size", &m->vocabulary, 50265},
                                    {"hidden_size", &m->width, 768},
                                    {"intermediate_size", &m->mlp_width, 3072},
                                    {"num_hidden_layers", &m->block_count, 12},
                                    {"num_attention_heads", &m->head_count, 12},
                                    {"max_position_embeddings", &positions, 512},
                                    {"type_vocab_size", &types, 2}};
    const lspo_hf_flag_t flags[] = {{"is_decoder", false}, {"add_cross_attention", false}};
    const json_t *pad_value = lspo_hf_get(r, "pad_token_id");
    lspo_status_t status = lspo_hf_take_sizes(r, sizes, LSPO_COUNT(sizes));
    if (status != LSPO_OK)
        return status;
    if (pad_value)
        status = lspo_hf_take_size(r, "pad_token_id", 1, &pad);
    if (status != LSPO_OK)
        return status;
    /* Positions start at the padding's id + 1. */
    if (pad + 1 != LSPO_BERT_UNUSED_POSITIONS)
        return lspo_hf_refuse(r, "pad_token_id");
    if (types != 1)
        return lspo_hf_refuse(r, "type_vocab_size");
    if (positions <= LSPO_BERT_UNUSED_POSITIONS)
        return lspo_hf_refuse(r, "max_position_embeddings");
    status = lspo_hf_check_flags(r, flags, LSPO_COUNT(flags));
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_check_name(r, "hidden_act", "gelu", "gelu", "gelu");
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_check_name(r, "position_embedding_type", "absolute", "absolute", "absolute");
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_take_number(r, "layer_norm_eps", 1e-12, &m->norm_epsilon);
    if (status != LSPO_OK)
        return status;
    m->max_sequence = positions - LSPO_BERT_UNUSED_POSITIONS;
    m->kv_head_count = m->head_count;
    m->tied_head = m->class_count == 0 && lspo_hf_take_flag(r, "tie_word_embeddings", kind->tied);
    return LSPO_OK;
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

static json_t *make(const lspo_model_t *m)
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

const lspo_hf_family_t lspo_hf_bert = {.prefix = "roberta.",
                                       .block = "encoder.layer.",
                                       .names = {embed_names, block_names, language_head},
                                       .class_head = class_head,
                                       .count_classes = count_classes,
                                       .make = make};
