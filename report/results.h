/* results.h - the folder of results of experiments/run.sh.
 *
 *     .lspo-experiments   the mark that the folder is theirs
 *     figures             names of all figures and tables, one per line, in their order
 *     NAME/               the results of each that was run (report/figure.h)
 *     trains.csv          what this machine can train; only after a figure that measured it
 */
#ifndef LSPO_REPORT_RESULTS_H
#define LSPO_REPORT_RESULTS_H

#include <stddef.h>

#include "report/figure.h"

typedef struct {
    char *folder; /* owned, as given */
    lspo_figure_t *figures;
    size_t count, capacity;
    size_t states[LSPO_FIGURE_STATES];
    size_t claims[LSPO_CLAIM_VERDICTS];
    const char *newest_run; /* `run` of the figures of the newest run; "": none was run */
} lspo_results_t;

/* LSPO_ERR_INPUT for a folder that is missing or not one of the experiments.  The caller releases `results_out`. */
lspo_status_t lspo_results_read(const char *folder, lspo_results_t *results_out);
void lspo_results_release(lspo_results_t *results);

#endif
