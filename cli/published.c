/* published.c - see published.h. */
#include "cli/published.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/output_file.h"
#include "cli/asked.h"
#include "cli/progress.h"
#include "validate/published.h"

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

static lspo_status_t predict(lspo_published_t *published)
{
    lspo_progress_t progress;
    lspo_published_options_t options = {.read_words = lspo_asked_read,
                                        .threads = THREADS,
                                        .progress = lspo_progress_update,
                                        .progress_context = &progress};
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_published_predict(&options, published);
    lspo_progress_end(&progress);
    return status;
}

static lspo_status_t print(const lspo_published_t *published, int format)
{
    lspo_published_scores_t scores;
    lspo_format_t resolved = lspo_format_resolve(format);
    if (resolved == LSPO_FORMAT_CSV)
        return lspo_published_write_csv(published, stdout);
    lspo_status_t status = lspo_published_score(published, &scores);
    if (status != LSPO_OK)
        return status;
    if (resolved == LSPO_FORMAT_JSON)
        status = lspo_published_write_json(published, &scores, stdout);
    else
        lspo_published_write_report(published, &scores, stdout);
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
    return lspo_output_finish(&output, lspo_published_write_bands(published, output.file));
}

lspo_status_t lspo_published_run(const lspo_published_request_t *request)
{
    lspo_published_t published;
    lspo_status_t status = lspo_published_read(request->path, &published);
    if (status != LSPO_OK)
        return status;
    status = keep_wanted(request, &published);
    if (status != LSPO_OK)
        goto release;
    status = read_memory(request, &published);
    if (status != LSPO_OK)
        goto release;
    status = predict(&published);
    if (status != LSPO_OK)
        goto release;
    status = write_bands(request, &published);
    if (status != LSPO_OK)
        goto release;
    status = print(&published, request->format);
release:
    lspo_published_release(&published);
    return status;
}
