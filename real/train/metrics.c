/* metrics.c - see metrics.h. */
#include "real/train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "base/input_file.h"

static const char header[] = "step,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,perplexity,"
                             "bias,bias_fitted,refits,accuracy,f1,matthews,pearson,spearman";

/* Before the scores that follow accuracy, a file had the columns up to here. */
static const char first_new[] = ",f1,";

/* The start of the header in all versions. */
static const char own_beginning[] = "step,epoch,loss,";

static const size_t columns[] = {
    offsetof(lspo_metrics_row_t, epoch),          offsetof(lspo_metrics_row_t, loss),
    offsetof(lspo_metrics_row_t, learning_rate),  offsetof(lspo_metrics_row_t, gradient_norm),
    offsetof(lspo_metrics_row_t, time_s),         offsetof(lspo_metrics_row_t, tokens_per_s),
    offsetof(lspo_metrics_row_t, held_out_loss),  offsetof(lspo_metrics_row_t, perplexity),
    offsetof(lspo_metrics_row_t, bias),           offsetof(lspo_metrics_row_t, bias_fitted),
    offsetof(lspo_metrics_row_t, refits),         offsetof(lspo_metrics_row_t, scores.accuracy),
    offsetof(lspo_metrics_row_t, scores.f1),      offsetof(lspo_metrics_row_t, scores.matthews),
    offsetof(lspo_metrics_row_t, scores.pearson), offsetof(lspo_metrics_row_t, scores.spearman)};
enum {
    COLUMN_COUNT = sizeof columns / sizeof columns[0],
    FIELDS = COLUMN_COUNT + 1, /* with the step */
    NEW_FIELDS = 4,            /* those from `first_new` on */
    CORRELATIONS = 3,
    LINE_BYTES = 512
};

struct lspo_metrics {
    FILE *file;
    char *path;
    bool regular;
    bool made; /* created here, and nothing written yet */
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

/* The row being read. */
typedef struct {
    const char *path;
    size_t line, fields; /* how many the header has */
} place_t;

/* Names file, line, column and value. */
static lspo_status_t refuse_field(const place_t *place, size_t index, const char *text, const char *wanted)
{
    const char *name = header;
    for (; index > 0; index--)
        name = strchr(name, ',') + 1;
    return lspo_error(LSPO_ERR_INPUT, "%s:%zu: column %.*s: '%.40s' is not %s", place->path, place->line,
                      (int)strcspn(name, ","), name, text, wanted);
}

/* An empty field is NaN.  Of a training nothing but the last columns, correlations, is negative. */
static lspo_status_t parse_field(const place_t *place, size_t index, const char *text, double *value_out)
{
    char *end;
    *value_out = NAN;
    if (*text == '\0')
        return LSPO_OK;
    *value_out = strtod(text, &end);
    bool read = *end == '\0' && isfinite(*value_out);
    if (index > COLUMN_COUNT - CORRELATIONS)
        return read && fabs(*value_out) <= 1 ? LSPO_OK : refuse_field(place, index, text, "a number from -1 to 1");
    return read && *value_out >= 0 ? LSPO_OK : refuse_field(place, index, text, "a finite number of at least 0");
}

/* Cuts the line into its fields; those that the header has not are empty. */
static lspo_status_t split_row(const place_t *place, char *line, const char *fields[FIELDS])
{
    size_t count = 0;
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = "";
    for (char *rest = line, *field; (field = strsep(&rest, ",")) != NULL; count++)
        if (count < place->fields)
            fields[count] = field;
    if (count == place->fields)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s:%zu: %zu columns, not the %zu of the header", place->path, place->line, count,
                      place->fields);
}

static lspo_status_t parse_row(const place_t *place, char *line, lspo_metrics_row_t *row_out)
{
    double step;
    lspo_metrics_row_t row;
    const char *fields[FIELDS];
    lspo_status_t status = split_row(place, line, fields);
    if (status != LSPO_OK)
        return status;
    status = parse_field(place, 0, fields[0], &step);
    if (status != LSPO_OK)
        return status;
    if (!(step <= UINT32_MAX) || floor(step) < step)
        return refuse_field(place, 0, fields[0], "a whole number of steps");
    row.step = (uint32_t)step;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        status = parse_field(place, i + 1, fields[i + 1], column(&row, i));
        if (status != LSPO_OK)
            return status;
    }
    *row_out = row;
    return LSPO_OK;
}

/* Each row has a later step than the one before it. */
static lspo_status_t check_order(const place_t *place, const lspo_metrics_row_t *rows, size_t count, uint32_t step)
{
    if (count == 0 || step > rows[count - 1].step)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s:%zu: step %" PRIu32 " does not follow step %" PRIu32 " of line %zu",
                      place->path, place->line, step, rows[count - 1].step, place->line - 1);
}

static lspo_status_t append_row(lspo_metrics_row_t **rows, size_t *count, const lspo_metrics_row_t *row)
{
    if ((*count & (*count - 1)) == 0) { /* full at each power of two */
        lspo_metrics_row_t *grown = realloc(*rows, (*count ? 2 * *count : 1) * sizeof **rows);
        if (!grown)
            return lspo_no_memory("%zu rows of metrics", *count);
        *rows = grown;
    }
    (*rows)[(*count)++] = *row;
    return LSPO_OK;
}

/* Remove the newline; false if there is none, as in the last line of a file. */
static bool cut_end(char *line)
{
    size_t length = strcspn(line, "\r\n");
    bool ends = strchr(line + length, '\n') != NULL;
    line[length] = '\0';
    return ends;
}

/* How many fields the header has; 0: it is none. */
static size_t count_header(const char *line)
{
    static const char mark[] = "\xef\xbb\xbf"; /* as spreadsheets write */
    const char *names = line + (strncmp(line, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0);
    size_t old = (size_t)(strstr(header, first_new) - header);
    if (strcmp(names, header) == 0)
        return FIELDS;
    return strlen(names) == old && strncmp(names, header, old) == 0 ? FIELDS - NEW_FIELDS : 0;
}

/* An incomplete last row of a killed training: too few columns and no newline. */
static bool is_cut_off(const char *line, bool ends, size_t fields)
{
    size_t commas = 0;
    for (; *line != '\0'; line++)
        commas += *line == ',';
    return !ends && commas + 1 < fields;
}

static lspo_status_t read_row(const place_t *place, char *line, lspo_metrics_row_t **rows, size_t *count)
{
    lspo_metrics_row_t row;
    lspo_status_t status = parse_row(place, line, &row);
    if (status != LSPO_OK)
        return status;
    status = check_order(place, *rows, *count, row.step);
    if (status != LSPO_OK)
        return status;
    return append_row(rows, count, &row);
}

/* A last row without newline counts if it has all columns, but not in a file that is continued (`end_out`).  `end_out`
 * (may be NULL): the offset where the rows up to `step` end. */
static lspo_status_t read_rows(FILE *file, const char *path, uint32_t step, lspo_metrics_row_t **rows, size_t *count,
                               long *end_out)
{
    char line[LINE_BYTES];
    if (!fgets(line, sizeof line, file))
        return ferror(file) ? lspo_error(lspo_status_of_errno(errno), "%s: cannot read: %s", path, strerror(errno))
                            : lspo_input_refuse_empty(path);
    bool whole = cut_end(line);
    size_t fields = count_header(line);
    if ((!whole && end_out) || fields == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s:1: not metrics: the first line must be %s", path, header);
    long end = ftell(file);
    for (place_t place = {path, 2, fields}; fgets(line, sizeof line, file); place.line++) {
        bool ends = cut_end(line);
        if ((!ends && end_out) || is_cut_off(line, ends, fields))
            break;
        lspo_status_t status = read_row(&place, line, rows, count);
        if (status != LSPO_OK)
            return status;
        end = (*rows)[*count - 1].step <= step ? ftell(file) : end;
    }
    if (ferror(file))
        return lspo_error(lspo_status_of_errno(errno), "%s: cannot read: %s", path, strerror(errno));
    if (end_out)
        *end_out = end;
    return LSPO_OK;
}

lspo_status_t lspo_metrics_read(const char *path, lspo_metrics_row_t **rows_out, size_t *count_out)
{
    int descriptor;
    lspo_status_t status = lspo_input_descriptor(path, &descriptor);
    if (status != LSPO_OK)
        return status;
    FILE *file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return lspo_no_memory("reading %s", path);
    }
    lspo_metrics_row_t *rows = NULL;
    size_t count = 0;
    status = read_rows(file, path, UINT32_MAX, &rows, &count, NULL);
    fclose(file);
    if (status == LSPO_OK && count == 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s: the file has only its first line, and no row of a step", path);
    if (status != LSPO_OK) {
        free(rows);
        return status;
    }
    *rows_out = rows;
    *count_out = count;
    return LSPO_OK;
}

/* ---- write ---- */

static lspo_status_t cannot_write(const char *path)
{
    return lspo_error(LSPO_ERR_IO, "cannot write %s: %s", path, strerror(errno));
}

/* An existing file that is not a metrics file must not be lost by a typing error. */
static lspo_status_t refuse_others(const lspo_metrics_t *metrics)
{
    char line[LINE_BYTES];
    bool empty = !fgets(line, sizeof line, metrics->file);
    if (empty && ferror(metrics->file))
        return lspo_error(LSPO_ERR_IO, "%s: cannot read: %s", metrics->path, strerror(errno));
    if (!empty && strncmp(line, own_beginning, strlen(own_beginning)) != 0)
        return lspo_error(LSPO_ERR_INPUT, "--metrics %s: the file exists and is not a metrics file; give another name",
                          metrics->path);
    return LSPO_OK;
}

static lspo_status_t lock(const lspo_metrics_t *metrics)
{
    if (!lspo_lock_take(fileno(metrics->file)))
        return lspo_error(LSPO_ERR_INPUT, "--metrics %s: another training is writing to it", metrics->path);
    return LSPO_OK;
}

/* A pipe without a reader is an error, not a wait. */
static int open_descriptor(lspo_metrics_t *metrics)
{
    int descriptor = open(metrics->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    metrics->made = metrics->regular = descriptor >= 0;
    if (descriptor >= 0 || errno != EEXIST)
        return descriptor;
    struct stat info;
    metrics->regular = stat(metrics->path, &info) != 0 || S_ISREG(info.st_mode); /* missing: a link without a target */
    if (metrics->regular)
        return open(metrics->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    descriptor = open(metrics->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor >= 0)
        fcntl(descriptor, F_SETFL, 0);
    return descriptor;
}

static lspo_status_t open_file(lspo_metrics_t *metrics)
{
    int descriptor = open_descriptor(metrics);
    if (descriptor < 0)
        return cannot_write(metrics->path);
    metrics->file = fdopen(descriptor, metrics->regular ? "r+" : "w");
    if (metrics->file)
        return LSPO_OK;
    close(descriptor);
    return cannot_write(metrics->path);
}

lspo_status_t lspo_metrics_open(const char *path, lspo_metrics_t **metrics_out)
{
    lspo_metrics_t *metrics = calloc(1, sizeof *metrics);
    lspo_status_t status = LSPO_OK;
    if (!metrics || !(metrics->path = strdup(path))) {
        status = lspo_no_memory("metrics");
        goto failed;
    }
    status = open_file(metrics);
    if (status != LSPO_OK)
        goto failed;
    if (metrics->regular)
        status = lock(metrics);
    if (status != LSPO_OK)
        goto failed;
    if (metrics->regular)
        status = refuse_others(metrics);
    if (status != LSPO_OK)
        goto failed;
    *metrics_out = metrics;
    return LSPO_OK;
failed:
    lspo_metrics_close(metrics);
    return status;
}

/* The rows of the file, allocated, and where those up to `step` end; 0 for an empty file. */
static lspo_status_t read_written(lspo_metrics_t *metrics, uint32_t step, lspo_metrics_row_t **rows, size_t *count,
                                  long *end_out)
{
    *rows = NULL;
    *count = 0;
    *end_out = 0;
    rewind(metrics->file);
    if (fgetc(metrics->file) == EOF && !ferror(metrics->file))
        return LSPO_OK;
    rewind(metrics->file);
    return read_rows(metrics->file, metrics->path, step, rows, count, end_out);
}

static lspo_status_t find_end(lspo_metrics_t *metrics, uint32_t step, long *end_out)
{
    lspo_metrics_row_t *rows;
    size_t count;
    lspo_status_t status = read_written(metrics, step, &rows, &count, end_out);
    free(rows);
    return status;
}

lspo_status_t lspo_metrics_find(lspo_metrics_t *metrics, uint32_t step, lspo_metrics_row_t *row_out)
{
    lspo_metrics_row_t *rows;
    size_t count;
    long end;
    if (!metrics->regular)
        return LSPO_OK;
    lspo_status_t status = read_written(metrics, step, &rows, &count, &end);
    if (status != LSPO_OK)
        goto cleanup;
    for (size_t i = 0; i < count; i++)
        if (rows[i].step == step)
            *row_out = rows[i];
cleanup:
    free(rows);
    return status;
}

/* Over the old text, which is shorter, in one write; the space for it is taken before. */
static lspo_status_t overwrite(lspo_metrics_t *metrics, const char *text, size_t bytes)
{
    int descriptor = fileno(metrics->file);
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return cannot_write(metrics->path);
    errno = posix_fallocate(descriptor, 0, (off_t)bytes);
    if (errno != 0) {
        lspo_status_t status = cannot_write(metrics->path);
        return ftruncate(descriptor, info.st_size) == 0 ? status : cannot_write(metrics->path);
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t count = pwrite(descriptor, text + done, bytes - done, (off_t)done);
        if (count < 0 && errno != EINTR)
            return cannot_write(metrics->path);
        done += count < 0 ? 0 : (size_t)count;
    }
    return ftruncate(descriptor, (off_t)bytes) == 0 ? LSPO_OK : cannot_write(metrics->path);
}

static lspo_status_t write_again(lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count)
{
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (!file)
        return lspo_no_memory("%zu rows of metrics", count);
    fprintf(file, "%s\n", header);
    for (size_t i = 0; i < count; i++)
        write_row(file, &rows[i]);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    lspo_status_t status = failed ? lspo_no_memory("%zu rows of metrics", count) : overwrite(metrics, text, bytes);
    free(text);
    return status;
}

/* The stream may have the old text in its buffer; another one of the same open file keeps the lock. */
static lspo_status_t forget_buffer(lspo_metrics_t *metrics)
{
    int descriptor = fcntl(fileno(metrics->file), F_DUPFD_CLOEXEC, 0);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "r+");
    if (!file) {
        lspo_status_t status = cannot_write(metrics->path);
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    fclose(metrics->file);
    metrics->file = file;
    return LSPO_OK;
}

/* A file of before the last columns gets them, empty. */
static lspo_status_t renew(lspo_metrics_t *metrics)
{
    char line[LINE_BYTES];
    lspo_metrics_row_t *rows;
    size_t count;
    long end;
    rewind(metrics->file);
    if (fgets(line, sizeof line, metrics->file))
        cut_end(line);
    else
        line[0] = '\0';
    if (count_header(line) != FIELDS - NEW_FIELDS)
        return LSPO_OK;
    lspo_status_t status = read_written(metrics, UINT32_MAX, &rows, &count, &end);
    if (status == LSPO_OK)
        status = write_again(metrics, rows, count);
    free(rows);
    return status == LSPO_OK ? forget_buffer(metrics) : status;
}

/* Somebody shortened the file, or it is another one than before. */
static void warn_of_missing(const lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count, uint32_t step)
{
    uint32_t missing = step;
    for (size_t i = 0; i < count; i++)
        missing -= rows[i].step > 0 && rows[i].step <= step; /* steps ascend */
    if (missing > 0)
        lspo_warn("--metrics %s: it has no rows of %" PRIu32 " of the %" PRIu32 " steps that were trained before",
                  metrics->path, missing, step);
}

/* Where the rows up to `step` end. */
static lspo_status_t continue_rows(lspo_metrics_t *metrics, uint32_t step, long *end_out)
{
    lspo_metrics_row_t *rows;
    size_t count;
    lspo_status_t status = renew(metrics);
    if (status != LSPO_OK)
        return status;
    status = read_written(metrics, step, &rows, &count, end_out);
    if (status == LSPO_OK)
        warn_of_missing(metrics, rows, count, step);
    free(rows);
    return status;
}

lspo_status_t lspo_metrics_begin(lspo_metrics_t *metrics, bool resume, uint32_t step)
{
    long end = 0;
    if (metrics->regular && resume) {
        lspo_status_t status = continue_rows(metrics, step, &end);
        if (status != LSPO_OK)
            return status;
    }
    metrics->made = false;
    if (metrics->regular && (fseek(metrics->file, end, SEEK_SET) != 0 || ftruncate(fileno(metrics->file), end) != 0))
        return cannot_write(metrics->path);
    if (end == 0)
        fprintf(metrics->file, "%s\n", header);
    return fflush(metrics->file) == 0 ? LSPO_OK : cannot_write(metrics->path);
}

lspo_status_t lspo_metrics_add(lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        write_row(metrics->file, &rows[i]);
    if (fflush(metrics->file) != 0 || ferror(metrics->file))
        return cannot_write(metrics->path);
    return LSPO_OK;
}

/* Over the old row, which is not longer, in one write: it is never missing. */
lspo_status_t lspo_metrics_replace(lspo_metrics_t *metrics, const lspo_metrics_row_t *row)
{
    if (!metrics->regular)
        return lspo_metrics_add(metrics, row, 1);
    long at = 0;
    lspo_status_t status = find_end(metrics, row->step - 1, &at);
    if (status != LSPO_OK)
        return status;
    if (fseek(metrics->file, at, SEEK_SET) != 0)
        return cannot_write(metrics->path);
    status = lspo_metrics_add(metrics, row, 1);
    if (status != LSPO_OK)
        return status;
    long end = ftell(metrics->file);
    return end >= 0 && ftruncate(fileno(metrics->file), end) == 0 ? LSPO_OK : cannot_write(metrics->path);
}

const char *lspo_metrics_path(const lspo_metrics_t *metrics)
{
    return metrics->regular ? metrics->path : NULL;
}

void lspo_metrics_close(lspo_metrics_t *metrics)
{
    if (!metrics)
        return;
    if (metrics->file && metrics->made)
        unlink(metrics->path);
    if (metrics->file)
        fclose(metrics->file);
    free(metrics->path);
    free(metrics);
}
