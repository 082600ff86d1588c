/* hf_names.c - the names and layouts of a family's tensors in Hugging Face's files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "real/formats/hf_family.h"
#include "real/formats/hf_model_state.h"

/* Tensors of checkpoints that are not weights of the model: masks and tables that are computed, the second name of a
 * tied weight, heads of other tasks. */
static const char *const ignored_endings[] = {
    ".attn.bias",          ".attn.masked_bias", "rotary_emb.inv_freq",    "position_ids",
    "pooler.dense.weight", "pooler.dense.bias", "lm_head.decoder.weight", "lm_head.decoder.bias"};

static lspo_hf_piece_t make_piece(const lspo_tensor_t *tensor, const lspo_hf_tensor_name_t *name)
{
    uint64_t rows = tensor->rows, cols = tensor->cols;
    lspo_hf_piece_t piece = {.offset_elements = tensor->offset_elements};
    if (name->layout == LSPO_HF_PART || name->layout == LSPO_HF_PART_VECTOR) {
        cols /= 3;
        piece.offset_elements += name->part * cols;
    }
    if (name->layout == LSPO_HF_VECTOR || name->layout == LSPO_HF_PART_VECTOR) {
        piece.rank = 1;
        piece.shape[0] = cols;
        piece.col_stride = 1;
    } else {
        bool turned = name->layout != LSPO_HF_AS_IS;
        piece.rank = 2;
        piece.shape[0] = turned ? cols : rows;
        piece.shape[1] = turned ? rows : cols;
        piece.row_stride = turned ? 1 : tensor->cols;
        piece.col_stride = turned ? tensor->cols : 1;
    }
    return piece;
}

/* The names of one of our tensors, behind `head`; returns their number. */
static uint32_t add_pieces(const lspo_model_t *model, const lspo_tensor_t *tensor, const lspo_hf_tensor_name_t *name,
                           const char *head, lspo_hf_piece_t *pieces)
{
    const uint32_t count = name->layout == LSPO_HF_EXPERTS ? model->expert_count : 1;
    const char *number = strstr(name->theirs, "%u");
    for (uint32_t e = 0; e < count; e++) {
        lspo_tensor_t one = *tensor;
        one.rows /= count;
        one.offset_elements += (uint64_t)e * one.rows * one.cols;
        pieces[e] = make_piece(&one, name);
        if (number != NULL)
            snprintf(pieces[e].name, LSPO_HF_NAME_BYTES, "%s%.*s%" PRIu32 "%s", head, (int)(number - name->theirs),
                     name->theirs, e, number + 2);
        else
            snprintf(pieces[e].name, LSPO_HF_NAME_BYTES, "%s%s", head, name->theirs);
    }
    return count;
}

uint32_t lspo_hf_pieces(const lspo_model_t *model, const char *prefix, uint32_t stage, lspo_hf_piece_t *pieces)
{
    lspo_stage_t shape;
    uint32_t count = 0;
    lspo_model_stage(model, stage, &shape);
    const lspo_hf_family_t *family = lspo_hf_family(model->family);
    const lspo_hf_tensor_name_t *names = family->names[shape.kind];
    if (shape.kind == LSPO_STAGE_HEAD && model->class_count > 0)
        names = family->class_head;
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        for (const lspo_hf_tensor_name_t *name = names; name->ours; name++) {
            if (strcmp(name->ours, shape.tensors[i].name) != 0)
                continue;
            char head[64], block[32] = "";
            if (shape.kind == LSPO_STAGE_BLOCK)
                snprintf(block, sizeof block, "%s%" PRIu32 ".", family->block, stage - 1);
            snprintf(head, sizeof head, "%s%s", name->outside ? "" : prefix, block);
            count += add_pieces(model, &shape.tensors[i], name, head, pieces + count);
        }
    }
    return count;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), ending_length = strlen(ending);
    return length >= ending_length && strcmp(text + length - ending_length, ending) == 0;
}

/* A base model that becomes a classifier loses its language head, and one that gets a new head its old one. */
bool lspo_hf_is_ignored(const lspo_model_t *model, bool has_head, const char *name)
{
    for (size_t i = 0; i < sizeof ignored_endings / sizeof ignored_endings[0]; i++)
        if (ends_with(name, ignored_endings[i]))
            return true;
    if (model->class_count > 0 && strncmp(name, "lm_head.", 8) == 0)
        return true;
    if ((model->class_count == 0 || !has_head) && strncmp(name, "classifier.", 11) == 0)
        return true;
    return model->tied_head && strcmp(name, "lm_head.weight") == 0;
}

const char *lspo_hf_prefix(const lspo_model_t *model)
{
    return lspo_hf_family(model->family)->prefix;
}

const char *lspo_hf_anchor(const lspo_model_t *model)
{
    return lspo_hf_family(model->family)->names[LSPO_STAGE_EMBED][0].theirs;
}
