/* tables.h - CSV files as tables of SQLite, and back.
 *
 * A table has the name of its file without ".csv", or the one given as NAME=FILE.  Numbers are stored as reals, so that
 * 1 / 2 of two columns is 0.5; empty cells and "nan" as NULL; all else as text.  Of a folder, those *.csv become tables
 * whose names the script mentions.  A table without rows is an error: what is said of its rows would hold.
 */
#ifndef LSPO_SQL_TABLES_H
#define LSPO_SQL_TABLES_H

#include "base/sqlite.h"

typedef struct {
    const lspo_sqlite_t *lib;
    sqlite3 *connection;
} lspo_sql_t;

/* `source`: FILE, NAME=FILE or a folder; `script`: the text that mentions names. */
lspo_status_t lspo_sql_load(lspo_sql_t *sql, const char *source, const char *script);

/* Write the table `name` to NAME.csv in `folder`. */
lspo_status_t lspo_sql_save(lspo_sql_t *sql, const char *name, const char *folder);

/* A cell of the current row as text: numbers to nine digits, whole ones with all of theirs; NULL is "".  It lives until
 * the next call with the same `buffer`, of at least 32 bytes, or the next row. */
const char *lspo_sql_cell(const lspo_sql_t *sql, sqlite3_stmt *statement, int column, char *buffer);

#endif
