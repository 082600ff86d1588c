/* result.c - see result.h. */
#include "cli/result.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/version.h"

#define TEXT(name, field)                                                                                              \
    {                                                                                                                  \
        name, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_result_t, field)                                          \
    }
#define REAL(field, unit)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, unit, offsetof(lspo_result_t, field)                                                  \
    }
#define INTEGER(field, unit)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, unit, offsetof(lspo_result_t, field)                                               \
    }
#define YES_NO(field)                                                                                                  \
    {                                                                                                                  \
#field, LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(lspo_result_t, field)                                      \
    }
#define PERCENTILE(name, unit, field, index)                                                                           \
    {                                                                                                                  \
        name, LSPO_FIELD_REAL, unit, offsetof(lspo_result_t, field[index])                                             \
    }
/* In the order of lspo_noise_percentages. */
#define PERCENTILES(name, suffix, unit, field)                                                                         \
    PERCENTILE(name "_p2_5" suffix, unit, field, 0), PERCENTILE(name "_p5" suffix, unit, field, 1),                    \
        PERCENTILE(name "_p25" suffix, unit, field, 2), PERCENTILE(name "_p50" suffix, unit, field, 3),                \
        PERCENTILE(name "_p75" suffix, unit, field, 4), PERCENTILE(name "_p95" suffix, unit, field, 5),                \
        PERCENTILE(name "_p97_5" suffix, unit, field, 6)

static const lspo_field_t result_fields[] = {
    TEXT("origin", origin),
    TEXT("model", model),
    TEXT("machine", machine),
    TEXT("framework", framework),
    TEXT("device", device),
    TEXT("policy", policy),
    TEXT("semantics", semantics),
    INTEGER(staleness_steps, LSPO_UNIT_NONE),
    INTEGER(batch, LSPO_UNIT_NONE),
    INTEGER(sequence, LSPO_UNIT_NONE),
    TEXT("precision", precision),
    TEXT("transfer", transfer),
    YES_NO(checkpointing),
    INTEGER(iterations, LSPO_UNIT_NONE),
    INTEGER(accumulation, LSPO_UNIT_NONE),
    YES_NO(train_rest),
    REAL(clip_norm, LSPO_UNIT_NONE),
    TEXT(NULL, own), /* the policies' own that are among the first columns */
    INTEGER(seed, LSPO_UNIT_NONE),
    REAL(link_Bps, LSPO_UNIT_BPS),
    REAL(cpu_pps, LSPO_UNIT_PPS),
    INTEGER(gpu_memory_bytes, LSPO_UNIT_BYTES),
    INTEGER(host_memory_bytes, LSPO_UNIT_BYTES),
    TEXT("set", sets),
    REAL(iteration_s, LSPO_UNIT_SECONDS),
    REAL(iteration_low_s, LSPO_UNIT_SECONDS),
    REAL(iteration_high_s, LSPO_UNIT_SECONDS),
    INTEGER(sample_count, LSPO_UNIT_NONE),
    INTEGER(warmup, LSPO_UNIT_NONE),
    TEXT("not_counted", not_counted),
    INTEGER(not_counted_every, LSPO_UNIT_NONE),
    INTEGER(repeat, LSPO_UNIT_NONE),
    REAL(slowdown, LSPO_UNIT_NONE),
    REAL(native_iteration_s, LSPO_UNIT_SECONDS),
    INTEGER(native_peak_gpu_bytes, LSPO_UNIT_BYTES),
    YES_NO(native_fits),
    REAL(tokens_per_s, LSPO_UNIT_NONE),
    REAL(lower_bound_s, LSPO_UNIT_SECONDS),
    REAL(gpu_busy_s, LSPO_UNIT_SECONDS),
    REAL(d2h_busy_s, LSPO_UNIT_SECONDS),
    REAL(h2d_busy_s, LSPO_UNIT_SECONDS),
    REAL(cpu_busy_s, LSPO_UNIT_SECONDS),
    REAL(exposed_comm_s, LSPO_UNIT_SECONDS),
    REAL(exposed_cpu_s, LSPO_UNIT_SECONDS),
    REAL(other_s, LSPO_UNIT_SECONDS),
    INTEGER(d2h_bytes, LSPO_UNIT_BYTES),
    INTEGER(h2d_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_gpu_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_host_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_total_bytes, LSPO_UNIT_BYTES),
    INTEGER(gpu_tensor_bytes, LSPO_UNIT_BYTES),
    INTEGER(gpu_reserve_bytes, LSPO_UNIT_BYTES),
    INTEGER(gpu_library_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_gpu_bound_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_host_bound_bytes, LSPO_UNIT_BYTES),
    YES_NO(fits),
    TEXT("advice", advice),
    TEXT("bound", bound),
    INTEGER(noise_seed, LSPO_UNIT_NONE),
    INTEGER(draws, LSPO_UNIT_NONE),
    PERCENTILES("iteration", "_s", LSPO_UNIT_SECONDS, iteration_percentile_s),
    PERCENTILES("slowdown", "", LSPO_UNIT_NONE, slowdown_percentile),
    INTEGER(peak_gpu_low_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_gpu_high_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_host_low_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_host_high_bytes, LSPO_UNIT_BYTES),
    INTEGER(fit_draws, LSPO_UNIT_NONE),
    REAL(loss_first, LSPO_UNIT_NONE),
    REAL(loss_last, LSPO_UNIT_NONE),
    REAL(held_out_before, LSPO_UNIT_NONE),
    REAL(held_out_after, LSPO_UNIT_NONE),
    TEXT("evidence", evidence),
    TEXT("expect_basis", expect_basis),
    REAL(expect_low_s, LSPO_UNIT_SECONDS),
    REAL(expect_high_s, LSPO_UNIT_SECONDS),
    INTEGER(expect_rows, LSPO_UNIT_NONE),
    REAL(measured_s, LSPO_UNIT_SECONDS),
    TEXT("measured_source", measured_source),
    INTEGER(measured_steps, LSPO_UNIT_NONE),
    INTEGER(measured_skipped, LSPO_UNIT_NONE),
    TEXT("verdict", verdict),
    TEXT("explained_by", explained_by),
    TEXT("blas_core", blas_core),
    TEXT("version", version),
};

static uint64_t integer_or_missing(uint64_t value)
{
    return value > 0 ? value : LSPO_MISSING;
}

static double real_or_missing(double value)
{
    return value > 0.0 ? value : (double)NAN;
}

static void fill_workload(const lspo_plan_t *plan, lspo_result_t *result)
{
    const lspo_workload_t *workload = &plan->workload;
    result->batch = workload->batch;
    result->sequence = workload->sequence;
    result->precision = lspo_precision_name(workload->precision);
    result->transfer = lspo_precision_name(workload->transfer);
    result->checkpointing = workload->checkpointing;
    result->iterations = workload->iterations;
    result->accumulation = workload->accumulation;
    result->train_rest = workload->train_rest == LSPO_TRAIN_REST_ON;
    result->clip_norm = real_or_missing(workload->clip_norm);
    lspo_own_cells_fill(plan, result->own);
    result->seed = workload->seed;
}

static void fill_summary(const lspo_summary_t *summary, lspo_result_t *result)
{
    result->iteration_s = summary->iteration_s;
    result->iteration_low_s = summary->low_s;
    result->iteration_high_s = summary->high_s;
    result->sample_count = summary->sample_count;
    result->warmup = summary->warmup;
    result->gpu_busy_s = summary->busy_s[LSPO_LANE_GPU];
    result->d2h_busy_s = summary->busy_s[LSPO_LANE_D2H];
    result->h2d_busy_s = summary->busy_s[LSPO_LANE_H2D];
    result->cpu_busy_s = summary->busy_s[LSPO_LANE_CPU];
    result->exposed_comm_s = summary->exposed_comm_s;
    result->exposed_cpu_s = summary->exposed_cpu_s;
    result->other_s = summary->other_s;
    result->d2h_bytes = summary->link_bytes[LSPO_LANE_D2H];
    result->h2d_bytes = summary->link_bytes[LSPO_LANE_H2D];
}

void lspo_result_fill(const char *origin, const lspo_request_t *request, const lspo_plan_t *plan,
                      const lspo_summary_t *summary, const char *sets, lspo_result_t *result_out)
{
    *result_out = (lspo_result_t){
        .origin = origin,
        .model = plan->model.name,
        .policy = plan->policy->name,
        .semantics = lspo_semantics_name(plan->policy->semantics),
        .staleness_steps = plan->staleness_steps,
        .version = PACKAGE_VERSION " (" LSPO_GIT_ID ")",
        .sets = sets,
        .link_Bps = real_or_missing(request->overrides.link_Bps),
        .cpu_pps = real_or_missing(request->overrides.cpu_pps),
        .gpu_memory_bytes = integer_or_missing(request->overrides.gpu_memory_bytes),
        .host_memory_bytes = integer_or_missing(request->overrides.host_memory_bytes),
        .fits = -1,
        .repeat = LSPO_MISSING,
        .slowdown = NAN,
        .native_iteration_s = NAN,
        .native_peak_gpu_bytes = LSPO_MISSING,
        .not_counted_every = LSPO_MISSING,
        .native_fits = -1,
        .tokens_per_s = NAN,
        .lower_bound_s = NAN,
        .peak_gpu_bytes = LSPO_MISSING,
        .peak_host_bytes = LSPO_MISSING,
        .peak_total_bytes = LSPO_MISSING,
        .gpu_tensor_bytes = LSPO_MISSING,
        .gpu_reserve_bytes = LSPO_MISSING,
        .gpu_library_bytes = LSPO_MISSING,
        .peak_gpu_bound_bytes = LSPO_MISSING,
        .peak_host_bound_bytes = LSPO_MISSING,
        .expect_low_s = NAN,
        .expect_high_s = NAN,
        .expect_rows = LSPO_MISSING,
        .measured_s = NAN,
        .measured_steps = LSPO_MISSING,
        .measured_skipped = LSPO_MISSING,
        .noise_seed = LSPO_MISSING,
        .draws = LSPO_MISSING,
        .fit_draws = LSPO_MISSING,
        .peak_gpu_low_bytes = LSPO_MISSING,
        .peak_gpu_high_bytes = LSPO_MISSING,
        .peak_host_low_bytes = LSPO_MISSING,
        .peak_host_high_bytes = LSPO_MISSING,
        .loss_first = NAN,
        .loss_last = NAN,
        .held_out_before = NAN,
        .held_out_after = NAN,
    };
    for (int i = 0; i < LSPO_PERCENTILES; i++)
        result_out->iteration_percentile_s[i] = result_out->slowdown_percentile[i] = NAN;
    fill_workload(plan, result_out);
    fill_summary(summary, result_out);
}

void lspo_result_fill_expect(const lspo_expect_t *expect, const lspo_machine_t *machine, lspo_result_t *result)
{
    result->evidence = machine->evidence;
    result->expect_basis = lspo_expect_basis_names[expect->basis];
    result->expect_low_s = result->iteration_s * expect->low;
    result->expect_high_s = result->iteration_s * expect->high;
    result->expect_rows = expect->rows;
}

void lspo_result_fill_judgement(const lspo_judgement_t *judgement, lspo_result_t *result)
{
    result->measured_s = judgement->measured->step_s;
    result->measured_source = judgement->measured->source;
    result->measured_steps = integer_or_missing(judgement->measured->steps);
    result->measured_skipped = judgement->measured->steps > 0 ? judgement->measured->skipped : LSPO_MISSING;
    result->verdict = judgement->verdict;
    result->explained_by = judgement->explained_by;
}

void lspo_result_fill_noise(const lspo_noise_options_t *options, const lspo_noise_t *noise, lspo_result_t *result)
{
    result->noise_seed = options->seed;
    result->draws = options->draws;
    memcpy(result->iteration_percentile_s, noise->iteration_s, sizeof noise->iteration_s);
    memcpy(result->slowdown_percentile, noise->slowdown, sizeof noise->slowdown);
    result->peak_gpu_low_bytes = noise->peak_gpu_low_bytes;
    result->peak_gpu_high_bytes = noise->peak_gpu_high_bytes;
    result->peak_host_low_bytes = noise->peak_host_low_bytes;
    result->peak_host_high_bytes = noise->peak_host_high_bytes;
    result->fit_draws = noise->fit_draws;
}

lspo_status_t lspo_result_write(const lspo_result_t *result, int format)
{
    enum { COUNT = sizeof result_fields / sizeof result_fields[0] };
    lspo_own_field_t own[LSPO_OWN_CELLS_MAX];
    lspo_field_t fields[COUNT + LSPO_OWN_CELLS_MAX];
    size_t first_count, count = 0, own_count = lspo_own_fields(offsetof(lspo_result_t, own), own, &first_count);
    for (size_t i = 0; i < COUNT; i++)
        if (result_fields[i].name != NULL)
            fields[count++] = result_fields[i];
        else
            for (size_t first = 0; first < first_count; first++)
                fields[count++] = own[first].field;
    for (size_t i = first_count; i < own_count; i++)
        fields[count++] = own[i].field;
    lspo_table_t table = {
        .fields = fields, .field_count = count, .records = result, .record_bytes = sizeof *result, .record_count = 1};
    return lspo_table_write_record(&table, lspo_format_resolve(format), stdout);
}
