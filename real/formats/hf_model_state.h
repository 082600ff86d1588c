/* hf_model_state.h - the internals of a loaded model folder; shared by hf_model.c (loading), hf_names.c (names and
 * places of tensors) and hf_save.c. */
#ifndef LSPO_REAL_FORMATS_HF_MODEL_STATE_H
#define LSPO_REAL_FORMATS_HF_MODEL_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/model.h"
#include "real/formats/hf_int4.h"
#include "real/formats/hf_model.h"
#include "real/formats/hf_tensors.h"
#include "real/formats/safetensors.h"

enum { LSPO_HF_NAME_BYTES = 128, LSPO_HF_EXPERTS_MAX = 64, LSPO_HF_PIECES_MAX = 32 + 3 * LSPO_HF_EXPERTS_MAX };

struct lspo_hf_model {
    lspo_model_t shape;
    json_t *config;
    char *folder;
    lspo_safetensors_t *weights;
    lspo_hf_tensors_t *tensors;   /* of `weights`, without wrappers */
    const char *prefix;           /* static: precedes the names of the base model */
    bool has_head, classes_asked; /* the head may have other classes than those asked for: then it is not used */
    lspo_hf_int4_t int4;          /* of the linear tensors of blocks */
};

/* One tensor of a file, and its place in a stage array. */
typedef struct {
    char name[LSPO_HF_NAME_BYTES];
    uint32_t rank;
    uint64_t shape[2];
    uint64_t offset_elements;
    size_t row_stride, col_stride;
} lspo_hf_piece_t;

/* The prefix of the names of a family's base model, and the end of a tensor name that every model of the family has. */
const char *lspo_hf_prefix(const lspo_model_t *model);
const char *lspo_hf_anchor(const lspo_model_t *model);

/* The tensors of a stage under their names in a file, at most LSPO_HF_PIECES_MAX; returns their number. */
uint32_t lspo_hf_pieces(const lspo_model_t *model, const char *prefix, uint32_t stage, lspo_hf_piece_t *pieces);

/* Whether a tensor of a file may be ignored: a mask or table that is computed, the second name of a tied weight, or the
 * head of another task. */
bool lspo_hf_is_ignored(const lspo_model_t *model, bool has_head, const char *name);

/* "FOLDER/NAME", which the caller frees; NULL if out of memory. */
char *lspo_hf_path(const char *folder, const char *name);

#endif
