/* regex_translate.c - convert Oniguruma's expressions to PCRE2's syntax; see regex.h. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "real/tokenizer/regex.h"
#include "real/tokenizer/regex_scan.h"
#include "real/tokenizer/regex_sets.h"
#include "real/tokenizer/unicode.h"

static lspo_status_t put(lspo_buffer_t *out, const char *text)
{
    return lspo_buffer_append(out, text, strlen(text));
}

static lspo_status_t put_three(lspo_buffer_t *out, const char *first, const char *second, const char *third)
{
    const char *const texts[] = {first, second, third};
    for (size_t i = 0; i < 3; i++) {
        lspo_status_t status = put(out, texts[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t put_code(lspo_buffer_t *out, uint32_t code)
{
    char text[16];
    snprintf(text, sizeof text, "\\x{%x}", code);
    return put(out, text);
}

static lspo_status_t put_set(lspo_regex_parser_t *p, const char *name, lspo_buffer_t *out)
{
    return lspo_regex_put_set(name, p->caseless[p->depth], out, &p->why);
}

/* -- classes ------------------------------------------------------------------------------------------------------- */

/* A class being read: the inside of a PCRE2 class, and alternatives, each matching one character, for what such an
 * inside cannot express. */
typedef struct {
    lspo_buffer_t inside, others;
} class_t;

static void release_class(class_t *class)
{
    free(class->inside.text);
    free(class->others.text);
    *class = (class_t){0};
}

static lspo_status_t add_other(class_t *class, const char *before, const char *text, const char *after)
{
    lspo_status_t status = class->others.bytes > 0 ? put(&class->others, "|") : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    return put_three(&class->others, before, text, after);
}

static const char *text_of(const lspo_buffer_t *buffer)
{
    return buffer->text ? buffer->text : "";
}

/* One character that is in the class, or that is not. */
static lspo_status_t write_class(const class_t *class, bool negative, lspo_buffer_t *out)
{
    const bool has_inside = class->inside.bytes > 0, has_others = class->others.bytes > 0;
    const char *parts[] = {"", "", "", "", ""};
    if (!has_others) {
        parts[0] = negative ? "[^" : "[";
        parts[1] = text_of(&class->inside);
        parts[2] = "]";
    } else {
        parts[0] = negative ? "(?:(?!" : "(?:";
        parts[1] = class->others.text;
        parts[2] = negative ? (has_inside ? ")[^" : ")(?s:.)") : (has_inside ? "|[" : "");
        parts[3] = text_of(&class->inside);
        parts[4] = has_inside ? "])" : ")";
    }
    for (size_t i = 0; i < 5; i++) {
        lspo_status_t status = put(out, parts[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static const char no_caseless_rest[] = "without regard to case, all but a set of characters is not known";

static lspo_status_t add_set(lspo_regex_parser_t *p, const char *name, bool negative, class_t *class)
{
    const char *lacks = lspo_regex_set_lacks(name);
    if (negative && p->caseless[p->depth])
        return lspo_regex_fail(p, no_caseless_rest);
    p->caseless_sets += p->caseless[p->depth];
    if (!negative && !lacks)
        return put_set(p, name, &class->inside);
    lspo_buffer_t set = {0};
    lspo_status_t status = negative ? put(&set, "[^") : put_three(&set, "(?![", lacks, "])[");
    if (status != LSPO_OK)
        goto cleanup;
    status = put_set(p, name, &set);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_other(class, "", set.text, "]");
    if (status != LSPO_OK)
        goto cleanup;
    if (lacks && negative)
        status = put(&class->inside, lacks);
cleanup:
    free(set.text);
    return status;
}

/* [:name:] or [:^name:]; not found if it is neither. */
static lspo_status_t take_posix(lspo_regex_parser_t *p, class_t *class, bool *found)
{
    char name[LSPO_REGEX_NAME_BYTES] = "";
    const char *at = p->at + 2, *end = strstr(at, ":]");
    bool negative = *at == '^';
    at += negative;
    *found = end && end > at && end - at < LSPO_REGEX_NAME_BYTES &&
             (size_t)(end - at) == strspn(at, "abcdefghijklmnopqrstuvwxyz");
    if (!*found)
        return LSPO_OK;
    memcpy(name, at, (size_t)(end - at));
    p->at = end + 2;
    /* Only this one differs from \p{Punct}. */
    return add_set(p, strcmp(name, "punct") == 0 ? "punctorsymbol" : name, negative, class);
}

static lspo_status_t take_class(lspo_regex_parser_t *p, lspo_buffer_t *out);

/* One end of a range, or a set. */
static lspo_status_t take_member(lspo_regex_parser_t *p, class_t *class, uint32_t *code_out, bool *is_set)
{
    char name[LSPO_REGEX_NAME_BYTES];
    bool negative = false;
    *is_set = false;
    if (*p->at != '\\') {
        *code_out = lspo_regex_take_plain(p);
        return LSPO_OK;
    }
    p->at++;
    lspo_status_t status = lspo_regex_take_set(p, name, &negative, is_set);
    if (status != LSPO_OK)
        return status;
    return *is_set ? add_set(p, name, negative, class) : lspo_regex_take_escaped(p, true, code_out);
}

static lspo_status_t check_fold(lspo_regex_parser_t *p, uint32_t code)
{
    return p->caseless[p->depth] && code >= 0x80
               ? lspo_regex_fail(p, "without regard to case, only ASCII letters are supported")
               : LSPO_OK;
}

static lspo_status_t take_range(lspo_regex_parser_t *p, class_t *class)
{
    uint32_t first = 0, last = 0;
    bool is_set = false;
    lspo_status_t status = take_member(p, class, &first, &is_set);
    if (status != LSPO_OK)
        return status;
    if (is_set)
        return LSPO_OK;
    last = first;
    if (p->at[0] == '-' && p->at[1] != ']' && p->at[1] != '\0') {
        p->at++;
        if (*p->at == '[')
            return lspo_regex_fail(p, "a range ends in a class");
        status = take_member(p, class, &last, &is_set);
        if (status != LSPO_OK)
            return status;
        if (is_set)
            return lspo_regex_fail(p, "a range ends in a set of characters");
    }
    status = check_fold(p, last);
    if (status != LSPO_OK)
        return status;
    status = put_code(&class->inside, first);
    if (status != LSPO_OK)
        return status;
    if (last != first)
        status = put(&class->inside, "-");
    if (status != LSPO_OK)
        return status;
    return last != first ? put_code(&class->inside, last) : LSPO_OK;
}

static lspo_status_t add_class(lspo_regex_parser_t *p, class_t *class)
{
    lspo_buffer_t inner = {0};
    lspo_status_t status = take_class(p, &inner);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_other(class, "", inner.text, "");
cleanup:
    free(inner.text);
    return status;
}

/* The members up to "]" or "&&". */
static lspo_status_t take_members(lspo_regex_parser_t *p, class_t *class)
{
    lspo_status_t status = LSPO_OK;
    for (bool first = true;; first = false) {
        bool found = false;
        if (*p->at == '\0')
            return lspo_regex_fail(p, "a class has no end");
        if ((*p->at == ']' && !first) || strncmp(p->at, "&&", 2) == 0)
            return LSPO_OK;
        if (strncmp(p->at, "[:", 2) == 0)
            status = take_posix(p, class, &found);
        if (status != LSPO_OK)
            return status;
        if (found)
            continue;
        status = *p->at == '[' ? add_class(p, class) : take_range(p, class);
        if (status != LSPO_OK)
            return status;
    }
}

static lspo_status_t take_term(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    class_t class = {0};
    lspo_status_t status = take_members(p, &class);
    if (status != LSPO_OK)
        goto cleanup;
    status = class.inside.bytes + class.others.bytes > 0 ? write_class(&class, false, out)
                                                         : lspo_regex_fail(p, "a class is empty");
cleanup:
    release_class(&class);
    return status;
}

/* a && b && c: one character that all three match. */
static lspo_status_t take_intersection(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    for (bool more = true; more;) {
        lspo_buffer_t term = {0};
        lspo_status_t status = take_term(p, &term);
        if (status != LSPO_OK) {
            free(term.text);
            return status;
        }
        more = strncmp(p->at, "&&", 2) == 0;
        status = put_three(out, more ? "(?=" : "", term.text, more ? ")" : "");
        p->at += more ? 2 : 0;
        free(term.text);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The text between "[" or "[^" and "]". */
static lspo_status_t take_inside(lspo_regex_parser_t *p, bool negative, class_t *class)
{
    const unsigned sets_before = p->caseless_sets;
    const char *begin = p->at;
    lspo_status_t status = take_members(p, class);
    if (status != LSPO_OK)
        return status;
    if (*p->at == '&') {
        p->at = begin;
        release_class(class);
        status = take_intersection(p, &class->others);
        if (status != LSPO_OK)
            return status;
    }
    if (class->inside.bytes + class->others.bytes == 0)
        return lspo_regex_fail(p, "a class is empty");
    if (negative && p->caseless_sets > sets_before)
        return lspo_regex_fail(p, no_caseless_rest);
    return LSPO_OK;
}

/* "[...]" */
static lspo_status_t take_class(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    class_t class = {0};
    if (++p->class_depth > LSPO_REGEX_DEPTH_MAX)
        return lspo_regex_fail(p, "its classes are nested too deep");
    p->at++;
    const bool negative = *p->at == '^';
    p->at += negative;
    lspo_status_t status = take_inside(p, negative, &class);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_class(&class, negative, out);
    p->at++;
cleanup:
    release_class(&class);
    p->class_depth--;
    return status;
}

/* -- other constructs ---------------------------------------------------------------------------------------------- */

/* "ss" and the like match a single character if case is ignored. */
static bool folds_with(uint32_t before, uint32_t code)
{
    static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};
    const char pair[] = {(char)(before | 0x20), (char)(code | 0x20), '\0'};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && before < 0x80 && code < 0x80; i++)
        if (strcmp(pairs[i], pair) == 0)
            return true;
    return false;
}

static lspo_status_t put_character(lspo_regex_parser_t *p, uint32_t code, lspo_buffer_t *out)
{
    if (p->caseless[p->depth]) {
        if (code >= 0x80 || folds_with(p->last, code))
            return lspo_regex_fail(
                p, "without regard to case, only ASCII letters are supported, and none that fold to several");
        p->last = code;
    }
    if (code < 0x80 && strchr("\\^$.[]|()?*+{}", (int)code) == NULL) {
        const char text[2] = {(char)code, '\0'};
        return put(out, text);
    }
    return put_code(out, code);
}

/* A set outside of classes.  There, and in \b, \w also matches those numbers of Latin-1 that are not decimal digits. */
static lspo_status_t put_alone(lspo_regex_parser_t *p, const char *name, bool negative, lspo_buffer_t *out)
{
    if (negative && p->caseless[p->depth])
        return lspo_regex_fail(p, no_caseless_rest);
    class_t class = {0};
    lspo_status_t status = add_set(p, name, false, &class);
    if (status != LSPO_OK)
        goto cleanup;
    if (strcasecmp(name, "word") == 0)
        status = put(&class.inside, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
    if (status != LSPO_OK)
        goto cleanup;
    status = write_class(&class, negative, out);
cleanup:
    release_class(&class);
    return status;
}

/* \b and \B */
static lspo_status_t put_border(lspo_regex_parser_t *p, bool negative, lspo_buffer_t *out)
{
    static const char *const border[] = {"(?:(?<=", ")(?!", ")|(?<!", ")(?=", "))"};
    static const char *const none[] = {"(?:(?<=", ")(?=", ")|(?<!", ")(?!", "))"};
    const char *const *parts = negative ? none : border;
    lspo_status_t status = put(out, parts[0]);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 1; i < 5; i++) {
        status = put_alone(p, "word", false, out);
        if (status != LSPO_OK)
            return status;
        status = put(out, parts[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t take_escape(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    char name[LSPO_REGEX_NAME_BYTES];
    bool negative = false, found = false;
    uint32_t code = 0;
    p->at++;
    lspo_status_t status = lspo_regex_take_set(p, name, &negative, &found);
    if (status != LSPO_OK)
        return status;
    if (found)
        return put_alone(p, name, negative, out);
    const char letter = *p->at;
    if (letter != '\0' && strchr("AzZR", letter)) {
        const char text[3] = {'\\', letter, '\0'};
        p->at++;
        return put(out, text);
    }
    if (letter == 'b' || letter == 'B') {
        p->at++;
        return put_border(p, letter == 'B', out);
    }
    status = lspo_regex_take_escaped(p, false, &code);
    if (status != LSPO_OK)
        return status;
    return put_character(p, code, out);
}

/* "(?imx-imx" up to ")" or ":"; m is PCRE2's s. */
static lspo_status_t take_flags(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    bool on = true, caseless = p->caseless[p->depth];
    lspo_status_t status = put(out, "(?");
    if (status != LSPO_OK)
        return status;
    for (; *p->at != ':' && *p->at != ')'; p->at++) {
        if (*p->at == '-')
            on = false;
        else if (*p->at == 'i')
            caseless = on;
        else if (*p->at != 'm')
            return lspo_regex_fail(p, "it has an unknown kind of group");
        const char text[2] = {*p->at == 'm' ? 's' : *p->at, '\0'};
        status = put(out, text);
        if (status != LSPO_OK)
            return status;
    }
    if (*p->at == ':') {
        if (p->depth == LSPO_REGEX_DEPTH_MAX)
            return lspo_regex_fail(p, "its groups are nested too deep");
        p->depth++;
    } else if (p->at[1] != '\0' && p->depth == 0) {
        /* as in Oniguruma, the rest forms one group: a|(?i)b|c */
        return lspo_regex_fail(p, "it has flags outside of a group");
    }
    p->caseless[p->depth] = caseless;
    const char text[2] = {*p->at++, '\0'};
    return put(out, text);
}

static lspo_status_t take_group(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    size_t length = 1;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(p->at, known[i], strlen(known[i])) == 0)
            length = strlen(known[i]);
    if (length == 1 && p->at[1] == '*')
        return lspo_regex_fail(p, "it has an unknown kind of group");
    if (length == 1 && p->at[1] == '?') {
        if (p->at[2] == '\0' || !strchr("imx-", p->at[2]))
            return lspo_regex_fail(p, "it has an unknown kind of group");
        p->at += 2;
        return take_flags(p, out);
    }
    if (p->depth == LSPO_REGEX_DEPTH_MAX)
        return lspo_regex_fail(p, "its groups are nested too deep");
    p->caseless[p->depth + 1] = p->caseless[p->depth];
    p->depth++;
    lspo_status_t status = lspo_buffer_append(out, p->at, length);
    p->at += length;
    return status;
}

/* {n}, {n,}, {n,m}, {,m}; any other brace is a character. */
static lspo_status_t take_braces(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    const char *at = p->at + 1;
    const size_t least = strspn(at, "0123456789"), comma = at[least] == ',';
    const size_t most = comma ? strspn(at + least + 1, "0123456789") : 0;
    const char *end = at + least + comma + most;
    if (*end != '}' || least + most == 0) {
        p->at++;
        return put_character(p, '{', out);
    }
    if (end[1] == '+' || (end[1] == '?' && !comma))
        return lspo_regex_fail(p, "{n,m}+ and {n}? have other meanings in Oniguruma");
    p->at = end + 1;
    lspo_status_t status = put(out, least == 0 ? "{0" : "{");
    if (status != LSPO_OK)
        return status;
    return lspo_buffer_append(out, at, (size_t)(end + 1 - at));
}

static lspo_status_t take_one(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    const char text[2] = {*p->at, '\0'};
    if (*p->at != '\\' && ((uint8_t)*p->at >= 0x80 || !strchr("[({)|^$.?*+", *p->at)))
        return put_character(p, lspo_regex_take_plain(p), out);
    if (*p->at == '\\')
        return take_escape(p, out);
    p->last = 0;
    if (*p->at == '[')
        return take_class(p, out);
    if (*p->at == '(')
        return take_group(p, out);
    if (*p->at == '{')
        return take_braces(p, out);
    if (*p->at == ')') {
        if (p->depth == 0)
            return lspo_regex_fail(p, "a ')' has no '('");
        p->depth--;
    }
    p->at++;
    return put(out, text);
}

static lspo_status_t take_all(lspo_regex_parser_t *p, lspo_buffer_t *out)
{
    lspo_status_t status = put(out, "");
    if (status != LSPO_OK)
        return status;
    if (lspo_utf8_valid_until(p->at, strlen(p->at), 0) != strlen(p->at))
        return lspo_regex_fail(p, "it is not UTF-8");
    while (*p->at) {
        status = take_one(p, out);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_regex_translate(const char *pattern, lspo_buffer_t *out, const char **why_out)
{
    lspo_regex_parser_t p = {.at = pattern};
    lspo_status_t status = take_all(&p, out);
    *why_out = p.why;
    return status;
}
