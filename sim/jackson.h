/* jackson.h - how long one machine needs at least for jobs that are released late and have work behind them.
 *
 * Job j may start at its head r_j, takes the work p_j, and its tail q_j passes after its end before all is done; the
 * machine serves one job at a time.  Jackson's preemptive schedule always serves, among the released jobs, one with the
 * largest tail, and interrupts it when a larger one is released.  Its length
 *     max over jobs of (end of j + q_j)  =  max over sets S of jobs of (min r_j + sum p_j + min q_j over S)
 * is the shortest of all preemptive schedules, so no schedule without interruptions is shorter (Carlier, EJOR 11, 1982,
 * Section 3).
 */
#ifndef LSPO_SIM_JACKSON_H
#define LSPO_SIM_JACKSON_H

#include <stdint.h>

typedef struct {
    uint64_t head_ns, work_ns, tail_ns;
} lspo_job_t;

/* A released job: what is left of its work. */
typedef struct {
    uint64_t work_ns, tail_ns;
} lspo_waiting_job_t;

/* The length of Jackson's preemptive schedule, 0 without jobs.  `jobs` are in the order of their heads; `room` is for
 * twice as many.  It takes O(count) where tails rise or fall, and moves up to half of the waiting jobs per job where
 * they do neither. */
uint64_t lspo_jackson_ns(const lspo_job_t *jobs, uint32_t count, lspo_waiting_job_t *room);

#endif
