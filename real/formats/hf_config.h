/* hf_config.h - convert between config.json of a Hugging Face model and lspo_model_t. */
#ifndef LSPO_REAL_FORMATS_HF_CONFIG_H
#define LSPO_REAL_FORMATS_HF_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "real/formats/hf_int4.h"

/* Read the shapes from config.json, which was read from `path`; class_count as in lspo_hf_model_open().  Keys that
 * change the mathematics in an unsupported way are refused by name.  Leaves model_out's name and source empty. */
lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out);

/* The same, and whether linear weights of blocks are in 4 bits, which lspo_hf_config_parse() refuses. */
lspo_status_t lspo_hf_config_parse_int4(const json_t *config, const char *path, lspo_model_t *model_out,
                                        lspo_hf_int4_t *int4_out);

/* The same for predictions: also of models that lspo cannot train.  Warns if it takes a part of the model only.
 * trains_out: whether lspo_hf_config_parse() takes it, too. */
lspo_status_t lspo_hf_config_shapes(const json_t *config, const char *path, lspo_model_t *model_out, bool *trains_out);

/* Make a config.json for a model; the caller calls json_decref().  NULL if out of memory. */
json_t *lspo_hf_config_make(const lspo_model_t *model);

/* Change the config of a RoBERTa into that of a classifier with `class_count` labels; -1 if out of memory. */
int lspo_hf_config_set_classes(json_t *config, uint32_t class_count);

#endif
