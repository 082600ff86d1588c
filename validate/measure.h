/* measure.h - measure cells in rounds: each round runs `lspo run` with the flags of every cell, in a process of its
 * own, so that changes of the machine affect all cells alike. */
#ifndef LSPO_VALIDATE_MEASURE_H
#define LSPO_VALIDATE_MEASURE_H

#include <stdatomic.h>
#include <stdint.h>

#include "validate/visits.h"

typedef struct {
    const char *machine; /* the profile of the predictions: what a policy finds by itself is the same here */
    const char *device, *text_path, *folder;
    double interval; /* half-width / median of the interval of a settled cell */
    double budget_s;
    uint32_t visits_least; /* calm visits that a settled cell needs */
    const char *others;    /* lines that visits.csv keeps, see lspo_visits_read() */
    const atomic_int *stop;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_measure_options_t;

/* Visit cells until all are settled, the budget is spent, or *stop is set, which gives LSPO_ERR_INTERRUPTED.
 * `measurements` has one element per cell, with the visits of earlier sessions.  A cell that does not fit the device or
 * this machine is named in a warning and left out.  After each visit all are written to FOLDER/visits.csv; the trace of
 * a cell's last calm visit is in FOLDER/traces/. */
lspo_status_t lspo_validate_measure(const lspo_cells_t *cells, const lspo_measure_options_t *options,
                                    lspo_measurement_t *measurements);

#endif
