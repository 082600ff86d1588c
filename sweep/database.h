/* database.h - write rows into an SQLite database: one table `results`, a column per name.
 *
 * Numbers are stored as numbers, missing values as NULL, all else as text.  The library is opened when it is needed. */
#ifndef LSPO_SWEEP_DATABASE_H
#define LSPO_SWEEP_DATABASE_H

#include <stddef.h>

#include "base/status.h"

typedef struct lspo_database lspo_database_t;

/* LSPO_ERR_INPUT in a build without SQLite, or if its library is not installed. */
lspo_status_t lspo_database_check(void);

/* Fill the empty file at `path`; `names` are the columns as a line of CSV. */
lspo_status_t lspo_database_open(const char *path, const char *names, lspo_database_t **database_out);
/* Add a line of CSV. */
lspo_status_t lspo_database_add(lspo_database_t *database, const char *row, size_t bytes);
/* Complete it if `status` is LSPO_OK; returns that or the first error.  Accepts NULL. */
lspo_status_t lspo_database_close(lspo_database_t *database, lspo_status_t status);

#endif
