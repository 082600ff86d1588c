/* summary.h - the figures of a trace, by the same arithmetic whether it was predicted or measured.
 *
 * Iteration i ends when its last FWD/RECOMPUTE/BWD ends; the differences of successive ends are the samples,
 * the first `warmup` of them dropped, and iteration_s is their median.  Where a policy does some of its work once in
 * N steps (header "policy" and its periods of plan/policy.h, such as "project-every"), a sample is the mean of
 * N such differences, a whole period: the median would leave out what comes once in it.  Of several periods it is the
 * longest that the trace has.  Then the warm-up takes what is left over.  Busy and exposed times are averages an
 * iteration over the window that the samples span.  An instant of that window is charged to the first that is busy of:
 * any GPU, any link, network or SSD (exposed communication), any CPU (exposed CPU); to "other" when none is.
 */
#ifndef LSPO_TRACES_SUMMARY_H
#define LSPO_TRACES_SUMMARY_H

#include <stdint.h>

#include "plan/op.h"
#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    double iteration_s;   /* median of the samples                         */
    double low_s, high_s; /* 95 % bootstrap interval of the median; of a simulated trace (header "origin: sim"), whose
                             samples are no random draws, the least and the greatest of them */
    uint32_t sample_count, warmup;
    uint32_t iteration_count; /* that the samples span: sample_count, or that many periods */
    double busy_s[LSPO_LANE_KIND_COUNT]; /* of a lane of the kind: the mean over those that did something */
    double exposed_comm_s, exposed_cpu_s, other_s;
    uint64_t link_bytes[LSPO_LANE_KIND_COUNT]; /* an iteration, of the ops that belong to the sampled iterations */
    double makespan_s;                         /* the last end                                                 */
    double *samples_s;                         /* owned: sample_count values                                   */
    double *lane_busy_s;                       /* owned: of each lane of the trace's list                      */
    uint32_t lane_count;
} lspo_summary_t;

/* Needs at least warmup + 2 iterations, each with a FWD, RECOMPUTE or BWD, and ending one after the other;
 * LSPO_ERR_INPUT otherwise. */
lspo_status_t lspo_summary_create(const lspo_trace_t *trace, uint32_t warmup, lspo_summary_t *summary_out);
void lspo_summary_release(lspo_summary_t *summary);

/* ends_ns[i]: when iteration i ended, 0 where it has no FWD, RECOMPUTE or BWD; malloc'd. */
lspo_status_t lspo_trace_iteration_ends(const lspo_trace_t *trace, uint64_t **ends_ns_out, uint32_t *count_out);

/* Median of values (not modified); NaN when count is 0. */
double lspo_median(const double *values, uint32_t count);
/* 95 % percentile-bootstrap interval of the median: the 2.5 % and 97.5 % quantiles of the medians of 2,000 seeded
 * resamples.  NaN as above; LSPO_ERR_MEMORY alone can fail it. */
lspo_status_t lspo_median_interval(const double *values, uint32_t count, uint64_t seed, double *low_out,
                                   double *high_out);

#endif
