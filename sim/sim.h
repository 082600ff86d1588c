/* sim.h - play a plan on a machine profile: the discrete-event simulator's front door.
 *
 * Each lane serves one op at a time (rules in plan/plan.h).  An op holds `work_ns`, its duration when it runs
 * alone (sim/cost.h).  While other lanes run, lane a works at rate
 *     rate_a = prod over running lanes b of (1 - loss[a][b]),
 * loss = the profile's contention and, between the two links, its duplex loss.  The engine re-rates all running
 * ops whenever one starts or ends; ends are rounded up to whole nanoseconds, so that at most 1 ns a re-rate is lost.
 * With no losses the fast path does no arithmetic but end = start + work_ns.  Everything is integer or
 * ordered IEEE arithmetic: equal input gives equal bytes.
 */
#ifndef LSPO_SIM_SIM_H
#define LSPO_SIM_SIM_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* What a simulation says beyond its trace. */
typedef struct {
    lspo_summary_t summary;
    double lower_bound_s; /* time an iteration that no schedule of these ops can beat (sim/bound.h) */
    uint64_t peak_gpu_bytes, peak_host_bytes;
    int fits; /* both peaks within the machine's memory */
    double slowdown; /* iteration_s / that of native on the same machine with unlimited memory */
    double tokens_per_s;
    char bound[256]; /* one sentence that names the resource that limits, e.g. "bound by the CPU optimizer: ..." */
    char advice[256]; /* when it does not fit: by how much, and which flag would make it fit; else empty */
} lspo_prediction_t;

/* Durations of each work on each lane when alone, ns: work_ns[work * LSPO_LANE_COUNT + lane]; malloc'd. */
lspo_status_t lspo_cost_plan(const lspo_machine_t *machine, const lspo_plan_t *plan, uint64_t **work_ns_out);

/* Duration alone of one work on `lane`, seconds. */
double lspo_cost_work_s(const lspo_machine_t *machine, lspo_precision_t precision, lspo_lane_t lane,
                        const lspo_work_t *work);

/* Play the plan with given durations. */
lspo_status_t lspo_engine_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_trace_t **trace_out);

/* Cost, play, replay memory, bound, describe; `trace_out` may be NULL. */
lspo_status_t lspo_simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction_out,
                            lspo_trace_t **trace_out);
void lspo_prediction_release(lspo_prediction_t *prediction);

/* Build the policy's plan with the transition stage that simulates fastest, if it is AUTO and the policy has one. */
lspo_status_t lspo_tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out);

#endif
