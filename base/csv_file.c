/* csv_file.c - see csv_file.h. */
#include "base/csv_file.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/input_file.h"

/* The text is split in place: what was read is never shorter than what is kept of it. */
typedef struct {
    const char *path;
    char *from, *to, *end;
    uint64_t line;
    lspo_csv_t csv;
    size_t cell_count, cell_capacity, line_count, line_capacity;
} reader_t;

static lspo_status_t read_quoted(reader_t *reader)
{
    uint64_t first_line = reader->line;
    for (reader->from++; reader->from < reader->end; reader->from++) {
        if (*reader->from == '"' && reader->from[1] != '"') {
            reader->from++;
            return LSPO_OK;
        }
        if (*reader->from == '"')
            reader->from++;
        reader->line += *reader->from == '\n';
        *reader->to++ = *reader->from;
    }
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a quoted cell does not end", reader->path, first_line);
}

static lspo_status_t read_plain(reader_t *reader)
{
    for (; reader->from < reader->end && *reader->from != ',' && *reader->from != '\n'; reader->from++) {
        if (*reader->from == '"')
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a quote within a cell that does not begin with one",
                              reader->path, reader->line);
        *reader->to++ = *reader->from;
    }
    return LSPO_OK;
}

/* The separator after a cell; *last_out: the cell ends its row. */
static lspo_status_t read_separator(reader_t *reader, bool *last_out)
{
    if (*reader->from == '\r' && reader->from + 1 < reader->end && reader->from[1] == '\n')
        reader->from++;
    *last_out = reader->from == reader->end || *reader->from == '\n';
    if (reader->from < reader->end && *reader->from != '\n' && *reader->from != ',')
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": text after the quoted part of a cell", reader->path,
                          reader->line);
    if (reader->from < reader->end) {
        reader->line += *reader->from == '\n';
        reader->from++;
    }
    *reader->to++ = '\0';
    return LSPO_OK;
}

static lspo_status_t read_cell(reader_t *reader, bool *last_out)
{
    char *cell = reader->to;
    bool quoted = *reader->from == '"';
    lspo_status_t status = quoted ? read_quoted(reader) : read_plain(reader);
    if (status != LSPO_OK)
        return status;
    if (!quoted && reader->to > cell && reader->to[-1] == '\r' && *reader->from == '\n')
        reader->to--;
    status = read_separator(reader, last_out);
    if (status != LSPO_OK)
        return status;
    status = lspo_array_grow((void *)&reader->csv.cells, &reader->cell_capacity, reader->cell_count + 1,
                             sizeof *reader->csv.cells, "cells");
    if (status != LSPO_OK)
        return status;
    reader->csv.cells[reader->cell_count++] = cell;
    return LSPO_OK;
}

/* The first row decides how many cells the others have.  An empty line is dropped. */
static lspo_status_t read_row(reader_t *reader)
{
    uint64_t line = reader->line;
    size_t first = reader->cell_count;
    for (bool last = false; !last;) {
        lspo_status_t status = read_cell(reader, &last);
        if (status != LSPO_OK)
            return status;
    }
    size_t count = reader->cell_count - first;
    if (count == 1 && reader->csv.cells[first][0] == '\0') {
        reader->cell_count = first;
        return LSPO_OK;
    }
    if (reader->line_count == 0)
        reader->csv.column_count = count;
    if (count != reader->csv.column_count)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": the row has %zu cells, and the header has %zu", reader->path,
                          line, count, reader->csv.column_count);
    lspo_status_t status = lspo_array_grow(&reader->csv.lines, &reader->line_capacity, reader->line_count + 1,
                                           sizeof *reader->csv.lines, "rows");
    if (status != LSPO_OK)
        return status;
    reader->csv.lines[reader->line_count++] = line;
    return LSPO_OK;
}

static lspo_status_t read_rows(reader_t *reader)
{
    while (reader->from < reader->end) {
        lspo_status_t status = read_row(reader);
        if (status != LSPO_OK)
            return status;
    }
    if (reader->line_count == 0)
        return lspo_input_refuse_empty(reader->path);
    reader->csv.row_count = reader->line_count - 1;
    for (size_t i = 0; i < reader->csv.column_count; i++)
        if (lspo_csv_column(&reader->csv, reader->csv.cells[i]) != i)
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": there are two columns '%s'", reader->path,
                              reader->csv.lines[0], reader->csv.cells[i]);
    return LSPO_OK;
}

lspo_status_t lspo_csv_read(const char *path, uint64_t bytes_max, lspo_csv_t *csv_out)
{
    size_t length;
    reader_t reader = {.path = path, .line = 1};
    lspo_status_t status = lspo_input_read_file(path, bytes_max, &reader.csv.text, &length);
    if (status != LSPO_OK)
        return status;
    reader.from = reader.to = reader.csv.text;
    reader.end = reader.csv.text + length;
    if (memchr(reader.csv.text, '\0', length) != NULL)
        status = lspo_error(LSPO_ERR_INPUT, "%s: the file has a NUL byte", path);
    else
        status = read_rows(&reader);
    if (status != LSPO_OK) {
        lspo_csv_release(&reader.csv);
        return status;
    }
    *csv_out = reader.csv;
    return LSPO_OK;
}

void lspo_csv_release(lspo_csv_t *csv)
{
    free(csv->lines);
    free(csv->cells);
    free(csv->text);
    *csv = (lspo_csv_t){0};
}

size_t lspo_csv_column(const lspo_csv_t *csv, const char *name)
{
    size_t column = 0;
    while (column < csv->column_count && strcmp(csv->cells[column], name) != 0)
        column++;
    return column;
}

const char *lspo_csv_cell(const lspo_csv_t *csv, size_t row, size_t column)
{
    return csv->cells[(row + 1) * csv->column_count + column];
}

uint64_t lspo_csv_line(const lspo_csv_t *csv, size_t row)
{
    return csv->lines[row + 1];
}
