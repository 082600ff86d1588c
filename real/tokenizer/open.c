/* open.c - a folder's files to a tokenizer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/json_file.h"
#include "real/tokenizer/files.h"
#include "real/tokenizer/json.h"
#include "real/tokenizer/state.h"

/* 256 bytes and some ids that are none, as models of bytes have them. */
enum { BYTES_VOCABULARY_MAX = 384 };
enum { MERGES_BYTES_MAX = 1 << 28 };

/* What is being read, for messages. */
typedef struct {
    lspo_tokenizer_t *t;
    const char *path;
    bool has_post_processor;
} loader_t;

/* -- post_processor, decoder ------------------------------------------------------------------------------------ */

static lspo_status_t add_template_id(const loader_t *l, uint32_t id, bool after)
{
    lspo_tokenizer_t *t = l->t;
    uint32_t *count = after ? &t->after_count : &t->before_count;
    if (id >= t->token_count || !t->tokens[id].text)
        return lspo_tokenizer_refuse(l->path, "post_processor: there is no token %" PRIu32, id);
    if (*count == LSPO_TOKENIZER_TEMPLATE_MAX)
        return lspo_tokenizer_refuse(l->path, "post_processor adds more than %d tokens", LSPO_TOKENIZER_TEMPLATE_MAX);
    (after ? t->after : t->before)[(*count)++] = id;
    return LSPO_OK;
}

static lspo_status_t take_template(const loader_t *l, const json_t *member)
{
    const json_t *specials = json_object_get(member, "special_tokens");
    bool after = false;
    size_t index, inner;
    json_t *piece, *value;
    if (l->t->before_count + l->t->after_count > 0)
        return lspo_tokenizer_refuse(l->path, "post_processor: two templates are not supported");
    json_array_foreach(json_object_get(member, "single"), index, piece)
    {
        const char *name = lspo_json_text(json_object_get(piece, "SpecialToken"), "id");
        if (!name && json_object_get(piece, "Sequence") && !after) {
            after = true;
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(specials, name ? name : ""), "ids");
        if (json_array_size(ids) == 0)
            return lspo_tokenizer_refuse(l->path, "post_processor: its template is not supported");
        json_array_foreach(ids, inner, value)
        {
            uint32_t id = 0;
            lspo_status_t status = lspo_tokenizer_take_id(l->path, name, value, &id);
            if (status == LSPO_OK)
                status = add_template_id(l, id, after);
            if (status != LSPO_OK)
                return status;
        }
    }
    return after ? LSPO_OK
                 : lspo_tokenizer_refuse(l->path, "post_processor: a template without the text is not supported");
}

/* "cls": ["<s>", 0] */
static lspo_status_t take_pair(const loader_t *l, const json_t *member, const char *key, bool after)
{
    uint32_t id = 0;
    lspo_status_t status = lspo_tokenizer_take_id(l->path, key, json_array_get(json_object_get(member, key), 1), &id);
    return status == LSPO_OK ? add_template_id(l, id, after) : status;
}

static lspo_status_t take_post_processor(void *context, const json_t *member)
{
    const loader_t *l = context;
    if (lspo_json_is_type(member, "ByteLevel"))
        return LSPO_OK;
    if (lspo_json_is_type(member, "TemplateProcessing"))
        return take_template(l, member);
    if (!lspo_json_is_type(member, "RobertaProcessing") && !lspo_json_is_type(member, "BertProcessing"))
        return lspo_tokenizer_refuse(l->path, "post_processor %s is not supported", lspo_json_type(member));
    lspo_status_t status = take_pair(l, member, "cls", false);
    return status == LSPO_OK ? take_pair(l, member, "sep", true) : status;
}

/* Ids do not depend on it: a decoder that is not known only makes that no text is made of them. */
static lspo_status_t take_decoder(void *context, const json_t *member)
{
    lspo_tokenizer_t *t = ((const loader_t *)context)->t;
    const char *content = lspo_json_text(member, "content");
    const char *from = lspo_json_text(json_object_get(member, "pattern"), "String");
    const json_int_t start = json_integer_value(json_object_get(member, "start"));
    if (t->byte_level || lspo_json_is_type(member, "Fuse"))
        t->decode_unsupported |= t->byte_level && !lspo_json_is_type(member, "ByteLevel");
    else if (lspo_json_is_type(member, "Metaspace") && t->metaspace)
        t->decode_metaspace = true;
    else if (lspo_json_is_type(member, "ByteFallback"))
        t->decode_bytes = true;
    else if (lspo_json_is_type(member, "Replace") && from && content && strcmp(from, LSPO_METASPACE) == 0 &&
             strcmp(content, " ") == 0)
        t->decode_replaces = true;
    else if (lspo_json_is_type(member, "Strip") && content && strcmp(content, " ") == 0 && start >= 0 && start < 16 &&
             json_integer_value(json_object_get(member, "stop")) == 0)
        t->decode_strip = (uint32_t)start;
    else
        t->decode_unsupported = true;
    return LSPO_OK;
}

/* -- begin, end, pad ----------------------------------------------------------------------------------------------- */

/* "eos_token": "</s>" or {"content": "</s>"}; else the first of the usual names that is in the vocabulary. */
static uint32_t find_role(const lspo_tokenizer_t *t, const json_t *config, const char *key, const char *const *usual)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_is_object(value) ? lspo_json_text(value, "content") : json_string_value(value);
    uint32_t id = text ? lspo_tokenizer_id(t, text) : LSPO_TOKEN_NONE;
    for (size_t i = 0; usual[i] && id == LSPO_TOKEN_NONE; i++)
        id = lspo_tokenizer_id(t, usual[i]);
    return id;
}

static void find_roles(lspo_tokenizer_t *t, const json_t *config)
{
    static const char *const begins[] = {"<s>", "<|begin_of_text|>", "<bos>", NULL};
    static const char *const ends[] = {"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", NULL};
    static const char *const pads[] = {"<pad>", "[PAD]", NULL};
    t->begin = find_role(t, config, "bos_token", begins);
    t->end = find_role(t, config, "eos_token", ends);
    t->pad = find_role(t, config, "pad_token", pads);
}

/* The classes of Llama's tokenizer put a begin token where neither file says anything else. */
static bool begins_by_class(const json_t *config)
{
    static const char *const classes[] = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"};
    const char *name = lspo_json_text(config, "tokenizer_class");
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
        const bool adds = lspo_json_flag(config, sides[i].key, sides[i].otherwise);
        if (adds && sides[i].id == LSPO_TOKEN_NONE)
            return lspo_tokenizer_refuse(l->path, "%s is true in tokenizer_config.json, but no such token is named",
                                         sides[i].key);
        *sides[i].count = adds ? 1 : 0;
        sides[i].ids[0] = sides[i].id;
    }
    if (l->t->before_count > 1 || l->t->after_count > 1)
        return lspo_tokenizer_refuse(
            l->path, "post_processor puts %" PRIu32 " tokens before a text and %" PRIu32 " after it; one is supported",
            l->t->before_count, l->t->after_count);
    return LSPO_OK;
}

/* -- files --------------------------------------------------------------------------------------------------------- */

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

static lspo_status_t take_tokenizer_json(loader_t *l, const json_t *object)
{
    lspo_tokenizer_t *t = l->t;
    const json_t *model = json_object_get(object, "model"), *decoder = json_object_get(object, "decoder");
    lspo_status_t status = lspo_normalizer_create(l->path, json_object_get(object, "normalizer"), &t->normalizer);
    if (status == LSPO_OK)
        status = lspo_splitter_create(l->path, json_object_get(object, "pre_tokenizer"), &t->splitter);
    if (status == LSPO_OK)
        status = lspo_tokenizer_load_vocabulary(t, l->path, model, json_object_get(object, "added_tokens"));
    if (status == LSPO_OK)
        status = lspo_tokenizer_load_model(t, l->path, model);
    if (status == LSPO_OK)
        status = lspo_json_each(l, json_object_get(object, "post_processor"), "processors", take_post_processor);
    if (status != LSPO_OK)
        return status;
    t->byte_level = lspo_splitter_is_byte_level(t->splitter);
    t->metaspace = lspo_splitter_is_metaspace(t->splitter, &t->metaspace_prepends);
    t->decode_spaces = !decoder || json_is_null(decoder);
    t->decode_unsupported = t->decode_spaces && t->byte_level;
    return lspo_json_each(l, decoder, "decoders", take_decoder);
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

/* An optional file; NULL when it is not there. */
static lspo_status_t load_optional(const char *folder, const char *name, json_t **object_out)
{
    char *path = join(folder, name);
    lspo_status_t status = LSPO_OK;
    if (!path)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", folder);
    if (access(path, F_OK) == 0)
        status = lspo_json_file_read(path, object_out);
    free(path);
    return status;
}

/* -- GPT-2's and RoBERTa's two files, as the tokenizer.json that they are short for -------------------------------- */

static int add_token(json_t *added, const char *text, json_int_t id, const json_t *flags)
{
    size_t index;
    json_t *other;
    json_array_foreach(added, index, other)
    {
        if (json_integer_value(json_object_get(other, "id")) == id)
            return 0;
    }
    json_t *token = json_pack("{s:s, s:I, s:b, s:b, s:b}", "content", text, "id", id, "special", 1, "normalized", 0,
                              "lstrip", strcmp(text, "<mask>") == 0);
    if (token && flags)
        json_object_update(token, (json_t *)flags);
    return json_array_append_new(added, token);
}

/* What tokenizer_config.json lists with flags, then added_tokens.json, then the tokens that both families have. */
static json_t *make_added(const json_t *vocabulary, const json_t *more, const json_t *config)
{
    static const char *const usual[] = {"<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>"};
    json_t *added = json_array(), *listed = json_object_get(config, "added_tokens_decoder"), *value;
    const char *key;
    int failed = added == NULL;
    json_object_foreach(listed, key, value)
    {
        const char *text = lspo_json_text(value, "content");
        if (text && !failed)
            failed = add_token(added, text, atoll(key), value);
    }
    json_object_foreach((json_t *)more, key, value)
    {
        if (json_is_integer(value) && !failed)
            failed = add_token(added, key, json_integer_value(value), NULL);
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && !failed; i++) {
        const json_t *id = json_object_get(vocabulary, usual[i]);
        if (json_is_integer(id))
            failed = add_token(added, usual[i], json_integer_value(id), NULL);
    }
    if (!failed)
        return added;
    json_decref(added);
    return NULL;
}

/* RoBERTa's has a mask, and puts texts between <s> and </s>. */
static json_t *make_post_processor(const json_t *vocabulary)
{
    json_t *begin = json_object_get(vocabulary, "<s>"), *end = json_object_get(vocabulary, "</s>");
    if (!json_object_get(vocabulary, "<mask>") || !begin || !end)
        return json_null();
    return json_pack("{s:s, s:[s, O], s:[s, O]}", "type", "RobertaProcessing", "cls", "<s>", begin, "sep", "</s>", end);
}

/* A pair a line in order of rank; a first line "#version: ..." is none. */
static lspo_status_t read_merges(const char *path, json_t *merges)
{
    lspo_input_t *input = NULL;
    char *line = NULL;
    size_t bytes = 0;
    lspo_status_t status = lspo_input_open(path, MERGES_BYTES_MAX, &input);
    while (status == LSPO_OK && (status = lspo_input_line(input, &line, &bytes)) == LSPO_OK && line) {
        if (bytes == 0 || strncmp(line, "#version", 8) == 0)
            continue;
        json_t *merge = strlen(line) == bytes ? json_stringn(line, bytes) : NULL;
        if (!merge)
            status =
                lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": no text in UTF-8", path, lspo_input_line_number(input));
        else if (json_array_append_new(merges, merge) != 0)
            status = lspo_error(LSPO_ERR_MEMORY, "out of memory for %s", path);
    }
    lspo_input_close(input);
    return status;
}

/* Of classes with these two files only GPT-2's and its heirs cut words as it does. */
static lspo_status_t check_class(const loader_t *l, const json_t *config)
{
    static const char *const classes[] = {"GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer"};
    const char *name = lspo_json_text(config, "tokenizer_class");
    for (size_t i = 0; name && i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(name, classes[i], strlen(classes[i])) == 0)
            return LSPO_OK;
    return name
               ? lspo_tokenizer_refuse(
                     l->path,
                     "vocab.json and merges.txt are read as GPT-2's, not as a %s: convert them to tokenizer.json", name)
               : LSPO_OK;
}

static lspo_status_t load_two_files(loader_t *l, const char *folder, const json_t *config)
{
    json_t *vocabulary = NULL, *more = NULL, *merges = json_array(), *object = NULL;
    char *vocabulary_path = join(folder, "vocab.json"), *merges_path = join(folder, "merges.txt");
    lspo_status_t status = vocabulary_path && merges_path && merges ? LSPO_OK : lspo_tokenizer_no_memory(l->path);
    if (status == LSPO_OK)
        status = check_class(l, config);
    if (status == LSPO_OK)
        status = lspo_json_file_read(vocabulary_path, &vocabulary);
    if (status == LSPO_OK)
        status = read_merges(merges_path, merges);
    if (status == LSPO_OK)
        status = load_optional(folder, "added_tokens.json", &more);
    if (status == LSPO_OK) {
        json_t *added = make_added(vocabulary, more, config), *post = make_post_processor(vocabulary);
        object = json_pack("{s:{s:s, s:O, s:O}, s:o, s:o, s:{s:s, s:b}, s:{s:s}}", "model", "type", "BPE", "vocab",
                           vocabulary, "merges", merges, "added_tokens", added, "post_processor", post, "pre_tokenizer",
                           "type", "ByteLevel", "add_prefix_space",
                           (int)lspo_json_flag(config, "add_prefix_space", false), "decoder", "type", "ByteLevel");
        status = object ? take_tokenizer_json(l, object) : lspo_tokenizer_no_memory(l->path);
    }
    json_decref(object);
    json_decref(more);
    json_decref(vocabulary);
    json_decref(merges);
    free(merges_path);
    free(vocabulary_path);
    return status;
}

/* tokenizer_config.json, and what older folders say in special_tokens_map.json alone: bos_token, eos_token,
 * pad_token. */
static lspo_status_t load_config(const char *folder, json_t **config_out)
{
    json_t *map = NULL;
    lspo_status_t status = load_optional(folder, "tokenizer_config.json", config_out);
    if (status == LSPO_OK)
        status = load_optional(folder, "special_tokens_map.json", &map);
    if (map && !*config_out)
        *config_out = json_incref(map);
    else if (map && json_object_update_missing(*config_out, map) != 0)
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for the tokenizer of %s", folder);
    json_decref(map);
    return status;
}

static lspo_status_t load(lspo_tokenizer_t *t, const char *folder, const json_t *config)
{
    loader_t l = {.t = t, .path = folder};
    lspo_status_t status = LSPO_OK;
    char *path = join(folder, "tokenizer.json");
    if (!path)
        return lspo_tokenizer_no_memory(l.path);
    if (has_file(folder, "tokenizer.json")) {
        l.path = path;
        status = load_tokenizer_json(&l);
    } else {
        status = load_two_files(&l, folder, config);
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
