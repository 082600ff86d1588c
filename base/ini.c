/* ini.c - see ini.h. */
#include "base/ini.h"

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"

enum { KEYS_MAX = 8192, WHERE_BYTES = 512, NOTE_BYTES = 256, FILE_BYTES_MAX = 1 << 20 };

typedef struct {
    const char *name;
    lspo_input_t *input; /* NULL: read the lines of `text` */
    const char *text;    /* the rest of it */
    unsigned line;
    char note[NOTE_BYTES]; /* of the current line */
    lspo_ini_handler_t handler;
    void *context;
    bool heads; /* the handler is called for heads of sections, too */
    lspo_status_t status;
    char **seen; /* "section\nkey" of every key, and where asked for of every head, to find duplicates */
    unsigned seen_count;
} reader_t;

/* Like lspo_input_line(), from the text in memory. */
static void next_text_line(reader_t *reader, char **line_out, size_t *length_out)
{
    if (*reader->text == '\0') {
        *line_out = NULL;
        return;
    }
    *line_out = (char *)reader->text;
    *length_out = strcspn(reader->text, "\n");
    reader->text += *length_out + (reader->text[*length_out] == '\n');
}

/* The comment after a value begins at a ';' that follows a blank, as in inih. */
static void keep_note(reader_t *reader, const char *line)
{
    const char *start = strpbrk(line, "=:");
    reader->note[0] = '\0';
    while (start != NULL && *start != '\0' && !((*start == ' ' || *start == '\t') && start[1] == ';'))
        start++;
    if (start == NULL || *start == '\0')
        return;
    start += 2;
    start += strspn(start, " \t");
    size_t length = strcspn(start, "\r\n");
    while (length > 0 && (start[length - 1] == ' ' || start[length - 1] == '\t'))
        length--;
    snprintf(reader->note, sizeof reader->note, "%.*s", (int)length, start);
}

/* Sets reader->status if the key, or with "" the head of the section, was already present. */
static void remember_key(reader_t *reader, const char *where, const char *section, const char *key)
{
    char *name = NULL;
    if (asprintf(&name, "%s\n%s", section, key) < 0) {
        reader->status = lspo_no_memory("%s", where);
        return;
    }
    for (unsigned i = 0; i < reader->seen_count; i++) {
        if (strcmp(reader->seen[i], name) == 0)
            reader->status =
                lspo_error(LSPO_ERR_INPUT, "%s: [%s]%s%s is given twice", where, section, *key != '\0' ? " " : "", key);
    }
    if (reader->seen_count == KEYS_MAX)
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s: more than %d keys and sections", where, KEYS_MAX);
    if (reader->status != LSPO_OK) {
        free(name);
        return;
    }
    reader->seen[reader->seen_count++] = name;
}

/* Tell the handler of a section; what inih will refuse is left to it. */
static void take_head(reader_t *reader, const char *line)
{
    char where[WHERE_BYTES], section[NOTE_BYTES];
    const char *end = strchr(line, ']');
    if (!reader->heads || *line != '[' || end == NULL)
        return;
    snprintf(where, sizeof where, "%s:%u", reader->name, reader->line);
    snprintf(section, sizeof section, "%.*s", (int)(end - line - 1), line + 1);
    remember_key(reader, where, section, "");
    if (reader->status != LSPO_OK)
        return;
    const lspo_ini_entry_t entry = {.where = where, .section = section, .key = "", .value = "", .note = ""};
    reader->status = reader->handler(reader->context, &entry);
}

/* fgets for inih that counts lines, because Debian's inih does not pass line numbers to its handler. */
static char *read_line(char *buffer, int capacity, void *stream)
{
    reader_t *reader = stream;
    char *line = NULL;
    size_t length = 0;
    if (reader->status != LSPO_OK)
        return NULL;
    if (reader->input != NULL) {
        reader->status = lspo_input_line(reader->input, &line, &length);
    } else {
        next_text_line(reader, &line, &length);
    }
    if (reader->status != LSPO_OK || line == NULL)
        return NULL;
    reader->line++;
    if (length + 2 > (size_t)capacity || memchr(line, '\0', length) != NULL) {
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s:%u: the line has more than %d characters or a NUL byte",
                                    reader->name, reader->line, capacity - 2);
        return NULL;
    }
    /* inih would append an indented line to the value above it. */
    size_t indent = strspn(line, " \t");
    indent = indent < length ? indent : length;
    snprintf(buffer, (size_t)capacity, "%.*s\n", (int)(length - indent), line + indent);
    keep_note(reader, buffer);
    take_head(reader, buffer);
    return reader->status == LSPO_OK ? buffer : NULL;
}

/* inih's handler: returning 0 means an error. */
static int take_key(void *user, const char *section, const char *key, const char *value)
{
    reader_t *reader = user;
    char where[WHERE_BYTES];
    if (reader->status != LSPO_OK)
        return 0;
    snprintf(where, sizeof where, "%s:%u", reader->name, reader->line);
    if (*section == '\0') {
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s: '%s' comes before the first [section]", where, key);
        return 0;
    }
    remember_key(reader, where, section, key);
    if (reader->status != LSPO_OK)
        return 0;
    const lspo_ini_entry_t entry = {
        .where = where, .section = section, .key = key, .value = value, .note = reader->note};
    reader->status = reader->handler(reader->context, &entry);
    return reader->status == LSPO_OK;
}

static lspo_status_t read_keys(reader_t *reader)
{
    reader->seen = calloc(KEYS_MAX, sizeof *reader->seen);
    if (reader->seen == NULL)
        return lspo_no_memory("%s", reader->name);
    int bad_line = ini_parse_stream(read_line, reader, take_key, reader);
    if (reader->status == LSPO_OK && bad_line > 0)
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s:%d: expected [section] or key = value", reader->name, bad_line);
    if (reader->status == LSPO_OK && bad_line < 0)
        reader->status = lspo_no_memory("%s", reader->name);
    for (unsigned i = 0; i < reader->seen_count; i++)
        free(reader->seen[i]);
    free(reader->seen);
    return reader->status;
}

static lspo_status_t read_file(const char *path, reader_t *reader)
{
    lspo_status_t status = lspo_input_open(path, FILE_BYTES_MAX, &reader->input);
    if (status != LSPO_OK)
        return status;
    status = read_keys(reader);
    lspo_input_close(reader->input);
    return status == LSPO_OK && reader->line == 0 ? lspo_input_refuse_empty(path) : status;
}

lspo_status_t lspo_ini_read(const char *path, lspo_ini_handler_t handler, void *context)
{
    reader_t reader = {.name = path, .handler = handler, .context = context, .status = LSPO_OK};
    return read_file(path, &reader);
}

lspo_status_t lspo_ini_read_sections(const char *path, lspo_ini_handler_t handler, void *context)
{
    reader_t reader = {.name = path, .handler = handler, .context = context, .heads = true, .status = LSPO_OK};
    return read_file(path, &reader);
}

lspo_status_t lspo_ini_read_text(const char *name, const char *text, lspo_ini_handler_t handler, void *context)
{
    reader_t reader = {.name = name, .text = text, .handler = handler, .context = context, .status = LSPO_OK};
    return read_keys(&reader);
}
