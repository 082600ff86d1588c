/* chat.c - see chat.h. */
#include "real/data/chat.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buffer.h"
#include "base/json_file.h"
#include "real/data/data_file.h"
#include "real/tokenizer/unicode.h"

struct lspo_chat {
    lspo_chat_template_t form;
    const char *begin, *end; /* the texts of the tokens; of bytes "" and one zero byte */
    size_t end_bytes;
    bool bytes;
    uint32_t answer_end;
};

/* ---- which template ---- */

static const char *string_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* A text, or a list of named ones of which "default" counts. */
static const char *find_default(const json_t *value)
{
    size_t index;
    json_t *item;
    const char *found = json_string_value(value);
    json_array_foreach(value, index, item)
    {
        const char *name = string_at(item, "name");
        if (name && strcmp(name, "default") == 0)
            found = string_at(item, "template");
    }
    return found;
}

static lspo_status_t take_config(const char *path, lspo_chat_template_t *form, bool *found_out)
{
    json_t *config = NULL;
    lspo_status_t status = lspo_json_file_read(path, &config);
    if (status != LSPO_OK)
        return status;
    const json_t *value = json_object_get(config, "chat_template");
    const char *jinja = find_default(value);
    *found_out = jinja != NULL;
    if (jinja)
        status = lspo_chat_template_recognise(path, jinja, form);
    else if (value && !json_is_null(value))
        status =
            lspo_error(LSPO_ERR_INPUT, "%s: chat_template is neither a text nor a list with one named default", path);
    json_decref(config);
    return status;
}

static lspo_status_t take_jinja(const char *path, lspo_chat_template_t *form)
{
    lspo_data_file_t file;
    lspo_status_t status = lspo_data_file_read(path, &file);
    if (status != LSPO_OK)
        return status;
    char *jinja = strndup(file.text, file.bytes);
    status = jinja ? lspo_chat_template_recognise(path, jinja, form) : lspo_no_memory("%s", path);
    free(jinja);
    lspo_data_file_release(&file);
    return status;
}

/* chat_template.jinja has priority over the text in tokenizer_config.json. */
static lspo_status_t find_in_folder(const char *folder, lspo_chat_template_t *form, bool *found_out)
{
    char path[PATH_MAX];
    *found_out = true;
    if (snprintf(path, sizeof path, "%s/chat_template.jinja", folder) < PATH_MAX && access(path, F_OK) == 0)
        return take_jinja(path, form);
    *found_out = false;
    if (snprintf(path, sizeof path, "%s/tokenizer_config.json", folder) < PATH_MAX && access(path, F_OK) == 0)
        return take_config(path, form, found_out);
    return LSPO_OK;
}

static lspo_status_t choose(const lspo_chat_source_t *source, lspo_chat_template_t *form)
{
    bool found = false;
    const bool asked = source->name && strcmp(source->name, LSPO_CHAT_OF_FOLDER) == 0;
    if (source->name && !asked)
        return lspo_chat_template_named(source->name, form);
    lspo_status_t status = source->folder ? find_in_folder(source->folder, form, &found) : LSPO_OK;
    if (status != LSPO_OK || found)
        return status;
    if (asked)
        return lspo_error(LSPO_ERR_INPUT, "--chat-template " LSPO_CHAT_OF_FOLDER ": %s has no chat template",
                          source->folder ? source->folder : "a model that is no folder");
    if (source->folder)
        lspo_warn("%s has no chat template: chats are written as \"User: ...\", \"Assistant: ...\" (plain); to choose "
                  "another: --chat-template NAME",
                  source->folder);
    return lspo_chat_template_named("plain", form);
}

/* ---- the tokenizer's part ---- */

static bool uses(const lspo_chat_template_t *form, const char *what)
{
    bool found = strstr(form->begin, what) || strstr(form->end, what);
    for (size_t i = 0; i < LSPO_ROLE_COUNT; i++)
        found |= strstr(form->turns[i].open, what) || strstr(form->turns[i].close, what) ||
                 strstr(form->turns[i].after, what);
    return found;
}

static lspo_status_t check_marks(const lspo_chat_t *chat, const lspo_tokenizer_t *tokenizer)
{
    static const char *const marks[] = {"<|im_start|>", "<start_of_turn>", "<|start_header_id|>", "<|end|>", "<|EOT|>"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (uses(&chat->form, marks[i]) && (!tokenizer || lspo_tokenizer_id(tokenizer, marks[i]) == LSPO_TOKEN_NONE))
            lspo_warn("the tokenizer has no token %s, so the marks of the chat template %s become several tokens",
                      marks[i], chat->form.name);
    if ((uses(&chat->form, LSPO_CHAT_END) && chat->end_bytes == 0) ||
        (tokenizer && uses(&chat->form, LSPO_CHAT_BEGIN) && *chat->begin == '\0' &&
         strcmp(chat->form.name, "plain") != 0))
        return lspo_error(LSPO_ERR_INPUT, "the chat template %s needs a %s, which the tokenizer lacks", chat->form.name,
                          chat->end_bytes == 0 ? "token that ends a text" : "begin token");
    return LSPO_OK;
}

/* The mark behind an answer: the end token, or the template's own, without blanks around it. */
static uint32_t find_answer_end(const lspo_chat_t *chat, const lspo_tokenizer_t *tokenizer)
{
    const char *close = chat->form.turns[LSPO_ROLE_ASSISTANT].close;
    char mark[64];
    close += strspn(close, " \n");
    const size_t length = strcspn(close, " \n");
    if (!tokenizer)
        return *close == *LSPO_CHAT_END ? 0 : LSPO_NO_TOKEN;
    if (*close == *LSPO_CHAT_END)
        return lspo_tokenizer_id(tokenizer, chat->end);
    snprintf(mark, sizeof mark, "%.*s", (int)length, close);
    return lspo_tokenizer_id(tokenizer, mark);
}

static lspo_status_t take_tokenizer(lspo_chat_t *chat, lspo_tokenizer_t *tokenizer)
{
    chat->bytes = !tokenizer;
    chat->begin = "";
    chat->end = "";
    chat->end_bytes = 1;
    chat->answer_end = find_answer_end(chat, NULL);
    if (!tokenizer)
        return check_marks(chat, tokenizer);
    const bool plain = strcmp(chat->form.name, "plain") == 0;
    chat->begin =
        lspo_tokenizer_text_of(tokenizer, plain ? lspo_tokenizer_begin(tokenizer) : lspo_tokenizer_bos(tokenizer));
    chat->end =
        lspo_tokenizer_text_of(tokenizer, plain ? lspo_tokenizer_end(tokenizer) : lspo_tokenizer_eos(tokenizer));
    chat->end_bytes = strlen(chat->end);
    chat->answer_end = find_answer_end(chat, tokenizer);
    for (size_t i = 0; i < LSPO_ROLE_COUNT; i++) {
        lspo_tokenizer_reserve(tokenizer, chat->form.turns[i].open);
        lspo_tokenizer_reserve(tokenizer, chat->form.turns[i].close);
        lspo_tokenizer_reserve(tokenizer, chat->form.turns[i].after);
    }
    lspo_tokenizer_reserve(tokenizer, chat->begin);
    lspo_tokenizer_reserve(tokenizer, chat->end);
    return check_marks(chat, tokenizer);
}

lspo_status_t lspo_chat_open(const lspo_chat_source_t *source, lspo_chat_t **chat_out)
{
    lspo_chat_t *chat = calloc(1, sizeof *chat);
    if (!chat)
        return lspo_no_memory("a chat template");
    lspo_status_t status = choose(source, &chat->form);
    if (status != LSPO_OK)
        goto failed;
    status = take_tokenizer(chat, source->tokenizer);
    if (status != LSPO_OK)
        goto failed;
    if (chat->form.date)
        lspo_warn("the chat template writes today's date into each chat; here it is always %s, the date that the "
                  "template has for this",
                  chat->form.date);
    *chat_out = chat;
    return LSPO_OK;
failed:
    lspo_chat_close(chat);
    return status;
}

void lspo_chat_close(lspo_chat_t *chat)
{
    if (!chat)
        return;
    lspo_chat_template_release(&chat->form);
    free(chat);
}

const char *lspo_chat_name(const lspo_chat_t *chat)
{
    return chat->form.name;
}

const char *lspo_chat_refusal(const lspo_chat_t *chat, const lspo_chat_message_t *messages, size_t count)
{
    const bool system = count > 0 && messages[0].role == LSPO_ROLE_SYSTEM;
    if (system && chat->form.system_place == LSPO_SYSTEM_NONE)
        return "the chat template has no place for a system message";
    for (size_t i = system; chat->form.alternates && i < count; i++)
        if (messages[i].role != ((i - system) % 2 == 0 ? LSPO_ROLE_USER : LSPO_ROLE_ASSISTANT))
            return "its turns do not alternate, beginning with the user, as the chat template demands";
    for (size_t i = 0; chat->bytes && i < count; i++)
        if (memchr(messages[i].text, '\0', messages[i].bytes))
            return "it contains U+0000, which as a byte is the end token";
    return NULL;
}

/* ---- the text ---- */

typedef struct {
    const lspo_chat_t *chat;
    lspo_buffer_t text;
    lspo_tokenizer_plain_t *plain; /* room for two per message */
    size_t plain_count;
    lspo_tokenizer_stop_t *stops; /* two per answer */
    size_t stop_count;
    const lspo_chat_message_t *messages;
    size_t count, last_question; /* index of the last message that is a question */
    bool asks;                   /* the answer to it follows */
} writer_t;

/* Words of the template. */
static lspo_status_t put_words(writer_t *writer, const char *words)
{
    lspo_status_t status = LSPO_OK;
    for (const char *at = words; status == LSPO_OK && *at != '\0';) {
        const size_t length = strcspn(at, LSPO_CHAT_BEGIN LSPO_CHAT_END);
        status = lspo_buffer_append(&writer->text, at, length);
        at += length;
        if (status != LSPO_OK || *at == '\0')
            break;
        status = *at++ == *LSPO_CHAT_BEGIN
                     ? lspo_buffer_append(&writer->text, writer->chat->begin, strlen(writer->chat->begin))
                     : lspo_buffer_append(&writer->text, writer->chat->end, writer->chat->end_bytes);
    }
    return status;
}

/* A blank for Python's str.strip(). */
static bool is_blank(uint32_t code)
{
    return lspo_unicode_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

static size_t skip_blanks(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        uint32_t code;
        const size_t length = lspo_utf8_next(text, bytes, at, &code);
        if (!is_blank(code))
            break;
        at += length;
    }
    return at;
}

/* The length of a text, from `least` on without the blanks at its end. */
static size_t without_blanks(const char *text, size_t least, size_t bytes)
{
    while (bytes > least) {
        size_t p = bytes - 1;
        uint32_t code;
        while (p > least && ((uint8_t)text[p] & 0xc0) == 0x80)
            p--;
        if (p + lspo_utf8_next(text, bytes, p, &code) != bytes || !is_blank(code))
            break;
        bytes = p;
    }
    return bytes;
}

/* What a message says. */
static lspo_status_t put_content(writer_t *writer, const lspo_chat_message_t *message, bool trims_start, bool trims_end)
{
    const size_t start = trims_start ? skip_blanks(message->text, message->bytes) : 0;
    const size_t end = trims_end ? without_blanks(message->text, start, message->bytes) : message->bytes;
    const size_t begin = writer->text.bytes;
    if (start == end)
        return LSPO_OK;
    writer->plain[writer->plain_count++] = (lspo_tokenizer_plain_t){begin, begin + end - start};
    return lspo_buffer_append(&writer->text, message->text + start, end - start);
}

/* A user's turn may have the system message before it. */
static lspo_status_t put_user_content(writer_t *writer, const lspo_chat_message_t *system,
                                      const lspo_chat_message_t *message)
{
    const lspo_chat_template_t *form = &writer->chat->form;
    const bool trims = form->trims[LSPO_ROLE_USER];
    const size_t begin = writer->text.bytes;
    lspo_status_t status = LSPO_OK;
    if (system) {
        status = put_words(writer, form->system_open);
        if (status != LSPO_OK)
            return status;
        status = put_content(writer, system, false, false);
        if (status != LSPO_OK)
            return status;
        status = put_words(writer, form->system_close);
        if (status != LSPO_OK)
            return status;
    }
    status = put_content(writer, message, trims || (form->trims_whole && !system), trims);
    if (status != LSPO_OK || !form->trims_whole)
        return status;
    writer->text.bytes = without_blanks(writer->text.text, begin, writer->text.bytes);
    lspo_tokenizer_plain_t *last = writer->plain_count > 0 ? &writer->plain[writer->plain_count - 1] : NULL;
    if (last && last->end > writer->text.bytes)
        last->end = writer->text.bytes;
    if (last && last->end <= last->begin)
        writer->plain_count--;
    return LSPO_OK;
}

/* ---- Qwen3's thoughts ---- */

static const char thought_begin[] = "<think>", thought_end[] = "</think>";

static size_t find_last_question(const lspo_chat_message_t *messages, size_t count)
{
    static const char first[] = "<tool_response>", last[] = "</tool_response>";
    for (size_t i = count; i-- > 0;) {
        const lspo_chat_message_t *m = &messages[i];
        const bool begins = m->bytes >= sizeof first - 1 && memcmp(m->text, first, sizeof first - 1) == 0;
        const bool ends =
            m->bytes >= sizeof last - 1 && memcmp(m->text + m->bytes - (sizeof last - 1), last, sizeof last - 1) == 0;
        if (m->role == LSPO_ROLE_USER && !(begins && ends))
            return i;
    }
    return count - 1;
}

static lspo_chat_message_t without_lines(lspo_chat_message_t text, bool first, bool last)
{
    for (; first && text.bytes > 0 && *text.text == '\n'; text.bytes--)
        text.text++;
    while (last && text.bytes > 0 && text.text[text.bytes - 1] == '\n')
        text.bytes--;
    return text;
}

/* What is behind the last `mark` in a text; the whole text if there is none. */
static lspo_chat_message_t behind_last(lspo_chat_message_t text, const char *mark)
{
    for (const char *at; (at = memmem(text.text, text.bytes, mark, strlen(mark))) != NULL;) {
        at += strlen(mark);
        text.bytes -= (size_t)(at - text.text);
        text.text = at;
    }
    return text;
}

/* An answer, with its thoughts if it is one to the last question, as Qwen3's template has it. */
static lspo_status_t put_thinking(writer_t *writer, const lspo_chat_message_t *message)
{
    const size_t place = (size_t)(message - writer->messages);
    const char *end = memmem(message->text, message->bytes, thought_end, sizeof thought_end - 1);
    lspo_chat_message_t thought = {.text = message->text}, said = *message;
    if (end) {
        thought.bytes = (size_t)(end - message->text);
        thought = without_lines(behind_last(without_lines(thought, false, true), thought_begin), true, false);
        said = without_lines(behind_last(said, thought_end), true, false);
    }
    if (place <= writer->last_question || (place + 1 < writer->count && thought.bytes == 0))
        return put_content(writer, &said, false, false);
    lspo_status_t status = put_words(writer, "<think>\n");
    if (status != LSPO_OK)
        return status;
    thought = without_lines(thought, true, true);
    status = put_content(writer, &thought, false, false);
    if (status != LSPO_OK)
        return status;
    status = put_words(writer, "\n</think>\n\n");
    if (status != LSPO_OK)
        return status;
    said = without_lines(said, true, false);
    return put_content(writer, &said, false, false);
}

/* ---- turns ---- */

static lspo_status_t put_said(writer_t *writer, const lspo_chat_message_t *system, const lspo_chat_message_t *message)
{
    const bool trims = writer->chat->form.trims[message->role];
    if (message->role == LSPO_ROLE_USER)
        return put_user_content(writer, system, message);
    if (message->role == LSPO_ROLE_ASSISTANT && writer->chat->form.thinks)
        return put_thinking(writer, message);
    return put_content(writer, message, trims, trims);
}

static lspo_status_t put_turn(writer_t *writer, const lspo_chat_message_t *system, const lspo_chat_message_t *message)
{
    const lspo_chat_template_t *form = &writer->chat->form;
    const lspo_chat_turn_t *turn = &form->turns[message->role];
    const bool counts = message->role == LSPO_ROLE_ASSISTANT && message->counts;
    lspo_status_t status = put_words(writer, turn->open);
    if (status != LSPO_OK)
        return status;
    if (counts)
        writer->stops[writer->stop_count++].at = writer->text.bytes;
    status = put_said(writer, system, message);
    if (status != LSPO_OK)
        return status;
    status = put_words(writer, turn->close);
    if (status != LSPO_OK)
        return status;
    if (counts)
        writer->stops[writer->stop_count++].at = writer->text.bytes;
    return put_words(writer, turn->after);
}

/* A first system turn, with the template's own text. */
static lspo_status_t put_system(writer_t *writer, const lspo_chat_message_t *system)
{
    const lspo_chat_template_t *form = &writer->chat->form;
    const lspo_chat_turn_t *turn = &form->turns[LSPO_ROLE_SYSTEM];
    const bool trims = form->trims[LSPO_ROLE_SYSTEM];
    if ((!system && !form->system) || (system && system->bytes == 0 && form->skips_empty_system))
        return LSPO_OK;
    lspo_status_t status = put_words(writer, turn->open);
    if (status != LSPO_OK)
        return status;
    status = put_words(writer, form->header ? form->header : "");
    if (status != LSPO_OK)
        return status;
    status = system ? put_content(writer, system, trims, trims) : put_words(writer, form->system);
    if (status != LSPO_OK)
        return status;
    status = put_words(writer, turn->close);
    if (status != LSPO_OK)
        return status;
    return put_words(writer, turn->after);
}

/* What stands before an answer.  Blanks alone are a part of it, as templates have them with what it says. */
static lspo_status_t put_answer_open(writer_t *writer)
{
    const char *open = writer->chat->form.turns[LSPO_ROLE_ASSISTANT].open;
    return open[strspn(open, " \n")] != '\0' ? put_words(writer, open) : LSPO_OK;
}

static bool has_late_system(const lspo_chat_message_t *messages, size_t count)
{
    bool found = false;
    for (size_t i = 1; i < count; i++)
        found |= messages[i].role == LSPO_ROLE_SYSTEM;
    return found;
}

static lspo_status_t put_chat(writer_t *writer, const lspo_chat_message_t *messages, size_t count,
                              bool *lost_system_out)
{
    const lspo_chat_template_t *form = &writer->chat->form;
    const lspo_chat_message_t *system = count > 0 && messages[0].role == LSPO_ROLE_SYSTEM ? &messages[0] : NULL;
    const size_t first = system != NULL;
    size_t holder = form->system_place == LSPO_SYSTEM_LAST ? count - 1 : first;
    *lost_system_out = system && form->system_place != LSPO_SYSTEM_TURN &&
                       (holder >= count || messages[holder].role != LSPO_ROLE_USER);
    lspo_status_t status = put_words(writer, form->begin);
    const bool unwanted = form->seeks_system && !system && has_late_system(messages, count);
    if (status == LSPO_OK && form->system_place == LSPO_SYSTEM_TURN && !unwanted)
        status = put_system(writer, system);
    for (size_t i = first; status == LSPO_OK && i < count; i++)
        status = put_turn(writer, system && form->system_place != LSPO_SYSTEM_TURN && i == holder ? system : NULL,
                          &messages[i]);
    if (status != LSPO_OK)
        return status;
    return writer->asks ? put_answer_open(writer) : put_words(writer, form->end);
}

/* ---- tokens ---- */

static lspo_status_t take_answers(const writer_t *writer, lspo_chat_tokens_t *out)
{
    lspo_status_t status = lspo_array_grow(&out->answers, &out->answer_capacity, writer->stop_count / 2 + 1,
                                           sizeof *out->answers, "answers");
    if (status != LSPO_OK)
        return status;
    out->answer_count = writer->stop_count / 2;
    for (size_t i = 0; i < out->answer_count; i++)
        out->answers[i] =
            (lspo_answer_t){(uint32_t)writer->stops[2 * i].token, (uint32_t)writer->stops[2 * i + 1].token};
    return LSPO_OK;
}

static lspo_status_t encode(writer_t *writer, const lspo_encoder_t *encoder, lspo_chat_tokens_t *out)
{
    const lspo_tokenizer_parts_t parts = {writer->text.text,   writer->text.bytes, writer->plain,
                                          writer->plain_count, writer->stops,      writer->stop_count};
    out->tokens.count = 0;
    lspo_status_t status = lspo_encoder_encode_parts(encoder, &parts, &out->tokens);
    if (status != LSPO_OK)
        return status;
    if (out->tokens.count >= UINT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "a chat of %zu tokens is too long", out->tokens.count);
    return take_answers(writer, out);
}

static lspo_status_t write_and_encode(const lspo_encoder_t *encoder, writer_t *writer, lspo_chat_tokens_t *out)
{
    const size_t count = writer->count;
    writer->last_question = find_last_question(writer->messages, count);
    writer->plain = calloc(2 * count + 1, sizeof *writer->plain);
    writer->stops = calloc(2 * count + 1, sizeof *writer->stops);
    lspo_status_t status = writer->plain && writer->stops ? LSPO_OK : lspo_no_memory("a chat of %zu messages", count);
    if (status != LSPO_OK)
        goto cleanup;
    status = put_chat(writer, writer->messages, count, &out->lost_system);
    if (status != LSPO_OK)
        goto cleanup;
    status = encode(writer, encoder, out);
cleanup:
    free(writer->text.text);
    free(writer->stops);
    free(writer->plain);
    return status;
}

lspo_status_t lspo_chat_encode(lspo_chat_t *chat, const lspo_encoder_t *encoder, const lspo_chat_message_t *messages,
                               size_t count, lspo_chat_tokens_t *out)
{
    writer_t writer = {.chat = chat, .messages = messages, .count = count};
    return write_and_encode(encoder, &writer, out);
}

lspo_status_t lspo_chat_encode_question(lspo_chat_t *chat, const lspo_encoder_t *encoder,
                                        const lspo_chat_message_t *messages, size_t count, lspo_chat_tokens_t *out)
{
    writer_t writer = {.chat = chat, .messages = messages, .count = count, .asks = true};
    return write_and_encode(encoder, &writer, out);
}

uint32_t lspo_chat_answer_end(const lspo_chat_t *chat)
{
    return chat->answer_end;
}

void lspo_chat_tokens_release(lspo_chat_tokens_t *out)
{
    free(out->tokens.ids);
    free(out->answers);
}
