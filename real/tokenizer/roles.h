/* roles.h - the tokens that have a role ("bos_token", "pad_token", ...) or are otherwise special, by
 * tokenizer_config.json and special_tokens_map.json.
 *
 * As in transformers, each of them is matched in a text before anything else, even if tokenizer.json does not list it
 * among its added tokens, and one that the vocabulary lacks gets the next free id. */
#ifndef LSPO_REAL_TOKENIZER_ROLES_H
#define LSPO_REAL_TOKENIZER_ROLES_H

#include <jansson.h>

#include "base/status.h"

/* Append the tokens that `config` names to `added`, a list like added_tokens of tokenizer.json; `vocabulary` is
 * {"token": id} or, for Unigram, [["token", score]].  `path` is used in messages.  LSPO_ERR_INPUT if the config gives a
 * token an id that differs from the vocabulary's. */
lspo_status_t lspo_roles_add(const char *path, const json_t *vocabulary, const json_t *config, json_t *added);

/* Append a token with flags as in added_tokens (NULL: special, matched in the raw text), unless the list has it. */
lspo_status_t lspo_roles_add_token(const char *path, const json_t *vocabulary, const char *text, const json_t *flags,
                                   json_t *added);

#endif
