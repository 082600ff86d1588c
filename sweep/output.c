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

static lspo_status_t put_rows(writer_t *writer, const char *names, lspo_journal_t *const *journals, uint32_t count)
{
    lspo_status_t status = names != NULL ? put_line(writer, names, strlen(names)) : LSPO_OK;
    return status == LSPO_OK ? lspo_journals_order(journals, count, put_line, writer) : status;
}

/* zlib writes neither name nor time, so that equal rows give equal files. */
static lspo_status_t put_compressed(writer_t *writer, const char *names, lspo_journal_t *const *journals,
                                    uint32_t count)
{
    int descriptor = dup(fileno(writer->file));
    writer->compressed = descriptor >= 0 ? gzdopen(descriptor, "wb") : NULL;
    if (writer->compressed == NULL) {
        if (descriptor >= 0)
            close(descriptor);
        return lspo_no_memory("compressing %s", writer->path);
    }
    lspo_status_t status = put_rows(writer, names, journals, count);
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
                                  uint32_t count)
{
    lspo_database_t *database = NULL;
    if (output->temporary_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a database must be a file", output->path);
    lspo_status_t status = lspo_database_open(output->temporary_path, names, &database);
    if (status != LSPO_OK)
        return status;
    return lspo_database_close(database, lspo_journals_order(journals, count, add_row, database));
}

lspo_status_t lspo_sweep_write(const char *path, const char *names, lspo_journal_t *const *journals, uint32_t count)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    writer_t writer = {.path = path, .file = output.file};
    if (lspo_sweep_is_database(path))
        status = put_database(&output, names, journals, count);
    else if (ends_in(path, ".gz"))
        status = put_compressed(&writer, names, journals, count);
    else
        status = put_rows(&writer, names, journals, count);
    return lspo_output_finish(&output, status);
}
