/* hf_model.h - a model in a Hugging Face folder: config.json, safetensors, tokenizer files.
 *
 * GPT-2, Llama (Mistral, Qwen2, Qwen3; Mixtral, only to generate) and RoBERTa.  config.json gives the shapes;
 * unsupported keys that change the mathematics (other activations, other kinds of rope_scaling, ...) are refused by
 * name.  Dropout is not applied.
 * Tensors are found by Hugging Face's names, with or without the base prefix ("transformer.", "model.", "roberta."),
 * and stored in stage arrays in the layout of lspo_model_stage(): GPT-2's Conv1D weights are m x n like ours; nn.Linear
 * weights (outputs x inputs) are transposed; RoBERTa's query, key and value are column blocks of `qkv`.
 *
 * A model that was loaded from a folder is saved with the same tensor names and types, config.json and tokenizer files;
 * a model from a preset is saved with a new config.json.
 */
#ifndef LSPO_REAL_FORMATS_HF_MODEL_H
#define LSPO_REAL_FORMATS_HF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/int4.h"
#include "kernels/number.h"
#include "plan/model.h"
#include "real/formats/safetensors.h"

typedef struct lspo_hf_model lspo_hf_model_t;

/* Whether `folder` has a config.json. */
bool lspo_hf_model_exists(const char *folder);

/* Whether `path` is a regular file that begins like a config.json: with "{". */
bool lspo_hf_is_config(const char *path);

/* The shapes of a config.json, or of a folder that has one, for predictions; no weights are needed.  If a folder has
 * weights that can be trained, they are checked as by lspo_hf_model_open().  The name is that of the folder or file. */
lspo_status_t lspo_hf_shapes_read(const char *path, lspo_model_t *model_out);

/* Reads config.json and the headers of the weights, and checks that every tensor that the model needs is present in the
 * right shape and that there are no unknown tensors. class_count > 0 requests a RoBERTa classifier with that many
 * labels regardless of config.json, and a new head if the folder's is missing or has another number; 0: as config.json
 * says. */
lspo_status_t lspo_hf_model_open(const char *folder, uint32_t class_count, lspo_hf_model_t **model_out);
/* For texts: also a folder whose blocks have linear weights in 4 bits (hf_int4.h).  Not for reading a stage in another
 * format, nor for saving. */
lspo_status_t lspo_hf_model_open_text(const char *folder, lspo_hf_model_t **model_out);
void lspo_hf_model_close(lspo_hf_model_t *model);

/* Shapes; the name is the folder's last part. */
const lspo_model_t *lspo_hf_model_shape(const lspo_hf_model_t *model);

/* LSPO_ERR_INPUT, with the first field that differs, unless `shape` is that of the model, but for its name.  Only with
 * this shape do the functions below fill the stages that lspo_model_stage() describes. */
lspo_status_t lspo_hf_model_check_shape(const lspo_hf_model_t *model, const lspo_model_t *shape);

/* The 16-bit format in which all tensors of the model are stored, or fp32. */
lspo_number_t lspo_hf_model_number(const lspo_hf_model_t *model);

/* The form of linear weights of blocks in 4 bits; off: there are none. */
const lspo_int4_form_t *lspo_hf_model_int4(const lspo_hf_model_t *model);

/* False for the head of a classifier if the folder has none yet: the caller then initialises it. */
bool lspo_hf_model_has_stage(const lspo_hf_model_t *model, uint32_t stage);

/* Fill a stage array (element_count of lspo_model_stage()).  LSPO_ERR_INPUT for a stage that the folder lacks. */
lspo_status_t lspo_hf_model_read(const lspo_hf_model_t *model, uint32_t stage, float *weights);
/* The same in any format, without more memory than a part of a tensor needs. */
lspo_status_t lspo_hf_model_read_as(const lspo_hf_model_t *model, uint32_t stage, lspo_number_t number, void *weights);

/* The same with linear tensors of a block in 4 bits (kernels/int4.h), one behind the other, and then the rest. */
lspo_status_t lspo_hf_model_read_int4(const lspo_hf_model_t *model, uint32_t stage, lspo_number_t number,
                                      void *weights);

/* Can a model that was not loaded from a folder be saved?  LSPO_ERR_INPUT with what lspo does not compute of it, or
 * with what no config.json can say. */
lspo_status_t lspo_hf_model_check_made(const lspo_model_t *shape);

/* Write model.safetensors, config.json and the tokenizer files into `folder`, which is created if needed; each file is
 * written completely or not at all, the weights last. stages[i]: the weights of stage i.  origin: the model that was
 * loaded, of the same shapes, or NULL: then tensors are F32, and config.json is made from `shape`. */
lspo_status_t lspo_hf_model_save(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                 const char *folder);

#endif
