/* figure.h - the results of one figure or table: the folder RESULTS/NAME that experiments/run.sh fills.
 *
 *     run.ini       how it was made: section [run] with the keys of lspo_figure_run_t; written before the figure runs,
 *                   and again with `status` and `seconds` when it ends
 *     output.txt    what the figure and its check printed
 *     README.md     what it is
 *     *.csv *.svg   numbers and pictures; further files are only named
 */
#ifndef LSPO_REPORT_FIGURE_H
#define LSPO_REPORT_FIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "report/claims.h"

typedef struct {
    /* All owned; "" where run.ini does not say. */
    char *command; /* experiments/run.sh fig7 */
    char *run;     /* when the run that it was part of began: 2026-11-30T07:40:12Z */
    char *started; /* when it began itself */
    char *lspo, *gnuplot, *machine;
    double seconds;
    int status; /* exit status */
    bool ended; /* there is a status */
} lspo_figure_run_t;

typedef enum {
    LSPO_FIGURE_HOLDS,       /* every claim that must hold does */
    LSPO_FIGURE_UNDECIDED,   /* no claim that must hold is decided, and some are undecided */
    LSPO_FIGURE_FAILS,       /* a claim does not */
    LSPO_FIGURE_BROKEN,      /* ended with an error before its verdict, or without a claim that failed */
    LSPO_FIGURE_INTERRUPTED, /* did not end, or by a signal */
    LSPO_FIGURE_NOT_RUN,     /* there are no results */
    LSPO_FIGURE_STATES
} lspo_figure_state_t;

typedef struct {
    char *name;
    uint64_t bytes;
} lspo_figure_file_t;

typedef struct {
    char *name, *folder; /* "fig7", RESULTS/fig7 */
    lspo_figure_run_t run;
    lspo_figure_state_t state;
    char *readme, *output; /* NULL: not there */
    size_t readme_bytes, output_bytes;
    lspo_claims_t claims;
    lspo_figure_file_t *files; /* by name, without the three above */
    size_t file_count, file_capacity;
} lspo_figure_t;

/* Read RESULTS/NAME; a folder that is not there, or without run.ini, is a figure that was not run.  LSPO_ERR_INPUT for
 * a file that cannot be read.  The caller releases `figure_out`. */
lspo_status_t lspo_figure_read(const char *results, const char *name, lspo_figure_t *figure_out);
void lspo_figure_release(lspo_figure_t *figure);

/* "holds", "undecided", "does not hold", "ended with an error", "interrupted", "not run here". */
const char *lspo_figure_state_words(lspo_figure_state_t state);

/* Does the name end so, after at least one character? */
bool lspo_figure_file_is(const char *name, const char *end);

#endif
