/* summary.h - the figures of a trace, computed in the same way for predicted and measured ones.
 *
 * Iteration i ends when its last FWD/RECOMPUTE/BWD ends.  The samples are the differences of successive ends without
 * the first `warmup`, and iteration_s is their median.  If a policy does some work once in N steps (header "policy" and
 * its periods in plan/policy.h, such as "project-every"), a sample is the mean of N such differences, a whole period,
 * because a median of single differences would miss that work.  Of several periods the longest that fits in the trace
 * is used; the warm-up takes the rest.  Busy and exposed times are averages per iteration over the window of the
 * samples.  Each instant of that window counts for the first of these that is busy: any GPU; any link, network or SSD
 * (exposed communication); any CPU (exposed CPU); none ("other").
 */
#ifndef LSPO_TRACES_SUMMARY_H
#define LSPO_TRACES_SUMMARY_H

#include <stdint.h>

#include "base/status.h"
#include "plan/op.h"
#include "traces/trace.h"

typedef struct {
    double iteration_s;   /* median of the samples                         */
    double low_s, high_s; /* 95 % bootstrap interval of the median; for a simulated trace, whose samples are not random,
                             the lowest and the highest sample */
    uint32_t sample_count, warmup;
    uint32_t iteration_count;            /* spanned by the samples: sample_count, or so many periods */
    double busy_s[LSPO_LANE_KIND_COUNT]; /* of a lane of the kind: mean over those with ops */
    double exposed_comm_s, exposed_cpu_s, other_s;
    uint64_t link_bytes[LSPO_LANE_KIND_COUNT]; /* per iteration, of ops of the sampled iterations */
    double first_s;                            /* the end of the first iteration                               */
    double makespan_s;                         /* the last end                                                 */
    double *samples_s;                         /* owned: sample_count values                                   */
    double *lane_busy_s;                       /* owned: by lane of the trace's list          */
    uint32_t lane_count;
} lspo_summary_t;

/* LSPO_ERR_INPUT unless there are at least warmup + 2 iterations, each with a FWD, RECOMPUTE or BWD, that end one after
 * the other. */
lspo_status_t lspo_summary_create(const lspo_trace_t *trace, uint32_t warmup, lspo_summary_t *summary_out);
void lspo_summary_release(lspo_summary_t *summary);

/* Only iteration_s of that summary, for a plan of which nothing is known but the ends of its iterations (those of
 * lspo_trace_iteration_ends() or of sim/pace.h).  Errors as above. */
lspo_status_t lspo_summary_time(const lspo_plan_t *plan, const uint64_t *ends_ns, uint32_t count, uint32_t warmup,
                                double *iteration_s_out);

/* ends_ns[i]: the end of iteration i, 0 if it has no FWD, RECOMPUTE or BWD; malloc'd. */
lspo_status_t lspo_trace_iteration_ends(const lspo_trace_t *trace, uint64_t **ends_ns_out, uint32_t *count_out);

#endif
