/* journal.h - the rows of a sweep as they come: RESULTS.part.
 *
 * The first line says what the sweep is.  Each further line is one row, the number of its cell first, then a comma, or
 * an exclamation mark if something is wrong with the cell, whatever columns the row has.  It is written by one write()
 * to a file opened with O_APPEND, and flushed to disk at least once a second.  So a kill at any moment costs at most
 * the cells in work, and a crash of the machine a second's.  A torn last line, and what a crash may leave behind it, is
 * cut when the journal is opened again.  Only one process writes to a journal.
 *
 * Rows are in the order in which they were finished.  lspo_journals_order() gives them in the order of their cells:
 * block by block of LSPO_JOURNAL_BLOCK cells, of each of which only the part of the file that has its rows is read.
 */
#ifndef LSPO_SWEEP_JOURNAL_H
#define LSPO_SWEEP_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_JOURNAL_BLOCK = 1 << 20 };

typedef struct lspo_journal lspo_journal_t;

/* Create the journal, or with `resume` open an existing one.  `title` is its first line, without the end.
 * LSPO_ERR_INPUT if it exists without `resume`, has another first line, or is in use by another process. */
lspo_status_t lspo_journal_open(const char *path, const char *title, uint64_t cell_count, bool resume,
                                lspo_journal_t **journal_out);
/* Mark it as finished: append the line "end ROWS", and flush it.  Opened again with `resume`, it is not finished. */
lspo_status_t lspo_journal_finish(lspo_journal_t *journal);
/* Open a finished one to read; *title_out (caller frees) is its first line.  LSPO_ERR_INPUT unless it ends in the line
 * of lspo_journal_finish() with the rows that it has. */
lspo_status_t lspo_journal_open_finished(const char *path, uint64_t cell_count, lspo_journal_t **journal_out,
                                         char **title_out);
/* Accepts NULL. */
void lspo_journal_close(lspo_journal_t *journal);

/* Has it a row of this cell, and of how many? */
bool lspo_journal_has(const lspo_journal_t *journal, uint64_t cell);
uint64_t lspo_journal_rows(const lspo_journal_t *journal);
/* How many of them are of cells with which something is wrong. */
uint64_t lspo_journal_errors(const lspo_journal_t *journal);

/* A row without line ends; `error`: something is wrong with its cell. */
typedef struct {
    const char *text; /* NULL: no row */
    size_t bytes;
    bool error;
} lspo_row_t;

enum { LSPO_ROW_PREFIX_BYTES = 24 };
/* "17," or "17!": what stands before the row of a cell.  Returns its length. */
size_t lspo_row_prefix(uint64_t cell, const lspo_row_t *row, char text_out[LSPO_ROW_PREFIX_BYTES]);
/* The row in a line with that prefix, and its cell; text is NULL if the line has none. */
lspo_row_t lspo_row_of_line(const char *line, size_t bytes, uint64_t *cell_out);

/* Append a row, of any thread. */
lspo_status_t lspo_journal_append(lspo_journal_t *journal, uint64_t cell, const lspo_row_t *row);
/* Flush to disk. */
lspo_status_t lspo_journal_flush(lspo_journal_t *journal);

/* Call `each` with the rows of all journals in the order of their cells; the row of the first journal counts if several
 * have it. */
typedef lspo_status_t (*lspo_journal_row_t)(void *context, const char *row, size_t bytes);
lspo_status_t lspo_journals_order(lspo_journal_t *const *journals, uint32_t count, lspo_journal_row_t each,
                                  void *context);

#endif
