/* hf_folder.h - explain why a folder cannot be loaded as a model, and what to do. */
#ifndef LSPO_REAL_FORMATS_HF_FOLDER_H
#define LSPO_REAL_FORMATS_HF_FOLDER_H

#include "base/status.h"

/* The error for a folder without config.json or without model.safetensors: says what it contains instead (an adapter,
 * pytorch_model.bin, a .gguf file, ...) and how to merge or convert it.  Always LSPO_ERR_INPUT. */
lspo_status_t lspo_hf_folder_refuse(const char *folder);

#endif
