/* summary.c - the figures of a trace, computed in the same way for predicted and measured ones; see summary.h. */
#include "traces/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/radix.h"
#include "plan/policy.h"
#include "traces/median.h"

/* Iterations */

static bool marks_iteration(const lspo_trace_row_t *row)
{
    return lspo_op_kind_is_pass((lspo_op_kind_t)row->kind);
}

lspo_status_t lspo_trace_iteration_ends(const lspo_trace_t *trace, uint64_t **ends_ns_out, uint32_t *count_out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (marks_iteration(&trace->rows[i]) && trace->rows[i].iteration >= count)
            count = trace->rows[i].iteration + 1;
    if (count > trace->row_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: an iteration %" PRIu32 " in %" PRIu32 " ops", lspo_trace_name(trace),
                          count - 1, trace->row_count);
    uint64_t *ends_ns = calloc((size_t)count + 1, sizeof *ends_ns);
    if (!ends_ns)
        return lspo_no_memory("%" PRIu32 " iterations", count);
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (marks_iteration(row) && row->end_ns > ends_ns[row->iteration])
            ends_ns[row->iteration] = row->end_ns;
    }
    *ends_ns_out = ends_ns;
    *count_out = count;
    return LSPO_OK;
}

/* Iterations, and how they are sampled. */
typedef struct {
    const char *path; /* of the trace; NULL: none */
    const uint64_t *ends_ns;
    uint32_t count;
    uint32_t periods[LSPO_PERIODS_MAX]; /* steps after which the policy's work repeats; 0 or 1: none */
} iterations_t;

static const char *name_of(const iterations_t *iterations)
{
    return iterations->path ? iterations->path : "the trace";
}

/* Has the trace such work? */
static bool has_period(const lspo_trace_t *trace, const lspo_period_t *period)
{
    const char *value = period->with != NULL ? lspo_trace_meta(trace, period->with->key) : NULL;
    return period->with == NULL || (value && strcmp(value, period->with->names[period->with_value]) == 0);
}

/* The periods in the trace's header. */
static void read_periods(const lspo_trace_t *trace, uint32_t *periods)
{
    const char *name = lspo_trace_meta(trace, "policy");
    for (uint32_t i = 0; name && i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        if (strcmp(policy->name, name) != 0)
            continue;
        for (uint32_t p = 0; p < LSPO_PERIODS_MAX && policy->periods[p].parameter != NULL; p++) {
            const char *value = lspo_trace_meta(trace, policy->periods[p].parameter->key);
            uint64_t number = value && has_period(trace, &policy->periods[p]) ? strtoul(value, NULL, 10) : 0;
            periods[p] = lspo_period_steps(&policy->periods[p], number < UINT32_MAX ? (uint32_t)number : UINT32_MAX);
        }
    }
}

/* As many of the longest period that fits after the warm-up as possible, or single iterations if none fits. */
static void choose_window(const iterations_t *iterations, uint32_t warmup, lspo_summary_t *summary)
{
    uint32_t there = iterations->count - 1 - warmup, period = 1;
    for (uint32_t p = 0; p < LSPO_PERIODS_MAX; p++)
        if (iterations->periods[p] > period && iterations->periods[p] <= there)
            period = iterations->periods[p];
    summary->sample_count = there / period;
    summary->iteration_count = summary->sample_count * period;
    summary->warmup = iterations->count - 1 - summary->iteration_count;
}

static lspo_status_t too_few(const iterations_t *iterations, uint32_t warmup)
{
    if (iterations->count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: no FWD or BWD, so no iteration", name_of(iterations));
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: %" PRIu32 " iterations are too few for a time per iteration after %" PRIu32
                      " of warm-up: at least %" PRIu64 " are needed%s",
                      name_of(iterations), iterations->count, warmup, (uint64_t)warmup + 2,
                      iterations->path ? "; give a smaller --warmup, or record more --iterations" : "");
}

/* Samples need all iterations without gaps. */
static lspo_status_t check_ends(const iterations_t *iterations)
{
    const uint64_t *ends_ns = iterations->ends_ns;
    for (uint32_t i = 0; i < iterations->count; i++)
        if (ends_ns[i] == 0 || (i > 0 && ends_ns[i] <= ends_ns[i - 1]))
            return lspo_error(LSPO_ERR_INPUT, "%s: iteration %" PRIu32 " does not end after the one before it",
                              name_of(iterations), i);
    return LSPO_OK;
}

/* Fills samples_s and what says which they are, and iteration_s. */
static lspo_status_t take_samples(const iterations_t *iterations, uint32_t warmup, lspo_summary_t *summary)
{
    const uint64_t *ends_ns = iterations->ends_ns;
    if (iterations->count < 2 || warmup > iterations->count - 2)
        return too_few(iterations, warmup);
    lspo_status_t status = check_ends(iterations);
    if (status != LSPO_OK)
        return status;
    choose_window(iterations, warmup, summary);
    uint32_t count = summary->sample_count, period = summary->iteration_count / count;
    summary->samples_s = malloc(count * sizeof *summary->samples_s);
    if (!summary->samples_s)
        return lspo_no_memory("%" PRIu32 " samples", count);
    for (uint32_t i = 0; i < count; i++)
        summary->samples_s[i] =
            1e-9 * (double)(ends_ns[summary->warmup + (i + 1) * period] - ends_ns[summary->warmup + i * period]) /
            period;
    summary->iteration_s = lspo_median(summary->samples_s, count);
    return LSPO_OK;
}

lspo_status_t lspo_summary_time(const lspo_plan_t *plan, const uint64_t *ends_ns, uint32_t count, uint32_t warmup,
                                double *iteration_s_out)
{
    iterations_t iterations = {.ends_ns = ends_ns, .count = count};
    lspo_summary_t summary = {0};
    if (plan->policy != NULL)
        lspo_policy_periods(plan->policy, &plan->workload, iterations.periods);
    lspo_status_t status = take_samples(&iterations, warmup, &summary);
    if (status == LSPO_OK)
        *iteration_s_out = summary.iteration_s;
    lspo_summary_release(&summary);
    return status;
}

/* Of samples that are random, and of those of a simulation, which are not. */
static lspo_status_t find_interval(const lspo_trace_t *trace, lspo_summary_t *summary)
{
    const char *origin = lspo_trace_meta(trace, "origin");
    if (!origin || strcmp(origin, "sim") != 0)
        return lspo_median_interval(summary->samples_s, summary->sample_count, 1, &summary->low_s, &summary->high_s);
    summary->low_s = summary->high_s = summary->samples_s[0];
    for (uint32_t i = 1; i < summary->sample_count; i++) {
        summary->low_s = fmin(summary->low_s, summary->samples_s[i]);
        summary->high_s = fmax(summary->high_s, summary->samples_s[i]);
    }
    return LSPO_OK;
}

/* Busy and exposed time */

/* The union of spans that are added in the order of their starts. */
typedef struct {
    uint64_t sum_ns, until_ns;
} cover_t;

static void extend(cover_t *cover, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t from_ns = start_ns > cover->until_ns ? start_ns : cover->until_ns;
    if (end_ns <= from_ns)
        return;
    cover->sum_ns += end_ns - from_ns;
    cover->until_ns = end_ns;
}

/* While some lane of these kinds is busy, each with those before it. */
typedef struct {
    cover_t gpu, links, any;
} covers_t;

static void extend_covers(covers_t *covers, lspo_lane_kind_t kind, uint64_t start_ns, uint64_t end_ns)
{
    if (kind == LSPO_LANE_GPU)
        extend(&covers->gpu, start_ns, end_ns);
    if (kind != LSPO_LANE_CPU)
        extend(&covers->links, start_ns, end_ns);
    extend(&covers->any, start_ns, end_ns);
}

/* Rows in the order of their starts: NULL where they have it. */
static lspo_status_t order_rows(const lspo_trace_t *trace, uint32_t **order_out)
{
    bool ordered = true;
    for (uint32_t i = 1; i < trace->row_count && ordered; i++)
        ordered = trace->rows[i - 1].start_ns <= trace->rows[i].start_ns;
    *order_out = NULL;
    if (ordered)
        return LSPO_OK;
    uint64_t *starts_ns = malloc(trace->row_count * sizeof *starts_ns);
    if (!starts_ns)
        return lspo_no_memory("a trace of %" PRIu32 " rows", trace->row_count);
    for (uint32_t i = 0; i < trace->row_count; i++)
        starts_ns[i] = trace->rows[i].start_ns;
    lspo_status_t status = lspo_radix_order(starts_ns, trace->row_count, order_out);
    free(starts_ns);
    return status;
}

static void cover_window(const lspo_trace_t *trace, const uint32_t *order, uint64_t from_ns, uint64_t to_ns,
                         covers_t *covers, cover_t *by_lane)
{
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[order ? order[i] : i];
        uint64_t start_ns = row->start_ns > from_ns ? row->start_ns : from_ns;
        uint64_t end_ns = row->end_ns < to_ns ? row->end_ns : to_ns;
        if (start_ns >= end_ns)
            continue;
        extend(&by_lane[row->lane], start_ns, end_ns);
        extend_covers(covers, lspo_trace_lane_kind(trace, row), start_ns, end_ns);
    }
}

static void fill_lanes(const lspo_lanes_t *lanes, const cover_t *by_lane, double scale, lspo_summary_t *summary)
{
    uint32_t lanes_of[LSPO_LANE_KIND_COUNT] = {0};
    uint64_t busy_ns[LSPO_LANE_KIND_COUNT] = {0};
    for (uint32_t lane = 0; lane < summary->lane_count; lane++) {
        uint8_t kind = lanes->list[lane].kind;
        summary->lane_busy_s[lane] = scale * (double)by_lane[lane].sum_ns;
        busy_ns[kind] += by_lane[lane].sum_ns;
        lanes_of[kind] += by_lane[lane].sum_ns > 0;
    }
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        summary->busy_s[kind] = scale * (double)busy_ns[kind] / (lanes_of[kind] > 0 ? lanes_of[kind] : 1);
}

static lspo_status_t fill_busy(const lspo_trace_t *trace, uint64_t from_ns, uint64_t to_ns, lspo_summary_t *summary)
{
    uint32_t *order = NULL;
    covers_t covers = {0};
    cover_t *by_lane = calloc((size_t)trace->lanes.count + 1, sizeof *by_lane);
    summary->lane_busy_s = calloc((size_t)trace->lanes.count + 1, sizeof *summary->lane_busy_s);
    summary->lane_count = trace->lanes.count;
    lspo_status_t status = by_lane && summary->lane_busy_s ? order_rows(trace, &order)
                                                           : lspo_no_memory("%" PRIu32 " lanes", trace->lanes.count);
    if (status != LSPO_OK)
        goto cleanup;
    double scale = 1e-9 / summary->iteration_count;
    cover_window(trace, order, from_ns, to_ns, &covers, by_lane);
    fill_lanes(&trace->lanes, by_lane, scale, summary);
    summary->exposed_comm_s = scale * (double)(covers.links.sum_ns - covers.gpu.sum_ns);
    summary->exposed_cpu_s = scale * (double)(covers.any.sum_ns - covers.links.sum_ns);
    summary->other_s = scale * (double)(to_ns - from_ns - covers.any.sum_ns);
cleanup:
    free(order);
    free(by_lane);
    return status;
}

static void fill_totals(const lspo_trace_t *trace, uint32_t iterations, lspo_summary_t *summary)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (row->end_ns > last_ns)
            last_ns = row->end_ns;
        if (row->iteration > summary->warmup && row->iteration < iterations)
            summary->link_bytes[lspo_trace_lane_kind(trace, row)] += row->bytes;
    }
    summary->makespan_s = 1e-9 * (double)last_ns;
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        summary->link_bytes[kind] /= summary->iteration_count;
}

static lspo_status_t fill_summary(const lspo_trace_t *trace, const iterations_t *iterations, uint32_t warmup,
                                  lspo_summary_t *summary)
{
    lspo_status_t status = take_samples(iterations, warmup, summary);
    if (status != LSPO_OK)
        return status;
    status = find_interval(trace, summary);
    if (status != LSPO_OK)
        return status;
    fill_totals(trace, iterations->count, summary);
    summary->first_s = 1e-9 * (double)iterations->ends_ns[0];
    return fill_busy(trace, iterations->ends_ns[summary->warmup], iterations->ends_ns[iterations->count - 1], summary);
}

lspo_status_t lspo_summary_create(const lspo_trace_t *trace, uint32_t warmup, lspo_summary_t *summary_out)
{
    uint64_t *ends_ns = NULL;
    iterations_t iterations = {.path = trace->path};
    lspo_summary_t summary = {0};
    lspo_status_t status = lspo_trace_iteration_ends(trace, &ends_ns, &iterations.count);
    if (status != LSPO_OK)
        return status;
    iterations.ends_ns = ends_ns;
    read_periods(trace, iterations.periods);
    status = fill_summary(trace, &iterations, warmup, &summary);
    if (status == LSPO_OK)
        *summary_out = summary;
    else
        lspo_summary_release(&summary);
    free(ends_ns);
    return status;
}

void lspo_summary_release(lspo_summary_t *summary)
{
    free(summary->lane_busy_s);
    free(summary->samples_s);
    *summary = (lspo_summary_t){0};
}
