#include "real/word_split.h"

#include <string.h>

#include "real/unicode_table.h"

typedef enum { CLASS_OTHER, CLASS_LETTER, CLASS_NUMBER, CLASS_BLANK } class_t;

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define AFTER_NUMBERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    lspo_word_split_t split;
    const char *pattern;
} patterns[] = {
    {LSPO_SPLIT_GPT2, CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {LSPO_SPLIT_LLAMA3, "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" AFTER_NUMBERS},
    {LSPO_SPLIT_QWEN2, "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" AFTER_NUMBERS},
};

lspo_word_split_t lspo_word_split_find(const char *pattern)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(patterns[i].pattern, pattern) == 0)
            return patterns[i].split;
    return LSPO_SPLIT_NONE;
}

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low][0];
}

#define IN(ranges, code) in_ranges(ranges, sizeof(ranges) / sizeof(ranges)[0], code)

static class_t classify(uint32_t code)
{
    if (code < 0x80) {
        if ((code | 0x20) >= 'a' && (code | 0x20) <= 'z')
            return CLASS_LETTER;
        if (code >= '0' && code <= '9')
            return CLASS_NUMBER;
        return code == ' ' || (code >= '\t' && code <= '\r') ? CLASS_BLANK : CLASS_OTHER;
    }
    if (code == UINT32_MAX)
        return CLASS_OTHER;
    if (IN(letter_ranges, code))
        return CLASS_LETTER;
    if (IN(number_ranges, code))
        return CLASS_NUMBER;
    return IN(space_ranges, code) ? CLASS_BLANK : CLASS_OTHER;
}

bool lspo_is_blank(uint32_t code)
{
    return classify(code) == CLASS_BLANK;
}

size_t lspo_utf8_next(const char *text, size_t bytes, size_t at, uint32_t *code_out)
{
    const uint8_t *p = (const uint8_t *)text + at;
    size_t left = bytes - at, length;
    uint32_t code, least;
    *code_out = p[0];
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] < 0xe0) {
        length = 2, code = p[0] & 0x1fU, least = 0x80;
    } else if (p[0] >= 0xe0 && p[0] < 0xf0) {
        length = 3, code = p[0] & 0x0fU, least = 0x800;
    } else if (p[0] >= 0xf0 && p[0] < 0xf5) {
        length = 4, code = p[0] & 0x07U, least = 0x10000;
    } else {
        length = 1, code = 0, least = UINT32_MAX;
    }
    for (size_t i = 1; i < length; i++) {
        if (i >= left || (p[i] & 0xc0U) != 0x80) {
            *code_out = UINT32_MAX;
            return 1;
        }
        code = code << 6 | (p[i] & 0x3fU);
    }
    bool valid = code >= least && code < 0x110000 && (code < 0xd800 || code >= 0xe000);
    *code_out = valid ? code : UINT32_MAX;
    return valid ? length : 1;
}

/* The class of the character at `at`, and where it ends; at the end of the text a class that is none. */
static int class_at(const char *text, size_t bytes, size_t at, size_t *end_out)
{
    uint32_t code;
    if (at >= bytes) {
        *end_out = at;
        return -1;
    }
    *end_out = at + lspo_utf8_next(text, bytes, at, &code);
    return (int)classify(code);
}

static size_t run_end(const char *text, size_t bytes, size_t at, class_t wanted)
{
    size_t end;
    while (class_at(text, bytes, at, &end) == (int)wanted)
        at = end;
    return at;
}

/* End of 's, 't, 're, 've, 'm, 'll, 'd at `at`, or `at`.  Without regard to case s has a third form, U+017F. */
static size_t contraction_end(const char *text, size_t bytes, size_t at, bool any_case)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (text[at] != '\'')
        return at;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if (bytes - at - 1 >= length && (any_case ? strncasecmp(text + at + 1, endings[i], length)
                                                  : strncmp(text + at + 1, endings[i], length)) == 0)
            return at + 1 + length;
    }
    if (any_case && bytes - at >= 3 && memcmp(text + at + 1, "\xc5\xbf", 2) == 0)
        return at + 3;
    return at;
}

/* \s+(?!\S)|\s+ : a run of blanks leaves its last one to the word that follows, unless it is the only one. */
static size_t blanks_end(const char *text, size_t bytes, size_t at)
{
    size_t end, last = at, p = at;
    while (class_at(text, bytes, p, &end) == CLASS_BLANK) {
        last = p;
        p = end;
    }
    return p < bytes && last > at ? last : p;
}

static size_t gpt2_end(const char *text, size_t bytes, size_t at)
{
    size_t end = contraction_end(text, bytes, at, false), next;
    if (end > at)
        return end;
    size_t start = at + (text[at] == ' ');
    int class = class_at(text, bytes, start, &next);
    if (class >= 0 && class != CLASS_BLANK)
        return run_end(text, bytes, next, (class_t) class);
    return blanks_end(text, bytes, at);
}

/* \s*[\r\n]+ : up to the last line end of a run of blanks; `at` when it has none. */
static size_t lines_end(const char *text, size_t bytes, size_t at)
{
    size_t end, found = at;
    for (size_t p = at; class_at(text, bytes, p, &end) == CLASS_BLANK; p = end)
        if (text[p] == '\r' || text[p] == '\n')
            found = end;
    return found;
}

static size_t llama3_end(const char *text, size_t bytes, size_t at, unsigned digits_max)
{
    size_t end = contraction_end(text, bytes, at, true), next, after;
    if (end > at)
        return end;
    int class = class_at(text, bytes, at, &next);
    bool line_end = text[at] == '\r' || text[at] == '\n';
    if (class == CLASS_LETTER)
        return run_end(text, bytes, next, CLASS_LETTER);
    if (class != CLASS_NUMBER && !line_end && class_at(text, bytes, next, &after) == CLASS_LETTER)
        return run_end(text, bytes, after, CLASS_LETTER);
    if (class == CLASS_NUMBER) {
        for (unsigned i = 1; i < digits_max && class_at(text, bytes, next, &after) == CLASS_NUMBER; i++)
            next = after;
        return next;
    }
    size_t start = at + (text[at] == ' ');
    if (class_at(text, bytes, start, &next) == CLASS_OTHER) {
        end = run_end(text, bytes, next, CLASS_OTHER);
        while (end < bytes && (text[end] == '\r' || text[end] == '\n'))
            end++;
        return end;
    }
    end = lines_end(text, bytes, at);
    return end > at ? end : blanks_end(text, bytes, at);
}

size_t lspo_word_end(lspo_word_split_t split, const char *text, size_t bytes, size_t at)
{
    switch (split) {
    case LSPO_SPLIT_GPT2:
        return gpt2_end(text, bytes, at);
    case LSPO_SPLIT_LLAMA3:
        return llama3_end(text, bytes, at, 3);
    case LSPO_SPLIT_QWEN2:
        return llama3_end(text, bytes, at, 1);
    case LSPO_SPLIT_NONE:
        break;
    }
    return bytes;
}
