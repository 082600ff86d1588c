/* expect.c - see expect.h. */
#include "plan/expect.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/presets.h"

const char *const lspo_band_kind_names[LSPO_BAND_KIND_COUNT + 1] = {"native", "peft", "offload", NULL};
const char *const lspo_expect_basis_names[] = {"calibrated", "framework", "kind"};

/* docs/validation.md: 95 of 100 of so many plans on a calibrated host were predicted this well. */
static const double calibrated_error = 0.063;
enum { CALIBRATED_PLANS = 93 };
/* 95 of 100 draws of a normal distribution are within so many standard deviations. */
static const double normal_95 = 1.96;

static const char bands_folder[] = "experiments/published", bands_name[] = "bands.csv";
static const char bands_header[] = "kind,framework,machine,rows,mean_error,low,high";
enum { BAND_CELLS = 7, LINE_BYTES = 256 };

lspo_band_kind_t lspo_band_kind(const lspo_plan_t *plan)
{
    if (plan->gradient_form == LSPO_FORM_ADAPTER)
        return LSPO_BAND_PEFT;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        lspo_lane_kind_t kind = (lspo_lane_kind_t)plan->lanes.list[plan->ops[i].lane].kind;
        if (kind == LSPO_LANE_D2H || kind == LSPO_LANE_H2D)
            return LSPO_BAND_OFFLOAD;
    }
    return LSPO_BAND_NATIVE;
}

size_t lspo_expect_machine_length(const char *machine_name)
{
    return strcspn(machine_name, "+");
}

/* Bands */

typedef struct {
    uint64_t rows;
    double mean_error, low, high;
} band_t;

/* Cut a line at its commas; false if it has another number of cells. */
static bool split(char *line, char *cells[BAND_CELLS])
{
    size_t count = 0;
    for (char *cell; (cell = strsep(&line, ",")) != NULL;) {
        if (count == BAND_CELLS)
            return false;
        cells[count++] = cell;
    }
    return count == BAND_CELLS;
}

static bool is_name(const char *cell, const char *name, size_t length)
{
    return strlen(cell) == length && strncmp(cell, name, length) == 0;
}

/* The band of a kind with this framework and machine ("": all); rows 0: there is none. */
static lspo_status_t find_band(const char *kind, const char *framework, const char *machine, size_t machine_length,
                               band_t *band_out)
{
    const lspo_preset_t *preset = lspo_preset_find(bands_folder, bands_name);
    char line[LINE_BYTES], *cells[BAND_CELLS];
    *band_out = (band_t){0};
    size_t header = strlen(bands_header);
    if (preset == NULL || strncmp(preset->text, bands_header, header) != 0)
        return lspo_error(LSPO_ERR_INTERNAL, "%s/%s does not begin with %s", bands_folder, bands_name, bands_header);
    for (const char *at = preset->text + header; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        at += length + (at[length] == '\n');
        if (length == 0)
            continue;
        if (length >= sizeof line || !split(line, cells))
            return lspo_error(LSPO_ERR_INTERNAL, "%s: not a band: %s", preset->path, line);
        if (strcmp(cells[0], kind) != 0 || strcmp(cells[1], framework) != 0 ||
            !is_name(cells[2], machine, machine_length))
            continue;
        *band_out = (band_t){strtoull(cells[3], NULL, 10), strtod(cells[4], NULL), strtod(cells[5], NULL),
                             strtod(cells[6], NULL)};
        return LSPO_OK;
    }
    return LSPO_OK;
}

/* 95 of 100 predictions, and how far a single run is from the median of many, which is lognormal: both are distances of
 * logarithms, so however noisy a machine is, the band grows with it. */
static lspo_expect_t expect_calibrated(const lspo_machine_t *machine)
{
    double run = normal_95 * machine->noise.run_sigma;
    return (lspo_expect_t){.basis = LSPO_EXPECT_CALIBRATED,
                           .low = exp(-hypot(log1p(calibrated_error), run)),
                           .high = exp(hypot(log1p(-calibrated_error), run)),
                           .rows = CALIBRATED_PLANS,
                           .mean_error = calibrated_error};
}

static lspo_status_t expect_published(const lspo_machine_t *machine, lspo_band_kind_t kind, lspo_expect_t *expect_out)
{
    const char *kind_name = lspo_band_kind_names[kind];
    band_t all, framework, own;
    lspo_status_t status = find_band(kind_name, "", "", 0, &all);
    if (status != LSPO_OK)
        return status;
    status = find_band(kind_name, lspo_machine_framework(machine), "", 0, &framework);
    if (status != LSPO_OK)
        return status;
    status = find_band(kind_name, "", machine->name, lspo_expect_machine_length(machine->name), &own);
    if (status != LSPO_OK)
        return status;
    bool enough = framework.rows >= LSPO_BAND_ROWS_LEAST;
    const band_t *band = enough ? &framework : &all;
    *expect_out = (lspo_expect_t){.basis = enough ? LSPO_EXPECT_STEPS : LSPO_EXPECT_KIND,
                                  .low = band->low,
                                  .high = band->high,
                                  .rows = band->rows,
                                  .mean_error = band->mean_error,
                                  .framework_rows = framework.rows,
                                  .machine_rows = own.rows,
                                  .machine_error = own.mean_error};
    if (enough && own.rows >= LSPO_BAND_ROWS_LEAST) {
        expect_out->low = fmin(band->low, own.low);
        expect_out->high = fmax(band->high, own.high);
    }
    return LSPO_OK;
}

lspo_status_t lspo_expect(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_expect_t *expect_out)
{
    lspo_band_kind_t kind = lspo_band_kind(plan);
    bool calibrated = strcmp(machine->evidence, "calibrated") == 0;
    lspo_status_t status = LSPO_OK;
    if (calibrated && strcmp(lspo_machine_framework(machine), "lspo") == 0)
        *expect_out = expect_calibrated(machine);
    else
        status = expect_published(machine, kind, expect_out);
    if (status == LSPO_OK)
        expect_out->kind = kind;
    return status;
}

/* Sentences */

/* What the profile rests on. */
static const char *profile_words(const lspo_machine_t *machine)
{
    static const struct {
        const char *evidence, *words;
    } table[] = {{"calibrated", "calibrated profile"},
                 {"published rows", "profile fitted to published steps"},
                 {"fitted", "fitted profile"},
                 {"data sheet", "data-sheet profile"},
                 {"assumed", "assumed profile"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(machine->evidence, table[i].evidence) == 0)
            return table[i].words;
    return "profile that does not say what it rests on";
}

/* Does nothing of the kind bear on the framework, or too little? */
static void describe_too_few(const lspo_expect_t *expect, const lspo_machine_t *machine, const char *low,
                             const char *high, size_t text_bytes, char *text)
{
    char found[64];
    const char *kind = lspo_band_kind_names[expect->kind];
    if (expect->framework_rows == 0)
        snprintf(found, sizeof found, "No published %s step bears", kind);
    else
        snprintf(found, sizeof found, "Only %" PRIu64 " published %s step%s bear%s", expect->framework_rows, kind,
                 expect->framework_rows == 1 ? "" : "s", expect->framework_rows == 1 ? "s" : "");
    snprintf(text, text_bytes, "%s on framework %s: no band of its own; that of all %" PRIu64 " is %s to %s (%s).",
             found, lspo_machine_framework(machine), expect->rows, low, high, profile_words(machine));
}

/* A band may lie beside the prediction. */
static const char *side_words(const lspo_expect_t *expect)
{
    if (expect->low > 1)
        return ", most of them longer than predicted";
    return expect->high < 1 ? ", most of them shorter than predicted" : "";
}

void lspo_expect_describe(const lspo_expect_t *expect, const lspo_machine_t *machine, double predicted_s,
                          size_t text_bytes, char *text_out)
{
    char low[32], high[32], own[LSPO_NAME_BYTES + 64] = "";
    lspo_format_quantity(predicted_s * expect->low, LSPO_UNIT_SECONDS, low, sizeof low);
    lspo_format_quantity(predicted_s * expect->high, LSPO_UNIT_SECONDS, high, sizeof high);
    switch (expect->basis) {
    case LSPO_EXPECT_CALIBRATED:
        snprintf(text_out, text_bytes,
                 "Expect %s to %s: calibrated profile; 95 of 100 predictions for a calibrated host were within %.1f "
                 "%%%s.",
                 low, high, 100 * expect->mean_error,
                 machine->gpu.context_bytes > 0 ? ", and none for a GPU has been compared" : "");
        return;
    case LSPO_EXPECT_STEPS:
        if (expect->machine_rows >= LSPO_BAND_ROWS_LEAST)
            snprintf(own, sizeof own, "; machine %.*s, %.0f %% on %" PRIu64,
                     (int)lspo_expect_machine_length(machine->name), machine->name, 100 * expect->machine_error,
                     expect->machine_rows);
        snprintf(text_out, text_bytes,
                 "Expect %s to %s: %s; framework %s, %.0f %% mean error on %" PRIu64 " published %s steps%s%s.", low,
                 high, profile_words(machine), lspo_machine_framework(machine), 100 * expect->mean_error, expect->rows,
                 lspo_band_kind_names[expect->kind], side_words(expect), own);
        return;
    case LSPO_EXPECT_KIND:
        describe_too_few(expect, machine, low, high, text_bytes, text_out);
        return;
    }
}
