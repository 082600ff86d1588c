/* A trace, and computations on it. */
#include "traces/trace.h"

#include "tests/fuzz/fuzz.h"
#include "traces/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_trace_t *trace = NULL;
    lspo_summary_t summary;
    if (lspo_trace_read(fuzz_file("a.trace", data, size), &trace) != LSPO_OK)
        return 0;
    if (lspo_summary_create(trace, 0, &summary) == LSPO_OK)
        lspo_summary_release(&summary);
    lspo_trace_destroy(trace);
    return 0;
}
