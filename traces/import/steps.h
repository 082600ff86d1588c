/* steps.h - the steps that a profile marks, and the iterations of the trace that they become.
 *
 * A step lasts until the next begins, since the CPU may still work for it; only up to its own end where the numbers of
 * the profiler show that the next one is missing, and for the last.  An iteration is an optimizer's step: where the
 * optimizer runs in every K-th step only, at the same distance (gradient accumulation with a step marked after each
 * micro-batch), K steps are one iteration and its micro-batches.
 */
#ifndef LSPO_TRACES_IMPORT_STEPS_H
#define LSPO_TRACES_IMPORT_STEPS_H

#include "base/status.h"
#include "traces/import/names.h"

typedef struct {
    const lspo_import_event_t **steps; /* owned, by start */
    uint32_t count;
    uint32_t *iteration_of; /* owned: of each step, or LSPO_NO_ITERATION when it is left out */
    uint16_t *micro_of;     /* owned */
} lspo_import_steps_t;

/* The steps among `events`, one for each that is told twice.  LSPO_ERR_INPUT where there is none, where steps overlap
 * otherwise, or where their numbers show two profiles or several ranks. */
lspo_status_t lspo_import_steps_create(const char *path, const lspo_import_events_t *events,
                                       lspo_import_steps_t *steps_out);
void lspo_import_steps_release(lspo_import_steps_t *steps);

bool lspo_import_is_step(const lspo_import_event_t *event);

/* The step in which the CPU was, or LSPO_NO_ITERATION. */
uint32_t lspo_import_step_at(const lspo_import_steps_t *steps, double at_us);
/* When step `step` is over, as above. */
double lspo_import_step_end_us(const lspo_import_steps_t *steps, uint32_t step);

/* Fill iteration_of and micro_of, from the named items of `work`.  Warns of steps that are left out, and where an
 * iteration may be no optimizer's step. */
lspo_status_t lspo_import_number_iterations(const char *path, const lspo_import_work_t *work,
                                            lspo_import_steps_t *steps);

#endif
