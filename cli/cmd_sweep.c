/* cmd_sweep.c - `lspo sweep`: predict all cells of a grid. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/version.h"
#include "base/interrupt.h"
#include "base/workers.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/sweep_cell.h"
#include "cli/sweep_explain.h"
#include "cli/sweep_language.h"
#include "cli/sweep_merge.h"
#include "cli/sweep_plot.h"
#include "cli/sweep_title.h"
#include "real/device/device.h"
#include "sweep/database.h"
#include "sweep/output.h"
#include "sweep/play.h"
#include "sweep/processes.h"
#include "sweep/ranks.h"
#include "validate/grid_cells.h"

enum { SHARDS_MAX = 65535 };

typedef enum { FORMAT_CSV, FORMAT_JSONL } file_format_t;
static const char *const format_names[] = {"csv", "jsonl", NULL};

typedef struct {
    const char *output, *columns, *explain, *shard_text, *machine, *device, *plot;
    uint32_t jobs; /* 0: one per CPU */
    int format;    /* -1: by the name of the output */
    bool resume, run;
    uint32_t shard, shard_count; /* from 0 */
    const char *grid_path;       /* NULL: only --plot */
    lspo_sweep_plot_t picture;
    char *picture_path; /* owned; NULL: none */
} sweep_request_t;

#define FIELD(field) .offset_bytes = offsetof(sweep_request_t, field)

static const lspo_arg_t sweep_args[] = {
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .help = "write the rows to FILE, in the order of the cells: .csv, .jsonl, either with .gz; .db (SQLite)",
     .store = lspo_arg_output,
     FIELD(output)},
    {.name = "jobs",
     .letter = 'j',
     .value = "N",
     .help = "processes that predict, of --explain threads (one per CPU)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 4096,
     FIELD(jobs)},
    {.name = "resume",
     .help = "continue the sweep whose rows are in FILE.part",
     .store = lspo_arg_switch,
     FIELD(resume)},
    {.name = "run",
     .help = "also measure each cell with lspo run, one after the other; columns measured_... and errors",
     .store = lspo_arg_switch,
     FIELD(run)},
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "device of --run (host)",
     .store = lspo_arg_text,
     FIELD(device)},
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "machine of all cells, in place of the grid's",
     .store = lspo_arg_text,
     FIELD(machine)},
    {.name = "plot",
     .value = "x=COLUMN",
     .help = "draw FILE.svg with gnuplot, with y=COLUMN and by=COLUMN as further words; without GRID, of FILE as it is",
     .store = lspo_arg_text,
     FIELD(plot)},
    {.name = "columns",
     .value = "LIST",
     .help = "names of columns, separated by commas; the fewer, the less is computed (all of a prediction)",
     .store = lspo_arg_text,
     FIELD(columns)},
    {.name = "format",
     .value = "csv|jsonl",
     .help = "format of FILE; jsonl: a JSON object per line (by its name, else csv)",
     .store = lspo_arg_choice,
     .names = format_names,
     FIELD(format)},
    {.name = "shard",
     .value = "I/N",
     .help = "only every N-th cell from the I-th on, into FILE.shard-I-of-N (from Slurm's array task, else 1/1)",
     .store = lspo_arg_text,
     FIELD(shard_text)},
    {.name = "explain",
     .value = "KEY|CELL",
     .help = "print the command that predicts the cell with this key or number",
     .store = lspo_arg_text,
     FIELD(explain)},
};

/* ---- shards ---- */

static int64_t number_of(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || *text == '\0')
        return otherwise;
    long long number = strtoll(text, &end, 10);
    return *end == '\0' ? number : otherwise;
}

/* Task I of an array of N, numbered from MIN to MAX in steps of STEP.  An array with gaps is none: most often it is the
 * rest of one, whose N is not known. */
static lspo_status_t shard_of_slurm(sweep_request_t *request)
{
    int64_t id = number_of("SLURM_ARRAY_TASK_ID", -1), count = number_of("SLURM_ARRAY_TASK_COUNT", -1);
    int64_t first = number_of("SLURM_ARRAY_TASK_MIN", 0), step = number_of("SLURM_ARRAY_TASK_STEP", 1);
    if (id < 0)
        return LSPO_OK;
    int64_t last = number_of("SLURM_ARRAY_TASK_MAX", first + (count - 1) * step);
    if (count < 1 || count > SHARDS_MAX || step < 1 || id < first || id > last || (id - first) % step != 0 ||
        last - first != (count - 1) * step)
        return lspo_error(LSPO_ERR_INPUT,
                          "task %" PRId64 " of Slurm's array of %" PRId64 " from %" PRId64 " to %" PRId64
                          " is not one of N in equal steps; give --shard I/N, or unset SLURM_ARRAY_TASK_ID",
                          id, count, first, last);
    request->shard = (uint32_t)((id - first) / step);
    request->shard_count = (uint32_t)count;
    return LSPO_OK;
}

static lspo_status_t read_shard(sweep_request_t *request)
{
    int64_t shard, count;
    char text[64], *slash;
    request->shard_count = 1;
    if (request->shard_text == NULL)
        return request->explain == NULL ? shard_of_slurm(request) : LSPO_OK;
    snprintf(text, sizeof text, "%s", request->shard_text);
    slash = strchr(text, '/');
    if (slash == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--shard '%s' is not I/N, such as 1/4", request->shard_text);
    *slash = '\0';
    lspo_status_t status = lspo_parse_integer("--shard", slash + 1, 1, SHARDS_MAX, &count);
    if (status == LSPO_OK)
        status = lspo_parse_integer("--shard", text, 1, count, &shard);
    if (status != LSPO_OK)
        return status;
    request->shard = (uint32_t)(shard - 1);
    request->shard_count = (uint32_t)count;
    return LSPO_OK;
}

/* ---- progress ---- */

typedef struct {
    lspo_progress_t line;
    uint64_t shown_ns, start_ns;
} view_t;

static void put_count(uint64_t count, char *text, size_t capacity)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (int i = 0; i < length && used + 2 < capacity; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

/* Five times per second. */
static void show_progress(void *context, uint64_t done, uint64_t of, uint64_t before)
{
    view_t *view = context;
    char done_text[32], of_text[32];
    uint64_t now_ns = lspo_now_ns();
    if (!view->line.terminal || now_ns - view->shown_ns < 200000000 || done <= before)
        return;
    view->shown_ns = now_ns;
    double passed_s = 1e-9 * (double)(now_ns - view->start_ns), rate = (double)(done - before) / passed_s;
    uint64_t left_s = (uint64_t)((double)(of - done) / rate);
    put_count(done, done_text, sizeof done_text);
    put_count(of, of_text, sizeof of_text);
    lspo_progress_line(&view->line, "%s of %s cells, %.0f per second, %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
                       done_text, of_text, rate, left_s / 3600, left_s / 60 % 60, left_s % 60);
}

/* ---- the sweep ---- */

/* All that a sweep needs. */
typedef struct {
    const sweep_request_t *request;
    lspo_sweep_words_t *words;
    lspo_sweep_grid_t grid;
    lspo_workers_t *workers;
    lspo_sweep_cells_t *cells;
    lspo_journal_t *journal;
    lspo_bench_t bench; /* of --run */
    const atomic_int *stop;
    lspo_ranks_t ranks;           /* one, or those of an MPI job */
    char *final_path, *part_path; /* owned */
    bool part_apart;              /* the part is not beside the file, and cannot be continued */
    file_format_t format;
} sweep_t;

static file_format_t choose_format(const sweep_request_t *request)
{
    if (request->output != NULL && lspo_sweep_is_database(request->output))
        return FORMAT_CSV;
    const char *end = request->output != NULL ? strstr(request->output, ".jsonl") : NULL;
    if (request->format >= 0)
        return (file_format_t)request->format;
    return end != NULL && (end[6] == '\0' || strcmp(end + 6, ".gz") == 0) ? FORMAT_JSONL : FORMAT_CSV;
}

static lspo_status_t name_files(sweep_t *sweep)
{
    const sweep_request_t *request = sweep->request;
    sweep->final_path = request->shard_count == 1
                            ? strdup(request->output)
                            : lspo_sweep_shard_path(request->output, request->shard + 1, request->shard_count);
    return sweep->final_path != NULL ? lspo_sweep_part_path(sweep->final_path, &sweep->part_path, &sweep->part_apart)
                                     : lspo_no_memory("the names of files");
}

static lspo_status_t open_journal(sweep_t *sweep)
{
    char *title = NULL;
    const sweep_request_t *request = sweep->request;
    lspo_status_t status =
        lspo_sweep_title_write(&(lspo_sweep_title_t){.cell_count = sweep->grid.cell_count,
                                                     .shard = request->shard + 1,
                                                     .shard_count = request->shard_count,
                                                     .grid_hash = sweep->grid.hash,
                                                     .names_hash = lspo_sweep_words_hash(sweep->words),
                                                     .format = format_names[sweep->format],
                                                     .run = request->run ? sweep->bench.device : "none",
                                                     .version = lspo_version,
                                                     .columns = lspo_sweep_cells_names(sweep->cells)},
                               &title);
    if (status == LSPO_OK)
        status = lspo_journal_open(sweep->part_path, title, sweep->grid.cell_count, request->resume, &sweep->journal);
    free(title);
    return status;
}

/* Predictions are made in processes of their own; measurements are anyway, and a rank is one. */
static bool plays_apart(const sweep_t *sweep)
{
    return !sweep->request->run && sweep->ranks.size == 1 && sweep->request->explain == NULL;
}

static lspo_status_t start_workers(sweep_t *sweep)
{
    if (plays_apart(sweep) || sweep->request->run || (sweep->request->jobs == 0 && sweep->ranks.size > 1))
        return LSPO_OK;
    if (sweep->request->jobs == 0) {
        sweep->workers = lspo_workers_of_process();
        return LSPO_OK;
    }
    return lspo_workers_create(sweep->request->jobs, NULL, &sweep->workers);
}

/* A grid of either form. */
static lspo_status_t read_grid(const char *path, const lspo_sweep_language_t *language, const lspo_ini_entry_t *given,
                               lspo_sweep_grid_t *grid_out)
{
    lspo_grid_t grid;
    char *text;
    if (lspo_grid_is_of_sweeps(path, true))
        return lspo_sweep_grid_read(path, language, given, grid_out);
    lspo_status_t status = lspo_grid_read(path, &grid);
    if (status != LSPO_OK)
        return status;
    status = lspo_grid_as_sweep(&grid, &text);
    lspo_grid_release(&grid);
    if (status != LSPO_OK)
        return status;
    status = lspo_sweep_grid_read_text(path, text, language, given, grid_out);
    free(text);
    return status;
}

static lspo_status_t open_sweep(sweep_t *sweep)
{
    const sweep_request_t *request = sweep->request;
    sweep->format = choose_format(request);
    lspo_status_t status = lspo_sweep_words_create(&sweep->words);
    if (status != LSPO_OK)
        return status;
    lspo_sweep_language_t language = lspo_sweep_words_language(sweep->words);
    const lspo_ini_entry_t machine = {
        .where = "--machine", .section = "all", .key = "machine", .value = request->machine, .note = ""};
    status = read_grid(request->grid_path, &language, request->machine != NULL ? &machine : NULL, &sweep->grid);
    if (status == LSPO_OK)
        status = start_workers(sweep);
    sweep->bench = (lspo_bench_t){.device = request->device != NULL ? request->device : "host", .stop = sweep->stop};
    if (status != LSPO_OK)
        return status;
    status = lspo_sweep_cells_create(
        &(lspo_sweep_cells_options_t){.grid = &sweep->grid,
                                      .columns = request->columns,
                                      .format = sweep->format == FORMAT_CSV ? LSPO_FORMAT_CSV : LSPO_FORMAT_JSON,
                                      .workers = lspo_workers_count(sweep->workers),
                                      .bench = request->run ? &sweep->bench : NULL},
        &sweep->cells);
    if (status == LSPO_OK && request->picture_path != NULL)
        status = lspo_sweep_plot_check_columns(&request->picture, lspo_sweep_cells_names(sweep->cells));
    return status;
}

/* Leave nothing in $TMPDIR, however the sweep ends: a journal is used without its name. */
static void drop_part(sweep_t *sweep)
{
    lspo_bench_release(&sweep->bench);
    if (!sweep->part_apart)
        return;
    lspo_sweep_part_remove(sweep->part_path);
    free(sweep->part_path);
    sweep->part_path = NULL;
}

/* The files of --run are this process's as long as the journal is open. */
static void close_sweep(sweep_t *sweep)
{
    drop_part(sweep);
    lspo_journal_close(sweep->journal);
    lspo_sweep_cells_destroy(sweep->cells);
    lspo_workers_destroy(sweep->workers);
    lspo_sweep_grid_release(&sweep->grid);
    lspo_sweep_words_destroy(sweep->words);
    free(sweep->final_path);
    free(sweep->part_path);
}

static lspo_status_t play(sweep_t *sweep)
{
    view_t view = {.start_ns = lspo_now_ns()};
    const lspo_sweep_play_t options = {.grid = &sweep->grid,
                                       .journal = sweep->journal,
                                       .workers = sweep->workers,
                                       .shard = sweep->request->shard,
                                       .shard_count = sweep->request->shard_count,
                                       .row = lspo_sweep_cells_row,
                                       .crash_row = lspo_sweep_cells_crash_row,
                                       .row_context = sweep->cells,
                                       .stop = sweep->stop,
                                       .progress = show_progress,
                                       .progress_context = &view};
    lspo_progress_start(&view.line);
    lspo_status_t status;
    if (plays_apart(sweep))
        status = lspo_processes_play(sweep->request->jobs > 0 ? sweep->request->jobs : lspo_workers_cpus(), &options);
    else
        status = sweep->ranks.size > 1 ? lspo_ranks_play(&sweep->ranks, &options) : lspo_sweep_play(&options);
    lspo_progress_end(&view.line);
    if (status == LSPO_ERR_INTERRUPTED && sweep->journal != NULL && !sweep->part_apart)
        fprintf(stderr, "Interrupted; %" PRIu64 " rows are in %s. To continue: --resume\n",
                lspo_journal_rows(sweep->journal), sweep->part_path);
    return status;
}

/* The ordered file, or of a shard its journal under its final name. */
static lspo_status_t finish(sweep_t *sweep)
{
    const char *names = lspo_sweep_cells_names(sweep->cells);
    uint64_t rows = lspo_journal_rows(sweep->journal);
    drop_part(sweep); /* a pipe may end the program */
    lspo_status_t status = lspo_sweep_finish(sweep->journal, sweep->request->shard_count > 1, sweep->part_path,
                                             sweep->final_path, sweep->format == FORMAT_CSV ? names : NULL);
    if (status != LSPO_OK)
        return status;
    lspo_sweep_say(sweep->final_path, rows, lspo_journal_errors(sweep->journal), names);
    return LSPO_OK;
}

static lspo_status_t run_sweep(sweep_t *sweep)
{
    lspo_status_t status = LSPO_OK;
    if (sweep->ranks.rank > 0) /* rank 0 writes */
        return play(sweep);
    if (lspo_sweep_is_database(sweep->final_path))
        status = lspo_database_check();
    if (status == LSPO_OK)
        status = lspo_request_check_output(sweep->final_path);
    if (status == LSPO_OK)
        status = open_journal(sweep);
    if (status == LSPO_OK && sweep->request->run)
        status = lspo_bench_open(sweep->part_path, &sweep->bench);
    else if (status == LSPO_OK)
        drop_part(sweep);
    if (status == LSPO_OK)
        status = play(sweep);
    return status == LSPO_OK ? finish(sweep) : status;
}

static lspo_status_t check_request(const sweep_request_t *request)
{
    if (request->output == NULL && request->explain == NULL)
        return lspo_error(LSPO_ERR_INPUT, "-o FILE is required");
    if (request->picture_path != NULL && request->explain != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--plot does nothing with --explain");
    if (request->picture_path != NULL && request->shard_count > 1)
        return lspo_error(LSPO_ERR_INPUT, "--plot draws all rows, of which shard %u of %u has a part; merge, then draw",
                          request->shard + 1, request->shard_count);
    if (request->picture_path != NULL && request->format == FORMAT_JSONL)
        return lspo_error(LSPO_ERR_INPUT, "--plot draws CSV; leave --format jsonl out");
    if (request->output != NULL && lspo_sweep_is_database(request->output) && request->format == FORMAT_JSONL)
        return lspo_error(LSPO_ERR_INPUT, "%s is a database; leave --format jsonl out", request->output);
    if (request->output != NULL && lspo_sweep_is_stream(request->output) && request->resume)
        return lspo_error(LSPO_ERR_INPUT, "%s is a pipe or a device: no rows are kept that --resume could continue",
                          request->output);
    if (request->output != NULL && lspo_sweep_is_stream(request->output) && request->shard_count > 1)
        return lspo_error(LSPO_ERR_INPUT, "%s is a pipe or a device: shard %u of %u needs a file", request->output,
                          request->shard + 1, request->shard_count);
    if (request->run && request->jobs > 1)
        return lspo_error(LSPO_ERR_INPUT, "--run measures one cell at a time; leave -j %u out", request->jobs);
    if (!request->run && request->device != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--device %s needs --run", request->device);
    return LSPO_OK;
}

static lspo_status_t draw(const sweep_request_t *request)
{
    return request->picture_path != NULL
               ? lspo_sweep_plot_draw(&request->picture, request->output, request->picture_path)
               : LSPO_OK;
}

static lspo_status_t sweep_grid(const sweep_request_t *request)
{
    sweep_t sweep = {.request = request};
    lspo_status_t status = check_request(request);
    if (status != LSPO_OK)
        return status;
    sweep.stop = request->explain == NULL ? lspo_interrupt_catch() : NULL;
    status = lspo_ranks_start(&sweep.ranks);
    if (status != LSPO_OK)
        return status;
    if (sweep.ranks.size > 1 && (request->run || request->explain != NULL))
        status = lspo_error(LSPO_ERR_INPUT, "--%s is not for an MPI job", request->run ? "run" : "explain");
    if (status == LSPO_OK && request->output != NULL)
        status = name_files(&sweep);
    if (status == LSPO_OK)
        status = open_sweep(&sweep);
    if (status == LSPO_OK && request->explain != NULL)
        status = lspo_sweep_explain(&sweep.grid, sweep.cells, sweep.workers, request->explain);
    else if (status == LSPO_OK)
        status = run_sweep(&sweep);
    bool writes = sweep.ranks.rank == 0;
    close_sweep(&sweep);
    lspo_ranks_end(&sweep.ranks, status);
    return status == LSPO_OK && writes ? draw(request) : status;
}

/* Words with "=" are the columns of --plot. */
static lspo_status_t read_words(const lspo_positionals_t *words, sweep_request_t *request)
{
    size_t first = words->count > 0 && strchr(words->texts[0], '=') == NULL;
    request->grid_path = first > 0 ? words->texts[0] : NULL;
    if (request->plot == NULL && words->count != 1)
        return lspo_error(LSPO_ERR_INPUT, "one GRID is required; usage: lspo sweep %s", lspo_command_sweep.usage);
    if (request->plot == NULL)
        return LSPO_OK;
    if (request->output == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--plot needs -o FILE.csv");
    lspo_status_t status =
        lspo_sweep_plot_read(request->plot, words->texts + first, words->count - first, &request->picture);
    return status == LSPO_OK ? lspo_sweep_plot_check(request->output, &request->picture_path) : status;
}

static bool is_given(const sweep_request_t *request, const lspo_arg_t *option)
{
    const void *slot = (const char *)request + option->offset_bytes;
    if (option->store == lspo_arg_switch)
        return *(const bool *)slot;
    if (option->store == lspo_arg_u32)
        return *(const uint32_t *)slot > 0;
    if (option->store == lspo_arg_choice)
        return *(const int *)slot >= 0;
    return *(const char *const *)slot != NULL;
}

/* Shards are what they are: all options but -o are of those who made them. */
static lspo_status_t merge(const sweep_request_t *request)
{
    for (size_t i = 0; i < sizeof sweep_args / sizeof sweep_args[0]; i++)
        if (sweep_args[i].letter != 'o' && is_given(request, &sweep_args[i]))
            return lspo_error(LSPO_ERR_INPUT, "sweep merge takes no --%s, only -o", sweep_args[i].name);
    if (request->output == NULL)
        return lspo_error(LSPO_ERR_INPUT, "sweep merge needs -o FILE, whose shards are FILE.shard-I-of-N");
    return lspo_sweep_merge(request->output);
}

static lspo_status_t run_command(sweep_request_t *request)
{
    if (request->grid_path != NULL && strcmp(request->grid_path, "merge") == 0)
        return merge(request);
    if (request->grid_path == NULL)
        return draw(request);
    lspo_status_t status = read_shard(request);
    return status == LSPO_OK ? sweep_grid(request) : status;
}

static lspo_status_t sweep(int argc, char **argv)
{
    sweep_request_t request = {.format = -1};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_sweep, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    status = read_words(&positionals, &request);
    if (status == LSPO_OK)
        status = run_command(&request);
    free(request.picture_path);
    return status;
}

static const lspo_arg_group_t sweep_group = LSPO_ARG_GROUP("options", sweep_args);

const lspo_command_t lspo_command_sweep = {
    .name = "sweep",
    .summary = "predict all cells of a grid: any options and fields of model and machine",
    .usage = "GRID -o FILE [options] | merge -o FILE | -o FILE --plot x=COLUMN y=COLUMN [by=COLUMN]",
    .about = "Predict every cell of a grid and write one row per cell, with the fields of `lspo sim`. An axis of the "
             "grid may be any option of `lspo sim`, field of the machine or field of the model. Rows are kept in "
             "FILE.part as they come; FILE is written at the end, in the order of the cells, and is the same for any "
             "number of processes, interruptions and shards. Ctrl-C keeps what is done (exit status 130), and --resume "
             "continues; so it does after a kill. What is wrong with a cell is in the column error, and no reason to "
             "stop.\n\n"
             "`lspo sweep merge -o FILE` puts the shards of FILE together, which --shard has written on one machine or "
             "many.",
    .examples = "lspo sweep bandwidth.ini -o bandwidth.csv\n"
                "lspo sweep bandwidth.ini -o fast.jsonl.gz -j 2 --columns cell,policy,link_Bps,slowdown\n"
                "lspo sweep bandwidth.ini -o measured.csv --run --machine host.ini\n"
                "lspo sweep bandwidth.ini -o rows.csv --plot x=link y=slowdown by=policy\n"
                "lspo sweep bandwidth.ini --explain 7\n"
                "lspo sweep bandwidth.ini -o parts.csv --shard 1/2",
    .common = "output run machine jobs resume columns shard explain",
    .details =
        "A grid is an INI file. Each section is a group of cells, the product of its axes; those of [all] belong "
        "to every group:\n\n"
        "  [all]\n"
        "  model = llama-7b gpt2-774m\n"
        "  machine = paper-workstation paper-laptop\n"
        "  batch = 8 4\n"
        "  zip = model machine batch\n"
        "  policy = all\n"
        "  link = log2(1GB/s, 64GB/s)\n"
        "  where = policy != swap\n\n"
        "zip lets axes take their values side by side. A range is linear(FROM, TO, STEP) or log2(FROM, TO, N), N "
        "values per doubling. A key is an option of `lspo sim` without dashes, SECTION.FIELD of a machine "
        "(link.h2d_Bps; x2: twice the profile's value), model.FIELD of a model's file, or column.NAME for a "
        "column of your own. An option that a policy does not have does not apply to it. docs/sweep.md "
        "describes all of it.\n\n"
        "The key of a row is a hash of everything that it depends on: all parameters, the profile of the "
        "machine, the version of lspo. flags are the options of `lspo sim` that give the same numbers.",
    .groups = (const lspo_arg_group_t *const[]){&sweep_group, NULL},
    .positional_most = 4,
    .positionals = "FILE",
    .run = sweep,
};
