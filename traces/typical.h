/* typical.h - the iteration of median time in a trace, and its parts.
 *
 * In a summary, iteration_s is a median and busy times are averages.  If some iterations differ much from the others (a
 * skipped optimizer step, the first ones of a profile), averages do not add up to the median, but the parts of one
 * iteration do.  For an even number of iterations the two in the middle count half each.  Iterations end as in
 * summary.h; what a lane does between two ends belongs to the later iteration.
 */
#ifndef LSPO_TRACES_TYPICAL_H
#define LSPO_TRACES_TYPICAL_H

#include "base/status.h"
#include "plan/op.h"
#include "traces/trace.h"

typedef struct {
    double iteration_s;
    double busy_s[LSPO_LANE_KIND_COUNT];     /* of all lanes of the kind together */
    double link_bytes[LSPO_LANE_KIND_COUNT]; /* of its ops */
} lspo_typical_t;

/* Needs at least two iterations, the conditions of lspo_summary_create(), and lanes that run one op at a time. */
lspo_status_t lspo_typical_iteration(const lspo_trace_t *trace, lspo_typical_t *typical_out);

#endif
