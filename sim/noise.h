/* noise.h - play a plan many times with random durations, to predict the spread of runs.
 *
 * Op i on lane l, whose work takes work_ns alone (sim/cost.h), takes in one draw
 *     op_ns = round(work_ns exp(sigma_l z_i + run_sigma z)),     z_i, z ~ N(0, 1), independent,
 * sigmas from the profile's [noise] (plan/machine.h).  z is one number per draw, that of the run, for GPU and CPU work
 * but not for copies.  The median of the factor is 1 and its mean exp((sigma_l^2 + run_sigma^2) / 2).  Rates of a
 * profile are medians of measurements, so the durations keep them as medians.  The engine plays these durations as
 * usual, including contention.
 *
 * Each draw plays the plan and then native, with a z of its own: a measured slowdown is the ratio of two runs, too.
 * z_i and z are drawn even if their sigma is 0, so that two machines that differ in one sigma get the same numbers.
 *
 * Not modelled: ops that are slow together beyond z, tails longer than the lognormal's, random contention.
 */
#ifndef LSPO_SIM_NOISE_H
#define LSPO_SIM_NOISE_H

#include <gsl/gsl_rng.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/gantt.h"
#include "traces/trace.h"

enum { LSPO_NOISE_DRAWS = 200, LSPO_NOISE_DRAWS_MAX = 1000000, LSPO_PERCENTILES = 7 };

/* 2.5, 5, 25, 50, 75, 95, 97.5: of 100 runs, 95 are expected between the first and the last. */
extern const double lspo_noise_percentages[LSPO_PERCENTILES];

typedef struct {
    uint32_t seed; /* 1 or more */
    uint32_t draws;
    /* Iterations whose ops get spreads; count 0: none. */
    uint32_t first_iteration, iteration_count;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
} lspo_noise_options_t;

typedef struct {
    double iteration_s[LSPO_PERCENTILES], slowdown[LSPO_PERCENTILES];
    /* Lowest and highest of the draws: the order of ops may change the peak. */
    uint64_t peak_gpu_low_bytes, peak_gpu_high_bytes, peak_host_low_bytes, peak_host_high_bytes;
    uint32_t fit_draws;           /* draws in which both peaks are within the machine's memory */
    lspo_gantt_spread_t *spreads; /* owned; by op, filled for those of the wanted iterations; NULL: none were */
} lspo_noise_t;

/* LSPO_ERR_INPUT, with a remedy in the message, if all sigmas of the machine are 0. */
lspo_status_t lspo_noise_check(const lspo_machine_t *machine);

/* One draw: op_ns[id] of every op of the plan. */
void lspo_noise_draw(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns, gsl_rng *random,
                     uint64_t *op_ns);

/* All draws.  The same arguments give the same bytes.  LSPO_ERR_INPUT for a plan of fewer than 2 iterations. */
lspo_status_t lspo_noise_predict(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                 const lspo_noise_options_t *options, lspo_noise_t *noise_out);
/* Header entries of a trace: noise_seed, draws. */
lspo_status_t lspo_noise_describe(const lspo_noise_options_t *options, lspo_trace_t *trace);
void lspo_noise_release(lspo_noise_t *noise);

#endif
