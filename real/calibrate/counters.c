/* counters.c - compare bytes and cycles of a known stream, by hardware counters, with the model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/vector.h"
#include "real/calibrate/state.h"
#include "real/machine/counters.h"
#include "traces/trace.h"

enum { LINE_BYTES = 64, ROWS_MAX = 1 << 15, WIDTH = 1024 };

typedef struct {
    lspo_calibration_t *calibration;
    lspo_counters_t *counters;
    size_t rows;
} count_call_t;

/* 128 MiB read and 128 MiB written, once. */
static void stream_once(void *context)
{
    const count_call_t *call = context;
    const lspo_calibration_memory_t *memory = &call->calibration->on_host;
    lspo_counters_enter(call->counters, LSPO_LANE_GPU);
    lspo_bias_add(call->rows, WIDTH, memory->far_input.data, memory->near_input.data, memory->far_output.data);
}

static double read_count(const lspo_trace_t *trace, const char *key)
{
    const char *text = lspo_trace_meta(trace, key);
    return text ? strtod(text, NULL) : (double)NAN;
}

lspo_status_t lspo_calibrate_counters(lspo_calibration_t *calibration)
{
    lspo_calibration_result_t *result = calibration->result;
    size_t room = calibration->on_host.far_output.count / WIDTH;
    count_call_t call = {.calibration = calibration, .rows = room < ROWS_MAX ? room : ROWS_MAX};
    lspo_trace_t *trace = NULL;
    lspo_counters_open(&call.counters); /* warns if there are no counters */
    lspo_status_t status = lspo_trace_create(0, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_calibrate_on_lane(calibration->topology, LSPO_LANE_GPU, stream_once, &call);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_counters_describe(call.counters, trace);
    if (status != LSPO_OK)
        goto cleanup;
    result->counted_bytes = LINE_BYTES * read_count(trace, "counter.gpu.l3_misses");
    result->counted_cycles = read_count(trace, "counter.gpu.cycles");
    result->counted_model_bytes = 8.0 * (double)call.rows * WIDTH;
cleanup:
    lspo_trace_destroy(trace);
    lspo_counters_close(call.counters);
    return status;
}
