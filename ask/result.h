/* result.h - the record that `sim` and `run` report, and the description of its fields.
 *
 * Every result has all fields; those that do not apply are missing values: a simulation has no loss, and a run has no
 * lower bound unless a machine was given.
 */
#ifndef LSPO_ASK_RESULT_H
#define LSPO_ASK_RESULT_H

#include <stdint.h>
#include <stdio.h>

#include "ask/request.h"
#include "base/table.h"
#include "plan/expect.h"
#include "plan/own_cells.h"
#include "plan/plan.h"
#include "sim/noise.h"
#include "sim/sim.h"
#include "traces/summary.h"

typedef struct {
    const char *origin; /* "sim", "run" */
    const char *model, *machine, *framework, *device, *policy, *precision, *transfer, *version, *sets, *bound, *advice,
        *blas_core, *semantics;
    uint64_t staleness_steps, batch, sequence, iterations, accumulation, seed;
    lspo_own_cell_t own[LSPO_OWN_CELLS_MAX]; /* by lspo_policies_parameter() */
    int checkpointing, train_rest, fits;
    uint64_t swap_activations;
    double clip_norm, link_Bps, cpu_pps;
    uint64_t gpu_memory_bytes, host_memory_bytes; /* the cap or override; missing: none */
    double iteration_s, iteration_low_s, iteration_high_s, time_to_first_token_s, token_s;
    uint64_t sample_count, warmup, repeat;
    const char *evidence, *expect_basis;
    double expect_low_s, expect_high_s; /* plan/expect.h */
    uint64_t expect_rows;
    const char *measured_source, *verdict, *explained_by; /* cli/judge.h */
    double measured_s;
    uint64_t measured_steps, measured_skipped;
    double slowdown, native_iteration_s, tokens_per_s, lower_bound_s;
    uint64_t native_peak_gpu_bytes;
    const char *not_counted; /* work done once in not_counted_every steps, not in the times */
    uint64_t not_counted_every;
    int native_fits;
    double gpu_busy_s, d2h_busy_s, h2d_busy_s, cpu_busy_s, exposed_comm_s, exposed_cpu_s, other_s;
    uint64_t d2h_bytes, h2d_bytes;
    uint64_t peak_gpu_bytes, peak_host_bytes, peak_total_bytes;      /* total: of both together */
    uint64_t gpu_tensor_bytes, gpu_reserve_bytes, gpu_library_bytes; /* parts of the GPU's peak (sim/memory.h) */
    uint64_t card_bytes;                                             /* of a run: in use on the card, of all programs */
    uint64_t peak_gpu_bound_bytes, peak_host_bound_bytes; /* the largest peaks when lanes run early or late */
    /* With noise: percentiles (sim/noise.h), the lowest and highest peaks of the draws, and how many fit. */
    uint64_t noise_seed, draws, fit_draws;
    double iteration_percentile_s[LSPO_PERCENTILES], slowdown_percentile[LSPO_PERCENTILES];
    uint64_t peak_gpu_low_bytes, peak_gpu_high_bytes, peak_host_low_bytes, peak_host_high_bytes;
    double loss_first, loss_last, held_out_before, held_out_after;
} lspo_result_t;

/* What a field of a simulation needs, besides the time per iteration: LSPO_WANT_ of sim/sim.h, or one of these. */
enum { LSPO_NEEDS_ADVICE = 256, LSPO_NEEDS_NOISE = 512, LSPO_NEEDS_RUN = 1024, LSPO_NEEDS_MEASURED = 2048 };

typedef struct {
    lspo_field_t field;
    unsigned needs;
} lspo_result_field_t;

enum { LSPO_RESULT_FIELDS_MAX = 256 };

typedef struct {
    lspo_result_field_t fields[LSPO_RESULT_FIELDS_MAX];
    lspo_own_field_t own[LSPO_OWN_CELLS_MAX]; /* to which names of `fields` point */
} lspo_result_fields_t;

/* All fields, of a result at `offset_bytes` of a larger record.  Returns their number. */
size_t lspo_result_fields(size_t offset_bytes, lspo_result_fields_t *fields_out);

/* All fields missing. */
void lspo_result_clear(lspo_result_t *result_out);

/* Fill the fields that follow from plan, request and summary; all others are missing.  Texts point into `plan`,
 * `request` and `sets`, which must outlive the record. */
void lspo_result_fill(const char *origin, const lspo_request_t *request, const lspo_plan_t *plan,
                      const lspo_summary_t *summary, const char *sets, lspo_result_t *result_out);

/* After lspo_result_fill(): the rest of a prediction; `sweep` uses only the fields whose parts it wanted. */
void lspo_result_fill_prediction(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                 const lspo_prediction_t *prediction, lspo_result_t *result);

/* After lspo_result_fill(). */
void lspo_result_fill_expect(const lspo_expect_t *expect, const lspo_machine_t *machine, lspo_result_t *result);

void lspo_result_fill_noise(const lspo_noise_options_t *options, const lspo_noise_t *noise, lspo_result_t *result);

lspo_status_t lspo_result_write(const lspo_result_t *result, int format, FILE *file);

#endif
