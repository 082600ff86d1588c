/* generate_prompt.c - see generate_prompt.h. */
#include "cli/generate_prompt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "real/data/chat.h"
#include "real/data/data_file.h"

enum { PROMPT_BYTES_MAX = 64 << 20 };

/* ---- text ---- */

/* The byte-order mark with which editors begin a file is no text. */
static void skip_mark(lspo_buffer_t *text)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t bytes = sizeof mark - 1;
    if (text->bytes < bytes || memcmp(text->text, mark, bytes) != 0)
        return;
    text->bytes -= bytes;
    memmove(text->text, text->text + bytes, text->bytes + 1);
}

static lspo_status_t read_stdin(lspo_buffer_t *text)
{
    char part[65536];
    size_t count;
    while ((count = fread(part, 1, sizeof part, stdin)) > 0) {
        lspo_status_t status = lspo_buffer_append(text, part, count);
        if (status != LSPO_OK)
            return status;
        if (text->bytes > PROMPT_BYTES_MAX)
            return lspo_error(LSPO_ERR_INPUT, "--prompt -: standard input has more than %d bytes", PROMPT_BYTES_MAX);
    }
    if (ferror(stdin))
        return lspo_error(LSPO_ERR_IO, "--prompt -: cannot read standard input");
    skip_mark(text);
    return LSPO_OK;
}

static lspo_status_t check_text(const char *what, const char *text, size_t bytes)
{
    lspo_not_utf8_t bad;
    if (memchr(text, '\0', bytes) != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: the text contains a zero byte", what);
    if (!lspo_data_is_utf8(text, bytes, &bad))
        return lspo_error(LSPO_ERR_INPUT, "%s: byte 0x%02x in line %zu, column %zu is not UTF-8", what, bad.byte,
                          bad.line, bad.column);
    return LSPO_OK;
}

static lspo_status_t read_text(const lspo_prompt_source_t *source, lspo_buffer_t *text)
{
    lspo_status_t status = LSPO_OK;
    if (source->text == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--prompt TEXT is missing; --prompt - reads it from standard input");
    if (strcmp(source->text, "-") == 0)
        status = read_stdin(text);
    else
        status = lspo_buffer_append(text, source->text, strlen(source->text));
    if (status != LSPO_OK)
        return status;
    status = check_text("--prompt", text->text != NULL ? text->text : "", text->bytes);
    if (status != LSPO_OK || source->system == NULL)
        return status;
    return check_text("--system", source->system, strlen(source->system));
}

/* ---- tokens ---- */

static lspo_status_t append(uint32_t *ids, size_t count, lspo_tokens_t *tokens)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = lspo_tokens_append(tokens, ids[i]);
    free(ids);
    return status;
}

static lspo_status_t encode(void *context, const char *text, size_t bytes, lspo_tokens_t *tokens)
{
    uint32_t *ids;
    size_t count;
    lspo_status_t status = lspo_tokenizer_encode(context, text, bytes, false, &ids, &count);
    return status == LSPO_OK ? append(ids, count, tokens) : status;
}

static lspo_status_t encode_parts(void *context, const lspo_tokenizer_parts_t *parts, lspo_tokens_t *tokens)
{
    uint32_t *ids;
    size_t count;
    lspo_status_t status = lspo_tokenizer_encode_parts(context, parts, &ids, &count);
    return status == LSPO_OK ? append(ids, count, tokens) : status;
}

static lspo_encoder_t encoder_of(const lspo_prompt_source_t *source)
{
    lspo_encoder_t encoder = lspo_encoder_bytes();
    if (source->tokenizer == NULL)
        return encoder;
    encoder.encode = encode;
    encoder.encode_parts = encode_parts;
    encoder.context = source->tokenizer;
    encoder.begin = lspo_tokenizer_begin(source->tokenizer);
    encoder.end = lspo_tokenizer_end(source->tokenizer);
    return encoder;
}

static void add_end(lspo_prompt_t *prompt, uint32_t token)
{
    for (size_t i = 0; i < prompt->ends.count; i++)
        if (prompt->ends.ids[i] == token)
            return;
    if (token != LSPO_NO_TOKEN && prompt->ends.count < LSPO_HF_ENDS_MAX)
        prompt->ends.ids[prompt->ends.count++] = token;
}

static lspo_status_t encode_chat(const lspo_prompt_source_t *source, const lspo_buffer_t *text, lspo_prompt_t *prompt)
{
    const lspo_chat_source_t chat_source = {
        .folder = source->folder, .name = source->chat_template, .tokenizer = source->tokenizer};
    const lspo_encoder_t encoder = encoder_of(source);
    const bool has_system = source->system != NULL;
    lspo_chat_message_t messages[2] = {{.role = LSPO_ROLE_SYSTEM, .text = source->system}};
    if (has_system)
        messages[0].bytes = strlen(source->system);
    messages[has_system] = (lspo_chat_message_t){.role = LSPO_ROLE_USER, .text = text->text, .bytes = text->bytes};
    lspo_chat_tokens_t tokens = {.lost_system = false};
    lspo_chat_t *chat = NULL;
    lspo_status_t status = lspo_chat_open(&chat_source, &chat);
    if (status != LSPO_OK)
        return status;
    const char *refusal = lspo_chat_refusal(chat, messages, 1 + has_system);
    if (refusal != NULL)
        status = lspo_error(LSPO_ERR_INPUT, "--chat: %s (%s)", refusal, lspo_chat_name(chat));
    else
        status = lspo_chat_encode_question(chat, &encoder, messages, 1 + has_system, &tokens);
    if (status == LSPO_OK)
        status = append(tokens.tokens.ids, tokens.tokens.count, &prompt->tokens);
    else
        free(tokens.tokens.ids);
    add_end(prompt, lspo_chat_answer_end(chat));
    free(tokens.answers);
    lspo_chat_close(chat);
    return status;
}

static lspo_status_t encode_text(const lspo_prompt_source_t *source, const lspo_buffer_t *text, lspo_prompt_t *prompt)
{
    const lspo_encoder_t encoder = encoder_of(source);
    lspo_status_t status = LSPO_OK;
    if (source->system != NULL || source->chat_template != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--%s is a part of a chat: it needs --chat",
                          source->system != NULL ? "system" : "chat-template");
    if (encoder.begin != LSPO_NO_TOKEN)
        status = lspo_tokens_append(&prompt->tokens, encoder.begin);
    if (status != LSPO_OK)
        return status;
    return lspo_encoder_encode(&encoder, text->text != NULL ? text->text : "", text->bytes, &prompt->tokens);
}

static lspo_status_t check_tokens(const lspo_prompt_source_t *source, const lspo_prompt_t *prompt)
{
    const lspo_model_t *model = source->model;
    if (prompt->tokens.count == 0)
        return lspo_error(LSPO_ERR_INPUT, "--prompt: the text has no tokens");
    for (size_t i = 0; i < prompt->tokens.count; i++)
        if (prompt->tokens.ids[i] >= model->vocabulary)
            return lspo_error(LSPO_ERR_INPUT,
                              "--prompt: token %" PRIu32 " of the text is outside the model's vocabulary of %" PRIu32,
                              prompt->tokens.ids[i], model->vocabulary);
    if (prompt->tokens.count >= source->positions)
        return lspo_error(LSPO_ERR_INPUT,
                          "--prompt: the text has %zu tokens; with this model it has at most %" PRIu32
                          ", of which an answer needs at least one",
                          prompt->tokens.count, source->positions);
    return LSPO_OK;
}

/* Those that the folder names, else the tokenizer's. */
static lspo_status_t find_ends(const lspo_prompt_source_t *source, lspo_prompt_t *prompt)
{
    lspo_status_t status = LSPO_OK;
    if (source->folder != NULL)
        status = lspo_hf_ends_read(source->folder, source->model->vocabulary, &prompt->ends);
    if (status == LSPO_OK && prompt->ends.count == 0)
        add_end(prompt, encoder_of(source).end);
    return status;
}

lspo_status_t lspo_prompt_read(const lspo_prompt_source_t *source, lspo_prompt_t *prompt_out)
{
    lspo_buffer_t text = {0};
    lspo_prompt_t prompt = {.ends = {.count = 0}};
    lspo_status_t status = read_text(source, &text);
    if (status == LSPO_OK)
        status = find_ends(source, &prompt);
    if (status == LSPO_OK)
        status = source->chat ? encode_chat(source, &text, &prompt) : encode_text(source, &text, &prompt);
    if (status == LSPO_OK)
        status = check_tokens(source, &prompt);
    free(text.text);
    if (status == LSPO_OK)
        *prompt_out = prompt;
    else
        lspo_prompt_release(&prompt);
    return status;
}

void lspo_prompt_release(lspo_prompt_t *prompt)
{
    free(prompt->tokens.ids);
    *prompt = (lspo_prompt_t){.ends = {.count = 0}};
}
