/* serve_arrivals.c - see serve_arrivals.h. */
#include "cli/serve_arrivals.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv_file.h"
#include "base/names.h"
#include "base/units.h"

enum { BYTES_MAX = 64 << 20, TOKENS_MAX = 1 << 24, GROUPS_MAX = 1 << 16, ROWS_MAX = 1 << 20 };

enum { TIME, PROMPT, TOKENS, CANCELLED, GROUP, PREFIX, COLUMNS };
static const char *const names[COLUMNS] = {"time_s", "prompt", "tokens", "cancelled", "group", "prefix"};

typedef struct {
    const char *path;
    lspo_csv_t csv;
    size_t columns[COLUMNS]; /* csv.column_count: there is none */
} table_t;

static lspo_status_t find_columns(table_t *table)
{
    char what[512];
    for (size_t i = 0; i < COLUMNS; i++) {
        table->columns[i] = lspo_csv_column(&table->csv, names[i]);
        if (i < CANCELLED && table->columns[i] == table->csv.column_count)
            return lspo_error(LSPO_ERR_INPUT, "%s has no column %s", table->path, names[i]);
    }
    for (size_t c = 0; c < table->csv.column_count; c++) {
        bool known = false;
        for (size_t i = 0; i < COLUMNS; i++)
            known |= table->columns[i] == c;
        snprintf(what, sizeof what, "%s: column", table->path);
        if (!known)
            return lspo_name_refuse(what, table->csv.cells[c], names, COLUMNS, NULL);
    }
    return LSPO_OK;
}

static lspo_status_t read_count(const table_t *table, size_t row, int column, int64_t high, uint32_t *count_out)
{
    const size_t c = table->columns[column];
    const char *text = c < table->csv.column_count ? lspo_csv_cell(&table->csv, row, c) : "";
    char what[512];
    int64_t value = 0;
    snprintf(what, sizeof what, "%s:%llu: %s", table->path, (unsigned long long)lspo_csv_line(&table->csv, row),
             names[column]);
    if (column >= CANCELLED && text[0] == '\0') {
        *count_out = 0;
        return LSPO_OK;
    }
    lspo_status_t status = lspo_parse_integer(what, text, column < CANCELLED, high, &value);
    if (status == LSPO_OK)
        *count_out = (uint32_t)value;
    return status;
}

static lspo_status_t read_time(const table_t *table, size_t row, double *time_s_out)
{
    char what[512];
    snprintf(what, sizeof what, "%s:%llu: %s", table->path, (unsigned long long)lspo_csv_line(&table->csv, row),
             names[TIME]);
    const char *text = lspo_csv_cell(&table->csv, row, table->columns[TIME]);
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_NONE, time_s_out);
    if (status == LSPO_OK && *time_s_out > LSPO_SERVING_TIME_MAX_S)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s is above %g: times are seconds from the beginning", what, text,
                          LSPO_SERVING_TIME_MAX_S);
    return status;
}

static lspo_status_t read_row(const table_t *table, size_t row, double before_s, lspo_serving_request_t *out)
{
    const unsigned long long line = lspo_csv_line(&table->csv, row);
    lspo_status_t status = read_time(table, row, &out->arrival_s);
    if (status == LSPO_OK)
        status = read_count(table, row, PROMPT, TOKENS_MAX, &out->prompt);
    if (status == LSPO_OK)
        status = read_count(table, row, TOKENS, TOKENS_MAX, &out->tokens);
    if (status == LSPO_OK)
        status = read_count(table, row, CANCELLED, TOKENS_MAX, &out->cancelled);
    if (status == LSPO_OK)
        status = read_count(table, row, GROUP, GROUPS_MAX, &out->group);
    if (status == LSPO_OK)
        status = read_count(table, row, PREFIX, TOKENS_MAX, &out->prefix);
    if (status != LSPO_OK)
        return status;
    if (out->arrival_s < before_s)
        return lspo_error(LSPO_ERR_INPUT, "%s:%llu: time_s %g is before that of the row above, %g", table->path, line,
                          out->arrival_s, before_s);
    if ((out->group > 0) != (out->prefix > 0) || out->prefix > out->prompt)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%llu: group %u and prefix %u: a request of a group has a prefix of 1 to %u tokens, its "
                          "prompt, others have none",
                          table->path, line, out->group, out->prefix, out->prompt);
    return LSPO_OK;
}

/* The first prefix of a group is that of all. */
static lspo_status_t check_groups(const table_t *table, const lspo_serving_request_t *requests)
{
    uint32_t *prefixes = calloc(GROUPS_MAX + 1, sizeof *prefixes);
    lspo_status_t status = prefixes != NULL ? LSPO_OK : lspo_no_memory("groups of requests");
    for (size_t i = 0; status == LSPO_OK && i < table->csv.row_count; i++) {
        const lspo_serving_request_t *r = &requests[i];
        uint32_t *prefix = &prefixes[r->group];
        if (r->group > 0 && *prefix > 0 && *prefix != r->prefix)
            status = lspo_error(LSPO_ERR_INPUT, "%s:%llu: prefix %u: that of group %u is %u above", table->path,
                                (unsigned long long)lspo_csv_line(&table->csv, i), r->prefix, r->group, *prefix);
        *prefix = r->prefix;
    }
    free(prefixes);
    return status;
}

static lspo_status_t read_table(table_t *table, lspo_serving_request_t **requests_out)
{
    const size_t count = table->csv.row_count;
    if (count == 0 || count > ROWS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s has %zu requests; 1 to %d are possible", table->path, count, ROWS_MAX);
    lspo_serving_request_t *requests = calloc(count, sizeof *requests);
    if (requests == NULL)
        return lspo_no_memory("%zu requests", count);
    lspo_status_t status = find_columns(table);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = read_row(table, i, i > 0 ? requests[i - 1].arrival_s : 0, &requests[i]);
    if (status == LSPO_OK)
        status = check_groups(table, requests);
    if (status == LSPO_OK)
        *requests_out = requests;
    else
        free(requests);
    return status;
}

lspo_status_t lspo_serve_arrivals_read(const char *path, lspo_serving_request_t **requests_out, uint32_t *count_out)
{
    table_t table = {.path = path};
    lspo_status_t status = lspo_csv_read(path, BYTES_MAX, &table.csv);
    if (status != LSPO_OK)
        return status;
    status = read_table(&table, requests_out);
    if (status == LSPO_OK)
        *count_out = (uint32_t)table.csv.row_count;
    lspo_csv_release(&table.csv);
    return status;
}
