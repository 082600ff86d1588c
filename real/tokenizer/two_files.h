/* two_files.h - vocab.json and merges.txt, as the tokenizer.json that they are short for.
 *
 * Which kind they are says tokenizer_class, in tokenizer_config.json or config.json, else config.json's model_type:
 * GPT-2's has "<|endoftext|>" for begin, end and unknown, RoBERTa's has <s>, </s>, <unk>, <pad>, <mask>, and puts a
 * text between <s> and </s>.  Only these are special, where the config names no others: "<s>" in a GPT-2's vocabulary
 * is text.
 */
#ifndef LSPO_REAL_TOKENIZER_TWO_FILES_H
#define LSPO_REAL_TOKENIZER_TWO_FILES_H

#include <jansson.h>

#include "base/status.h"

/* `config` gets the roles of the kind where it says nothing of them.  The object is the caller's to json_decref().
 * LSPO_ERR_INPUT for another kind, or files that are broken. */
lspo_status_t lspo_two_files_read(const char *folder, json_t *config, json_t **object_out);

#endif
