/* Logs of nanoGPT and of progress bars. */
#include "traces/import/pace.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_pace_t pace;
    if (lspo_pace_read(fuzz_file("log.txt", data, size), &pace) == LSPO_OK)
        lspo_pace_release(&pace);
    return 0;
}
