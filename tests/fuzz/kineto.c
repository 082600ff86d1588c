/* A profile of PyTorch. */
#include "traces/import/kineto.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_trace_t *trace = NULL;
    lspo_import_kineto(fuzz_file("profile.json", data, size), NULL, NULL, &trace);
    lspo_trace_destroy(trace);
    return 0;
}
