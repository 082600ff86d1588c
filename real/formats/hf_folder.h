/* hf_folder.h - explain why a folder cannot be loaded as a model, or not be saved to, and what to do. */
#ifndef LSPO_REAL_FORMATS_HF_FOLDER_H
#define LSPO_REAL_FORMATS_HF_FOLDER_H

#include "base/status.h"

/* The error for a folder without config.json or without model.safetensors: says what it contains instead (an adapter,
 * pytorch_model.bin, a .gguf file, ...) and how to merge or convert it, or which of them is a broken link.  Always
 * LSPO_ERR_INPUT. */
lspo_status_t lspo_hf_folder_refuse(const char *folder);

/* Can a model be saved to the existing `folder` without keeping parts of another one there?  LSPO_ERR_INPUT if it has
 * files of a tokenizer, settings or weights that saving would not replace; the message names one.  Saving replaces
 * model.safetensors, and the companions (lspo_tokenizer_is_companion()) that the model's own folder `origin` has, too;
 * NULL: the model has no folder. */
lspo_status_t lspo_hf_folder_check_save(const char *folder, const char *origin);

#endif
