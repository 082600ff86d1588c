/* normal.c - the "normalizer" of tokenizer.json, which changes a text before it is split into words; see normal.h. */
#include "real/tokenizer/normal.h"

#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/byte_level.h"
#include "real/tokenizer/json.h"
#include "real/tokenizer/precompiled.h"
#include "real/tokenizer/regex.h"
#include "real/tokenizer/unicode.h"

enum { STEPS_MAX = 64 };

typedef struct step step_t;
typedef lspo_status_t (*apply_t)(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out);

struct step {
    apply_t apply;
    lspo_normal_form_t form;
    const char *from, *to; /* in the JSON object that the normalizer owns */
    size_t from_bytes, to_bytes;
    lspo_regex_t *regex;
    lspo_precompiled_t *table;
    bool left, right;                    /* Strip                                 */
    bool cleans, spaces, strips, lowers; /* BertNormalizer                        */
};

struct lspo_normalizer {
    const char *path; /* during creation */
    json_t *object;
    step_t steps[STEPS_MAX];
    size_t count;
};

/* -- steps --------------------------------------------------------------------------------------------------------- */

static lspo_status_t apply_form(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    return lspo_unicode_normalize(step->form, text, bytes, out);
}

/* Append the result of `map` for each character: up to 2 code points; `map` returns their number. */
static lspo_status_t map_characters(const char *text, size_t bytes, size_t (*map)(uint32_t code, uint32_t to[2]),
                                    lspo_buffer_t *out)
{
    uint32_t code = 0, to[2];
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        if (code == UINT32_MAX) {
            lspo_status_t status = lspo_buffer_append(out, text + at, length);
            if (status != LSPO_OK)
                return status;
            continue;
        }
        const size_t count = map(code, to);
        for (size_t i = 0; i < count; i++) {
            lspo_status_t status = lspo_utf8_append(out, to[i]);
            if (status != LSPO_OK)
                return status;
        }
    }
    return LSPO_OK;
}

static lspo_status_t apply_lower(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    (void)step;
    return map_characters(text, bytes, lspo_unicode_lower, out);
}

static size_t drop_mark(uint32_t code, uint32_t to[2])
{
    to[0] = code;
    return lspo_unicode_is_mark(code) ? 0 : 1;
}

static lspo_status_t apply_accents(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    (void)step;
    return map_characters(text, bytes, drop_mark, out);
}

/* SentencePiece's "nmt" rules for control characters and unusual blanks. */
static size_t map_nmt(uint32_t code, uint32_t to[2])
{
    const bool gone = (code >= 1 && code <= 8) || code == 0xb || (code >= 0xe && code <= 0x1f) || code == 0x7f ||
                      code == 0x8f || code == 0x9f;
    const bool blank = code == 9 || code == 0xa || code == 0xc || code == 0xd || code == 0x1680 ||
                       (code >= 0x200b && code <= 0x200f) || code == 0x2028 || code == 0x2029 || code == 0x2581 ||
                       code == 0xfeff || code == 0xfffd;
    to[0] = blank ? ' ' : code;
    return gone ? 0 : 1;
}

static lspo_status_t apply_nmt(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    (void)step;
    return map_characters(text, bytes, map_nmt, out);
}

static lspo_status_t apply_bytes(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    (void)step;
    return lspo_byte_level_append(out, text, bytes);
}

static lspo_status_t apply_table(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    return lspo_precompiled_apply(step->table, text, bytes, out);
}

static lspo_status_t apply_prepend(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    lspo_status_t status = bytes > 0 ? lspo_buffer_append(out, step->to, step->to_bytes) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    return lspo_buffer_append(out, text, bytes);
}

static lspo_status_t apply_strip(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    size_t begin = bytes, end = 0;
    uint32_t code = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        if (lspo_unicode_is_space(code))
            continue;
        begin = begin == bytes ? at : begin;
        end = at + length;
    }
    begin = step->left ? begin : 0;
    end = step->right ? end : bytes;
    return begin < end ? lspo_buffer_append(out, text + begin, end - begin) : LSPO_OK;
}

static lspo_status_t apply_replace(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    for (size_t done = 0;;) {
        const char *hit = memmem(text + done, bytes - done, step->from, step->from_bytes);
        const size_t until = hit ? (size_t)(hit - text) : bytes;
        lspo_status_t status = lspo_buffer_append(out, text + done, until - done);
        if (status != LSPO_OK)
            return status;
        if (!hit)
            break;
        status = lspo_buffer_append(out, step->to, step->to_bytes);
        if (status != LSPO_OK)
            return status;
        done = until + step->from_bytes;
    }
    return LSPO_OK;
}

/* Apply to all valid UTF-8 in a text. */
static lspo_status_t replace_matches(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    size_t begin = 0, end = 0, done = 0;
    while (true) {
        lspo_status_t status = lspo_regex_next(step->regex, text, bytes, done, &begin, &end);
        if (status != LSPO_OK)
            return status;
        status = lspo_buffer_append(out, text + done, begin - done);
        if (status != LSPO_OK)
            return status;
        if (begin == bytes)
            break;
        status = lspo_buffer_append(out, step->to, step->to_bytes);
        if (status != LSPO_OK)
            return status;
        done = end;
    }
    return LSPO_OK;
}

static lspo_status_t apply_regex(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    for (size_t at = 0; at < bytes; at++) {
        const size_t until = lspo_utf8_valid_until(text, bytes, at);
        lspo_status_t status = replace_matches(step, text + at, until - at, out);
        if (status != LSPO_OK)
            return status;
        if (until < bytes)
            status = lspo_buffer_append(out, text + until, 1);
        if (status != LSPO_OK)
            return status;
        at = until;
    }
    return LSPO_OK;
}

/* -- BERT's -------------------------------------------------------------------------------------------------------- */

static size_t clean(uint32_t code, uint32_t to[2])
{
    to[0] = code;
    if (code == '\t' || code == '\n' || code == '\r' || lspo_unicode_is_space(code)) {
        to[0] = ' ';
        return code == '\v' || code == '\f' || code == 0x85 ? 0 : 1; /* control characters take priority over blanks */
    }
    return code == 0 || code == 0xfffd || lspo_unicode_is_invisible(code) ? 0 : 1;
}

static bool is_ideograph(uint32_t code)
{
    static const uint32_t ranges[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                         {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf},
                                         {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
    bool found = false;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        found |= code >= ranges[i][0] && code <= ranges[i][1];
    return found;
}

static lspo_status_t space_ideographs(const char *text, size_t bytes, lspo_buffer_t *out)
{
    lspo_status_t status = LSPO_OK;
    uint32_t code = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        const bool alone = is_ideograph(code);
        if (alone)
            status = lspo_buffer_append(out, " ", 1);
        if (status != LSPO_OK)
            return status;
        status = lspo_buffer_append(out, text + at, length);
        if (status != LSPO_OK)
            return status;
        if (alone)
            status = lspo_buffer_append(out, " ", 1);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static size_t drop_nonspacing(uint32_t code, uint32_t to[2])
{
    to[0] = code;
    return lspo_unicode_is_nonspacing(code) ? 0 : 1;
}

/* Move `next` to `text`; `next` is then empty. */
static void take(lspo_buffer_t *text, lspo_buffer_t *next)
{
    lspo_buffer_t swap = *text;
    *text = *next;
    *next = swap;
    next->bytes = 0;
}

/* Apply BertNormalizer's flags in place; `next` is empty before and after. */
static lspo_status_t change_bert(const step_t *step, lspo_buffer_t *now, lspo_buffer_t *next)
{
    lspo_status_t status;
    if (step->cleans) {
        status = map_characters(now->text, now->bytes, clean, next);
        if (status != LSPO_OK)
            return status;
        take(now, next);
    }
    if (step->spaces) {
        status = space_ideographs(now->text, now->bytes, next);
        if (status != LSPO_OK)
            return status;
        take(now, next);
    }
    if (step->strips) {
        status = lspo_unicode_normalize(LSPO_NFD, now->text, now->bytes, next);
        if (status != LSPO_OK)
            return status;
        take(now, next);
        status = map_characters(now->text, now->bytes, drop_nonspacing, next);
        if (status != LSPO_OK)
            return status;
        take(now, next);
    }
    if (step->lowers) {
        status = map_characters(now->text, now->bytes, lspo_unicode_lower, next);
        if (status != LSPO_OK)
            return status;
        take(now, next);
    }
    return LSPO_OK;
}

static lspo_status_t apply_bert(const step_t *step, const char *text, size_t bytes, lspo_buffer_t *out)
{
    lspo_buffer_t now = {0}, next = {0};
    lspo_status_t status = lspo_buffer_append(&now, text, bytes);
    if (status != LSPO_OK)
        goto cleanup;
    status = change_bert(step, &now, &next);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_buffer_append(out, now.text, now.bytes);
cleanup:
    free(now.text);
    free(next.text);
    return status;
}

/* -- creation ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    apply_t apply;
    lspo_normal_form_t form;
} simple[] = {
    {"NFC", apply_form, LSPO_NFC},        {"NFD", apply_form, LSPO_NFD},
    {"NFKC", apply_form, LSPO_NFKC},      {"NFKD", apply_form, LSPO_NFKD},
    {"Lowercase", apply_lower, LSPO_NFC}, {"Nmt", apply_nmt, LSPO_NFC},
    {"ByteLevel", apply_bytes, LSPO_NFC}, {"StripAccents", apply_accents, LSPO_NFC},
    {"Strip", apply_strip, LSPO_NFC},     {"BertNormalizer", apply_bert, LSPO_NFC},
};

static lspo_status_t make_replace(const char *path, const json_t *member, step_t *step)
{
    const json_t *pattern = json_object_get(member, "pattern");
    const char *expression = lspo_json_text(pattern, "Regex");
    step->from = lspo_json_text(pattern, "String");
    step->to = lspo_json_text(member, "content");
    if (!step->to || (!expression && (!step->from || *step->from == '\0')))
        return lspo_error(LSPO_ERR_INPUT, "%s: normalizer Replace has no pattern or no content", path);
    step->to_bytes = json_string_length(json_object_get(member, "content"));
    step->from_bytes = json_string_length(json_object_get(pattern, "String"));
    step->apply = expression ? apply_regex : apply_replace;
    return expression ? lspo_regex_create(path, expression, &step->regex) : LSPO_OK;
}

static lspo_status_t make_step(const char *path, const json_t *member, step_t *step)
{
    const char *charsmap = lspo_json_text(member, "precompiled_charsmap");
    step->left = lspo_json_flag(member, "strip_left", true);
    step->right = lspo_json_flag(member, "strip_right", true);
    step->cleans = lspo_json_flag(member, "clean_text", true);
    step->spaces = lspo_json_flag(member, "handle_chinese_chars", true);
    step->lowers = lspo_json_flag(member, "lowercase", true);
    step->strips = lspo_json_flag(member, "strip_accents", step->lowers);
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++)
        if (lspo_json_is_type(member, simple[i].type)) {
            step->apply = simple[i].apply;
            step->form = simple[i].form;
            return LSPO_OK;
        }
    if (lspo_json_is_type(member, "Replace"))
        return make_replace(path, member, step);
    if (lspo_json_is_type(member, "Prepend") && lspo_json_text(member, "prepend")) {
        step->to = lspo_json_text(member, "prepend");
        step->to_bytes = strlen(step->to);
        step->apply = apply_prepend;
        return LSPO_OK;
    }
    if (lspo_json_is_type(member, "Precompiled") && charsmap) {
        step->apply = apply_table;
        return lspo_precompiled_create(path, charsmap, &step->table);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: normalizer %s is not supported", path, lspo_json_type(member));
}

static lspo_status_t add_step(void *context, const json_t *member)
{
    lspo_normalizer_t *n = context;
    if (n->count == STEPS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: normalizer: more than %d steps", n->path, STEPS_MAX);
    /* An empty table replaces nothing. */
    const char *charsmap = lspo_json_text(member, "precompiled_charsmap");
    if (lspo_json_is_type(member, "Precompiled") && charsmap && *charsmap == '\0')
        return LSPO_OK;
    return make_step(n->path, member, &n->steps[n->count++]);
}

lspo_status_t lspo_normalizer_create(const char *path, const json_t *object, lspo_normalizer_t **normalizer_out)
{
    lspo_normalizer_t *n = calloc(1, sizeof *n);
    if (!n)
        return lspo_no_memory("%s", path);
    n->path = path;
    n->object = json_incref((json_t *)object);
    lspo_status_t status = lspo_json_each(n, object, "normalizers", add_step);
    n->path = NULL;
    if (status != LSPO_OK) {
        lspo_normalizer_destroy(n);
        return status;
    }
    *normalizer_out = n;
    return LSPO_OK;
}

void lspo_normalizer_destroy(lspo_normalizer_t *normalizer)
{
    if (!normalizer)
        return;
    for (size_t i = 0; i < normalizer->count; i++) {
        lspo_regex_destroy(normalizer->steps[i].regex);
        lspo_precompiled_destroy(normalizer->steps[i].table);
    }
    json_decref(normalizer->object);
    free(normalizer);
}

bool lspo_normalizer_is_empty(const lspo_normalizer_t *normalizer)
{
    return normalizer->count == 0;
}

/* -- the start of a text ------------------------------------------------------------------------------------------- */

static size_t count_characters(const char *text, size_t bytes)
{
    size_t count = 0;
    uint32_t code;
    for (size_t at = 0; at < bytes; count++)
        at += lspo_utf8_next(text, bytes, at, &code);
    return count;
}

/* A match at the start is replaced by fewer characters. */
static lspo_status_t replace_takes_front(const step_t *step, const char *text, size_t bytes, bool *takes_out)
{
    size_t begin = 0, end = step->from_bytes;
    lspo_status_t status = LSPO_OK;
    if (step->apply == apply_regex)
        status = lspo_regex_next(step->regex, text, lspo_utf8_valid_until(text, bytes, 0), 0, &begin, &end);
    else
        begin = bytes >= end && memcmp(text, step->from, end) == 0 ? 0 : bytes;
    *takes_out = begin == 0 && end <= bytes && count_characters(text, end) > count_characters(step->to, step->to_bytes);
    return status;
}

/* The first character alone becomes nothing. */
static lspo_status_t drop_takes_front(const step_t *step, const char *text, size_t bytes, bool *takes_out)
{
    uint32_t code;
    lspo_buffer_t rest = {0};
    lspo_status_t status = step->apply(step, text, lspo_utf8_next(text, bytes, 0, &code), &rest);
    *takes_out = rest.bytes == 0;
    free(rest.text);
    return status;
}

/* Whether a step removes characters at the start of a text. */
static lspo_status_t takes_front(const step_t *step, const char *text, size_t bytes, bool *takes_out)
{
    uint32_t code = 0;
    *takes_out = false;
    if (bytes == 0)
        return LSPO_OK;
    if (step->apply == apply_strip) {
        lspo_utf8_next(text, bytes, 0, &code);
        *takes_out = step->left && lspo_unicode_is_space(code);
        return LSPO_OK;
    }
    if (step->apply == apply_replace || step->apply == apply_regex)
        return replace_takes_front(step, text, bytes, takes_out);
    const bool drops = step->apply == apply_accents || step->apply == apply_nmt || step->apply == apply_bert;
    return drops ? drop_takes_front(step, text, bytes, takes_out) : LSPO_OK;
}

/* Apply the step to `now`; `next` is empty before and after. */
static lspo_status_t change(const step_t *step, lspo_buffer_t *now, lspo_buffer_t *next)
{
    lspo_status_t status = lspo_buffer_append(next, "", 0);
    if (status != LSPO_OK)
        return status;
    status = step->apply(step, now->text, now->bytes, next);
    if (status != LSPO_OK)
        return status;
    take(now, next);
    return LSPO_OK;
}

lspo_status_t lspo_normalizer_takes_front(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                          bool *takes_out)
{
    lspo_buffer_t now = {0}, next = {0};
    *takes_out = false;
    lspo_status_t status = lspo_buffer_append(&now, text, bytes);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < normalizer->count; i++) {
        status = takes_front(&normalizer->steps[i], now.text, now.bytes, takes_out);
        if (status != LSPO_OK || *takes_out)
            break;
        status = change(&normalizer->steps[i], &now, &next);
        if (status != LSPO_OK)
            break;
    }
    free(now.text);
    free(next.text);
    return status;
}

lspo_status_t lspo_normalizer_apply(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                    lspo_buffer_t *out)
{
    lspo_buffer_t now = {0}, next = {0};
    lspo_status_t status = lspo_buffer_append(&now, text, bytes);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < normalizer->count; i++) {
        status = change(&normalizer->steps[i], &now, &next);
        if (status != LSPO_OK)
            goto cleanup;
    }
    status = lspo_buffer_append(out, now.text, now.bytes);
cleanup:
    free(now.text);
    free(next.text);
    return status;
}
