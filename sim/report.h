/* report.h - describe in words which resource limits a plan. */
#ifndef LSPO_SIM_REPORT_H
#define LSPO_SIM_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* "the GPU", "the CPU optimizer" ... */
const char *lspo_report_lane_title(lspo_lane_kind_t lane);

/* The limiting lane, and one sentence about it: the lane that is busy for at least 95 % of an iteration, or else the
 * lane with most of the critical path. */
lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_kind_t *lane_out);

/* Work done once in *period_out steps that is not in the `counted` iterations of a summary, because the plan is
 * shorter; NULL: none. */
const char *lspo_report_not_counted(const lspo_plan_t *plan, uint32_t counted, uint32_t *period_out);

#endif
