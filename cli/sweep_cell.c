/* sweep_cell.c - see sweep_cell.h. */
#include "cli/sweep_cell.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ask/answer.h"
#include "ask/result.h"
#include "ask/version.h"
#include "base/names.h"
#include "cli/sweep_ask.h"
#include "sim/sim.h"
#include "sweep/key.h"

enum { COLUMNS_MAX = 16, FIELDS_MAX = LSPO_RESULT_FIELDS_MAX + COLUMNS_MAX + LSPO_MEASURED_FIELDS + 5, NATIVES = 8 };
enum { FLAGS_BYTES = 4096, ERROR_BYTES = 1024 };

typedef struct {
    uint64_t cell;
    const char *key, *group, *flags, *error;
    const char *columns[COLUMNS_MAX];
    lspo_result_t result;
    lspo_run_measured_t measured;
} row_t;

/* The time of native of cells that differ only in policy. */
typedef struct {
    uint64_t key; /* 0: none */
    bool peaks;
    lspo_native_t native;
} known_native_t;

typedef struct {
    lspo_sweep_ask_t ask;
    known_native_t natives[NATIVES];
    uint32_t next_native;
    FILE *stream;
    char *text; /* of the stream */
    size_t bytes;
    row_t row;
    char key[17], flags[FLAGS_BYTES], error[ERROR_BYTES];
    lspo_answer_t answer; /* of what is asked */
} worker_t;

struct lspo_sweep_cells {
    const lspo_sweep_grid_t *grid;
    const lspo_bench_t *bench; /* NULL: no runs */
    lspo_format_t format;
    lspo_result_fields_t all;
    lspo_field_t fields[FIELDS_MAX];
    size_t field_count;
    unsigned wanted;              /* of all columns */
    const char *own[COLUMNS_MAX]; /* keys of the grid's columns, with prefix */
    size_t own_count;
    char *names;        /* owned */
    worker_t **workers; /* owned */
    uint32_t worker_count;
};

/* ---- columns ---- */

/* Columns that cost more than a prediction, or that no simulation has. */
static const unsigned beyond = LSPO_NEEDS_ADVICE | LSPO_NEEDS_NOISE | LSPO_NEEDS_RUN | LSPO_NEEDS_MEASURED;

/* The errors of peaks need the peaks. */
static size_t add_measured(lspo_result_field_t *columns)
{
    lspo_field_t fields[LSPO_MEASURED_FIELDS];
    lspo_run_measured_fields(offsetof(row_t, measured), fields);
    for (size_t i = 0; i < LSPO_MEASURED_FIELDS; i++)
        columns[i] =
            (lspo_result_field_t){fields[i], strncmp(fields[i].name, "peak_", 5) == 0 ? (unsigned)LSPO_WANT_PEAKS : 0};
    return LSPO_MEASURED_FIELDS;
}

/* All columns that there are. */
static size_t list_columns(lspo_sweep_cells_t *cells, lspo_result_field_t columns[FIELDS_MAX])
{
    size_t count = 0, results = lspo_result_fields(offsetof(row_t, result), &cells->all);
#define COLUMN(name, kind, field)                                                                                      \
    columns[count++] = (lspo_result_field_t){{name, kind, LSPO_UNIT_NONE, offsetof(row_t, field)}, 0}
    COLUMN("cell", LSPO_FIELD_INTEGER, cell);
    COLUMN("key", LSPO_FIELD_TEXT, key);
    COLUMN("group", LSPO_FIELD_TEXT, group);
    for (size_t i = 0; i < cells->own_count; i++)
        COLUMN(strchr(cells->own[i], '.') + 1, LSPO_FIELD_TEXT, columns[i]);
    for (size_t i = 0; i < results; i++)
        columns[count++] = cells->all.fields[i];
    if (cells->bench != NULL)
        count += add_measured(columns + count);
    COLUMN("flags", LSPO_FIELD_TEXT, flags);
    COLUMN("error", LSPO_FIELD_TEXT, error);
#undef COLUMN
    return count;
}

/* Names differ in more than case, which a database does not tell apart. */
static lspo_status_t check_own(const lspo_sweep_cells_t *cells, const lspo_axis_t *axis,
                               const lspo_result_field_t *columns, size_t count)
{
    const char *name = strchr(axis->key, '.') + 1;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(columns[i].field.name, name) == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: %s: each row has a column %s; take another name", axis->where,
                              axis->key, columns[i].field.name);
    for (size_t i = 0; i < cells->own_count; i++)
        if (strcasecmp(cells->own[i], axis->key) == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: there are columns %s and %s; take another name", axis->where,
                              cells->own[i], axis->key);
    return LSPO_OK;
}

/* The grid's columns, each once. */
static lspo_status_t find_own(lspo_sweep_cells_t *cells)
{
    lspo_result_field_t columns[FIELDS_MAX];
    size_t count = list_columns(cells, columns);
    for (uint32_t a = 0; a < cells->grid->axis_count; a++) {
        const lspo_axis_t *axis = &cells->grid->axes[a];
        bool known = axis->info.source != LSPO_SOURCE_COLUMN;
        for (size_t i = 0; i < cells->own_count; i++)
            known |= strcmp(cells->own[i], axis->key) == 0;
        if (known)
            continue;
        if (cells->own_count == COLUMNS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %d columns", axis->where, COLUMNS_MAX);
        lspo_status_t status = check_own(cells, axis, columns, count);
        if (status != LSPO_OK)
            return status;
        cells->own[cells->own_count++] = axis->key;
    }
    return LSPO_OK;
}

static void take_column(lspo_sweep_cells_t *cells, const lspo_result_field_t *column)
{
    cells->fields[cells->field_count++] = column->field;
    cells->wanted |= column->needs;
}

static lspo_status_t take_named(lspo_sweep_cells_t *cells, const char *name, const lspo_result_field_t *columns,
                                size_t count)
{
    const char *names[FIELDS_MAX];
    for (size_t i = 0; i < count; i++) {
        if (strcmp(columns[i].field.name, name) != 0) {
            names[i] = columns[i].field.name;
            continue;
        }
        if (cells->field_count == FIELDS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "--columns: more than %d", FIELDS_MAX);
        if (columns[i].needs & beyond & ~(unsigned)LSPO_NEEDS_ADVICE)
            return lspo_error(LSPO_ERR_INPUT, "--columns: a sweep has no %s", name);
        take_column(cells, &columns[i]);
        return LSPO_OK;
    }
    const char *nearest = lspo_name_nearest(name, names, count);
    return lspo_error(LSPO_ERR_INPUT, "--columns: there is no column %s%s%s; `lspo sim --all` shows most of them", name,
                      nearest != NULL ? ", did you mean " : "", nearest != NULL ? nearest : "");
}

static lspo_status_t choose_columns(lspo_sweep_cells_t *cells, const char *list)
{
    lspo_result_field_t columns[FIELDS_MAX];
    size_t count = list_columns(cells, columns);
    if (list == NULL) {
        for (size_t i = 0; i < count; i++)
            if ((columns[i].needs & beyond) == 0)
                take_column(cells, &columns[i]);
        return LSPO_OK;
    }
    char *rest, *text = strdup(list);
    lspo_status_t status = text ? LSPO_OK : lspo_no_memory("--columns");
    for (char *name = text ? strtok_r(text, ", ", &rest) : NULL; status == LSPO_OK && name != NULL;
         name = strtok_r(NULL, ", ", &rest))
        status = take_named(cells, name, columns, count);
    if (status == LSPO_OK && cells->field_count == 0)
        status = lspo_error(LSPO_ERR_INPUT, "--columns is empty");
    free(text);
    return status;
}

static lspo_status_t write_names(lspo_sweep_cells_t *cells)
{
    size_t bytes;
    FILE *file = open_memstream(&cells->names, &bytes);
    if (file == NULL)
        return lspo_no_memory("the names of columns");
    lspo_table_write_names(&(lspo_table_t){.fields = cells->fields, .field_count = cells->field_count}, file);
    return fclose(file) == 0 ? LSPO_OK : lspo_no_memory("the names of columns");
}

/* ---- life ---- */

static lspo_status_t start_worker(worker_t **worker_out)
{
    *worker_out = calloc(1, sizeof **worker_out);
    if (*worker_out == NULL)
        return lspo_no_memory("a worker");
    (*worker_out)->stream = open_memstream(&(*worker_out)->text, &(*worker_out)->bytes);
    return (*worker_out)->stream != NULL ? LSPO_OK : lspo_no_memory("a worker");
}

lspo_status_t lspo_sweep_cells_create(const lspo_sweep_cells_options_t *options, lspo_sweep_cells_t **cells_out)
{
    lspo_sweep_cells_t *cells = calloc(1, sizeof *cells);
    if (cells == NULL)
        return lspo_no_memory("the cells of a sweep");
    cells->grid = options->grid;
    cells->format = options->format;
    cells->bench = options->bench;
    cells->workers = calloc(options->workers, sizeof *cells->workers);
    lspo_status_t status = cells->workers ? LSPO_OK : lspo_no_memory("%u workers", options->workers);
    for (uint32_t i = 0; status == LSPO_OK && i < options->workers; i++, cells->worker_count++)
        status = start_worker(&cells->workers[i]);
    if (status == LSPO_OK)
        status = find_own(cells);
    if (status == LSPO_OK)
        status = choose_columns(cells, options->columns);
    if (status == LSPO_OK)
        status = write_names(cells);
    if (status != LSPO_OK) {
        lspo_sweep_cells_destroy(cells);
        return status;
    }
    *cells_out = cells;
    return LSPO_OK;
}

void lspo_sweep_cells_destroy(lspo_sweep_cells_t *cells)
{
    if (cells == NULL)
        return;
    for (uint32_t i = 0; i < cells->worker_count; i++) {
        if (cells->workers[i]->stream != NULL)
            fclose(cells->workers[i]->stream);
        free(cells->workers[i]->text);
        free(cells->workers[i]);
    }
    free(cells->workers);
    free(cells->names);
    free(cells);
}

const char *lspo_sweep_cells_names(const lspo_sweep_cells_t *cells)
{
    return cells->names;
}

/* ---- predicting ---- */

static const char *device_of(const lspo_sweep_cells_t *cells)
{
    return cells->bench != NULL ? cells->bench->device : NULL;
}

static uint64_t key_of(const worker_t *worker)
{
    return lspo_sweep_key(&(lspo_sweep_identity_t){.model = &worker->ask.request.model,
                                                   .workload = &worker->ask.request.workload,
                                                   .policy = worker->ask.request.policy,
                                                   .machine = &worker->ask.machine,
                                                   .version = lspo_version});
}

/* Native of the plan's model and workload on the machine, or the yardstick of generation, simulated once for all cells
 * that share it. */
static lspo_status_t find_native(worker_t *worker, bool peaks, const lspo_native_t **native_out)
{
    /* Its time does not depend on the iterations of a training's plan. */
    const lspo_workload_t workload = lspo_simulate_native_workload(worker->answer.plan, 0);
    const lspo_policy_t *policy = lspo_policy_baseline(worker->answer.plan->policy->task);
    const uint64_t key = lspo_sweep_key(&(lspo_sweep_identity_t){.model = &worker->answer.plan->model,
                                                                 .workload = &workload,
                                                                 .policy = policy,
                                                                 .machine = &worker->ask.machine,
                                                                 .version = lspo_version});
    for (uint32_t i = 0; i < NATIVES; i++)
        if (worker->natives[i].key == key && (worker->natives[i].peaks || !peaks)) {
            *native_out = &worker->natives[i].native;
            return LSPO_OK;
        }
    known_native_t *known = &worker->natives[worker->next_native++ % NATIVES];
    known->key = 0;
    lspo_status_t status = lspo_simulate_baseline(worker->answer.plan, &worker->ask.machine, peaks, &known->native);
    if (status != LSPO_OK)
        return status;
    known->key = key;
    known->peaks = peaks;
    *native_out = &known->native;
    return LSPO_OK;
}

/* As far as the columns need it.  A time below the lower bound is an error, as in `lspo sim`; only updates that come
 * late make it possible. */
static lspo_status_t simulate(const lspo_sweep_cells_t *cells, worker_t *worker)
{
    lspo_answer_t *answer = &worker->answer;
    unsigned wanted = cells->wanted & (LSPO_WANT_ALL | LSPO_WANT_BOUND);
    const lspo_native_t *native = NULL;
    lspo_status_t status = LSPO_OK;
    if (cells->wanted & LSPO_NEEDS_ADVICE)
        wanted |= LSPO_WANT_ALL;
    if (answer->plan->staleness_steps > 0)
        wanted |= LSPO_WANT_BOUND;
    if (wanted & (LSPO_WANT_NATIVE | LSPO_WANT_NATIVE_PEAKS))
        status = find_native(worker, (wanted & LSPO_WANT_NATIVE_PEAKS) != 0, &native);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate_wanted(answer->plan, answer->machine, wanted, native, &answer->prediction);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate_check_settled(answer->plan, &answer->prediction);
    if (status == LSPO_OK && (cells->wanted & LSPO_NEEDS_ADVICE))
        status = lspo_advise(answer->plan, answer->machine, &answer->prediction, sizeof answer->advice, answer->advice);
    return status == LSPO_OK ? lspo_expect(answer->plan, answer->machine, &answer->expect) : status;
}

static double error_of(uint64_t predicted, uint64_t measured)
{
    return measured > 0 && measured != LSPO_MISSING ? (double)predicted / (double)measured - 1 : (double)NAN;
}

/* What a run of the same cell takes. */
static lspo_status_t measure(const lspo_sweep_cells_t *cells, worker_t *worker)
{
    lspo_run_measured_t *measured = &worker->row.measured;
    const lspo_prediction_t *predicted = &worker->answer.prediction;
    lspo_sweep_ask_flags(&worker->ask, worker->flags, sizeof worker->flags);
    lspo_status_t status = lspo_bench_measure(cells->bench, worker->flags, measured);
    if (status != LSPO_OK)
        return status;
    measured->time_error = predicted->summary.iteration_s / measured->iteration_s - 1;
    measured->peak_gpu_error = error_of(predicted->peak_gpu_bytes, measured->peak_gpu_bytes);
    measured->peak_total_error =
        error_of(predicted->peak_gpu_bytes + predicted->peak_host_bytes, measured->peak_total_bytes);
    return LSPO_OK;
}

static lspo_status_t predict(const lspo_sweep_cells_t *cells, worker_t *worker)
{
    lspo_status_t status = lspo_answer_begin(&worker->ask.request, &worker->ask.machine, &worker->answer);
    if (status == LSPO_OK)
        status = simulate(cells, worker);
    if (status != LSPO_OK)
        return status;
    lspo_answer_result(&worker->answer, &worker->row.result);
    return cells->bench != NULL ? measure(cells, worker) : LSPO_OK;
}

/* ---- rows ---- */

/* What is wrong with this cell only; anything else ends the sweep. */
static bool is_of_cell(lspo_status_t status)
{
    return status != LSPO_ERR_MEMORY && status != LSPO_ERR_IO && status != LSPO_ERR_INTERRUPTED;
}

static lspo_status_t write_row(const lspo_sweep_cells_t *cells, worker_t *worker, lspo_row_t *row_out)
{
    lspo_table_t table = {.fields = cells->fields,
                          .field_count = cells->field_count,
                          .records = &worker->row,
                          .record_bytes = sizeof worker->row,
                          .record_count = 1};
    rewind(worker->stream);
    lspo_status_t status = lspo_table_write_line(&table, 0, cells->format, worker->stream);
    if (status != LSPO_OK)
        return status;
    if (fflush(worker->stream) != 0)
        return lspo_no_memory("a row");
    long bytes = ftell(worker->stream);
    *row_out = (lspo_row_t){worker->text, bytes > 0 ? (size_t)bytes : 0, worker->error[0] != '\0'};
    return LSPO_OK;
}

static void name_cell(const lspo_sweep_cells_t *cells, const lspo_sweep_cell_t *cell, worker_t *worker)
{
    row_t *row = &worker->row;
    row->cell = cell->index;
    row->group = cell->group->name;
    for (size_t i = 0; i < cells->own_count; i++)
        row->columns[i] = lspo_sweep_cell_value(cell, cells->own[i]);
    snprintf(worker->key, sizeof worker->key, "%016" PRIx64, worker->ask.complete ? key_of(worker) : 0);
    row->key = worker->ask.complete ? worker->key : NULL;
    lspo_sweep_ask_flags(&worker->ask, worker->flags, sizeof worker->flags);
    row->flags = worker->flags;
    row->error = worker->error;
}

/* Of a cell that is wrong only what it is. */
static void clear_result(worker_t *worker, const lspo_sweep_cell_t *cell)
{
    lspo_result_t *result = &worker->row.result;
    lspo_result_clear(result);
    result->model = lspo_sweep_cell_value(cell, "model");
    result->machine = lspo_sweep_cell_value(cell, "machine");
    result->policy = cell->policy->name;
    result->version = lspo_version;
}

/* Messages are kept for the row. */
static lspo_status_t fill_row(const lspo_sweep_cells_t *cells, worker_t *worker, const lspo_sweep_cell_t *cell,
                              bool *held_out)
{
    lspo_messages_keep(worker->error, sizeof worker->error);
    lspo_status_t status = lspo_sweep_ask(cell, device_of(cells), &worker->ask);
    *held_out = lspo_sweep_ask_holds(cells->grid, &worker->ask);
    if (*held_out && status == LSPO_OK)
        status = predict(cells, worker);
    lspo_messages_keep(NULL, 0);
    return status;
}

lspo_status_t lspo_sweep_cells_row(void *context, uint32_t index, const lspo_sweep_cell_t *cell, lspo_row_t *row_out)
{
    lspo_sweep_cells_t *cells = context;
    worker_t *worker = cells->workers[index];
    bool held;
    worker->answer = (lspo_answer_t){0};
    lspo_run_measured_clear(&worker->row.measured);
    *row_out = (lspo_row_t){0};
    lspo_status_t status = fill_row(cells, worker, cell, &held);
    if (status == LSPO_ERR_INTERRUPTED)
        goto cleanup;
    if (status != LSPO_OK && !is_of_cell(status)) {
        status = lspo_error(status, "cell %" PRIu64 ": %s", cell->index, worker->error);
        goto cleanup;
    }
    if (!held) {
        status = LSPO_OK;
        goto cleanup;
    }
    if (status != LSPO_OK)
        clear_result(worker, cell);
    else
        worker->error[0] = '\0';
    name_cell(cells, cell, worker);
    status = write_row(cells, worker, row_out);
cleanup:
    lspo_answer_release(&worker->answer);
    return status;
}

lspo_status_t lspo_sweep_cells_crash_row(void *context, const lspo_sweep_cell_t *cell, int signal, lspo_row_t *row_out)
{
    lspo_sweep_cells_t *cells = context;
    worker_t *worker = cells->workers[0];
    lspo_run_measured_clear(&worker->row.measured);
    lspo_messages_keep(worker->error, sizeof worker->error);
    (void)lspo_sweep_ask(cell, device_of(cells), &worker->ask);
    lspo_messages_keep(NULL, 0);
    snprintf(worker->error, sizeof worker->error, "its prediction ended by signal %d (%s)", signal, strsignal(signal));
    clear_result(worker, cell);
    name_cell(cells, cell, worker);
    return write_row(cells, worker, row_out);
}

lspo_status_t lspo_sweep_cells_key(lspo_sweep_cells_t *cells, uint32_t index, const lspo_sweep_cell_t *cell,
                                   uint64_t *key_out, const char **flags_out)
{
    worker_t *worker = cells->workers[index];
    lspo_messages_keep(worker->error, sizeof worker->error);
    lspo_status_t status = lspo_sweep_ask(cell, device_of(cells), &worker->ask);
    bool held = lspo_sweep_ask_holds(cells->grid, &worker->ask);
    lspo_messages_keep(NULL, 0);
    *key_out = 0;
    if (status != LSPO_OK)
        return is_of_cell(status) ? LSPO_OK : lspo_error(status, "cell %" PRIu64 ": %s", cell->index, worker->error);
    if (!held)
        return LSPO_OK;
    *key_out = key_of(worker);
    lspo_sweep_ask_flags(&worker->ask, worker->flags, sizeof worker->flags);
    *flags_out = worker->flags;
    return LSPO_OK;
}
