#include "base/ini.h"

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"

enum { KEYS_MAX = 4096, WHERE_BYTES = 512, FILE_BYTES_MAX = 1 << 20 };

typedef struct {
    const char *path;
    lspo_input_t *input;
    unsigned line;
    lspo_ini_handler_t handler;
    void *context;
    lspo_status_t status;
    char **seen; /* "section\nkey" of every key so far, to find duplicates */
    unsigned seen_count;
} reader_t;

static void describe_place(const reader_t *reader, char *where)
{
    snprintf(where, WHERE_BYTES, "%s:%u", reader->path, reader->line);
}

/* fgets for inih that counts lines, since Debian's inih does not tell its handler where it is. */
static char *read_line(char *buffer, int capacity, void *stream)
{
    reader_t *reader = stream;
    char *line = NULL;
    size_t length = 0;
    if (reader->status == LSPO_OK)
        reader->status = lspo_input_line(reader->input, &line, &length);
    if (reader->status != LSPO_OK || line == NULL) {
        return NULL;
    }
    reader->line++;
    if (length + 2 > (size_t)capacity || strlen(line) < length) {
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s:%u: line above %d characters, or a zero byte in it",
                                    reader->path, reader->line, capacity - 2);
        return NULL;
    }
    /* An indented line would continue the value above it. */
    snprintf(buffer, (size_t)capacity, "%s\n", line + strspn(line, " \t"));
    return buffer;
}

/* Sets reader->status when the key was there before. */
static void remember_key(reader_t *reader, const char *where, const char *section, const char *key)
{
    char *name = NULL;
    if (asprintf(&name, "%s\n%s", section, key) < 0) {
        reader->status = lspo_error(LSPO_ERR_MEMORY, "%s: out of memory", where);
        return;
    }
    for (unsigned i = 0; i < reader->seen_count; i++) {
        if (strcmp(reader->seen[i], name) == 0) {
            reader->status = lspo_error(LSPO_ERR_INPUT, "%s: [%s] %s is given twice", where, section, key);
        }
    }
    if (reader->seen_count == KEYS_MAX) {
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s: more than %d keys", where, KEYS_MAX);
    }
    if (reader->status != LSPO_OK) {
        free(name);
        return;
    }
    reader->seen[reader->seen_count++] = name;
}

/* inih's handler: 0 is an error to it. */
static int take_key(void *user, const char *section, const char *key, const char *value)
{
    reader_t *reader = user;
    char where[WHERE_BYTES];
    if (reader->status != LSPO_OK) {
        return 0;
    }
    describe_place(reader, where);
    if (*section == '\0') {
        reader->status = lspo_error(LSPO_ERR_INPUT, "%s: '%s' stands before the first [section]", where, key);
        return 0;
    }
    remember_key(reader, where, section, key);
    if (reader->status == LSPO_OK) {
        reader->status = reader->handler(reader->context, where, section, key, value);
    }
    return reader->status == LSPO_OK;
}

lspo_status_t lspo_ini_read(const char *path, lspo_ini_handler_t handler, void *context)
{
    reader_t reader = {.path = path, .handler = handler, .context = context, .status = LSPO_OK};
    lspo_status_t status = lspo_input_open(path, FILE_BYTES_MAX, &reader.input);
    if (status != LSPO_OK) {
        return status;
    }
    reader.seen = calloc(KEYS_MAX, sizeof *reader.seen);
    if (reader.seen == NULL) {
        reader.status = lspo_error(LSPO_ERR_MEMORY, "%s: out of memory", path);
        goto close_file;
    }
    int bad_line = ini_parse_stream(read_line, &reader, take_key, &reader);
    if (reader.status == LSPO_OK && bad_line > 0) {
        reader.status = lspo_error(LSPO_ERR_INPUT, "%s:%d: neither [section] nor key = value", path, bad_line);
    }
    if (reader.status == LSPO_OK && bad_line < 0) {
        reader.status = lspo_error(LSPO_ERR_MEMORY, "%s: out of memory", path);
    }
    for (unsigned i = 0; i < reader.seen_count; i++) {
        free(reader.seen[i]);
    }
    free(reader.seen);
close_file:
    lspo_input_close(reader.input);
    return reader.status;
}
