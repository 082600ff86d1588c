/* typical.h - the iteration of median time of a trace, and its parts.
 *
 * iteration_s of a summary is a median, its busy times are averages; where some iterations differ much from the others
 * (an optimizer's step that was skipped, the first ones of a profile) averages do not add up to a median.  The parts of
 * one iteration do.  Of an even number the two in the middle count, half each.  Iterations end as in summary.h; what a
 * lane did between two ends belongs to the second.
 */
#ifndef LSPO_TRACES_TYPICAL_H
#define LSPO_TRACES_TYPICAL_H

#include "plan/op.h"
#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    double iteration_s;
    double busy_s[LSPO_LANE_KIND_COUNT];     /* of all lanes of the kind together */
    double link_bytes[LSPO_LANE_KIND_COUNT]; /* of its ops */
} lspo_typical_t;

/* Needs two iterations and what lspo_summary_create() needs, and lanes that do one thing at a time. */
lspo_status_t lspo_typical_iteration(const lspo_trace_t *trace, lspo_typical_t *typical_out);

#endif
