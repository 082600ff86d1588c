/* report.c - describe in words which resource limits a plan; see report.h. */
#include "sim/report.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan/policy.h"
#include "sim/bound.h"

static const char *const lane_titles[LSPO_LANE_KIND_COUNT] = {[LSPO_LANE_GPU] = "the GPU",
                                                              [LSPO_LANE_D2H] = "the GPU-to-CPU link",
                                                              [LSPO_LANE_H2D] = "the CPU-to-GPU link",
                                                              [LSPO_LANE_CPU] = "the CPU optimizer",
                                                              [LSPO_LANE_NET] = "the network",
                                                              [LSPO_LANE_SSD] = "the SSD"};

const char *lspo_report_lane_title(lspo_lane_kind_t lane)
{
    return lane_titles[lane];
}

static int greatest(const double values[LSPO_LANE_KIND_COUNT])
{
    int best = 0;
    for (int lane = 1; lane < LSPO_LANE_KIND_COUNT; lane++)
        if (values[lane] > values[best])
            best = lane;
    return best;
}

/* Percentages of the critical path by lane. */
static lspo_status_t path_shares(const lspo_plan_t *plan, const lspo_trace_t *trace,
                                 double percent[LSPO_LANE_KIND_COUNT])
{
    lspo_op_id_t *ids = NULL;
    uint32_t count = 0;
    lspo_status_t status = lspo_bound_critical_path(plan, trace, &ids, &count);
    if (status != LSPO_OK)
        return status;
    /* Rows are not in the order of ids: mark the path, then sum over the rows. */
    bool *on_path = calloc((size_t)plan->op_count + 1, sizeof *on_path);
    if (!on_path) {
        free(ids);
        return lspo_no_memory("the critical path of %u ops", plan->op_count);
    }
    for (uint32_t i = 0; i < count; i++)
        on_path[ids[i]] = true;
    double total_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (!on_path[row->op])
            continue;
        percent[lspo_trace_lane_kind(trace, row)] += (double)(row->end_ns - row->start_ns);
        total_ns += (double)(row->end_ns - row->start_ns);
    }
    for (int lane = 0; lane < LSPO_LANE_KIND_COUNT && total_ns > 0; lane++)
        percent[lane] *= 100 / total_ns;
    free(on_path);
    free(ids);
    return LSPO_OK;
}

static uint32_t busiest_lane(const lspo_summary_t *summary)
{
    uint32_t best = 0;
    for (uint32_t lane = 1; lane < summary->lane_count; lane++)
        if (summary->lane_busy_s[lane] > summary->lane_busy_s[best])
            best = lane;
    return best;
}

/* "the GPU", or "the GPU (lane p3.gpu)" if the lanes are not the default ones. */
static const char *title_of(const lspo_lanes_t *lanes, uint32_t lane, char *text, size_t text_bytes)
{
    const char *title = lane_titles[lanes->list[lane].kind];
    if (lspo_lanes_are_default(lanes))
        return title;
    snprintf(text, text_bytes, "%s (lane %s)", title, lanes->list[lane].name);
    return text;
}

/* "GPU 41, D2H 12, H2D 0, CPU 47 %" */
static void list_shares(const lspo_lanes_t *lanes, const double percent[LSPO_LANE_KIND_COUNT], char *text,
                        size_t text_bytes)
{
    int length = snprintf(text, text_bytes, "GPU %.0f, D2H %.0f, H2D %.0f, CPU %.0f", percent[LSPO_LANE_GPU],
                          percent[LSPO_LANE_D2H], percent[LSPO_LANE_H2D], percent[LSPO_LANE_CPU]);
    if (!lspo_lanes_are_default(lanes))
        snprintf(text + length, text_bytes - (size_t)length, ", network %.0f, SSD %.0f", percent[LSPO_LANE_NET],
                 percent[LSPO_LANE_SSD]);
}

lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_kind_t *lane_out)
{
    char text[64 + LSPO_LANE_NAME_BYTES], shares[128];
    uint32_t busiest = busiest_lane(summary);
    const char *title = title_of(&plan->lanes, busiest, text, sizeof text);
    double busy_percent = 100 * summary->lane_busy_s[busiest] / summary->iteration_s;
    if (busy_percent >= 95) {
        snprintf(text_out, text_bytes, "bound by %s: busy %.0f %% of an iteration", title, busy_percent);
        *lane_out = (lspo_lane_kind_t)plan->lanes.list[busiest].kind;
        return LSPO_OK;
    }
    double percent[LSPO_LANE_KIND_COUNT] = {0};
    lspo_status_t status = path_shares(plan, trace, percent);
    if (status != LSPO_OK)
        return status;
    int longest = greatest(percent);
    list_shares(&plan->lanes, percent, shares, sizeof shares);
    snprintf(text_out, text_bytes,
             "bound by %s: %.0f %% of the critical path (%s %%); the busiest lane is %s, %.0f %% of an iteration",
             lane_titles[longest], percent[longest], shares, title, busy_percent);
    *lane_out = (lspo_lane_kind_t)longest;
    return LSPO_OK;
}

const char *lspo_report_not_counted(const lspo_plan_t *plan, uint32_t counted, uint32_t *period_out)
{
    const lspo_period_t *period = lspo_policy_longest_period(plan->policy, &plan->workload);
    *period_out = lspo_policy_period(plan->policy, &plan->workload);
    return *period_out > counted ? period->work : NULL;
}
