#include "traces/gantt.h"

#include <inttypes.h>

#include "traces/output.h"

static bool is_wanted(const lspo_trace_row_t *row, uint32_t first_iteration, uint32_t count)
{
    return row->iteration >= first_iteration && row->iteration - first_iteration < count;
}

static double seconds(uint64_t at_ns, uint64_t origin_ns)
{
    return 1e-9 * (double)(at_ns - origin_ns);
}

lspo_status_t lspo_trace_write_gantt(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                     const char *path)
{
    uint64_t origin_ns = UINT64_MAX;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (is_wanted(&trace->rows[i], first_iteration, count) && trace->rows[i].start_ns < origin_ns)
            origin_ns = trace->rows[i].start_ns;
    if (origin_ns == UINT64_MAX)
        return lspo_error(LSPO_ERR_INPUT, "the trace has no op in the %" PRIu32 " iterations from %" PRIu32, count,
                          first_iteration);

    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fprintf(output.file, "lane,kind,layer,iteration,start_s,end_s\n");
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (is_wanted(row, first_iteration, count))
            fprintf(output.file, "%s,%s,%u,%" PRIu32 ",%.9f,%.9f\n", lspo_lane_name((lspo_lane_t)row->lane),
                    lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration,
                    seconds(row->start_ns, origin_ns), seconds(row->end_ns, origin_ns));
    }
    return lspo_output_finish(&output, LSPO_OK);
}
