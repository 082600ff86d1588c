/* A grid of `lspo validate`. */
#include "validate/grid.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_grid_t grid;
    if (lspo_grid_read(fuzz_file("grid", data, size), &grid) == LSPO_OK)
        lspo_grid_release(&grid);
    return 0;
}
