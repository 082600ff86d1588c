/* two_files.h - convert vocab.json and merges.txt to the equivalent tokenizer.json.
 *
 * The kind is given by tokenizer_class in tokenizer_config.json or config.json, else by model_type in config.json.
 * GPT-2 has "<|endoftext|>" for begin, end and unknown.  RoBERTa has <s>, </s>, <unk>, <pad>, <mask>, and puts a text
 * between <s> and </s>.  Only these are special unless the config names others: "<s>" in GPT-2's vocabulary is text.
 */
#ifndef LSPO_REAL_TOKENIZER_TWO_FILES_H
#define LSPO_REAL_TOKENIZER_TWO_FILES_H

#include <jansson.h>

#include "base/status.h"

/* Adds the roles of the kind to `config` if it lacks them.  The caller calls json_decref() on the object.
 * LSPO_ERR_INPUT for another kind, or if a file is malformed. */
lspo_status_t lspo_two_files_read(const char *folder, json_t *config, json_t **object_out);

#endif
