/* gantt.c - write a few iterations of a trace as a table for a Gantt chart by gnuplot; see gantt.h. */
#include "traces/gantt.h"

#include <inttypes.h>

#include "base/output_file.h"

static bool is_wanted(const lspo_trace_row_t *row, uint32_t first_iteration, uint32_t count)
{
    return row->iteration >= first_iteration && row->iteration - first_iteration < count;
}

static double seconds(uint64_t at_ns, uint64_t origin_ns)
{
    return 1e-9 * (double)(at_ns - origin_ns);
}

static void write_row(const lspo_trace_t *trace, const lspo_trace_row_t *row, uint64_t origin_ns,
                      const lspo_gantt_spread_t *spread, FILE *file)
{
    fprintf(file, "%s,%s,%u,%" PRIu32 ",%.9f,%.9f,%" PRIu64, lspo_trace_lane_name(trace, row),
            lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration, seconds(row->start_ns, origin_ns),
            seconds(row->end_ns, origin_ns), row->bytes);
    if (spread)
        fprintf(file, ",%.9f,%.9f,%.9f,%.9f", spread->start_low_s, spread->start_high_s, spread->end_low_s,
                spread->end_high_s);
    fputc('\n', file);
}

/* `spreads` may be NULL. */
static lspo_status_t write_gantt(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                 const lspo_gantt_spread_t *spreads, const char *path)
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
    fprintf(output.file, "lane,kind,layer,iteration,start_s,end_s,bytes%s\n",
            spreads ? ",start_low_s,start_high_s,end_low_s,end_high_s" : "");
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (is_wanted(row, first_iteration, count))
            write_row(trace, row, origin_ns, spreads ? &spreads[row->op] : NULL, output.file);
    }
    return lspo_output_finish(&output, LSPO_OK);
}

lspo_status_t lspo_trace_write_gantt(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                     const char *path)
{
    return write_gantt(trace, first_iteration, count, NULL, path);
}

lspo_status_t lspo_trace_write_gantt_spread(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                            const lspo_gantt_spread_t *spreads, const char *path)
{
    return write_gantt(trace, first_iteration, count, spreads, path);
}
