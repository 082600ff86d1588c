/* hf_model_state.h - a loaded folder, and where its tensors lie; shared by hf_model.c (loading), hf_names.c (where
 * tensors lie) and hf_save.c. */
#ifndef LSPO_REAL_FORMATS_HF_MODEL_STATE_H
#define LSPO_REAL_FORMATS_HF_MODEL_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/model.h"
#include "real/formats/hf_model.h"
#include "real/formats/hf_tensors.h"
#include "real/formats/safetensors.h"

enum { LSPO_HF_NAME_BYTES = 128, LSPO_HF_PIECES_MAX = 32 };

struct lspo_hf_model {
    lspo_model_t shape;
    json_t *config;
    char *folder;
    lspo_safetensors_t *weights;
    lspo_hf_tensors_t *tensors; /* of `weights`, without wrappers */
    const char *prefix;         /* static: what stands before the names of the base model */
    bool has_head;
};

/* One tensor of a file, and where it lies in a stage array. */
typedef struct {
    char name[LSPO_HF_NAME_BYTES];
    uint32_t rank;
    uint64_t shape[2];
    uint64_t offset_elements;
    size_t row_stride, col_stride;
} lspo_hf_piece_t;

/* What stands before the names of a family's base model, and the end of a name that each of its models has. */
const char *lspo_hf_prefix(const lspo_model_t *model);
const char *lspo_hf_anchor(const lspo_model_t *model);

/* The tensors of a stage under their names in a file, LSPO_HF_PIECES_MAX at most; their number. */
uint32_t lspo_hf_pieces(const lspo_model_t *model, const char *prefix, uint32_t stage, lspo_hf_piece_t *pieces);

/* Whether a tensor may be left out of the model: a mask or table that is computed, the other name of a tied weight, the
 * head of another task. */
bool lspo_hf_is_ignored(const lspo_model_t *model, const char *name);

/* "FOLDER/NAME", the caller's to free; NULL when memory runs out. */
char *lspo_hf_path(const char *folder, const char *name);

#endif
