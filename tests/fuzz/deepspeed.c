/* A log of DeepSpeed. */
#include "traces/import/deepspeed.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_trace_t *trace = NULL;
    lspo_import_deepspeed(fuzz_file("log.txt", data, size), 0, &trace);
    lspo_trace_destroy(trace);
    return 0;
}
