/* published.c - see published.h. */
#include "cli/published.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/output_file.h"
#include "cli/asked.h"
#include "cli/progress.h"
#include "validate/published.h"
#include "validate/published_fit.h"

enum { THREADS = 2, PATH_BYTES = 4096 };

static lspo_status_t store_where(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    lspo_published_request_t *request = slot;
    (void)arg;
    if (strchr(text, '=') == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not COLUMN=VALUE, such as kind=offload", what, text);
    if (request->where_count == LSPO_WHERE_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s is given more than %d times", what, LSPO_WHERE_MAX);
    request->where[request->where_count++] = text;
    return LSPO_OK;
}

static const lspo_arg_t published_args[] = {
    {.name = "published",
     .value = "FILE",
     .help = "steps that others published; see below",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_published_request_t, path)},
    {.name = "memory",
     .value = "FILE",
     .help = "their peaks of GPU memory, CSV with id and peak_gpu_GiB (memory.csv beside FILE, if there is one)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_published_request_t, memory_path)},
    {.name = "bands",
     .value = "FILE",
     .help = "also write how measured / predicted is spread, by kind, framework and machine: CSV, as in bands.csv",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(lspo_published_request_t, bands_path)},
    {.name = "where",
     .value = "COLUMN=VALUE",
     .help = "only rows with this value: source=vtrain; may be repeated",
     .store = store_where},
    {.name = "fit",
     .value = "FOLDER",
     .help = "fit the frameworks' values to all rows, and write their files there",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_published_request_t, fit_folder)},
    {.name = "leave-out",
     .help = "also fit without each source, and predict it by that",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_published_request_t, leave_out)},
};
const lspo_arg_group_t lspo_published_group = LSPO_ARG_GROUP("with --published", published_args);

static lspo_status_t keep_wanted(const lspo_published_request_t *request, lspo_published_t *published)
{
    for (uint32_t i = 0; i < request->where_count; i++) {
        lspo_status_t status = lspo_published_keep(request->where[i], published);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The file that was named, else memory.csv beside the rows if it exists. */
static lspo_status_t read_memory(const lspo_published_request_t *request, lspo_published_t *published)
{
    char beside[PATH_BYTES];
    const char *slash = strrchr(request->path, '/'), *path = request->memory_path;
    if (path == NULL) {
        snprintf(beside, sizeof beside, "%.*smemory.csv", slash != NULL ? (int)(slash + 1 - request->path) : 0,
                 request->path);
        if (access(beside, F_OK) != 0 && errno == ENOENT)
            return LSPO_OK;
        path = beside;
    }
    return lspo_published_read_memory(path, request->where_count > 0, published);
}

/* All rows; then fits to them. */
static lspo_status_t predict(const lspo_published_request_t *request, const lspo_published_options_t *options,
                             lspo_published_t *published, lspo_published_fit_t **fit_out)
{
    lspo_status_t status = lspo_published_predict(options, published);
    if (status != LSPO_OK || (request->fit_folder == NULL && !request->leave_out))
        return status;
    status = lspo_published_fit_create(options, published, fit_out);
    if (status == LSPO_OK && request->fit_folder != NULL)
        status = lspo_published_fit_check(*fit_out, request->fit_folder);
    if (status == LSPO_OK && request->fit_folder != NULL)
        status = lspo_published_fit(*fit_out);
    if (status == LSPO_OK && request->leave_out)
        status = lspo_published_leave_out(*fit_out);
    return status;
}

static lspo_status_t print(const lspo_published_result_t *result, lspo_format_t format)
{
    if (format == LSPO_FORMAT_CSV)
        return lspo_published_write_csv(result->published, stdout);
    if (format == LSPO_FORMAT_JSON)
        return lspo_published_write_json(result, stdout);
    lspo_published_write_report(result, stdout);
    return LSPO_OK;
}

static lspo_status_t score_and_print(const lspo_published_request_t *request, const lspo_published_t *published,
                                     const lspo_published_fit_t *fit)
{
    lspo_published_scores_t scores, left_out = {0};
    lspo_published_result_t result = {.published = published, .scores = &scores};
    lspo_status_t status = lspo_published_score(published, &scores);
    if (status != LSPO_OK)
        return status;
    if (request->leave_out) {
        status = lspo_published_score_left_out(published, &left_out);
        result.left_out = &left_out;
    }
    if (fit != NULL)
        result.value_count = lspo_published_fit_values(fit, &result.values);
    if (status == LSPO_OK)
        status = print(&result, lspo_format_resolve(request->format));
    lspo_published_scores_release(&left_out);
    lspo_published_scores_release(&scores);
    return status;
}

static lspo_status_t write_bands(const lspo_published_request_t *request, const lspo_published_t *published)
{
    lspo_output_t output;
    if (request->bands_path == NULL)
        return LSPO_OK;
    lspo_status_t status = lspo_output_open(request->bands_path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, lspo_published_write_bands(published, request->leave_out, output.file));
}

/* The file of the rows, ready to be predicted. */
static lspo_status_t read_rows(const lspo_published_request_t *request, lspo_published_t *published)
{
    lspo_status_t status = lspo_published_read(request->path, published);
    if (status != LSPO_OK)
        return status;
    status = keep_wanted(request, published);
    if (status == LSPO_OK)
        status = read_memory(request, published);
    if (status != LSPO_OK)
        lspo_published_release(published);
    return status;
}

/* What is wrong is said before a minute of fits. */
static lspo_status_t check_request(const lspo_published_request_t *request)
{
    struct stat found;
    bool fits = request->fit_folder != NULL || request->leave_out;
    if (fits && request->where_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "--%s is to all rows: it cannot be given with --where",
                          request->fit_folder != NULL ? "fit" : "leave-out");
    if (request->fit_folder != NULL && (stat(request->fit_folder, &found) != 0 || !S_ISDIR(found.st_mode)))
        return lspo_error(LSPO_ERR_INPUT, "--fit: there is no folder %s", request->fit_folder);
    return LSPO_OK;
}

/* Published steps are of trainings. */
static lspo_status_t read_training(int argc, char **argv, lspo_machine_t *machine, lspo_asked_t *asked_out)
{
    return lspo_asked_read(argc, argv, false, machine, asked_out);
}

lspo_status_t lspo_published_run(const lspo_published_request_t *request)
{
    lspo_published_t published;
    lspo_published_fit_t *fit = NULL;
    lspo_progress_t progress;
    lspo_published_options_t options = {.read_words = read_training,
                                        .threads = THREADS,
                                        .progress = lspo_progress_update,
                                        .progress_context = &progress};
    lspo_status_t status = check_request(request);
    if (status != LSPO_OK)
        return status;
    status = read_rows(request, &published);
    if (status != LSPO_OK)
        return status;
    lspo_progress_start(&progress);
    status = predict(request, &options, &published, &fit);
    lspo_progress_end(&progress);
    if (status == LSPO_OK && request->fit_folder != NULL)
        status = lspo_published_fit_write(fit, request->fit_folder);
    if (status == LSPO_OK)
        status = write_bands(request, &published);
    if (status == LSPO_OK)
        status = score_and_print(request, &published, fit);
    lspo_published_fit_destroy(fit);
    lspo_published_release(&published);
    return status;
}
