/* csv_file.h - read a CSV file with a header that the user names.
 *
 * Cells are separated by commas and lines end with "\n" or "\r\n".  A cell in double quotes may contain commas, line
 * ends, and a quote written twice (RFC 4180).  Empty lines are skipped.  The first row has the names of the columns;
 * each row has as many cells.
 */
#ifndef LSPO_BASE_CSV_FILE_H
#define LSPO_BASE_CSV_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    char *text;         /* owned: the cells lie in it */
    const char **cells; /* owned: column_count per row; the first row has the names */
    uint64_t *lines;    /* owned: number of the line where a row begins, from 1; by row, the names first */
    size_t column_count;
    size_t row_count; /* without the names */
} lspo_csv_t;

/* LSPO_ERR_INPUT, with file and line in the message, for a malformed file, one without a header or with a name twice,
 * and one of more than `bytes_max` bytes.  The caller releases `csv_out`. */
lspo_status_t lspo_csv_read(const char *path, uint64_t bytes_max, lspo_csv_t *csv_out);
void lspo_csv_release(lspo_csv_t *csv);

/* The column of that name; column_count if there is none. */
size_t lspo_csv_column(const lspo_csv_t *csv, const char *name);
/* row < row_count, column < column_count. */
const char *lspo_csv_cell(const lspo_csv_t *csv, size_t row, size_t column);
/* The number of the line where a row begins. */
uint64_t lspo_csv_line(const lspo_csv_t *csv, size_t row);

#endif
