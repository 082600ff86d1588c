/* sweep_plot.c - see sweep_plot.h. */
#include "cli/sweep_plot.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv_file.h"
#include "base/output_file.h"
#include "cli/gnuplot.h"

#define RESULTS_BYTES_MAX (UINT64_C(1) << 32)

static lspo_status_t take_word(const char *word, lspo_sweep_plot_t *plot)
{
    const struct {
        const char *name;
        const char **slot;
    } words[] = {{"x=", &plot->x}, {"y=", &plot->y}, {"by=", &plot->by}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i].name);
        if (strncmp(word, words[i].name, length) == 0 && word[length] != '\0') {
            *words[i].slot = word + length;
            return LSPO_OK;
        }
    }
    return lspo_error(LSPO_ERR_INPUT, "--plot: '%s' is not x=COLUMN, y=COLUMN or by=COLUMN", word);
}

lspo_status_t lspo_sweep_plot_read(const char *first, const char *const *others, size_t count,
                                   lspo_sweep_plot_t *plot_out)
{
    lspo_sweep_plot_t plot = {0};
    lspo_status_t status = take_word(first, &plot);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = take_word(others[i], &plot);
    if (status == LSPO_OK && (plot.x == NULL || plot.y == NULL))
        status = lspo_error(LSPO_ERR_INPUT, "--plot needs x=COLUMN and y=COLUMN");
    if (status == LSPO_OK)
        *plot_out = plot;
    return status;
}

lspo_status_t lspo_sweep_plot_check(const char *results, char **picture_out)
{
    size_t length = strlen(results);
    if (length < 5 || strcmp(results + length - 4, ".csv") != 0)
        return lspo_error(LSPO_ERR_INPUT, "--plot draws FILE.csv; '%s' does not end in .csv", results);
    if (asprintf(picture_out, "%.*s.svg", (int)length - 4, results) < 0)
        return lspo_no_memory("the name of a picture");
    lspo_status_t status = lspo_gnuplot_check(*picture_out);
    if (status != LSPO_OK)
        free(*picture_out);
    return status;
}

/* Is the column named so, or so without its unit? */
static bool is_named(const char *column, size_t column_length, const char *name, bool whole)
{
    size_t length = strlen(name);
    if (strncmp(column, name, length) != 0)
        return false;
    return whole ? column_length == length : column_length > length && column[length] == '_';
}

static bool is_among(const char *names, const char *name)
{
    for (const char *at = names; *at != '\0'; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        if (is_named(at, length, name, true) || is_named(at, length, name, false))
            return true;
        at += length;
    }
    return false;
}

lspo_status_t lspo_sweep_plot_check_columns(const lspo_sweep_plot_t *plot, const char *names)
{
    const char *wanted[] = {plot->x, plot->y, plot->by};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (wanted[i] != NULL && !is_among(names, wanted[i]))
            return lspo_error(LSPO_ERR_INPUT, "--plot: the results will have no column %s", wanted[i]);
    return LSPO_OK;
}

static lspo_status_t find_column(const lspo_csv_t *csv, const char *name, const char *results, size_t *column_out)
{
    size_t column = lspo_csv_column(csv, name);
    for (size_t i = 0; column == csv->column_count && i < csv->column_count; i++)
        if (is_named(csv->cells[i], strlen(csv->cells[i]), name, false))
            column = i;
    if (column == csv->column_count)
        return lspo_error(LSPO_ERR_INPUT, "--plot: %s has no column %s", results, name);
    *column_out = column;
    return LSPO_OK;
}

/* The three columns, for gnuplot. */
typedef struct {
    size_t x, y, by;
    bool groups;
} columns_t;

static lspo_status_t find_columns(const lspo_csv_t *csv, const lspo_sweep_plot_t *plot, const char *results,
                                  columns_t *columns)
{
    lspo_status_t status = find_column(csv, plot->x, results, &columns->x);
    if (status == LSPO_OK)
        status = find_column(csv, plot->y, results, &columns->y);
    columns->groups = plot->by != NULL;
    return status == LSPO_OK && columns->groups ? find_column(csv, plot->by, results, &columns->by) : status;
}

static const char *title_of(const lspo_csv_t *csv, const columns_t *columns, size_t row)
{
    return columns->groups ? lspo_csv_cell(csv, row, columns->by) : "";
}

static bool is_point(const lspo_csv_t *csv, const columns_t *columns, size_t row)
{
    return lspo_csv_cell(csv, row, columns->x)[0] != '\0' && lspo_csv_cell(csv, row, columns->y)[0] != '\0';
}

/* Is it the first point of its group? */
static bool begins_group(const lspo_csv_t *csv, const columns_t *columns, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (is_point(csv, columns, i) && strcmp(title_of(csv, columns, i), title_of(csv, columns, row)) == 0)
            return false;
    return is_point(csv, columns, row);
}

/* Where x goes back, other parameters have changed: an empty line ends the line of the picture. */
static void write_points_of(const lspo_csv_t *csv, const columns_t *columns, size_t first, FILE *file)
{
    const char *before = lspo_csv_cell(csv, first, columns->x);
    for (size_t row = first; row < csv->row_count; row++) {
        const char *x = lspo_csv_cell(csv, row, columns->x);
        if (!is_point(csv, columns, row) || strcmp(title_of(csv, columns, row), title_of(csv, columns, first)) != 0)
            continue;
        if (strtod(x, NULL) < strtod(before, NULL))
            fputc('\n', file);
        fprintf(file, "%s,%s\n", x, lspo_csv_cell(csv, row, columns->y));
        before = x;
    }
}

/* A block of gnuplot per group: its title, then its points. */
static void write_groups(const lspo_csv_t *csv, const columns_t *columns, FILE *file)
{
    for (size_t first = 0; first < csv->row_count; first++) {
        if (!begins_group(csv, columns, first))
            continue;
        fputs(first > 0 ? "\n\n\"" : "\"", file);
        for (const char *c = title_of(csv, columns, first); *c != '\0'; c++)
            fputc(*c == '"' ? '\'' : *c, file);
        fputs("\"\n\n", file);
        write_points_of(csv, columns, first, file);
    }
}

static lspo_status_t write_points(const lspo_csv_t *csv, const columns_t *columns, const char *path)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    write_groups(csv, columns, output.file);
    return lspo_output_finish(&output, status);
}

lspo_status_t lspo_sweep_plot_draw(const lspo_sweep_plot_t *plot, const char *results, const char *picture)
{
    lspo_csv_t csv;
    columns_t columns = {0};
    char *points = NULL;
    lspo_status_t status = lspo_csv_read(results, RESULTS_BYTES_MAX, &csv);
    if (status != LSPO_OK)
        return status;
    status = find_columns(&csv, plot, results, &columns);
    if (status == LSPO_OK && asprintf(&points, "%s.points", picture) < 0)
        status = lspo_no_memory("the points of a picture");
    if (status == LSPO_OK)
        status = write_points(&csv, &columns, points);
    if (status == LSPO_OK) {
        const lspo_gnuplot_variable_t variables[] = {
            {"points", points}, {"x_name", csv.cells[columns.x]}, {"y_name", csv.cells[columns.y]}};
        status = lspo_gnuplot_draw("sweep.gp", picture, variables, sizeof variables / sizeof variables[0]);
        remove(points);
    }
    if (status == LSPO_OK)
        printf("%s\n", picture);
    free(points);
    lspo_csv_release(&csv);
    return status;
}
