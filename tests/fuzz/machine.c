/* A machine's INI file. */
#include "plan/machine.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lspo_machine_t machine;
    lspo_machine_find(fuzz_file("machine.ini", data, size), &machine);
    return 0;
}
