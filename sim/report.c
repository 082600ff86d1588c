#include "sim/report.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/bound.h"

static const char *const lane_titles[LSPO_LANE_COUNT] = {[LSPO_LANE_GPU] = "the GPU",
                                                         [LSPO_LANE_D2H] = "the GPU-to-CPU link",
                                                         [LSPO_LANE_H2D] = "the CPU-to-GPU link",
                                                         [LSPO_LANE_CPU] = "the CPU optimizer"};

const char *lspo_report_lane_title(lspo_lane_t lane)
{
    return lane_titles[lane];
}

static int greatest(const double values[LSPO_LANE_COUNT])
{
    int best = 0;
    for (int lane = 1; lane < LSPO_LANE_COUNT; lane++)
        if (values[lane] > values[best])
            best = lane;
    return best;
}

/* Percentages of the critical path by lane. */
static lspo_status_t path_shares(const lspo_plan_t *plan, const lspo_trace_t *trace, double percent[LSPO_LANE_COUNT])
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
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the critical path of %u ops", plan->op_count);
    }
    for (uint32_t i = 0; i < count; i++)
        on_path[ids[i]] = true;
    double total_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (!on_path[row->op])
            continue;
        percent[row->lane] += (double)(row->end_ns - row->start_ns);
        total_ns += (double)(row->end_ns - row->start_ns);
    }
    for (int lane = 0; lane < LSPO_LANE_COUNT && total_ns > 0; lane++)
        percent[lane] *= 100 / total_ns;
    free(on_path);
    free(ids);
    return LSPO_OK;
}

lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_t *lane_out)
{
    int busiest = greatest(summary->busy_s);
    double busy_percent = 100 * summary->busy_s[busiest] / summary->iteration_s;
    if (busy_percent >= 95) {
        snprintf(text_out, text_bytes, "bound by %s: busy %.0f %% of an iteration", lane_titles[busiest], busy_percent);
        *lane_out = (lspo_lane_t)busiest;
        return LSPO_OK;
    }
    double percent[LSPO_LANE_COUNT] = {0};
    lspo_status_t status = path_shares(plan, trace, percent);
    if (status != LSPO_OK)
        return status;
    int longest = greatest(percent);
    snprintf(text_out, text_bytes,
             "bound by %s: %.0f %% of the critical path (GPU %.0f, D2H %.0f, H2D %.0f, CPU %.0f %%); no lane is "
             "always busy, %s most: %.0f %% of an iteration",
             lane_titles[longest], percent[longest], percent[LSPO_LANE_GPU], percent[LSPO_LANE_D2H],
             percent[LSPO_LANE_H2D], percent[LSPO_LANE_CPU], lane_titles[busiest], busy_percent);
    *lane_out = (lspo_lane_t)longest;
    return LSPO_OK;
}
