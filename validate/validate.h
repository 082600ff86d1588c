/* validate.h - predict every cell of a grid, measure it, and judge how far the predictions are off.
 *
 * predict.h predicts, measure.h measures, and verdict.h compares the two.
 */
#ifndef LSPO_VALIDATE_VALIDATE_H
#define LSPO_VALIDATE_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "validate/grid_cells.h"
#include "validate/predict.h"
#include "validate/verdict.h"

typedef struct {
    const char *machine; /* preset or file of the profile for predictions */
    const char *device, *text_path;
    const char *grid, *folder; /* file of the grid; folder of all results */
    double budget_s, interval; /* see lspo_measure_options_t */
    lspo_thresholds_t thresholds;
    bool resume; /* continue with the visits in the folder */
    bool ablate; /* predict without each part of the model, too */
    lspo_read_flags_t read_flags;
    const lspo_grid_language_t *language; /* of grids in the form of sweeps */
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
    /* Show the verdict; its files have already been written. */
    lspo_status_t (*show)(void *context, const lspo_verdict_t *verdict);
    void *show_context;
} lspo_validate_options_t;

/* Files are written to `folder` (see verdict.h and visits.h), by one process at a time.  LSPO_ERR_ACCURACY and
 * LSPO_ERR_INCONCLUSIVE as in lspo_validate_judge(); LSPO_ERR_INTERRUPTED after Ctrl-C (base/interrupt.h), after the
 * available results have been shown. */
lspo_status_t lspo_validate(const lspo_validate_options_t *options);

#endif
