/* unicode.c - properties of characters, as the tokenizers library has them; see unicode.h. */
#include "real/tokenizer/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/unicode_table.h"

#define BIT(category) (1U << UTF8PROC_CATEGORY_##category)

static const uint32_t letters = BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO);
static const uint32_t marks = BIT(MN) | BIT(MC) | BIT(ME);
static const uint32_t numbers = BIT(ND) | BIT(NL) | BIT(NO);
static const uint32_t points = BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO);

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

size_t lspo_utf8_next(const char *text, size_t bytes, size_t at, uint32_t *code_out)
{
    utf8proc_int32_t code;
    if ((uint8_t)text[at] < 0x80) {
        *code_out = (uint8_t)text[at];
        return 1;
    }
    const size_t left = bytes - at < 4 ? bytes - at : 4;
    const utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)left, &code);
    *code_out = length > 0 ? (uint32_t)code : UINT32_MAX;
    return length > 0 ? (size_t)length : 1;
}

size_t lspo_utf8_valid_until(const char *text, size_t bytes, size_t at)
{
    uint32_t code = 0;
    for (size_t length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        if (code == UINT32_MAX)
            break;
    }
    return at;
}

lspo_status_t lspo_utf8_append(lspo_buffer_t *out, uint32_t code)
{
    char text[4];
    return lspo_buffer_append(out, text,
                              (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)text));
}

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (code > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low][0];
}

#define IN(ranges, code) in_ranges(ranges, COUNT(ranges), code)

utf8proc_category_t lspo_unicode_category(uint32_t code)
{
    size_t low = 0, high = COUNT(newer);
    if (code > 0x10ffff)
        return UTF8PROC_CATEGORY_CN;
    while (low < high && code >= newer[0].first) {
        const size_t middle = (low + high) / 2;
        if (code > newer[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < COUNT(newer) && code >= newer[low].first && code <= newer[low].last)
        return newer[low].category;
    return utf8proc_category((utf8proc_int32_t)code);
}

static bool has(uint32_t code, uint32_t mask)
{
    return (mask >> lspo_unicode_category(code) & 1) != 0;
}

bool lspo_unicode_is_number(uint32_t code)
{
    return has(code, numbers) != IN(other_numbers, code);
}

bool lspo_unicode_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || has(code, BIT(ZS) | BIT(ZL) | BIT(ZP));
}

/* Circled and squared letters, which are symbols with the property Alphabetic. */
static bool is_alphabetic_symbol(uint32_t code)
{
    return (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
           (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
}

bool lspo_unicode_is_word(uint32_t code)
{
    return has(code, letters | marks | BIT(ND) | BIT(NL) | BIT(PC)) || is_alphabetic_symbol(code) || code == 0x200c ||
           code == 0x200d;
}

static bool is_ascii_symbol(uint32_t code)
{
    return code < 0x80 && has(code, points | BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO));
}

bool lspo_unicode_is_punctuation(uint32_t code)
{
    return is_ascii_symbol(code) || has(code, points) != IN(other_punctuation, code);
}

static bool is_newer(uint32_t code)
{
    for (size_t i = 0; i < COUNT(newer) && code >= newer[i].first; i++)
        if (code <= newer[i].last)
            return true;
    return false;
}

/* Characters that normalisation does not change and across which it reorders nothing. */
static bool is_inert(uint32_t code)
{
    return code >= 0x300 && (IN(unknown_to_normalisation, code) || is_newer(code));
}

bool lspo_unicode_is_mark(uint32_t code)
{
    return has(code, marks) != IN(other_marks, code);
}

bool lspo_unicode_is_nonspacing(uint32_t code)
{
    return has(code, BIT(MN)) != IN(other_nonspacing, code);
}

bool lspo_unicode_is_invisible(uint32_t code)
{
    return has(code, BIT(CC) | BIT(CF) | BIT(CO)) != IN(other_invisible, code);
}

size_t lspo_unicode_lower(uint32_t code, uint32_t out[2])
{
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    if (code == 0x130) { /* the only one with two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < COUNT(newer_lower) && code >= newer_lower[i][0]; i++)
        if (newer_lower[i][0] == code)
            out[0] = newer_lower[i][1];
    return 1;
}

lspo_status_t lspo_unicode_append_newer(uint32_t mask, lspo_buffer_t *out)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < COUNT(newer); i++) {
        char text[32];
        const int length = snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", newer[i].first, newer[i].last);
        if (mask >> newer[i].category & 1)
            status = lspo_buffer_append(out, text, (size_t)length);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* -- normal forms -------------------------------------------------------------------------------------------------- */

static const utf8proc_option_t form_options[] = {
    [LSPO_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
    [LSPO_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
    [LSPO_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
    [LSPO_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
};

/* Valid UTF-8 without inert characters. */
static lspo_status_t normalize_stretch(lspo_normal_form_t form, const char *text, size_t bytes, lspo_buffer_t *out)
{
    const utf8proc_option_t options = form_options[form];
    utf8proc_int32_t *codes = NULL;
    if (bytes == 0)
        return LSPO_OK;
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t count = utf8proc_decompose(in, (utf8proc_ssize_t)bytes, NULL, 0, options);
    if (count >= 0)
        codes = malloc(((size_t)count + 1) * sizeof *codes);
    if (!codes)
        return lspo_no_memory("normalising %zu bytes of text", bytes);
    count = utf8proc_decompose(in, (utf8proc_ssize_t)bytes, codes, count, options);
    count = utf8proc_normalize_utf32(codes, count, options);
    lspo_status_t status = LSPO_OK;
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        status = lspo_utf8_append(out, (uint32_t)codes[i]);
        if (status != LSPO_OK)
            break;
    }
    free(codes);
    return status;
}

lspo_status_t lspo_unicode_normalize(lspo_normal_form_t form, const char *text, size_t bytes, lspo_buffer_t *out)
{
    size_t done = 0;
    uint32_t code = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        if (code != UINT32_MAX && !is_inert(code))
            continue;
        lspo_status_t status = normalize_stretch(form, text + done, at - done, out);
        if (status != LSPO_OK)
            return status;
        status = lspo_buffer_append(out, text + at, length);
        if (status != LSPO_OK)
            return status;
        done = at + length;
    }
    return normalize_stretch(form, text + done, bytes - done, out);
}
