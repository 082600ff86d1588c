/* scan.c - read the JSON of a profile value by value, tolerating the errors that profilers make; see scan.h. */
#include "traces/import/scan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* What a byte is outside of strings, and whether it is plain within one. */
enum { BLANK = 1, COMMA = 2, BRACKET = 4, QUOTE = 8, LETTER = 16, PLAIN = 32 };

static const uint8_t *classes(void)
{
    static uint8_t table[256];
    if (table['"'])
        return table;
    for (int c = 0x20; c < 256; c++)
        table[c] = c == '\\' || c == '"' ? 0 : PLAIN;
    table[' '] |= BLANK;
    table['\t'] = table['\r'] = table['\n'] = BLANK;
    table[','] |= COMMA;
    table['{'] |= BRACKET;
    table['}'] |= BRACKET;
    table['['] |= BRACKET;
    table[']'] |= BRACKET;
    for (int c = 'a'; c <= 'z'; c++)
        table[c] |= LETTER, table[c - 'a' + 'A'] |= LETTER;
    table['"'] = QUOTE;
    return table;
}

void lspo_scan_word_release(lspo_scan_word_t *word)
{
    free(word->text);
    *word = (lspo_scan_word_t){0};
}

static void note_odd(lspo_scan_t *scan)
{
    if (scan->odd_count++ == 0)
        scan->odd_line = lspo_import_text_line(scan->text);
}

int lspo_scan_peek(lspo_scan_t *scan, bool commas)
{
    const uint8_t *table = classes();
    int skipped = commas ? BLANK | COMMA : BLANK, c;
    while ((c = lspo_import_text_peek(scan->text)) != LSPO_IMPORT_END && (table[c] & skipped))
        scan->text->at++;
    return c;
}

/* Longer words are not names. */
static const size_t word_bytes_max = (size_t)1 << 24;

/* Room for `bytes` more and a zero byte. */
static bool make_room(lspo_scan_t *scan, lspo_scan_word_t *word, size_t bytes)
{
    size_t wanted = word->length + bytes + 1;
    if (wanted > word_bytes_max)
        return false;
    lspo_status_t status = lspo_array_grow(&word->text, &word->capacity, wanted, 1, "bytes of a word");
    if (status != LSPO_OK)
        scan->text->status = status;
    return status == LSPO_OK;
}

static lspo_scan_status_t append(lspo_scan_t *scan, lspo_scan_word_t *word, const void *bytes, size_t count)
{
    if (!word)
        return LSPO_SCAN_OK;
    if (!make_room(scan, word, count))
        return scan->text->status == LSPO_OK ? LSPO_SCAN_BAD : LSPO_SCAN_END;
    memcpy(word->text + word->length, bytes, count);
    word->length += count;
    word->text[word->length] = '\0';
    return LSPO_SCAN_OK;
}

static lspo_scan_status_t append_code_point(lspo_scan_t *scan, lspo_scan_word_t *word, uint32_t point)
{
    char bytes[3];
    if (point < 0x80) {
        bytes[0] = (char)point;
        return append(scan, word, bytes, 1);
    }
    bool two = point < 0x800;
    bytes[0] = (char)(two ? 0xc0 | point >> 6 : 0xe0 | point >> 12);
    bytes[1] = (char)(0x80 | (two ? point & 0x3f : (point >> 6) & 0x3f));
    bytes[2] = (char)(0x80 | (point & 0x3f));
    return append(scan, word, bytes, two ? 2 : 3);
}

/* Read after "\u": Python escapes all non-ASCII characters this way, but rules have names in UTF-8.  Surrogates and
 * zero, which would end a name, become U+FFFD, because no rule needs them. */
static lspo_scan_status_t take_code_point(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    char digits[5] = "";
    int count = 0, c;
    while (count < 4 && (c = lspo_import_text_peek(scan->text)) != LSPO_IMPORT_END && isxdigit(c)) {
        digits[count++] = (char)c;
        scan->text->at++;
    }
    uint32_t point = (uint32_t)strtoul(digits, NULL, 16);
    if (count == 4)
        return append_code_point(scan, word, point == 0 || (point >= 0xd800 && point < 0xe000) ? 0xfffd : point);
    note_odd(scan); /* as in "C:\users" */
    lspo_scan_status_t status = append(scan, word, "\\u", 2);
    return status == LSPO_SCAN_OK ? append(scan, word, digits, (size_t)count) : status;
}

/* After a backslash. */
static lspo_scan_status_t take_escape(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = lspo_import_text_take(scan->text);
    if (c == LSPO_IMPORT_END)
        return LSPO_SCAN_END;
    if (c == 'u')
        return take_code_point(scan, word);
    const char *known = c ? strchr(letters, c) : NULL;
    if (known)
        return append(scan, word, &meanings[known - letters], 1);
    note_odd(scan);
    lspo_scan_status_t status = append(scan, word, "\\", 1);
    char byte = (char)c;
    return status == LSPO_SCAN_OK ? append(scan, word, &byte, 1) : status;
}

/* After the opening quote. */
static lspo_scan_status_t take_string(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    const uint8_t *table = classes();
    lspo_import_text_t *text = scan->text;
    lspo_scan_status_t status = LSPO_SCAN_OK;
    while (status == LSPO_SCAN_OK) {
        size_t from = text->at, at = from;
        while (at < text->end && (table[text->window[at]] & PLAIN))
            at++;
        text->at = at;
        status = append(scan, word, text->window + from, at - from);
        if (status != LSPO_SCAN_OK)
            break;
        int c = lspo_import_text_peek(text);
        if (c == LSPO_IMPORT_END)
            return LSPO_SCAN_END;
        if (table[c] & PLAIN)
            continue; /* the window moved on */
        text->at++;
        if (c == '"')
            return LSPO_SCAN_OK;
        if (c == '\\') {
            status = take_escape(scan, word);
        } else {
            note_odd(scan);
            status = append(scan, word, " ", 1);
        }
    }
    return status;
}

static bool ends_bare_word(int c)
{
    return c == LSPO_IMPORT_END || (classes()[c] & (BLANK | COMMA | BRACKET | QUOTE)) || c == ':';
}

/* A number, true, false, null; another bare word is counted as odd. */
static lspo_scan_status_t take_bare_word(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    char first[8] = "";
    size_t length = 0;
    lspo_scan_status_t status = LSPO_SCAN_OK;
    int c;
    while (status == LSPO_SCAN_OK && !ends_bare_word(c = lspo_import_text_peek(scan->text))) {
        char byte = (char)c;
        scan->text->at++;
        if (length < sizeof first - 1)
            first[length] = byte;
        length++;
        status = append(scan, word, &byte, 1);
    }
    if (length == 0)
        return scan->text->status == LSPO_OK && lspo_import_text_peek(scan->text) != LSPO_IMPORT_END ? LSPO_SCAN_BAD
                                                                                                     : LSPO_SCAN_END;
    bool number = strchr("-0123456789", first[0]) && strcmp(first, "-Infini") != 0 && strcmp(first, "-inf") != 0;
    if (!number && strcmp(first, "true") != 0 && strcmp(first, "false") != 0 && strcmp(first, "null") != 0)
        note_odd(scan);
    return status;
}

lspo_scan_status_t lspo_scan_word(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    int c = lspo_scan_peek(scan, false);
    if (word) {
        word->length = 0;
        word->is_string = c == '"';
        if (append(scan, word, "", 0) != LSPO_SCAN_OK)
            return LSPO_SCAN_END;
    }
    if (c != '"')
        return take_bare_word(scan, word);
    scan->text->at++;
    return take_string(scan, word);
}

lspo_scan_status_t lspo_scan_key(lspo_scan_t *scan, lspo_scan_word_t *word)
{
    int c = lspo_scan_peek(scan, true);
    if (c != '"')
        return c == LSPO_IMPORT_END ? LSPO_SCAN_END : LSPO_SCAN_BAD;
    lspo_scan_status_t status = lspo_scan_word(scan, word);
    if (status != LSPO_SCAN_OK)
        return status;
    c = lspo_scan_peek(scan, false);
    if (c != ':')
        return c == LSPO_IMPORT_END ? LSPO_SCAN_END : LSPO_SCAN_BAD;
    scan->text->at++;
    return LSPO_SCAN_OK;
}

/* The open brackets, one bit each: set for an object. */
typedef struct {
    uint64_t objects[LSPO_SCAN_DEPTH_MAX / 64];
    uint32_t depth;
} brackets_t;

static lspo_scan_status_t take_bracket(brackets_t *open, int c)
{
    bool is_object = c == '{' || c == '}';
    if (c == '{' || c == '[') {
        if (open->depth == LSPO_SCAN_DEPTH_MAX)
            return LSPO_SCAN_BAD;
        uint64_t bit = (uint64_t)1 << (open->depth % 64), *bits = &open->objects[open->depth / 64];
        *bits = is_object ? *bits | bit : *bits & ~bit;
        open->depth++;
        return LSPO_SCAN_OK;
    }
    if (open->depth-- == 0)
        return LSPO_SCAN_BAD;
    bool was_object = (open->objects[open->depth / 64] >> (open->depth % 64)) & 1;
    return was_object == is_object ? LSPO_SCAN_OK : LSPO_SCAN_BAD;
}

/* If a quote is missing, text between strings becomes strings, including brackets, so no end would be found. */
static lspo_scan_status_t check_end_of_string(lspo_scan_t *scan)
{
    int c = lspo_scan_peek(scan, false);
    if (c == LSPO_IMPORT_END)
        return LSPO_SCAN_END;
    return c && strchr(",:]}", c) ? LSPO_SCAN_OK : LSPO_SCAN_BAD;
}

lspo_scan_status_t lspo_scan_skip_rest(lspo_scan_t *scan, char opened)
{
    const uint8_t *table = classes();
    lspo_import_text_t *text = scan->text;
    brackets_t open = {.depth = 0};
    lspo_scan_status_t status = take_bracket(&open, opened);
    while (status == LSPO_SCAN_OK && open.depth > 0) {
        while (text->at < text->end && !(table[text->window[text->at]] & (BRACKET | QUOTE | LETTER)))
            text->at++;
        int c = lspo_import_text_peek(text);
        if (c == LSPO_IMPORT_END)
            return LSPO_SCAN_END;
        if (table[c] & BRACKET) {
            text->at++;
            status = take_bracket(&open, c);
        } else if (table[c] & QUOTE) {
            text->at++;
            status = take_string(scan, NULL);
            if (status == LSPO_SCAN_OK)
                status = check_end_of_string(scan);
        } else if ((c == 'e' || c == 'E') && (text->at == 0 || text->window[text->at - 1] <= '9')) {
            text->at++; /* of a number */
        } else if (table[c] & LETTER) {
            status = take_bare_word(scan, NULL);
        }
    }
    return status;
}

lspo_scan_status_t lspo_scan_skip(lspo_scan_t *scan)
{
    int c = lspo_scan_peek(scan, false);
    if (c != '{' && c != '[')
        return lspo_scan_word(scan, NULL);
    scan->text->at++;
    return lspo_scan_skip_rest(scan, (char)c);
}
