/* files.c - write cells, summary and breakdown as CSV and JSON, from one table of fields each. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_file.h"
#include "base/output_file.h"
#include "base/table.h"
#include "validate/verdict.h"

enum { PATH_BYTES = 1024, FIELDS_MAX = 48 + LSPO_VARIANTS_MAX };

#define TEXT(type, field)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(type, field)                                                 \
    }
#define INTEGER(type, field)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(type, field)                                              \
    }
#define REAL(type, field)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(type, field)                                                 \
    }
#define CELL_REAL(field) REAL(lspo_outcome_t, field)
#define CELL_TEXT(field) TEXT(lspo_outcome_t, field)
#define CELL_INTEGER(field) INTEGER(lspo_outcome_t, field)

static const lspo_field_t cell_fields[] = {
    CELL_INTEGER(cell),
    CELL_INTEGER(group),
    CELL_TEXT(group_name),
    CELL_TEXT(rates_of),
    CELL_TEXT(model),
    CELL_TEXT(policy),
    {NULL, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, 0}, /* OWN_COUNT of the policies' own, see cell_table() */
    CELL_INTEGER(batch),
    CELL_INTEGER(sequence),
    CELL_INTEGER(iterations),
    CELL_REAL(link_Bps),
    CELL_REAL(cpu_pps),
    CELL_TEXT(bound),
    CELL_REAL(predicted_s),
    CELL_REAL(measured_s),
    CELL_REAL(low_s),
    CELL_REAL(high_s),
    CELL_INTEGER(sample_count),
    CELL_INTEGER(visits),
    CELL_INTEGER(disturbed_visits),
    CELL_REAL(error),
    CELL_REAL(noise),
    {"disturbed", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(lspo_outcome_t, disturbed)},
    CELL_REAL(foreign_share),
    CELL_REAL(native_s),
    CELL_REAL(predicted_slowdown),
    CELL_REAL(measured_slowdown),
    CELL_REAL(slowdown_error),
    CELL_REAL(calibrated_s),
    CELL_REAL(calibrated_error),
    CELL_REAL(calibrated_slowdown),
    CELL_REAL(predicted_peak_gpu_bytes),
    CELL_REAL(measured_peak_gpu_bytes),
    CELL_REAL(predicted_peak_total_bytes),
    CELL_REAL(measured_peak_total_bytes),
    CELL_REAL(naive_s),
    CELL_REAL(naive_error),
    CELL_REAL(lanes_s),
    CELL_REAL(lanes_error),
    CELL_TEXT(flags),
};
/* Of the policies' own parameters, only the first three of a result's first columns; `flags` has all. */
enum { OWN_COUNT = 3 };
enum { CELL_FIELD_COUNT = sizeof cell_fields / sizeof cell_fields[0] };

static const lspo_field_t score_fields[] = {
    TEXT(lspo_score_t, predictor), TEXT(lspo_score_t, quantity), TEXT(lspo_score_t, cells),
    INTEGER(lspo_score_t, count),  REAL(lspo_score_t, mean),     REAL(lspo_score_t, median),
    REAL(lspo_score_t, p95),       REAL(lspo_score_t, worst),    REAL(lspo_score_t, bias),
    REAL(lspo_score_t, tau),
};

/* A row of breakdown.csv. */
typedef struct {
    uint64_t cell;
    const char *policy, *bound;
    double error, waiting, share[LSPO_OP_KIND_COUNT];
} breakdown_record_t;

/* The fields of a cell, plus one per variant, named by the profile.  They point into `own`. */
static lspo_table_t cell_table(const lspo_verdict_t *verdict, lspo_own_field_t own[LSPO_OWN_CELLS_MAX],
                               lspo_field_t fields[FIELDS_MAX])
{
    size_t count = 0, first_count;
    lspo_own_fields(offsetof(lspo_outcome_t, own), own, &first_count);
    for (size_t i = 0; i < CELL_FIELD_COUNT; i++)
        if (cell_fields[i].name != NULL)
            fields[count++] = cell_fields[i];
        else
            for (size_t first = 0; first < first_count && first < OWN_COUNT; first++)
                fields[count++] = own[first].field;
    for (uint32_t v = 1; v < verdict->variants->count; v++)
        fields[count++] = (lspo_field_t){verdict->variants->names[v], LSPO_FIELD_REAL, LSPO_UNIT_SECONDS,
                                         offsetof(lspo_outcome_t, variant_s) + v * sizeof(double)};
    return (lspo_table_t){fields, count, verdict->outcomes, sizeof *verdict->outcomes, verdict->count};
}

static lspo_table_t score_table(const lspo_verdict_t *verdict)
{
    return (lspo_table_t){score_fields, sizeof score_fields / sizeof score_fields[0], verdict->scores,
                          sizeof verdict->scores[0], verdict->score_count};
}

static void fill_breakdown(const lspo_outcome_t *outcome, const lspo_breakdown_t *breakdown, breakdown_record_t *record)
{
    *record = (breakdown_record_t){.cell = outcome->cell,
                                   .policy = outcome->policy,
                                   .bound = outcome->bound,
                                   .error = breakdown->known ? breakdown->error : (double)NAN,
                                   .waiting = breakdown->known ? breakdown->waiting : (double)NAN};
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        record->share[kind] = breakdown->known && breakdown->present[kind] ? breakdown->share[kind] : (double)NAN;
}

/* `records` is malloc'd. */
static lspo_status_t breakdown_table(const lspo_verdict_t *verdict, lspo_field_t fields[FIELDS_MAX],
                                     breakdown_record_t **records_out, lspo_table_t *table_out)
{
    static const lspo_field_t first[] = {INTEGER(breakdown_record_t, cell), TEXT(breakdown_record_t, policy),
                                         TEXT(breakdown_record_t, bound), REAL(breakdown_record_t, error),
                                         REAL(breakdown_record_t, waiting)};
    size_t count = 0;
    breakdown_record_t *records = calloc((size_t)verdict->count + 1, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("the breakdown of %u cells", verdict->count);
    for (; count < sizeof first / sizeof first[0]; count++)
        fields[count] = first[count];
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        fields[count++] = (lspo_field_t){lspo_op_kind_name((lspo_op_kind_t)kind), LSPO_FIELD_REAL, LSPO_UNIT_NONE,
                                         offsetof(breakdown_record_t, share) + (size_t)kind * sizeof(double)};
    for (uint32_t i = 0; i < verdict->count; i++)
        fill_breakdown(&verdict->outcomes[i], &verdict->breakdowns[i], &records[i]);
    *records_out = records;
    *table_out = (lspo_table_t){fields, count, records, sizeof *records, verdict->count};
    return LSPO_OK;
}

static lspo_status_t write_table(const lspo_table_t *table, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    lspo_output_t output;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, lspo_table_write(table, LSPO_FORMAT_CSV, output.file));
}

static lspo_status_t write_report(const lspo_verdict_t *verdict, const char *folder)
{
    char path[PATH_BYTES];
    lspo_output_t output;
    snprintf(path, sizeof path, "%s/report.txt", folder);
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    lspo_validate_write_report(verdict, output.file);
    return lspo_output_finish(&output, LSPO_OK);
}

lspo_status_t lspo_validate_write_files(const lspo_verdict_t *verdict, const char *folder)
{
    lspo_field_t fields[FIELDS_MAX];
    lspo_own_field_t own[LSPO_OWN_CELLS_MAX];
    breakdown_record_t *records;
    lspo_table_t table = cell_table(verdict, own, fields);
    lspo_status_t status = write_table(&table, folder, "cells.csv");
    table = score_table(verdict);
    if (status != LSPO_OK)
        return status;
    status = write_table(&table, folder, "summary.csv");
    if (status != LSPO_OK)
        return status;
    status = breakdown_table(verdict, fields, &records, &table);
    if (status != LSPO_OK)
        return status;
    status = write_table(&table, folder, "breakdown.csv");
    free(records);
    if (status != LSPO_OK)
        return status;
    return write_report(verdict, folder);
}

lspo_status_t lspo_validate_write_csv(const lspo_verdict_t *verdict, FILE *file)
{
    lspo_table_t table = score_table(verdict);
    return lspo_table_write(&table, LSPO_FORMAT_CSV, file);
}

static lspo_status_t write_json_text(const char *text, FILE *file)
{
    json_t *value = json_string(text);
    char *json = lspo_json_print(value, JSON_ENCODE_ANY);
    json_decref(value);
    if (!json)
        return lspo_no_memory("the result as JSON");
    fputs(json, file);
    free(json);
    return LSPO_OK;
}

/* The three tables are arrays; the object around them is written by hand. */
lspo_status_t lspo_validate_write_json(const lspo_verdict_t *verdict, FILE *file)
{
    lspo_field_t fields[FIELDS_MAX];
    lspo_own_field_t own[LSPO_OWN_CELLS_MAX];
    breakdown_record_t *records;
    lspo_table_t table;
    fputs("{\"calibration\": ", file);
    lspo_status_t status = write_json_text(verdict->calibration, file);
    if (status != LSPO_OK)
        return status;
    fputs(", \"breakdown\":\n", file);
    status = breakdown_table(verdict, fields, &records, &table);
    if (status != LSPO_OK)
        return status;
    status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    free(records);
    if (status != LSPO_OK)
        return status;
    fputs(", \"summary\":\n", file);
    table = score_table(verdict);
    status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    if (status != LSPO_OK)
        return status;
    fputs(", \"cells\":\n", file);
    table = cell_table(verdict, own, fields);
    status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    if (status != LSPO_OK)
        return status;
    fputs("}\n", file);
    return LSPO_OK;
}
