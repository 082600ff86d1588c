/* sums.h - find the number of steps over which each line of timers of a log is a sum. */
#ifndef LSPO_TRACES_IMPORT_SUMS_H
#define LSPO_TRACES_IMPORT_SUMS_H

#include "base/status.h"
#include "traces/import/log.h"

/* One step of a log, or the sum of several. */
typedef struct {
    double ms[LSPO_LOG_PHASE_COUNT];
    double step_s; /* the step time in the log; 0: none */
    uint32_t first_micro, micro_count;
    bool averaged;
} lspo_log_step_t;

typedef struct {
    const lspo_log_step_t *steps;
    uint32_t count;
    uint32_t interval_count; /* between successive step numbers, with timers in between */
    const double *intervals; /* steps per line of timers, in each of them             */
} lspo_log_rhythm_t;

/* *steps_out is usually 1.  LSPO_ERR_INPUT if lines are sums over an unknown number of steps, or if the log contradicts
 * itself. */
lspo_status_t lspo_log_steps_per_line(const char *path, const lspo_log_rhythm_t *rhythm, double *steps_out);

#endif
