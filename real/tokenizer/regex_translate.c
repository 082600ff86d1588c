/* regex_translate.c - Oniguruma's expressions in PCRE2's words; see regex.h. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "real/tokenizer/regex.h"
#include "real/tokenizer/regex_sets.h"
#include "real/tokenizer/unicode.h"

enum { DEPTH_MAX = 32, NAME_BYTES = 40 };

typedef struct {
    const char *at; /* what is left of the pattern */
    const char *why;
    bool caseless[DEPTH_MAX + 1]; /* by depth of groups */
    uint32_t depth, class_depth;
    uint32_t last;          /* the letter before, where case does not count; 0: none */
    unsigned caseless_sets; /* named ones so far, without regard to case */
} parser_t;

static lspo_status_t fail(parser_t *p, const char *why)
{
    p->why = why;
    return LSPO_ERR_INPUT;
}

static lspo_status_t put(lspo_buffer_t *out, const char *text)
{
    return lspo_buffer_append(out, text, strlen(text));
}

static lspo_status_t put_code(lspo_buffer_t *out, uint32_t code)
{
    char text[16];
    snprintf(text, sizeof text, "\\x{%x}", code);
    return put(out, text);
}

/* -- sets of characters -------------------------------------------------------------------------------------------- */

static lspo_status_t put_set(parser_t *p, const char *name, lspo_buffer_t *out)
{
    return lspo_regex_put_set(name, p->caseless[p->depth], out, &p->why);
}

/* {Name}, {^Name} or a letter behind \p or \P. */
static lspo_status_t take_name(parser_t *p, char name[NAME_BYTES], bool *negative)
{
    size_t length = 0;
    if (*p->at != '{') {
        if (*p->at == '\0')
            return fail(p, "it ends with \\p");
        name[0] = *p->at++;
        name[1] = '\0';
        return LSPO_OK;
    }
    p->at++;
    if (*p->at == '^') {
        *negative = !*negative;
        p->at++;
    }
    for (; *p->at && *p->at != '}'; p->at++)
        if (!strchr(" _-", *p->at)) {
            if (length + 1 == NAME_BYTES)
                return fail(p, "it names a set of characters that is not known");
            name[length++] = *p->at;
        }
    name[length] = '\0';
    if (*p->at != '}' || length == 0)
        return fail(p, "a name of a set of characters does not end");
    p->at++;
    return LSPO_OK;
}

/* \p{...}, \w and the like behind the backslash: false when it is none of them. */
static lspo_status_t take_set(parser_t *p, char name[NAME_BYTES], bool *negative, bool *found)
{
    const char letter = *p->at;
    *found = letter != '\0' && strchr("pPwWdDsShH", letter) != NULL;
    if (!*found)
        return LSPO_OK;
    p->at++;
    *negative = letter >= 'A' && letter <= 'Z';
    if (letter == 'p' || letter == 'P')
        return take_name(p, name, negative);
    const char lower = (char)(letter | 0x20);
    strcpy(name, lower == 'w' ? "word" : lower == 'd' ? "digit" : lower == 's' ? "space" : "xdigit");
    return LSPO_OK;
}

/* -- single characters --------------------------------------------------------------------------------------------- */

static lspo_status_t take_hex(parser_t *p, size_t digits_min, size_t digits_max, uint32_t *code_out)
{
    const size_t digits = strspn(p->at, "0123456789abcdefABCDEF");
    char text[9] = "";
    if (digits < digits_min)
        return fail(p, "a character's number is not hexadecimal");
    const size_t taken = digits < digits_max ? digits : digits_max;
    memcpy(text, p->at, taken);
    p->at += taken;
    *code_out = (uint32_t)strtoul(text, NULL, 16);
    return *code_out <= 0x10ffff ? LSPO_OK : fail(p, "a character's number is too large");
}

/* The character behind a backslash that is no set. */
static lspo_status_t take_escaped(parser_t *p, bool in_class, uint32_t *code_out)
{
    static const char letters[] = "tnrfaev", codes[] = "\t\n\r\f\a\033\v";
    const char *known = *p->at ? strchr(letters, *p->at) : NULL;
    if (known || (in_class && *p->at == 'b')) {
        *code_out = known ? (uint8_t)codes[known - letters] : 8;
        p->at++;
        return LSPO_OK;
    }
    if (*p->at == 'u') {
        p->at++;
        return take_hex(p, 4, 4, code_out);
    }
    if (*p->at == 'x' && p->at[1] == '{') {
        p->at += 2;
        lspo_status_t status = take_hex(p, 1, 8, code_out);
        return status != LSPO_OK || *p->at++ == '}' ? status : fail(p, "\\x{ does not end");
    }
    if (*p->at == 'x') {
        p->at++;
        return take_hex(p, 1, 2, code_out);
    }
    if ((uint8_t)*p->at >= 0x80 || *p->at == '\0' || (*p->at >= '0' && *p->at <= '9') ||
        ((*p->at | 0x20) >= 'a' && (*p->at | 0x20) <= 'z'))
        return fail(p, "it has an escape that is not known");
    *code_out = (uint8_t)*p->at++;
    return LSPO_OK;
}

static uint32_t take_plain(parser_t *p)
{
    uint32_t code;
    p->at += lspo_utf8_next(p->at, strlen(p->at), 0, &code);
    return code;
}

/* -- classes ------------------------------------------------------------------------------------------------------- */

/* A class while it is read: the inside of one of PCRE2's, and what is no such inside, as alternatives that each match
 * one character. */
typedef struct {
    lspo_buffer_t inside, others;
} class_t;

static lspo_status_t add_other(class_t *class, const char *before, const char *text, const char *after)
{
    lspo_status_t status = class->others.bytes > 0 ? put(&class->others, "|") : LSPO_OK;
    if (status == LSPO_OK)
        status = put(&class->others, before);
    if (status == LSPO_OK)
        status = put(&class->others, text);
    return status == LSPO_OK ? put(&class->others, after) : status;
}

static const char *text_of(const lspo_buffer_t *buffer)
{
    return buffer->text ? buffer->text : "";
}

/* One character that is in the class, or not in it. */
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
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < 5 && status == LSPO_OK; i++)
        status = put(out, parts[i]);
    return status;
}

static const char no_caseless_rest[] = "without regard to case, all but a set of characters is not known";

static lspo_status_t add_set(parser_t *p, const char *name, bool negative, class_t *class)
{
    const char *lacks = lspo_regex_set_lacks(name);
    if (negative && p->caseless[p->depth])
        return fail(p, no_caseless_rest);
    p->caseless_sets += p->caseless[p->depth];
    if (!negative && !lacks)
        return put_set(p, name, &class->inside);
    lspo_buffer_t set = {0};
    lspo_status_t status = lacks && !negative ? put(&set, "(?![") : put(&set, "[^");
    if (status == LSPO_OK && lacks && !negative)
        status = put(&set, lacks);
    if (status == LSPO_OK && lacks && !negative)
        status = put(&set, "])[");
    if (status == LSPO_OK)
        status = put_set(p, name, &set);
    if (status == LSPO_OK)
        status = add_other(class, "", set.text, "]");
    if (status == LSPO_OK && lacks && negative)
        status = put(&class->inside, lacks);
    free(set.text);
    return status;
}

/* [:name:] or [:^name:]; not found when it is no such thing. */
static lspo_status_t take_posix(parser_t *p, class_t *class, bool *found)
{
    char name[NAME_BYTES] = "";
    const char *at = p->at + 2, *end = strstr(at, ":]");
    bool negative = *at == '^';
    at += negative;
    *found = end && end > at && end - at < NAME_BYTES && (size_t)(end - at) == strspn(at, "abcdefghijklmnopqrstuvwxyz");
    if (!*found)
        return LSPO_OK;
    memcpy(name, at, (size_t)(end - at));
    p->at = end + 2;
    /* The one that differs from \p{Punct}. */
    return add_set(p, strcmp(name, "punct") == 0 ? "punctorsymbol" : name, negative, class);
}

static lspo_status_t take_class(parser_t *p, lspo_buffer_t *out);

/* One end of a range, or a set. */
static lspo_status_t take_member(parser_t *p, class_t *class, uint32_t *code_out, bool *is_set)
{
    char name[NAME_BYTES];
    bool negative = false;
    *is_set = false;
    if (*p->at != '\\') {
        *code_out = take_plain(p);
        return LSPO_OK;
    }
    p->at++;
    lspo_status_t status = take_set(p, name, &negative, is_set);
    if (status != LSPO_OK)
        return status;
    return *is_set ? add_set(p, name, negative, class) : take_escaped(p, true, code_out);
}

static lspo_status_t check_fold(parser_t *p, uint32_t code)
{
    return p->caseless[p->depth] && code >= 0x80 ? fail(p, "without regard to case, only ASCII letters are") : LSPO_OK;
}

static lspo_status_t take_range(parser_t *p, class_t *class)
{
    uint32_t first = 0, last = 0;
    bool is_set = false;
    lspo_status_t status = take_member(p, class, &first, &is_set);
    if (status != LSPO_OK || is_set)
        return status;
    last = first;
    if (p->at[0] == '-' && p->at[1] != ']' && p->at[1] != '\0') {
        p->at++;
        if (*p->at == '[')
            return fail(p, "a range ends in a class");
        status = take_member(p, class, &last, &is_set);
        if (status == LSPO_OK && is_set)
            status = fail(p, "a range ends in a set of characters");
    }
    if (status == LSPO_OK)
        status = check_fold(p, last);
    if (status == LSPO_OK)
        status = put_code(&class->inside, first);
    if (status == LSPO_OK && last != first)
        status = put(&class->inside, "-");
    return status == LSPO_OK && last != first ? put_code(&class->inside, last) : status;
}

/* The members up to "]" or "&&". */
static lspo_status_t take_members(parser_t *p, class_t *class)
{
    lspo_status_t status = LSPO_OK;
    for (bool first = true; status == LSPO_OK; first = false) {
        bool found = false;
        if (*p->at == '\0')
            return fail(p, "a class does not end");
        if ((*p->at == ']' && !first) || strncmp(p->at, "&&", 2) == 0)
            return LSPO_OK;
        if (strncmp(p->at, "[:", 2) == 0)
            status = take_posix(p, class, &found);
        if (status != LSPO_OK || found)
            continue;
        if (*p->at != '[') {
            status = take_range(p, class);
            continue;
        }
        lspo_buffer_t inner = {0};
        status = take_class(p, &inner);
        if (status == LSPO_OK)
            status = add_other(class, "", inner.text, "");
        free(inner.text);
    }
    return status;
}

static lspo_status_t take_term(parser_t *p, lspo_buffer_t *out)
{
    class_t class = {0};
    lspo_status_t status = take_members(p, &class);
    if (status == LSPO_OK && class.inside.bytes + class.others.bytes == 0)
        status = fail(p, "a class is empty");
    if (status == LSPO_OK)
        status = write_class(&class, false, out);
    free(class.inside.text);
    free(class.others.text);
    return status;
}

/* a && b && c: one character that all three match. */
static lspo_status_t take_intersection(parser_t *p, lspo_buffer_t *out)
{
    lspo_status_t status = LSPO_OK;
    for (bool more = true; more && status == LSPO_OK;) {
        lspo_buffer_t term = {0};
        status = take_term(p, &term);
        more = strncmp(p->at, "&&", 2) == 0;
        if (status == LSPO_OK)
            status = put(out, more ? "(?=" : "");
        if (status == LSPO_OK)
            status = put(out, term.text);
        if (status == LSPO_OK)
            status = put(out, more ? ")" : "");
        p->at += more ? 2 : 0;
        free(term.text);
    }
    return status;
}

/* "[...]" */
static lspo_status_t take_class(parser_t *p, lspo_buffer_t *out)
{
    class_t class = {0};
    if (++p->class_depth > DEPTH_MAX)
        return fail(p, "its classes are nested too deep");
    p->at++;
    const unsigned sets_before = p->caseless_sets;
    const bool negative = *p->at == '^';
    p->at += negative;
    const char *begin = p->at;
    lspo_status_t status = take_members(p, &class);
    if (status == LSPO_OK && *p->at == '&') {
        p->at = begin;
        free(class.inside.text);
        free(class.others.text);
        class = (class_t){0};
        status = take_intersection(p, &class.others);
    }
    if (status == LSPO_OK && class.inside.bytes + class.others.bytes == 0)
        status = fail(p, "a class is empty");
    if (status == LSPO_OK && negative && p->caseless_sets > sets_before)
        status = fail(p, no_caseless_rest);
    if (status == LSPO_OK)
        status = write_class(&class, negative, out);
    free(class.inside.text);
    free(class.others.text);
    p->at += status == LSPO_OK;
    p->class_depth--;
    return status;
}

/* -- all else ------------------------------------------------------------------------------------------------------ */

/* "ss" and the like match one character without regard to case. */
static bool folds_with(uint32_t before, uint32_t code)
{
    static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};
    const char pair[] = {(char)(before | 0x20), (char)(code | 0x20), '\0'};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && before < 0x80 && code < 0x80; i++)
        if (strcmp(pairs[i], pair) == 0)
            return true;
    return false;
}

static lspo_status_t put_character(parser_t *p, uint32_t code, lspo_buffer_t *out)
{
    if (p->caseless[p->depth]) {
        if (code >= 0x80 || folds_with(p->last, code))
            return fail(p, "without regard to case, only ASCII letters are, and none that fold to several");
        p->last = code;
    }
    if (code < 0x80 && strchr("\\^$.[]|()?*+{}", (int)code) == NULL) {
        const char text[2] = {(char)code, '\0'};
        return put(out, text);
    }
    return put_code(out, code);
}

/* A set outside of classes.  There, as in \b, \w has the numbers of Latin-1 that are none of decimal digits, too. */
static lspo_status_t put_alone(parser_t *p, const char *name, bool negative, lspo_buffer_t *out)
{
    if (negative && p->caseless[p->depth])
        return fail(p, no_caseless_rest);
    class_t class = {0};
    lspo_status_t status = add_set(p, name, false, &class);
    if (status == LSPO_OK && strcasecmp(name, "word") == 0)
        status = put(&class.inside, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
    if (status == LSPO_OK)
        status = write_class(&class, negative, out);
    free(class.inside.text);
    free(class.others.text);
    return status;
}

/* \b and \B */
static lspo_status_t put_border(parser_t *p, bool negative, lspo_buffer_t *out)
{
    static const char *const border[] = {"(?:(?<=", ")(?!", ")|(?<!", ")(?=", "))"};
    static const char *const none[] = {"(?:(?<=", ")(?=", ")|(?<!", ")(?!", "))"};
    const char *const *parts = negative ? none : border;
    lspo_status_t status = put(out, parts[0]);
    for (size_t i = 1; i < 5 && status == LSPO_OK; i++) {
        status = put_alone(p, "word", false, out);
        if (status == LSPO_OK)
            status = put(out, parts[i]);
    }
    return status;
}

static lspo_status_t take_escape(parser_t *p, lspo_buffer_t *out)
{
    char name[NAME_BYTES];
    bool negative = false, found = false;
    uint32_t code = 0;
    p->at++;
    lspo_status_t status = take_set(p, name, &negative, &found);
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
    status = take_escaped(p, false, &code);
    return status == LSPO_OK ? put_character(p, code, out) : status;
}

/* "(?imx-imx" up to ")" or ":"; m is PCRE2's s. */
static lspo_status_t take_flags(parser_t *p, lspo_buffer_t *out)
{
    bool on = true, caseless = p->caseless[p->depth];
    lspo_status_t status = put(out, "(?");
    for (; status == LSPO_OK && *p->at != ':' && *p->at != ')'; p->at++) {
        if (*p->at == '-')
            on = false;
        else if (*p->at == 'i')
            caseless = on;
        else if (*p->at != 'm')
            return fail(p, "it has a group that is not known");
        const char text[2] = {*p->at == 'm' ? 's' : *p->at, '\0'};
        status = put(out, text);
    }
    if (*p->at == ':') {
        if (p->depth == DEPTH_MAX)
            return fail(p, "its groups are nested too deep");
        p->depth++;
    } else if (status == LSPO_OK && p->at[1] != '\0' && p->depth == 0) {
        /* as in Oniguruma, what follows is one group: a|(?i)b|c */
        return fail(p, "flags without a group of their own are not known");
    }
    p->caseless[p->depth] = caseless;
    const char text[2] = {*p->at++, '\0'};
    return status == LSPO_OK ? put(out, text) : status;
}

static lspo_status_t take_group(parser_t *p, lspo_buffer_t *out)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    size_t length = 1;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(p->at, known[i], strlen(known[i])) == 0)
            length = strlen(known[i]);
    if (length == 1 && p->at[1] == '*')
        return fail(p, "it has a group that is not known");
    if (length == 1 && p->at[1] == '?') {
        if (p->at[2] == '\0' || !strchr("imx-", p->at[2]))
            return fail(p, "it has a group that is not known");
        p->at += 2;
        return take_flags(p, out);
    }
    if (p->depth == DEPTH_MAX)
        return fail(p, "its groups are nested too deep");
    p->caseless[p->depth + 1] = p->caseless[p->depth];
    p->depth++;
    lspo_status_t status = lspo_buffer_append(out, p->at, length);
    p->at += length;
    return status;
}

/* {n}, {n,}, {n,m}, {,m}; any other brace is a character. */
static lspo_status_t take_braces(parser_t *p, lspo_buffer_t *out)
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
        return fail(p, "{n,m}+ and {n}? mean other things elsewhere");
    lspo_status_t status = put(out, least == 0 ? "{0" : "{");
    if (status == LSPO_OK)
        status = lspo_buffer_append(out, at, (size_t)(end + 1 - at));
    p->at = end + 1;
    return status;
}

static lspo_status_t take_one(parser_t *p, lspo_buffer_t *out)
{
    const char text[2] = {*p->at, '\0'};
    if (*p->at != '\\' && ((uint8_t)*p->at >= 0x80 || !strchr("[({)|^$.?*+", *p->at)))
        return put_character(p, take_plain(p), out);
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
            return fail(p, "a group ends that did not begin");
        p->depth--;
    }
    p->at++;
    return put(out, text);
}

lspo_status_t lspo_regex_translate(const char *pattern, lspo_buffer_t *out, const char **why_out)
{
    parser_t p = {.at = pattern};
    lspo_status_t status = put(out, "");
    if (lspo_utf8_valid_until(pattern, strlen(pattern), 0) != strlen(pattern))
        status = fail(&p, "it is not UTF-8");
    while (status == LSPO_OK && *p.at)
        status = take_one(&p, out);
    *why_out = p.why;
    return status;
}
