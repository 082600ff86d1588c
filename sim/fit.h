/* fit.h - how much memory a plan needs on a machine, and the largest batch that fits. */
#ifndef LSPO_SIM_FIT_H
#define LSPO_SIM_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "sim/memory.h"
#include "traces/trace.h"

/* GPU memory that plans may use: gpu.memory_bytes less gpu.context_bytes, which the driver takes. */
double lspo_fit_gpu_bytes(const lspo_machine_t *machine);

/* Bytes by which a peak exceeds the memory of the GPU or of the host; 0 if it fits. */
uint64_t lspo_fit_gpu_excess(const lspo_machine_t *machine, uint64_t peak_gpu_bytes);
uint64_t lspo_fit_host_excess(const lspo_machine_t *machine, uint64_t peak_host_bytes);

/* Are both peaks within the machine's memory? */
bool lspo_fits(const lspo_machine_t *machine, uint64_t peak_gpu_bytes, uint64_t peak_host_bytes);

/* Of peers that differ, the one whose GPU lacks most memory; excess_bytes 0: none does. */
typedef struct {
    uint32_t peer; /* plan/peers.h */
    uint64_t excess_bytes, needed_bytes;
} lspo_short_peer_t;

/* Does the plan fit, as in this trace with these peaks: on the machine, or each peer of its network on its own? */
lspo_status_t lspo_fits_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                             const lspo_memory_t *memory, lspo_short_peer_t *short_out, bool *fits_out);

/* The plan whose memory is wanted. */
typedef struct {
    const lspo_model_t *model;
    lspo_workload_t workload;
    const lspo_policy_t *policy;
    const lspo_machine_t *machine;
} lspo_fit_question_t;

/* Predictions for a plan: its peaks, whether they fit, and its time per iteration with unlimited memory. */
typedef struct {
    uint64_t gpu_bytes, host_bytes;
    uint64_t all_gpu_bytes, all_host_bytes; /* of all peers together (plan/peers.h) */
    bool fits;
    double iteration_s;
} lspo_fit_t;

lspo_status_t lspo_fit_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out);
/* Only whether it fits, unless it does: its play may end where there is no more room. */
lspo_status_t lspo_fit_plan_or_stop(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out);

/* The same for the plan of the question, with the transition of lspo_tune_transition(). */
lspo_status_t lspo_fit_try(const lspo_fit_question_t *question, lspo_fit_t *fit_out);
lspo_status_t lspo_fit_try_or_stop(const lspo_fit_question_t *question, lspo_fit_t *fit_out);

/* Bytes of both memories that are missing at least, whatever a play shows: those for what the plan holds all the time,
 * with the stride and the share to rebuild that hold least.  More than 0: lspo_fit_try() would find that it does not
 * fit, at many times the cost.  0 with --peers, whose memory is not the machine's. */
lspo_status_t lspo_fit_least_excess(const lspo_fit_question_t *question, uint64_t *bytes_out);

/* What the first steps of the question's plan, all of whose settings are given, show without a play. */
typedef struct {
    bool may_fit;   /* lspo_memory_predict_least() */
    double least_s; /* lspo_bound_step(), less the rounding errors of times; 0: not asked for */
} lspo_fit_first_t;

/* `times`: by two steps, also the time, which only says something of plans whose steps are all alike; else by one. */
lspo_status_t lspo_fit_first(const lspo_fit_question_t *question, bool times, lspo_fit_first_t *first_out);

/* May lspo_fit_try() find that it fits and takes less than `most_s` (INFINITY: any time), as far as the first steps of
 * the plan show (lspo_fit_first()), with some stride where that is chosen?
 * Always with --peers and in generation. */
lspo_status_t lspo_fit_may(const lspo_fit_question_t *question, double most_s, bool *may_out);

/* The largest batch of the question's workload that fits; 0 if not even 1 does.  Peaks grow with the batch, but not
 * strictly, because the messages in transit at a given moment depend on times.  So after the bisection LSPO_FIT_BEYOND
 * larger batches are tried one by one, until none of them fits. */
enum { LSPO_FIT_BEYOND = 8 };
lspo_status_t lspo_fit_largest_batch(const lspo_fit_question_t *question, uint32_t *batch_out);

#endif
