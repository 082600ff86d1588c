/* result.h - the one record that `sim` and `run` report, and the description of its fields.
 *
 * Every field is in every result, missing where it does not apply: a simulation has no loss, a run has no lower bound
 * unless it was given a machine.
 */
#ifndef LSPO_CLI_RESULT_H
#define LSPO_CLI_RESULT_H

#include <stdint.h>

#include "base/table.h"
#include "cli/request.h"
#include "plan/own_cells.h"
#include "plan/plan.h"
#include "sim/noise.h"
#include "traces/summary.h"

typedef struct {
    const char *origin; /* "sim", "run" */
    const char *model, *machine, *device, *policy, *precision, *transfer, *version, *sets, *bound, *advice, *blas_core,
        *semantics;
    uint64_t staleness_steps, batch, sequence, iterations, accumulation, seed;
    lspo_own_cell_t own[LSPO_OWN_CELLS_MAX]; /* by lspo_policies_parameter() */
    int checkpointing, train_rest, fits;
    double clip_norm, link_Bps, cpu_pps;
    uint64_t gpu_memory_bytes, host_memory_bytes; /* the cap or override, missing when there is none */
    double iteration_s, iteration_low_s, iteration_high_s;
    uint64_t sample_count, warmup, repeat;
    double slowdown, native_iteration_s, tokens_per_s, lower_bound_s;
    uint64_t native_peak_gpu_bytes;
    const char *not_counted; /* what comes once in not_counted_every steps and is not in the times */
    uint64_t not_counted_every;
    int native_fits;
    double gpu_busy_s, d2h_busy_s, h2d_busy_s, cpu_busy_s, exposed_comm_s, exposed_cpu_s, other_s;
    uint64_t d2h_bytes, h2d_bytes;
    uint64_t peak_gpu_bytes, peak_host_bytes, peak_total_bytes; /* total: of both together */
    uint64_t peak_gpu_bound_bytes, peak_host_bound_bytes;       /* the most when lanes run early or late */
    /* Under noise: percentiles (sim/noise.h), the least and greatest peaks of the draws, how many fit. */
    uint64_t noise_seed, draws, fit_draws;
    double iteration_percentile_s[LSPO_PERCENTILES], slowdown_percentile[LSPO_PERCENTILES];
    uint64_t peak_gpu_low_bytes, peak_gpu_high_bytes, peak_host_low_bytes, peak_host_high_bytes;
    double loss_first, loss_last, held_out_before, held_out_after;
} lspo_result_t;

/* Everything that the plan, the request and the summary say; all else missing.  Texts point into `plan`, `request` and
 * `sets` (the caller's), which must outlive the record. */
void lspo_result_fill(const char *origin, const lspo_request_t *request, const lspo_plan_t *plan,
                      const lspo_summary_t *summary, const char *sets, lspo_result_t *result_out);

void lspo_result_fill_noise(const lspo_noise_options_t *options, const lspo_noise_t *noise, lspo_result_t *result);

lspo_status_t lspo_result_write(const lspo_result_t *result, int format);

#endif
