/* report.h - a prediction in words: which resource limits, and what would make a plan fit. */
#ifndef LSPO_SIM_REPORT_H
#define LSPO_SIM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "plan/status.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* The lane that limits, and one sentence about it.  A lane that is busy 95 % of an iteration or more is the bound;
 * otherwise the lane that takes most of the critical path. */
lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_t *lane_out);

/* Are both peaks within the machine's memory?  The GPU's is gpu.memory_bytes less what its driver takes, gpu.context_bytes. */
bool lspo_report_fits(const lspo_machine_t *machine, uint64_t peak_gpu_bytes, uint64_t peak_host_bytes);

/* Predicted peaks, and the most when lanes run early or late (sim/memory_bound.h). */
typedef struct {
    uint64_t gpu_bytes, host_bytes, gpu_bound_bytes, host_bound_bytes;
} lspo_peaks_t;

/* By how much the peaks exceed the machine's memory, and the first of these that makes the plan fit, tried by
 * simulation:
 * --checkpointing on, a smaller --batch, both, --policy lsp, zero or swap, more memory.  Where the peaks are within it and a
 * bound is not, that is said; empty when the bounds fit too. */
lspo_status_t lspo_report_advice(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_peaks_t *peaks,
                                 size_t text_bytes, char *text_out);

#endif
