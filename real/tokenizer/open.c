/* open.c - load a tokenizer from the files of a folder. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_file.h"
#include "real/tokenizer/files.h"
#include "real/tokenizer/json.h"
#include "real/tokenizer/roles.h"
#include "real/tokenizer/state.h"
#include "real/tokenizer/two_files.h"

/* 256 bytes and a few other ids, as in models of bytes. */
enum { BYTES_VOCABULARY_MAX = 384 };

/* The part being read, for messages. */
typedef struct {
    lspo_tokenizer_t *t;
    const char *path;
    bool has_post_processor;
} loader_t;

/* -- post_processor, decoder ------------------------------------------------------------------------------------ */

typedef struct {
    uint32_t *ids, *count;
} place_t;

static place_t before_text(lspo_tokenizer_t *t)
{
    return (place_t){t->before, &t->before_count};
}

static place_t after_text(lspo_tokenizer_t *t)
{
    return (place_t){t->after, &t->after_count};
}

static place_t between_texts(lspo_tokenizer_t *t)
{
    return (place_t){t->between, &t->between_count};
}

static lspo_status_t add_template_id(const loader_t *l, uint32_t id, place_t to)
{
    lspo_tokenizer_t *t = l->t;
    if (id >= t->token_count || !t->tokens[id].text)
        return lspo_tokenizer_refuse(l->path, "post_processor: there is no token %" PRIu32, id);
    if (*to.count == LSPO_TOKENIZER_TEMPLATE_MAX)
        return lspo_tokenizer_refuse(l->path, "post_processor adds more than %d tokens", LSPO_TOKENIZER_TEMPLATE_MAX);
    to.ids[(*to.count)++] = id;
    return LSPO_OK;
}

/* The ids of a piece of a template. */
static lspo_status_t add_special(const loader_t *l, const json_t *specials, const char *name, place_t to)
{
    const json_t *ids = json_object_get(json_object_get(specials, name ? name : ""), "ids");
    size_t index;
    json_t *value;
    if (json_array_size(ids) == 0)
        return lspo_tokenizer_refuse(l->path, "post_processor: its template is not supported");
    json_array_foreach(ids, index, value)
    {
        uint32_t id = 0;
        lspo_status_t status = lspo_tokenizer_take_id(l->path, name, value, &id);
        if (status != LSPO_OK)
            return status;
        status = add_template_id(l, id, to);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static bool is_same(place_t a, place_t b)
{
    return *a.count == *b.count && memcmp(a.ids, b.ids, *a.count * sizeof *a.ids) == 0;
}

/* The template of two texts: what is between them, if before and after them is what one text has. */
static lspo_status_t take_pair_template(const loader_t *l, const json_t *pieces, const json_t *specials)
{
    uint32_t ids[2][LSPO_TOKENIZER_TEMPLATE_MAX], counts[2] = {0};
    const place_t places[] = {{ids[0], &counts[0]}, between_texts(l->t), {ids[1], &counts[1]}};
    size_t index, texts = 0;
    json_t *piece;
    json_array_foreach(pieces, index, piece)
    {
        const char *name = lspo_json_text(json_object_get(piece, "SpecialToken"), "id");
        const char *text = lspo_json_text(json_object_get(piece, "Sequence"), "id");
        if (text && (texts == 2 || strcmp(text, texts == 0 ? "A" : "B") != 0))
            return LSPO_OK; /* another order: no pairs */
        texts += text != NULL;
        lspo_status_t status = text ? LSPO_OK : add_special(l, specials, name, places[texts]);
        if (status != LSPO_OK)
            return status;
    }
    l->t->pairs = texts == 2 && is_same(places[0], before_text(l->t)) && is_same(places[2], after_text(l->t));
    return LSPO_OK;
}

static lspo_status_t take_template(const loader_t *l, const json_t *member)
{
    const json_t *specials = json_object_get(member, "special_tokens");
    bool after = false;
    size_t index;
    json_t *piece;
    if (l->t->before_count + l->t->after_count > 0)
        return lspo_tokenizer_refuse(l->path, "post_processor: two templates are not supported");
    json_array_foreach(json_object_get(member, "single"), index, piece)
    {
        const char *name = lspo_json_text(json_object_get(piece, "SpecialToken"), "id");
        if (!name && json_object_get(piece, "Sequence") && !after) {
            after = true;
            continue;
        }
        lspo_status_t status = add_special(l, specials, name, after ? after_text(l->t) : before_text(l->t));
        if (status != LSPO_OK)
            return status;
    }
    if (!after)
        return lspo_tokenizer_refuse(l->path, "post_processor: a template without the text is not supported");
    return take_pair_template(l, json_object_get(member, "pair"), specials);
}

/* "cls": ["<s>", 0] */
static lspo_status_t take_named(const loader_t *l, const json_t *member, const char *key, place_t to)
{
    uint32_t id = 0;
    lspo_status_t status = lspo_tokenizer_take_id(l->path, key, json_array_get(json_object_get(member, key), 1), &id);
    if (status != LSPO_OK)
        return status;
    return add_template_id(l, id, to);
}

/* <s> A </s></s> B </s>, or [CLS] A [SEP] B [SEP] */
static lspo_status_t take_named_pair(const loader_t *l, const json_t *member)
{
    lspo_status_t status = take_named(l, member, "cls", before_text(l->t));
    if (status != LSPO_OK)
        return status;
    status = take_named(l, member, "sep", after_text(l->t));
    if (status != LSPO_OK)
        return status;
    l->t->pairs = true;
    status = take_named(l, member, "sep", between_texts(l->t));
    if (status != LSPO_OK || lspo_json_is_type(member, "BertProcessing"))
        return status;
    return take_named(l, member, "sep", between_texts(l->t));
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
    return take_named_pair(l, member);
}

/* Ids do not depend on the decoder: if it is unknown, the tokenizer can encode, but not decode. */
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

/* "eos_token": "</s>" or {"content": "</s>"}; otherwise the first of the usual names in the vocabulary. */
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
    const bool has_none = json_is_null(json_object_get(config, "bos_token"));
    t->begin = has_none ? LSPO_TOKEN_NONE : find_role(t, config, "bos_token", begins);
    t->end = find_role(t, config, "eos_token", ends);
    t->pad = find_role(t, config, "pad_token", pads);
}

/* Llama's tokenizer classes add a begin token if neither file says otherwise. */
static bool begins_by_class(const json_t *config)
{
    static const char *const classes[] = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"};
    const char *name = lspo_json_text(config, "tokenizer_class");
    bool found = false;
    for (size_t i = 0; name && i < sizeof classes / sizeof classes[0]; i++)
        found |= strncmp(name, classes[i], strlen(classes[i])) == 0;
    return found;
}

/* add_bos_token and add_eos_token in tokenizer_config.json have priority over the post-processor, except for a role
 * that is null: it has no token to add. */
static lspo_status_t take_template_flags(const loader_t *l, const json_t *config)
{
    const struct {
        const char *key, *role;
        uint32_t id, *count, *ids;
        bool otherwise;
    } sides[] = {{"add_bos_token", "bos_token", l->t->begin, &l->t->before_count, l->t->before,
                  !l->has_post_processor && begins_by_class(config)},
                 {"add_eos_token", "eos_token", l->t->end, &l->t->after_count, l->t->after, false}};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(config, sides[i].key);
        if (!json_is_boolean(value) && !sides[i].otherwise)
            continue;
        const bool adds = lspo_json_flag(config, sides[i].key, sides[i].otherwise);
        if (adds && json_is_null(json_object_get(config, sides[i].role)))
            continue;
        if (adds && sides[i].id == LSPO_TOKEN_NONE)
            return lspo_tokenizer_refuse(
                l->path, "%s is true in tokenizer_config.json, but it does not name that token", sides[i].key);
        *sides[i].count = adds ? 1 : 0;
        sides[i].ids[0] = sides[i].id;
        l->t->pairs = false; /* the template of pairs does not say what it has then */
    }
    if (l->t->before_count > 1 || l->t->after_count > 1)
        return lspo_tokenizer_refuse(
            l->path, "post_processor puts %" PRIu32 " tokens before a text and %" PRIu32 " after it; one is supported",
            l->t->before_count, l->t->after_count);
    return LSPO_OK;
}

/* -- files --------------------------------------------------------------------------------------------------------- */

static bool has_file(const char *folder, const char *name)
{
    char path[PATH_MAX]; /* not allocated: lack of memory is no answer */
    return snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_MAX && access(path, R_OK) == 0;
}

/* The added tokens of the file, and those that only the config names. */
static lspo_status_t load_tokens(loader_t *l, const json_t *object, const json_t *config)
{
    const json_t *model = json_object_get(object, "model"), *listed = json_object_get(object, "added_tokens");
    json_t *added = json_is_array(listed) ? lspo_json_copy(listed) : json_array();
    if (!added)
        return lspo_no_memory("%s", l->path);
    lspo_status_t status = lspo_roles_add(l->path, json_object_get(model, "vocab"), config, added);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_tokenizer_load_vocabulary(l->t, l->path, model, added);
cleanup:
    json_decref(added);
    return status;
}

static lspo_status_t take_tokenizer_json(loader_t *l, const json_t *object, const json_t *config)
{
    lspo_tokenizer_t *t = l->t;
    const json_t *model = json_object_get(object, "model"), *decoder = json_object_get(object, "decoder");
    lspo_status_t status = lspo_normalizer_create(l->path, json_object_get(object, "normalizer"), &t->normalizer);
    if (status != LSPO_OK)
        return status;
    status = lspo_splitter_create(l->path, json_object_get(object, "pre_tokenizer"), &t->splitter);
    if (status != LSPO_OK)
        return status;
    status = load_tokens(l, object, config);
    if (status != LSPO_OK)
        return status;
    status = lspo_tokenizer_load_model(t, l->path, model);
    if (status != LSPO_OK)
        return status;
    status = lspo_json_each(l, json_object_get(object, "post_processor"), "processors", take_post_processor);
    if (status != LSPO_OK)
        return status;
    t->byte_level = lspo_splitter_is_byte_level(t->splitter);
    t->metaspace = lspo_splitter_is_metaspace(t->splitter, &t->metaspace_prepends);
    t->decode_spaces = !decoder || json_is_null(decoder);
    t->decode_unsupported = t->decode_spaces && t->byte_level;
    return lspo_json_each(l, decoder, "decoders", take_decoder);
}

static lspo_status_t load_tokenizer_json(loader_t *l, const json_t *config)
{
    json_t *object = NULL;
    lspo_status_t status = lspo_json_file_read(l->path, &object);
    if (status != LSPO_OK)
        return status;
    l->has_post_processor = json_is_object(json_object_get(object, "post_processor"));
    status = take_tokenizer_json(l, object, config);
    json_decref(object);
    return status;
}

/* -- GPT-2's and RoBERTa's two files, converted to tokenizer.json ------------------------------------------------- */

static lspo_status_t load_two_files(loader_t *l, const char *folder, json_t *config)
{
    json_t *object = NULL;
    lspo_status_t status = lspo_two_files_read(folder, config, &object);
    if (status != LSPO_OK)
        return status;
    status = take_tokenizer_json(l, object, config);
    json_decref(object);
    return status;
}

/* tokenizer_config.json, and special_tokens_map.json, which in older folders has priority for roles; if the former has
 * added_tokens_decoder, the latter is ignored. */
static lspo_status_t load_config(const char *folder, json_t **config_out)
{
    json_t *map = NULL;
    lspo_status_t status = lspo_json_load_optional(folder, "tokenizer_config.json", config_out);
    if (status != LSPO_OK)
        return status;
    status = lspo_json_load_optional(folder, "special_tokens_map.json", &map);
    if (status != LSPO_OK)
        return status;
    if (!*config_out)
        *config_out = json_object();
    const bool counts = map && !json_object_get(*config_out, "added_tokens_decoder");
    if (!*config_out || (counts && json_object_update(*config_out, map) != 0))
        status = lspo_no_memory("the tokenizer of %s", folder);
    json_decref(map);
    return status;
}

static lspo_status_t load_files(loader_t *l, const char *folder, const char *path, json_t *config)
{
    if (!has_file(folder, "tokenizer.json"))
        return load_two_files(l, folder, config);
    l->path = path;
    return load_tokenizer_json(l, config);
}

static lspo_status_t load(lspo_tokenizer_t *t, const char *folder, json_t *config)
{
    loader_t l = {.t = t, .path = folder};
    char *path = lspo_path_in(folder, "tokenizer.json");
    if (!path)
        return lspo_no_memory("%s", l.path);
    lspo_status_t status = load_files(&l, folder, path, config);
    if (status != LSPO_OK)
        goto cleanup;
    find_roles(t, config);
    status = take_template_flags(&l, config);
cleanup:
    free(path);
    return status;
}

static lspo_status_t load_folder(lspo_tokenizer_t *t, const char *folder)
{
    json_t *config = NULL;
    lspo_status_t status = load_config(folder, &config);
    if (status != LSPO_OK)
        goto cleanup;
    status = load(t, folder, config);
cleanup:
    json_decref(config);
    return status;
}

lspo_status_t lspo_tokenizer_open(const char *folder, lspo_tokenizer_t **tokenizer_out)
{
    bool found = false;
    lspo_status_t status = lspo_tokenizer_find(folder, &found);
    if (status != LSPO_OK)
        return status;
    if (!found)
        return lspo_error(LSPO_ERR_INPUT, "%s has neither tokenizer.json nor vocab.json and merges.txt", folder);
    lspo_tokenizer_t *t = calloc(1, sizeof *t);
    if (!t)
        return lspo_no_memory("the tokenizer of %s", folder);
    t->unknown = LSPO_TOKEN_NONE;
    status = load_folder(t, folder);
    if (status != LSPO_OK) {
        lspo_tokenizer_close(t);
        return status;
    }
    *tokenizer_out = t;
    return LSPO_OK;
}

/* A model whose config.json names a tokenizer has one, even if its vocabulary is 256 bytes and three more. */
static lspo_status_t refuse_named_class(const char *folder)
{
    json_t *model = NULL;
    lspo_status_t status = lspo_json_load_optional(folder, "config.json", &model);
    if (status != LSPO_OK)
        return status;
    const char *class = lspo_json_text(model, "tokenizer_class");
    if (class)
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s/config.json names a tokenizer, %s, which is not in the folder: put its tokenizer.json "
                            "beside config.json",
                            folder, class);
    json_decref(model);
    return status;
}

lspo_status_t lspo_tokenizer_open_model(const char *folder, uint32_t vocabulary, lspo_tokenizer_t **tokenizer_out)
{
    bool found = false;
    lspo_status_t status = lspo_tokenizer_find(folder, &found);
    if (status != LSPO_OK)
        return status;
    if (found)
        return lspo_tokenizer_open(folder, tokenizer_out);
    status = refuse_named_class(folder);
    if (status != LSPO_OK)
        return status;
    if (vocabulary > BYTES_VOCABULARY_MAX)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s has no tokenizer, and its vocabulary of %" PRIu32
                          " is not that of bytes (%d at most): put "
                          "its tokenizer.json beside config.json",
                          folder, vocabulary, BYTES_VOCABULARY_MAX);
    *tokenizer_out = NULL;
    return LSPO_OK;
}
