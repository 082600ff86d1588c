/* decode.c - convert ids to text. */
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/byte_level.h"
#include "real/tokenizer/state.h"
#include "real/tokenizer/unicode.h"

static lspo_status_t replace_all(const char *text, size_t bytes, const char *from, const char *to, lspo_buffer_t *out)
{
    size_t from_bytes = strlen(from), to_bytes = strlen(to), done = 0;
    while (true) {
        const char *hit = memmem(text + done, bytes - done, from, from_bytes);
        size_t until = hit ? (size_t)(hit - text) : bytes;
        lspo_status_t status = lspo_buffer_append(out, text + done, until - done);
        if (status != LSPO_OK)
            return status;
        if (!hit)
            break;
        status = lspo_buffer_append(out, to, to_bytes);
        if (status != LSPO_OK)
            return status;
        done = until + from_bytes;
    }
    return LSPO_OK;
}

/* A byte-level token decodes to the bytes of its characters, or to its own text if a character has none. */
static lspo_status_t decode_byte_level(const lspo_token_t *token, lspo_buffer_t *out)
{
    size_t begin = out->bytes;
    for (size_t at = 0; at < token->bytes;) {
        uint32_t code;
        at += lspo_utf8_next(token->text, token->bytes, at, &code);
        int byte = lspo_byte_level_byte(code);
        const char character = (char)byte;
        lspo_status_t status = LSPO_OK;
        if (byte < 0) {
            out->bytes = begin;
            return lspo_buffer_append(out, token->text, token->bytes);
        }
        status = lspo_buffer_append(out, &character, 1);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The byte of "<0x0A>"; -1 for other tokens. */
static int fallback_byte(const lspo_token_t *token)
{
    char digits[3] = "", *rest;
    if (token->bytes != 6 || memcmp(token->text, "<0x", 3) != 0 || token->text[5] != '>')
        return -1;
    memcpy(digits, token->text + 3, 2);
    long value = strtol(digits, &rest, 16);
    return *rest == '\0' && strchr(" +-", digits[0]) == NULL ? (int)value : -1;
}

static lspo_status_t decode_token(const lspo_tokenizer_t *t, const lspo_token_t *token, bool first, lspo_buffer_t *out)
{
    if (t->byte_level)
        return decode_byte_level(token, out);
    int byte = t->decode_bytes ? fallback_byte(token) : -1;
    if (byte >= 0) {
        const char character = (char)byte;
        return lspo_buffer_append(out, &character, 1);
    }
    if (t->decode_metaspace)
        return replace_all(token->text, token->bytes, LSPO_METASPACE, first && t->metaspace_prepends ? "" : " ", out);
    lspo_status_t status = t->decode_spaces && !first ? lspo_buffer_append(out, " ", 1) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (t->decode_replaces)
        return replace_all(token->text, token->bytes, LSPO_METASPACE, " ", out);
    return lspo_buffer_append(out, token->text, token->bytes);
}

/* Removes blanks at the start of the stream's text, as far as the decoder wants, from what begins at `begin`. */
static void strip(const lspo_tokenizer_t *t, lspo_tokenizer_stream_t *stream, size_t begin, lspo_buffer_t *text)
{
    size_t at = begin;
    while (!stream->has_text && stream->stripped < t->decode_strip && at < text->bytes && text->text[at] == ' ') {
        stream->stripped++;
        at++;
    }
    stream->has_text |= at < text->bytes;
    memmove(text->text + begin, text->text + at, text->bytes - at + 1);
    text->bytes -= at - begin;
}

lspo_status_t lspo_tokenizer_decode_next(const lspo_tokenizer_t *t, lspo_tokenizer_stream_t *stream,
                                         const uint32_t *ids, size_t count, bool skip_specials, lspo_buffer_t *text)
{
    const size_t begin = text->bytes;
    if (t->decode_unsupported)
        return lspo_error(LSPO_ERR_INPUT, "the tokenizer's decoder is not supported");
    lspo_status_t status = lspo_buffer_append(text, "", 0);
    for (size_t i = 0; status == LSPO_OK && i < count; i++) {
        if (ids[i] >= t->token_count || !t->tokens[ids[i]].text || (skip_specials && t->tokens[ids[i]].special))
            continue;
        status = decode_token(t, &t->tokens[ids[i]], !stream->begun, text);
        stream->begun = true;
    }
    if (status == LSPO_OK)
        strip(t, stream, begin, text);
    return status;
}

lspo_status_t lspo_tokenizer_decode(const lspo_tokenizer_t *t, const uint32_t *ids, size_t count, bool skip_specials,
                                    char **text_out, size_t *bytes_out)
{
    lspo_buffer_t text = {0};
    lspo_tokenizer_stream_t stream = {0};
    lspo_status_t status = lspo_tokenizer_decode_next(t, &stream, ids, count, skip_specials, &text);
    if (status != LSPO_OK) {
        free(text.text);
        return status;
    }
    *text_out = text.text;
    *bytes_out = text.bytes;
    return LSPO_OK;
}
