/* markdown_line.c - what may stand within a line of Markdown; see markdown.h. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "report/html.h"
#include "report/markdown.h"

/* A text of which the part before `at` is written. */
typedef struct {
    const char *at, *end;
    bool no_strong, no_emphasis, no_link; /* its end is not in the rest: not searched for again */
} line_t;

/* Strong in emphasis in a link is enough. */
enum { DEPTH_MOST = 4 };

static void write_span(FILE *page, const char *text, const char *end, int depth);

static const char *find(const char *from, const char *end, const char *what)
{
    return from < end ? memmem(from, (size_t)(end - from), what, strlen(what)) : NULL;
}

/* `code`, between equal runs of backticks; a run without a second one is text. */
static void write_code(FILE *page, line_t *line)
{
    size_t run = 0, ticks = 0;
    while (line->at + run < line->end && line->at[run] == '`')
        run++;
    for (const char *at = line->at + run; at <= line->end; at++) {
        if (at < line->end && *at == '`') {
            ticks++;
            continue;
        }
        if (ticks == run) {
            const char *begin = line->at + run, *stop = at - run;
            fputs("<code>", page);
            lspo_html_text(page, begin, (size_t)(stop - begin));
            fputs("</code>", page);
            line->at = at;
            return;
        }
        ticks = 0;
    }
    lspo_html_text(page, line->at, run);
    line->at += run;
}

/* **strong** or *emphasis*; false if this is not the beginning of one. */
static bool write_stressed(FILE *page, line_t *line, const char *mark, const char *element, bool *none, int depth)
{
    const char *begin = line->at + strlen(mark);
    if (*none || depth >= DEPTH_MOST || begin >= line->end || isspace((unsigned char)*begin))
        return false;
    const char *stop = find(begin, line->end, mark);
    *none = stop == NULL;
    if (stop == NULL || stop == begin || isspace((unsigned char)stop[-1]))
        return false;
    fprintf(page, "<%s>", element);
    write_span(page, begin, stop, depth + 1);
    fprintf(page, "</%s>", element);
    line->at = stop + strlen(mark);
    return true;
}

/* The opening tag for a target; false if it leads nowhere. */
static bool open_link(FILE *page, const char *target, size_t bytes)
{
    static const char up[] = "../", readme[] = "/README.md";
    if ((bytes > 8 && memcmp(target, "https://", 8) == 0) || (bytes > 7 && memcmp(target, "http://", 7) == 0)) {
        fputs("<a href=\"", page);
        lspo_html_text(page, target, bytes);
        fputs("\">", page);
        return true;
    }
    size_t around = strlen(up) + strlen(readme);
    if (bytes <= around || memcmp(target, up, strlen(up)) != 0 ||
        memcmp(target + bytes - strlen(readme), readme, strlen(readme)) != 0 ||
        memchr(target + strlen(up), '/', bytes - around) != NULL)
        return false;
    fputs("<a href=\"#", page);
    lspo_html_text(page, target + strlen(up), bytes - around);
    fputs("\">", page);
    return true;
}

/* The ) behind a target, which may have pairs of its own; NULL if there is none. */
static const char *end_of_target(const char *target, const char *end)
{
    size_t open = 0;
    for (const char *at = target; at < end; at++)
        if (*at == '(')
            open++;
        else if (*at == ')' && open-- == 0)
            return at;
    return NULL;
}

/* [text](target), without further brackets in it; false if this is not the beginning of one. */
static bool write_link(FILE *page, line_t *line, int depth)
{
    const char *middle = line->at + 1;
    while (middle < line->end && *middle != '[' && *middle != ']')
        middle++;
    if (line->no_link || depth >= DEPTH_MOST || middle + 1 >= line->end || middle[0] != ']' || middle[1] != '(')
        return false;
    const char *stop = end_of_target(middle + 2, line->end);
    line->no_link = stop == NULL;
    if (stop == NULL)
        return false;
    bool leads = open_link(page, middle + 2, (size_t)(stop - middle - 2));
    write_span(page, line->at + 1, middle, depth + 1);
    if (leads)
        fputs("</a>", page);
    line->at = stop + 1;
    return true;
}

static bool write_marked(FILE *page, line_t *line, int depth)
{
    bool two = line->at + 1 < line->end && line->at[1] == line->at[0];
    switch (*line->at) {
    case '`':
        write_code(page, line);
        return true;
    case '*':
        return two ? write_stressed(page, line, "**", "strong", &line->no_strong, depth)
                   : write_stressed(page, line, "*", "em", &line->no_emphasis, depth);
    case '[':
        return write_link(page, line, depth);
    case '\\':
        if (line->at + 1 < line->end && ispunct((unsigned char)line->at[1]))
            line->at++;
        return false;
    default:
        return false;
    }
}

static void write_span(FILE *page, const char *text, const char *end, int depth)
{
    line_t line = {.at = text, .end = end};
    while (line.at < line.end) {
        if (write_marked(page, &line, depth))
            continue;
        /* The character itself, and those behind it that mean nothing. */
        const char *from = line.at++;
        while (line.at < line.end && strchr("`*[\\", *line.at) == NULL)
            line.at++;
        lspo_html_text(page, from, (size_t)(line.at - from));
    }
}

void lspo_markdown_write_line(FILE *page, const char *text, size_t bytes)
{
    write_span(page, text, text + bytes, 0);
}
