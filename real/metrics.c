/* metrics.c - see metrics.h. */
#include "real/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/output_file.h"

static const char header[] = "step,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,perplexity,"
                             "bias,bias_fitted,refits,accuracy\n";

static const size_t columns[] = {
    offsetof(lspo_metrics_row_t, epoch),         offsetof(lspo_metrics_row_t, loss),
    offsetof(lspo_metrics_row_t, learning_rate), offsetof(lspo_metrics_row_t, gradient_norm),
    offsetof(lspo_metrics_row_t, time_s),        offsetof(lspo_metrics_row_t, tokens_per_s),
    offsetof(lspo_metrics_row_t, held_out_loss), offsetof(lspo_metrics_row_t, perplexity),
    offsetof(lspo_metrics_row_t, bias),          offsetof(lspo_metrics_row_t, bias_fitted),
    offsetof(lspo_metrics_row_t, refits),        offsetof(lspo_metrics_row_t, accuracy)};
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0], LINE_BYTES = 512 };

struct lspo_metrics {
    FILE *file;
    char *path;
};

static double *column(lspo_metrics_row_t *row, size_t i)
{
    return (double *)(void *)((char *)row + columns[i]);
}

lspo_metrics_row_t lspo_metrics_row(uint32_t step)
{
    lspo_metrics_row_t row = {.step = step};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        *column(&row, i) = NAN;
    return row;
}

static void write_row(FILE *file, const lspo_metrics_row_t *row)
{
    lspo_metrics_row_t copy = *row;
    fprintf(file, "%" PRIu32, copy.step);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (isfinite(*column(&copy, i)))
            fprintf(file, ",%.9g", *column(&copy, i));
        else
            fputc(',', file);
    fputc('\n', file);
}

/* A field that ends in `stop`; moves on behind it. */
static bool parse_field(char **at, char stop, double *value_out)
{
    char *end = *at;
    *value_out = NAN;
    if (**at != stop) {
        *value_out = strtod(*at, &end);
        if (end == *at || !isfinite(*value_out))
            return false;
    }
    *at = end + 1;
    return *end == stop;
}

static bool parse_row(char *line, lspo_metrics_row_t *row_out)
{
    double step;
    lspo_metrics_row_t row;
    char *at = line;
    if (!parse_field(&at, ',', &step) || !(step >= 0 && step <= UINT32_MAX))
        return false;
    row.step = (uint32_t)step;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (!parse_field(&at, i + 1 < COLUMN_COUNT ? ',' : '\n', column(&row, i)))
            return false;
    *row_out = row;
    return true;
}

static lspo_status_t append_row(lspo_metrics_row_t **rows, size_t *count, const lspo_metrics_row_t *row)
{
    if ((*count & (*count - 1)) == 0) { /* full at each power of two */
        lspo_metrics_row_t *grown = realloc(*rows, (*count ? 2 * *count : 1) * sizeof **rows);
        if (!grown)
            return lspo_error(LSPO_ERR_MEMORY, "no memory for %zu rows of metrics", *count);
        *rows = grown;
    }
    (*rows)[(*count)++] = *row;
    return LSPO_OK;
}

static lspo_status_t read_rows(FILE *file, const char *path, lspo_metrics_row_t **rows, size_t *count)
{
    char line[LINE_BYTES];
    if (!fgets(line, sizeof line, file) || strcmp(line, header) != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s:1: not metrics: the first line must be %.*s", path,
                          (int)(sizeof header - 2), header);
    lspo_status_t status = LSPO_OK;
    for (size_t number = 2; status == LSPO_OK && fgets(line, sizeof line, file); number++) {
        lspo_metrics_row_t row;
        if (parse_row(line, &row))
            status = append_row(rows, count, &row);
        else if (strchr(line, '\n'))
            status = lspo_error(LSPO_ERR_INPUT, "%s:%zu: not a row of metrics", path, number);
    }
    if (status == LSPO_OK && ferror(file))
        status = lspo_error(LSPO_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    return status;
}

lspo_status_t lspo_metrics_read(const char *path, lspo_metrics_row_t **rows_out, size_t *count_out)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return lspo_error(LSPO_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    lspo_metrics_row_t *rows = NULL;
    size_t count = 0;
    lspo_status_t status = read_rows(file, path, &rows, &count);
    fclose(file);
    if (status != LSPO_OK) {
        free(rows);
        return status;
    }
    *rows_out = rows;
    *count_out = count;
    return LSPO_OK;
}

/* The file as it was when `step` steps were done. */
static lspo_status_t rewind_file(const char *path, uint32_t step)
{
    lspo_metrics_row_t *rows;
    size_t count;
    lspo_output_t output;
    lspo_status_t status = lspo_metrics_read(path, &rows, &count);
    if (status != LSPO_OK)
        return status;
    status = lspo_output_open(path, &output);
    if (status == LSPO_OK) {
        fputs(header, output.file);
        for (size_t i = 0; i < count && rows[i].step <= step; i++)
            write_row(output.file, &rows[i]);
        status = lspo_output_finish(&output, LSPO_OK);
    }
    free(rows);
    return status;
}

static bool exists(const char *path)
{
    FILE *file = fopen(path, "r");
    bool found = file && fgetc(file) != EOF;
    if (file)
        fclose(file);
    return found;
}

lspo_status_t lspo_metrics_open(const char *path, bool resume, uint32_t step, lspo_metrics_t **metrics_out)
{
    bool go_on = resume && exists(path);
    lspo_status_t status = go_on ? rewind_file(path, step) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    lspo_metrics_t *metrics = calloc(1, sizeof *metrics);
    if (!metrics || !(metrics->path = strdup(path)))
        status = lspo_error(LSPO_ERR_MEMORY, "no memory for metrics");
    else if (!(metrics->file = fopen(path, go_on ? "a" : "w")))
        status = lspo_error(LSPO_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    else if (!go_on)
        fputs(header, metrics->file);
    if (status != LSPO_OK) {
        lspo_metrics_close(metrics);
        return status;
    }
    *metrics_out = metrics;
    return LSPO_OK;
}

lspo_status_t lspo_metrics_add(lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        write_row(metrics->file, &rows[i]);
    if (fflush(metrics->file) != 0 || ferror(metrics->file))
        return lspo_error(LSPO_ERR_IO, "%s: cannot write: %s", metrics->path, strerror(errno));
    return LSPO_OK;
}

void lspo_metrics_close(lspo_metrics_t *metrics)
{
    if (!metrics)
        return;
    if (metrics->file)
        fclose(metrics->file);
    free(metrics->path);
    free(metrics);
}
