/* output.c - see output.h. */
#include "sweep/output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/output_file.h"
#include "sweep/database.h"

typedef struct {
    const char *path;
    FILE *file;
    gzFile compressed; /* NULL: plain text */
} writer_t;

/* Counts rows with an error on their way to another function. */
typedef struct {
    size_t column; /* of CSV; NO_COLUMN: there is none; JSON: the rows are objects */
    uint64_t errors;
    lspo_journal_row_t each; /* NULL: only count */
    void *context;
} counter_t;

#define NO_COLUMN SIZE_MAX
#define JSON (SIZE_MAX - 1)

/* The end of the cell of CSV that begins at `cell`. */
static const char *end_of_cell(const char *cell, const char *end)
{
    bool quoted = false;
    for (; cell < end && (quoted || *cell != ','); cell++)
        quoted ^= *cell == '"';
    return cell;
}

static size_t find_column(const char *names)
{
    static const char name[] = "error";
    if (names == NULL)
        return JSON;
    const char *end = names + strlen(names), *cell = names;
    for (size_t column = 0; cell <= end; column++) {
        const char *stop = end_of_cell(cell, end);
        if ((size_t)(stop - cell) == sizeof name - 1 && strncmp(cell, name, sizeof name - 1) == 0)
            return column;
        cell = stop + 1;
    }
    return NO_COLUMN;
}

/* Within a JSON string every quote has a backslash, so that only a key looks like this. */
static bool has_error(size_t column, const char *row, size_t bytes)
{
    static const char key[] = "\"error\":\"";
    if (column == JSON)
        return memmem(row, bytes, key, sizeof key - 1) != NULL;
    const char *end = row + bytes, *cell = row;
    for (size_t i = 0; i < column && cell <= end; i++)
        cell = end_of_cell(cell, end) + 1;
    return column != NO_COLUMN && cell < end && *cell != ',';
}

static lspo_status_t count_row(void *context, const char *row, size_t bytes)
{
    counter_t *counter = context;
    counter->errors += has_error(counter->column, row, bytes);
    return counter->each != NULL ? counter->each(counter->context, row, bytes) : LSPO_OK;
}

lspo_status_t lspo_sweep_count_errors(const char *names, lspo_journal_t *const *journals, uint32_t count,
                                      uint64_t *errors_out)
{
    counter_t counter = {.column = find_column(names)};
    lspo_status_t status = lspo_journals_order(journals, count, count_row, &counter);
    *errors_out = counter.errors;
    return status;
}

static bool ends_in(const char *path, const char *end)
{
    size_t length = strlen(path), end_length = strlen(end);
    return length > end_length && strcmp(path + length - end_length, end) == 0;
}

static lspo_status_t cannot_write(const writer_t *writer)
{
    return lspo_error(LSPO_ERR_IO, "cannot write %s: %s", writer->path, errno != 0 ? strerror(errno) : "write error");
}

static lspo_status_t put(const writer_t *writer, const char *text, size_t bytes)
{
    errno = 0;
    bool written = writer->compressed != NULL ? gzwrite(writer->compressed, text, (unsigned)bytes) == (int)bytes
                                              : fwrite(text, 1, bytes, writer->file) == bytes;
    return written ? LSPO_OK : cannot_write(writer);
}

static lspo_status_t put_line(void *context, const char *row, size_t bytes)
{
    const writer_t *writer = context;
    lspo_status_t status = bytes > 0 ? put(writer, row, bytes) : LSPO_OK;
    return status == LSPO_OK ? put(writer, "\n", 1) : status;
}

static lspo_status_t put_rows(writer_t *writer, const char *names, lspo_journal_t *const *journals, uint32_t count,
                              counter_t *counter)
{
    counter->each = put_line;
    counter->context = writer;
    lspo_status_t status = names != NULL ? put_line(writer, names, strlen(names)) : LSPO_OK;
    return status == LSPO_OK ? lspo_journals_order(journals, count, count_row, counter) : status;
}

/* zlib writes neither name nor time, so that equal rows give equal files. */
static lspo_status_t put_compressed(writer_t *writer, const char *names, lspo_journal_t *const *journals,
                                    uint32_t count, counter_t *counter)
{
    int descriptor = dup(fileno(writer->file));
    writer->compressed = descriptor >= 0 ? gzdopen(descriptor, "wb") : NULL;
    if (writer->compressed == NULL) {
        if (descriptor >= 0)
            close(descriptor);
        return lspo_no_memory("compressing %s", writer->path);
    }
    lspo_status_t status = put_rows(writer, names, journals, count, counter);
    errno = 0;
    if (gzclose(writer->compressed) != Z_OK && status == LSPO_OK)
        status = cannot_write(writer);
    return status;
}

bool lspo_sweep_is_database(const char *path)
{
    return ends_in(path, ".db");
}

static lspo_status_t add_row(void *context, const char *row, size_t bytes)
{
    return lspo_database_add(context, row, bytes);
}

/* SQLite writes the file itself, under its temporary name. */
static lspo_status_t put_database(const lspo_output_t *output, const char *names, lspo_journal_t *const *journals,
                                  uint32_t count, counter_t *counter)
{
    lspo_database_t *database = NULL;
    if (output->temporary_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a database must be a file", output->path);
    lspo_status_t status = lspo_database_open(output->temporary_path, names, &database);
    if (status != LSPO_OK)
        return status;
    counter->each = add_row;
    counter->context = database;
    return lspo_database_close(database, lspo_journals_order(journals, count, count_row, counter));
}

lspo_status_t lspo_sweep_write(const char *path, const char *names, lspo_journal_t *const *journals, uint32_t count,
                               uint64_t *errors_out)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    writer_t writer = {.path = path, .file = output.file};
    counter_t counter = {.column = find_column(names)};
    if (lspo_sweep_is_database(path))
        status = put_database(&output, names, journals, count, &counter);
    else if (ends_in(path, ".gz"))
        status = put_compressed(&writer, names, journals, count, &counter);
    else
        status = put_rows(&writer, names, journals, count, &counter);
    *errors_out = counter.errors;
    return lspo_output_finish(&output, status);
}
