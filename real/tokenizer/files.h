/* files.h - the files that make up a tokenizer in a Hugging Face folder: which of them lspo reads, which it
 * cannot read, and which only travel with an exported model. */
#ifndef LSPO_REAL_TOKENIZER_FILES_H
#define LSPO_REAL_TOKENIZER_FILES_H

#include <stdbool.h>

#include "base/status.h"

/* Whether `folder` has a tokenizer that lspo_tokenizer_open() reads.  LSPO_ERR_INPUT when there are signs of a
 * tokenizer that it cannot read (tokenizer.model, vocab.json alone, tokenizer_config.json without a vocabulary, ...);
 * the message names the file and says how to convert it. */
lspo_status_t lspo_tokenizer_find(const char *folder, bool *found_out);

/* Whether a file (or folder) of this name belongs beside a model's weights: all tokenizer files, readable or not, chat
 * templates, and the settings of generation. */
bool lspo_tokenizer_is_companion(const char *name);

#endif
