/* report.c - see report.h. */
#include "real/calibrate/report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

static double field_value(const lspo_machine_t *machine, size_t field)
{
    double value;
    memcpy(&value, (const char *)machine + lspo_machine_fields[field].offset_bytes, sizeof value);
    return value;
}

/* Relative if meaningful, otherwise in the field's unit. */
static void format_error(const lspo_machine_field_t *field, double value, double error, char *text, size_t text_bytes)
{
    char quantity[48];
    if (isnan(error))
        snprintf(text, text_bytes, "%s", "");
    else if (value > 0 && error < value)
        snprintf(text, text_bytes, "+- %.2g %%", 100 * error / value);
    else
        snprintf(text, text_bytes, "+- %s", lspo_format_quantity(error, field->unit, quantity, sizeof quantity));
}

lspo_status_t lspo_calibration_write_profile(const lspo_calibration_result_t *result, const char *comment, FILE *file)
{
    const char *notes[LSPO_MACHINE_FIELDS_MAX] = {NULL};
    char texts[LSPO_MACHINE_FIELDS_MAX][80];
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_calibration_error_t *error = &result->errors[i];
        char known[48];
        if (error->samples == 0)
            continue;
        format_error(&lspo_machine_fields[i], field_value(&result->machine, i), error->standard_error, known,
                     sizeof known);
        snprintf(texts[i], sizeof texts[i], "%s%s%u sample%s", known, *known ? ", " : "", error->samples,
                 error->samples == 1 ? "" : "s");
        notes[i] = texts[i];
    }
    return lspo_machine_write(&result->machine, comment, notes, file);
}

lspo_status_t lspo_calibration_write_samples(const lspo_calibration_result_t *result, FILE *file)
{
    fputs("kind,shape,repeat,time_s,fitted_s,residual\n", file);
    for (size_t i = 0; i < result->sample_count; i++) {
        const lspo_calibration_sample_t *sample = &result->samples[i];
        fprintf(file, "%s,%s,%u,%.9g,", sample->kind, sample->shape, sample->repeat, sample->time_s);
        if (sample->fitted_s > 0)
            fprintf(file, "%.9g,%.6g\n", sample->fitted_s, sample->time_s / sample->fitted_s - 1);
        else
            fputs(",\n", file);
    }
    return ferror(file) ? lspo_error(LSPO_ERR_IO, "cannot write the samples") : LSPO_OK;
}

/* ---- report ---- */

typedef struct {
    char parameter[64], shown[48], known[48];
    const char *parameter_text, *shown_text, *unit, *known_text;
    double value, standard_error;
    uint64_t samples;
} report_row_t;

static const char *unit_name(lspo_unit_t unit)
{
    switch (unit) {
    case LSPO_UNIT_BYTES:
        return "B";
    case LSPO_UNIT_BPS:
        return "B/s";
    case LSPO_UNIT_SECONDS:
        return "s";
    case LSPO_UNIT_FLOPS:
        return "FLOP/s";
    case LSPO_UNIT_PPS:
        return "1/s";
    default:
        return "1";
    }
}

static void fill_row(const lspo_calibration_result_t *result, size_t i, report_row_t *row)
{
    const lspo_machine_field_t *field = &lspo_machine_fields[i];
    row->value = field_value(&result->machine, i);
    row->standard_error = result->errors[i].standard_error;
    row->samples = result->errors[i].samples;
    row->unit = unit_name(field->unit);
    snprintf(row->parameter, sizeof row->parameter, "%s.%s", field->section, field->key);
    lspo_format_quantity(row->value, field->unit, row->shown, sizeof row->shown);
    format_error(field, row->value, row->standard_error, row->known, sizeof row->known);
}

static void fill_counted(const char *name, const char *unit, double value, report_row_t *row)
{
    row->value = value;
    row->standard_error = NAN;
    row->samples = 1;
    row->unit = unit;
    snprintf(row->parameter, sizeof row->parameter, "%s", name);
    snprintf(row->shown, sizeof row->shown, "%.4g", value);
}

static size_t fill_rows(const lspo_calibration_result_t *result, report_row_t *rows)
{
    size_t count = 0;
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (result->errors[i].samples > 0)
            fill_row(result, i, &rows[count++]);
    if (!isnan(result->counted_bytes)) {
        fill_counted("counted bytes / model's", "1", result->counted_bytes / result->counted_model_bytes,
                     &rows[count++]);
        fill_counted("counted cycles a byte", "1", result->counted_cycles / result->counted_model_bytes,
                     &rows[count++]);
    }
    for (size_t i = 0; i < count; i++) { /* a table reads texts by pointer */
        rows[i].parameter_text = rows[i].parameter;
        rows[i].shown_text = rows[i].shown;
        rows[i].known_text = rows[i].known;
    }
    return count;
}

lspo_status_t lspo_calibration_report(const lspo_calibration_result_t *result, lspo_format_t format, FILE *file)
{
    static const lspo_field_t people[] = {
        {"parameter", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(report_row_t, parameter_text)},
        {"value", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(report_row_t, shown_text)},
        {"standard_error", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(report_row_t, known_text)},
        {"samples", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(report_row_t, samples)},
    };
    static const lspo_field_t machines[] = {
        {"parameter", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(report_row_t, parameter_text)},
        {"value", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(report_row_t, value)},
        {"unit", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(report_row_t, unit)},
        {"standard_error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(report_row_t, standard_error)},
        {"samples", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(report_row_t, samples)},
    };
    report_row_t *rows = calloc(LSPO_MACHINE_FIELDS_MAX + 2, sizeof *rows);
    if (!rows)
        return lspo_no_memory("the report");
    bool table = format == LSPO_FORMAT_TABLE;
    const lspo_table_t records = {table ? people : machines, table ? 4U : 5U, rows, sizeof *rows,
                                  fill_rows(result, rows)};
    lspo_status_t status = lspo_table_write(&records, format, file);
    free(rows);
    return status;
}
