/* tune_report.h - the answer of `lspo tune`: a row for each result, and sentences and commands for people. */
#ifndef LSPO_CLI_TUNE_REPORT_H
#define LSPO_CLI_TUNE_REPORT_H

#include <stdint.h>

#include "base/status.h"
#include "base/table.h"
#include "cli/command_line.h"
#include "cli/tune_configuration.h"
#include "plan/expect.h"
#include "plan/machine.h"
#include "sim/search.h"
#include "sim/sim.h"

/* Of what the machine might have more. */
typedef enum {
    LSPO_TUNE_LINK,
    LSPO_TUNE_CPU,
    LSPO_TUNE_GPU_MEMORY,
    LSPO_TUNE_HOST_MEMORY,
    LSPO_TUNE_PARTS
} lspo_tune_part_t;

/* Give the machine twice of it. */
void lspo_tune_double(lspo_machine_t *machine, lspo_tune_part_t part);

typedef struct {
    const lspo_model_t *model;
    const lspo_machine_t *machine;
    const lspo_workload_t *workload; /* as asked */
    /* Sets the policy's values as the command does that is printed, without further flags. */
    lspo_status_t (*usual)(void *context, const lspo_policy_t *policy, lspo_workload_t *workload);
    void *context;
    const lspo_search_t *search;
    const lspo_command_line_t *line;
    lspo_objective_t objective;
    const char *objective_name;
    bool one_policy; /* all results are of one */
    bool goes_on;    /* in JSON, begin an object with the key "results" that another writer ends */
} lspo_tune_report_t;

enum { LSPO_TUNE_SETTINGS_BYTES = 512, LSPO_TUNE_COMMAND_BYTES = LSPO_COMMAND_LINE_BYTES + LSPO_TUNE_SETTINGS_BYTES };

typedef struct {
    const lspo_found_t *found;
    lspo_prediction_t prediction; /* with its bound, without its samples */
    lspo_expect_t expect;
    double gains[LSPO_TUNE_PARTS]; /* how many times better the policy's best is with twice of a part */
    lspo_tune_configuration_t configuration;
    char settings[LSPO_TUNE_SETTINGS_BYTES]; /* flags, besides --policy and --batch, that differ from the defaults */
} lspo_tune_row_t;

/* Predict a result; the gains are left to the caller. */
lspo_status_t lspo_tune_row(const lspo_tune_report_t *report, const lspo_found_t *found, lspo_tune_row_t *row_out);

/* The flags by which a result differs from what the command would do without them, besides --policy and --batch. */
lspo_status_t lspo_tune_settings(const lspo_tune_report_t *report, const lspo_found_t *found,
                                 char text[LSPO_TUNE_SETTINGS_BYTES]);
/* "exact", "up to 7 steps late", "compressed: subspace 1024 nnz 8": the parameters that a search may raise. */
void lspo_tune_quality(const lspo_found_t *found, size_t text_bytes, char *text);
/* "lspo COMMAND" with the settings; `command` is sim or run. */
lspo_status_t lspo_tune_command(const lspo_tune_report_t *report, const lspo_found_t *found, const char *settings,
                                const char *command, char text[LSPO_TUNE_COMMAND_BYTES]);

/* Write the rows to standard output. */
lspo_status_t lspo_tune_report_write(const lspo_tune_report_t *report, const lspo_tune_row_t *rows, uint32_t count,
                                     lspo_format_t format);

#endif
