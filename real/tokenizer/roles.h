/* roles.h - the tokens that have a role ("bos_token", "pad_token", ...) or are special otherwise, as
 * tokenizer_config.json and special_tokens_map.json name them.
 *
 * As in transformers, each of them is cut out of a text, whether or not tokenizer.json lists it among its added tokens,
 * and one that the vocabulary lacks gets the next free id. */
#ifndef LSPO_REAL_TOKENIZER_ROLES_H
#define LSPO_REAL_TOKENIZER_ROLES_H

#include <jansson.h>

#include "base/status.h"

/* Append to `added`, a list as tokenizer.json's added_tokens, what `config` names; `vocabulary` is {"token": id} or, of
 * Unigram, [["token", score]].  `path` for messages.  LSPO_ERR_INPUT where the config gives a token another id than the
 * vocabulary. */
lspo_status_t lspo_roles_add(const char *path, const json_t *vocabulary, const json_t *config, json_t *added);

/* Append a token with flags as in added_tokens (NULL: special, searched in the raw text), unless it is there. */
lspo_status_t lspo_roles_add_token(const char *path, const json_t *vocabulary, const char *text, const json_t *flags,
                                   json_t *added);

#endif
