/* Recorded traces of real devices, replayed: each trace under traces/reference/DEVICE/ names in its header the plan
 * that it measured; the plan is built anew from there, simulated on the folder's machine.ini and held against the
 * recording.  Errors stay below what the folder's file `limits` says, and recordings keep the laws of a trace.  A GPU's
 * folder needs no GPU. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "cli/recorded_plan.h"
#include "sim/sim.h"
#include "traces/accuracy.h"
#include "traces/compare.h"

enum { PATH_BYTES = 1024 };

/* ---- a recording: the plan that its header names, and the rows ---- */

typedef struct {
    lspo_recorded_plan_t plan;
    lspo_trace_t *trace;
} recording_t;

static recording_t recording_open(const char *path)
{
    recording_t recording = {0};
    cr_assert_eq(lspo_trace_read(path, &recording.trace), LSPO_OK);
    const char *origin = lspo_trace_meta(recording.trace, "origin");
    cr_assert(origin != NULL && strcmp(origin, "run") == 0, "%s is no measurement", path);
    cr_assert(lspo_recorded_plan_is_named(recording.trace), "%s: its header does not name a plan", path);
    cr_assert_eq(lspo_recorded_plan_open(recording.trace, &recording.plan), LSPO_OK, "%s: its plan", path);
    return recording;
}

static void recording_close(recording_t *recording)
{
    lspo_recorded_plan_close(&recording->plan);
    lspo_trace_destroy(recording->trace);
}

/* The laws: each op once and as in the plan, after those on which it waits, a lane's ops one after the other (a queue
 * of a device keeps its order, so that this holds there, too), and bytes on a link as in the plan. */
static bool is_lawful(const recording_t *recording)
{
    if (lspo_trace_check(recording->trace, recording->plan.plan) != LSPO_OK)
        return false;
    for (uint32_t i = 0; i < recording->trace->row_count; i++) {
        lspo_trace_row_t planned;
        lspo_trace_row_from_op(recording->plan.plan, recording->trace->rows[i].op, &planned);
        if (planned.bytes != recording->trace->rows[i].bytes)
            return false;
    }
    return true;
}

/* ---- a folder ---- */

typedef struct {
    char path[PATH_BYTES];
    lspo_machine_t machine;
    double mean, worst, kind; /* limits, fractions of the measured iteration; NaN: not stated */
    struct dirent **entries;  /* owned: its traces */
    int entry_count;
} folder_t;

static int is_trace(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 6 && strcmp(entry->d_name + length - 6, ".trace") == 0;
}

static int is_device(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && entry->d_type != DT_REG;
}

static const char *file_of(const folder_t *folder, const char *name, char path[2 * PATH_BYTES])
{
    snprintf(path, 2 * PATH_BYTES, "%s/%s", folder->path, name);
    return path;
}

static lspo_status_t store_limit(void *context, const lspo_ini_entry_t *entry)
{
    folder_t *folder = context;
    const char *key = entry->key, *value = entry->value;
    double *limit = strcmp(key, "iteration_mean") == 0    ? &folder->mean
                    : strcmp(key, "iteration_worst") == 0 ? &folder->worst
                    : strcmp(key, "kind_worst") == 0      ? &folder->kind
                                                          : NULL;
    char *unit;
    double percent = strtod(value, &unit);
    if (limit == NULL || strcmp(entry->section, "limits") != 0 || strcmp(unit, " %") != 0 ||
        !(percent > 0 && percent < 100))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s = %s' is no limit above 0 %% and below 100 %%", entry->where, key,
                          value);
    *limit = percent / 100;
    return LSPO_OK;
}

static bool has_text(const char *path)
{
    FILE *file = fopen(path, "r");
    int first = file != NULL ? fgetc(file) : EOF;
    if (file != NULL)
        fclose(file);
    return first != EOF;
}

static folder_t folder_open(const char *root, const char *name)
{
    folder_t folder = {.mean = (double)NAN, .worst = (double)NAN, .kind = (double)NAN};
    char path[2 * PATH_BYTES];
    snprintf(folder.path, sizeof folder.path, "%.700s/%.255s", root, name);
    cr_assert_eq(lspo_machine_find(file_of(&folder, "machine.ini", path), &folder.machine), LSPO_OK);
    cr_assert_eq(lspo_ini_read(file_of(&folder, "limits", path), store_limit, &folder), LSPO_OK);
    cr_assert(folder.mean > 0 && folder.worst > 0 && folder.kind > 0, "%s lacks a limit", path);
    cr_assert(has_text(file_of(&folder, "commands", path)), "%s is missing", path);
    cr_assert(has_text(file_of(&folder, "system.txt", path)), "%s is missing", path);
    folder.entry_count = scandir(folder.path, &folder.entries, is_trace, alphasort);
    cr_assert_gt(folder.entry_count, 0, "%s holds no traces", folder.path);
    return folder;
}

static void folder_close(folder_t *folder)
{
    for (int i = 0; i < folder->entry_count; i++)
        free(folder->entries[i]);
    free(folder->entries);
}

static recording_t recording_of(const folder_t *folder, int index)
{
    char path[2 * PATH_BYTES];
    return recording_open(file_of(folder, folder->entries[index]->d_name, path));
}

/* Call `each` for every folder there is; there is at least one. */
static void for_each_folder(void (*each)(const folder_t *folder))
{
    const char *source = getenv("LSPO_SOURCE");
    char root[PATH_BYTES];
    struct dirent **devices;
    snprintf(root, sizeof root, "%.900s/traces/reference", source != NULL ? source : ".");
    int count = scandir(root, &devices, is_device, alphasort);
    cr_assert_gt(count, 0, "%s holds no folder", root);
    for (int i = 0; i < count; i++) {
        folder_t folder = folder_open(root, devices[i]->d_name);
        each(&folder);
        folder_close(&folder);
        free(devices[i]);
    }
    free(devices);
}

/* ---- replay ---- */

/* A change of the machine as a trace is simulated on it, NULL for none; after the trace's caps, which would undo it. */
typedef void (*mutation_t)(lspo_machine_t *machine);

static lspo_comparison_t replay(const folder_t *folder, const recording_t *recording, mutation_t mutate)
{
    lspo_machine_t machine = folder->machine;
    lspo_prediction_t prediction;
    lspo_trace_t *predicted;
    lspo_comparison_t comparison;
    cr_assert_eq(lspo_overrides_machine(&recording->plan.request.overrides, &machine), LSPO_OK);
    if (mutate != NULL)
        mutate(&machine);
    cr_assert_eq(lspo_simulate(recording->plan.plan, &machine, &prediction, &predicted), LSPO_OK);
    uint32_t warmup = lspo_simulate_warmup(recording->plan.plan);
    cr_assert_eq(lspo_compare(predicted, recording->trace, warmup, &comparison), LSPO_OK);
    cr_assert_eq(comparison.matched_op_count, recording->plan.plan->op_count);
    lspo_prediction_release(&prediction);
    lspo_trace_destroy(predicted);
    return comparison;
}

static void report(const char *name, const recording_t *recording, const lspo_comparison_t *comparison)
{
    const lspo_compare_row_t *row = &comparison->rows[0];
    printf("  %-24s %-12s %-16s measured %9.3f ms, predicted %9.3f ms (%+5.1f %%); most by %s, %+5.1f %%\n", name,
           recording->plan.plan->model.name, recording->plan.plan->policy->name, 1e3 * comparison->measured.iteration_s,
           1e3 * comparison->predicted.iteration_s, 100 * comparison->error,
           lspo_op_kind_name((lspo_op_kind_t)row->kind), 100 * row->share_of_error);
}

/* True when all traces of the folder together are within its limits. */
static bool is_within_limits(const folder_t *folder, mutation_t mutate, bool speak)
{
    double sum = 0, worst = 0, kind = 0;
    for (int i = 0; i < folder->entry_count; i++) {
        recording_t recording = recording_of(folder, i);
        lspo_comparison_t comparison = replay(folder, &recording, mutate);
        sum += fabs(comparison.error);
        worst = fmax(worst, fabs(comparison.error));
        kind = fmax(kind, fabs(comparison.rows[0].share_of_error)); /* the largest is first */
        if (speak)
            report(folder->entries[i]->d_name, &recording, &comparison);
        lspo_comparison_release(&comparison);
        recording_close(&recording);
    }
    double mean = sum / folder->entry_count;
    if (speak)
        printf("  error of an iteration: mean %.2f %% (at most %.2f), worst %.2f %% (%.2f); worst kind of op %.2f %% "
               "of an "
               "iteration (%.2f)\n",
               100 * mean, 100 * folder->mean, 100 * worst, 100 * folder->worst, 100 * kind, 100 * folder->kind);
    return mean <= folder->mean && worst <= folder->worst && kind <= folder->kind;
}

/* ---- tests ---- */

static void expect_laws(const folder_t *folder)
{
    for (int i = 0; i < folder->entry_count; i++) {
        recording_t recording = recording_of(folder, i);
        cr_expect(is_lawful(&recording), "%s/%s breaks a law", folder->path, folder->entries[i]->d_name);
        recording_close(&recording);
    }
}

Test(reference, recordings_keep_the_laws)
{
    for_each_folder(expect_laws);
}

static void expect_prediction(const folder_t *folder)
{
    printf("%s\n", folder->path);
    cr_expect(is_within_limits(folder, NULL, true), "%s: predictions are outside its limits", folder->path);
}

Test(reference, predictions_are_within_the_limits_of_their_folder)
{
    for_each_folder(expect_prediction);
}

static void halve_link(lspo_machine_t *machine)
{
    machine->link.h2d_Bps /= 2;
    machine->link.d2h_Bps /= 2;
}

static void halve_products(lspo_machine_t *machine)
{
    for (int precision = 0; precision < LSPO_PRECISION_COUNT; precision++)
        machine->gpu.gemm_flops[precision] /= 2;
}

static void halve_optimizer(lspo_machine_t *machine)
{
    machine->cpu.adam_pps /= 2;
    machine->cpu.adam_cached_pps /= 2;
}

/* A folder whose limits a machine with half a rate meets would be no evidence of that rate. */
static void expect_sensitivity(const folder_t *folder)
{
    cr_expect(!is_within_limits(folder, halve_link, false), "%s: half the link's rate is not seen", folder->path);
    cr_expect(!is_within_limits(folder, halve_products, false), "%s: half the products' rate is not seen",
              folder->path);
    cr_expect(!is_within_limits(folder, halve_optimizer, false), "%s: half the optimizer's rate is not seen",
              folder->path);
}

Test(reference, a_machine_with_half_a_rate_is_seen)
{
    for_each_folder(expect_sensitivity);
}

static uint32_t first_on_link(const lspo_trace_t *trace)
{
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].bytes > 0)
            return i;
    return UINT32_MAX;
}

/* The first trace with something on a link, with one row changed. */
static void expect_laws_to_be_seen(const folder_t *folder)
{
    for (int i = 0; i < folder->entry_count; i++) {
        recording_t recording = recording_of(folder, i);
        uint32_t place = first_on_link(recording.trace);
        if (place != UINT32_MAX) {
            lspo_trace_row_t *row = &recording.trace->rows[place], kept = *row;
            cr_expect(is_lawful(&recording));
            row->bytes++;
            cr_expect(!is_lawful(&recording), "a byte more than planned");
            *row = kept;
            row->start_ns = row->end_ns = 0; /* what it sends is not there at the beginning */
            cr_expect(!is_lawful(&recording), "an op before those that it waits for");
            *row = kept;
            row->end_ns = recording.trace->rows[recording.trace->row_count - 1].end_ns;
            cr_expect(!is_lawful(&recording), "a lane with two ops at a time");
            recording_close(&recording);
            return;
        }
        recording_close(&recording);
    }
    cr_expect_fail("%s: nothing was sent in any trace", folder->path);
}

Test(reference, a_broken_law_is_seen)
{
    for_each_folder(expect_laws_to_be_seen);
}
