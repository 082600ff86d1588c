/* generate_text.c - see generate_text.h. */
#include "cli/generate_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/printable.h"
#include "real/tokenizer/unicode.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* A model with its own vocabulary and no tokenizer may generate ids that are not bytes: no UTF-8 either. */
static lspo_status_t decode_bytes(const lspo_answer_text_t *text, char **out, size_t *bytes_out)
{
    char *bytes = malloc(text->count + 1);
    if (bytes == NULL)
        return lspo_no_memory("a text of %zu tokens", text->count);
    for (size_t i = 0; i < text->count; i++)
        bytes[i] = text->tokens[i] < 256 ? (char)text->tokens[i] : '\xff';
    *out = bytes;
    *bytes_out = text->count;
    return LSPO_OK;
}

static lspo_status_t decode(const lspo_answer_text_t *text, char **out, size_t *bytes_out)
{
    if (text->tokenizer == NULL)
        return decode_bytes(text, out, bytes_out);
    return lspo_tokenizer_decode(text->tokenizer, text->tokens, text->count, true, out, bytes_out);
}

/* How many bytes at the end may be the beginning of a character. */
static size_t unfinished(const char *text, size_t begin, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes - begin; back++) {
        const uint8_t byte = (uint8_t)text[bytes - back];
        if ((byte & 0xc0) == 0x80)
            continue;
        const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

static bool is_control(uint32_t code)
{
    return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0) || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* One character, of which `valid` says whether it is one. */
static lspo_status_t put(lspo_answer_text_t *text, const char *at, size_t length, bool valid, uint32_t code)
{
    char one[8] = {0}, shown[sizeof one * LSPO_PRINTABLE_MOST];
    const char *out = valid ? at : replacement;
    size_t bytes = valid ? length : sizeof replacement - 1;
    lspo_status_t status = lspo_buffer_append(&text->answer, out, bytes);
    if (status != LSPO_OK || text->file == NULL)
        return status;
    if (valid && text->terminal && is_control(code)) {
        memcpy(one, at, length);
        bytes = lspo_printable(one, shown, sizeof shown);
        out = shown;
    }
    if (fwrite(out, 1, bytes, text->file) != bytes)
        return lspo_error(LSPO_ERR_IO, "cannot write the text: %s", strerror(errno));
    return LSPO_OK;
}

/* Write what the tokens so far add; not what may be the beginning of a character, unless it is the end. */
static lspo_status_t advance(lspo_answer_text_t *text, bool end)
{
    char *all = NULL;
    size_t bytes = 0;
    lspo_status_t status = decode(text, &all, &bytes);
    if (status != LSPO_OK)
        return status;
    if (!end && bytes > text->written)
        bytes -= unfinished(all, text->written, bytes);
    while (status == LSPO_OK && text->written < bytes) {
        uint32_t code;
        const size_t length = lspo_utf8_next(all, bytes, text->written, &code);
        const bool valid = code != UINT32_MAX && code != 0;
        status = put(text, all + text->written, length, valid, code);
        text->written += length;
    }
    free(all);
    if (status == LSPO_OK && text->file != NULL && fflush(text->file) != 0)
        status = lspo_error(LSPO_ERR_IO, "cannot write the text: %s", strerror(errno));
    return status;
}

lspo_status_t lspo_answer_text_begin(lspo_answer_text_t *text)
{
    char *all = NULL;
    lspo_status_t status = decode(text, &all, &text->written);
    if (status != LSPO_OK)
        return status;
    free(all);
    text->terminal = text->file != NULL && isatty(fileno(text->file));
    return lspo_buffer_append(&text->answer, "", 0);
}

lspo_status_t lspo_answer_text_token(void *text, uint32_t token)
{
    lspo_answer_text_t *answer = text;
    (void)token; /* it is in answer->tokens */
    answer->count++;
    return advance(answer, false);
}

lspo_status_t lspo_answer_text_end(lspo_answer_text_t *text)
{
    return advance(text, true);
}

void lspo_answer_text_release(lspo_answer_text_t *text)
{
    free(text->answer.text);
    text->answer = (lspo_buffer_t){0};
}
