/* sim.h - predict the time and memory of a plan on a machine: the main interface of the simulator.
 *
 * lspo_simulate() computes the durations of works (sim/cost.h), plays the plan (sim/engine.h), replays its memory
 * (sim/memory.h) and describes the result in words (sim/report.h).
 */
#ifndef LSPO_SIM_SIM_H
#define LSPO_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/tune.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* Ops that are this share of an iteration apart are assumed to keep their order on a real machine; it is above the
 * error of 95 of 100 cells in docs/validation.md. */
#define LSPO_SIMULATE_SLACK 0.1

/* Native training of the same model and workload on the same machine, the baseline. */
typedef struct {
    double iteration_s; /* with unlimited memory */
    uint64_t peak_gpu_bytes, peak_host_bytes;
    bool fits;
} lspo_native_t;

/* The results of a simulation, besides its trace. */
typedef struct {
    lspo_summary_t summary;
    double lower_bound_s; /* lspo_simulate_bound(); NaN: not asked for */
    uint64_t peak_gpu_bytes, peak_host_bytes;
    uint64_t gpu_tensor_bytes, gpu_reserve_bytes, gpu_library_bytes; /* parts of the GPU's peak (sim/memory.h) */
    /* The largest peaks if each op runs within LSPO_SIMULATE_SLACK of an iteration of its predicted time
     * (sim/memory_bound.h). */
    uint64_t peak_gpu_bound_bytes, peak_host_bound_bytes;
    uint64_t gpu_tensor_bound_bytes;
    bool fits; /* both peaks within the machine's memory, or those of each peer that differs within its own */
    lspo_short_peer_t short_peer; /* where these do not */
    lspo_native_t native;
    double slowdown; /* iteration_s / that of lspo_simulate_native() */
    double tokens_per_s;
    lspo_lane_kind_t bound_lane; /* the resource that limits */
    char bound[256];             /* one sentence about it: "bound by the CPU optimizer: ..." */
} lspo_prediction_t;

/* Iterations of a plan that the prediction drops as warm-up: a quarter of them, or one more so that the number of
 * samples is even, or lspo_policy_warmup() where that is more.  With a staleness of one step, iterations may alternate
 * between two times; the median of an even number of samples is then the mean of the two. */
uint32_t lspo_simulate_warmup(const lspo_plan_t *plan);

/* Is the plan long enough to predict a long training? LSPO_ERR_INPUT, naming --iterations, for a stale policy that has
 * not settled: it has fewer iterations than lspo_policy_iterations_least(), or a time below the bound, if that is
 * known. */
lspo_status_t lspo_simulate_check_settled(const lspo_plan_t *plan, const lspo_prediction_t *prediction);

/* Parts of a prediction that cost time, besides the time per iteration.  The fewer are wanted, the less is computed. */
enum {
    LSPO_WANT_SUMMARY = 1,      /* all of the summary, not only iteration_s */
    LSPO_WANT_NATIVE = 2,       /* native.iteration_s, slowdown */
    LSPO_WANT_NATIVE_PEAKS = 4, /* the rest of native */
    LSPO_WANT_PEAKS = 8,        /* peaks and fits */
    LSPO_WANT_PEAK_BOUNDS = 16, /* bounds of the peaks */
    LSPO_WANT_WORDS = 32,       /* bound, bound_lane */
    LSPO_WANT_ALL = 63,         /* of lspo_simulate() */
    LSPO_WANT_BOUND = 64        /* lower_bound_s */
};

/* The wanted parts of lspo_simulate() and lspo_simulate_bound(), with the same bits; all others are 0, the bound NaN.
 * Where only times are wanted, the plan is played no longer than shows them (sim/pace.h).  `native`: known from another
 * plan of the same model, workload and machine; NULL: it is simulated if it is wanted. */
lspo_status_t lspo_simulate_wanted(const lspo_plan_t *plan, const lspo_machine_t *machine, unsigned wanted,
                                   const lspo_native_t *native, lspo_prediction_t *prediction_out);

/* The time of native, which does not depend on whether it fits; `peaks`: also its peaks, and whether they fit. */
lspo_status_t lspo_simulate_baseline(const lspo_plan_t *plan, const lspo_machine_t *machine, bool peaks,
                                     lspo_native_t *native_out);

/* Cost, play, replay memory, describe; `trace_out` may be NULL.  The trace's header has origin, machine and the
 * entries of lspo_trace_describe_plan().  Plans of fewer than 2 iterations are LSPO_ERR_INPUT. */
lspo_status_t lspo_simulate(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_prediction_t *prediction_out,
                            lspo_trace_t **trace_out);
/* The time per iteration that no schedule of these ops can beat (sim/bound.h): prediction->lower_bound_s.  It takes
 * about as long as the rest of a prediction. */
lspo_status_t lspo_simulate_bound(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                  lspo_prediction_t *prediction);
void lspo_prediction_release(lspo_prediction_t *prediction);

/* The plan of native, the baseline of slowdown, for the same model and workload with `iterations`; its activations stay
 * on the GPU.  The caller destroys it.  And its workload alone: with the model and the machine it decides the time. */
lspo_workload_t lspo_simulate_native_workload(const lspo_plan_t *plan, uint32_t iterations);
lspo_status_t lspo_simulate_native(const lspo_plan_t *plan, uint32_t iterations, lspo_plan_t **native_out);

#endif
