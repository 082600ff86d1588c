/* published_predict.c - predict published steps; see published.h. */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/names.h"
#include "base/words.h"
#include "base/workers.h"
#include "plan/presets.h"
#include "sim/sim.h"
#include "validate/published.h"

enum { MICROS_FEW = LSPO_PUBLISHED_MICROS_FEW, MICROS_MANY = LSPO_PUBLISHED_MICROS_MANY };
enum { WORDS_MAX = 128, PATH_BYTES = 4096 };

/* Columns that are flags of `lspo sim`.  A flag here is refused in the column `flags`. */
static const struct {
    const char *flag;
    size_t offset_bytes;
    bool is_number;
} flag_columns[] = {
    {"--model", offsetof(lspo_published_row_t, model_path), false},
    {"--policy", offsetof(lspo_published_row_t, predicted_policy), false},
    {"--framework", offsetof(lspo_published_row_t, framework), false},
    {"--precision", offsetof(lspo_published_row_t, precision), false},
    {"--checkpointing", offsetof(lspo_published_row_t, checkpointing), false},
    {"--batch", offsetof(lspo_published_row_t, batch), true},
    {"--sequence", offsetof(lspo_published_row_t, sequence), true},
    {"--accumulation", offsetof(lspo_published_row_t, accumulation), true},
};
enum { FLAG_COLUMNS = sizeof flag_columns / sizeof flag_columns[0] };

/* Names */

/* A path is relative to the file of the rows. */
static void path_beside(const char *file, const char *name, char path[PATH_BYTES])
{
    const char *slash = strrchr(file, '/');
    int folder_length = slash != NULL && name[0] != '/' ? (int)(slash + 1 - file) : 0;
    snprintf(path, PATH_BYTES, "%.*s%s", folder_length, file, name);
}

/* The path of a file or folder beside the rows, malloc'd; NULL if there is none. */
static lspo_status_t find_file(const lspo_published_t *published, const char *what, const char *name, char **path_out)
{
    char path[PATH_BYTES];
    path_beside(published->path, name, path);
    *path_out = NULL;
    if (access(path, F_OK) != 0)
        return lspo_name_is_path(name) && strchr(name, '+') == NULL
                   ? lspo_error(LSPO_ERR_INPUT, "%s: there is no file %s", what, path)
                   : LSPO_OK;
    *path_out = strdup(path);
    return *path_out != NULL ? LSPO_OK : lspo_no_memory("%s", what);
}

static void name_column(const lspo_published_t *published, const lspo_published_row_t *row, const char *column,
                        char what[PATH_BYTES])
{
    snprintf(what, PATH_BYTES, "%s:%" PRIu64 ": column %s", published->path, row->line, column);
}

/* A preset's name or a path, malloc'd. */
static lspo_status_t find_model(const lspo_published_t *published, const lspo_published_row_t *row, char **path_out)
{
    static const char folder[] = "models";
    char what[PATH_BYTES];
    name_column(published, row, "model", what);
    if (lspo_preset_find(folder, row->model) != NULL) {
        *path_out = strdup(row->model);
        return *path_out != NULL ? LSPO_OK : lspo_no_memory("%s", what);
    }
    lspo_status_t status = find_file(published, what, row->model, path_out);
    if (status != LSPO_OK || *path_out != NULL)
        return status;
    const char *names[LSPO_PRESETS_MAX];
    uint32_t count = lspo_preset_names(folder, names);
    return lspo_name_refuse(what, row->model, names, count, ", nor a file beside the rows");
}

/* Machines */

/* lspo's own card or machine of that name, if there is one. */
static lspo_status_t find_card(const char *name, lspo_machine_t *machine_out, bool *found_out)
{
    static const lspo_machine_part_t parts[] = {LSPO_PART_CARD, LSPO_PART_MACHINE};
    *found_out = false;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++)
        for (uint32_t i = 0; i < lspo_machine_preset_count(parts[p]); i++)
            if (strcmp(lspo_machine_preset_name(parts[p], i), name) == 0) {
                *found_out = true;
                return lspo_machine_preset(parts[p], i, machine_out);
            }
    return LSPO_OK;
}

/* A machine or card that lspo has, or one of each joined. */
static bool is_own_machine(const char *name)
{
    return lspo_preset_find("machines", name) != NULL || lspo_preset_find("machines/cards", name) != NULL;
}

static lspo_status_t refuse_machine(const char *what, const char *name)
{
    const char *names[LSPO_PRESETS_MAX];
    uint32_t count = lspo_machine_preset_count(LSPO_PART_MACHINE);
    for (uint32_t i = 0; i < count; i++)
        names[i] = lspo_machine_preset_name(LSPO_PART_MACHINE, i);
    const char *nearest = lspo_name_nearest(name, names, count);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: '%s' is not one of `lspo list machines`, nor CARD+HOST, nor a file beside the rows%s%s%s",
                      what, name, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "?" : "");
}

/* The profile of a file: [gpu] and [products] of lspo's own card of its name, if there is one. */
static lspo_status_t read_file(const char *path, lspo_published_profile_t *profile)
{
    bool found = false;
    lspo_machine_t own;
    lspo_status_t status = lspo_machine_find(path, &profile->machine);
    if (status != LSPO_OK)
        return status;
    status = find_card(profile->machine.name, &own, &found);
    if (status != LSPO_OK)
        return status;
    profile->card = found ? "project" : "file";
    if (found) {
        profile->machine.gpu = own.gpu;
        profile->machine.products = own.products;
    }
    return LSPO_OK;
}

static lspo_status_t read_profile(const lspo_published_t *published, const lspo_published_row_t *row,
                                  lspo_published_profile_t *profile)
{
    char what[PATH_BYTES], *path = NULL;
    name_column(published, row, "machine", what);
    *profile = (lspo_published_profile_t){.name = row->machine, .card = "preset"};
    if (is_own_machine(row->machine))
        return lspo_machine_find(row->machine, &profile->machine);
    lspo_status_t status = find_file(published, what, row->machine, &path);
    if (status != LSPO_OK)
        return status;
    if (path != NULL)
        status = read_file(path, profile);
    else if (strchr(row->machine, '+') != NULL)
        status = lspo_machine_find(row->machine, &profile->machine);
    else
        return refuse_machine(what, row->machine);
    free(path);
    return status != LSPO_OK ? lspo_error(status, "%s: '%s' cannot be read", what, row->machine) : LSPO_OK;
}

/* The machines that the rows name, each once. */
static lspo_status_t read_profiles(lspo_published_t *published)
{
    published->profiles = calloc(published->row_count, sizeof *published->profiles);
    if (published->profiles == NULL)
        return lspo_no_memory("machines of published steps");
    for (uint32_t i = 0; i < published->row_count; i++) {
        lspo_published_row_t *row = &published->rows[i];
        while (row->profile < published->profile_count &&
               strcmp(published->profiles[row->profile].name, row->machine) != 0)
            row->profile++;
        if (row->profile == published->profile_count) {
            lspo_status_t status = read_profile(published, row, &published->profiles[row->profile]);
            if (status != LSPO_OK)
                return status;
            published->profile_count++;
        }
        row->card = published->profiles[row->profile].card;
    }
    return LSPO_OK;
}

/* Rows */

typedef char number_t[24];

/* The words of the row's columns; returns their number.  `numbers` are its texts. */
static size_t column_words(const lspo_published_row_t *row, uint64_t accumulation, number_t numbers[FLAG_COLUMNS],
                           char *words[WORDS_MAX])
{
    size_t count = 0;
    words[count++] = (char *)(uintptr_t) "sim";
    for (size_t i = 0; i < FLAG_COLUMNS; i++) {
        const char *slot = (const char *)row + flag_columns[i].offset_bytes;
        if (!flag_columns[i].is_number && **(char *const *)(const void *)slot == '\0')
            continue;
        uint64_t number = flag_columns[i].offset_bytes == offsetof(lspo_published_row_t, accumulation)
                              ? accumulation
                              : *(const uint64_t *)(const void *)slot;
        if (flag_columns[i].is_number)
            snprintf(numbers[i], sizeof numbers[i], "%" PRIu64, number);
        words[count++] = (char *)(uintptr_t)flag_columns[i].flag;
        words[count++] = flag_columns[i].is_number ? numbers[i] : *(char *const *)(const void *)slot;
    }
    if (strcmp(row->predicted_policy, row->policy) != 0) {
        words[count++] = (char *)(uintptr_t) "--update";
        words[count++] = (char *)(uintptr_t) "after";
    }
    return count;
}

static bool is_flag(const char *word, const char *flag)
{
    size_t length = strlen(flag);
    return strncmp(word, flag, length) == 0 && (word[length] == '\0' || word[length] == '=');
}

/* A flag that a column gives would silently replace it. */
static lspo_status_t check_words(const char *what, char *const *words, size_t count)
{
    for (size_t w = 0; w < count; w++) {
        bool has_column = is_flag(words[w], "--machine");
        for (size_t i = 0; i < FLAG_COLUMNS; i++)
            has_column |= is_flag(words[w], flag_columns[i].flag);
        if (has_column)
            return lspo_error(LSPO_ERR_INPUT, "%s: '%s' has a column of its own", what, words[w]);
    }
    return LSPO_OK;
}

/* What the row asks for, and its machine with its overrides. */
static lspo_status_t ask(const lspo_published_t *published, const lspo_published_row_t *row,
                         const lspo_published_options_t *options, uint64_t accumulation, lspo_machine_t *machine_out,
                         lspo_asked_t *asked_out)
{
    char what[PATH_BYTES], *words[WORDS_MAX], *flags = strdup(row->flags);
    number_t numbers[FLAG_COLUMNS];
    size_t count = column_words(row, accumulation, numbers, words), flag_count = 0;
    if (flags == NULL)
        return lspo_no_memory("flags");
    name_column(published, row, "flags", what);
    lspo_status_t status = lspo_words_split(what, flags, WORDS_MAX - count, words + count, &flag_count);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_words(what, words + count, flag_count);
    if (status != LSPO_OK)
        goto cleanup;
    *machine_out = published->profiles[row->profile].machine;
    status = options->read_words((int)(count + flag_count), words, machine_out, asked_out);
    if (status != LSPO_OK)
        status = lspo_error(status, "%s:%" PRIu64 ": at row '%s', flags '%s'", published->path, row->line, row->id,
                            row->flags);
cleanup:
    free(flags);
    return status;
}

/* Find every model and read every flag, so that what is wrong is said before anything is predicted. */
static lspo_status_t check_rows(const lspo_published_options_t *options, lspo_published_t *published)
{
    for (uint32_t i = 0; i < published->row_count; i++) {
        lspo_published_row_t *row = &published->rows[i];
        lspo_machine_t machine;
        lspo_asked_t asked;
        lspo_status_t status = find_model(published, row, &row->model_path);
        if (status != LSPO_OK)
            return status;
        status = ask(published, row, options, row->accumulation, &machine, &asked);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_published_plan(const lspo_published_t *published, const lspo_published_options_t *options,
                                  uint64_t accumulation, const lspo_published_row_t *row, lspo_machine_t *machine_out,
                                  lspo_plan_t **plan_out)
{
    lspo_asked_t asked;
    lspo_status_t status = ask(published, row, options, accumulation, machine_out, &asked);
    if (status != LSPO_OK)
        return status;
    return lspo_tune_transition(&asked.model, &asked.workload, asked.policy, machine_out, plan_out);
}

/* The time per step, and memory, with this many micro-batches. */
static lspo_status_t simulate(const lspo_published_t *published, const lspo_published_options_t *options,
                              uint64_t accumulation, lspo_published_row_t *row, double *step_s_out)
{
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_prediction_t prediction;
    lspo_status_t status = lspo_published_plan(published, options, accumulation, row, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, &machine, &prediction, NULL);
    if (status != LSPO_OK)
        goto destroy_plan;
    status = lspo_simulate_check_settled(plan, &prediction);
    if (status != LSPO_OK)
        goto release_prediction;
    *step_s_out = prediction.summary.iteration_s;
    row->fits = prediction.fits;
    row->gpu_tensor_bytes = prediction.gpu_tensor_bytes;
    row->peak_gpu_bytes = prediction.peak_gpu_bytes + (uint64_t)machine.gpu.context_bytes;
    row->peak_gpu_bound_bytes = prediction.peak_gpu_bound_bytes + (uint64_t)machine.gpu.context_bytes;
release_prediction:
    lspo_prediction_release(&prediction);
destroy_plan:
    lspo_plan_destroy(plan);
    return status;
}

static lspo_status_t predict_row(const lspo_published_t *published, const lspo_published_options_t *options,
                                 lspo_published_row_t *row)
{
    double few_s = 0, many_s = 0;
    bool micro = strcmp(row->kind, "micro") == 0;
    lspo_status_t status = LSPO_OK;
    if (micro)
        status = simulate(published, options, MICROS_MANY, row, &many_s);
    if (status != LSPO_OK)
        return status;
    status = simulate(published, options, micro ? MICROS_FEW : row->accumulation, row, &few_s);
    if (status != LSPO_OK)
        return status;
    row->predicted_s = micro ? (many_s - few_s) / (MICROS_MANY - MICROS_FEW) : few_s;
    row->error = row->predicted_s / row->measured_s - 1;
    if (isnan(row->published_peak_gpu_bytes))
        return LSPO_OK;
    uint64_t counted_bytes = row->counts_allocated ? row->gpu_tensor_bytes : row->peak_gpu_bytes;
    row->peak_error = (double)counted_bytes / row->published_peak_gpu_bytes - 1;
    row->above_bound = row->published_peak_gpu_bytes > (double)row->peak_gpu_bound_bytes;
    return LSPO_OK;
}

/* Workers */

typedef struct {
    const lspo_published_options_t *options;
    lspo_published_t *published;
    lspo_status_t *statuses; /* by row */
    atomic_uint done;
} job_t;

static void predict_item(void *context, uint32_t worker, size_t item)
{
    job_t *job = context;
    job->statuses[item] = predict_row(job->published, job->options, &job->published->rows[item]);
    unsigned done = atomic_fetch_add(&job->done, 1) + 1;
    if (worker == 0)
        job->options->progress(job->options->progress_context, "predicting", done, job->published->row_count);
}

static lspo_status_t predict_rows(const lspo_published_options_t *options, lspo_published_t *published)
{
    lspo_workers_t *workers = NULL;
    job_t job = {.options = options, .published = published};
    lspo_status_t status = LSPO_OK;
    job.statuses = calloc(published->row_count, sizeof *job.statuses);
    if (job.statuses == NULL)
        return lspo_no_memory("predicting %u published steps", published->row_count);
    status = lspo_workers_create(options->threads, NULL, &workers);
    if (status != LSPO_OK)
        goto free_statuses;
    lspo_workers_run(workers, published->row_count, predict_item, &job);
    for (uint32_t i = 0; i < published->row_count && status == LSPO_OK; i++)
        if (job.statuses[i] != LSPO_OK)
            status = lspo_error(job.statuses[i], "%s:%" PRIu64 ": row '%s' cannot be predicted", published->path,
                                published->rows[i].line, published->rows[i].id);
    lspo_workers_destroy(workers);
free_statuses:
    free(job.statuses);
    return status;
}

lspo_status_t lspo_published_predict(const lspo_published_options_t *options, lspo_published_t *published)
{
    lspo_status_t status = read_profiles(published);
    if (status != LSPO_OK)
        return status;
    status = check_rows(options, published);
    if (status != LSPO_OK)
        return status;
    return predict_rows(options, published);
}
