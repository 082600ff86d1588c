/* result.c - see result.h. */
#include "ask/result.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ask/version.h"
#include "sim/report.h"

#define TEXT(name, field, needs)                                                                                       \
    {                                                                                                                  \
        {name, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_result_t, field)}, needs                                 \
    }
#define REAL(field, unit, needs)                                                                                       \
    {                                                                                                                  \
        {#field, LSPO_FIELD_REAL, unit, offsetof(lspo_result_t, field)}, needs                                         \
    }
#define INTEGER(field, unit, needs)                                                                                    \
    {                                                                                                                  \
        {#field, LSPO_FIELD_INTEGER, unit, offsetof(lspo_result_t, field)}, needs                                      \
    }
#define YES_NO(field, needs)                                                                                           \
    {                                                                                                                  \
        {#field, LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(lspo_result_t, field)}, needs                             \
    }
#define PERCENTILE(name, unit, field, index)                                                                           \
    {                                                                                                                  \
        {name, LSPO_FIELD_REAL, unit, offsetof(lspo_result_t, field[index])}, LSPO_NEEDS_NOISE                         \
    }
/* In the order of lspo_noise_percentages. */
#define PERCENTILES(name, suffix, unit, field)                                                                         \
    PERCENTILE(name "_p2_5" suffix, unit, field, 0), PERCENTILE(name "_p5" suffix, unit, field, 1),                    \
        PERCENTILE(name "_p25" suffix, unit, field, 2), PERCENTILE(name "_p50" suffix, unit, field, 3),                \
        PERCENTILE(name "_p75" suffix, unit, field, 4), PERCENTILE(name "_p95" suffix, unit, field, 5),                \
        PERCENTILE(name "_p97_5" suffix, unit, field, 6)

static const lspo_result_field_t result_fields[] = {
    TEXT("origin", origin, 0),
    TEXT("model", model, 0),
    TEXT("machine", machine, 0),
    TEXT("framework", framework, 0),
    TEXT("device", device, LSPO_NEEDS_RUN),
    TEXT("policy", policy, 0),
    TEXT("semantics", semantics, 0),
    INTEGER(staleness_steps, LSPO_UNIT_NONE, 0),
    INTEGER(batch, LSPO_UNIT_NONE, 0),
    INTEGER(sequence, LSPO_UNIT_NONE, 0),
    TEXT("precision", precision, 0),
    TEXT("transfer", transfer, 0),
    YES_NO(checkpointing, 0),
    INTEGER(swap_activations, LSPO_UNIT_NONE, 0),
    INTEGER(iterations, LSPO_UNIT_NONE, 0),
    INTEGER(accumulation, LSPO_UNIT_NONE, 0),
    YES_NO(train_rest, 0),
    REAL(clip_norm, LSPO_UNIT_NONE, 0),
    TEXT(NULL, own, 0), /* the policies' own that are among the first columns */
    INTEGER(seed, LSPO_UNIT_NONE, 0),
    REAL(link_Bps, LSPO_UNIT_BPS, 0),
    REAL(cpu_pps, LSPO_UNIT_PPS, 0),
    INTEGER(gpu_memory_bytes, LSPO_UNIT_BYTES, 0),
    INTEGER(host_memory_bytes, LSPO_UNIT_BYTES, 0),
    TEXT("set", sets, 0),
    REAL(iteration_s, LSPO_UNIT_SECONDS, 0),
    REAL(iteration_low_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(iteration_high_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(time_to_first_token_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(token_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    INTEGER(sample_count, LSPO_UNIT_NONE, LSPO_WANT_SUMMARY),
    INTEGER(warmup, LSPO_UNIT_NONE, LSPO_WANT_SUMMARY),
    TEXT("not_counted", not_counted, LSPO_WANT_SUMMARY),
    INTEGER(not_counted_every, LSPO_UNIT_NONE, LSPO_WANT_SUMMARY),
    INTEGER(repeat, LSPO_UNIT_NONE, LSPO_NEEDS_RUN),
    REAL(slowdown, LSPO_UNIT_NONE, LSPO_WANT_NATIVE),
    REAL(native_iteration_s, LSPO_UNIT_SECONDS, LSPO_WANT_NATIVE),
    INTEGER(native_peak_gpu_bytes, LSPO_UNIT_BYTES, LSPO_WANT_NATIVE_PEAKS),
    YES_NO(native_fits, LSPO_WANT_NATIVE_PEAKS),
    REAL(tokens_per_s, LSPO_UNIT_NONE, 0),
    REAL(lower_bound_s, LSPO_UNIT_SECONDS, LSPO_WANT_BOUND),
    REAL(gpu_busy_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(d2h_busy_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(h2d_busy_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(cpu_busy_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(exposed_comm_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(exposed_cpu_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    REAL(other_s, LSPO_UNIT_SECONDS, LSPO_WANT_SUMMARY),
    INTEGER(d2h_bytes, LSPO_UNIT_BYTES, LSPO_WANT_SUMMARY),
    INTEGER(h2d_bytes, LSPO_UNIT_BYTES, LSPO_WANT_SUMMARY),
    INTEGER(peak_gpu_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(peak_host_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(peak_total_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(gpu_tensor_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(gpu_reserve_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(gpu_library_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAKS),
    INTEGER(card_bytes, LSPO_UNIT_BYTES, LSPO_NEEDS_RUN),
    INTEGER(peak_gpu_bound_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAK_BOUNDS),
    INTEGER(peak_host_bound_bytes, LSPO_UNIT_BYTES, LSPO_WANT_PEAK_BOUNDS),
    YES_NO(fits, LSPO_WANT_PEAKS),
    TEXT("advice", advice, LSPO_NEEDS_ADVICE),
    TEXT("bound", bound, LSPO_WANT_WORDS),
    INTEGER(noise_seed, LSPO_UNIT_NONE, LSPO_NEEDS_NOISE),
    INTEGER(draws, LSPO_UNIT_NONE, LSPO_NEEDS_NOISE),
    PERCENTILES("iteration", "_s", LSPO_UNIT_SECONDS, iteration_percentile_s),
    PERCENTILES("slowdown", "", LSPO_UNIT_NONE, slowdown_percentile),
    INTEGER(peak_gpu_low_bytes, LSPO_UNIT_BYTES, LSPO_NEEDS_NOISE),
    INTEGER(peak_gpu_high_bytes, LSPO_UNIT_BYTES, LSPO_NEEDS_NOISE),
    INTEGER(peak_host_low_bytes, LSPO_UNIT_BYTES, LSPO_NEEDS_NOISE),
    INTEGER(peak_host_high_bytes, LSPO_UNIT_BYTES, LSPO_NEEDS_NOISE),
    INTEGER(fit_draws, LSPO_UNIT_NONE, LSPO_NEEDS_NOISE),
    REAL(loss_first, LSPO_UNIT_NONE, LSPO_NEEDS_RUN),
    REAL(loss_last, LSPO_UNIT_NONE, LSPO_NEEDS_RUN),
    REAL(held_out_before, LSPO_UNIT_NONE, LSPO_NEEDS_RUN),
    REAL(held_out_after, LSPO_UNIT_NONE, LSPO_NEEDS_RUN),
    TEXT("evidence", evidence, 0),
    TEXT("expect_basis", expect_basis, 0),
    REAL(expect_low_s, LSPO_UNIT_SECONDS, 0),
    REAL(expect_high_s, LSPO_UNIT_SECONDS, 0),
    INTEGER(expect_rows, LSPO_UNIT_NONE, 0),
    REAL(measured_s, LSPO_UNIT_SECONDS, LSPO_NEEDS_MEASURED),
    TEXT("measured_source", measured_source, LSPO_NEEDS_MEASURED),
    INTEGER(measured_steps, LSPO_UNIT_NONE, LSPO_NEEDS_MEASURED),
    INTEGER(measured_skipped, LSPO_UNIT_NONE, LSPO_NEEDS_MEASURED),
    TEXT("verdict", verdict, LSPO_NEEDS_MEASURED),
    TEXT("explained_by", explained_by, LSPO_NEEDS_MEASURED),
    TEXT("blas_core", blas_core, LSPO_NEEDS_RUN),
    TEXT("version", version, 0),
};

enum { RESULT_FIELDS = sizeof result_fields / sizeof result_fields[0] };
static_assert(RESULT_FIELDS + LSPO_OWN_CELLS_MAX <= LSPO_RESULT_FIELDS_MAX, "room for all fields");

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
    result->swap_activations = workload->swap_activations;
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

size_t lspo_result_fields(size_t offset_bytes, lspo_result_fields_t *fields_out)
{
    size_t count = 0, first_count;
    lspo_result_field_t *fields = fields_out->fields;
    size_t own_count = lspo_own_fields(offsetof(lspo_result_t, own), fields_out->own, &first_count);
    for (size_t i = 0; i < RESULT_FIELDS; i++)
        if (result_fields[i].field.name != NULL)
            fields[count++] = result_fields[i];
        else
            for (size_t first = 0; first < first_count; first++)
                fields[count++] = (lspo_result_field_t){fields_out->own[first].field, 0};
    for (size_t i = first_count; i < own_count; i++)
        fields[count++] = (lspo_result_field_t){fields_out->own[i].field, 0};
    for (size_t i = 0; i < count; i++)
        fields[i].field.offset_bytes += offset_bytes;
    return count;
}

void lspo_result_clear(lspo_result_t *result_out)
{
    lspo_result_fields_t all;
    size_t count = lspo_result_fields(0, &all);
    *result_out = (lspo_result_t){0};
    for (size_t i = 0; i < count; i++)
        lspo_field_clear(&all.fields[i].field, result_out);
}

void lspo_result_fill(const char *origin, const lspo_request_t *request, const lspo_plan_t *plan,
                      const lspo_summary_t *summary, const char *sets, lspo_result_t *result_out)
{
    lspo_result_clear(result_out);
    result_out->origin = origin;
    result_out->model = plan->model.name;
    result_out->policy = plan->policy->name;
    result_out->semantics = lspo_semantics_name(plan->policy->semantics);
    result_out->staleness_steps = plan->staleness_steps;
    result_out->version = lspo_version;
    result_out->sets = sets;
    result_out->link_Bps = real_or_missing(request->overrides.link_Bps);
    result_out->cpu_pps = real_or_missing(request->overrides.cpu_pps);
    result_out->gpu_memory_bytes = integer_or_missing(request->overrides.gpu_memory_bytes);
    result_out->host_memory_bytes = integer_or_missing(request->overrides.host_memory_bytes);
    fill_workload(plan, result_out);
    fill_summary(summary, result_out);
    if (plan->policy->task != LSPO_TASK_GENERATE)
        return;
    result_out->time_to_first_token_s = summary->first_s;
    result_out->token_s = summary->iteration_s;
}

void lspo_result_fill_prediction(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                 const lspo_prediction_t *prediction, lspo_result_t *result)
{
    uint32_t period;
    result->machine = machine->name;
    result->framework = lspo_machine_framework(machine);
    result->slowdown = prediction->slowdown;
    result->native_iteration_s = prediction->native.iteration_s;
    result->native_peak_gpu_bytes = prediction->native.peak_gpu_bytes;
    result->native_fits = prediction->native.fits;
    result->tokens_per_s = prediction->tokens_per_s;
    result->lower_bound_s = prediction->lower_bound_s;
    result->peak_gpu_bytes = prediction->peak_gpu_bytes;
    result->peak_host_bytes = prediction->peak_host_bytes;
    result->peak_total_bytes = prediction->peak_gpu_bytes + prediction->peak_host_bytes;
    result->gpu_tensor_bytes = prediction->gpu_tensor_bytes;
    result->gpu_reserve_bytes = prediction->gpu_reserve_bytes;
    result->gpu_library_bytes = prediction->gpu_library_bytes;
    result->peak_gpu_bound_bytes = prediction->peak_gpu_bound_bytes;
    result->peak_host_bound_bytes = prediction->peak_host_bound_bytes;
    result->fits = prediction->fits;
    result->bound = prediction->bound;
    if (prediction->summary.iteration_count == 0) /* the summary was not wanted */
        return;
    result->not_counted = lspo_report_not_counted(plan, prediction->summary.iteration_count, &period);
    result->not_counted_every = result->not_counted != NULL ? period : LSPO_MISSING;
}

void lspo_result_fill_expect(const lspo_expect_t *expect, const lspo_machine_t *machine, lspo_result_t *result)
{
    result->evidence = machine->evidence;
    result->expect_basis = lspo_expect_basis_names[expect->basis];
    result->expect_low_s = result->iteration_s * expect->low;
    result->expect_high_s = result->iteration_s * expect->high;
    result->expect_rows = expect->rows;
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

lspo_status_t lspo_result_write(const lspo_result_t *result, int format, FILE *file)
{
    lspo_result_fields_t all;
    lspo_field_t fields[LSPO_RESULT_FIELDS_MAX];
    size_t count = lspo_result_fields(0, &all);
    for (size_t i = 0; i < count; i++)
        fields[i] = all.fields[i].field;
    lspo_table_t table = {
        .fields = fields, .field_count = count, .records = result, .record_bytes = sizeof *result, .record_count = 1};
    return lspo_table_write_record(&table, lspo_format_resolve(format), file);
}
