/* measure.c - see measure.h.
 *
 * A visit is disturbed if other processes used more than 6 % of a CPU during it (/proc/stat minus our own CPU time,
 * with a tolerance of two clock ticks, its resolution), or if the GPU lane's thread ran for less than 90 % of its busy
 * time.  Neither criterion uses a predicted or measured time.
 */
#include "validate/measure.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/device/device.h"
#include "traces/accuracy.h"
#include "traces/summary.h"
#include "validate/child.h"

enum { COMMAND_WORDS_MAX = 144, PATH_BYTES = 1024, TICKS_LET_PASS = 2 };
static const double foreign_share_most = 0.06;

/* The state of the rounds. */
typedef struct {
    const lspo_cells_t *cells;
    const lspo_measure_options_t *options;
    lspo_measurement_t *measurements;
    uint64_t start_ns;
} rounds_t;

static double elapsed_s(const rounds_t *rounds)
{
    return 1e-9 * (double)(lspo_now_ns() - rounds->start_ns);
}

/* CPU time used by the whole machine so far, including time stolen by its hypervisor; 0 if unknown. */
static double machine_cpu_s(void)
{
    uint64_t user, nice, system, idle, wait, irq, softirq, steal;
    FILE *file = fopen("/proc/stat", "r");
    if (file == NULL)
        return 0;
    int read =
        fscanf(file, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal);
    fclose(file);
    return read == 8 ? (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK) : 0;
}

/* The lanes of a run are on two cores.  On a large machine, only a share of the load of other processes, two of all
 * cores, affects them. */
static double pairs_of_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 2 ? (double)cores / 2 : 1;
}

/* `flags` is split into the words of the command. */
static void command_words(const lspo_measure_options_t *options, char *flags, char *trace_path,
                          char *argv[COMMAND_WORDS_MAX])
{
    char *rest;
    int argc = 0;
    argv[argc++] = "lspo";
    argv[argc++] = "run";
    argv[argc++] = "--timing-only";
    for (char *word = strtok_r(flags, " ", &rest); word != NULL && argc < COMMAND_WORDS_MAX - 10;
         word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc++] = "--machine";
    argv[argc++] = (char *)options->machine;
    argv[argc++] = "--device";
    argv[argc++] = (char *)options->device;
    argv[argc++] = "--trace";
    argv[argc++] = trace_path;
    if (options->text_path != NULL) {
        argv[argc++] = "--text";
        argv[argc++] = (char *)options->text_path;
    }
    argv[argc] = NULL;
}

static lspo_status_t explain_failure(const lspo_cell_t *cell, int code, const char *log,
                                     const lspo_measure_options_t *options)
{
    char line[512];
    if (atomic_load(options->stop) || code == 130)
        return LSPO_ERR_INTERRUPTED;
    lspo_child_last_line(log, line, sizeof line);
    if (code == lspo_status_exit_code(LSPO_ERR_FIT)) {
        lspo_warn("left out: lspo run %s: %s", cell->flags, line);
        return LSPO_ERR_FIT;
    }
    lspo_status_t status = code == 2 ? LSPO_ERR_INPUT : code == 3 ? LSPO_ERR_DEVICE : LSPO_ERR_CHECK;
    return lspo_error(status, "lspo run %s: exit code %d, %s", cell->flags, code, line);
}

static lspo_status_t read_visit(const char *trace_path, lspo_visit_t *visit)
{
    lspo_trace_t *trace;
    lspo_summary_t summary;
    lspo_status_t status = lspo_trace_read(trace_path, &trace);
    if (status != LSPO_OK)
        return status;
    status = lspo_summary_create(trace, LSPO_VALIDATE_WARMUP, &summary);
    if (status != LSPO_OK)
        goto cleanup;
    visit->core_share = lspo_trace_core_share(trace);
    visit->sample_count = summary.sample_count;
    visit->samples_s = summary.samples_s;
    summary.samples_s = NULL;
    lspo_summary_release(&summary);
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

/* Run the cell once; its trace is written to `trace_path`. */
static lspo_status_t visit_cell(const lspo_cell_t *cell, const lspo_measure_options_t *options, char *trace_path,
                                lspo_visit_t *visit_out)
{
    char *argv[COMMAND_WORDS_MAX], log[PATH_BYTES];
    int code = 0;
    double child_s = 0, tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
    lspo_visit_t visit = {0};
    char *flags = strdup(cell->flags);
    if (flags == NULL)
        return lspo_no_memory("running a cell");
    snprintf(log, sizeof log, "%s/run.log", options->folder);
    command_words(options, flags, trace_path, argv);
    double before_s = machine_cpu_s();
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status =
        lspo_child_run(&(lspo_child_t){.argv = argv, .log = log, .stop = options->stop}, &code, &child_s);
    double wall_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
    double foreign_s = machine_cpu_s() - before_s - child_s - TICKS_LET_PASS * tick_s;
    free(flags);
    if (status != LSPO_OK)
        return status;
    if (code != 0)
        status = explain_failure(cell, code, log, options);
    if (status != LSPO_OK)
        return status;
    status = read_visit(trace_path, &visit);
    if (status != LSPO_OK)
        return status;
    visit.foreign_share = fmax(0, foreign_s / (wall_s * pairs_of_cores()));
    visit.disturbed = visit.foreign_share > foreign_share_most || visit.core_share < LSPO_TRACE_CORE_SHARE_LEAST;
    *visit_out = visit;
    return LSPO_OK;
}

static lspo_status_t measure_cell(rounds_t *rounds, uint32_t index, uint32_t round)
{
    const lspo_measure_options_t *options = rounds->options;
    lspo_measurement_t *measurement = &rounds->measurements[index];
    char path[PATH_BYTES], fresh[PATH_BYTES + 8];
    lspo_visit_t visit;
    lspo_cell_trace_path(rounds->cells, index, options->folder, sizeof path, path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    double begun_s = elapsed_s(rounds);
    lspo_status_t status = visit_cell(&rounds->cells->cells[index], options, fresh, &visit);
    measurement->no_room = status == LSPO_ERR_FIT;
    if (measurement->no_room)
        return LSPO_OK;
    if (status != LSPO_OK)
        return status;
    visit.round = round;
    /* The breakdown uses the last undisturbed trace; a disturbed one is better than none. */
    bool keep = !visit.disturbed || measurement->visit_count == 0 || measurement->disturbed;
    if (keep ? rename(fresh, path) != 0 : unlink(fresh) != 0) {
        status = lspo_error(LSPO_ERR_IO, "cannot move %s into place: %s", fresh, strerror(errno));
        goto failed;
    }
    status = lspo_measurement_add(measurement, &visit);
    if (status != LSPO_OK)
        goto failed;
    measurement->visit_s = elapsed_s(rounds) - begun_s;
    status = lspo_measurement_update(measurement);
    if (status != LSPO_OK)
        return status;
    /* After a kill only the current visit is lost. */
    return lspo_visits_write(rounds->cells, rounds->measurements, options->others, options->folder);
failed:
    free(visit.samples_s);
    return status;
}

/* A yardstick is never settled: it is measured for the round, not for itself.  What does not fit is not tried again. */
static bool is_settled(const rounds_t *rounds, uint32_t index)
{
    const lspo_measurement_t *measurement = &rounds->measurements[index];
    const lspo_measure_options_t *options = rounds->options;
    if (measurement->no_room)
        return true;
    return rounds->cells->cells[index].yardstick == 0 && measurement->counted_visits >= options->visits_least &&
           !measurement->disturbed &&
           measurement->high_s - measurement->low_s <= 2 * options->interval * measurement->median_s;
}

static uint32_t count_settled(const rounds_t *rounds)
{
    uint32_t settled = 0;
    for (uint32_t i = 0; i < rounds->cells->count; i++)
        settled += is_settled(rounds, i);
    return settled;
}

/* Before a cell's first visit its duration is estimated by the prediction. */
static double next_visit_s(const rounds_t *rounds, uint32_t index)
{
    const lspo_cell_t *cell = &rounds->cells->cells[index];
    double known_s = rounds->measurements[index].visit_s;
    return known_s > 0 ? known_s : cell->iteration_s[0] * cell->plan->workload.iterations;
}

static void show_progress(const rounds_t *rounds, uint32_t round)
{
    char label[64];
    double left_s = fmax(0, rounds->options->budget_s - elapsed_s(rounds));
    snprintf(label, sizeof label, "settled; round %u, at most %.0f:%02.0f left", round, floor(left_s / 60),
             floor(fmod(left_s, 60)));
    rounds->options->progress(rounds->options->progress_context, label, count_settled(rounds),
                              rounds->cells->count - rounds->cells->yardsticks);
}

static bool has_time(const rounds_t *rounds, uint32_t index)
{
    return elapsed_s(rounds) + next_visit_s(rounds, index) <= rounds->options->budget_s;
}

/* If there is time for it. */
static lspo_status_t visit(rounds_t *rounds, uint32_t index, uint32_t round)
{
    if (atomic_load(rounds->options->stop))
        return LSPO_ERR_INTERRUPTED;
    if (rounds->measurements[index].no_room || !has_time(rounds, index))
        return LSPO_OK;
    show_progress(rounds, round);
    return measure_cell(rounds, index, round);
}

/* Of a round.  A baseline is in the slowdown of every cell of its group, so one visit that a busy host slows down must
 * not decide: of four visits in two rounds the median leaves it out. */
static uint32_t visits_per_round(const rounds_t *rounds, uint32_t index)
{
    return rounds->cells->cells[index].native == index ? 2 : 1;
}

static uint32_t rounds_of(const rounds_t *rounds, uint32_t index)
{
    return rounds->measurements[index].visit_count / visits_per_round(rounds, index);
}

/* The fewest rounds of a cell that is not settled and for which there is time: a round that was cut short, by a signal
 * or the budget, is completed before another begins. */
static uint32_t least_rounds(const rounds_t *rounds)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < rounds->cells->count - rounds->cells->yardsticks; i++)
        if (!is_settled(rounds, i) && has_time(rounds, i) && rounds_of(rounds, i) < least)
            least = rounds_of(rounds, i);
    return least;
}

static bool is_due(const rounds_t *rounds, uint32_t index, uint32_t had)
{
    return !is_settled(rounds, index) && rounds_of(rounds, index) <= had;
}

/* One visit to each yardstick from *next on, so that so many have had theirs. */
static lspo_status_t visit_yardsticks(rounds_t *rounds, uint32_t so_many, uint32_t round, uint32_t *next)
{
    const uint32_t yardsticks = rounds->cells->yardsticks, first = rounds->cells->count - yardsticks;
    lspo_status_t status = LSPO_OK;
    for (; *next < so_many && *next < yardsticks && status == LSPO_OK; ++*next)
        status = visit(rounds, first + *next, round);
    return status;
}

/* The visits of a round to each cell that has had so many rounds, and one to each yardstick, which are spread evenly
 * among the cells. */
static lspo_status_t play_round(rounds_t *rounds, uint32_t round, uint32_t had)
{
    uint32_t yardsticks = rounds->cells->yardsticks, count = rounds->cells->count - yardsticks;
    uint32_t due = 0, done = 0, next = 0;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < count; i++)
        due += is_due(rounds, i, had);
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++) {
        if (!is_due(rounds, i, had))
            continue;
        status = visit_yardsticks(rounds, done++ * yardsticks / due + 1, round, &next);
        for (uint32_t v = 0; v < visits_per_round(rounds, i) && status == LSPO_OK && is_due(rounds, i, had); v++)
            status = visit(rounds, i, round);
    }
    return status == LSPO_OK ? visit_yardsticks(rounds, yardsticks, round, &next) : status;
}

lspo_status_t lspo_validate_measure(const lspo_cells_t *cells, const lspo_measure_options_t *options,
                                    lspo_measurement_t *measurements)
{
    rounds_t rounds = {.cells = cells, .options = options, .measurements = measurements, .start_ns = lspo_now_ns()};
    uint32_t round = 1;
    for (uint32_t i = 0; i < cells->count; i++)
        for (uint32_t v = 0; v < measurements[i].visit_count; v++)
            if (measurements[i].visits[v].round >= round)
                round = measurements[i].visits[v].round + 1;
    for (uint32_t least; (least = least_rounds(&rounds)) != UINT32_MAX; round++) {
        lspo_status_t status = play_round(&rounds, round, least);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
