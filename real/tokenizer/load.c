/* load.c - load vocabulary, added tokens and model of tokenizer.json. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/json.h"
#include "real/tokenizer/state.h"
#include "real/tokenizer/unicode.h"

/* Ids are array indices: an id far above the number of tokens is an error in the file, not a reason to allocate. */
enum { ID_MAX = 1 << 24, MERGES_MAX = 1 << 24 };
/* Unigram: an unknown character is this much less probable than the least probable piece (as a logarithm). */
static const double unknown_penalty = 10.0;

/* The part being read, for messages. */
typedef struct {
    lspo_tokenizer_t *t;
    const char *path;
} loader_t;

/* -- tokens -------------------------------------------------------------------------------------------------------- */

static uint32_t slots_for(uint32_t count)
{
    uint32_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

static void insert_token(lspo_tokenizer_t *t, uint32_t id)
{
    const lspo_token_t *token = &t->tokens[id];
    uint32_t slot = (uint32_t)lspo_tokenizer_hash(token->text, token->bytes) & t->token_slot_mask;
    while (t->token_slots[slot] != 0)
        slot = (slot + 1) & t->token_slot_mask;
    t->token_slots[slot] = id + 1;
}

lspo_status_t lspo_tokenizer_take_id(const char *path, const char *text, const json_t *value, uint32_t *id_out)
{
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= ID_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: token '%s': its id is not in 0..%d", path, text, ID_MAX - 1);
    *id_out = (uint32_t)id;
    return LSPO_OK;
}

static lspo_status_t set_token(const loader_t *l, uint32_t id, const char *text, size_t bytes)
{
    lspo_token_t *token = &l->t->tokens[id];
    if (token->text)
        return lspo_tokenizer_refuse(l->path, "tokens '%s' and '%s' have the same id %" PRIu32, token->text, text, id);
    token->text = malloc(bytes + 1);
    if (!token->text)
        return lspo_no_memory("%s", l->path);
    memcpy(token->text, text, bytes + 1);
    token->bytes = (uint32_t)bytes;
    insert_token(l->t, id);
    return LSPO_OK;
}

static lspo_status_t allocate_tokens(const loader_t *l, size_t total, size_t added, uint32_t highest)
{
    lspo_tokenizer_t *t = l->t;
    if (highest > 16 * total + 4096)
        return lspo_tokenizer_refuse(l->path, "%zu tokens have ids up to %" PRIu32 ", which is too large", total,
                                     highest);
    uint32_t slots = slots_for((uint32_t)total);
    t->tokens = calloc(highest + 1, sizeof *t->tokens);
    t->added_only = calloc(highest + 1, sizeof *t->added_only);
    t->token_slots = calloc(slots, sizeof *t->token_slots);
    t->added = calloc(added + 1, sizeof *t->added);
    t->cache = calloc(LSPO_CACHE_SLOTS, sizeof *t->cache);
    t->scores = calloc(highest + 1, sizeof *t->scores);
    if (!t->tokens || !t->added_only || !t->token_slots || !t->added || !t->cache || !t->scores)
        return lspo_no_memory("%s", l->path);
    t->token_count = highest + 1;
    t->token_slot_mask = slots - 1;
    return LSPO_OK;
}

/* Make room for all tokens of the vocabulary, which is {"token": id} or, for Unigram, [["token", score]], and for the
 * added ones. */
static lspo_status_t size_tokens(const loader_t *l, json_t *vocabulary, const json_t *added)
{
    const char *text;
    json_t *value;
    size_t index;
    uint32_t id = 0, highest = 0;
    const size_t own = json_is_array(vocabulary) ? json_array_size(vocabulary) : json_object_size(vocabulary);
    const size_t total = own + json_array_size(added);
    if (total == 0 || total > ID_MAX)
        return lspo_tokenizer_refuse(l->path, "a vocabulary of %zu tokens is not supported", total);
    if (json_is_array(vocabulary) && own > 0)
        highest = (uint32_t)own - 1;
    json_object_foreach(vocabulary, text, value)
    {
        lspo_status_t status = lspo_tokenizer_take_id(l->path, text, value, &id);
        if (status != LSPO_OK)
            return status;
        highest = id > highest ? id : highest;
    }
    json_array_foreach(added, index, value)
    {
        lspo_status_t status = lspo_tokenizer_take_id(l->path, "of added_tokens", json_object_get(value, "id"), &id);
        if (status != LSPO_OK)
            return status;
        highest = id > highest ? id : highest;
    }
    return allocate_tokens(l, total, json_array_size(added), highest);
}

static lspo_status_t take_scored(const loader_t *l, const json_t *pair, uint32_t id)
{
    const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
    if (!json_is_string(text) || !json_is_number(score))
        return lspo_tokenizer_refuse(l->path, "token %" PRIu32 " is not a text with a score", id);
    if (lspo_tokenizer_lookup(l->t, json_string_value(text), json_string_length(text), true) != LSPO_TOKEN_NONE)
        return lspo_tokenizer_refuse(l->path, "token '%s' appears twice", json_string_value(text));
    l->t->scores[id] = json_number_value(score);
    return set_token(l, id, json_string_value(text), json_string_length(text));
}

static lspo_status_t take_vocabulary(const loader_t *l, json_t *vocabulary, const json_t *added)
{
    const char *text;
    json_t *value;
    size_t index;
    if (!json_is_object(vocabulary) && !json_is_array(vocabulary))
        return lspo_tokenizer_refuse(l->path, "it has no vocabulary");
    lspo_status_t status = size_tokens(l, vocabulary, added);
    json_object_foreach(vocabulary, text, value)
    {
        if (status != LSPO_OK)
            break;
        status = set_token(l, (uint32_t)json_integer_value(value), text, strlen(text));
    }
    json_array_foreach(vocabulary, index, value)
    {
        if (status != LSPO_OK)
            break;
        status = take_scored(l, value, (uint32_t)index);
    }
    return status;
}

/* Tokens to match in the normalised text must be non-empty and distinct: the library finds empty tokens everywhere, and
 * only one of two equal ones. */
static lspo_status_t check_searched(const loader_t *l, const char *text, const lspo_buffer_t *searched, bool normalized)
{
    const lspo_tokenizer_t *t = l->t;
    if (searched->bytes == 0)
        return lspo_tokenizer_refuse(l->path, "added token '%s' is empty once it is normalised", text);
    for (uint32_t i = 0; i < t->added_count && normalized; i++)
        if (t->added[i].normalized && t->added[i].bytes == searched->bytes &&
            memcmp(t->added[i].text, searched->text, searched->bytes) == 0)
            return lspo_tokenizer_refuse(l->path, "added tokens '%s' and '%s' are the same once they are normalised",
                                         t->tokens[t->added[i].id].text, text);
    return LSPO_OK;
}

static lspo_status_t add_token(const loader_t *l, const char *text, uint32_t id, const json_t *flags)
{
    lspo_tokenizer_t *t = l->t;
    bool special = lspo_json_flag(flags, "special", false), normalized = lspo_json_flag(flags, "normalized", !special);
    if (!t->tokens[id].text) {
        lspo_status_t status = set_token(l, id, text, strlen(text));
        if (status != LSPO_OK)
            return status;
        t->added_only[id] = true;
    } else if (strcmp(t->tokens[id].text, text) != 0) {
        return lspo_tokenizer_refuse(l->path, "added token '%s' has the id of '%s'", text, t->tokens[id].text);
    }
    t->tokens[id].special = special;
    if (*text == '\0')
        return LSPO_OK;
    lspo_buffer_t searched = {0};
    lspo_status_t status = normalized ? lspo_normalizer_apply(t->normalizer, text, strlen(text), &searched)
                                      : lspo_buffer_append(&searched, text, strlen(text));
    if (status != LSPO_OK)
        goto failed;
    status = check_searched(l, text, &searched, normalized);
    if (status != LSPO_OK)
        goto failed;
    t->added_starts[normalized][(uint8_t)searched.text[0]] = true;
    t->added[t->added_count++] = (lspo_added_token_t){.text = searched.text,
                                                      .bytes = (uint32_t)searched.bytes,
                                                      .id = id,
                                                      .normalized = normalized,
                                                      .strip_left = lspo_json_flag(flags, "lstrip", false),
                                                      .strip_right = lspo_json_flag(flags, "rstrip", false),
                                                      .single_word = lspo_json_flag(flags, "single_word", false),
                                                      .control = special};
    t->control_starts[(uint8_t)*text] |= special;
    return LSPO_OK;
failed:
    free(searched.text);
    return status;
}

static int longest_first(const void *a, const void *b)
{
    const lspo_added_token_t *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* Call when the normaliser is known. */
static lspo_status_t take_added(const loader_t *l, const json_t *added)
{
    size_t index;
    json_t *value;
    json_array_foreach(added, index, value)
    {
        const char *text = lspo_json_text(value, "content");
        if (!text)
            return lspo_tokenizer_refuse(l->path, "added_tokens %zu has no content", index);
        lspo_status_t status = add_token(l, text, (uint32_t)json_integer_value(json_object_get(value, "id")), value);
        if (status != LSPO_OK)
            return status;
    }
    qsort(l->t->added, l->t->added_count, sizeof *l->t->added, longest_first);
    return LSPO_OK;
}

/* -- merges -------------------------------------------------------------------------------------------------------- */

static lspo_status_t size_merges(const loader_t *l, size_t count)
{
    lspo_tokenizer_t *t = l->t;
    if (count > MERGES_MAX)
        return lspo_tokenizer_refuse(l->path, "%zu merges are too many", count);
    uint32_t slots = slots_for((uint32_t)count);
    t->merges = calloc(count + 1, sizeof *t->merges);
    t->merge_slots = calloc(slots, sizeof *t->merge_slots);
    if (!t->merges || !t->merge_slots)
        return lspo_no_memory("%s", l->path);
    t->merge_slot_mask = slots - 1;
    return LSPO_OK;
}

/* The token that two tokens become: without the prefix of the second one. */
static lspo_status_t find_joined(const loader_t *l, const char *left, size_t left_bytes, const char *right,
                                 size_t right_bytes, uint32_t *joined_out)
{
    const size_t prefix_bytes = strlen(l->t->prefix);
    const size_t skipped = prefix_bytes <= right_bytes ? prefix_bytes : right_bytes;
    lspo_buffer_t joined = {0};
    lspo_status_t status = lspo_buffer_append(&joined, left, left_bytes);
    if (status != LSPO_OK)
        return status;
    status = lspo_buffer_append(&joined, right + skipped, right_bytes - skipped);
    if (status != LSPO_OK)
        goto cleanup;
    *joined_out = lspo_tokenizer_lookup(l->t, joined.text, joined.bytes, false);
cleanup:
    free(joined.text);
    return status;
}

/* If a pair has two merges, the later one counts, as in the original. */
static lspo_status_t add_merge(const loader_t *l, const char *left, size_t left_bytes, const char *right,
                               size_t right_bytes)
{
    lspo_tokenizer_t *t = l->t;
    lspo_merge_t merge = {.left = lspo_tokenizer_lookup(t, left, left_bytes, false),
                          .right = lspo_tokenizer_lookup(t, right, right_bytes, false)};
    lspo_status_t status = find_joined(l, left, left_bytes, right, right_bytes, &merge.joined);
    if (status != LSPO_OK)
        return status;
    if (merge.left == LSPO_TOKEN_NONE || merge.right == LSPO_TOKEN_NONE || merge.joined == LSPO_TOKEN_NONE)
        return lspo_tokenizer_refuse(l->path, "merge %" PRIu32 ": '%.*s' + '%.*s' is not in the vocabulary",
                                     t->merge_count + 1, (int)left_bytes, left, (int)right_bytes, right);
    t->merges[t->merge_count] = merge;
    uint32_t slot = lspo_tokenizer_pair_slot(t, merge.left, merge.right);
    t->merge_slots[slot] = ++t->merge_count;
    return LSPO_OK;
}

static lspo_status_t add_merge_line(const loader_t *l, const char *line, size_t bytes)
{
    const char *blank = memchr(line, ' ', bytes);
    size_t left = blank ? (size_t)(blank - line) : 0;
    if (!blank || left == 0 || left + 1 == bytes || memchr(blank + 1, ' ', bytes - left - 1))
        return lspo_tokenizer_refuse(l->path, "merge %" PRIu32 ": '%.*s' is not a pair", l->t->merge_count + 1,
                                     (int)(bytes > 80 ? 80 : bytes), line);
    return add_merge(l, line, left, blank + 1, bytes - left - 1);
}

static lspo_status_t take_merges(const loader_t *l, const json_t *merges)
{
    size_t index;
    json_t *value;
    if (!json_is_array(merges))
        return lspo_tokenizer_refuse(l->path, "it has no merges");
    lspo_status_t status = size_merges(l, json_array_size(merges));
    json_array_foreach(merges, index, value)
    {
        if (status != LSPO_OK)
            break;
        const json_t *left = json_array_get(value, 0), *right = json_array_get(value, 1);
        if (json_is_string(value))
            status = add_merge_line(l, json_string_value(value), json_string_length(value));
        else if (json_array_size(value) == 2 && json_is_string(left) && json_is_string(right))
            status = add_merge(l, json_string_value(left), json_string_length(left), json_string_value(right),
                               json_string_length(right));
        else
            status = lspo_tokenizer_refuse(l->path, "merge %zu is not a pair", index + 1);
    }
    return status;
}

/* -- model --------------------------------------------------------------------------------------------------------- */

static void find_bytes(lspo_tokenizer_t *t)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        t->byte_ids[byte] = lspo_tokenizer_lookup(t, text, strlen(text), false);
    }
    for (uint32_t code = 0; code < LSPO_SHORT_CHARACTERS; code++) {
        char text[4];
        const size_t bytes = (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)text);
        t->short_ids[code] = lspo_tokenizer_lookup(t, text, bytes, false);
    }
}

static lspo_status_t take_text(const loader_t *l, const json_t *model, const char *key, const char *otherwise,
                               char **text_out)
{
    const char *text = lspo_json_text(model, key);
    *text_out = strdup(text ? text : otherwise);
    return *text_out ? LSPO_OK : lspo_no_memory("%s", l->path);
}

static lspo_status_t take_unknown(const loader_t *l, const json_t *model)
{
    const char *unknown = lspo_json_text(model, "unk_token");
    if (!unknown)
        return LSPO_OK;
    l->t->unknown = lspo_tokenizer_lookup(l->t, unknown, strlen(unknown), true);
    return l->t->unknown != LSPO_TOKEN_NONE
               ? LSPO_OK
               : lspo_tokenizer_refuse(l->path, "model: unk_token '%s' is not in the vocabulary", unknown);
}

static lspo_status_t take_bpe(const loader_t *l, const json_t *model)
{
    lspo_tokenizer_t *t = l->t;
    const json_t *dropout = json_object_get(model, "dropout");
    if (json_is_number(dropout) && json_number_value(dropout) != 0.0)
        return lspo_tokenizer_refuse(l->path, "model: dropout is not supported");
    t->kind = LSPO_TOKENIZER_BPE;
    t->fuse_unknown = lspo_json_flag(model, "fuse_unk", false);
    t->byte_fallback = lspo_json_flag(model, "byte_fallback", false);
    t->ignore_merges = lspo_json_flag(model, "ignore_merges", false);
    lspo_status_t status = take_text(l, model, "continuing_subword_prefix", "", &t->prefix);
    if (status != LSPO_OK)
        return status;
    status = take_text(l, model, "end_of_word_suffix", "", &t->suffix);
    if (status != LSPO_OK)
        return status;
    status = take_merges(l, json_object_get(model, "merges"));
    if (status != LSPO_OK)
        return status;
    return take_unknown(l, model);
}

static lspo_status_t take_wordpiece(const loader_t *l, const json_t *model)
{
    const json_t *most = json_object_get(model, "max_input_chars_per_word");
    const json_int_t characters = json_is_integer(most) ? json_integer_value(most) : 100;
    l->t->kind = LSPO_TOKENIZER_WORDPIECE;
    if (characters < 0 || characters > UINT32_MAX)
        return lspo_tokenizer_refuse(l->path, "model: max_input_chars_per_word is not a number of characters");
    l->t->word_characters_max = (uint32_t)characters;
    lspo_status_t status = take_text(l, model, "continuing_subword_prefix", "##", &l->t->prefix);
    if (status != LSPO_OK)
        return status;
    return take_unknown(l, model);
}

static const lspo_tokenizer_t *sorted_of; /* because qsort's comparison has no context argument */

static int compare_texts(const void *a, const void *b)
{
    const lspo_token_t *x = &sorted_of->tokens[*(const uint32_t *)a], *y = &sorted_of->tokens[*(const uint32_t *)b];
    const int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static lspo_status_t sort_pieces(const loader_t *l)
{
    lspo_tokenizer_t *t = l->t;
    t->sorted = calloc((size_t)t->token_count + 1, sizeof *t->sorted);
    if (!t->sorted)
        return lspo_no_memory("%s", l->path);
    for (uint32_t id = 0; id < t->token_count; id++)
        if (t->tokens[id].text && !t->added_only[id] && t->tokens[id].bytes > 0)
            t->sorted[t->sorted_count++] = id;
    sorted_of = t;
    qsort(t->sorted, t->sorted_count, sizeof *t->sorted, compare_texts);
    for (uint32_t i = t->sorted_count; i-- > 0;)
        t->sorted_starts[(uint8_t)t->tokens[t->sorted[i]].text[0]] = i;
    /* A byte that begins no piece has an empty range before the next byte's. */
    uint32_t next = t->sorted_count;
    for (int byte = 256; byte >= 0; byte--) {
        const uint32_t start = t->sorted_starts[byte];
        const bool begins = byte < 256 && t->sorted_count > 0 && start < t->sorted_count &&
                            (uint8_t)t->tokens[t->sorted[start]].text[0] == byte;
        next = begins ? start : next;
        t->sorted_starts[byte] = next;
    }
    return LSPO_OK;
}

static lspo_status_t take_unigram(const loader_t *l, const json_t *model)
{
    lspo_tokenizer_t *t = l->t;
    const json_t *unknown = json_object_get(model, "unk_id");
    const size_t own = json_array_size(json_object_get(model, "vocab"));
    double least = (double)INFINITY;
    t->kind = LSPO_TOKENIZER_UNIGRAM;
    t->byte_fallback = lspo_json_flag(model, "byte_fallback", false);
    t->fuse_unknown = true;
    if (json_is_integer(unknown)) {
        if (json_integer_value(unknown) < 0 || (size_t)json_integer_value(unknown) >= own)
            return lspo_tokenizer_refuse(l->path, "model: unk_id is not in the vocabulary");
        t->unknown = (uint32_t)json_integer_value(unknown);
    }
    for (size_t id = 0; id < own; id++)
        least = t->scores[id] < least ? t->scores[id] : least;
    t->unknown_score = least - unknown_penalty;
    lspo_status_t status = take_text(l, model, "", "", &t->prefix);
    if (status != LSPO_OK)
        return status;
    return sort_pieces(l);
}

lspo_status_t lspo_tokenizer_load_vocabulary(lspo_tokenizer_t *t, const char *path, const json_t *model,
                                             const json_t *added)
{
    const loader_t l = {.t = t, .path = path};
    lspo_status_t status = take_vocabulary(&l, json_object_get(model, "vocab"), added);
    if (status != LSPO_OK)
        return status;
    return take_added(&l, added);
}

/* Files from before 2020 have no type: it follows from the contents. */
static const char *kind_of(const json_t *model)
{
    const char *type = lspo_json_text(model, "type");
    if (type)
        return type;
    if (json_object_get(model, "merges"))
        return "BPE";
    if (json_is_array(json_object_get(model, "vocab")))
        return "Unigram";
    return json_object_get(model, "max_input_chars_per_word") ? "WordPiece" : "BPE";
}

lspo_status_t lspo_tokenizer_load_model(lspo_tokenizer_t *t, const char *path, const json_t *model)
{
    static const struct {
        const char *type;
        bool list; /* the form of the vocabulary */
        lspo_status_t (*take)(const loader_t *l, const json_t *model);
    } kinds[] = {{"BPE", false, take_bpe}, {"WordPiece", false, take_wordpiece}, {"Unigram", true, take_unigram}};
    const loader_t l = {.t = t, .path = path};
    const char *type = kind_of(model);
    lspo_status_t (*take)(const loader_t *, const json_t *) = NULL;
    bool list = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].type, type) == 0) {
            take = kinds[i].take;
            list = kinds[i].list;
        }
    if (!take && strcmp(type, "WordLevel") != 0)
        return lspo_tokenizer_refuse(l.path, "model type %s is not supported", type);
    if (json_is_array(json_object_get(model, "vocab")) != list)
        return lspo_tokenizer_refuse(l.path, "the vocabulary is not that of a %s", type);
    if (!take)
        t->kind = LSPO_TOKENIZER_WORDLEVEL;
    lspo_status_t status = take ? take(&l, model) : take_unknown(&l, model);
    if (status != LSPO_OK)
        return status;
    find_bytes(t);
    t->splits_at_metaspace = t->kind == LSPO_TOKENIZER_BPE && lspo_bpe_splits_at_metaspace(t);
    return LSPO_OK;
}
