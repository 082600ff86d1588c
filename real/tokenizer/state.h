/* state.h - the internals of a tokenizer; shared by tokenizer.c (text to ids), bpe.c and pieces.c (word to ids),
 * decode.c (ids to text), load.c (vocabulary and model of tokenizer.json) and open.c (loads a folder). */
#ifndef LSPO_REAL_TOKENIZER_STATE_H
#define LSPO_REAL_TOKENIZER_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"
#include "real/tokenizer/normal.h"
#include "real/tokenizer/split.h"
#include "real/tokenizer/tokenizer.h"

enum {
    LSPO_TOKENIZER_TEMPLATE_MAX = 8,
    LSPO_CACHE_SLOTS = 1 << 14,
    LSPO_CACHE_WORD_BYTES = 28,
    LSPO_CACHE_IDS = 8,
    LSPO_SHORT_CHARACTERS = 0x800 /* below: 1 or 2 bytes of UTF-8 */
};

typedef enum {
    LSPO_TOKENIZER_BPE,
    LSPO_TOKENIZER_WORDPIECE,
    LSPO_TOKENIZER_UNIGRAM,
    LSPO_TOKENIZER_WORDLEVEL
} lspo_tokenizer_kind_t;

typedef struct {
    char *text; /* owned; NULL: no such id */
    uint32_t bytes;
    bool special;
} lspo_token_t;

typedef struct {
    uint32_t left, right, joined;
} lspo_merge_t;

/* A token that is matched in the text before anything else. */
typedef struct {
    char *text; /* owned; the text to match, normalised if `normalized` */
    uint32_t bytes, id;
    bool normalized, strip_left, strip_right, single_word;
    bool control; /* special, or reserved: not matched in plain parts of a text */
} lspo_added_token_t;

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

    lspo_added_token_t *added; /* longest first */
    uint32_t added_count;
    bool added_starts[2][256]; /* first bytes of those matched in raw and in normalised text */
    bool control_starts[256];  /* first bytes of control tokens, not normalised */

    lspo_normalizer_t *normalizer;
    lspo_splitter_t *splitter;

    lspo_tokenizer_kind_t kind;
    uint32_t unknown; /* id or LSPO_TOKEN_NONE */
    bool fuse_unknown, byte_fallback;
    uint32_t byte_ids[256]; /* of <0x00>..<0xFF>; unused without byte fallback */
    char *prefix;           /* owned; before each part of a word except the first ("##"); "": none */

    /* BPE */
    lspo_merge_t *merges; /* by rank */
    uint32_t merge_count;
    uint32_t *merge_slots; /* hash of pairs: rank + 1, 0 empty */
    uint32_t merge_slot_mask;
    bool ignore_merges;
    char *suffix;                              /* owned; after a word's last character ("</w>"); "": none */
    uint32_t short_ids[LSPO_SHORT_CHARACTERS]; /* of the first characters */
    bool splits_at_metaspace;                  /* no merge crosses the start of a run of U+2581 */

    uint32_t word_characters_max; /* WordPiece: longer words are unknown */

    /* Unigram: log probabilities by id; ids sorted by their texts, and the index in `sorted` at which each first byte
     * begins */
    double *scores, unknown_score;
    uint32_t *sorted, sorted_count, sorted_starts[257];

    uint32_t before[LSPO_TOKENIZER_TEMPLATE_MAX], after[LSPO_TOKENIZER_TEMPLATE_MAX];
    uint32_t before_count, after_count;
    uint32_t between[LSPO_TOKENIZER_TEMPLATE_MAX]; /* the texts of a pair */
    uint32_t between_count;
    bool pairs; /* a pair has the same before and after it as one text */

    bool byte_level, metaspace, metaspace_prepends; /* of the splitter */
    bool decode_replaces, decode_bytes, decode_metaspace, decode_spaces;
    uint32_t decode_strip;   /* blanks removed at the start */
    bool decode_unsupported; /* it can encode, but not decode */

    uint32_t begin, end, pad;
    lspo_cache_slot_t *cache;
};

typedef struct {
    uint32_t *ids; /* free() it */
    size_t count, capacity;
} lspo_ids_t;

lspo_status_t lspo_ids_append(lspo_ids_t *list, const uint32_t *ids, size_t count);

/* The id of a text in the model's own vocabulary or, with `any`, also among the added tokens. */
uint32_t lspo_tokenizer_lookup(const lspo_tokenizer_t *t, const char *text, size_t bytes, bool any);
uint64_t lspo_tokenizer_hash(const char *text, size_t bytes);
/* The slot of a pair in merge_slots, occupied or free. */
uint32_t lspo_tokenizer_pair_slot(const lspo_tokenizer_t *t, uint32_t left, uint32_t right);

/* Append the ids of one word, which is not empty. */
lspo_status_t lspo_bpe_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out);
lspo_status_t lspo_wordpiece_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out);
lspo_status_t lspo_wordlevel_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out);
lspo_status_t lspo_unigram_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out);
/* Whether splitting words before each run of U+2581 gives the same result. */
bool lspo_bpe_splits_at_metaspace(const lspo_tokenizer_t *t);

/* Load vocabulary and added tokens, then the model, of tokenizer.json; `path` is used in messages. */
lspo_status_t lspo_tokenizer_load_vocabulary(lspo_tokenizer_t *t, const char *path, const json_t *model,
                                             const json_t *added);
lspo_status_t lspo_tokenizer_load_model(lspo_tokenizer_t *t, const char *path, const json_t *model);
/* Read an id from a file and check that it is below the limit. */
lspo_status_t lspo_tokenizer_take_id(const char *path, const char *text, const json_t *value, uint32_t *id_out);

#endif
