/* hf_model.h - a model in a Hugging Face folder: config.json, safetensors, tokenizer files.
 *
 * GPT-2, Llama and RoBERTa.  config.json gives the shapes; fields that would change the mathematics and are not
 * supported (rope_scaling, attention_bias, other activations, ...) are refused by name.  Dropout is not applied.
 * Tensors are found by Hugging Face's names, with or without the base prefix ("transformer.", "model.", "roberta."),
 * and land in stage arrays as lspo_model_stage() lays them out: GPT-2's Conv1D weights are m x n as ours; nn.Linear
 * weights (outputs x inputs) are transposed; RoBERTa's query, key and value are column blocks of `qkv`.
 *
 * A folder that is saved from a loaded one keeps its tensor names, each tensor's type, its config.json and its
 * tokenizer files; one that is saved from a preset gets a config.json of its own.
 */
#ifndef LSPO_REAL_FORMATS_HF_MODEL_H
#define LSPO_REAL_FORMATS_HF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "base/status.h"
#include "real/formats/safetensors.h"

typedef struct lspo_hf_model lspo_hf_model_t;

/* Whether `folder` has a config.json. */
bool lspo_hf_model_exists(const char *folder);

/* Reads config.json and the headers of the weights; every tensor that the model needs is there in the right shape, and
 * none is there that it would ignore without cause.  class_count > 0 asks for a RoBERTa classifier with that many
 * labels whatever config.json says; 0: what it says. */
lspo_status_t lspo_hf_model_open(const char *folder, uint32_t class_count, lspo_hf_model_t **model_out);
void lspo_hf_model_close(lspo_hf_model_t *model);

/* Shapes; the name is the folder's last part. */
const lspo_model_t *lspo_hf_model_shape(const lspo_hf_model_t *model);

/* False for the head of a classifier whose folder has none yet: the caller initialises it. */
bool lspo_hf_model_has_stage(const lspo_hf_model_t *model, uint32_t stage);

/* Fill a stage array (element_count of lspo_model_stage()).  Not for a stage that is not there: LSPO_ERR_INPUT. */
lspo_status_t lspo_hf_model_read(const lspo_hf_model_t *model, uint32_t stage, float *weights);

/* Write model.safetensors, config.json and the tokenizer files into `folder`, which is made when missing; each file
 * whole or not at all, the weights last.  stages[i]: the weights of stage i.  `origin` NULL: tensors are F32, and
 * config.json is written from `shape`, else it must have the same shapes. */
lspo_status_t lspo_hf_model_save(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                 const char *folder);

#endif
