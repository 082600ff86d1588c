/* regex_scan.h - the scanner for a pattern in Oniguruma's syntax: characters and named sets. */
#ifndef LSPO_REAL_TOKENIZER_REGEX_SCAN_H
#define LSPO_REAL_TOKENIZER_REGEX_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_REGEX_DEPTH_MAX = 32, LSPO_REGEX_NAME_BYTES = 40 };

typedef struct {
    const char *at; /* the rest of the pattern */
    const char *why;
    bool caseless[LSPO_REGEX_DEPTH_MAX + 1]; /* by depth of groups */
    uint32_t depth, class_depth;
    uint32_t last;          /* the previous letter if caseless; 0: none */
    unsigned caseless_sets; /* caseless named sets so far */
} lspo_regex_parser_t;

/* LSPO_ERR_INPUT; `why` is kept for the message. */
lspo_status_t lspo_regex_fail(lspo_regex_parser_t *p, const char *why);

/* Read \p{...}, \w and the like after the backslash; *found is false if it is none of them. */
lspo_status_t lspo_regex_take_set(lspo_regex_parser_t *p, char name[LSPO_REGEX_NAME_BYTES], bool *negative,
                                  bool *found);
/* Read an escaped character that is not a set, after the backslash. */
lspo_status_t lspo_regex_take_escaped(lspo_regex_parser_t *p, bool in_class, uint32_t *code_out);
/* Read a character that is not escaped. */
uint32_t lspo_regex_take_plain(lspo_regex_parser_t *p);

#endif
