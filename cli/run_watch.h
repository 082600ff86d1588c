/* run_watch.h - draw the latest complete iteration of a run while it runs: `lspo run --watch`. */
#ifndef LSPO_CLI_RUN_WATCH_H
#define LSPO_CLI_RUN_WATCH_H

#include "base/status.h"
#include "plan/plan.h"
#include "traces/trace.h"

typedef struct lspo_watch lspo_watch_t;

/* Start the thread that draws on stderr, at most twice per second: on a terminal each drawing in place of the one
 * before.  `plan` must outlive the watch. */
lspo_status_t lspo_watch_start(const lspo_plan_t *plan, lspo_watch_t **watch_out);

/* lspo_run_options_t.op_ended; `watch` is the lspo_watch_t.  Ops of several plays of the plan may follow each other. */
void lspo_watch_op(void *watch, const lspo_trace_row_t *row);

/* Draw the last complete iteration, if it has not been drawn, and end the thread.  NULL is ignored. */
void lspo_watch_stop(lspo_watch_t *watch);

#endif
