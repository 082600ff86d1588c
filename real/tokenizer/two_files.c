/* two_files.c - convert vocab.json and merges.txt to the equivalent tokenizer.json; see two_files.h. */
#include "real/tokenizer/two_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "base/json_file.h"
#include "real/tokenizer/json.h"
#include "real/tokenizer/roles.h"

enum { MERGES_BYTES_MAX = 1 << 28 };

typedef enum { GPT2, ROBERTA, OTHER } kind_t;

/* -- the kind ------------------------------------------------------------------------------------------------------ */

static kind_t kind_of_class(const char *name)
{
    static const struct {
        const char *name;
        kind_t kind;
    } classes[] = {{"GPT2Tokenizer", GPT2},
                   {"RobertaTokenizer", ROBERTA},
                   {"BartTokenizer", ROBERTA},
                   {"LongformerTokenizer", ROBERTA}};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(name, classes[i].name, strlen(classes[i].name)) == 0)
            return classes[i].kind;
    return OTHER;
}

static kind_t kind_of_model(const char *type)
{
    static const char *const robertas[] = {"roberta", "bart", "longformer"};
    kind_t kind = strcmp(type, "gpt2") == 0 ? GPT2 : OTHER;
    for (size_t i = 0; i < sizeof robertas / sizeof robertas[0]; i++)
        kind = strcmp(type, robertas[i]) == 0 ? ROBERTA : kind;
    return kind;
}

/* Without config.json they are GPT-2's, unless they have RoBERTa's tokens. */
static kind_t kind_of_vocabulary(const json_t *vocabulary)
{
    const bool has_all = json_object_get(vocabulary, "<mask>") && json_object_get(vocabulary, "<s>") &&
                         json_object_get(vocabulary, "</s>");
    return has_all ? ROBERTA : GPT2;
}

static lspo_status_t find_kind(const char *folder, const json_t *config, const json_t *vocabulary, kind_t *kind_out)
{
    json_t *model = NULL;
    lspo_status_t status = lspo_json_load_optional(folder, "config.json", &model);
    if (status != LSPO_OK)
        return status;
    const char *class = lspo_json_text(config, "tokenizer_class"), *type = lspo_json_text(model, "model_type");
    class = class ? class : lspo_json_text(model, "tokenizer_class");
    const char *name = class ? class : type;
    *kind_out = class ? kind_of_class(class) : type ? kind_of_model(type) : kind_of_vocabulary(vocabulary);
    if (*kind_out == OTHER)
        status = lspo_tokenizer_refuse(
            folder,
            "vocab.json and merges.txt are read as GPT-2's or RoBERTa's, not as those of %s: convert them to "
            "tokenizer.json",
            name);
    json_decref(model);
    return status;
}

/* -- the tokens of the kind ---------------------------------------------------------------------------------------- */

/* A null in the config is kept: there is no such token. */
static lspo_status_t add_roles(const char *folder, kind_t kind, json_t *config)
{
    static const char *const end = "<|endoftext|>";
    json_t *roles = kind == GPT2
                        ? json_pack("{s:s, s:s, s:s}", "bos_token", end, "eos_token", end, "unk_token", end)
                        : json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:b}}", "bos_token", "<s>", "eos_token",
                                    "</s>", "unk_token", "<unk>", "sep_token", "</s>", "pad_token", "<pad>",
                                    "cls_token", "<s>", "mask_token", "content", "<mask>", "lstrip", 1);
    const int failed = !roles || json_object_update_missing(config, roles) != 0;
    json_decref(roles);
    if (kind == ROBERTA) { /* its class has neither flag, and always adds both */
        json_object_del(config, "add_bos_token");
        json_object_del(config, "add_eos_token");
    }
    return failed ? lspo_no_memory("%s", folder) : LSPO_OK;
}

static const char *role_text(const json_t *config, const char *role, const char *otherwise)
{
    const json_t *value = json_object_get(config, role);
    const char *text = json_is_object(value) ? lspo_json_text(value, "content") : json_string_value(value);
    return text ? text : otherwise;
}

/* ["<s>", 0]; new ids equal those of lspo_roles_add(). */
static json_t *make_pair(const json_t *added, const char *text)
{
    size_t index;
    json_t *token;
    json_array_foreach(added, index, token)
    {
        const char *content = lspo_json_text(token, "content");
        if (content && strcmp(content, text) == 0)
            return json_pack("[s, O]", text, json_object_get(token, "id"));
    }
    return NULL;
}

static json_t *make_post_processor(kind_t kind, const json_t *config, const json_t *added)
{
    if (kind != ROBERTA)
        return json_null();
    return json_pack("{s:s, s:o, s:o}", "type", "RobertaProcessing", "cls",
                     make_pair(added, role_text(config, "cls_token", "<s>")), "sep",
                     make_pair(added, role_text(config, "sep_token", "</s>")));
}

/* added_tokens.json, which is {"token": id}, as {"id": {"content": "token", ...}}. */
static lspo_status_t list_tokens(const char *folder, json_t *more, json_t *listed)
{
    const char *text;
    json_t *value;
    json_object_foreach(more, text, value)
    {
        char id[32];
        snprintf(id, sizeof id, "%" PRId64, (int64_t)json_integer_value(value));
        if (json_is_integer(value) &&
            json_object_set_new(listed, id, json_pack("{s:s, s:b}", "content", text, "special", 0)))
            return lspo_no_memory("%s", folder);
    }
    return LSPO_OK;
}

/* The tokens of added_tokens.json, then those that the config names. */
static lspo_status_t add_tokens(const char *folder, const json_t *vocabulary, const json_t *config, json_t *added)
{
    json_t *more = NULL, *listed = json_object(), *only = json_pack("{s:O}", "added_tokens_decoder", listed);
    lspo_status_t status =
        only ? lspo_json_load_optional(folder, "added_tokens.json", &more) : lspo_no_memory("%s", folder);
    if (status != LSPO_OK)
        goto cleanup;
    status = list_tokens(folder, more, listed);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_roles_add(folder, vocabulary, only, added);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_roles_add(folder, vocabulary, config, added);
cleanup:
    json_decref(only);
    json_decref(listed);
    json_decref(more);
    return status;
}

/* -- files --------------------------------------------------------------------------------------------------------- */

static lspo_status_t take_merges(lspo_input_t *input, const char *path, json_t *merges)
{
    char *line = NULL;
    size_t bytes = 0;
    while (true) {
        lspo_status_t status = lspo_input_line(input, &line, &bytes);
        if (status != LSPO_OK || !line)
            return status;
        if (bytes == 0 || strncmp(line, "#version", 8) == 0)
            continue;
        json_t *merge = strlen(line) == bytes ? json_stringn(line, bytes) : NULL;
        if (!merge)
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": not UTF-8 text", path, lspo_input_line_number(input));
        if (json_array_append_new(merges, merge) != 0)
            return lspo_no_memory("%s", path);
    }
}

/* One pair per line in order of rank; a first line "#version: ..." is not a pair. */
static lspo_status_t read_merges(const char *path, json_t *merges)
{
    lspo_input_t *input = NULL;
    lspo_status_t status = lspo_input_open(path, MERGES_BYTES_MAX, &input);
    if (status != LSPO_OK)
        return status;
    status = take_merges(input, path, merges);
    lspo_input_close(input);
    return status;
}

static lspo_status_t read_files(const char *folder, json_t *merges, json_t **vocabulary_out)
{
    char *vocabulary_path = lspo_path_in(folder, "vocab.json"), *merges_path = lspo_path_in(folder, "merges.txt");
    lspo_status_t status = vocabulary_path && merges_path && merges ? LSPO_OK : lspo_no_memory("%s", folder);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_json_file_read(vocabulary_path, vocabulary_out);
    if (status != LSPO_OK)
        goto cleanup;
    status = read_merges(merges_path, merges);
cleanup:
    free(merges_path);
    free(vocabulary_path);
    return status;
}

lspo_status_t lspo_two_files_read(const char *folder, json_t *config, json_t **object_out)
{
    json_t *vocabulary = NULL, *merges = json_array(), *added = json_array();
    kind_t kind = GPT2;
    lspo_status_t status = added ? read_files(folder, merges, &vocabulary) : lspo_no_memory("%s", folder);
    if (status != LSPO_OK)
        goto cleanup;
    status = find_kind(folder, config, vocabulary, &kind);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_roles(folder, kind, config);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_tokens(folder, vocabulary, config, added);
    if (status != LSPO_OK)
        goto cleanup;
    *object_out =
        json_pack("{s:{s:s, s:O, s:O}, s:O, s:o, s:{s:s, s:b}, s:{s:s}}", "model", "type", "BPE", "vocab", vocabulary,
                  "merges", merges, "added_tokens", added, "post_processor", make_post_processor(kind, config, added),
                  "pre_tokenizer", "type", "ByteLevel", "add_prefix_space",
                  (int)lspo_json_flag(config, "add_prefix_space", false), "decoder", "type", "ByteLevel");
    status = *object_out ? LSPO_OK : lspo_no_memory("%s", folder);
cleanup:
    json_decref(added);
    json_decref(merges);
    json_decref(vocabulary);
    return status;
}
