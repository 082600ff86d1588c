/* figure.c - the results of one figure or table; see figure.h. */
#include "report/figure.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/ini.h"
#include "base/input_file.h"

const char *lspo_figure_state_words(lspo_figure_state_t state)
{
    static const char *const words[LSPO_FIGURE_STATES] = {
        "holds", "undecided", "does not hold", "ended with an error", "interrupted", "not run here"};
    return words[state];
}

bool lspo_figure_file_is(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);
    return length > end_length && strcmp(name + length - end_length, end) == 0;
}

/* ---- run.ini ---- */

static lspo_status_t set_text(char **slot, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return lspo_no_memory("the record of a figure");
    free(*slot);
    *slot = copy;
    return LSPO_OK;
}

static lspo_status_t set_number(const lspo_ini_entry_t *entry, double most, double *value_out)
{
    char *end;
    double value = strtod(entry->value, &end);
    if (end == entry->value || *end != '\0' || !(value >= 0 && value <= most))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s = %s: a number from 0 to %.0f", entry->where, entry->key,
                          entry->value, most);
    *value_out = value;
    return LSPO_OK;
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    enum { STATUS_MOST = 255 };
    lspo_figure_run_t *run = context;
    const struct {
        const char *key;
        char **text;
    } texts[] = {{"command", &run->command}, {"run", &run->run},         {"started", &run->started},
                 {"lspo", &run->lspo},       {"gnuplot", &run->gnuplot}, {"machine", &run->machine}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(entry->key, texts[i].key) == 0)
            return set_text(texts[i].text, entry->value);
    if (strcmp(entry->key, "inputs") == 0)
        return LSPO_OK; /* experiments/run.sh's own */
    if (strcmp(entry->key, "seconds") == 0)
        return set_number(entry, 1e9, &run->seconds);
    if (strcmp(entry->key, "status") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key '%s'", entry->where, entry->key);
    double value = 0;
    lspo_status_t status = set_number(entry, STATUS_MOST, &value);
    if (status == LSPO_OK) {
        run->status = (int)value;
        run->ended = true;
    }
    return status;
}

static lspo_status_t read_run(const char *path, lspo_figure_run_t *run)
{
    char **const texts[] = {&run->command, &run->run, &run->started, &run->lspo, &run->gnuplot, &run->machine};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && status == LSPO_OK; i++)
        status = set_text(texts[i], "");
    return status == LSPO_OK ? lspo_ini_read(path, take_key, run) : status;
}

/* ---- the folder ---- */

/* *text_out is NULL if there is no such file. */
static lspo_status_t read_text(const char *path, char **text_out, size_t *bytes_out)
{
    enum { BYTES_MOST = 16 << 20 };
    struct stat file;
    if (stat(path, &file) != 0 && errno == ENOENT)
        return LSPO_OK;
    return lspo_input_read_file(path, BYTES_MOST, text_out, bytes_out);
}

static int by_name(const void *left, const void *right)
{
    const lspo_figure_file_t *first = left, *second = right;
    return strcmp(first->name, second->name);
}

static bool is_own(const char *name)
{
    return name[0] == '.' || strcmp(name, "run.ini") == 0 || strcmp(name, "output.txt") == 0 ||
           strcmp(name, "README.md") == 0;
}

static lspo_status_t add_file(lspo_figure_t *figure, const char *name)
{
    char path[PATH_MAX];
    struct stat file;
    snprintf(path, sizeof path, "%s/%s", figure->folder, name);
    if (is_own(name) || stat(path, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size == 0)
        return LSPO_OK;
    lspo_status_t status = lspo_array_grow(&figure->files, &figure->file_capacity, figure->file_count + 1,
                                           sizeof *figure->files, "files of a figure");
    if (status != LSPO_OK)
        return status;
    char *copy = strdup(name);
    if (copy == NULL)
        return lspo_no_memory("the name of a file");
    figure->files[figure->file_count++] = (lspo_figure_file_t){copy, (uint64_t)file.st_size};
    return LSPO_OK;
}

static lspo_status_t list_files(lspo_figure_t *figure)
{
    DIR *folder = opendir(figure->folder);
    if (folder == NULL)
        return lspo_error(lspo_status_of_errno(errno), "cannot read the folder %s: %s", figure->folder,
                          strerror(errno));
    lspo_status_t status = LSPO_OK;
    const struct dirent *entry;
    while (status == LSPO_OK && (entry = readdir(folder)) != NULL)
        status = add_file(figure, entry->d_name);
    closedir(folder);
    if (status == LSPO_OK && figure->file_count > 0)
        qsort(figure->files, figure->file_count, sizeof *figure->files, by_name);
    return status;
}

/* A signal that ended a program is 128 and its number in a shell's status. */
static lspo_figure_state_t state_of(const lspo_figure_t *figure)
{
    enum { SIGNALLED = 128 };
    if (!figure->run.ended || figure->run.status > SIGNALLED)
        return LSPO_FIGURE_INTERRUPTED;
    const size_t *counts = figure->claims.counts;
    if (counts[LSPO_CLAIM_FAILS] > 0)
        return LSPO_FIGURE_FAILS;
    if (figure->run.status != 0)
        return LSPO_FIGURE_BROKEN;
    return counts[LSPO_CLAIM_HOLDS] == 0 && counts[LSPO_CLAIM_UNDECIDED] > 0 ? LSPO_FIGURE_UNDECIDED
                                                                             : LSPO_FIGURE_HOLDS;
}

static lspo_status_t read_parts(lspo_figure_t *figure)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run.ini", figure->folder);
    struct stat file;
    if (stat(path, &file) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return LSPO_OK;
    lspo_status_t status = read_run(path, &figure->run);
    if (status != LSPO_OK)
        return status;
    snprintf(path, sizeof path, "%s/README.md", figure->folder);
    status = read_text(path, &figure->readme, &figure->readme_bytes);
    if (status != LSPO_OK)
        return status;
    snprintf(path, sizeof path, "%s/output.txt", figure->folder);
    status = read_text(path, &figure->output, &figure->output_bytes);
    if (status == LSPO_OK && figure->output != NULL)
        status = lspo_claims_find(figure->output, figure->output_bytes, &figure->claims);
    if (status != LSPO_OK)
        return status;
    figure->state = state_of(figure);
    return list_files(figure);
}

lspo_status_t lspo_figure_read(const char *results, const char *name, lspo_figure_t *figure_out)
{
    lspo_figure_t figure = {.state = LSPO_FIGURE_NOT_RUN};
    if (asprintf(&figure.folder, "%s/%s", results, name) < 0)
        figure.folder = NULL;
    figure.name = strdup(name);
    lspo_status_t status =
        figure.folder == NULL || figure.name == NULL ? lspo_no_memory("the name of a figure") : read_parts(&figure);
    if (status != LSPO_OK)
        lspo_figure_release(&figure);
    else
        *figure_out = figure;
    return status;
}

void lspo_figure_release(lspo_figure_t *figure)
{
    lspo_figure_run_t *run = &figure->run;
    char *const texts[] = {run->command, run->run,     run->started,   run->lspo,      run->gnuplot,
                           run->machine, figure->name, figure->folder, figure->readme, figure->output};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (size_t i = 0; i < figure->file_count; i++)
        free(figure->files[i].name);
    free(figure->files);
    lspo_claims_release(&figure->claims);
    *figure = (lspo_figure_t){0};
}
