/* ranks.h - Megatron's timers over all ranks, a line per timer (--timing-log-option minmax, max, all):
 *
 *     (min, max) time across ranks (ms):            max time across ranks (ms):         times across ranks (ms):
 *         forward-compute ......: (80.00, 82.50)        forward-compute ......: 82.50       forward-compute:
 *         backward-compute .....: (160.1, 164.9)        ...                                     rank  0: 80.00
 *         optimizer ............: (40.10, 41.20)                                                rank  1: 82.50
 *
 * Of several ranks the longest time counts, since the step waits for it.  The times are means per step since the block
 * before.  Forward and backward apart are there with --timing-log-level 2; below it, forward-backward is one timer.
 */
#ifndef LSPO_TRACES_IMPORT_RANKS_H
#define LSPO_TRACES_IMPORT_RANKS_H

#include <stdbool.h>

#include "traces/import/log.h"

typedef struct {
    bool open; /* lines of it may follow */
    double ms[LSPO_LOG_PHASE_COUNT];
    bool has[LSPO_LOG_PHASE_COUNT];
    bool bad, has_both; /* a time that is none; forward-backward as one timer */
    int phase;          /* of the timer whose ranks follow; -1: none that counts */
} lspo_rank_timers_t;

/* Whether `line` begins a block; `timers` is then empty and open. */
bool lspo_rank_timers_begin(lspo_rank_timers_t *timers, const char *line);
/* Whether `line`, without a label, is one of the open block, and take it. */
bool lspo_rank_timers_take(lspo_rank_timers_t *timers, const char *line);
/* Close the block; whether it had all phases, with times that are some. */
bool lspo_rank_timers_end(lspo_rank_timers_t *timers);
/* Whether a line looks like one of a block, to know a label before it; "name:" and "rank 0: ..." only of an `open`
 * one. */
bool lspo_rank_timers_is_line(const char *line, bool open);

#endif
