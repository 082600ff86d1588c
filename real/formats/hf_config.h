/* hf_config.h - config.json of a Hugging Face model and our description of the same model. */
#ifndef LSPO_REAL_FORMATS_HF_CONFIG_H
#define LSPO_REAL_FORMATS_HF_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "plan/model.h"
#include "base/status.h"

/* Shapes from config.json as read from `path`; class_count as in lspo_hf_model_open().  What would change the
 * mathematics and is not supported is refused by name.  Leaves model_out's name and source empty. */
lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out);

/* A config.json for a model, the caller's to json_decref(); NULL when memory runs out. */
json_t *lspo_hf_config_make(const lspo_model_t *model);

/* Make a RoBERTa's config one of a classifier with `class_count` labels; -1 when memory runs out. */
int lspo_hf_config_set_classes(json_t *config, uint32_t class_count);

#endif
