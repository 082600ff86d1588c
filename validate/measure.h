/* measure.h - measure cells in rounds: each round runs `lspo run` with the flags of every cell, in a process of its
 * own, so that changes of the machine affect all cells alike. */
#ifndef LSPO_VALIDATE_MEASURE_H
#define LSPO_VALIDATE_MEASURE_H

#include "validate/visit.h"

/* Visit cells until all are settled, the budget is spent, or *stop is set, which gives LSPO_ERR_INTERRUPTED.
 * `measurements` has one element per cell, with the visits of earlier sessions.  A cell that does not fit the device or
 * this machine is named in a warning and left out.  After each visit all are written to FOLDER/visits.csv; the trace of
 * a cell's last calm visit is in FOLDER/traces/. */
lspo_status_t lspo_validate_measure(const lspo_cells_t *cells, const lspo_measure_options_t *options,
                                    lspo_measurement_t *measurements);

#endif
