/* cmd_validate.c - `lspo validate`: how far are the predictions from what this machine does? */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "base/input_file.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/table.h"
#include "cli/validate.h"

enum { PATH_BYTES = 1024, CALIBRATION_BYTES = 1024 };

/* A copy takes this share of a core at most, so that it leaves the other lanes of the host device alone. */
static const double host_link_share_most = 0.09;

typedef struct {
    const char *machine, *device, *grid, *folder, *text;
    double budget_s, interval;
    lspo_thresholds_t thresholds;
    bool resume, ablate;
    int format;
} validate_request_t;

/* "4%": a plain 4 might mean 400 %. */
static lspo_status_t store_percent(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    char number[32];
    double percent;
    size_t length = strlen(text);
    (void)arg;
    if (length < 2 || length >= sizeof number || text[length - 1] != '%')
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not a percentage, such as 4%%", what, text);
    memcpy(number, text, length - 1);
    number[length - 1] = '\0';
    lspo_status_t status = lspo_parse_quantity(what, number, LSPO_UNIT_NONE, &percent);
    if (status == LSPO_OK && !(percent > 0 && percent <= 1000))
        status = lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not above 0%% and at most 1000%%", what, text);
    if (status == LSPO_OK)
        *(double *)slot = percent / 100;
    return status;
}

static lspo_status_t store_tau(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double tau;
    (void)arg;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_NONE, &tau);
    if (status == LSPO_OK && tau > 1)
        status = lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not from 0 to 1", what, text);
    if (status == LSPO_OK)
        *(double *)slot = tau;
    return status;
}

#define FIELD(field) .offset_bytes = offsetof(validate_request_t, field)

static const lspo_arg_t validate_args[] = {
    {.name = "grid", .value = "FILE", .help = "cells to measure; see below", .store = lspo_arg_text, FIELD(grid)},
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "profile to predict with (host-reference)",
     .store = lspo_arg_text,
     FIELD(machine)},
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "device to measure (host)",
     .store = lspo_arg_text,
     FIELD(device)},
    {.name = "budget",
     .value = "TIME",
     .help = "measure no longer than this (8min)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     FIELD(budget_s)},
    {.name = "interval",
     .value = "PERCENT",
     .help = "measure a cell until its median is known this well (2%)",
     .store = store_percent,
     FIELD(interval)},
    {.name = "out",
     .value = "FOLDER",
     .help = "folder for report.txt, cells.csv, summary.csv, breakdown.csv, visits.csv and traces (validation)",
     .store = lspo_arg_text,
     FIELD(folder)},
    {.name = "resume",
     .help = "continue with the measurements in that folder, if there are any",
     .store = lspo_arg_switch,
     FIELD(resume)},
    {.name = "ablate",
     .help = "also predict without each part of the model; nothing more is measured",
     .store = lspo_arg_switch,
     FIELD(ablate)},
    {.name = "threshold-mean",
     .value = "PERCENT",
     .help = "largest allowed mean error of time and slowdown (4%)",
     .store = store_percent,
     FIELD(thresholds.mean)},
    {.name = "threshold-p95",
     .value = "PERCENT",
     .help = "largest allowed 95th percentile of these errors (10%)",
     .store = store_percent,
     FIELD(thresholds.p95)},
    {.name = "threshold-tau",
     .value = "TAU",
     .help = "smallest allowed Kendall's tau of the order of policies (0.9)",
     .store = store_tau,
     FIELD(thresholds.tau)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the same as lspo run)",
     .store = lspo_arg_text,
     FIELD(text)},
    LSPO_FORMAT_ARG("result, which in csv is the summary", offsetof(validate_request_t, format)),
};

static lspo_status_t make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return lspo_error(LSPO_ERR_IO, "cannot make the folder %s: %s", path, strerror(errno));
    return LSPO_OK;
}

static lspo_status_t make_folders(const char *folder)
{
    char traces[PATH_BYTES];
    snprintf(traces, sizeof traces, "%s/traces", folder);
    lspo_status_t status = make_folder(folder);
    return status == LSPO_OK ? make_folder(traces) : status;
}

/* The comment on top of a profile, which says who measured it; empty without one.  The profile was read before. */
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

/* Which profile predicts, how old it is, and that it is older than every measurement.  The profile has been read: it is
 * a preset where there is no such file. */
static void describe_calibration(const validate_request_t *request, char text[CALIBRATION_BYTES])
{
    char visits[PATH_BYTES], comment[512], date[64];
    struct stat profile, measured;
    if (stat(request->machine, &profile) != 0) {
        snprintf(text, CALIBRATION_BYTES, "predicted by the preset %s, which has seen none of these cells",
                 request->machine);
        return;
    }
    struct tm local;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", localtime_r(&profile.st_mtime, &local));
    first_comment(request->machine, comment, sizeof comment);
    snprintf(visits, sizeof visits, "%s/visits.csv", request->folder);
    bool newer = request->resume && stat(visits, &measured) == 0 && profile.st_mtime > measured.st_mtime;
    snprintf(text, CALIBRATION_BYTES, "predicted by %s of %s (%s), %s", request->machine, date,
             comment[0] != '\0' ? comment : "it does not say who measured it",
             newer ? "which is NEWER than measurements that are used here"
                   : "made before any of these cells was measured");
}

/* The profile, and with --ablate the same without each part of the model. */
static lspo_status_t read_variants(const validate_request_t *request, lspo_variants_t *variants)
{
    static const char *const parts[] = {"contention", "shapes", "latency", "cache"};
    static const char *const names[] = {"no_contention", "no_shapes", "no_latency", "no_cache"};
    *variants = (lspo_variants_t){.count = 1, .names = {"lspo"}};
    for (size_t i = 0; request->ablate && i < sizeof parts / sizeof parts[0]; i++) {
        variants->parts[variants->count] = parts[i];
        variants->names[variants->count++] = names[i];
    }
    return lspo_machine_find(request->machine, &variants->machine);
}

/* Traces of an earlier session would be taken for this one's. */
static void remove_traces(const lspo_cells_t *cells, const char *folder)
{
    char path[PATH_BYTES];
    for (uint32_t i = 0; i < cells->count; i++)
        unlink(lspo_cell_trace_path(cells, i, folder, sizeof path, path));
}

static lspo_status_t measure(const validate_request_t *request, const lspo_cells_t *cells,
                             lspo_measurement_t *measurements)
{
    lspo_measure_options_t options = {.device = request->device,
                                      .text_path = request->text,
                                      .folder = request->folder,
                                      .interval = request->interval,
                                      .budget_s = request->budget_s,
                                      .visits_least = 2,
                                      .others = "",
                                      .stop = lspo_interrupt_catch()};
    char *others = NULL;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < cells->count; i++)
        status = lspo_measurement_update(&measurements[i]);
    if (status == LSPO_OK && request->resume)
        status = lspo_visits_read(cells, request->folder, measurements, &others);
    else
        remove_traces(cells, request->folder);
    if (others != NULL)
        options.others = others;
    if (status == LSPO_OK)
        status = lspo_validate_measure(cells, &options, measurements);
    free(others);
    return status;
}

/* A cell that was not measured has no trace, and no breakdown. */
static lspo_status_t break_down(const lspo_cells_t *cells, const char *folder, lspo_breakdown_t *breakdowns)
{
    lspo_status_t status = LSPO_OK;
    uint32_t outcome = 0;
    for (uint32_t i = 0; status == LSPO_OK && i < cells->count; i++) {
        char path[PATH_BYTES];
        lspo_trace_t *measured;
        if (cells->cells[i].number == 0)
            continue;
        lspo_breakdown_t *breakdown = &breakdowns[outcome++];
        lspo_cell_trace_path(cells, i, folder, sizeof path, path);
        if (access(path, F_OK) != 0)
            continue;
        status = lspo_trace_read(path, &measured);
        if (status != LSPO_OK)
            return status;
        status = lspo_validate_breakdown(&cells->cells[i], measured, breakdown);
        lspo_trace_destroy(measured);
    }
    return status;
}

/* Predictions for a machine as fast as its yardsticks were. */
static lspo_status_t follow_the_machine(const lspo_variants_t *variants, double speed, lspo_cells_t *cells)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && cells->yardsticks > 0 && i < cells->count; i++)
        status = lspo_validate_predict_at(variants, speed, &cells->cells[i]);
    return status;
}

/* Score, write and judge. */
static lspo_status_t conclude(const validate_request_t *request, lspo_cells_t *cells,
                              const lspo_measurement_t *measurements, lspo_verdict_t *verdict)
{
    lspo_outcome_t *outcomes;
    lspo_breakdown_t *breakdowns = calloc((size_t)cells->count + 1, sizeof *breakdowns);
    if (breakdowns == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %u cells", cells->count);
    verdict->speed = lspo_validate_speed(cells, &verdict->variants->machine, measurements);
    lspo_status_t status = follow_the_machine(verdict->variants, verdict->speed, cells);
    if (status == LSPO_OK)
        status = lspo_validate_outcomes(cells, measurements, &outcomes, &verdict->count);
    if (status != LSPO_OK)
        goto free_breakdowns;
    verdict->outcomes = outcomes;
    verdict->breakdowns = breakdowns;
    status = break_down(cells, request->folder, breakdowns);
    if (status == LSPO_OK)
        status = lspo_validate_score(verdict);
    if (status == LSPO_OK)
        status = lspo_validate_write_files(verdict, request->folder);
    if (status == LSPO_OK)
        status = lspo_validate_write(verdict, request->format);
    if (status == LSPO_OK)
        status = lspo_validate_judge(verdict);
    free(outcomes);
free_breakdowns:
    free(breakdowns);
    return status;
}

/* Measure what was predicted.  After Ctrl-C what there is is reported, not judged by the exit code. */
static lspo_status_t compare(const validate_request_t *request, lspo_cells_t *cells, const lspo_variants_t *variants,
                             const char *calibration)
{
    lspo_verdict_t verdict = {.variants = variants, .thresholds = request->thresholds, .calibration = calibration};
    lspo_measurement_t *measurements = calloc((size_t)cells->count + 1, sizeof *measurements);
    if (measurements == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %u cells", cells->count);
    lspo_status_t measured = measure(request, cells, measurements), status = measured;
    if (measured == LSPO_OK || measured == LSPO_ERR_INTERRUPTED)
        status = conclude(request, cells, measurements, &verdict);
    for (uint32_t i = 0; i < cells->count; i++)
        lspo_measurement_release(&measurements[i]);
    free(measurements);
    return measured == LSPO_ERR_INTERRUPTED ? measured : status;
}

static lspo_status_t predict_and_measure(const validate_request_t *request)
{
    char calibration[CALIBRATION_BYTES];
    lspo_grid_t grid;
    lspo_cells_t cells;
    lspo_variants_t variants;
    int lock;
    lspo_status_t status = lspo_grid_read(request->grid, &grid);
    if (status != LSPO_OK)
        return status;
    status = read_variants(request, &variants);
    if (status != LSPO_OK)
        goto release_grid;
    double share = strcmp(request->device, "host") == 0 ? host_link_share_most : 1;
    status = lspo_validate_predict(&grid, &variants, share * variants.machine.link.d2h_Bps, &cells);
    if (status != LSPO_OK)
        goto release_grid;
    status = make_folders(request->folder);
    if (status == LSPO_OK)
        status = lspo_folder_lock(request->folder, "validate", &lock);
    if (status != LSPO_OK)
        goto release_cells;
    describe_calibration(request, calibration);
    status = compare(request, &cells, &variants, calibration);
    close(lock);
release_cells:
    lspo_cells_release(&cells);
release_grid:
    lspo_grid_release(&grid);
    return status;
}

static lspo_status_t validate(int argc, char **argv)
{
    validate_request_t request = {.machine = "host-reference",
                                  .device = "host",
                                  .folder = "validation",
                                  .budget_s = 480,
                                  .interval = 0.02,
                                  .thresholds = {.mean = 0.04, .p95 = 0.10, .tau = 0.9},
                                  .format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_validate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    if (request.grid == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--grid FILE is required");
    return predict_and_measure(&request);
}

static const lspo_arg_group_t validate_group = LSPO_ARG_GROUP("options", validate_args);

const lspo_command_t lspo_command_validate = {
    .name = "validate",
    .summary = "predict and measure every cell of a grid, and report how far the predictions are off",
    .usage = "--grid FILE [options]",
    .about = "Predict every cell of a grid from a machine's profile, measure each one with `lspo run` in a process of "
             "its own, and report how far the predictions are off. Measuring goes in rounds over all cells until each "
             "median is known well enough or the time is up. Measurements that other programs disturb are repeated; a "
             "cell without an undisturbed one is marked and not judged. Exit status 5: outside the thresholds; 6: too "
             "few cells were undisturbed to judge. Ctrl-C keeps what was measured.",
    .examples = "lspo calibrate --quick -o host.ini\n"
                "lspo validate --machine host.ini --grid experiments/sim-vs-host/grid --budget 2min",
    .common = "grid machine device budget out resume",
    .details =
        "Each line of the grid is a group of cells ('#' starts a comment):\n\n"
        "  NAME MODEL BATCH SEQUENCE RATES LINK/GPU CPU/GPU POLICY...\n\n"
        "RATES is a policy, or self: each cell's own policy. Link and optimizer are paced so that this policy's "
        "gradients are predicted to take LINK/GPU times its GPU time on the link, and its updates CPU/GPU times on the "
        "CPU. Either may instead be a rate (4GB/s, 200M/s), or free: not paced.\n\n"
        "POLICY is a name, lsp:D:R, lsp:D:R:N with fits every N steps, or NAME:RANK for a policy with a rank.\n\n"
        "  flags --name VALUE ...   workload flags for all groups below",
    .groups = (const lspo_arg_group_t *const[]){&validate_group, NULL},
    .run = validate,
};
