/* tables.c - see tables.h. */
#include "sql/tables.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/csv_file.h"
#include "base/output_file.h"
#include "base/table.h"
#include "sql/functions.h"

#define BYTES_MAX (UINT64_C(1) << 30)
enum { CELL_BYTES = 32, COLUMNS_MAX = 2000 };

/* ---- reading ---- */

static void write_name(FILE *file, const char *name)
{
    fputc('"', file);
    for (; *name != '\0'; name++)
        fputs(*name == '"' ? "\"\"" : (char[]){*name, '\0'}, file);
    fputc('"', file);
}

/* CREATE TABLE, and INSERT of one row. */
static lspo_status_t make_commands(const lspo_csv_t *csv, const char *name, char **create_out, char **insert_out)
{
    size_t bytes;
    FILE *create = open_memstream(create_out, &bytes), *insert = open_memstream(insert_out, &bytes);
    lspo_status_t status = create != NULL && insert != NULL ? LSPO_OK : lspo_no_memory("a table");
    if (status == LSPO_OK) {
        fputs("CREATE TABLE ", create);
        write_name(create, name);
        fputs("INSERT INTO ", insert);
        write_name(insert, name);
        for (size_t i = 0; i < csv->column_count; i++) {
            fputs(i == 0 ? " (" : ", ", create);
            write_name(create, csv->cells[i]);
            fputs(i == 0 ? " VALUES (?" : ", ?", insert);
        }
        fputc(')', create);
        fputc(')', insert);
    }
    if ((create != NULL && fclose(create) != 0) | (insert != NULL && fclose(insert) != 0))
        status = lspo_no_memory("a table");
    return status;
}

static int bind(const lspo_sqlite_t *lib, sqlite3_stmt *insert, int column, const char *cell)
{
    double value;
    if (lspo_sql_number(cell, &value) && !isinf(value))
        return lib->bind_double(insert, column, value);
    if (strcasecmp(cell, "inf") == 0 || strcasecmp(cell, "-inf") == 0)
        return lib->bind_double(insert, column, cell[0] == '-' ? -INFINITY : INFINITY);
    if (*cell == '\0' || strcasecmp(cell, "nan") == 0 || strcasecmp(cell, "-nan") == 0)
        return lib->bind_null(insert, column);
    return lib->bind_text(insert, column, cell, -1, SQLITE_TRANSIENT);
}

static int insert_rows(const lspo_sql_t *sql, const lspo_csv_t *csv, const char *command)
{
    sqlite3_stmt *insert = NULL;
    int code = sql->lib->prepare_v2(sql->connection, command, -1, &insert, NULL);
    for (size_t row = 0; code == SQLITE_OK && row < csv->row_count; row++) {
        for (size_t i = 0; code == SQLITE_OK && i < csv->column_count; i++)
            code = bind(sql->lib, insert, (int)i + 1, lspo_csv_cell(csv, row, i));
        if (code == SQLITE_OK && sql->lib->step(insert) != SQLITE_DONE)
            code = SQLITE_ERROR;
        if (code == SQLITE_OK)
            code = sql->lib->reset(insert);
    }
    sql->lib->finalize(insert);
    return code;
}

static lspo_status_t add_table(lspo_sql_t *sql, const char *path, const char *name, const lspo_csv_t *csv)
{
    if (csv->row_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: there are no rows below the header", path);
    if (csv->column_count > COLUMNS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: %zu columns are more than the %d of a table", path, csv->column_count,
                          COLUMNS_MAX);
    char *create = NULL, *insert = NULL;
    lspo_status_t status = make_commands(csv, name, &create, &insert);
    if (status == LSPO_OK && (sql->lib->exec(sql->connection, create, NULL, NULL, NULL) != SQLITE_OK ||
                              insert_rows(sql, csv, insert) != SQLITE_OK))
        status = lspo_error(LSPO_ERR_INPUT, "%s as table '%s': %s", path, name, sql->lib->errmsg(sql->connection));
    free(create);
    free(insert);
    return status;
}

static lspo_status_t load_file(lspo_sql_t *sql, const char *path, const char *name)
{
    lspo_csv_t csv;
    lspo_status_t status = lspo_csv_read(path, BYTES_MAX, &csv);
    if (status != LSPO_OK)
        return status;
    status = add_table(sql, path, name, &csv);
    lspo_csv_release(&csv);
    return status;
}

static bool is_of_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool mentions(const char *script, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = script; (at = strcasestr(at, name)) != NULL; at++)
        if ((at == script || !is_of_name(at[-1])) && !is_of_name(at[length]))
            return true;
    return false;
}

static int is_csv(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > strlen(".csv") && strcmp(entry->d_name + length - strlen(".csv"), ".csv") == 0;
}

static lspo_status_t load_folder(lspo_sql_t *sql, const char *folder, const char *script)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_csv, alphasort);
    if (count < 0)
        return lspo_error(lspo_status_of_errno(errno), "the folder '%s': %s", folder, strerror(errno));
    lspo_status_t status = LSPO_OK;
    for (int i = 0; i < count; i++) {
        char path[4096], name[sizeof entries[i]->d_name];
        snprintf(name, sizeof name, "%.*s", (int)(strlen(entries[i]->d_name) - strlen(".csv")), entries[i]->d_name);
        if (status == LSPO_OK && mentions(script, name)) {
            if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int)sizeof path)
                status = load_file(sql, path, name);
            else
                status = lspo_error(LSPO_ERR_INPUT, "the path of '%s' is too long", entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

lspo_status_t lspo_sql_load(lspo_sql_t *sql, const char *source, const char *script)
{
    struct stat info;
    size_t length = 0;
    while (is_of_name(source[length]))
        length++;
    if (length > 0 && source[length] == '=') {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)length, source);
        return load_file(sql, source + length + 1, name);
    }
    if (stat(source, &info) == 0 && S_ISDIR(info.st_mode))
        return load_folder(sql, source, script);
    const char *slash = strrchr(source, '/'), *base = slash != NULL ? slash + 1 : source;
    char name[256];
    length = strlen(base);
    if (length > strlen(".csv") && strcmp(base + length - strlen(".csv"), ".csv") == 0)
        length -= strlen(".csv");
    snprintf(name, sizeof name, "%.*s", (int)length, base);
    return load_file(sql, source, name);
}

/* ---- writing ---- */

const char *lspo_sql_cell(const lspo_sql_t *sql, sqlite3_stmt *statement, int column, char *buffer)
{
    if (sql->lib->column_type(statement, column) == SQLITE_FLOAT) {
        double value = sql->lib->column_double(statement, column);
        bool whole = fabs(value) < 1e15 && value == trunc(value);
        snprintf(buffer, CELL_BYTES, whole ? "%.0f" : "%.9g", value);
        return buffer;
    }
    const char *text = (const char *)sql->lib->column_text(statement, column);
    return text != NULL ? text : "";
}

static lspo_status_t write_rows(const lspo_sql_t *sql, sqlite3_stmt *rows, FILE *file)
{
    char buffer[CELL_BYTES];
    int code, count = sql->lib->column_count(rows);
    for (int i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", file);
        lspo_table_write_text(sql->lib->column_name(rows, i), file);
    }
    fputc('\n', file);
    while ((code = sql->lib->step(rows)) == SQLITE_ROW) {
        for (int i = 0; i < count; i++) {
            fputs(i > 0 ? "," : "", file);
            lspo_table_write_text(lspo_sql_cell(sql, rows, i, buffer), file);
        }
        fputc('\n', file);
    }
    return code == SQLITE_DONE ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "a table: %s", sql->lib->errmsg(sql->connection));
}

lspo_status_t lspo_sql_save(lspo_sql_t *sql, const char *name, const char *folder)
{
    char path[4096], command[512];
    lspo_output_t output;
    sqlite3_stmt *rows = NULL;
    if (snprintf(path, sizeof path, "%s/%s.csv", folder, name) >= (int)sizeof path)
        return lspo_error(LSPO_ERR_INPUT, "the path of '%s.csv' is too long", name);
    snprintf(command, sizeof command, "SELECT * FROM \"%s\"", name);
    if (sql->lib->prepare_v2(sql->connection, command, -1, &rows, NULL) != SQLITE_OK)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s", path, sql->lib->errmsg(sql->connection));
    lspo_status_t status = lspo_output_open(path, &output);
    if (status == LSPO_OK)
        status = lspo_output_finish(&output, write_rows(sql, rows, output.file));
    sql->lib->finalize(rows);
    return status;
}
