/* printable.c - make text safe to print on a terminal; see printable.h. */
#include "base/printable.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The character at `text` and its length; length 0 if no valid character begins there: RFC 3629, without overlong forms
 * and surrogates. */
static size_t decode(const char *text, uint32_t *character_out)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;
    if (length == 4 && (p[0] < 0xf0 || p[0] > 0xf4))
        return 0;
    uint32_t character = length == 1 ? p[0] : p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (p[i] & 0x3fu);
    }
    bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    if (overlong || (character >= 0xd800 && character < 0xe000) || character > 0x10ffff)
        return 0;
    *character_out = character;
    return length;
}

static bool is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

static size_t escape_byte(unsigned char byte, char *escape)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = strchr("\nn\tt\rr", byte);
    escape[0] = '\\';
    if (byte != '\0' && found && byte < 0x20) {
        escape[1] = found[1];
        return 2;
    }
    escape[1] = 'x';
    escape[2] = digits[byte >> 4];
    escape[3] = digits[byte & 15];
    return 4;
}

static size_t write_text(const char *text, bool keep_harmful, char *buffer, size_t capacity)
{
    assert(capacity >= 4);
    size_t written = 0, cut_at = 0; /* where "..." still fits */
    while (*text != '\0') {
        char piece[4 * LSPO_PRINTABLE_MOST];
        uint32_t character = 0;
        size_t taken = decode(text, &character), length = taken;
        if (taken > 0 && (keep_harmful || !is_harmful(character)))
            memcpy(piece, text, taken);
        else {
            taken = taken ? taken : 1;
            length = 0;
            for (size_t i = 0; i < taken; i++)
                length += escape_byte((unsigned char)text[i], piece + length);
        }
        if (written + length + 1 > capacity) {
            memcpy(buffer + cut_at, "...", 4);
            return cut_at + 3;
        }
        memcpy(buffer + written, piece, length);
        written += length;
        text += taken;
        if (written + 4 <= capacity)
            cut_at = written;
    }
    buffer[written] = '\0';
    return written;
}

size_t lspo_printable(const char *text, char *buffer, size_t capacity)
{
    return write_text(text, false, buffer, capacity);
}

size_t lspo_valid_utf8(const char *text, char *buffer, size_t capacity)
{
    return write_text(text, true, buffer, capacity);
}
