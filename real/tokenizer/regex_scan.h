/* regex_scan.h - a pattern of Oniguruma's while it is read, and the smallest things in it: characters and named
 * sets. */
#ifndef LSPO_REAL_TOKENIZER_REGEX_SCAN_H
#define LSPO_REAL_TOKENIZER_REGEX_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_REGEX_DEPTH_MAX = 32, LSPO_REGEX_NAME_BYTES = 40 };

typedef struct {
    const char *at; /* what is left of the pattern */
    const char *why;
    bool caseless[LSPO_REGEX_DEPTH_MAX + 1]; /* by depth of groups */
    uint32_t depth, class_depth;
    uint32_t last;          /* the letter before, where case does not count; 0: none */
    unsigned caseless_sets; /* named ones so far, without regard to case */
} lspo_regex_parser_t;

/* LSPO_ERR_INPUT; `why` is kept for the message. */
lspo_status_t lspo_regex_fail(lspo_regex_parser_t *p, const char *why);

/* \p{...}, \w and the like behind the backslash; *found says whether it is one of them. */
lspo_status_t lspo_regex_take_set(lspo_regex_parser_t *p, char name[LSPO_REGEX_NAME_BYTES], bool *negative,
                                  bool *found);
/* The character behind a backslash that is no set. */
lspo_status_t lspo_regex_take_escaped(lspo_regex_parser_t *p, bool in_class, uint32_t *code_out);
/* A character that stands for itself. */
uint32_t lspo_regex_take_plain(lspo_regex_parser_t *p);

#endif
