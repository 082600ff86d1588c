/* cmd_validate.c - `lspo validate`: how far are the predictions from what this machine does, or from what others
 * published? */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ask/args.h"
#include "base/table.h"
#include "cli/asked.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/published.h"
#include "cli/sweep_ask.h"
#include "validate/validate.h"

typedef struct {
    lspo_published_request_t published; /* first, see cli/published.h */
    lspo_validate_options_t options;
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
    lspo_status_t status = lspo_parse_quantity_in(what, number, LSPO_UNIT_NONE, "above 0 and at most 1000", &percent);
    if (status != LSPO_OK)
        return status;
    if (!(percent > 0 && percent <= 1000))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not above 0%% and at most 1000%%", what, text);
    *(double *)slot = percent / 100;
    return LSPO_OK;
}

static lspo_status_t store_tau(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double tau;
    (void)arg;
    lspo_status_t status = lspo_parse_quantity_in(what, text, LSPO_UNIT_NONE, "from 0 to 1", &tau);
    if (status != LSPO_OK)
        return status;
    if (tau > 1)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not from 0 to 1", what, text);
    *(double *)slot = tau;
    return LSPO_OK;
}

#define FIELD(field) .offset_bytes = offsetof(validate_request_t, field)

static const lspo_arg_t grid_args[] = {
    {.name = "grid",
     .value = "FILE",
     .help = "cells to measure; see below",
     .store = lspo_arg_text,
     FIELD(options.grid)},
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "profile to predict with (host-reference)",
     .store = lspo_arg_text,
     FIELD(options.machine)},
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "device to measure (host)",
     .store = lspo_arg_text,
     FIELD(options.device)},
    {.name = "budget",
     .value = "TIME",
     .help = "measure no longer than this (8min)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     FIELD(options.budget_s)},
    {.name = "interval",
     .value = "PERCENT",
     .help = "measure a cell until its median is known this well (2%)",
     .store = store_percent,
     FIELD(options.interval)},
    {.name = "out",
     .value = "FOLDER",
     .help = "folder for report.txt, cells.csv, summary.csv, breakdown.csv, visits.csv and traces (validation)",
     .store = lspo_arg_output,
     FIELD(options.folder)},
    {.name = "resume",
     .help = "continue with the measurements in that folder, if there are any",
     .store = lspo_arg_switch,
     FIELD(options.resume)},
    {.name = "ablate",
     .help = "also predict without each part of the model; nothing more is measured",
     .store = lspo_arg_switch,
     FIELD(options.ablate)},
    {.name = "threshold-mean",
     .value = "PERCENT",
     .help = "largest allowed mean error of time and slowdown (4%)",
     .store = store_percent,
     FIELD(options.thresholds.mean)},
    {.name = "threshold-p95",
     .value = "PERCENT",
     .help = "largest allowed 95th percentile of these errors (10%)",
     .store = store_percent,
     FIELD(options.thresholds.p95)},
    {.name = "threshold-tau",
     .value = "TAU",
     .help = "smallest allowed Kendall's tau of the order of policies (0.9)",
     .store = store_tau,
     FIELD(options.thresholds.tau)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the same as lspo run)",
     .store = lspo_arg_text,
     FIELD(options.text_path)},
};

static const lspo_arg_t format_args[] = {
    LSPO_FORMAT_ARG("result, which in csv is the summary of a grid, or the published steps",
                    offsetof(validate_request_t, published.format)),
};

/* The context of the verdict. */
typedef struct {
    lspo_progress_t progress;
    lspo_format_t format;
} view_t;

/* A table of all, CSV of the summary, or JSON of all. */
static lspo_status_t show(void *context, const lspo_verdict_t *verdict)
{
    view_t *view = context;
    lspo_progress_end(&view->progress);
    if (view->format == LSPO_FORMAT_CSV)
        return lspo_validate_write_csv(verdict, stdout);
    if (view->format == LSPO_FORMAT_JSON)
        return lspo_validate_write_json(verdict, stdout);
    lspo_validate_write_report(verdict, stdout);
    return LSPO_OK;
}

/* What is not given, 0 until here. */
static void set_defaults(lspo_validate_options_t *options)
{
    options->machine = options->machine != NULL ? options->machine : "host-reference";
    options->device = options->device != NULL ? options->device : "host";
    options->folder = options->folder != NULL ? options->folder : "validation";
    options->budget_s = options->budget_s > 0 ? options->budget_s : 480;
    options->interval = options->interval > 0 ? options->interval : 0.02;
    options->thresholds.mean = options->thresholds.mean > 0 ? options->thresholds.mean : 0.04;
    options->thresholds.p95 = options->thresholds.p95 > 0 ? options->thresholds.p95 : 0.10;
    options->thresholds.tau = options->thresholds.tau >= 0 ? options->thresholds.tau : 0.9;
}

/* The first option that goes with --published only; NULL: none is given. */
static const char *of_published(const lspo_published_request_t *request)
{
    return request->memory_path != NULL  ? "memory"
           : request->bands_path != NULL ? "bands"
           : request->where_count > 0    ? "where"
           : request->fit_folder != NULL ? "fit"
           : request->leave_out          ? "leave-out"
                                         : NULL;
}

/* An option of a grid is refused with --published, and the other way round, because it would do nothing. */
static lspo_status_t check_options(const validate_request_t *request)
{
    const lspo_validate_options_t *it = &request->options;
    const struct {
        const char *name;
        bool given;
    } of_grid[] = {{"grid", it->grid != NULL},
                   {"machine", it->machine != NULL},
                   {"device", it->device != NULL},
                   {"budget", it->budget_s > 0},
                   {"interval", it->interval > 0},
                   {"out", it->folder != NULL},
                   {"resume", it->resume},
                   {"ablate", it->ablate},
                   {"threshold-mean", it->thresholds.mean > 0},
                   {"threshold-p95", it->thresholds.p95 > 0},
                   {"threshold-tau", it->thresholds.tau >= 0},
                   {"text", it->text_path != NULL}};
    bool published = request->published.path != NULL;
    if (!published && of_published(&request->published) != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--%s needs --published FILE", of_published(&request->published));
    for (size_t i = 0; published && i < sizeof of_grid / sizeof of_grid[0]; i++)
        if (of_grid[i].given)
            return lspo_error(LSPO_ERR_INPUT, "--%s does nothing with --published", of_grid[i].name);
    if (!published && it->grid == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--grid FILE or --published FILE is required");
    return LSPO_OK;
}

static lspo_status_t validate(int argc, char **argv)
{
    view_t view;
    validate_request_t request = {.options = {.read_flags = lspo_asked_read_text,
                                              .thresholds = {.tau = -1},
                                              .progress = lspo_progress_update,
                                              .progress_context = &view.progress,
                                              .show = show,
                                              .show_context = &view},
                                  .published = {.format = LSPO_FORMAT_AUTO}};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_validate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    status = check_options(&request);
    if (status != LSPO_OK)
        return status;
    if (request.published.path != NULL)
        return lspo_published_run(&request.published);
    set_defaults(&request.options);
    lspo_sweep_words_t *words;
    status = lspo_sweep_words_create(&words);
    if (status != LSPO_OK)
        return status;
    const lspo_grid_language_t language = {lspo_sweep_words_language(words), lspo_sweep_cell_holds};
    request.options.language = &language;
    view.format = lspo_format_resolve(request.published.format);
    lspo_progress_start(&view.progress);
    status = lspo_validate(&request.options);
    lspo_progress_end(&view.progress);
    lspo_sweep_words_destroy(words);
    return status;
}

static const lspo_arg_group_t grid_group = LSPO_ARG_GROUP("with --grid", grid_args);
static const lspo_arg_group_t format_group = LSPO_ARG_GROUP("both", format_args);

const lspo_command_t lspo_command_validate = {
    .name = "validate",
    .summary = "report how far predictions are off, from measurements of a grid or from steps that others published",
    .usage = "--grid FILE | --published FILE [options]",
    .about =
        "With --grid: predict every cell of a grid from a machine's profile, measure each one with `lspo run` in a "
        "process of its own, and report how far the predictions are off. Measuring goes in rounds over all cells until "
        "each median is known well enough or the time is up. Measurements that other programs disturb are repeated; a "
        "cell without an undisturbed one is marked and not judged, and one that does not fit the device is left out. "
        "Exit status 5: outside the thresholds; 6: too few cells were undisturbed to judge. Ctrl-C keeps what was "
        "measured. Report, tables and traces go to the folder of --out, which is validation in the current folder "
        "unless given.\n\n"
        "With --published: predict training steps that others measured on GPUs, and report how far the predictions are "
        "off, by source, kind, framework and card. Nothing is measured. --fit fits the frameworks' values that are "
        "marked "
        "so. Exit status 0 whatever the errors; 2: a row is wrong.",
    .examples = "lspo calibrate --quick -o host.ini\n"
                "lspo validate --machine host.ini --grid experiments/sim-vs-host/grid --budget 2min\n"
                "lspo validate --published experiments/published/open.csv\n"
                "lspo validate --published experiments/published/open.csv --where kind=offload --format json\n"
                "lspo validate --published experiments/published/open.csv --leave-out",
    .common = "grid machine device budget out resume published where",
    .details =
        "Each line of the grid is a group of cells ('#' starts a comment):\n\n"
        "  NAME MODEL BATCH SEQUENCE RATES LINK/GPU CPU/GPU POLICY...\n\n"
        "RATES is a policy, or self: each cell's own policy. Link and optimizer are paced so that this policy's "
        "gradients are predicted to take LINK/GPU times its GPU time on the link, and its updates CPU/GPU times on the "
        "CPU. Either may instead be a rate (4GB/s, 200M/s), or free: not paced.\n\n"
        "POLICY is a name, lsp:D:R, lsp:D:R:N with fits every N steps, or NAME:RANK for a policy with a rank. The "
        "policies of a line train or generate, not both; those that generate have no optimizer: CPU/GPU is free.\n\n"
        "  flags --name VALUE ...   workload flags for all groups below\n\n"
        "A grid may also have the form of `lspo sweep`, with the keys rates, link-over-gpu and cpu-over-gpu for RATES, "
        "LINK/GPU and CPU/GPU (docs/sweep.md).\n\n"
        "A file of published steps is CSV with one step a row. Columns are found by name: id, source, kind, framework, "
        "gpu, machine, model, batch, sequence, accumulation, precision, checkpointing, policy, flags, measured_s; and, "
        "if there, address, system, gpus, published, uncertainty, note. kind is native, peft, offload, or micro: "
        "measured_s is then the time of one more micro-batch. machine and model are presets, or files beside the CSV. "
        "flags are those of `lspo sim`. If lspo has a card or machine with the name of such a machine file, its [gpu] "
        "and [products] replace the file's.\n\n"
        "--bands writes the columns kind, framework, machine, rows, mean_error, low, high, where empty means all; low "
        "and high are the 10th and 90th percentile of measured / predicted. With --leave-out, each step is predicted "
        "by frameworks that were fitted without its source, so a band says what to expect of steps that no value has "
        "seen. `lspo sim` takes the band around its answer from experiments/published/bands.csv, which was written "
        "like that.\n\n"
        "The error is predicted / measured - 1. Of pairs of rows whose measured times differ by more than 10 %, the "
        "report says how many are predicted in that order: pairs that differ only in policy and its flags (perhaps "
        "framework), and pairs that differ only in the machine. peak_gpu_bytes and peak_gpu_bound_bytes contain the "
        "driver's context. The file of peaks may have a column counts: a peak is of the whole process (device), or "
        "only of what its allocator had handed out (allocated), which is compared with gpu_tensor_bytes.\n\n"
        "--fit fits, for each built-in framework of the rows, the values whose notes begin with \"fit, prior VALUE:\" "
        "(`lspo show framework`) to its rows: they minimise the mean of |log(predicted / measured)|, rows of high "
        "uncertainty counting half, plus a pull towards the priors that is weaker the more sources there are. Values "
        "on which fewer than two rows depend stay at their priors. FOLDER/NAME.ini is each "
        "framework's file with these values and the rows' ids; a file "
        "there that differs in more than these is refused. Frameworks are compiled in, so `--fit frameworks` in the "
        "sources takes effect after `make`. The report is that of the fitted values. --leave-out fits without each "
        "source: its own error is then that of a source that the values have not seen.",
    .groups = (const lspo_arg_group_t *const[]){&grid_group, &lspo_published_group, &format_group, NULL},
    .run = validate,
};
