/* sums.h - of how many steps each line of timers of a log is the sum. */
#ifndef LSPO_TRACES_IMPORT_SUMS_H
#define LSPO_TRACES_IMPORT_SUMS_H

#include "base/status.h"
#include "traces/import/log.h"

/* One step of a log, or the sum of several. */
typedef struct {
    double ms[LSPO_LOG_PHASE_COUNT];
    double step_s; /* the time of a step that the log tells beside it; 0: none */
    uint32_t first_micro, micro_count;
    bool averaged;
} lspo_log_step_t;

typedef struct {
    const lspo_log_step_t *steps;
    uint32_t count;
    uint32_t interval_count; /* between successive numbers of steps, with timers in it */
    const double *intervals; /* steps a line of timers, in each of them                */
} lspo_log_rhythm_t;

/* *steps_out: 1 as a rule.  LSPO_ERR_INPUT where the log shows that lines are sums and not of how many steps, or
 * contradicts itself. */
lspo_status_t lspo_log_steps_per_line(const char *path, const lspo_log_rhythm_t *rhythm, double *steps_out);

#endif
