/* published_rows.c - read files of published steps and peaks; see published.h. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/table.h"
#include "plan/policy.h"
#include "validate/published.h"

enum { FILE_BYTES_MAX = 1 << 28, WHAT_BYTES = 1200, NAMES_MAX = 64, ROWS_MAX = 20000 };
static const double measured_most_s = 1e9, peak_most_GiB = 1e6;

typedef enum { TEXT, CHOICE, COUNT, SECONDS } column_kind_t;

typedef struct {
    const char *name;
    column_kind_t kind;
    bool required, may_be_empty;
    size_t offset_bytes;
    uint32_t (*list)(const char *names[NAMES_MAX]); /* of a choice */
} column_t;

static uint32_t list_texts(const char *const *texts, size_t count, const char *names[NAMES_MAX])
{
    for (size_t i = 0; i < count; i++)
        names[i] = texts[i];
    return (uint32_t)count;
}

static uint32_t list_kinds(const char *names[NAMES_MAX])
{
    static const char *const kinds[] = {"native", "peft", "offload", "micro"};
    return list_texts(kinds, sizeof kinds / sizeof kinds[0], names);
}

static uint32_t list_precisions(const char *names[NAMES_MAX])
{
    return list_texts(lspo_precision_names, LSPO_PRECISION_COUNT, names);
}

static uint32_t list_on_off(const char *names[NAMES_MAX])
{
    static const char *const on_off[] = {"on", "off"};
    return list_texts(on_off, 2, names);
}

static uint32_t list_uncertainties(const char *names[NAMES_MAX])
{
    static const char *const uncertainties[] = {"low", "medium", "high"};
    return list_texts(uncertainties, sizeof uncertainties / sizeof uncertainties[0], names);
}

static uint32_t list_policies(const char *names[NAMES_MAX])
{
    uint32_t count = 0;
    for (; count < lspo_policy_count() && count < NAMES_MAX; count++)
        names[count] = lspo_policy_at(count)->name;
    return count;
}

#define COLUMN(field) .name = #field, .offset_bytes = offsetof(lspo_published_row_t, field)

static const column_t columns[] = {
    {COLUMN(id), .required = true},
    {COLUMN(source), .required = true},
    {COLUMN(address), .may_be_empty = true},
    {COLUMN(kind), .kind = CHOICE, .required = true, .list = list_kinds},
    {COLUMN(system), .may_be_empty = true},
    {COLUMN(framework), .required = true, .may_be_empty = true},
    {COLUMN(gpu), .required = true},
    {COLUMN(gpus), .kind = COUNT, .may_be_empty = true},
    {COLUMN(machine), .required = true},
    {COLUMN(model), .required = true},
    {COLUMN(batch), .kind = COUNT, .required = true},
    {COLUMN(sequence), .kind = COUNT, .required = true},
    {COLUMN(accumulation), .kind = COUNT, .required = true},
    {COLUMN(precision), .kind = CHOICE, .required = true, .list = list_precisions},
    {COLUMN(checkpointing), .kind = CHOICE, .required = true, .list = list_on_off},
    {COLUMN(policy), .kind = CHOICE, .required = true, .list = list_policies},
    {COLUMN(flags), .required = true, .may_be_empty = true},
    {COLUMN(measured_s), .kind = SECONDS, .required = true},
    {COLUMN(published), .may_be_empty = true},
    {COLUMN(uncertainty), .kind = CHOICE, .may_be_empty = true, .list = list_uncertainties},
    {COLUMN(note), .may_be_empty = true},
};
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static lspo_status_t take_choice(const char *what, const char *text, const column_t *column)
{
    const char *names[NAMES_MAX];
    uint32_t count = column->list(names);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0)
            return LSPO_OK;
    return lspo_name_refuse(what, text, names, count, NULL);
}

/* A plain number above 0. */
static lspo_status_t take_number(const char *what, const char *text, double most, const char *unit, double *number_out)
{
    char range[64];
    double number = 0;
    snprintf(range, sizeof range, "above 0 and at most %g %s", most, unit);
    lspo_status_t status = lspo_parse_quantity_in(what, text, LSPO_UNIT_NONE, range, &number);
    if (status != LSPO_OK)
        return status;
    if (!(number > 0 && number <= most))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not %s", what, text, range);
    *number_out = number;
    return LSPO_OK;
}

static lspo_status_t take_cell(const char *what, const char *text, const column_t *column, lspo_published_row_t *row)
{
    void *slot = (char *)row + column->offset_bytes;
    int64_t count = 0;
    lspo_status_t status = LSPO_OK;
    if (text[0] == '\0' && !column->may_be_empty)
        return lspo_error(LSPO_ERR_INPUT, "%s is empty", what);
    switch (column->kind) {
    case COUNT:
        if (text[0] == '\0')
            break;
        status = lspo_parse_integer(what, text, 1, UINT32_MAX, &count);
        *(uint64_t *)slot = (uint64_t)count;
        break;
    case SECONDS:
        status = take_number(what, text, measured_most_s, "s", slot);
        break;
    case CHOICE:
        if (text[0] != '\0')
            status = take_choice(what, text, column);
        *(const char **)slot = text;
        break;
    default:
        *(const char **)slot = text;
    }
    return status;
}

/* The columns of the file by column_t; column_count where the file lacks one. */
static lspo_status_t find_columns(const char *path, const lspo_csv_t *csv, size_t found[COLUMN_COUNT])
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        found[i] = lspo_csv_column(csv, columns[i].name);
        if (found[i] < csv->column_count || !columns[i].required)
            continue;
        char names[512] = "";
        for (size_t c = 0; c < COLUMN_COUNT; c++)
            if (columns[c].required)
                snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", c > 0 ? ", " : "",
                         columns[c].name);
        return lspo_error(LSPO_ERR_INPUT, "%s:1: the column %s is missing; needed are %s", path, columns[i].name,
                          names);
    }
    return LSPO_OK;
}

static void warn_of_others(const char *path, const lspo_csv_t *csv, const size_t *found, size_t found_count)
{
    char names[512] = "";
    for (size_t c = 0; c < csv->column_count; c++) {
        bool known = false;
        for (size_t i = 0; i < found_count; i++)
            known |= found[i] == c;
        if (!known)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] != '\0' ? ", " : "",
                     csv->cells[c]);
    }
    if (names[0] != '\0')
        lspo_warn("%s: columns that are not used: %s", path, names);
}

static lspo_published_row_t *row_of_id(const lspo_published_t *published, const char *id)
{
    for (uint32_t i = 0; i < published->row_count; i++)
        if (strcmp(published->rows[i].id, id) == 0)
            return &published->rows[i];
    return NULL;
}

/* The row's policy only stands in for one that also offloads parameters. */
static bool is_approximated(const lspo_published_row_t *row)
{
    return strcmp(row->policy, "zero") == 0 && row->note != NULL && strstr(row->note, "policy approximated") != NULL;
}

static lspo_status_t take_row(const size_t found[COLUMN_COUNT], size_t index, lspo_published_t *published)
{
    lspo_published_row_t row = {.gpus = LSPO_MISSING,
                                .line = lspo_csv_line(&published->csv, index),
                                .predicted_s = NAN,
                                .error = NAN,
                                .left_out_s = NAN,
                                .left_out_error = NAN,
                                .fits = -1,
                                .published_peak_gpu_bytes = NAN,
                                .peak_error = NAN,
                                .peak_gpu_bytes = LSPO_MISSING,
                                .gpu_tensor_bytes = LSPO_MISSING,
                                .peak_gpu_bound_bytes = LSPO_MISSING,
                                .above_bound = -1};
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        char what[WHAT_BYTES];
        if (found[i] == published->csv.column_count)
            continue;
        snprintf(what, sizeof what, "%s:%" PRIu64 ": column %s", published->path, row.line, columns[i].name);
        lspo_status_t status = take_cell(what, lspo_csv_cell(&published->csv, index, found[i]), &columns[i], &row);
        if (status != LSPO_OK)
            return status;
    }
    const lspo_published_row_t *same = row_of_id(published, row.id);
    if (same != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": column id: '%s' is the id of line %" PRIu64 ", too",
                          published->path, row.line, row.id, same->line);
    row.predicted_policy = is_approximated(&row) ? "stream" : row.policy;
    published->rows[published->row_count++] = row;
    return LSPO_OK;
}

static lspo_status_t take_rows(lspo_published_t *published)
{
    size_t found[COLUMN_COUNT];
    lspo_status_t status = find_columns(published->path, &published->csv, found);
    if (status != LSPO_OK)
        return status;
    if (published->csv.row_count == 0 || published->csv.row_count > ROWS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: there are %zu rows, not 1 to %d", published->path,
                          published->csv.row_count, ROWS_MAX);
    published->rows = calloc(published->csv.row_count, sizeof *published->rows);
    if (published->rows == NULL)
        return lspo_no_memory("%zu published steps", published->csv.row_count);
    for (size_t i = 0; i < published->csv.row_count; i++) {
        status = take_row(found, i, published);
        if (status != LSPO_OK)
            return status;
    }
    warn_of_others(published->path, &published->csv, found, COLUMN_COUNT);
    return LSPO_OK;
}

lspo_status_t lspo_published_read(const char *path, lspo_published_t *published_out)
{
    lspo_published_t published = {.path = path};
    lspo_status_t status = lspo_csv_read(path, FILE_BYTES_MAX, &published.csv);
    if (status != LSPO_OK)
        return status;
    status = take_rows(&published);
    if (status != LSPO_OK) {
        lspo_published_release(&published);
        return status;
    }
    *published_out = published;
    return LSPO_OK;
}

void lspo_published_release(lspo_published_t *published)
{
    for (uint32_t i = 0; i < published->row_count; i++)
        free(published->rows[i].model_path);
    free(published->profiles);
    free(published->rows);
    lspo_csv_release(&published->memory_csv);
    lspo_csv_release(&published->csv);
    *published = (lspo_published_t){0};
}

/* Peaks */

enum { MEMORY_ID, MEMORY_PEAK, MEMORY_NOTE, MEMORY_COUNTS, MEMORY_COLUMNS };

/* What a peak counts: "device", or nothing said, is the whole process. */
static lspo_status_t take_counts(const char *path, const size_t found[MEMORY_COLUMNS], size_t index,
                                 const lspo_csv_t *csv, bool *allocated_out)
{
    static const char *const names[] = {"device", "allocated"};
    const char *cell = found[MEMORY_COUNTS] < csv->column_count ? lspo_csv_cell(csv, index, found[MEMORY_COUNTS]) : "";
    char what[WHAT_BYTES];
    snprintf(what, sizeof what, "%s:%" PRIu64 ": column counts", path, lspo_csv_line(csv, index));
    *allocated_out = strcmp(cell, names[1]) == 0;
    if (cell[0] == '\0' || strcmp(cell, names[0]) == 0 || *allocated_out)
        return LSPO_OK;
    return lspo_name_refuse(what, cell, names, sizeof names / sizeof names[0], NULL);
}

static lspo_status_t take_peak(const char *path, const size_t found[MEMORY_COLUMNS], size_t index, bool filtered,
                               lspo_published_t *published)
{
    const lspo_csv_t *csv = &published->memory_csv;
    const char *id = lspo_csv_cell(csv, index, found[MEMORY_ID]);
    lspo_published_row_t *row = row_of_id(published, id);
    char what[WHAT_BYTES];
    double peak_GiB = 0;
    snprintf(what, sizeof what, "%s:%" PRIu64 ": column peak_gpu_GiB", path, lspo_csv_line(csv, index));
    lspo_status_t status =
        take_number(what, lspo_csv_cell(csv, index, found[MEMORY_PEAK]), peak_most_GiB, "GiB", &peak_GiB);
    if (status != LSPO_OK)
        return status;
    if (row == NULL && filtered)
        return LSPO_OK;
    if (row == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": column id: no row of %s has the id '%s'", path,
                          lspo_csv_line(csv, index), published->path, id);
    if (!isnan(row->published_peak_gpu_bytes))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": column id: there is a peak of '%s' above", path,
                          lspo_csv_line(csv, index), id);
    row->published_peak_gpu_bytes = peak_GiB * (double)(1 << 30);
    return take_counts(path, found, index, csv, &row->counts_allocated);
}

lspo_status_t lspo_published_read_memory(const char *path, bool filtered, lspo_published_t *published)
{
    static const char *const names[] = {"id", "peak_gpu_GiB", "note", "counts"};
    size_t found[MEMORY_COLUMNS];
    lspo_csv_t *csv = &published->memory_csv;
    lspo_status_t status = lspo_csv_read(path, FILE_BYTES_MAX, csv);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < MEMORY_COLUMNS; i++) {
        found[i] = lspo_csv_column(csv, names[i]);
        if (found[i] == csv->column_count && i != MEMORY_NOTE && i != MEMORY_COUNTS)
            return lspo_error(LSPO_ERR_INPUT, "%s:1: the column %s is missing; needed are id, peak_gpu_GiB", path,
                              names[i]);
    }
    for (size_t i = 0; i < csv->row_count; i++) {
        status = take_peak(path, found, i, filtered, published);
        if (status != LSPO_OK)
            return status;
    }
    warn_of_others(path, csv, found, MEMORY_COLUMNS);
    return LSPO_OK;
}

/* Filters */

static bool matches(const lspo_published_row_t *row, const column_t *column, const char *value)
{
    char number[32];
    const char *slot = (const char *)row + column->offset_bytes, *text;
    if (column->kind == COUNT) {
        snprintf(number, sizeof number, "%" PRIu64, *(const uint64_t *)(const void *)slot);
        return strcmp(number, value) == 0;
    }
    text = *(const char *const *)(const void *)slot;
    return strcmp(text != NULL ? text : "", value) == 0;
}

/* The column of that name; NULL: there is none, or it holds times. */
static const column_t *column_of(const char *name)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (columns[i].kind != SECONDS && strcmp(columns[i].name, name) == 0)
            return &columns[i];
    return NULL;
}

static lspo_status_t refuse_column(const char *name)
{
    const char *names[NAMES_MAX];
    uint32_t count = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (columns[i].kind != SECONDS)
            names[count++] = columns[i].name;
    return lspo_name_refuse("--where: column", name, names, count, NULL);
}

lspo_status_t lspo_published_keep(const char *condition, lspo_published_t *published)
{
    char name[64];
    size_t length = strcspn(condition, "=");
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), condition);
    const column_t *column = column_of(name);
    uint32_t kept = 0;
    if (column == NULL || condition[length] != '=')
        return refuse_column(name);
    for (uint32_t i = 0; i < published->row_count; i++)
        if (matches(&published->rows[i], column, condition + length + 1))
            published->rows[kept++] = published->rows[i];
    if (kept == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: no row has %s '%s'", published->path, name, condition + length + 1);
    published->row_count = kept;
    return LSPO_OK;
}
