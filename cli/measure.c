/* measure.c - see measure.h. */
#include "cli/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/csv_file.h"
#include "base/words.h"
#include "validate/child.h"

enum { WORDS_MAX = 256, WORDS_OURS = 10, RESULT_BYTES_MAX = 1 << 20 };

#define REAL(name, field, unit)                                                                                        \
    {                                                                                                                  \
        name, LSPO_FIELD_REAL, unit, offsetof(lspo_run_measured_t, field)                                              \
    }
#define INTEGER(name, field, unit)                                                                                     \
    {                                                                                                                  \
        name, LSPO_FIELD_INTEGER, unit, offsetof(lspo_run_measured_t, field)                                           \
    }
static const lspo_field_t measured_fields[LSPO_MEASURED_FIELDS] = {
    REAL("measured_iteration_s", iteration_s, LSPO_UNIT_SECONDS),
    REAL("measured_iteration_low_s", low_s, LSPO_UNIT_SECONDS),
    REAL("measured_iteration_high_s", high_s, LSPO_UNIT_SECONDS),
    INTEGER("measured_sample_count", sample_count, LSPO_UNIT_NONE),
    INTEGER("measured_peak_gpu_bytes", peak_gpu_bytes, LSPO_UNIT_BYTES),
    INTEGER("measured_peak_host_bytes", peak_host_bytes, LSPO_UNIT_BYTES),
    INTEGER("measured_peak_total_bytes", peak_total_bytes, LSPO_UNIT_BYTES),
    REAL("time_error", time_error, LSPO_UNIT_NONE),
    REAL("peak_gpu_error", peak_gpu_error, LSPO_UNIT_NONE),
    REAL("peak_total_error", peak_total_error, LSPO_UNIT_NONE),
};

void lspo_run_measured_fields(size_t offset_bytes, lspo_field_t fields_out[LSPO_MEASURED_FIELDS])
{
    for (size_t i = 0; i < LSPO_MEASURED_FIELDS; i++) {
        fields_out[i] = measured_fields[i];
        fields_out[i].offset_bytes += offset_bytes;
    }
}

void lspo_run_measured_clear(lspo_run_measured_t *measured_out)
{
    *measured_out = (lspo_run_measured_t){.iteration_s = NAN,
                                          .low_s = NAN,
                                          .high_s = NAN,
                                          .sample_count = LSPO_MISSING,
                                          .peak_gpu_bytes = LSPO_MISSING,
                                          .peak_host_bytes = LSPO_MISSING,
                                          .peak_total_bytes = LSPO_MISSING,
                                          .card_bytes = LSPO_MISSING,
                                          .time_error = NAN,
                                          .peak_gpu_error = NAN,
                                          .peak_total_error = NAN};
}

lspo_status_t lspo_bench_open(const char *path, lspo_bench_t *bench)
{
    if (asprintf(&bench->output, "%s.run.csv", path) < 0)
        bench->output = NULL;
    if (asprintf(&bench->log, "%s.run.log", path) < 0)
        bench->log = NULL;
    return bench->output != NULL && bench->log != NULL ? LSPO_OK : lspo_no_memory("the names of files");
}

void lspo_bench_release(lspo_bench_t *bench)
{
    if (bench->output != NULL)
        unlink(bench->output);
    if (bench->log != NULL)
        unlink(bench->log);
    free(bench->output);
    free(bench->log);
    *bench = (lspo_bench_t){0};
}

/* "lspo run --timing-only --format csv FLAGS --device D"; `text` are the flags, which are cut into words. */
static lspo_status_t write_command(const lspo_bench_t *bench, char *text, char *argv[WORDS_MAX + WORDS_OURS])
{
    size_t count = 0;
    char *ours[] = {"lspo", "run", "--timing-only", "--format", "csv"}, *device[] = {"--device", (char *)bench->device};
    size_t begin = sizeof ours / sizeof ours[0];
    lspo_status_t status = lspo_words_split("lspo run", text, WORDS_MAX, argv + begin, &count);
    if (status != LSPO_OK)
        return status;
    memcpy(argv, ours, sizeof ours);
    count += begin;
    if (bench->device != NULL) {
        memcpy(argv + count, device, sizeof device);
        count += sizeof device / sizeof device[0];
    }
    argv[count] = NULL;
    return LSPO_OK;
}

static double number_of(const lspo_csv_t *csv, const char *name)
{
    size_t column = lspo_csv_column(csv, name);
    const char *text = column < csv->column_count ? lspo_csv_cell(csv, 0, column) : "";
    char *end;
    double number = strtod(text, &end);
    return end != text ? number : (double)NAN;
}

static uint64_t count_of(const lspo_csv_t *csv, const char *name)
{
    double number = number_of(csv, name);
    return isnan(number) ? LSPO_MISSING : (uint64_t)number;
}

static lspo_status_t read_result(const char *path, lspo_run_measured_t *measured_out)
{
    lspo_csv_t csv;
    lspo_status_t status = lspo_csv_read(path, RESULT_BYTES_MAX, &csv);
    if (status != LSPO_OK)
        return status;
    lspo_run_measured_clear(measured_out);
    if (csv.row_count == 1) {
        measured_out->iteration_s = number_of(&csv, "iteration_s");
        measured_out->low_s = number_of(&csv, "iteration_low_s");
        measured_out->high_s = number_of(&csv, "iteration_high_s");
        measured_out->sample_count = count_of(&csv, "sample_count");
        measured_out->peak_gpu_bytes = count_of(&csv, "peak_gpu_bytes");
        measured_out->peak_host_bytes = count_of(&csv, "peak_host_bytes");
        measured_out->peak_total_bytes = count_of(&csv, "peak_total_bytes");
        measured_out->card_bytes = count_of(&csv, "card_bytes");
    }
    lspo_csv_release(&csv);
    return LSPO_OK;
}

static lspo_status_t explain(const lspo_bench_t *bench, int code)
{
    char line[512];
    if (atomic_load(bench->stop) || code == lspo_status_exit_code(LSPO_ERR_INTERRUPTED))
        return LSPO_ERR_INTERRUPTED;
    if (code > 128)
        return lspo_error(LSPO_ERR_CHECK, "lspo run ended by signal %d", code - 128);
    lspo_child_last_line(bench->log, line, sizeof line);
    return lspo_error(LSPO_ERR_CHECK, "lspo run: exit code %d: %s", code, line);
}

lspo_status_t lspo_bench_measure(const lspo_bench_t *bench, const char *flags, lspo_run_measured_t *measured_out)
{
    char *argv[WORDS_MAX + WORDS_OURS], *text = strdup(flags);
    int code = 0;
    double cpu_s;
    if (text == NULL)
        return lspo_no_memory("a run");
    lspo_status_t status = write_command(bench, text, argv);
    if (status == LSPO_OK)
        status = lspo_child_run(
            &(lspo_child_t){.argv = argv, .output = bench->output, .log = bench->log, .stop = bench->stop}, &code,
            &cpu_s);
    free(text);
    if (status == LSPO_OK && code != 0)
        status = explain(bench, code);
    return status == LSPO_OK ? read_result(bench->output, measured_out) : status;
}
