/* files.h - the tokenizer files of a Hugging Face folder: which ones lspo can read, which it cannot, and which are only
 * copied to an exported model. */
#ifndef LSPO_REAL_TOKENIZER_FILES_H
#define LSPO_REAL_TOKENIZER_FILES_H

#include <stdbool.h>

#include "base/status.h"

/* Whether `folder` has a tokenizer that lspo_tokenizer_open() reads.  LSPO_ERR_INPUT if the folder has a tokenizer in a
 * form that it cannot read (tokenizer.model, vocab.json alone, tokenizer_config.json without a vocabulary, ...); the
 * message names the file and says how to convert it. */
lspo_status_t lspo_tokenizer_find(const char *folder, bool *found_out);

/* Whether a file or folder of this name is copied with a model: all tokenizer files, readable or not, chat templates,
 * and generation settings. */
bool lspo_tokenizer_is_companion(const char *name);

#endif
