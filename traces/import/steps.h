/* steps.h - the steps that a profile marks, and their iterations in the trace.
 *
 * A step lasts until the next one begins, since the CPU may still work for it.  The last step, and a step after which
 * the profiler's numbers show a gap, last until their own end.  An iteration is an optimizer step: if the optimizer
 * runs only in every K-th step (gradient accumulation with a step marked after each micro-batch), K steps are one
 * iteration of K micro-batches.
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

/* The steps among `events`; repeated ones count once.  LSPO_ERR_INPUT if there are none, if other steps overlap, or if
 * their numbers show two profiles or several ranks. */
lspo_status_t lspo_import_steps_create(const char *path, const lspo_import_events_t *events,
                                       lspo_import_steps_t *steps_out);
void lspo_import_steps_release(lspo_import_steps_t *steps);

bool lspo_import_is_step(const lspo_import_event_t *event);

/* The step in which the CPU was, or LSPO_NO_ITERATION. */
uint32_t lspo_import_step_at(const lspo_import_steps_t *steps, double at_us);
/* The end of step `step`, as above. */
double lspo_import_step_end_us(const lspo_import_steps_t *steps, uint32_t step);

/* Fill iteration_of and micro_of, from the named items of `work`.  Warns of steps that are left out, and if an
 * iteration may differ from an optimizer step. */
lspo_status_t lspo_import_number_iterations(const char *path, const lspo_import_work_t *work,
                                            lspo_import_steps_t *steps);

#endif
