/* report.h - a prediction in words: which resource limits. */
#ifndef LSPO_SIM_REPORT_H
#define LSPO_SIM_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "base/status.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* "the GPU", "the CPU optimizer" ... */
const char *lspo_report_lane_title(lspo_lane_kind_t lane);

/* The lane that limits, and one sentence about it.  A lane that is busy 95 % of an iteration or more is the bound;
 * otherwise the lane that takes most of the critical path. */
lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_kind_t *lane_out);

#endif
