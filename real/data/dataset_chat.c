/* dataset_chat.c - convert records of chats to rows.  See dataset.h. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buffer.h"
#include "real/data/dataset_state.h"

/* The messages of one record. */
typedef struct {
    lspo_dataset_t *dataset;
    lspo_part_t *part;
    const char *where;
    lspo_chat_message_t *messages;
    lspo_buffer_t *joined; /* of each message: its text if it came in pieces */
    size_t count, room;
    const char *skip; /* why the record is left out; NULL: it is not */
} chat_t;

/* ---- fields ---- */

typedef enum { SYSTEM = LSPO_ROLE_SYSTEM, USER, ASSISTANT, TOOL, UNKNOWN } speaker_t;

static const struct {
    const char *name;
    speaker_t speaker;
} speakers[] = {{"system", SYSTEM},          {"user", USER},        {"human", USER},      {"prompter", USER},
                {"assistant", ASSISTANT},    {"gpt", ASSISTANT},    {"model", ASSISTANT}, {"chatgpt", ASSISTANT},
                {"bing", ASSISTANT},         {"bard", ASSISTANT},   {"tool", TOOL},       {"function", TOOL},
                {"function_call", TOOL},     {"observation", TOOL}, {"tool_call", TOOL},  {"tool_response", TOOL},
                {"function_response", TOOL}, {"ipython", TOOL}};

static speaker_t speaker_of(const char *name)
{
    for (size_t i = 0; i < sizeof speakers / sizeof speakers[0]; i++)
        if (strcmp(speakers[i].name, name) == 0)
            return speakers[i].speaker;
    return UNKNOWN;
}

static const char uses_tools[] = "it calls tools";

/* Calls of tools are not part of the texts that a template is known to write. */
static bool has_tools(const json_t *object)
{
    static const char *const keys[] = {"tools", "functions", "tool_calls", "function_call", "tool_call_id"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = json_object_get(object, keys[i]);
        const bool no_list = json_is_string(value) && strcmp(json_string_value(value), "[]") == 0;
        if (value && !lspo_record_is_empty(value) && !no_list)
            return true;
    }
    return false;
}

/* {"role", "content"} or {"from", "value"}; *key_out is the name that the message has. */
static const json_t *either(const json_t *message, const char *first, const char *second, const char **key_out)
{
    const json_t *value = lspo_record_field(message, first);
    *key_out = first;
    if (value)
        return value;
    value = lspo_record_field(message, second);
    if (value)
        *key_out = second;
    return value;
}

static lspo_status_t note_others(const chat_t *chat, const json_t *message)
{
    static const char *const used[] = {"role", "from", "content", "value", "weight"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)message, key, value)
    {
        bool known = lspo_record_is_empty(value);
        for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
            known |= strcmp(used[i], key) == 0;
        if (!known)
            lspo_dataset_note_unused(chat->part, key);
    }
    return LSPO_OK;
}

/* ---- messages ---- */

static lspo_status_t refuse(const chat_t *chat, const char *key, const json_t *value, const char *wanted)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: message %zu: \"%s\" is %s, not %s", chat->where, chat->count + 1, key,
                      value ? lspo_record_type(value) : "absent", wanted);
}

static lspo_status_t make_room(chat_t *chat)
{
    size_t room = chat->room;
    lspo_status_t status = lspo_array_grow(&chat->messages, &room, chat->count + 1, sizeof *chat->messages, "messages");
    if (status != LSPO_OK)
        return status;
    status = lspo_array_grow(&chat->joined, &chat->room, chat->count + 1, sizeof *chat->joined, "messages");
    if (status != LSPO_OK)
        return status;
    chat->room = chat->room < room ? chat->room : room;
    chat->joined[chat->count] = (lspo_buffer_t){0};
    return LSPO_OK;
}

/* [{"type": "text", "text": "..."}, ...] is their texts one after the other. */
static lspo_status_t join_pieces(chat_t *chat, const char *key, const json_t *pieces, lspo_buffer_t *out)
{
    size_t index;
    json_t *piece;
    json_array_foreach(pieces, index, piece)
    {
        const json_t *type = json_object_get(piece, "type"), *text = json_object_get(piece, "text");
        if (json_is_string(type) && strcmp(json_string_value(type), "text") != 0)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: message %zu: its \"%s\" has a part of type \"%s\"; only text is known", chat->where,
                              chat->count + 1, key, json_string_value(type));
        if (!json_is_string(text))
            return refuse(chat, key, pieces, "a string or a list of {\"type\":\"text\",\"text\"}");
        lspo_status_t status = lspo_buffer_append(out, json_string_value(text), json_string_length(text));
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t take_content(chat_t *chat, const json_t *message, lspo_chat_message_t *out)
{
    const char *key;
    const json_t *value = either(message, "content", "value", &key);
    lspo_buffer_t *joined = &chat->joined[chat->count];
    if (json_is_string(value)) {
        out->text = json_string_value(value);
        out->bytes = json_string_length(value);
        return LSPO_OK;
    }
    if (!json_is_array(value))
        return refuse(chat, key, value ? value : json_object_get(message, key),
                      "a string or a list of {\"type\":\"text\",\"text\"}");
    lspo_status_t status = join_pieces(chat, key, value, joined);
    out->text = joined->text ? joined->text : "";
    out->bytes = joined->bytes;
    return status;
}

/* OpenAI's weight of an answer: 0 takes it out of the loss. */
static lspo_status_t take_weight(const chat_t *chat, const json_t *message, lspo_chat_message_t *out)
{
    const json_t *weight = lspo_record_field(message, "weight");
    const double value = json_is_number(weight) ? json_number_value(weight) : -1;
    if (!weight)
        return LSPO_OK;
    if (value != 0 && value != 1)
        return lspo_error(LSPO_ERR_INPUT, "%s: message %zu: \"weight\" must be 0 or 1", chat->where, chat->count + 1);
    out->counts &= value == 1;
    return LSPO_OK;
}

static lspo_status_t take_message(chat_t *chat, const json_t *message, bool counts)
{
    const char *key;
    if (!json_is_object(message))
        return lspo_error(LSPO_ERR_INPUT, "%s: message %zu is %s, not an object", chat->where, chat->count + 1,
                          lspo_record_type(message));
    const json_t *role = either(message, "role", "from", &key);
    if (!json_is_string(role))
        return refuse(chat, key, role ? role : json_object_get(message, key), "a string");
    const speaker_t speaker = speaker_of(json_string_value(role));
    if (speaker == UNKNOWN)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s: message %zu: \"%s\" is \"%s\", which is none of system, user, assistant, tool (or human, "
            "gpt, ...)",
            chat->where, chat->count + 1, key, json_string_value(role));
    if (speaker == TOOL || has_tools(message)) {
        chat->skip = uses_tools;
        return LSPO_OK;
    }
    lspo_status_t status = make_room(chat);
    if (status != LSPO_OK)
        return status;
    lspo_chat_message_t *out = &chat->messages[chat->count];
    *out = (lspo_chat_message_t){.role = (lspo_role_t)speaker, .counts = counts};
    status = take_weight(chat, message, out);
    if (status != LSPO_OK)
        return status;
    status = take_content(chat, message, out);
    chat->count++; /* with its buffer, also if that is incomplete */
    return status == LSPO_OK ? note_others(chat, message) : status;
}

static lspo_status_t take_list(chat_t *chat, const char *key, const json_t *list, bool counts)
{
    size_t index;
    json_t *message;
    if (!json_is_array(list))
        return lspo_error(LSPO_ERR_INPUT, "%s: \"%s\" is %s, not a list of messages", chat->where, key,
                          lspo_record_type(list));
    json_array_foreach(list, index, message)
    {
        lspo_status_t status = chat->skip ? LSPO_OK : take_message(chat, message, counts);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* A record may have its system message outside of the list. */
static lspo_status_t take_system(chat_t *chat, const json_t *record)
{
    const json_t *system = lspo_record_field(record, "system");
    if (!system || lspo_record_is_empty(system))
        return LSPO_OK;
    if (!json_is_string(system))
        return lspo_error(LSPO_ERR_INPUT, "%s: \"system\" is %s, not a string", chat->where, lspo_record_type(system));
    lspo_status_t status = make_room(chat);
    if (status != LSPO_OK)
        return status;
    chat->messages[chat->count++] = (lspo_chat_message_t){
        .role = LSPO_ROLE_SYSTEM, .text = json_string_value(system), .bytes = json_string_length(system)};
    return LSPO_OK;
}

static lspo_status_t take_record(chat_t *chat, const json_t *record)
{
    const char *key;
    const json_t *list = either(record, "messages", "conversations", &key);
    lspo_status_t status = take_system(chat, record);
    if (status != LSPO_OK)
        return status;
    const size_t before = chat->count;
    if (has_tools(record)) {
        chat->skip = uses_tools;
        return LSPO_OK;
    }
    if (list)
        status = take_list(chat, key, list, true);
    else
        status =
            take_list(chat, chat->dataset->prompt_field, json_object_get(record, chat->dataset->prompt_field), false);
    if (status == LSPO_OK && !list)
        status =
            take_list(chat, chat->dataset->answer_field, json_object_get(record, chat->dataset->answer_field), true);
    if (status == LSPO_OK && before > 0 && chat->count > before && chat->messages[before].role == LSPO_ROLE_SYSTEM)
        return lspo_error(LSPO_ERR_INPUT, "%s: it has \"system\" and a system message", chat->where);
    return status;
}

static bool has_answer(const chat_t *chat)
{
    bool found = false;
    for (size_t i = 0; i < chat->count; i++)
        found |=
            chat->messages[i].role == LSPO_ROLE_ASSISTANT && chat->messages[i].counts && chat->messages[i].bytes > 0;
    return found;
}

/* ---- rows ---- */

/* A chat that is longer than a row ends after its last answer that fits; if none does, its first is cut off. */
static size_t fitting(const lspo_chat_tokens_t *tokens, size_t room)
{
    size_t count = room;
    if (tokens->tokens.count <= room)
        return tokens->tokens.count;
    for (size_t i = 0; i < tokens->answer_count && tokens->answers[i].end <= room; i++)
        count = tokens->answers[i].end;
    return count;
}

static lspo_status_t add_answers(lspo_part_t *part, const lspo_chat_tokens_t *tokens, size_t count, lspo_row_t *row)
{
    row->first_answer = part->answer_count;
    for (size_t i = 0; i < tokens->answer_count; i++) {
        lspo_answer_t answer = tokens->answers[i];
        answer.end = answer.end < count ? answer.end : (uint32_t)count;
        if (answer.begin >= answer.end || answer.end < 2)
            continue;
        lspo_status_t status = lspo_array_grow(&part->answers, &part->answer_capacity, part->answer_count + 1,
                                               sizeof *part->answers, "answers");
        if (status != LSPO_OK)
            return status;
        part->answers[part->answer_count++] = answer;
    }
    row->answer_count = (uint32_t)(part->answer_count - row->first_answer);
    return LSPO_OK;
}

static lspo_status_t add_chat(lspo_dataset_t *dataset, lspo_part_t *part, const lspo_chat_tokens_t *tokens)
{
    const size_t count = fitting(tokens, (size_t)dataset->sequence + 1);
    lspo_row_t row = {.first = part->tokens.count, .count = (uint32_t)count};
    lspo_status_t status = add_answers(part, tokens, count, &row);
    if (status != LSPO_OK)
        return status;
    if (row.answer_count == 0) {
        part->dropped++;
        return LSPO_OK;
    }
    part->cut += count < tokens->tokens.count;
    part->lost_systems += tokens->lost_system;
    if (dataset->loss_all) {
        part->answer_count = row.first_answer;
        row.answer_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        status = lspo_tokens_append(&part->tokens, tokens->tokens.ids[i]);
        if (status != LSPO_OK)
            return status;
    }
    return lspo_dataset_add_row(part, &row);
}

static lspo_status_t convert(chat_t *chat)
{
    lspo_dataset_t *dataset = chat->dataset;
    lspo_chat_tokens_t tokens = {0};
    lspo_status_t status = dataset->chat ? LSPO_OK : lspo_chat_open(&dataset->chat_source, &dataset->chat);
    if (status != LSPO_OK)
        return status;
    const char *why = lspo_chat_refusal(dataset->chat, chat->messages, chat->count);
    if (why) {
        lspo_dataset_skip(chat->part, chat->where, why);
        return LSPO_OK;
    }
    status = lspo_chat_encode(dataset->chat, &dataset->encoder, chat->messages, chat->count, &tokens);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_chat(dataset, chat->part, &tokens);
cleanup:
    lspo_chat_tokens_release(&tokens);
    return status;
}

lspo_status_t lspo_dataset_add_chat(lspo_dataset_t *dataset, lspo_part_t *part, const char *where, const json_t *record)
{
    chat_t chat = {.dataset = dataset, .part = part, .where = where};
    lspo_status_t status = take_record(&chat, record);
    if (status != LSPO_OK)
        goto cleanup;
    if (!chat.skip && !has_answer(&chat))
        chat.skip = LSPO_NO_ANSWER;
    if (chat.skip)
        lspo_dataset_skip(part, where, chat.skip);
    else
        status = convert(&chat);
cleanup:
    for (size_t i = 0; i < chat.count; i++)
        free(chat.joined[i].text);
    free(chat.joined);
    free(chat.messages);
    return status;
}

lspo_status_t lspo_dataset_add_question(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                        lspo_text_span_t question, lspo_text_span_t answer)
{
    lspo_chat_message_t messages[] = {
        {.role = LSPO_ROLE_USER, .text = question.data, .bytes = question.bytes},
        {.role = LSPO_ROLE_ASSISTANT, .text = answer.data, .bytes = answer.bytes, .counts = true}};
    chat_t chat = {.dataset = dataset, .part = part, .where = where, .messages = messages, .count = 2};
    if (answer.bytes > 0)
        return convert(&chat);
    lspo_dataset_skip(part, where, LSPO_NO_ANSWER);
    return LSPO_OK;
}
