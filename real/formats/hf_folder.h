/* hf_folder.h - what a folder holds that lspo cannot load as a model, said so that the user knows what to do. */
#ifndef LSPO_REAL_FORMATS_HF_FOLDER_H
#define LSPO_REAL_FORMATS_HF_FOLDER_H

#include "base/status.h"

/* The error for a folder without config.json, or without model.safetensors: names what is there instead (an adapter,
 * pytorch_model.bin, a .gguf file, ...) and how to merge or convert it.  Always LSPO_ERR_INPUT. */
lspo_status_t lspo_hf_folder_refuse(const char *folder);

#endif
