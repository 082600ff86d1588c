/* validate.c - predict, measure, judge; see validate.h. */
#include "validate/validate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "base/input_file.h"
#include "base/interrupt.h"
#include "validate/child.h"
#include "validate/measure.h"
#include "validate/now.h"

enum { PATH_BYTES = 1024, CALIBRATION_BYTES = 1024 };

/* A copy uses at most this share of a core, so that it does not disturb the other lanes of the host device. */
static const double host_link_share_most = 0.09;

static lspo_status_t make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return lspo_error(lspo_status_of_mkdir(errno), "%s: cannot make the folder: %s", path, strerror(errno));
    return LSPO_OK;
}

static lspo_status_t make_folders(const char *folder)
{
    char traces[PATH_BYTES];
    snprintf(traces, sizeof traces, "%s/traces", folder);
    lspo_status_t status = make_folder(folder);
    if (status != LSPO_OK)
        return status;
    return make_folder(traces);
}

/* The comment at the top of a profile, which says who measured it; empty if there is none.  The profile was read
 * before. */
static void first_comment(const char *path, char *comment, size_t comment_bytes)
{
    lspo_input_t *input;
    char *line = NULL;
    size_t length;
    comment[0] = '\0';
    if (lspo_input_open(path, UINT64_MAX, &input) != LSPO_OK)
        return;
    if (lspo_input_line(input, &line, &length) == LSPO_OK && line && (line[0] == ';' || line[0] == '#'))
        snprintf(comment, comment_bytes, "%s", line + strspn(line, ";# "));
    lspo_input_close(input);
}

/* Print which profile is used, how old it is, and that it is older than all measurements.  The profile has been read:
 * it is a preset if there is no such file. */
static void describe_calibration(const lspo_validate_options_t *options, char text[CALIBRATION_BYTES])
{
    char visits[PATH_BYTES], comment[512], date[64];
    struct stat profile, measured;
    if (stat(options->machine, &profile) != 0) {
        snprintf(text, CALIBRATION_BYTES, "predicted by the preset %s, which has seen none of these cells",
                 options->machine);
        return;
    }
    struct tm local;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", localtime_r(&profile.st_mtime, &local));
    first_comment(options->machine, comment, sizeof comment);
    snprintf(visits, sizeof visits, "%s/visits.csv", options->folder);
    bool newer = options->resume && stat(visits, &measured) == 0 && profile.st_mtime > measured.st_mtime;
    snprintf(text, CALIBRATION_BYTES, "predicted by %s of %s (%s), %s", options->machine, date,
             comment[0] != '\0' ? comment : "it does not say who measured it",
             newer ? "which is NEWER than measurements that are used here"
                   : "made before any of these cells was measured");
}

/* The profile, and with --ablate a variant without each part of the model. */
static lspo_status_t read_variants(const lspo_validate_options_t *options, lspo_variants_t *variants)
{
    static const char *const parts[] = {"contention", "shapes", "latency", "cache"};
    static const char *const names[] = {"no_contention", "no_shapes", "no_latency", "no_cache"};
    *variants = (lspo_variants_t){.count = 1, .names = {"lspo"}, .read_flags = options->read_flags};
    for (size_t i = 0; options->ablate && i < sizeof parts / sizeof parts[0]; i++) {
        variants->parts[variants->count] = parts[i];
        variants->names[variants->count++] = names[i];
    }
    return lspo_machine_find(options->machine, &variants->machine);
}

/* Remove traces of an earlier session, which would be taken for this one's. */
static void remove_traces(const lspo_cells_t *cells, const char *folder)
{
    char path[PATH_BYTES];
    for (uint32_t i = 0; i < cells->count; i++)
        unlink(lspo_cell_trace_path(cells, i, folder, sizeof path, path));
}

static lspo_status_t measure(const lspo_validate_options_t *options, const lspo_cells_t *cells,
                             const lspo_topology_t *topology, lspo_measurement_t *measurements)
{
    lspo_measure_options_t rounds = {.machine = options->machine,
                                     .device = options->device,
                                     .text_path = options->text_path,
                                     .folder = options->folder,
                                     .topology = topology,
                                     .interval = options->interval,
                                     .budget_s = options->budget_s,
                                     .visits_least = 2,
                                     .others = "",
                                     .stop = lspo_interrupt_catch(),
                                     .progress = options->progress,
                                     .progress_context = options->progress_context};
    char *others = NULL;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < cells->count; i++) {
        status = lspo_measurement_update(&measurements[i]);
        if (status != LSPO_OK)
            return status;
    }
    if (options->resume)
        status = lspo_visits_read(cells, options->folder, measurements, &others);
    else
        remove_traces(cells, options->folder);
    if (status != LSPO_OK)
        return status;
    if (others != NULL)
        rounds.others = others;
    status = lspo_validate_measure(cells, &rounds, measurements);
    free(others);
    return status;
}

/* NaN in traces of before. */
static double bytes_of(const lspo_trace_t *trace, const char *key)
{
    const char *text = lspo_trace_meta(trace, key);
    return text != NULL ? strtod(text, NULL) : (double)NAN;
}

/* A cell that was not measured has no trace, and no breakdown. */
static lspo_status_t break_down(const lspo_cells_t *cells, const char *folder, lspo_breakdown_t *breakdowns,
                                lspo_outcome_t *outcomes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cells->count; i++) {
        char path[PATH_BYTES];
        lspo_trace_t *measured;
        if (cells->cells[i].number == 0)
            continue;
        lspo_outcome_t *outcome = &outcomes[count];
        lspo_breakdown_t *breakdown = &breakdowns[count++];
        lspo_cell_trace_path(cells, i, folder, sizeof path, path);
        if (access(path, F_OK) != 0)
            continue;
        lspo_status_t status = lspo_trace_read(path, &measured);
        if (status != LSPO_OK)
            return status;
        outcome->measured_peak_gpu_bytes = bytes_of(measured, "peak_gpu_bytes");
        outcome->measured_peak_total_bytes = bytes_of(measured, "peak_total_bytes");
        status = lspo_validate_breakdown(&cells->cells[i], measured, breakdown);
        lspo_trace_destroy(measured);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The baseline computes on fewer cores, at another speed. */
static void compare_with_native(const lspo_variants_t *variants, const lspo_cell_t *native, lspo_cell_t *cell)
{
    for (uint32_t v = 0; v < variants->count && native->cores != cell->cores; v++)
        cell->slowdown[v] = cell->iteration_s[v] / native->iteration_s[v];
}

/* Predictions for the machine now, for each cell while as many cores compute.  A baseline comes
 * before its cells. */
static lspo_status_t follow_the_machine(const lspo_variants_t *variants, const lspo_measurement_t *measurements,
                                        lspo_cells_t *cells)
{
    lspo_now_t known[LSPO_CHILDREN_MAX + 1] = {0}; /* by cores; speed 0: not known yet */
    for (uint32_t i = 0; cells->yardsticks > 0 && i < cells->count; i++) {
        lspo_cell_t *cell = &cells->cells[i];
        lspo_now_t *now = &known[cell->cores];
        lspo_status_t status = LSPO_OK;
        if (!(now->speed > 0))
            status = lspo_validate_now(cells, &variants->machine, measurements, cell->cores, now);
        if (status == LSPO_OK)
            status = lspo_validate_predict_at(variants, now, cell);
        cell->now = *now;
        if (status != LSPO_OK)
            return status;
        compare_with_native(variants, &cells->cells[cell->native], cell);
    }
    return LSPO_OK;
}

/* Score, write and judge. */
static lspo_status_t give_verdict(const lspo_validate_options_t *options, lspo_verdict_t *verdict)
{
    lspo_status_t status = lspo_validate_score(verdict);
    if (status != LSPO_OK)
        return status;
    status = lspo_validate_write_files(verdict, options->folder);
    if (status != LSPO_OK)
        return status;
    status = options->show(options->show_context, verdict);
    if (status != LSPO_OK)
        return status;
    return lspo_validate_judge(verdict);
}

static lspo_status_t conclude(const lspo_validate_options_t *options, lspo_cells_t *cells,
                              const lspo_measurement_t *measurements, lspo_verdict_t *verdict)
{
    lspo_outcome_t *outcomes;
    lspo_breakdown_t *breakdowns = calloc((size_t)cells->count + 1, sizeof *breakdowns);
    if (breakdowns == NULL)
        return lspo_no_memory("%u cells", cells->count);
    lspo_status_t status = follow_the_machine(verdict->variants, measurements, cells);
    if (status != LSPO_OK)
        goto free_breakdowns;
    status = lspo_validate_outcomes(cells, measurements, &outcomes, &verdict->count);
    if (status != LSPO_OK)
        goto free_breakdowns;
    verdict->cells = cells;
    verdict->outcomes = outcomes;
    verdict->breakdowns = breakdowns;
    status = break_down(cells, options->folder, breakdowns, outcomes);
    if (status == LSPO_OK)
        status = give_verdict(options, verdict);
    free(outcomes);
free_breakdowns:
    free(breakdowns);
    return status;
}

/* Measure what was predicted.  After Ctrl-C the results so far are reported, but do not set the exit code. */
static lspo_status_t compare(const lspo_validate_options_t *options, lspo_cells_t *cells,
                             const lspo_variants_t *variants, const lspo_topology_t *topology, const char *calibration)
{
    lspo_verdict_t verdict = {.variants = variants, .thresholds = options->thresholds, .calibration = calibration};
    lspo_measurement_t *measurements = calloc((size_t)cells->count + 1, sizeof *measurements);
    if (measurements == NULL)
        return lspo_no_memory("%u cells", cells->count);
    lspo_status_t measured = measure(options, cells, topology, measurements), status = measured;
    if (measured == LSPO_OK || measured == LSPO_ERR_INTERRUPTED)
        status = conclude(options, cells, measurements, &verdict);
    for (uint32_t i = 0; i < cells->count; i++)
        lspo_measurement_release(&measurements[i]);
    free(measurements);
    return measured == LSPO_ERR_INTERRUPTED ? measured : status;
}

/* On as many yardsticks can run at once. */
static uint32_t cores_of(const lspo_topology_t *topology)
{
    return topology->core_count < LSPO_CHILDREN_MAX ? topology->core_count : LSPO_CHILDREN_MAX;
}

lspo_status_t lspo_validate(const lspo_validate_options_t *options)
{
    char calibration[CALIBRATION_BYTES];
    lspo_grid_t grid;
    lspo_cells_t cells;
    lspo_variants_t variants;
    lspo_topology_t topology;
    int lock;
    lspo_status_t status = lspo_grid_read_any(options->grid, options->language, options->machine, &grid);
    if (status != LSPO_OK)
        return status;
    status = read_variants(options, &variants);
    if (status != LSPO_OK)
        goto release_grid;
    const bool host = strcmp(options->device, "host") == 0;
    if (host)
        status = lspo_topology_read(&topology);
    if (status != LSPO_OK)
        goto release_grid;
    const double share = host ? host_link_share_most : 1;
    status = lspo_validate_predict(&grid, &variants, share * variants.machine.link.d2h_Bps,
                                   host ? cores_of(&topology) : 1, &cells);
    if (status != LSPO_OK)
        goto release_grid;
    status = make_folders(options->folder);
    if (status != LSPO_OK)
        goto release_cells;
    status = lspo_folder_lock(options->folder, "validate", &lock);
    if (status != LSPO_OK)
        goto release_cells;
    describe_calibration(options, calibration);
    status = compare(options, &cells, &variants, host ? &topology : NULL, calibration);
    close(lock);
release_cells:
    lspo_cells_release(&cells);
release_grid:
    lspo_grid_release(&grid);
    return status;
}
