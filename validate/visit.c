/* visit.c - see visit.h.
 *
 * A visit is disturbed if other processes used more than 6 % of a CPU during it (/proc/stat minus our own CPU time,
 * with a tolerance of two clock ticks), or if the GPU lane's thread ran for less than 90 % of its busy time.  Neither
 * criterion uses a predicted or measured time.
 */
#include "validate/visit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/device/device.h"
#include "traces/median.h"
#include "traces/summary.h"
#include "validate/child.h"

enum { COMMAND_WORDS_MAX = 144, PATH_BYTES = 1024, TICKS_LET_PASS = 2 };
static const double foreign_share_most = 0.06;

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

/* One run of a visit: of a yardstick there is one on each core. */
typedef struct {
    char *words, *argv[COMMAND_WORDS_MAX], trace_path[PATH_BYTES], log[PATH_BYTES];
    int cpu;
} run_t;

/* The first run of a visit keeps its trace at `trace_path`. */
static lspo_status_t prepare_run(const lspo_cell_t *cell, const lspo_measure_options_t *options, const char *trace_path,
                                 uint32_t number, run_t *run)
{
    char suffix[16] = "";
    if (number > 0)
        snprintf(suffix, sizeof suffix, ".%" PRIu32, number);
    snprintf(run->trace_path, sizeof run->trace_path, "%s%s", trace_path, suffix);
    snprintf(run->log, sizeof run->log, "%s/run.log%s", options->folder, suffix);
    run->words = strdup(cell->flags);
    if (run->words == NULL)
        return lspo_no_memory("running a cell");
    command_words(options, run->words, run->trace_path, run->argv);
    if (options->topology != NULL) {
        lspo_topology_t share;
        lspo_topology_share(options->topology, number, cell->cores, &share);
        run->cpu = share.cpu[LSPO_LANE_GPU];
    }
    return LSPO_OK;
}

/* What the slowest of the runs measured: a plan of several devices is as fast as the slowest one. */
static lspo_status_t keep_slowest(run_t *runs, uint32_t count, lspo_visit_t *visit)
{
    double slowest_s = 0;
    for (uint32_t i = 0; i < count; i++) {
        lspo_visit_t one = {0};
        lspo_status_t status = read_visit(runs[i].trace_path, &one);
        if (status != LSPO_OK)
            return status;
        const double core_share = i == 0 ? one.core_share : fmin(visit->core_share, one.core_share);
        const double median_s = lspo_median(one.samples_s, one.sample_count);
        double *dropped_s = one.samples_s;
        if (median_s > slowest_s) {
            dropped_s = visit->samples_s;
            *visit = one;
            slowest_s = median_s;
        }
        free(dropped_s);
        visit->core_share = core_share;
    }
    return LSPO_OK;
}

/* Run all at once; the time that other programs took meanwhile is in the visit. */
static lspo_status_t play_runs(const lspo_cell_t *cell, const lspo_measure_options_t *options, run_t *runs,
                               uint32_t count, lspo_visit_t *visit)
{
    lspo_child_t children[LSPO_CHILDREN_MAX];
    int codes[LSPO_CHILDREN_MAX] = {0};
    double children_s = 0;
    for (uint32_t i = 0; i < count; i++)
        children[i] = (lspo_child_t){
            .argv = runs[i].argv, .log = runs[i].log, .cpu = count > 1 ? &runs[i].cpu : NULL, .stop = options->stop};
    const double before_s = machine_cpu_s();
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_children_run(children, count, codes, &children_s);
    const double wall_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
    const double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
    const double foreign_s = machine_cpu_s() - before_s - children_s - TICKS_LET_PASS * tick_s;
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++)
        if (codes[i] != 0)
            status = explain_failure(cell, codes[i], runs[i].log, options);
    if (status == LSPO_OK)
        status = keep_slowest(runs, count, visit);
    visit->foreign_share = fmax(0, foreign_s / (wall_s * pairs_of_cores()));
    visit->disturbed = visit->foreign_share > foreign_share_most || visit->core_share < LSPO_TRACE_CORE_SHARE_LEAST;
    return status;
}

lspo_status_t lspo_validate_visit(const lspo_cell_t *cell, const lspo_measure_options_t *options,
                                  const char *trace_path, lspo_visit_t *visit_out)
{
    const uint32_t count = cell->yardstick > 0 ? cell->cores : 1;
    lspo_visit_t visit = {0};
    lspo_status_t status = LSPO_OK;
    run_t *runs = calloc(count, sizeof *runs);
    if (runs == NULL)
        return lspo_no_memory("running a cell");
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++)
        status = prepare_run(cell, options, trace_path, i, &runs[i]);
    if (status == LSPO_OK)
        status = play_runs(cell, options, runs, count, &visit);
    if (status == LSPO_OK)
        *visit_out = visit;
    else
        free(visit.samples_s);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            unlink(runs[i].trace_path);
            unlink(runs[i].log);
        }
        free(runs[i].words);
    }
    free(runs);
    return status;
}
