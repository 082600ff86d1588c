/* tokenizer_state.h - what a tokenizer consists of; shared by tokenizer.c (text to ids and back) and tokenizer_load.c
 * (files to this). */
#ifndef LSPO_REAL_TOKENIZER_STATE_H
#define LSPO_REAL_TOKENIZER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/status.h"
#include "real/tokenizer.h"
#include "real/word_split.h"

#define LSPO_METASPACE "\xe2\x96\x81" /* U+2581, which stands for a blank in Llama's vocabulary */

enum {
    LSPO_TOKENIZER_STEPS_MAX = 8,
    LSPO_TOKENIZER_TEMPLATE_MAX = 8,
    LSPO_CACHE_SLOTS = 1 << 14,
    LSPO_CACHE_WORD_BYTES = 28,
    LSPO_CACHE_IDS = 8
};

typedef struct {
    char *text; /* owned; NULL: no such id */
    uint32_t bytes;
    bool special;
} lspo_token_t;

typedef struct {
    uint32_t left, right, joined;
} lspo_merge_t;

/* A token that is cut out of the text before anything else. */
typedef struct {
    char *text; /* owned; as it is searched: normalised when `normalized` */
    uint32_t bytes, id;
    bool normalized, strip_left, strip_right;
} lspo_added_token_t;

/* One step of a normaliser: prepend `to` to what is not empty, or replace every `from`. */
typedef struct {
    char *from; /* owned; NULL: prepend */
    char *to;   /* owned               */
} lspo_normal_step_t;

typedef enum { LSPO_PREPEND_NEVER, LSPO_PREPEND_FIRST, LSPO_PREPEND_ALWAYS } lspo_prepend_t;

typedef struct {
    uint8_t bytes, count;
    char word[LSPO_CACHE_WORD_BYTES];
    uint32_t ids[LSPO_CACHE_IDS];
} lspo_cache_slot_t;

struct lspo_tokenizer {
    lspo_token_t *tokens; /* by id */
    uint32_t token_count;
    uint32_t *token_slots; /* hash of texts: id + 1, 0 empty */
    uint32_t token_slot_mask;
    bool *added_only; /* by id: not in the model's own vocabulary */

    lspo_merge_t *merges; /* by rank */
    uint32_t merge_count;
    uint32_t *merge_slots; /* hash of pairs: rank + 1, 0 empty */
    uint32_t merge_slot_mask;

    lspo_added_token_t *added; /* longest first */
    uint32_t added_count;
    bool added_starts[2][256]; /* first bytes of those that are searched in the raw and in the normalised text */

    lspo_normal_step_t steps[LSPO_TOKENIZER_STEPS_MAX];
    uint32_t step_count;

    bool byte_level; /* the vocabulary spells bytes as GPT-2 does */
    bool add_prefix_space;
    lspo_word_split_t split;
    bool metaspace; /* blanks become U+2581 after normalising */
    bool metaspace_split;
    lspo_prepend_t metaspace_prepend;

    uint32_t unknown; /* id or LSPO_TOKEN_NONE */
    bool fuse_unknown, byte_fallback, ignore_merges;
    uint32_t byte_ids[256];       /* of <0x00>..<0xFF>; all or, without byte fallback, none used    */
    uint32_t byte_level_ids[256]; /* of the character that stands for a byte                       */
    bool splits_at_metaspace;     /* no merge joins across the beginning of a run of U+2581          */

    uint32_t before[LSPO_TOKENIZER_TEMPLATE_MAX], after[LSPO_TOKENIZER_TEMPLATE_MAX];
    uint32_t before_count, after_count;

    bool decode_replaces, decode_bytes, decode_metaspace, decode_spaces;
    uint32_t decode_strip; /* blanks taken off the front */

    uint32_t begin, end, pad;
    lspo_cache_slot_t *cache;
};

/* Bytes that grow; text is NUL-terminated once something was appended. */
typedef struct {
    char *text;
    size_t bytes, capacity;
} lspo_buffer_t;

lspo_status_t lspo_buffer_append(lspo_buffer_t *buffer, const char *text, size_t bytes);

/* The id of a text that belongs to the model's own vocabulary or, with `any`, to the added tokens. */
uint32_t lspo_tokenizer_lookup(const lspo_tokenizer_t *t, const char *text, size_t bytes, bool any);
/* Rank of the merge of two ids, UINT32_MAX when there is none. */
uint32_t lspo_tokenizer_rank(const lspo_tokenizer_t *t, uint32_t left, uint32_t right);
uint64_t lspo_tokenizer_hash(const char *text, size_t bytes);
uint32_t lspo_tokenizer_pair_slot(const lspo_tokenizer_t *t, uint32_t left, uint32_t right);

/* Append `text` as the normaliser leaves it. */
lspo_status_t lspo_tokenizer_normalize(const lspo_tokenizer_t *t, const char *text, size_t bytes, lspo_buffer_t *out);

/* The character that stands for a byte (GPT-2: printable ones for themselves, the others from U+0100 up), as UTF-8 of
 * 1 or 2 bytes; and back: the byte that a code point stands for, -1 when none. */
size_t lspo_byte_character(uint8_t byte, char out[2]);
int lspo_character_byte(uint32_t code);

#endif
