/* jinja.c - see jinja.h. */
#include "real/data/jinja.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings and names ---- */

/* A string in quotes, at `at`, appended in single quotes; returns its end. */
static lspo_status_t put_string(const char **at, lspo_buffer_t *out)
{
    static const char from[] = "ntr", to[] = "\n\t\r";
    const char quote = **at;
    const char *p = *at + 1;
    /* 'a'+'b' is one string. */
    const bool joined = out->bytes >= 2 && memcmp(out->text + out->bytes - 2, "'+", 2) == 0;
    lspo_status_t status = LSPO_OK;
    if (joined)
        out->bytes -= 2;
    else
        status = lspo_buffer_append(out, "'", 1);
    for (; status == LSPO_OK && *p != '\0' && *p != quote; p++) {
        char c = *p;
        const char *known = c == '\\' && p[1] != '\0' ? strchr(from, p[1]) : NULL;
        if (c == '\\' && p[1] != '\0')
            c = known ? to[known - from] : p[1];
        p += p[0] == '\\' && p[1] != '\0';
        /* A quote that is part of the text must not end it, nor a backslash go with the quote behind it. */
        status = c == '\''   ? lspo_buffer_append(out, "\\'", 2)
                 : c == '\\' ? lspo_buffer_append(out, "\\-", 2)
                             : lspo_buffer_append(out, &c, 1);
    }
    *at = *p != '\0' ? p + 1 : p;
    return status == LSPO_OK ? lspo_buffer_append(out, "'", 1) : status;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* .role or .content of an object becomes ['role'] or ['content']. */
static lspo_status_t put_other(const char **at, lspo_buffer_t *out)
{
    static const char *const members[] = {"role", "content"};
    for (size_t i = 0; **at == '.' && i < sizeof members / sizeof members[0]; i++) {
        const size_t length = strlen(members[i]);
        if (strncmp(*at + 1, members[i], length) != 0 || is_name((*at)[1 + length]))
            continue;
        lspo_status_t status = lspo_buffer_append(out, "['", 2);
        if (status != LSPO_OK)
            return status;
        status = lspo_buffer_append(out, members[i], length);
        if (status != LSPO_OK)
            return status;
        *at += 1 + length;
        return lspo_buffer_append(out, "']", 2);
    }
    const char *c = (*at)++;
    return isspace((unsigned char)*c) ? LSPO_OK : lspo_buffer_append(out, c, 1);
}

/* ---- tags ---- */

/* Where a tag begins: {{, {% or {#. */
static const char *next_tag(const char *at)
{
    for (; *at != '\0'; at++)
        if (at[0] == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
            break;
    return at;
}

/* The tag at `at`, with its marks; *trims_out: it takes the blanks behind it. */
static lspo_status_t put_tag(const char **at, lspo_buffer_t *out, bool *trims_out)
{
    const char close[] = {(*at)[1] == '{' ? '}' : (*at)[1], '}', '\0'};
    lspo_status_t status = lspo_buffer_append(out, *at, 2);
    const char *p = *at + 2;
    p += *p == '-' || *p == '+';
    while (status == LSPO_OK && *p != '\0' && strncmp(p, close, 2) != 0 &&
           !((*p == '-' || *p == '+') && strncmp(p + 1, close, 2) == 0))
        status = *p == '\'' || *p == '"' ? put_string(&p, out) : put_other(&p, out);
    *trims_out = *p == '-';
    p += *p == '-' || *p == '+';
    p += *p != '\0' ? 2 : 0;
    *at = p;
    return status == LSPO_OK ? lspo_buffer_append(out, close, 2) : status;
}

static const char *behind_comment(const char *at, bool *trims_out)
{
    const char *end = strstr(at, "#}");
    *trims_out = end && end > at && end[-1] == '-';
    return end ? end + 2 : at + strlen(at);
}

/* The text before a tag without the blanks that the tag takes: all of them with "-", and before a block those since the
 * start of the line. */
static size_t shorten(const char *text, size_t bytes, const char *tag, bool starts_line)
{
    size_t end = bytes;
    if (tag[0] == '\0' || tag[2] == '-') {
        while (tag[0] != '\0' && end > 0 && isspace((unsigned char)text[end - 1]))
            end--;
        return end;
    }
    if (tag[1] == '{' || tag[2] == '+')
        return end;
    while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    return end == 0 ? (starts_line ? 0 : bytes) : text[end - 1] == '\n' ? end : bytes;
}

lspo_status_t lspo_jinja_canonical(const char *jinja, lspo_buffer_t *tags_out, lspo_buffer_t *outside_out)
{
    bool trims = false, starts_line = true, is_block = false;
    lspo_status_t status = LSPO_OK;
    for (const char *at = jinja; *at != '\0';) {
        const char *tag = next_tag(at);
        while (trims && at < tag && isspace((unsigned char)*at))
            at++;
        const bool takes_line = is_block && !trims && *at == '\n';
        at += takes_line;
        starts_line |= takes_line;
        /* The last newline of a template is not written. */
        size_t bytes = shorten(at, (size_t)(tag - at), tag, starts_line);
        bytes -= *tag == '\0' && bytes > 0 && at[bytes - 1] == '\n';
        status = lspo_buffer_append(outside_out, at, bytes);
        if (status != LSPO_OK || *tag == '\0')
            return status;
        is_block = tag[1] != '{';
        starts_line = false;
        at = tag;
        if (tag[1] == '#')
            at = behind_comment(tag + 2, &trims);
        else
            status = put_tag(&at, tags_out, &trims);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

const char *lspo_jinja_tag_end(const char *tag)
{
    const char close[] = {tag[1] == '{' ? '}' : tag[1], '}', '\0'};
    bool quoted = false;
    const char *p = tag + 2;
    for (; *p != '\0' && (quoted || strncmp(p, close, 2) != 0); p++) {
        if (quoted && *p == '\\' && p[1] != '\0') /* outside of strings a backslash is one character */
            p++;
        else if (*p == '\'')
            quoted = !quoted;
    }
    return *p != '\0' ? p + 2 : p;
}
