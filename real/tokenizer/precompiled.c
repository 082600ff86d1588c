/* precompiled.c - the table of replacements of a SentencePiece model; see precompiled.h. */
#include "real/tokenizer/precompiled.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/unicode.h"

/* As in the library, only graphemes shorter than this are looked up as a whole. */
enum { GRAPHEME_BYTES = 6 };

struct lspo_precompiled {
    uint8_t *data; /* the whole table, decoded */
    const uint8_t *units;
    size_t unit_count;
    const char *texts; /* each ends with a zero byte */
    size_t texts_bytes;
};

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The number of decoded bytes; SIZE_MAX if it is not base64. */
static size_t decode(const char *text, uint8_t *out)
{
    uint32_t bits = 0, have = 0;
    size_t count = 0;
    for (; *text && *text != '='; text++) {
        const int digit = digit_of(*text);
        if (digit < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[count++] = (uint8_t)(bits >> have);
        }
    }
    return count;
}

static uint32_t word_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

lspo_status_t lspo_precompiled_create(const char *path, const char *base64, lspo_precompiled_t **table_out)
{
    lspo_precompiled_t *table = calloc(1, sizeof *table);
    if (table)
        table->data = malloc(strlen(base64) + 4);
    if (!table || !table->data) {
        lspo_precompiled_destroy(table);
        return lspo_no_memory("%s", path);
    }
    const size_t bytes = decode(base64, table->data);
    const size_t trie_bytes = bytes != SIZE_MAX && bytes >= 4 ? word_at(table->data) : 0;
    if (trie_bytes < 4 || trie_bytes % 4 != 0 || trie_bytes > bytes - 4) {
        lspo_precompiled_destroy(table);
        return lspo_error(LSPO_ERR_INPUT, "%s: normalizer Precompiled: its precompiled_charsmap is broken", path);
    }
    table->units = table->data + 4;
    table->unit_count = trie_bytes / 4;
    table->texts = (const char *)table->data + 4 + trie_bytes;
    table->texts_bytes = bytes - 4 - trie_bytes;
    *table_out = table;
    return LSPO_OK;
}

void lspo_precompiled_destroy(lspo_precompiled_t *table)
{
    if (!table)
        return;
    free(table->data);
    free(table);
}

static uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & 0x200) >> 6);
}

/* The offset in `texts` of the replacement of the shortest prefix of `key` that has one; SIZE_MAX: none. */
static size_t find(const lspo_precompiled_t *table, const char *key, size_t bytes)
{
    size_t at = offset_of(word_at(table->units));
    for (size_t i = 0; i < bytes && key[i] != '\0'; i++) {
        at ^= (uint8_t)key[i];
        if (at >= table->unit_count)
            return SIZE_MAX;
        const uint32_t unit = word_at(table->units + 4 * at);
        if ((unit & 0x800000ffU) != (uint8_t)key[i])
            return SIZE_MAX;
        at ^= offset_of(unit);
        if (at >= table->unit_count)
            return SIZE_MAX;
        if (unit >> 8 & 1)
            return word_at(table->units + 4 * at) & 0x7fffffffU;
    }
    return SIZE_MAX;
}

static lspo_status_t replace(const lspo_precompiled_t *table, const char *key, size_t bytes, bool *replaced,
                             lspo_buffer_t *out)
{
    const size_t at = find(table, key, bytes);
    *replaced = at < table->texts_bytes;
    if (!*replaced)
        return LSPO_OK;
    return lspo_buffer_append(out, table->texts + at, strnlen(table->texts + at, table->texts_bytes - at));
}

static lspo_status_t apply_grapheme(const lspo_precompiled_t *table, const char *text, size_t bytes, lspo_buffer_t *out)
{
    bool replaced = false;
    lspo_status_t status = LSPO_OK;
    uint32_t code;
    if (bytes < GRAPHEME_BYTES)
        status = replace(table, text, bytes, &replaced, out);
    if (status != LSPO_OK)
        return status;
    for (size_t at = 0, length; !replaced && at < bytes; at += length) {
        bool found = false;
        length = lspo_utf8_next(text, bytes, at, &code);
        status = replace(table, text + at, length, &found, out);
        if (status != LSPO_OK)
            return status;
        if (!found)
            status = lspo_buffer_append(out, text + at, length);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Characters that the library's grapheme rules know but utf8proc's do not: each is treated like an older one of its
 * kind.  The list was found with the library, which leaves "e" with an accent and such a character unchanged
 * (tokenizers 0.23). */
static utf8proc_int32_t older_kin(uint32_t code)
{
    static const uint32_t extending[][2] = {
        {0x897, 0x897},     {0x1acf, 0x1add},   {0x1ae0, 0x1aeb},   {0x10d69, 0x10d6d}, {0x10efa, 0x10efc},
        {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d0},
        {0x113d2, 0x113d2}, {0x113e1, 0x113e2}, {0x11b60, 0x11b67}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f},
        {0x1e5ee, 0x1e5ef}, {0x1e6e3, 0x1e6e3}, {0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5}};
    static const utf8proc_int32_t accent = 0x301, prepended = 0x600;
    for (size_t i = 0; i < sizeof extending / sizeof extending[0] && code >= extending[i][0]; i++)
        if (code <= extending[i][1])
            return accent;
    return code == 0x113d1 ? prepended : code == 0x11a3a ? 'a' : (utf8proc_int32_t)code;
}

lspo_status_t lspo_precompiled_apply(const lspo_precompiled_t *table, const char *text, size_t bytes,
                                     lspo_buffer_t *out)
{
    utf8proc_int32_t state = 0;
    uint32_t before = 0, code = 0;
    size_t begin = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        const bool breaks = at > 0 && (code == UINT32_MAX || before == UINT32_MAX ||
                                       utf8proc_grapheme_break_stateful(older_kin(before), older_kin(code), &state));
        if (breaks) {
            lspo_status_t status = apply_grapheme(table, text + begin, at - begin, out);
            if (status != LSPO_OK)
                return status;
            begin = at;
        }
        before = code;
    }
    return bytes > 0 ? apply_grapheme(table, text + begin, bytes - begin, out) : LSPO_OK;
}
