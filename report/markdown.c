/* markdown.c - the part of Markdown that the README files of the experiments use; see markdown.h. */
#include "report/markdown.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "report/html.h"

typedef struct {
    const char *text;
    size_t bytes;
} line_t;

typedef struct {
    line_t *list; /* owned */
    size_t count, capacity;
} lines_t;

/* Lists within lists; deeper ones are paragraphs. */
enum { DEPTH_MOST = 6, CODE_INDENT = 4 };

static lspo_status_t write_blocks(FILE *page, const line_t *lines, size_t count, int depth);

static lspo_status_t add_line(lines_t *lines, const char *text, size_t bytes)
{
    lspo_status_t status =
        lspo_array_grow(&lines->list, &lines->capacity, lines->count + 1, sizeof *lines->list, "lines of a README");
    if (status == LSPO_OK)
        lines->list[lines->count++] = (line_t){text, bytes};
    return status;
}

static lspo_status_t split(const char *text, size_t bytes, lines_t *lines)
{
    lspo_status_t status = LSPO_OK;
    for (size_t begin = 0; begin < bytes && status == LSPO_OK;) {
        const char *stop = memchr(text + begin, '\n', bytes - begin);
        size_t length = stop != NULL ? (size_t)(stop - text) - begin : bytes - begin;
        bool carriage = length > 0 && text[begin + length - 1] == '\r';
        status = add_line(lines, text + begin, length - carriage);
        begin += length + 1;
    }
    return status;
}

static size_t indent_of(line_t line)
{
    size_t indent = 0;
    while (indent < line.bytes && line.text[indent] == ' ')
        indent++;
    return indent;
}

static bool is_blank(line_t line)
{
    return indent_of(line) == line.bytes;
}

static line_t without(line_t line, size_t bytes)
{
    size_t indent = indent_of(line), cut = bytes < indent ? bytes : indent;
    return (line_t){line.text + cut, line.bytes - cut};
}

static line_t trimmed(line_t line)
{
    line = without(line, line.bytes);
    while (line.bytes > 0 && isspace((unsigned char)line.text[line.bytes - 1]))
        line.bytes--;
    return line;
}

static bool begins(line_t line, const char *with)
{
    return line.bytes >= strlen(with) && memcmp(line.text, with, strlen(with)) == 0;
}

static size_t heading_level(line_t line)
{
    size_t level = 0;
    while (level < line.bytes && line.text[level] == '#')
        level++;
    return level < line.bytes && level <= 6 && line.text[level] == ' ' ? level : 0;
}

/* Width of "- " or "12. " with the blanks before and behind it; 0: the line begins no item. */
static size_t item_width(line_t line, bool *numbered_out)
{
    enum { DIGITS_MOST = 9 };
    size_t indent = indent_of(line), at = indent;
    while (at < line.bytes && at - indent < DIGITS_MOST && isdigit((unsigned char)line.text[at]))
        at++;
    *numbered_out = at > indent;
    bool marked = at < line.bytes && indent < CODE_INDENT &&
                  (*numbered_out ? line.text[at] == '.' : line.text[at] == '-' || line.text[at] == '*');
    return marked && at + 1 < line.bytes && line.text[at + 1] == ' ' ? at + 2 : 0;
}

static bool is_row(line_t line)
{
    line = trimmed(line);
    return line.bytes > 1 && line.text[0] == '|';
}

/* |---|:-:| */
static bool is_rule(line_t line)
{
    line = trimmed(line);
    for (size_t i = 0; i < line.bytes; i++)
        if (strchr("|-: ", line.text[i]) == NULL)
            return false;
    return line.bytes > 2 && memchr(line.text, '-', line.bytes) != NULL;
}

static bool begins_table(const line_t *lines, size_t count)
{
    return count >= 2 && is_row(lines[0]) && is_rule(lines[1]);
}

/* ---- blocks: each writes what begins at lines[0] and returns how many lines it took ---- */

static size_t write_heading(FILE *page, line_t line)
{
    size_t level = heading_level(line), shown = level + 2 < 6 ? level + 2 : 6;
    line_t text = trimmed((line_t){line.text + level, line.bytes - level});
    fprintf(page, "<h%zu>", shown);
    lspo_markdown_write_line(page, text.text, text.bytes);
    fprintf(page, "</h%zu>\n", shown);
    return 1;
}

static size_t write_fence(FILE *page, const line_t *lines, size_t count)
{
    size_t last = 1;
    fputs("<pre>", page);
    for (; last < count && !begins(trimmed(lines[last]), "```"); last++) {
        lspo_html_text(page, lines[last].text, lines[last].bytes);
        fputc('\n', page);
    }
    fputs("</pre>\n", page);
    return last < count ? last + 1 : count;
}

static size_t write_code(FILE *page, const line_t *lines, size_t count)
{
    size_t end = 0;
    for (size_t i = 0; i < count && (is_blank(lines[i]) || indent_of(lines[i]) >= CODE_INDENT); i++)
        if (!is_blank(lines[i]))
            end = i + 1;
    fputs("<pre>", page);
    for (size_t i = 0; i < end; i++) {
        line_t line = without(lines[i], CODE_INDENT);
        lspo_html_text(page, line.text, line.bytes);
        fputc('\n', page);
    }
    fputs("</pre>\n", page);
    return end;
}

/* At a row's next cell, behind a |; its length up to the next | that no \ precedes. */
static size_t cell_bytes(line_t rest)
{
    size_t i = 0;
    while (i < rest.bytes && (rest.text[i] != '|' || (i > 0 && rest.text[i - 1] == '\\')))
        i++;
    return i;
}

/* A cell's "\|" is "|", also in code, where the other escapes mean nothing. */
static void write_cell(FILE *page, line_t cell, const char *element)
{
    enum { CELL_MOST = 4096 };
    char text[CELL_MOST];
    size_t bytes = 0;
    for (size_t i = 0; i < cell.bytes && bytes < sizeof text; i++)
        if (cell.text[i] != '\\' || i + 1 >= cell.bytes || cell.text[i + 1] != '|')
            text[bytes++] = cell.text[i];
    fprintf(page, "<%s>", element);
    lspo_markdown_write_line(page, text, bytes);
    fprintf(page, "</%s>", element);
}

static void write_row(FILE *page, line_t row, const char *element)
{
    row = trimmed(row);
    fputs("<tr>", page);
    for (size_t at = 1; at < row.bytes;) {
        line_t rest = {row.text + at, row.bytes - at};
        rest.bytes = cell_bytes(rest);
        write_cell(page, trimmed(rest), element);
        at += rest.bytes + 1;
    }
    fputs("</tr>\n", page);
}

static size_t write_table(FILE *page, const line_t *lines, size_t count)
{
    size_t end = 2;
    fputs("<div class=\"wide\" tabindex=\"0\"><table><thead>", page);
    write_row(page, lines[0], "th");
    fputs("</thead><tbody>\n", page);
    for (; end < count && is_row(lines[end]); end++)
        write_row(page, lines[end], "td");
    fputs("</tbody></table></div>\n", page);
    return end;
}

/* Does another block begin here, in the midst of a paragraph?  Of numbered lists only those that begin with 1. */
static bool ends_paragraph(const line_t *lines, size_t count)
{
    bool numbered;
    if (is_blank(lines[0]) || heading_level(lines[0]) > 0 || begins(trimmed(lines[0]), "```") ||
        begins_table(lines, count))
        return true;
    return item_width(lines[0], &numbered) > 0 && (!numbered || begins(trimmed(lines[0]), "1. "));
}

static size_t write_paragraph(FILE *page, const line_t *lines, size_t count)
{
    size_t end = 1;
    while (end < count && !ends_paragraph(&lines[end], count - end))
        end++;
    line_t last = lines[end - 1], first = trimmed(lines[0]);
    fputs("<p>", page);
    /* The lines follow each other in the text; in a list, their indents mean nothing in HTML. */
    lspo_markdown_write_line(page, first.text, (size_t)(last.text + last.bytes - first.text));
    fputs("</p>\n", page);
    return end;
}

/* The lines of an item without its marker; blank ones belong to it if indented ones follow. */
static lspo_status_t take_item(const line_t *lines, size_t count, size_t width, lines_t *item, size_t *taken_out)
{
    size_t end = 1;
    for (size_t i = 1; i < count && (is_blank(lines[i]) || indent_of(lines[i]) >= width); i++)
        if (!is_blank(lines[i]))
            end = i + 1;
    lspo_status_t status = add_line(item, lines[0].text + width, lines[0].bytes - width);
    for (size_t i = 1; i < end && status == LSPO_OK; i++) {
        line_t line = without(lines[i], width);
        status = add_line(item, line.text, line.bytes);
    }
    *taken_out = end;
    return status;
}

static lspo_status_t write_list(FILE *page, const line_t *lines, size_t count, int depth, size_t *taken_out)
{
    bool numbered, also;
    size_t width = item_width(lines[0], &numbered), at = 0;
    lspo_status_t status = LSPO_OK;
    fputs(numbered ? "<ol>\n" : "<ul>\n", page);
    while (status == LSPO_OK && at < count && (width = item_width(lines[at], &also)) > 0 && also == numbered) {
        lines_t item = {0};
        size_t taken = 1;
        status = take_item(&lines[at], count - at, width, &item, &taken);
        fputs("<li>", page);
        if (status == LSPO_OK)
            status = write_blocks(page, item.list, item.count, depth + 1);
        fputs("</li>\n", page);
        free(item.list);
        at += taken;
        /* Items may be apart. */
        size_t next = at;
        while (next < count && is_blank(lines[next]))
            next++;
        if (next < count && item_width(lines[next], &also) > 0)
            at = next;
    }
    fputs(numbered ? "</ol>\n" : "</ul>\n", page);
    *taken_out = at;
    return status;
}

static lspo_status_t write_blocks(FILE *page, const line_t *lines, size_t count, int depth)
{
    lspo_status_t status = LSPO_OK;
    for (size_t at = 0, taken = 1; at < count && status == LSPO_OK; at += taken) {
        const line_t *here = &lines[at];
        bool numbered;
        taken = 1;
        if (is_blank(*here))
            continue;
        if (depth < DEPTH_MOST && item_width(*here, &numbered) > 0)
            status = write_list(page, here, count - at, depth, &taken);
        else if (begins(trimmed(*here), "```"))
            taken = write_fence(page, here, count - at);
        else if (indent_of(*here) >= CODE_INDENT)
            taken = write_code(page, here, count - at);
        else if (heading_level(*here) > 0)
            taken = write_heading(page, *here);
        else if (begins_table(here, count - at))
            taken = write_table(page, here, count - at);
        else
            taken = write_paragraph(page, here, count - at);
    }
    return status;
}

const char *lspo_markdown_title(const char *text, size_t bytes, size_t *bytes_out)
{
    const char *stop = memchr(text, '\n', bytes);
    line_t line = {text, stop != NULL ? (size_t)(stop - text) : bytes};
    size_t level = heading_level(line);
    line_t title = level > 0 ? trimmed((line_t){text + level, line.bytes - level}) : (line_t){text, 0};
    *bytes_out = title.bytes;
    return title.text;
}

lspo_status_t lspo_markdown_write(FILE *page, const char *text, size_t bytes)
{
    lines_t lines = {0};
    lspo_status_t status = split(text, bytes, &lines);
    size_t title = lines.count > 0 && heading_level(lines.list[0]) > 0;
    if (status == LSPO_OK)
        status = write_blocks(page, lines.list + title, lines.count - title, 0);
    free(lines.list);
    return status;
}
