/* published_bands.c - how measured / predicted is spread over groups of published steps; plan/expect.h has the
 * columns and reads the file. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "plan/expect.h"
#include "validate/published.h"

static const double low_share = 0.1, high_share = 0.9;

typedef struct {
    const char *kind, *framework, *machine; /* "": all */
    uint64_t rows;
    double mean_error, low, high;
} band_t;

/* The steps, and which of their predictions count. */
typedef struct {
    const lspo_published_t *published;
    bool left_out;  /* those by frameworks that were fitted without the step's source */
    double *ratios; /* room for all steps */
} steps_t;

static const lspo_field_t band_fields[] = {
    {"kind", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(band_t, kind)},
    {"framework", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(band_t, framework)},
    {"machine", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(band_t, machine)},
    {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(band_t, rows)},
    {"mean_error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(band_t, mean_error)},
    {"low", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(band_t, low)},
    {"high", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(band_t, high)},
};

/* Micro-batches are those of a native training. */
static const char *kind_of(const lspo_published_row_t *row)
{
    return strcmp(row->kind, "micro") == 0 ? lspo_band_kind_names[LSPO_BAND_NATIVE] : row->kind;
}

static const char *framework_of(const lspo_published_t *published, const lspo_published_row_t *row)
{
    return row->framework[0] != '\0' ? row->framework
                                     : lspo_machine_framework(&published->profiles[row->profile].machine);
}

/* The name of its machine without a host. */
static bool has_machine(const lspo_published_t *published, const lspo_published_row_t *row, const char *machine)
{
    const char *name = published->profiles[row->profile].machine.name;
    size_t length = lspo_expect_machine_length(name);
    return strlen(machine) == length && strncmp(machine, name, length) == 0;
}

static bool belongs(const lspo_published_t *published, const lspo_published_row_t *row, const band_t *band)
{
    return strcmp(kind_of(row), band->kind) == 0 &&
           (band->framework[0] == '\0' || strcmp(framework_of(published, row), band->framework) == 0) &&
           (band->machine[0] == '\0' || has_machine(published, row, band->machine));
}

static int by_value(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* Between the two nearest of sorted values. */
static double percentile(const double *values, uint64_t count, double share)
{
    double at = share * (double)(count - 1);
    uint64_t below = (uint64_t)at;
    uint64_t above = below + 1 < count ? below + 1 : below;
    return values[below] + (at - (double)below) * (values[above] - values[below]);
}

/* Three digits: more would be noise, and differ between compilers. */
static double rounded(double value)
{
    return round(1000 * value) / 1000;
}

/* Fill the numbers of a band. */
static void measure(const steps_t *steps, band_t *band)
{
    for (uint32_t i = 0; i < steps->published->row_count; i++) {
        const lspo_published_row_t *row = &steps->published->rows[i];
        if (!belongs(steps->published, row, band))
            continue;
        steps->ratios[band->rows++] = row->measured_s / (steps->left_out ? row->left_out_s : row->predicted_s);
        band->mean_error += fabs(steps->left_out ? row->left_out_error : row->error);
    }
    if (band->rows == 0)
        return;
    qsort(steps->ratios, band->rows, sizeof steps->ratios[0], by_value);
    band->mean_error = rounded(band->mean_error / (double)band->rows);
    band->low = rounded(percentile(steps->ratios, band->rows, low_share));
    band->high = rounded(percentile(steps->ratios, band->rows, high_share));
}

/* A band counts once, and not without rows. */
static size_t add_band(const steps_t *steps, band_t band, band_t *bands, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(bands[i].kind, band.kind) == 0 && strcmp(bands[i].framework, band.framework) == 0 &&
            strcmp(bands[i].machine, band.machine) == 0)
            return count;
    measure(steps, &band);
    bands[count] = band;
    return count + (band.rows > 0);
}

/* Those of a kind: all rows, then frameworks, then machines, in the order of the file.  `machines` are by profile. */
static size_t add_kind(const steps_t *steps, const char *kind, char *const *machines, band_t *bands)
{
    const lspo_published_t *published = steps->published;
    size_t count = add_band(steps, (band_t){.kind = kind, .framework = "", .machine = ""}, bands, 0);
    for (uint32_t i = 0; i < published->row_count; i++)
        if (strcmp(kind_of(&published->rows[i]), kind) == 0)
            count = add_band(
                steps, (band_t){.kind = kind, .framework = framework_of(published, &published->rows[i]), .machine = ""},
                bands, count);
    for (uint32_t i = 0; i < published->row_count; i++)
        if (strcmp(kind_of(&published->rows[i]), kind) == 0)
            count = add_band(steps,
                             (band_t){.kind = kind, .framework = "", .machine = machines[published->rows[i].profile]},
                             bands, count);
    return count;
}

static void release_machines(uint32_t count, char **machines)
{
    for (uint32_t i = 0; machines != NULL && i < count; i++)
        free(machines[i]);
    free(machines);
}

/* By profile; the caller releases them. */
static lspo_status_t name_machines(const lspo_published_t *published, char ***machines_out)
{
    char **machines = calloc(published->profile_count, sizeof *machines);
    if (machines == NULL)
        return lspo_no_memory("names of machines");
    for (uint32_t i = 0; i < published->profile_count; i++) {
        const char *name = published->profiles[i].machine.name;
        machines[i] = strndup(name, lspo_expect_machine_length(name));
        if (machines[i] == NULL) {
            release_machines(i, machines);
            return lspo_no_memory("names of machines");
        }
    }
    *machines_out = machines;
    return LSPO_OK;
}

lspo_status_t lspo_published_write_bands(const lspo_published_t *published, bool left_out, FILE *file)
{
    size_t room = LSPO_BAND_KIND_COUNT * (1 + 2 * (size_t)published->row_count), count = 0;
    char **machines = NULL;
    lspo_status_t status = name_machines(published, &machines);
    if (status != LSPO_OK)
        return status;
    steps_t steps = {published, left_out, calloc(published->row_count, sizeof(double))};
    band_t *bands = calloc(room, sizeof *bands);
    if (steps.ratios == NULL || bands == NULL) {
        status = lspo_no_memory("bands of %u published steps", published->row_count);
        goto cleanup;
    }
    for (int kind = 0; kind < LSPO_BAND_KIND_COUNT; kind++)
        count += add_kind(&steps, lspo_band_kind_names[kind], machines, bands + count);
    lspo_table_t table = {band_fields, sizeof band_fields / sizeof band_fields[0], bands, sizeof *bands, count};
    status = lspo_table_write(&table, LSPO_FORMAT_CSV, file);
cleanup:
    free(bands);
    free(steps.ratios);
    release_machines(published->profile_count, machines);
    return status;
}
