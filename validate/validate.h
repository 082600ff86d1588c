/* validate.h - predict every cell of a grid, measure it, and judge how far the predictions are off.
 *
 * predict.h says what is predicted, measure.h how it is measured, verdict.h what both say together.
 */
#ifndef LSPO_VALIDATE_VALIDATE_H
#define LSPO_VALIDATE_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "validate/predict.h"
#include "validate/verdict.h"

typedef struct {
    const char *machine; /* a preset or a profile's file: it predicts */
    const char *device, *text_path;
    const char *grid, *folder; /* files and folder of cells, visits, traces, report */
    double budget_s, interval; /* see lspo_measure_options_t */
    lspo_thresholds_t thresholds;
    bool resume; /* go on with what is in the folder */
    bool ablate; /* predict without each part of the model, too */
    lspo_read_flags_t read_flags;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
    /* Show the verdict, whose files have been written. */
    lspo_status_t (*show)(void *context, const lspo_verdict_t *verdict);
    void *show_context;
} lspo_validate_options_t;

/* Files are in `folder` (see verdict.h and visits.h), which one process at a time writes to.  LSPO_ERR_ACCURACY and
 * LSPO_ERR_INCONCLUSIVE as lspo_validate_judge(); LSPO_ERR_INTERRUPTED after Ctrl-C (base/interrupt.h), when what there
 * is has been shown. */
lspo_status_t lspo_validate(const lspo_validate_options_t *options);

#endif
