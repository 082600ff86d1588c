/* generate_text.c - see generate_text.h. */
#include "cli/generate_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/printable.h"
#include "real/tokenizer/unicode.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* The bytes of `count` tokens from `first` on, which are behind all that were decoded before; a model with its own
 * vocabulary and no tokenizer may generate ids that are not bytes: no UTF-8 either. */
static lspo_status_t decode(lspo_answer_text_t *text, size_t first, size_t count)
{
    lspo_status_t status = LSPO_OK;
    if (text->tokenizer != NULL)
        return lspo_tokenizer_decode_next(text->tokenizer, &text->stream, text->tokens + first, count, true,
                                          &text->pending);
    for (size_t i = first; status == LSPO_OK && i < first + count; i++) {
        const char byte = text->tokens[i] < 256 ? (char)text->tokens[i] : '\xff';
        status = lspo_buffer_append(&text->pending, &byte, 1);
    }
    return status;
}

/* How many bytes at the end may be the beginning of a character. */
static size_t unfinished(const char *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
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

/* Write what is pending; not what may be the beginning of a character, unless it is the end. */
static lspo_status_t advance(lspo_answer_text_t *text, bool end)
{
    lspo_buffer_t *pending = &text->pending;
    lspo_status_t status = LSPO_OK;
    const size_t bytes = pending->bytes - (end ? 0 : unfinished(pending->text, pending->bytes));
    size_t done = 0;
    while (status == LSPO_OK && done < bytes) {
        uint32_t code;
        const size_t length = lspo_utf8_next(pending->text, bytes, done, &code);
        const bool valid = code != UINT32_MAX && code != 0;
        status = put(text, pending->text + done, length, valid, code);
        done += length;
    }
    pending->bytes -= done;
    if (done > 0)
        memmove(pending->text, pending->text + done, pending->bytes);
    if (status == LSPO_OK && text->file != NULL && fflush(text->file) != 0)
        status = lspo_error(LSPO_ERR_IO, "cannot write the text: %s", strerror(errno));
    return status;
}

lspo_status_t lspo_answer_text_begin(lspo_answer_text_t *text)
{
    lspo_status_t status = decode(text, 0, text->count);
    if (status != LSPO_OK)
        return status;
    text->pending.bytes = 0; /* the prompt's */
    text->terminal = text->file != NULL && isatty(fileno(text->file));
    return lspo_buffer_append(&text->answer, "", 0);
}

lspo_status_t lspo_answer_text_token(void *text, uint32_t token)
{
    lspo_answer_text_t *answer = text;
    (void)token; /* it is in answer->tokens */
    lspo_status_t status = decode(answer, answer->count, 1);
    answer->count++;
    return status == LSPO_OK ? advance(answer, false) : status;
}

lspo_status_t lspo_answer_text_end(lspo_answer_text_t *text)
{
    return advance(text, true);
}

void lspo_answer_text_release(lspo_answer_text_t *text)
{
    free(text->pending.text);
    free(text->answer.text);
    text->pending = text->answer = (lspo_buffer_t){0};
}
