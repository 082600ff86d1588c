/* cmd_report.c - `lspo report`: the results of experiments/run.sh as one page. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/output_file.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "report/html.h"
#include "report/page.h"

typedef struct {
    const char *output_path;
} report_request_t;

static const lspo_arg_t report_args[] = {
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .help = "write the page here (RESULTS/report.html)",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(report_request_t, output_path)},
};

static const lspo_arg_group_t report_group = LSPO_ARG_GROUP("options", report_args);

/* The URL of the folder, for links from a page that is elsewhere. */
static lspo_status_t make_beside(const char *folder, char **url_out)
{
    char path[PATH_MAX], *url = NULL;
    size_t bytes;
    if (realpath(folder, path) == NULL)
        return lspo_error(lspo_status_of_errno(errno), "the folder of results '%s': %s", folder, strerror(errno));
    FILE *file = open_memstream(&url, &bytes);
    if (file == NULL)
        return lspo_no_memory("the address of the results");
    fputs("file://", file);
    lspo_html_url_data(file, path, strlen(path));
    fputc('/', file);
    lspo_status_t status = lspo_html_close(file, &url);
    if (status == LSPO_OK)
        *url_out = url;
    else
        free(url);
    return status;
}

static lspo_status_t write_page(const char *path, const char *text, size_t bytes)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fwrite(text, 1, bytes, output.file);
    return lspo_output_finish(&output, LSPO_OK);
}

static void print_counts(const char *path, const lspo_results_t *results)
{
    size_t failed = results->states[LSPO_FIGURE_FAILS] + results->states[LSPO_FIGURE_BROKEN];
    const size_t *claims = results->claims;
    printf("%s: %zu figures and tables, of which %zu %s not hold; %zu claim%s, %zu %s not, %zu undecided\n", path,
           results->count, failed, failed == 1 ? "does" : "do", claims[LSPO_CLAIM_HOLDS],
           claims[LSPO_CLAIM_HOLDS] == 1 ? " holds" : "s hold", claims[LSPO_CLAIM_FAILS],
           claims[LSPO_CLAIM_FAILS] == 1 ? "does" : "do", claims[LSPO_CLAIM_UNDECIDED]);
}

static lspo_status_t make_page(const lspo_results_t *results, const report_request_t *request)
{
    char data_folder[PATH_MAX], own_path[PATH_MAX], *beside = NULL, *text = NULL;
    size_t bytes;
    snprintf(own_path, sizeof own_path, "%s/report.html", results->folder);
    lspo_status_t status = lspo_data_folder(data_folder);
    if (status == LSPO_OK && request->output_path != NULL)
        status = make_beside(results->folder, &beside);
    if (status == LSPO_OK)
        status = lspo_page_make(
            results, &(lspo_page_options_t){.data_folder = data_folder, .beside = beside != NULL ? beside : ""}, &text,
            &bytes);
    if (status == LSPO_OK)
        status = write_page(request->output_path != NULL ? request->output_path : own_path, text, bytes);
    if (status == LSPO_OK)
        print_counts(request->output_path != NULL ? request->output_path : own_path, results);
    free(text);
    free(beside);
    return status;
}

static lspo_status_t report(int argc, char **argv)
{
    report_request_t request = {0};
    lspo_positionals_t folders;
    lspo_results_t results;
    lspo_status_t status = lspo_command_parse(&lspo_command_report, argc, argv, &request, &folders);
    if (status != LSPO_OK)
        return status;
    status = lspo_results_read(folders.texts[0], &results);
    if (status != LSPO_OK)
        return status;
    status = make_page(&results, &request);
    lspo_results_release(&results);
    return status;
}

const lspo_command_t lspo_command_report = {
    .name = "report",
    .summary = "the results of the experiments as one page for a browser",
    .usage = "RESULTS [-o FILE]",
    .about =
        "Write a page about the folder RESULTS, which experiments/run.sh filled: for each figure and table a "
        "verdict per claim, the pictures, the numbers as they were printed, the CSV, and how it was made. It begins "
        "with what holds, what does not, and what this machine can train. experiments/run.sh and make experiments "
        "end with it.\n\n"
        "The page is one file below 5 MB that needs nothing else and no network. Pictures that gnuplot drew with "
        "`mouse` are interactive: a click on a name hides its curve, Ctrl and the wheel zoom, a right click shows "
        "all again. Files above 64 kB (in a page that would have 4 MB, smaller ones, too) are inside compressed, for "
        "which the browser needs JavaScript. CSV and pictures that do not fit are linked in the folder of results.",
    .examples = "lspo report results\n"
                "lspo report results -o evaluation.html",
    .common = "output",
    .details = "The exit status is 0 whatever holds. Figures that were not run in the newest run are labelled with "
               "their date, and those that were interrupted or never run are named as such.",
    .groups = (const lspo_arg_group_t *const[]){&report_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "FOLDER",
    .run = report,
};
