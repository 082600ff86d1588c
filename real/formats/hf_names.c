/* hf_names.c - what Hugging Face's tools call the tensors of a family, and how these lie beside ours. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "real/formats/hf_model_state.h"

/* How a tensor of ours lies in a file.  PART: one of `count` column blocks, an nn.Linear of its own (or its bias). */
typedef enum { AS_IS, VECTOR, TRANSPOSED, PART, PART_VECTOR } layout_t;

typedef struct {
    const char *ours, *theirs;
    layout_t layout;
    uint8_t part; /* of three */
    bool outside; /* not below the base model's prefix */
} name_t;

static const name_t gpt_embed[] = {
    {.ours = "token", .theirs = "wte.weight"}, {.ours = "position", .theirs = "wpe.weight"}, {0}};
static const name_t gpt_block[] = {{.ours = "qkv", .theirs = "attn.c_attn.weight"},
                                   {.ours = "attention_out", .theirs = "attn.c_proj.weight"},
                                   {.ours = "mlp_up", .theirs = "mlp.c_fc.weight"},
                                   {.ours = "mlp_down", .theirs = "mlp.c_proj.weight"},
                                   {"qkv_bias", "attn.c_attn.bias", VECTOR, 0, false},
                                   {"attention_out_bias", "attn.c_proj.bias", VECTOR, 0, false},
                                   {"mlp_up_bias", "mlp.c_fc.bias", VECTOR, 0, false},
                                   {"mlp_down_bias", "mlp.c_proj.bias", VECTOR, 0, false},
                                   {"norm1_gain", "ln_1.weight", VECTOR, 0, false},
                                   {"norm1_bias", "ln_1.bias", VECTOR, 0, false},
                                   {"norm2_gain", "ln_2.weight", VECTOR, 0, false},
                                   {"norm2_bias", "ln_2.bias", VECTOR, 0, false},
                                   {0}};
static const name_t gpt_head[] = {{"norm_gain", "ln_f.weight", VECTOR, 0, false},
                                  {"norm_bias", "ln_f.bias", VECTOR, 0, false},
                                  {"output", "lm_head.weight", TRANSPOSED, 0, true},
                                  {0}};

static const name_t llama_embed[] = {{.ours = "token", .theirs = "embed_tokens.weight"}, {0}};
static const name_t llama_block[] = {{"q", "self_attn.q_proj.weight", TRANSPOSED, 0, false},
                                     {"k", "self_attn.k_proj.weight", TRANSPOSED, 0, false},
                                     {"v", "self_attn.v_proj.weight", TRANSPOSED, 0, false},
                                     {"attention_out", "self_attn.o_proj.weight", TRANSPOSED, 0, false},
                                     {"gate", "mlp.gate_proj.weight", TRANSPOSED, 0, false},
                                     {"up", "mlp.up_proj.weight", TRANSPOSED, 0, false},
                                     {"down", "mlp.down_proj.weight", TRANSPOSED, 0, false},
                                     {"norm1_gain", "input_layernorm.weight", VECTOR, 0, false},
                                     {"norm2_gain", "post_attention_layernorm.weight", VECTOR, 0, false},
                                     {0}};
static const name_t llama_head[] = {
    {"norm_gain", "norm.weight", VECTOR, 0, false}, {"output", "lm_head.weight", TRANSPOSED, 0, true}, {0}};

static const name_t bert_embed[] = {{.ours = "token", .theirs = "embeddings.word_embeddings.weight"},
                                    {.ours = "position", .theirs = "embeddings.position_embeddings.weight"},
                                    {.ours = "token_type", .theirs = "embeddings.token_type_embeddings.weight"},
                                    {"norm_gain", "embeddings.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm_bias", "embeddings.LayerNorm.bias", VECTOR, 0, false},
                                    {0}};
static const name_t bert_block[] = {{"qkv", "attention.self.query.weight", PART, 0, false},
                                    {"qkv", "attention.self.key.weight", PART, 1, false},
                                    {"qkv", "attention.self.value.weight", PART, 2, false},
                                    {"attention_out", "attention.output.dense.weight", TRANSPOSED, 0, false},
                                    {"mlp_up", "intermediate.dense.weight", TRANSPOSED, 0, false},
                                    {"mlp_down", "output.dense.weight", TRANSPOSED, 0, false},
                                    {"qkv_bias", "attention.self.query.bias", PART_VECTOR, 0, false},
                                    {"qkv_bias", "attention.self.key.bias", PART_VECTOR, 1, false},
                                    {"qkv_bias", "attention.self.value.bias", PART_VECTOR, 2, false},
                                    {"attention_out_bias", "attention.output.dense.bias", VECTOR, 0, false},
                                    {"mlp_up_bias", "intermediate.dense.bias", VECTOR, 0, false},
                                    {"mlp_down_bias", "output.dense.bias", VECTOR, 0, false},
                                    {"norm1_gain", "attention.output.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm1_bias", "attention.output.LayerNorm.bias", VECTOR, 0, false},
                                    {"norm2_gain", "output.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm2_bias", "output.LayerNorm.bias", VECTOR, 0, false},
                                    {0}};
static const name_t bert_language_head[] = {{"dense", "lm_head.dense.weight", TRANSPOSED, 0, true},
                                            {"dense_bias", "lm_head.dense.bias", VECTOR, 0, true},
                                            {"norm_gain", "lm_head.layer_norm.weight", VECTOR, 0, true},
                                            {"norm_bias", "lm_head.layer_norm.bias", VECTOR, 0, true},
                                            {"output", "lm_head.decoder.weight", TRANSPOSED, 0, true},
                                            {"output_bias", "lm_head.bias", VECTOR, 0, true},
                                            {0}};
static const name_t bert_class_head[] = {{"dense", "classifier.dense.weight", TRANSPOSED, 0, true},
                                         {"dense_bias", "classifier.dense.bias", VECTOR, 0, true},
                                         {"output", "classifier.out_proj.weight", TRANSPOSED, 0, true},
                                         {"output_bias", "classifier.out_proj.bias", VECTOR, 0, true},
                                         {0}};

static const struct {
    const char *prefix, *block; /* block: before a block's number */
    const name_t *names[3];     /* by lspo_stage_kind_t           */
} families[] = {
    [LSPO_FAMILY_GPT] = {"transformer.", "h.", {gpt_embed, gpt_block, gpt_head}},
    [LSPO_FAMILY_LLAMA] = {"model.", "layers.", {llama_embed, llama_block, llama_head}},
    [LSPO_FAMILY_BERT] = {"roberta.", "encoder.layer.", {bert_embed, bert_block, bert_language_head}},
};

/* Tensors that checkpoints carry and that are no weights of the model: masks and tables that are computed, the other
 * name of a tied weight, heads of another task. */
static const char *const ignored_endings[] = {
    ".attn.bias",          ".attn.masked_bias", "rotary_emb.inv_freq",    "position_ids",
    "pooler.dense.weight", "pooler.dense.bias", "lm_head.decoder.weight", "lm_head.decoder.bias"};

static lspo_hf_piece_t make_piece(const lspo_tensor_t *tensor, const name_t *name)
{
    uint64_t rows = tensor->rows, cols = tensor->cols;
    lspo_hf_piece_t piece = {.offset_elements = tensor->offset_elements};
    if (name->layout == PART || name->layout == PART_VECTOR) {
        cols /= 3;
        piece.offset_elements += name->part * cols;
    }
    if (name->layout == VECTOR || name->layout == PART_VECTOR) {
        piece.rank = 1;
        piece.shape[0] = cols;
        piece.col_stride = 1;
    } else {
        bool turned = name->layout != AS_IS;
        piece.rank = 2;
        piece.shape[0] = turned ? cols : rows;
        piece.shape[1] = turned ? rows : cols;
        piece.row_stride = turned ? 1 : tensor->cols;
        piece.col_stride = turned ? tensor->cols : 1;
    }
    return piece;
}

uint32_t lspo_hf_pieces(const lspo_model_t *model, const char *prefix, uint32_t stage, lspo_hf_piece_t *pieces)
{
    lspo_stage_t shape;
    uint32_t count = 0;
    lspo_model_stage(model, stage, &shape);
    const name_t *names = families[model->family].names[shape.kind];
    if (shape.kind == LSPO_STAGE_HEAD && model->class_count > 0)
        names = bert_class_head;
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        for (const name_t *name = names; name->ours; name++) {
            if (strcmp(name->ours, shape.tensors[i].name) != 0)
                continue;
            pieces[count] = make_piece(&shape.tensors[i], name);
            char block[32] = "";
            if (shape.kind == LSPO_STAGE_BLOCK)
                snprintf(block, sizeof block, "%s%" PRIu32 ".", families[model->family].block, stage - 1);
            snprintf(pieces[count].name, LSPO_HF_NAME_BYTES, "%s%s%s", name->outside ? "" : prefix, block,
                     name->theirs);
            count++;
        }
    }
    return count;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), ending_length = strlen(ending);
    return length >= ending_length && strcmp(text + length - ending_length, ending) == 0;
}

/* A base model that becomes a classifier leaves its language head behind. */
bool lspo_hf_is_ignored(const lspo_model_t *model, const char *name)
{
    for (size_t i = 0; i < sizeof ignored_endings / sizeof ignored_endings[0]; i++)
        if (ends_with(name, ignored_endings[i]))
            return true;
    if (model->class_count > 0 && strncmp(name, "lm_head.", 8) == 0)
        return true;
    if (model->class_count == 0 && strncmp(name, "classifier.", 11) == 0)
        return true;
    return model->tied_head && strcmp(name, "lm_head.weight") == 0;
}

const char *lspo_hf_prefix(const lspo_model_t *model)
{
    return families[model->family].prefix;
}

const char *lspo_hf_anchor(const lspo_model_t *model)
{
    return families[model->family].names[LSPO_STAGE_EMBED][0].theirs;
}
