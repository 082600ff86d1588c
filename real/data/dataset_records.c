/* dataset_records.c - convert JSON records to rows.  See dataset.h. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "real/data/dataset_state.h"

enum { FIELDS_MAX = 3 };

typedef struct {
    const char *name;
    const char *fields[FIELDS_MAX];
} form_t;

static const form_t forms[] = {
    [LSPO_FORM_TEXT] = {"{\"text\"}", {"text"}},
    [LSPO_FORM_PROMPT] = {"{\"prompt\",\"completion\"}", {"prompt", "completion"}},
    [LSPO_FORM_ALPACA] = {"{\"instruction\",\"input\",\"output\"}", {"instruction", "input", "output"}},
    [LSPO_FORM_LABEL] = {"{\"text\",\"label\"}", {"text", "label", "text_pair"}},
    [LSPO_FORM_CHAT] = {"{\"messages\"}", {"messages", "conversations", "system"}},
};

/* Fields that other tools make part of the prompt: without them the training would use another prompt. */
static const char *const prompt_fields[] = {
    "system",        "system_prompt", "system_message", "history",  "chat_history", "context",   "conversation",
    "conversations", "messages",      "dialog",         "dialogue", "documents",    "knowledge", "tools",
    "functions",     "image",         "images",         "audio",    "video",        "text_pair", "sentence2"};

/* Fields that records have in place of a prompt and its completion. */
static const char *const usual_pairs[][2] = {
    {"question", "answer"}, {"question", "response"}, {"prompt", "response"},      {"prompt", "answer"},
    {"prompt", "output"},   {"query", "response"},    {"instruction", "response"}, {"instruction", "completion"},
    {"input", "output"},    {"source", "target"}};

static const char *const tool_fields[] = {"tools", "functions"};

const char *lspo_form_name(lspo_form_t form)
{
    return forms[form].name;
}

/* Whether it has the texts of many records. */
static bool is_column(const json_t *value)
{
    return json_is_object(value) || json_is_string(json_array_get(value, 0));
}

/* A string of a record. */
static lspo_status_t text_of(const char *where, const json_t *record, const char *key, lspo_text_span_t *text_out)
{
    const json_t *value = json_object_get(record, key);
    if (!json_is_string(value))
        return lspo_error(
            LSPO_ERR_INPUT, "%s: \"%s\" is %s, not a string%s", where, key, value ? lspo_record_type(value) : "absent",
            is_column(value) ? "; if it is a column of a table, write a record for each of its rows" : "");
    *text_out = (lspo_text_span_t){json_string_value(value), json_string_length(value)};
    return LSPO_OK;
}

/* ---- the form of a record ---- */

static bool is_messages(const json_t *value)
{
    return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* -1: none. */
static int find_form(const lspo_dataset_t *dataset, const json_t *record)
{
    const json_t *prompt = lspo_record_field(record, dataset->prompt_field);
    const json_t *answer = lspo_record_field(record, dataset->answer_field);
    const json_t *messages = lspo_record_field(record, "messages");
    const json_t *conversations = lspo_record_field(record, "conversations");
    if (dataset->class_count > 0)
        return lspo_record_field(record, "text") && lspo_record_field(record, "label") ? (int)LSPO_FORM_LABEL : -1;
    if (is_messages(prompt) && is_messages(answer))
        return LSPO_FORM_CHAT;
    if (dataset->mapped)
        return LSPO_FORM_PROMPT;
    if (is_messages(messages) || is_messages(conversations))
        return LSPO_FORM_CHAT;
    if (prompt && answer)
        return LSPO_FORM_PROMPT;
    if (lspo_record_field(record, "instruction") && lspo_record_field(record, "output"))
        return LSPO_FORM_ALPACA;
    if (lspo_record_field(record, "text"))
        return LSPO_FORM_TEXT;
    return messages || conversations ? (int)LSPO_FORM_CHAT : -1;
}

bool lspo_dataset_knows_record(const lspo_dataset_t *dataset, const json_t *record)
{
    return json_is_object(record) && find_form(dataset, record) >= 0;
}

/* The field that has the records of the whole file; NULL: none. */
static const char *find_wrapped(const lspo_dataset_t *dataset, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (json_is_array(value) && lspo_dataset_knows_record(dataset, json_array_get(value, 0)))
            return key;
    }
    return NULL;
}

static lspo_status_t refuse_record(const lspo_dataset_t *dataset, const char *where, const json_t *record)
{
    if (json_is_array(record))
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s: found an array where a record should be; if the file is one array of records, rename it to .json",
            where);
    if (!json_is_object(record))
        return lspo_error(LSPO_ERR_INPUT, "%s: the record is %s, not an object", where, lspo_record_type(record));
    const char *wrapped = find_wrapped(dataset, (json_t *)record);
    if (wrapped)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the records are in \"%s\" of an object; extract that array (jq '.[\"%s\"]')", where,
                          wrapped, wrapped);
    if (dataset->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier needs %s", where, forms[LSPO_FORM_LABEL].name);
    for (size_t i = 0; i < sizeof usual_pairs / sizeof usual_pairs[0]; i++)
        if (lspo_record_field(record, usual_pairs[i][0]) && lspo_record_field(record, usual_pairs[i][1]))
            return lspo_error(
                LSPO_ERR_INPUT,
                "%s: the record has \"%s\" and \"%s\"; to train on them: --prompt-field %s --answer-field "
                "%s",
                where, usual_pairs[i][0], usual_pairs[i][1], usual_pairs[i][0], usual_pairs[i][1]);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: the record must be one of %s, %s, %s, %s; or name its fields: --prompt-field, "
                      "--answer-field",
                      where, forms[LSPO_FORM_TEXT].name, forms[LSPO_FORM_PROMPT].name, forms[LSPO_FORM_ALPACA].name,
                      forms[LSPO_FORM_CHAT].name);
}

/* ---- fields that a form does not use ---- */

static bool is_among(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count && keys[i]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static bool is_used(const lspo_dataset_t *dataset, lspo_form_t form, const char *key)
{
    const char *const named[] = {dataset->prompt_field, dataset->answer_field};
    if (form == LSPO_FORM_CHAT && is_among(key, tool_fields, sizeof tool_fields / sizeof tool_fields[0]))
        return true; /* such a record is skipped */
    if (form == LSPO_FORM_PROMPT)
        return is_among(key, named, 2);
    return is_among(key, forms[form].fields, FIELDS_MAX);
}

static lspo_status_t check_fields(const lspo_dataset_t *dataset, lspo_part_t *part, const char *where, lspo_form_t form,
                                  json_t *record)
{
    const bool pair =
        form == LSPO_FORM_CHAT && !lspo_record_field(record, "messages") && !lspo_record_field(record, "conversations");
    const char *key;
    json_t *value;
    json_object_foreach(record, key, value)
    {
        if (lspo_record_is_empty(value) || is_used(dataset, form, key) ||
            (pair && is_used(dataset, LSPO_FORM_PROMPT, key)))
            continue;
        if (form != LSPO_FORM_TEXT && is_among(key, prompt_fields, sizeof prompt_fields / sizeof prompt_fields[0]))
            return lspo_error(
                LSPO_ERR_INPUT,
                "%s: \"%s\" has no place in %s, so the prompt would be trained without it; put it into the "
                "prompt or remove the field",
                where, key, forms[form].name);
        lspo_dataset_note_unused(part, key);
    }
    return LSPO_OK;
}

/* ---- rows ---- */

static lspo_status_t append_text(lspo_dataset_t *dataset, lspo_part_t *part, lspo_text_span_t text)
{
    return lspo_encoder_encode(&dataset->encoder, text.data, text.bytes, &part->tokens);
}

static lspo_status_t add_stream_text(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                     const json_t *record)
{
    lspo_text_span_t text = {0};
    lspo_status_t status = text_of(where, record, "text", &text);
    if (status != LSPO_OK)
        return status;
    status = append_text(dataset, part, text);
    if (status != LSPO_OK)
        return status;
    return lspo_dataset_append_special(dataset->encoder.end, &part->tokens);
}

/* The tokens since `first` are one example whose first `prompt_count` are given.  Truncate it to the length of a row,
 * which is one token more than a sequence, and drop it if no token of the completion remains. */
static lspo_status_t finish_example(lspo_dataset_t *dataset, lspo_part_t *part, size_t first, size_t prompt_count)
{
    size_t count = part->tokens.count - first, room = (size_t)dataset->sequence + 1;
    bool cut = count > room;
    if (cut)
        count = room;
    if (prompt_count >= count || count < 2) {
        part->tokens.count = first;
        part->dropped++;
        return LSPO_OK;
    }
    part->cut += cut;
    part->tokens.count = first + count;
    if (dataset->loss_all)
        prompt_count = 0;
    lspo_row_t row = {.first = first, .count = (uint32_t)count, .prompt_count = (uint32_t)prompt_count};
    return lspo_dataset_add_row(part, &row);
}

static lspo_status_t add_pair(lspo_dataset_t *dataset, lspo_part_t *part, lspo_text_span_t prompt,
                              lspo_text_span_t completion)
{
    size_t first = part->tokens.count, prompt_count = 0;
    lspo_status_t status = lspo_dataset_append_special(dataset->encoder.begin, &part->tokens);
    if (status != LSPO_OK)
        return status;
    status = append_text(dataset, part, prompt);
    if (status != LSPO_OK)
        return status;
    prompt_count = part->tokens.count - first;
    status = append_text(dataset, part, completion);
    if (status != LSPO_OK)
        return status;
    status = lspo_dataset_append_special(dataset->encoder.end, &part->tokens);
    if (status != LSPO_OK)
        return status;
    return finish_example(dataset, part, first, prompt_count);
}

static lspo_status_t add_prompt(lspo_dataset_t *dataset, lspo_part_t *part, const char *where, const json_t *record)
{
    lspo_text_span_t prompt = {0}, completion = {0};
    lspo_status_t status = text_of(where, record, dataset->prompt_field, &prompt);
    if (status != LSPO_OK)
        return status;
    const json_t *answer = json_object_get(record, dataset->answer_field);
    if (dataset->mapped && (!answer || lspo_record_is_empty(answer))) {
        lspo_dataset_skip(part, where, LSPO_NO_ANSWER);
        return LSPO_OK;
    }
    status = text_of(where, record, dataset->answer_field, &completion);
    if (status != LSPO_OK)
        return status;
    if (dataset->chat_source.name)
        return lspo_dataset_add_question(dataset, part, where, prompt, completion);
    return add_pair(dataset, part, prompt, completion);
}

/* The caller frees it; NULL without memory. */
static char *join(const lspo_text_span_t *parts, size_t count, size_t *bytes_out)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    char *joined = malloc(bytes + 1);
    *bytes_out = 0;
    for (size_t i = 0; joined && i < count; i++) {
        memcpy(joined + *bytes_out, parts[i].data, parts[i].bytes);
        *bytes_out += parts[i].bytes;
    }
    return joined;
}

#define LITERAL(text)                                                                                                  \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* The exact template of Stanford Alpaca (train.py, PROMPT_DICT), on which models were trained. */
static char *alpaca_prompt(lspo_text_span_t instruction, lspo_text_span_t input, size_t *bytes_out)
{
    const lspo_text_span_t with_input[] = {
        LITERAL("Below is an instruction that describes a task, paired with an input that provides further "
                "context. Write a response that appropriately completes the request.\n\n"
                "### Instruction:\n"),
        instruction, LITERAL("\n\n### Input:\n"), input, LITERAL("\n\n### Response:")};
    const lspo_text_span_t without[] = {
        LITERAL("Below is an instruction that describes a task. Write a response that appropriately completes "
                "the request.\n\n### Instruction:\n"),
        instruction, LITERAL("\n\n### Response:")};
    return input.bytes > 0 ? join(with_input, 5, bytes_out) : join(without, 3, bytes_out);
}

/* The question of an instruction with its input: both, with an empty line between them. */
static char *instruction_question(lspo_text_span_t instruction, lspo_text_span_t input, size_t *bytes_out)
{
    const lspo_text_span_t parts[] = {instruction, LITERAL("\n\n"), input};
    return join(parts, input.bytes > 0 ? 3 : 1, bytes_out);
}

static lspo_status_t add_alpaca(lspo_dataset_t *dataset, lspo_part_t *part, const char *where, const json_t *record)
{
    lspo_text_span_t instruction = {0}, input = {"", 0}, output = {0};
    size_t bytes;
    lspo_status_t status = text_of(where, record, "instruction", &instruction);
    if (status != LSPO_OK)
        return status;
    if (lspo_record_field(record, "input"))
        status = text_of(where, record, "input", &input);
    if (status != LSPO_OK)
        return status;
    status = text_of(where, record, "output", &output);
    if (status != LSPO_OK)
        return status;
    const bool chats = dataset->chat_source.name != NULL;
    char *prompt = chats ? instruction_question(instruction, input, &bytes) : alpaca_prompt(instruction, input, &bytes);
    if (!prompt)
        return lspo_no_memory("a prompt");
    const lspo_text_span_t question = {prompt, bytes};
    status = chats ? lspo_dataset_add_question(dataset, part, where, question, output)
                   : add_pair(dataset, part, question, output);
    free(prompt);
    return status;
}

static lspo_status_t add_label(lspo_dataset_t *dataset, lspo_part_t *part, const char *where, const json_t *record)
{
    lspo_labelled_t labelled = {.where = where, .text_count = 1};
    const json_t *label = json_object_get(record, "label");
    lspo_status_t status = text_of(where, record, "text", &labelled.texts[0]);
    if (status == LSPO_OK && lspo_record_field(record, "text_pair")) {
        labelled.text_count = 2;
        status = text_of(where, record, "text_pair", &labelled.texts[1]);
    }
    if (status != LSPO_OK)
        return status;
    if (json_is_number(label) && lspo_label_target(dataset, json_number_value(label), &labelled.target))
        return lspo_dataset_add_labelled(dataset, part, &labelled);
    if (dataset->class_count == 1)
        return lspo_error(LSPO_ERR_INPUT, "%s: \"label\" must be a number", where);
    return lspo_error(LSPO_ERR_INPUT, "%s: \"label\" must be an integer from 0 to %" PRIu32, where,
                      dataset->class_count - 1);
}

lspo_status_t lspo_dataset_add_record(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                      const json_t *record)
{
    static lspo_status_t (*const add[])(lspo_dataset_t *, lspo_part_t *, const char *,
                                        const json_t *) = {[LSPO_FORM_TEXT] = add_stream_text,
                                                           [LSPO_FORM_PROMPT] = add_prompt,
                                                           [LSPO_FORM_ALPACA] = add_alpaca,
                                                           [LSPO_FORM_LABEL] = add_label,
                                                           [LSPO_FORM_CHAT] = lspo_dataset_add_chat};
    int form = json_is_object(record) ? find_form(dataset, record) : -1;
    if (form < 0)
        return refuse_record(dataset, where, record);
    if (part->form >= 0 && (form == LSPO_FORM_TEXT) != (part->form == LSPO_FORM_TEXT))
        return lspo_error(LSPO_ERR_INPUT, "%s: a record of the form %s among records of the form %s", where,
                          forms[form].name, forms[part->form].name);
    part->form = form;
    lspo_status_t status = check_fields(dataset, part, where, (lspo_form_t)form, (json_t *)record);
    if (status != LSPO_OK)
        return status;
    return add[form](dataset, part, where, record);
}
