/* results.c - the folder of results of experiments/run.sh; see results.h. */
#include "report/results.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/input_file.h"

static lspo_status_t check_folder(const char *folder)
{
    char path[PATH_MAX];
    struct stat file;
    if (stat(folder, &file) != 0)
        return lspo_error(lspo_status_of_errno(errno), "the folder of results '%s': %s", folder, strerror(errno));
    if (!S_ISDIR(file.st_mode))
        return lspo_error(LSPO_ERR_INPUT, "'%s' is not a folder; experiments/run.sh writes results into one", folder);
    snprintf(path, sizeof path, "%s/.lspo-experiments", folder);
    if (stat(path, &file) != 0)
        return lspo_error(LSPO_ERR_INPUT, "'%s' holds no results of experiments/run.sh (no .lspo-experiments in it)",
                          folder);
    return LSPO_OK;
}

static bool is_name(const char *line, size_t bytes)
{
    enum { NAME_MOST = 64 };
    return bytes > 0 && bytes <= NAME_MOST &&
           strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == bytes;
}

static lspo_status_t add_figure(lspo_results_t *results, const char *name)
{
    lspo_status_t status =
        lspo_array_grow(&results->figures, &results->capacity, results->count + 1, sizeof *results->figures, "figures");
    if (status == LSPO_OK)
        status = lspo_figure_read(results->folder, name, &results->figures[results->count]);
    if (status != LSPO_OK)
        return status;
    const lspo_figure_t *figure = &results->figures[results->count++];
    results->states[figure->state]++;
    for (int verdict = 0; verdict < LSPO_CLAIM_VERDICTS; verdict++)
        results->claims[verdict] += figure->claims.counts[verdict];
    if (figure->state != LSPO_FIGURE_NOT_RUN && strcmp(figure->run.run, results->newest_run) > 0)
        results->newest_run = figure->run.run;
    return LSPO_OK;
}

static lspo_status_t read_names(const char *path, lspo_input_t *input, lspo_results_t *results)
{
    char *line;
    size_t bytes;
    for (;;) {
        lspo_status_t status = lspo_input_line(input, &line, &bytes);
        if (status != LSPO_OK || line == NULL)
            return status;
        if (!is_name(line, bytes))
            return lspo_error(LSPO_ERR_INPUT, "%s:%llu: '%s': not the name of a figure (letters, digits, - and _)",
                              path, (unsigned long long)lspo_input_line_number(input), line);
        for (size_t i = 0; i < results->count; i++)
            if (strcmp(results->figures[i].name, line) == 0)
                return lspo_error(LSPO_ERR_INPUT, "%s:%llu: '%s' is there twice", path,
                                  (unsigned long long)lspo_input_line_number(input), line);
        status = add_figure(results, line);
        if (status != LSPO_OK)
            return status;
    }
}

static lspo_status_t read_figures(lspo_results_t *results)
{
    enum { BYTES_MOST = 65536 };
    char path[PATH_MAX];
    lspo_input_t *input;
    snprintf(path, sizeof path, "%s/figures", results->folder);
    lspo_status_t status = lspo_input_open(path, BYTES_MOST, &input);
    if (status != LSPO_OK)
        return status;
    status = read_names(path, input, results);
    lspo_input_close(input);
    return status;
}

lspo_status_t lspo_results_read(const char *folder, lspo_results_t *results_out)
{
    lspo_results_t results = {.newest_run = ""};
    lspo_status_t status = check_folder(folder);
    if (status != LSPO_OK)
        return status;
    results.folder = strdup(folder);
    status = results.folder == NULL ? lspo_no_memory("the folder of results") : read_figures(&results);
    if (status != LSPO_OK)
        lspo_results_release(&results);
    else
        *results_out = results;
    return status;
}

void lspo_results_release(lspo_results_t *results)
{
    for (size_t i = 0; i < results->count; i++)
        lspo_figure_release(&results->figures[i]);
    free(results->figures);
    free(results->folder);
    *results = (lspo_results_t){0};
}
