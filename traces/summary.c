/* summary.c - the figures of a trace, computed in the same way for predicted and measured ones; see summary.h. */
#include "traces/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"

/* Medians and intervals */

static int compare_double(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* NULL when out of memory or empty. */
static double *sorted_copy(const double *values, uint32_t count)
{
    double *sorted = count ? malloc(count * sizeof *sorted) : NULL;
    if (!sorted)
        return NULL;
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_double);
    return sorted;
}

enum { SIGN_SHIFT = 63 };

/* An integer with the same order as the doubles. */
static uint64_t key_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> SIGN_SHIFT ? ~bits : bits | UINT64_C(1) << SIGN_SHIFT;
}

static double value_of(uint64_t key)
{
    uint64_t bits = key >> SIGN_SHIFT ? key & ~(UINT64_C(1) << SIGN_SHIFT) : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The value with `rank` others before it, by halving the range of keys 64 times.  It needs no memory, so a median
 * cannot fail. */
static double value_at(const double *values, uint32_t count, uint32_t rank)
{
    uint64_t low = 0, high = UINT64_MAX;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint32_t below = 0;
        for (uint32_t i = 0; i < count; i++)
            below += key_of(values[i]) <= middle;
        if (below > rank)
            high = middle;
        else
            low = middle + 1;
    }
    return value_of(low);
}

double lspo_median(const double *values, uint32_t count)
{
    if (count == 0)
        return (double)NAN;
    double upper = value_at(values, count, count / 2);
    return count % 2 ? upper : 0.5 * (value_at(values, count, count / 2 - 1) + upper);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The median of one resample, found by counting how often each rank was drawn. */
static double resampled_median(const double *sorted, uint32_t count, uint32_t *drawn, uint64_t *state)
{
    memset(drawn, 0, count * sizeof *drawn);
    for (uint32_t i = 0; i < count; i++)
        drawn[((next_random(state) >> 32) * count) >> 32]++;
    uint32_t below = (count - 1) / 2, above = count / 2, seen = 0, rank = 0;
    while (seen + drawn[rank] <= below)
        seen += drawn[rank++];
    double low = sorted[rank];
    while (seen + drawn[rank] <= above)
        seen += drawn[rank++];
    return 0.5 * (low + sorted[rank]);
}

lspo_status_t lspo_median_interval(const double *values, uint32_t count, uint64_t seed, double *low_out,
                                   double *high_out)
{
    enum { RESAMPLES = 2000 };
    *low_out = *high_out = (double)NAN;
    if (count == 0)
        return LSPO_OK;
    double *medians = malloc(RESAMPLES * sizeof *medians);
    double *sorted = sorted_copy(values, count);
    uint32_t *drawn = malloc(count * sizeof *drawn);
    bool has_memory = medians && sorted && drawn;
    if (has_memory) {
        for (int i = 0; i < RESAMPLES; i++)
            medians[i] = resampled_median(sorted, count, drawn, &seed);
        qsort(medians, RESAMPLES, sizeof *medians, compare_double);
        *low_out = medians[RESAMPLES / 40];
        *high_out = medians[RESAMPLES - 1 - RESAMPLES / 40];
    }
    free(drawn);
    free(sorted);
    free(medians);
    return has_memory ? LSPO_OK : lspo_no_memory("the interval of %" PRIu32 " samples", count);
}

/* Iterations */

static bool marks_iteration(const lspo_trace_row_t *row)
{
    return row->kind == LSPO_OP_FWD || row->kind == LSPO_OP_RECOMPUTE || row->kind == LSPO_OP_BWD;
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

static uint32_t steps_of(const lspo_trace_t *trace, const lspo_period_t *period)
{
    const char *value = lspo_trace_meta(trace, period->parameter->key);
    uint64_t number = value ? strtoul(value, NULL, 10) : 0;
    return lspo_period_steps(period, number < UINT32_MAX ? (uint32_t)number : UINT32_MAX);
}

/* The longest period in the trace's header of at most `most` iterations; 1 if there is none. */
static uint32_t period_of(const lspo_trace_t *trace, uint32_t most)
{
    const char *name = lspo_trace_meta(trace, "policy");
    uint32_t longest = 1;
    for (uint32_t i = 0; name && i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        if (strcmp(policy->name, name) != 0)
            continue;
        for (uint32_t p = 0; p < LSPO_PERIODS_MAX && policy->periods[p].parameter != NULL; p++) {
            uint32_t steps = steps_of(trace, &policy->periods[p]);
            longest = steps > longest && steps <= most ? steps : longest;
        }
    }
    return longest;
}

/* As many complete periods after the warm-up as possible, or single iterations if there are none. */
static void choose_window(const lspo_trace_t *trace, uint32_t iterations, uint32_t warmup, lspo_summary_t *summary)
{
    uint32_t there = iterations - 1 - warmup, period = period_of(trace, there);
    summary->sample_count = there / period;
    summary->iteration_count = summary->sample_count * period;
    summary->warmup = iterations - 1 - summary->iteration_count;
}

/* Samples need all iterations without gaps. */
static lspo_status_t check_ends(const lspo_trace_t *trace, const uint64_t *ends_ns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (ends_ns[i] == 0 || (i > 0 && ends_ns[i] <= ends_ns[i - 1]))
            return lspo_error(LSPO_ERR_INPUT, "%s: iteration %" PRIu32 " does not end after the one before it",
                              lspo_trace_name(trace), i);
    return LSPO_OK;
}

static lspo_status_t take_samples(const lspo_trace_t *trace, const uint64_t *ends_ns, lspo_summary_t *summary)
{
    uint32_t count = summary->sample_count, period = summary->iteration_count / count;
    summary->samples_s = malloc(count * sizeof *summary->samples_s);
    if (!summary->samples_s)
        return lspo_no_memory("%" PRIu32 " samples", count);
    for (uint32_t i = 0; i < count; i++)
        summary->samples_s[i] =
            1e-9 * (double)(ends_ns[summary->warmup + (i + 1) * period] - ends_ns[summary->warmup + i * period]) /
            period;
    summary->iteration_s = lspo_median(summary->samples_s, count);

    const char *origin = lspo_trace_meta(trace, "origin");
    if (!origin || strcmp(origin, "sim") != 0)
        return lspo_median_interval(summary->samples_s, count, 1, &summary->low_s, &summary->high_s);
    summary->low_s = summary->high_s = summary->samples_s[0];
    for (uint32_t i = 1; i < count; i++) {
        summary->low_s = fmin(summary->low_s, summary->samples_s[i]);
        summary->high_s = fmax(summary->high_s, summary->samples_s[i]);
    }
    return LSPO_OK;
}

/* Busy and exposed time */

typedef struct {
    uint64_t at_ns;
    uint32_t lane;
    int8_t change; /* +1: an op of the lane starts, -1: ends */
} edge_t;

static int compare_edge(const void *left, const void *right)
{
    const edge_t *a = left, *b = right;
    return (a->at_ns > b->at_ns) - (a->at_ns < b->at_ns);
}

typedef struct {
    int32_t running; /* ops; more than one only in imported traces */
    uint64_t since_ns, busy_ns;
} lane_charge_t;

typedef struct {
    const lspo_lanes_t *lanes;
    lane_charge_t *by_lane;
    uint32_t busy_lanes[LSPO_LANE_KIND_COUNT]; /* now */
    uint64_t exposed_comm_ns, exposed_cpu_ns, other_ns;
} charges_t;

/* The lane to which a span with a constant set of busy lanes is charged. */
static void charge(charges_t *charges, uint64_t span_ns)
{
    const uint32_t *busy = charges->busy_lanes;
    if (busy[LSPO_LANE_GPU] > 0)
        return;
    if (busy[LSPO_LANE_D2H] + busy[LSPO_LANE_H2D] + busy[LSPO_LANE_NET] + busy[LSPO_LANE_SSD] > 0)
        charges->exposed_comm_ns += span_ns;
    else if (busy[LSPO_LANE_CPU] > 0)
        charges->exposed_cpu_ns += span_ns;
    else
        charges->other_ns += span_ns;
}

static void pass_edge(charges_t *charges, const edge_t *edge)
{
    lane_charge_t *lane = &charges->by_lane[edge->lane];
    uint32_t *busy_lanes = &charges->busy_lanes[charges->lanes->list[edge->lane].kind];
    bool was_busy = lane->running > 0;
    lane->running += edge->change;
    bool is_busy = lane->running > 0;
    if (is_busy && !was_busy) {
        lane->since_ns = edge->at_ns;
        ++*busy_lanes;
    }
    if (was_busy && !is_busy) {
        lane->busy_ns += edge->at_ns - lane->since_ns;
        --*busy_lanes;
    }
}

static uint32_t collect_edges(const lspo_trace_t *trace, uint64_t from_ns, uint64_t to_ns, edge_t *edges)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        uint64_t start_ns = row->start_ns > from_ns ? row->start_ns : from_ns;
        uint64_t end_ns = row->end_ns < to_ns ? row->end_ns : to_ns;
        if (start_ns >= end_ns)
            continue;
        edges[count++] = (edge_t){start_ns, row->lane, 1};
        edges[count++] = (edge_t){end_ns, row->lane, -1};
    }
    qsort(edges, count, sizeof *edges, compare_edge);
    return count;
}

/* Every edge is in the window, so all lanes are idle at its end. */
static lspo_status_t charge_window(const lspo_trace_t *trace, uint64_t from_ns, uint64_t to_ns, charges_t *charges)
{
    edge_t *edges = malloc(2 * ((size_t)trace->row_count + 1) * sizeof *edges);
    if (!edges)
        return lspo_no_memory("a trace of %" PRIu32 " rows", trace->row_count);
    uint32_t count = collect_edges(trace, from_ns, to_ns, edges);
    uint64_t now_ns = from_ns;
    for (uint32_t i = 0; i < count; i++) {
        charge(charges, edges[i].at_ns - now_ns);
        now_ns = edges[i].at_ns;
        pass_edge(charges, &edges[i]);
    }
    charge(charges, to_ns - now_ns);
    free(edges);
    return LSPO_OK;
}

static lspo_status_t create_charges(const lspo_trace_t *trace, charges_t *charges, lspo_summary_t *summary)
{
    size_t count = (size_t)trace->lanes.count + 1;
    *charges = (charges_t){.lanes = &trace->lanes, .by_lane = calloc(count, sizeof *charges->by_lane)};
    summary->lane_busy_s = calloc(count, sizeof *summary->lane_busy_s);
    summary->lane_count = trace->lanes.count;
    if (!charges->by_lane || !summary->lane_busy_s)
        return lspo_no_memory("%" PRIu32 " lanes", trace->lanes.count);
    return LSPO_OK;
}

static void fill_charges(const charges_t *charges, lspo_summary_t *summary)
{
    double scale = 1e-9 / summary->iteration_count;
    uint32_t lanes_of[LSPO_LANE_KIND_COUNT] = {0};
    uint64_t busy_ns[LSPO_LANE_KIND_COUNT] = {0};
    for (uint32_t lane = 0; lane < summary->lane_count; lane++) {
        uint8_t kind = charges->lanes->list[lane].kind;
        summary->lane_busy_s[lane] = scale * (double)charges->by_lane[lane].busy_ns;
        busy_ns[kind] += charges->by_lane[lane].busy_ns;
        lanes_of[kind] += charges->by_lane[lane].busy_ns > 0;
    }
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        summary->busy_s[kind] = scale * (double)busy_ns[kind] / (lanes_of[kind] > 0 ? lanes_of[kind] : 1);
    summary->exposed_comm_s = scale * (double)charges->exposed_comm_ns;
    summary->exposed_cpu_s = scale * (double)charges->exposed_cpu_ns;
    summary->other_s = scale * (double)charges->other_ns;
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

static lspo_status_t fill_summary(const lspo_trace_t *trace, const uint64_t *ends_ns, uint32_t iterations,
                                  lspo_summary_t *summary)
{
    charges_t charges;
    lspo_status_t status = create_charges(trace, &charges, summary);
    if (status != LSPO_OK)
        goto free_charges;
    status = charge_window(trace, ends_ns[summary->warmup], ends_ns[iterations - 1], &charges);
    if (status != LSPO_OK)
        goto free_charges;
    status = take_samples(trace, ends_ns, summary);
    if (status != LSPO_OK)
        goto free_charges;
    fill_charges(&charges, summary);
    fill_totals(trace, iterations, summary);
free_charges:
    free(charges.by_lane);
    return status;
}

static lspo_status_t too_few(const lspo_trace_t *trace, uint32_t iterations, uint32_t warmup)
{
    if (iterations == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: no FWD or BWD, so no iteration", lspo_trace_name(trace));
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: %" PRIu32 " iterations are too few for a time per iteration after %" PRIu32
                      " of warm-up: at least %" PRIu64 " are needed%s",
                      lspo_trace_name(trace), iterations, warmup, (uint64_t)warmup + 2,
                      trace->path ? "; give a smaller --warmup, or record more --iterations" : "");
}

lspo_status_t lspo_summary_create(const lspo_trace_t *trace, uint32_t warmup, lspo_summary_t *summary_out)
{
    uint64_t *ends_ns = NULL;
    uint32_t iterations = 0;
    lspo_status_t status = lspo_trace_iteration_ends(trace, &ends_ns, &iterations);
    if (status != LSPO_OK)
        return status;
    if (iterations < 2 || warmup > iterations - 2) {
        status = too_few(trace, iterations, warmup);
        goto free_ends;
    }
    status = check_ends(trace, ends_ns, iterations);
    if (status != LSPO_OK)
        goto free_ends;
    lspo_summary_t summary = {0};
    choose_window(trace, iterations, warmup, &summary);
    status = fill_summary(trace, ends_ns, iterations, &summary);
    if (status != LSPO_OK) {
        lspo_summary_release(&summary);
        goto free_ends;
    }
    *summary_out = summary;

free_ends:
    free(ends_ns);
    return status;
}

void lspo_summary_release(lspo_summary_t *summary)
{
    free(summary->lane_busy_s);
    free(summary->samples_s);
    *summary = (lspo_summary_t){0};
}
