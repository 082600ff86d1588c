#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/json_file.h"
#include "real/tokenizer.h"
#include "real/tokenizer_files.h"
#include "real/tokenizer_state.h"

/* Ids are indices of an array: an id far above the number of tokens is an error in the file, not a reason to allocate. */
enum { ID_MAX = 1 << 24, MERGES_MAX = 1 << 24 };
/* 256 bytes and some ids that are none, as models of bytes have them. */
enum { BYTES_VOCABULARY_MAX = 384 };

/* What is being read, for messages. */
typedef struct {
    lspo_tokenizer_t *t;
    const char *path;
    bool has_post_processor;
} loader_t;

static lspo_status_t out_of_memory(const loader_t *l)
{
    return lspo_error(LSPO_ERR_MEMORY, "out of memory for %s", l->path);
}

static lspo_status_t refuse(const loader_t *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static lspo_status_t refuse(const loader_t *l, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lspo_error(LSPO_ERR_INPUT, "%s: %s", l->path, text);
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "(no type)";
}

static bool is_type(const json_t *object, const char *type)
{
    return strcmp(type_of(object), type) == 0;
}

/* A flag that is absent or null has the default. */
static bool flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

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

static lspo_status_t take_id(const loader_t *l, const char *text, const json_t *value, uint32_t *id_out)
{
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= ID_MAX)
        return refuse(l, "token '%s': its id is not in 0..%d", text, ID_MAX - 1);
    *id_out = (uint32_t)id;
    return LSPO_OK;
}

static lspo_status_t set_token(const loader_t *l, uint32_t id, const char *text)
{
    lspo_token_t *token = &l->t->tokens[id];
    if (token->text)
        return refuse(l, "tokens '%s' and '%s' have the same id %" PRIu32, token->text, text, id);
    token->text = strdup(text);
    if (!token->text)
        return out_of_memory(l);
    token->bytes = (uint32_t)strlen(text);
    insert_token(l->t, id);
    return LSPO_OK;
}

/* Room for all tokens of the vocabulary and the added ones. */
static lspo_status_t size_tokens(const loader_t *l, json_t *vocabulary, const json_t *added)
{
    const char *text;
    json_t *value;
    size_t index;
    uint32_t id = 0, highest = 0;
    size_t total = json_object_size(vocabulary) + json_array_size(added);
    if (total == 0 || total > ID_MAX)
        return refuse(l, "a vocabulary of %zu tokens", total);
    json_object_foreach(vocabulary, text, value)
    {
        lspo_status_t status = take_id(l, text, value, &id);
        if (status != LSPO_OK)
            return status;
        highest = id > highest ? id : highest;
    }
    json_array_foreach(added, index, value)
    {
        lspo_status_t status = take_id(l, "of added_tokens", json_object_get(value, "id"), &id);
        if (status != LSPO_OK)
            return status;
        highest = id > highest ? id : highest;
    }
    if (highest > 16 * total + 4096)
        return refuse(l, "%zu tokens have ids up to %" PRIu32, total, highest);
    lspo_tokenizer_t *t = l->t;
    uint32_t slots = slots_for((uint32_t)total);
    t->tokens = calloc(highest + 1, sizeof *t->tokens);
    t->added_only = calloc(highest + 1, sizeof *t->added_only);
    t->token_slots = calloc(slots, sizeof *t->token_slots);
    t->added = calloc(json_array_size(added) + 1, sizeof *t->added);
    t->cache = calloc(LSPO_CACHE_SLOTS, sizeof *t->cache);
    if (!t->tokens || !t->added_only || !t->token_slots || !t->added || !t->cache)
        return out_of_memory(l);
    t->token_count = highest + 1;
    t->token_slot_mask = slots - 1;
    return LSPO_OK;
}

static lspo_status_t take_vocabulary(const loader_t *l, json_t *vocabulary, const json_t *added)
{
    const char *text;
    json_t *value;
    if (!json_is_object(vocabulary))
        return refuse(l, "no vocabulary");
    lspo_status_t status = size_tokens(l, vocabulary, added);
    json_object_foreach(vocabulary, text, value)
    {
        if (status != LSPO_OK)
            break;
        status = set_token(l, (uint32_t)json_integer_value(value), text);
    }
    return status;
}

static lspo_status_t add_token(const loader_t *l, const char *text, uint32_t id, const json_t *flags)
{
    lspo_tokenizer_t *t = l->t;
    bool special = flag(flags, "special", false), normalized = flag(flags, "normalized", !special);
    if (!t->tokens[id].text) {
        lspo_status_t status = set_token(l, id, text);
        if (status != LSPO_OK)
            return status;
        t->added_only[id] = true;
    } else if (strcmp(t->tokens[id].text, text) != 0) {
        return refuse(l, "added token '%s' has the id of '%s'", text, t->tokens[id].text);
    }
    t->tokens[id].special = special;
    if (*text == '\0')
        return LSPO_OK;
    if (flag(flags, "single_word", false))
        return refuse(l, "added token '%s': single_word is not supported", text);
    lspo_buffer_t searched = {0};
    lspo_status_t status = normalized ? lspo_tokenizer_normalize(t, text, strlen(text), &searched)
                                      : lspo_buffer_append(&searched, text, strlen(text));
    if (status != LSPO_OK || searched.bytes == 0) {
        free(searched.text);
        return status;
    }
    t->added_starts[normalized][(uint8_t)searched.text[0]] = true;
    t->added[t->added_count++] = (lspo_added_token_t){.text = searched.text,
                                                      .bytes = (uint32_t)searched.bytes,
                                                      .id = id,
                                                      .normalized = normalized,
                                                      .strip_left = flag(flags, "lstrip", false),
                                                      .strip_right = flag(flags, "rstrip", false)};
    return LSPO_OK;
}

static int longest_first(const void *a, const void *b)
{
    const lspo_added_token_t *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* After the normaliser is known. */
static lspo_status_t take_added(const loader_t *l, const json_t *added)
{
    size_t index;
    json_t *value;
    json_array_foreach(added, index, value)
    {
        const char *text = text_of(value, "content");
        if (!text)
            return refuse(l, "added_tokens %zu has no content", index);
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
        return refuse(l, "%zu merges are too many", count);
    uint32_t slots = slots_for((uint32_t)count);
    t->merges = calloc(count + 1, sizeof *t->merges);
    t->merge_slots = calloc(slots, sizeof *t->merge_slots);
    if (!t->merges || !t->merge_slots)
        return out_of_memory(l);
    t->merge_slot_mask = slots - 1;
    return LSPO_OK;
}

/* Of two merges of one pair the later counts, as in the original. */
static lspo_status_t add_merge(const loader_t *l, const char *left, size_t left_bytes, const char *right,
                               size_t right_bytes)
{
    lspo_tokenizer_t *t = l->t;
    lspo_buffer_t joined = {0};
    lspo_merge_t merge = {.left = lspo_tokenizer_lookup(t, left, left_bytes, false),
                          .right = lspo_tokenizer_lookup(t, right, right_bytes, false)};
    lspo_status_t status = lspo_buffer_append(&joined, left, left_bytes);
    if (status == LSPO_OK)
        status = lspo_buffer_append(&joined, right, right_bytes);
    if (status == LSPO_OK) {
        merge.joined = lspo_tokenizer_lookup(t, joined.text, joined.bytes, false);
        if (merge.left == LSPO_TOKEN_NONE || merge.right == LSPO_TOKEN_NONE || merge.joined == LSPO_TOKEN_NONE)
            status = refuse(l, "merge %" PRIu32 ": '%.*s' + '%.*s' is not in the vocabulary", t->merge_count + 1,
                            (int)left_bytes, left, (int)right_bytes, right);
    }
    free(joined.text);
    if (status != LSPO_OK)
        return status;
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
        return refuse(l, "merge %" PRIu32 ": '%.*s' is no pair", l->t->merge_count + 1, (int)(bytes > 80 ? 80 : bytes),
                      line);
    return add_merge(l, line, left, blank + 1, bytes - left - 1);
}

static lspo_status_t take_merges(const loader_t *l, const json_t *merges)
{
    size_t index;
    json_t *value;
    if (!json_is_array(merges))
        return refuse(l, "no merges");
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
            status = refuse(l, "merge %zu is no pair", index + 1);
    }
    return status;
}

/* -- model, once vocabulary and merges are in ---------------------------------------------------------------------- */

static void find_bytes(lspo_tokenizer_t *t)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8], character[2];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        t->byte_ids[byte] = lspo_tokenizer_lookup(t, text, strlen(text), false);
        size_t length = lspo_byte_character((uint8_t)byte, character);
        t->byte_level_ids[byte] = lspo_tokenizer_lookup(t, character, length, false);
    }
}

/* Whether a run of U+2581 begins inside this text. */
static bool has_inner_metaspace(const lspo_token_t *token)
{
    const size_t length = sizeof LSPO_METASPACE - 1;
    const char *end = token->text + token->bytes;
    for (const char *hit = token->text; (hit = strstr(hit, LSPO_METASPACE)) != NULL; hit += length) {
        bool in_run = hit >= token->text + length && memcmp(hit - length, LSPO_METASPACE, length) == 0;
        if (hit > token->text && hit < end && !in_run)
            return true;
    }
    return false;
}

/* If no merge makes a token in which a blank follows something else, words can be encoded one by one with the same
 * result, which is much faster than a text as one word. */
static void find_boundaries(lspo_tokenizer_t *t)
{
    t->splits_at_metaspace =
        !t->ignore_merges && lspo_tokenizer_lookup(t, LSPO_METASPACE, strlen(LSPO_METASPACE), false) != LSPO_TOKEN_NONE;
    for (uint32_t i = 0; i < t->merge_count && t->splits_at_metaspace; i++)
        t->splits_at_metaspace = !has_inner_metaspace(&t->tokens[t->merges[i].joined]);
}

static bool is_empty_text(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static lspo_status_t take_model(const loader_t *l, const json_t *model)
{
    lspo_tokenizer_t *t = l->t;
    const json_t *dropout = json_object_get(model, "dropout");
    /* Files of before 2020 name no type: they are BPE when they have merges. */
    if (!is_type(model, "BPE") && json_object_get(model, "type"))
        return refuse(l, "model type %s is not supported, only BPE", type_of(model));
    if (json_is_number(dropout) && json_number_value(dropout) != 0.0)
        return refuse(l, "model: dropout is not supported");
    if (!is_empty_text(json_object_get(model, "continuing_subword_prefix")))
        return refuse(l, "model: continuing_subword_prefix is not supported");
    if (!is_empty_text(json_object_get(model, "end_of_word_suffix")))
        return refuse(l, "model: end_of_word_suffix is not supported");
    t->fuse_unknown = flag(model, "fuse_unk", false);
    t->byte_fallback = flag(model, "byte_fallback", false);
    t->ignore_merges = flag(model, "ignore_merges", false);
    lspo_status_t status = take_merges(l, json_object_get(model, "merges"));
    const char *unknown = text_of(model, "unk_token");
    if (status == LSPO_OK && unknown) {
        t->unknown = lspo_tokenizer_lookup(t, unknown, strlen(unknown), true);
        if (t->unknown == LSPO_TOKEN_NONE)
            status = refuse(l, "model: unk_token '%s' is not in the vocabulary", unknown);
    }
    if (status == LSPO_OK) {
        find_bytes(t);
        find_boundaries(t);
    }
    return status;
}

/* -- normalizer, pre_tokenizer, post_processor, decoder --------------------------------------------------------------- */

/* Call `take` for the object, or for each of a Sequence's members; nothing for null. */
static lspo_status_t each(const loader_t *l, const json_t *object, const char *members,
                          lspo_status_t (*take)(const loader_t *l, const json_t *member))
{
    size_t index;
    json_t *member;
    if (!object || json_is_null(object))
        return LSPO_OK;
    if (!is_type(object, "Sequence"))
        return take(l, object);
    lspo_status_t status = LSPO_OK;
    json_array_foreach(json_object_get(object, members), index, member)
    {
        if (status == LSPO_OK)
            status = take(l, member);
    }
    return status;
}

static lspo_status_t add_step(const loader_t *l, const char *from, const char *to)
{
    lspo_tokenizer_t *t = l->t;
    if (t->step_count == LSPO_TOKENIZER_STEPS_MAX)
        return refuse(l, "normalizer: more than %d steps", LSPO_TOKENIZER_STEPS_MAX);
    lspo_normal_step_t *step = &t->steps[t->step_count++];
    step->from = from ? strdup(from) : NULL;
    step->to = strdup(to);
    return (from && !step->from) || !step->to ? out_of_memory(l) : LSPO_OK;
}

static lspo_status_t take_normalizer(const loader_t *l, const json_t *member)
{
    const char *from = text_of(json_object_get(member, "pattern"), "String"), *to = text_of(member, "content");
    const char *prepend = text_of(member, "prepend");
    if (is_type(member, "Prepend") && prepend)
        return add_step(l, NULL, prepend);
    if (is_type(member, "Replace") && from && *from != '\0' && to)
        return add_step(l, from, to);
    return refuse(l, "normalizer %s is not supported", type_of(member));
}

static lspo_status_t take_metaspace(const loader_t *l, const json_t *member)
{
    lspo_tokenizer_t *t = l->t;
    const char *scheme = text_of(member, "prepend_scheme"), *replacement = text_of(member, "replacement");
    if (!replacement || strcmp(replacement, LSPO_METASPACE) != 0)
        return refuse(l, "Metaspace: a replacement other than U+2581 is not supported");
    if (!scheme)
        scheme = flag(member, "add_prefix_space", true) ? "always" : "never";
    t->metaspace_split = flag(member, "split", true);
    if (strcmp(scheme, "always") == 0)
        t->metaspace_prepend = LSPO_PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        t->metaspace_prepend = LSPO_PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        t->metaspace_prepend = LSPO_PREPEND_NEVER;
    else
        return refuse(l, "Metaspace: prepend_scheme %s is not supported", scheme);
    return LSPO_OK;
}

static lspo_status_t take_split(const loader_t *l, const json_t *member)
{
    const char *pattern = text_of(json_object_get(member, "pattern"), "Regex"), *behavior = text_of(member, "behavior");
    lspo_word_split_t split = pattern ? lspo_word_split_find(pattern) : LSPO_SPLIT_NONE;
    if (l->t->split != LSPO_SPLIT_NONE || split == LSPO_SPLIT_NONE || flag(member, "invert", false) || !behavior ||
        strcmp(behavior, "Isolated") != 0)
        return refuse(l, "pre_tokenizer Split by '%s' is not supported", pattern ? pattern : "a string");
    l->t->split = split;
    return LSPO_OK;
}

static lspo_status_t take_pre_tokenizer(const loader_t *l, const json_t *member)
{
    lspo_tokenizer_t *t = l->t;
    if (t->byte_level || t->metaspace)
        return refuse(l, "pre_tokenizer %s after another is not supported", type_of(member));
    if (is_type(member, "Metaspace")) {
        t->metaspace = true;
        return take_metaspace(l, member);
    }
    if (is_type(member, "Split"))
        return take_split(l, member);
    if (!is_type(member, "ByteLevel"))
        return refuse(l, "pre_tokenizer %s is not supported", type_of(member));
    t->byte_level = true;
    t->add_prefix_space = flag(member, "add_prefix_space", true);
    if (flag(member, "use_regex", true)) {
        if (t->split != LSPO_SPLIT_NONE)
            return refuse(l, "pre_tokenizer ByteLevel with use_regex after Split is not supported");
        t->split = LSPO_SPLIT_GPT2;
    } else if (t->split != LSPO_SPLIT_NONE && t->add_prefix_space) {
        return refuse(l, "pre_tokenizer ByteLevel with add_prefix_space after Split is not supported");
    }
    return LSPO_OK;
}

static lspo_status_t add_template_id(const loader_t *l, uint32_t id, bool after)
{
    lspo_tokenizer_t *t = l->t;
    uint32_t *count = after ? &t->after_count : &t->before_count;
    if (id >= t->token_count || !t->tokens[id].text)
        return refuse(l, "post_processor: there is no token %" PRIu32, id);
    if (*count == LSPO_TOKENIZER_TEMPLATE_MAX)
        return refuse(l, "post_processor adds more than %d tokens", LSPO_TOKENIZER_TEMPLATE_MAX);
    (after ? t->after : t->before)[(*count)++] = id;
    return LSPO_OK;
}

static lspo_status_t take_template(const loader_t *l, const json_t *member)
{
    const json_t *specials = json_object_get(member, "special_tokens");
    bool after = false;
    size_t index, inner;
    json_t *piece, *value;
    json_array_foreach(json_object_get(member, "single"), index, piece)
    {
        const char *name = text_of(json_object_get(piece, "SpecialToken"), "id");
        if (!name && json_object_get(piece, "Sequence") && !after) {
            after = true;
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(specials, name ? name : ""), "ids");
        if (json_array_size(ids) == 0)
            return refuse(l, "post_processor: its template is not supported");
        json_array_foreach(ids, inner, value)
        {
            uint32_t id = 0;
            lspo_status_t status = take_id(l, name, value, &id);
            if (status == LSPO_OK)
                status = add_template_id(l, id, after);
            if (status != LSPO_OK)
                return status;
        }
    }
    return after ? LSPO_OK : refuse(l, "post_processor: a template without the text is not supported");
}

/* "cls": ["<s>", 0] */
static lspo_status_t take_pair(const loader_t *l, const json_t *member, const char *key, bool after)
{
    uint32_t id = 0;
    lspo_status_t status = take_id(l, key, json_array_get(json_object_get(member, key), 1), &id);
    return status == LSPO_OK ? add_template_id(l, id, after) : status;
}

static lspo_status_t take_post_processor(const loader_t *l, const json_t *member)
{
    if (is_type(member, "ByteLevel"))
        return LSPO_OK;
    if (is_type(member, "TemplateProcessing"))
        return take_template(l, member);
    if (!is_type(member, "RobertaProcessing") && !is_type(member, "BertProcessing"))
        return refuse(l, "post_processor %s is not supported", type_of(member));
    lspo_status_t status = take_pair(l, member, "cls", false);
    return status == LSPO_OK ? take_pair(l, member, "sep", true) : status;
}

static lspo_status_t take_decoder(const loader_t *l, const json_t *member)
{
    lspo_tokenizer_t *t = l->t;
    const char *from = text_of(json_object_get(member, "pattern"), "String"), *content = text_of(member, "content");
    if (t->byte_level)
        return is_type(member, "ByteLevel") ? LSPO_OK
                                            : refuse(l, "decoder %s is not supported with ByteLevel", type_of(member));
    if (is_type(member, "Metaspace") && t->metaspace) {
        t->decode_metaspace = true;
        return LSPO_OK;
    }
    if (is_type(member, "ByteFallback")) {
        t->decode_bytes = true;
        return LSPO_OK;
    }
    if (is_type(member, "Fuse"))
        return LSPO_OK;
    if (is_type(member, "Replace") && from && content && strcmp(from, LSPO_METASPACE) == 0 &&
        strcmp(content, " ") == 0) {
        t->decode_replaces = true;
        return LSPO_OK;
    }
    json_int_t start = json_integer_value(json_object_get(member, "start"));
    if (is_type(member, "Strip") && content && strcmp(content, " ") == 0 && start >= 0 && start < 16 &&
        json_integer_value(json_object_get(member, "stop")) == 0) {
        t->decode_strip = (uint32_t)start;
        return LSPO_OK;
    }
    return refuse(l, "decoder %s is not supported here", type_of(member));
}

/* -- begin, end, pad ------------------------------------------------------------------------------------------------- */

/* "eos_token": "</s>" or {"content": "</s>"}; else the first of the usual names that is in the vocabulary. */
static uint32_t find_role(const lspo_tokenizer_t *t, const json_t *config, const char *key, const char *const *usual)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_is_object(value) ? text_of(value, "content") : json_string_value(value);
    uint32_t id = text ? lspo_tokenizer_id(t, text) : LSPO_TOKEN_NONE;
    for (size_t i = 0; usual[i] && id == LSPO_TOKEN_NONE; i++)
        id = lspo_tokenizer_id(t, usual[i]);
    return id;
}

static void find_roles(lspo_tokenizer_t *t, const json_t *config)
{
    static const char *const begins[] = {"<s>", "<|begin_of_text|>", NULL};
    static const char *const ends[] = {"<|endoftext|>", "</s>", "<|end_of_text|>", NULL};
    static const char *const pads[] = {"<pad>", NULL};
    t->begin = find_role(t, config, "bos_token", begins);
    t->end = find_role(t, config, "eos_token", ends);
    t->pad = find_role(t, config, "pad_token", pads);
}

/* The classes of Llama's tokenizer put a begin token where neither file says anything else. */
static bool begins_by_class(const json_t *config)
{
    static const char *const classes[] = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"};
    const char *name = text_of(config, "tokenizer_class");
    bool found = false;
    for (size_t i = 0; name && i < sizeof classes / sizeof classes[0]; i++)
        found |= strncmp(name, classes[i], strlen(classes[i])) == 0;
    return found;
}

/* add_bos_token and add_eos_token in tokenizer_config.json have the last word over the post-processor. */
static lspo_status_t take_template_flags(const loader_t *l, const json_t *config)
{
    const struct {
        const char *key;
        uint32_t id, *count, *ids;
        bool otherwise;
    } sides[] = {{"add_bos_token", l->t->begin, &l->t->before_count, l->t->before,
                  !l->has_post_processor && begins_by_class(config)},
                 {"add_eos_token", l->t->end, &l->t->after_count, l->t->after, false}};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(config, sides[i].key);
        if (!json_is_boolean(value) && !sides[i].otherwise)
            continue;
        const bool adds = flag(config, sides[i].key, sides[i].otherwise);
        if (adds && sides[i].id == LSPO_TOKEN_NONE)
            return refuse(l, "%s is true in tokenizer_config.json, but no such token is named", sides[i].key);
        *sides[i].count = adds ? 1 : 0;
        sides[i].ids[0] = sides[i].id;
    }
    if (l->t->before_count > 1 || l->t->after_count > 1)
        return refuse(l,
                      "post_processor puts %" PRIu32 " tokens before a text and %" PRIu32 " after it; one is supported",
                      l->t->before_count, l->t->after_count);
    return LSPO_OK;
}

/* -- files ----------------------------------------------------------------------------------------------------------- */

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static bool has_file(const char *folder, const char *name)
{
    char *path = join(folder, name);
    bool found = path && access(path, R_OK) == 0;
    free(path);
    return found;
}

static lspo_status_t take_tokenizer_json(const loader_t *l, const json_t *object)
{
    const json_t *model = json_object_get(object, "model"), *added = json_object_get(object, "added_tokens");
    lspo_status_t status = each(l, json_object_get(object, "normalizer"), "normalizers", take_normalizer);
    if (status == LSPO_OK)
        status = each(l, json_object_get(object, "pre_tokenizer"), "pretokenizers", take_pre_tokenizer);
    if (status == LSPO_OK && l->t->split != LSPO_SPLIT_NONE && !l->t->byte_level)
        status = refuse(l, "pre_tokenizer Split without ByteLevel is not supported");
    if (status == LSPO_OK)
        status = take_vocabulary(l, json_object_get(model, "vocab"), added);
    if (status == LSPO_OK)
        status = take_added(l, added);
    if (status == LSPO_OK)
        status = take_model(l, model);
    if (status == LSPO_OK)
        status = each(l, json_object_get(object, "post_processor"), "processors", take_post_processor);
    const json_t *decoder = json_object_get(object, "decoder");
    if (status == LSPO_OK)
        status = each(l, decoder, "decoders", take_decoder);
    l->t->decode_spaces = !decoder || json_is_null(decoder);
    if (status == LSPO_OK && l->t->decode_spaces && l->t->byte_level)
        status = refuse(l, "pre_tokenizer ByteLevel without its decoder is not supported");
    return status;
}

static lspo_status_t load_tokenizer_json(loader_t *l)
{
    json_t *object = NULL;
    lspo_status_t status = lspo_json_file_read(l->path, &object);
    l->has_post_processor = json_is_object(json_object_get(object, "post_processor"));
    if (status == LSPO_OK)
        status = take_tokenizer_json(l, object);
    json_decref(object);
    return status;
}

static lspo_status_t read_text(const loader_t *l, char **text_out)
{
    lspo_buffer_t text = {0};
    char chunk[16384];
    size_t got;
    FILE *file = fopen(l->path, "rb");
    if (!file)
        return refuse(l, "cannot be read");
    lspo_status_t status = lspo_buffer_append(&text, "", 0);
    while (status == LSPO_OK && (got = fread(chunk, 1, sizeof chunk, file)) > 0)
        status = lspo_buffer_append(&text, chunk, got);
    if (status == LSPO_OK && ferror(file))
        status = refuse(l, "cannot be read");
    if (status == LSPO_OK && memchr(text.text, '\0', text.bytes))
        status = refuse(l, "has zero bytes");
    fclose(file);
    if (status != LSPO_OK) {
        free(text.text);
        return status;
    }
    *text_out = text.text;
    return LSPO_OK;
}

/* A pair a line in order of rank; a first line "#version: ..." is none. */
static lspo_status_t load_merges(const loader_t *l)
{
    char *text = NULL;
    lspo_status_t status = read_text(l, &text);
    if (status != LSPO_OK)
        return status;
    size_t lines = 1;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    status = size_merges(l, lines);
    for (char *line = text, *end; *line && status == LSPO_OK; line = end) {
        size_t bytes = strcspn(line, "\n");
        end = line + bytes + (line[bytes] == '\n');
        if (bytes > 0 && line[bytes - 1] == '\r')
            bytes--;
        if (bytes > 0 && strncmp(line, "#version", 8) != 0)
            status = add_merge_line(l, line, bytes);
    }
    free(text);
    return status;
}

/* GPT-2's and RoBERTa's two files name no special tokens: these are the ones that both have. */
static lspo_status_t add_usual_specials(const loader_t *l)
{
    static const char *const usual[] = {"<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>"};
    lspo_tokenizer_t *t = l->t;
    bool roberta = lspo_tokenizer_id(t, "<mask>") != LSPO_TOKEN_NONE;
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && status == LSPO_OK; i++) {
        uint32_t id = lspo_tokenizer_id(t, usual[i]);
        json_t *flags = json_pack("{s:b, s:b}", "special", 1, "lstrip", strcmp(usual[i], "<mask>") == 0);
        if (id != LSPO_TOKEN_NONE)
            status = flags ? add_token(l, usual[i], id, flags) : out_of_memory(l);
        json_decref(flags);
    }
    qsort(t->added, t->added_count, sizeof *t->added, longest_first);
    if (status == LSPO_OK && roberta && lspo_tokenizer_id(t, "<s>") != LSPO_TOKEN_NONE &&
        lspo_tokenizer_id(t, "</s>") != LSPO_TOKEN_NONE) {
        status = add_template_id(l, lspo_tokenizer_id(t, "<s>"), false);
        if (status == LSPO_OK)
            status = add_template_id(l, lspo_tokenizer_id(t, "</s>"), true);
    }
    return status;
}

/* Room for the special tokens of add_usual_specials(), none of which is new. */
static lspo_status_t load_vocabulary(const loader_t *l)
{
    json_t *vocabulary = NULL;
    lspo_status_t status = lspo_json_file_read(l->path, &vocabulary);
    if (status != LSPO_OK)
        return status;
    status = take_vocabulary(l, vocabulary, NULL);
    json_decref(vocabulary);
    lspo_added_token_t *room = status == LSPO_OK ? realloc(l->t->added, 8 * sizeof *room) : NULL;
    if (status == LSPO_OK && !room)
        return out_of_memory(l);
    if (room)
        l->t->added = room;
    return status;
}

static lspo_status_t load_two_files(loader_t *l, const char *folder, const json_t *config)
{
    lspo_tokenizer_t *t = l->t;
    char *vocabulary = join(folder, "vocab.json"), *merges = join(folder, "merges.txt");
    t->byte_level = true;
    t->split = LSPO_SPLIT_GPT2;
    t->add_prefix_space = flag(config, "add_prefix_space", false);
    lspo_status_t status = vocabulary && merges ? LSPO_OK : out_of_memory(l);
    if (status == LSPO_OK) {
        l->path = vocabulary;
        status = load_vocabulary(l);
    }
    if (status == LSPO_OK) {
        l->path = merges;
        status = load_merges(l);
    }
    if (status == LSPO_OK) {
        find_bytes(t);
        status = add_usual_specials(l);
    }
    free(merges);
    free(vocabulary);
    return status;
}

/* tokenizer_config.json is optional; NULL when it is not there. */
static lspo_status_t load_config(const char *folder, json_t **config_out)
{
    char *path = join(folder, "tokenizer_config.json");
    lspo_status_t status = LSPO_OK;
    if (!path)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", folder);
    if (access(path, F_OK) == 0)
        status = lspo_json_file_read(path, config_out);
    free(path);
    return status;
}

static lspo_status_t load(lspo_tokenizer_t *t, const char *folder, const json_t *config)
{
    loader_t l = {.t = t, .path = folder};
    lspo_status_t status = LSPO_OK;
    char *path = join(folder, "tokenizer.json");
    if (!path)
        return out_of_memory(&l);
    if (has_file(folder, "tokenizer.json")) {
        l.path = path;
        status = load_tokenizer_json(&l);
    } else {
        status = load_two_files(&l, folder, config);
        l.path = folder;
    }
    if (status == LSPO_OK) {
        find_roles(t, config);
        status = take_template_flags(&l, config);
    }
    free(path);
    return status;
}

lspo_status_t lspo_tokenizer_open(const char *folder, lspo_tokenizer_t **tokenizer_out)
{
    json_t *config = NULL;
    bool found = false;
    lspo_status_t status = lspo_tokenizer_find(folder, &found);
    if (status != LSPO_OK)
        return status;
    if (!found)
        return lspo_error(LSPO_ERR_INPUT, "%s has neither tokenizer.json nor vocab.json and merges.txt", folder);
    lspo_tokenizer_t *t = calloc(1, sizeof *t);
    if (!t)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the tokenizer of %s", folder);
    t->unknown = LSPO_TOKEN_NONE;
    status = load_config(folder, &config);
    if (status == LSPO_OK)
        status = load(t, folder, config);
    json_decref(config);
    if (status != LSPO_OK) {
        lspo_tokenizer_close(t);
        return status;
    }
    *tokenizer_out = t;
    return LSPO_OK;
}

lspo_status_t lspo_tokenizer_open_model(const char *folder, uint32_t vocabulary, lspo_tokenizer_t **tokenizer_out)
{
    bool found = false;
    lspo_status_t status = lspo_tokenizer_find(folder, &found);
    if (status != LSPO_OK)
        return status;
    if (found)
        return lspo_tokenizer_open(folder, tokenizer_out);
    if (vocabulary > BYTES_VOCABULARY_MAX)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s has no tokenizer, and its vocabulary of %" PRIu32
                          " is not that of bytes (%d at most): put "
                          "its tokenizer.json beside config.json",
                          folder, vocabulary, BYTES_VOCABULARY_MAX);
    *tokenizer_out = NULL;
    return LSPO_OK;
}
