/* output.h - the file of results: all rows of a sweep in the order of their cells.
 *
 * NAME.gz is compressed; NAME.db is an SQLite database (database.h), of rows in CSV; any other name is text.
 * The file appears under its name when it is complete.
 */
#ifndef LSPO_SWEEP_OUTPUT_H
#define LSPO_SWEEP_OUTPUT_H

#include <stdbool.h>

#include "base/status.h"
#include "base/table.h"
#include "sweep/journal.h"

/* Is it the name of a database? */
bool lspo_sweep_is_database(const char *path);

/* Write the rows of all journals.  `names` is the line above them; NULL: none, since each row is a JSON object. */
lspo_status_t lspo_sweep_write(const char *path, const char *names, lspo_journal_t *const *journals, uint32_t count);

#endif
