/* ranks.h - read Megatron's timers of all ranks, one line per timer (--timing-log-option minmax, max, all):
 *
 *     (min, max) time across ranks (ms):            max time across ranks (ms):         times across ranks (ms):
 *         forward-compute ......: (80.00, 82.50)        forward-compute ......: 82.50       forward-compute:
 *         backward-compute .....: (160.1, 164.9)        ...                                     rank  0: 80.00
 *         optimizer ............: (40.10, 41.20)                                                rank  1: 82.50
 *
 * The longest time of all ranks counts, since the step waits for it.  The times are means per step since the previous
 * block.  Forward and backward are separate with --timing-log-level 2; below that, forward-backward is one timer.
 */
#ifndef LSPO_TRACES_IMPORT_RANKS_H
#define LSPO_TRACES_IMPORT_RANKS_H

#include <stdbool.h>

#include "traces/import/log.h"

typedef struct {
    bool open; /* more lines of the block may follow */
    double ms[LSPO_LOG_PHASE_COUNT];
    bool has[LSPO_LOG_PHASE_COUNT];
    bool bad, has_both; /* an invalid time; forward-backward as one timer */
    int phase;          /* of the timer whose ranks follow; -1: none that counts */
} lspo_rank_timers_t;

/* Does `line` begin a block?  Then `timers` becomes empty and open. */
bool lspo_rank_timers_begin(lspo_rank_timers_t *timers, const char *line);
/* Read `line`, without its label; returns false if it does not belong to the open block. */
bool lspo_rank_timers_take(lspo_rank_timers_t *timers, const char *line);
/* Close the block; returns whether it had all phases with valid times. */
bool lspo_rank_timers_end(lspo_rank_timers_t *timers);
/* Does a line look like one of a block? Used to detect labels.  "name:" and "rank 0: ..." count only in an `open`
 * block. */
bool lspo_rank_timers_is_line(const char *line, bool open);

#endif
