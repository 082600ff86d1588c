/* visits.c - see visits.h. */
#include "validate/visits.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/output_file.h"
#include "base/units.h"
#include "traces/accuracy.h"
#include "traces/median.h"

enum { PATH_BYTES = 1024, PREFIX_BYTES = 32 };
static const uint64_t file_bytes_max = (uint64_t)1 << 30;
static const char header[] = "round,disturbed,foreign_share,core_share,flags,samples_s";

/* Measurements */

lspo_status_t lspo_measurement_add(lspo_measurement_t *measurement, const lspo_visit_t *visit)
{
    lspo_visit_t *visits = realloc(measurement->visits, ((size_t)measurement->visit_count + 1) * sizeof *visits);
    if (visits == NULL)
        return lspo_no_memory("%u visits", measurement->visit_count + 1);
    visits[measurement->visit_count++] = *visit;
    measurement->visits = visits;
    return LSPO_OK;
}

void lspo_measurement_release(lspo_measurement_t *measurement)
{
    for (uint32_t i = 0; i < measurement->visit_count; i++)
        free(measurement->visits[i].samples_s);
    free(measurement->visits);
    *measurement = (lspo_measurement_t){0};
}

/* Only undisturbed visits count; if there are none, all do. */
static void count_samples(lspo_measurement_t *measurement)
{
    uint32_t calm = 0;
    for (uint32_t i = 0; i < measurement->visit_count; i++)
        calm += !measurement->visits[i].disturbed;
    measurement->disturbed = calm == 0 && measurement->visit_count > 0;
    measurement->counted_visits = measurement->disturbed ? measurement->visit_count : calm;
    measurement->sample_count = 0;
    for (uint32_t i = 0; i < measurement->visit_count; i++)
        if (measurement->disturbed || !measurement->visits[i].disturbed)
            measurement->sample_count += measurement->visits[i].sample_count;
}

/* Samples of one visit are more similar than those of different visits, seconds apart: a visit is one measurement, its
 * median. */
static lspo_status_t sum_up(lspo_measurement_t *measurement, double *samples_s, double *medians_s, uint32_t *turns)
{
    uint32_t used = 0, turn = 0;
    for (uint32_t i = 0; i < measurement->visit_count; i++) {
        const lspo_visit_t *visit = &measurement->visits[i];
        if (visit->disturbed && !measurement->disturbed)
            continue;
        medians_s[turn++] = lspo_median(visit->samples_s, visit->sample_count);
        for (uint32_t s = 0; s < visit->sample_count; s++, used++) {
            samples_s[used] = visit->samples_s[s];
            turns[used] = turn;
        }
    }
    measurement->median_s = lspo_median(medians_s, turn);
    lspo_status_t status = lspo_median_interval(medians_s, turn, 1, &measurement->low_s, &measurement->high_s);
    if (status != LSPO_OK)
        return status;
    return lspo_accuracy_noise(samples_s, turns, measurement->sample_count, &measurement->noise);
}

lspo_status_t lspo_measurement_update(lspo_measurement_t *measurement)
{
    count_samples(measurement);
    uint32_t count = measurement->sample_count;
    double *samples_s = malloc(((size_t)count + 1) * sizeof *samples_s);
    double *medians_s = malloc(((size_t)measurement->visit_count + 1) * sizeof *medians_s);
    uint32_t *turns = malloc(((size_t)count + 1) * sizeof *turns);
    lspo_status_t status = samples_s && medians_s && turns ? sum_up(measurement, samples_s, medians_s, turns)
                                                           : lspo_no_memory("%u samples", count);
    free(turns);
    free(medians_s);
    free(samples_s);
    return status;
}

/* The file */

const char *lspo_cell_trace_path(const lspo_cells_t *cells, uint32_t cell, const char *folder, size_t buffer_bytes,
                                 char *buffer)
{
    const lspo_cell_t *it = &cells->cells[cell];
    if (it->yardstick > 0 && it->cores > 1)
        snprintf(buffer, buffer_bytes, "%s/traces/yardstick-%u-%u.trace", folder, it->yardstick, it->cores);
    else if (it->yardstick > 0)
        snprintf(buffer, buffer_bytes, "%s/traces/yardstick-%u.trace", folder, it->yardstick);
    else if (it->number > 0)
        snprintf(buffer, buffer_bytes, "%s/traces/%u.trace", folder, it->number);
    else
        snprintf(buffer, buffer_bytes, "%s/traces/native-%u.trace", folder, it->group_number);
    return buffer;
}

/* What tells the visits of this cell from those of others: its flags, and of a yardstick on several cores their number
 * before ("2 cores "), since its flags are those of the one on a core. */
static size_t write_prefix(const lspo_cell_t *cell, char prefix[PREFIX_BYTES])
{
    prefix[0] = '\0';
    return cell->yardstick > 0 && cell->cores > 1
               ? (size_t)snprintf(prefix, PREFIX_BYTES, "%" PRIu32 " cores ", cell->cores)
               : 0;
}

static void write_visit(const lspo_cell_t *cell, const lspo_visit_t *visit, FILE *file)
{
    char prefix[PREFIX_BYTES];
    write_prefix(cell, prefix);
    fprintf(file, "%u,%s,%.4f,%.4f,%s%s,", visit->round, visit->disturbed ? "true" : "false", visit->foreign_share,
            visit->core_share, prefix, cell->flags);
    for (uint32_t i = 0; i < visit->sample_count; i++)
        fprintf(file, "%s%.9g", i > 0 ? " " : "", visit->samples_s[i]);
    fputc('\n', file);
}

lspo_status_t lspo_visits_write(const lspo_cells_t *cells, const lspo_measurement_t *measurements, const char *others,
                                const char *folder)
{
    char path[PATH_BYTES];
    lspo_output_t output;
    snprintf(path, sizeof path, "%s/visits.csv", folder);
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fprintf(output.file, "%s\n", header);
    for (uint32_t i = 0; i < cells->count; i++)
        for (uint32_t v = 0; v < measurements[i].visit_count; v++)
            write_visit(&cells->cells[i], &measurements[i].visits[v], output.file);
    fputs(others, output.file);
    return lspo_output_finish(&output, LSPO_OK);
}

static lspo_status_t parse_samples(const char *where, char *text, lspo_visit_t *visit)
{
    char *rest = text, *word;
    visit->samples_s = malloc((strlen(text) / 2 + 1) * sizeof *visit->samples_s);
    if (visit->samples_s == NULL)
        return lspo_no_memory("samples");
    while ((word = strsep(&rest, " ")) != NULL) {
        double sample_s = 0;
        lspo_status_t status = lspo_parse_quantity(where, word, LSPO_UNIT_NONE, &sample_s);
        if (status != LSPO_OK)
            return status;
        if (!(sample_s > 0))
            return lspo_error(LSPO_ERR_INPUT, "%s: sample '%s' must be above 0 s", where, word);
        visit->samples_s[visit->sample_count++] = sample_s;
    }
    return LSPO_OK;
}

/* The caller releases `visit`, also on failure. */
static lspo_status_t parse_visit(const char *where, char *line, lspo_visit_t *visit, char **flags_out)
{
    enum { ROUND, DISTURBED, FOREIGN, CORE, FLAGS, SAMPLES, FIELDS };
    char *fields[FIELDS], *rest = line;
    int64_t round = 0;
    for (int i = 0; i < FIELDS; i++)
        if ((fields[i] = strsep(&rest, ",")) == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s: expected a row of %s", where, header);
    lspo_status_t status = lspo_parse_integer(where, fields[ROUND], 1, UINT32_MAX, &round);
    if (status != LSPO_OK)
        return status;
    status = lspo_parse_quantity(where, fields[FOREIGN], LSPO_UNIT_NONE, &visit->foreign_share);
    if (status != LSPO_OK)
        return status;
    status = lspo_parse_quantity(where, fields[CORE], LSPO_UNIT_NONE, &visit->core_share);
    if (status != LSPO_OK)
        return status;
    visit->round = (uint32_t)round;
    visit->disturbed = strcmp(fields[DISTURBED], "true") == 0;
    *flags_out = fields[FLAGS];
    return parse_samples(where, fields[SAMPLES], visit);
}

static lspo_measurement_t *find_measurement(const lspo_cells_t *cells, const char *flags,
                                            lspo_measurement_t *measurements)
{
    for (uint32_t i = 0; i < cells->count; i++) {
        char prefix[PREFIX_BYTES];
        const size_t length = write_prefix(&cells->cells[i], prefix);
        if (strncmp(flags, prefix, length) == 0 && strcmp(flags + length, cells->cells[i].flags) == 0)
            return &measurements[i];
    }
    return NULL;
}

/* Assign one line to its cell, or copy it to `others`. */
static lspo_status_t read_visit(const lspo_cells_t *cells, const char *where, char *line,
                                lspo_measurement_t *measurements, FILE *others)
{
    char *flags = NULL, *whole = strdup(line);
    lspo_visit_t visit = {0};
    if (whole == NULL)
        return lspo_no_memory("a visit");
    lspo_status_t status = parse_visit(where, line, &visit, &flags);
    if (status != LSPO_OK)
        goto cleanup;
    lspo_measurement_t *measurement = find_measurement(cells, flags, measurements);
    if (measurement == NULL) {
        fprintf(others, "%s\n", whole);
        goto cleanup;
    }
    status = lspo_measurement_add(measurement, &visit);
    if (status != LSPO_OK)
        goto cleanup;
    visit.samples_s = NULL; /* now owned by the measurement */
cleanup:
    free(visit.samples_s);
    free(whole);
    return status;
}

static lspo_status_t read_visits(const lspo_cells_t *cells, const char *path, lspo_input_t *input,
                                 lspo_measurement_t *measurements, FILE *others)
{
    char *line = NULL, where[PATH_BYTES + 32];
    size_t length;
    lspo_status_t status = lspo_input_line(input, &line, &length); /* the names of the columns */
    while (status == LSPO_OK && line) {
        status = lspo_input_line(input, &line, &length);
        if (status != LSPO_OK || !line)
            return status;
        snprintf(where, sizeof where, "%s:%" PRIu64, path, lspo_input_line_number(input));
        status = read_visit(cells, where, line, measurements, others);
    }
    return status;
}

static lspo_status_t read_file(const lspo_cells_t *cells, const char *path, lspo_measurement_t *measurements,
                               FILE *others)
{
    lspo_input_t *input;
    lspo_status_t status = lspo_input_open(path, file_bytes_max, &input);
    if (status != LSPO_OK)
        return status;
    status = read_visits(cells, path, input, measurements, others);
    lspo_input_close(input);
    return status;
}

static uint32_t count_lines(const char *text)
{
    uint32_t lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

lspo_status_t lspo_visits_read(const lspo_cells_t *cells, const char *folder, lspo_measurement_t *measurements,
                               char **others_out)
{
    char path[PATH_BYTES], *others_text = NULL;
    size_t others_bytes;
    snprintf(path, sizeof path, "%s/visits.csv", folder);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        *others_out = NULL;
        return LSPO_OK;
    }
    FILE *others = open_memstream(&others_text, &others_bytes);
    if (others == NULL)
        return lspo_no_memory("reading %s", path);
    lspo_status_t status = read_file(cells, path, measurements, others);
    const bool written = fclose(others) == 0;
    if (status != LSPO_OK)
        goto failed;
    if (!written) {
        status = lspo_no_memory("reading %s", path);
        goto failed;
    }
    for (uint32_t i = 0; i < cells->count; i++) {
        status = lspo_measurement_update(&measurements[i]);
        if (status != LSPO_OK)
            goto failed;
    }
    if (others_text[0] != '\0')
        lspo_warn(
            "%u visits in %s do not count: their cells, rates or flags differ from those of this grid and profile",
            count_lines(others_text), path);
    *others_out = others_text;
    return LSPO_OK;
failed:
    free(others_text);
    return status;
}
