/* database.c - see database.h. */
#include "sweep/database.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LSPO_SQLITE

#include "base/sqlite.h"

enum { COLUMNS_MAX = 512 };

static const lspo_sqlite_t *sqlite;

struct lspo_database {
    char *path;
    sqlite3 *connection;
    sqlite3_stmt *insert;
    int column_count;
    char *text; /* scratch of a row */
    size_t capacity;
};

lspo_status_t lspo_database_check(void)
{
    return lspo_sqlite_load("a database", &sqlite);
}

static lspo_status_t failed(const lspo_database_t *database)
{
    return lspo_error(LSPO_ERR_IO, "cannot write %s: %s", database->path, sqlite->errmsg(database->connection));
}

static lspo_status_t execute(const lspo_database_t *database, const char *command)
{
    return sqlite->exec(database->connection, command, NULL, NULL, NULL) == SQLITE_OK ? LSPO_OK : failed(database);
}

/* ---- rows ---- */

/* The next cell of a line of CSV, in place; *at_inout: after it, NULL at the end.  *quoted_out: it was in quotes. */
static char *next_cell(char **at_inout, bool *quoted_out)
{
    char *from = *at_inout, *to = from, *cell = from;
    bool inside = false;
    *quoted_out = *from == '"';
    for (; *from != '\0' && (inside || *from != ','); from++) {
        if (*from != '"') {
            *to++ = *from;
        } else if (inside && from[1] == '"') {
            *to++ = *from++;
        } else {
            inside = !inside;
        }
    }
    *at_inout = *from == ',' ? from + 1 : NULL;
    *to = '\0';
    return cell;
}

static int bind_cell(const lspo_database_t *database, int column, const char *cell, bool quoted)
{
    char *end;
    if (*cell == '\0' && !quoted)
        return sqlite->bind_null(database->insert, column);
    /* Numbers as lspo writes them: not "inf", nor a key of digits that begins with 0. */
    size_t digits = strspn(cell, "0123456789"), length = strlen(cell);
    if (!quoted && digits == length && length < 19 && (cell[0] != '0' || length == 1))
        return sqlite->bind_int64(database->insert, column, strtoll(cell, NULL, 10));
    bool number = !quoted && strspn(cell, "0123456789.eE+-") == length && strpbrk(cell, ".eE") != NULL && length < 16;
    double value = strtod(cell, &end);
    if (number && *end == '\0')
        return sqlite->bind_double(database->insert, column, value);
    return sqlite->bind_text(database->insert, column, cell, -1, SQLITE_TRANSIENT);
}

static lspo_status_t copy_row(lspo_database_t *database, const char *row, size_t bytes)
{
    if (bytes + 1 > database->capacity) {
        char *text = realloc(database->text, 2 * bytes + 1);
        if (text == NULL)
            return lspo_no_memory("a row");
        database->text = text;
        database->capacity = 2 * bytes + 1;
    }
    memcpy(database->text, row, bytes);
    database->text[bytes] = '\0';
    return LSPO_OK;
}

lspo_status_t lspo_database_add(lspo_database_t *database, const char *row, size_t bytes)
{
    lspo_status_t status = copy_row(database, row, bytes);
    char *at = database->text;
    for (int column = 1; status == LSPO_OK && column <= database->column_count && at != NULL; column++) {
        bool quoted;
        char *cell = next_cell(&at, &quoted);
        if (bind_cell(database, column, cell, quoted) != SQLITE_OK)
            status = failed(database);
    }
    if (status == LSPO_OK && sqlite->step(database->insert) != SQLITE_DONE)
        status = failed(database);
    if (status == LSPO_OK && sqlite->reset(database->insert) != SQLITE_OK)
        status = failed(database);
    return status;
}

/* ---- the table ---- */

/* CREATE TABLE and INSERT for the columns. */
static lspo_status_t write_commands(lspo_database_t *database, const char *names, char **create_out, char **insert_out)
{
    size_t create_bytes, insert_bytes;
    FILE *create = open_memstream(create_out, &create_bytes), *insert = open_memstream(insert_out, &insert_bytes);
    lspo_status_t status = create && insert ? copy_row(database, names, strlen(names)) : lspo_no_memory("a table");
    if (status == LSPO_OK) {
        char *at = database->text;
        fputs("CREATE TABLE results (", create);
        fputs("INSERT INTO results VALUES (", insert);
        for (bool quoted; at != NULL && database->column_count < COLUMNS_MAX; database->column_count++) {
            fprintf(create, "%s\"", database->column_count > 0 ? ", " : "");
            for (const char *name = next_cell(&at, &quoted); *name != '\0'; name++)
                fprintf(create, *name == '"' ? "\"\"" : "%c", *name);
            fputc('"', create);
            fputs(database->column_count > 0 ? ", ?" : "?", insert);
        }
        fputs(")", create);
        fputs(")", insert);
    }
    if ((create && fclose(create) != 0) | (insert && fclose(insert) != 0))
        status = lspo_no_memory("a table");
    return status;
}

static lspo_status_t make_table(lspo_database_t *database, const char *names)
{
    char *create = NULL, *insert = NULL;
    lspo_status_t status = write_commands(database, names, &create, &insert);
    /* The file is thrown away unless it is complete, so SQLite need not be able to undo anything. */
    if (status == LSPO_OK)
        status = execute(database, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN");
    if (status == LSPO_OK)
        status = execute(database, create);
    if (status == LSPO_OK && sqlite->prepare_v2(database->connection, insert, -1, &database->insert, NULL) != SQLITE_OK)
        status = failed(database);
    free(create);
    free(insert);
    return status;
}

lspo_status_t lspo_database_open(const char *path, const char *names, lspo_database_t **database_out)
{
    lspo_status_t status = lspo_database_check();
    if (status != LSPO_OK)
        return status;
    lspo_database_t *database = calloc(1, sizeof *database);
    if (database == NULL || (database->path = strdup(path)) == NULL) {
        free(database);
        return lspo_no_memory("a database");
    }
    if (sqlite->open_v2(path, &database->connection, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        status = failed(database);
    if (status == LSPO_OK)
        status = make_table(database, names);
    if (status != LSPO_OK)
        return lspo_database_close(database, status);
    *database_out = database;
    return LSPO_OK;
}

lspo_status_t lspo_database_close(lspo_database_t *database, lspo_status_t status)
{
    if (database == NULL)
        return status;
    sqlite->finalize(database->insert);
    if (status == LSPO_OK)
        status = execute(database, "COMMIT");
    if (sqlite->close(database->connection) != SQLITE_OK && status == LSPO_OK)
        status = lspo_error(LSPO_ERR_IO, "cannot close %s", database->path);
    free(database->text);
    free(database->path);
    free(database);
    return status;
}

#else

lspo_status_t lspo_database_check(void)
{
    return lspo_error(LSPO_ERR_INPUT, "this lspo was built without SQLite, which a file *.db needs");
}

lspo_status_t lspo_database_open(const char *path, const char *names, lspo_database_t **database_out)
{
    (void)path;
    (void)names;
    (void)database_out;
    return lspo_database_check();
}

lspo_status_t lspo_database_add(lspo_database_t *database, const char *row, size_t bytes)
{
    (void)database;
    (void)row;
    (void)bytes;
    return lspo_database_check();
}

lspo_status_t lspo_database_close(lspo_database_t *database, lspo_status_t status)
{
    (void)database;
    return status;
}

#endif
