/* The measurements that `lspo validate` keeps: visits.csv. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "validate/visits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char native[] = "--model gpt-tiny --policy native", lsp[] = "--model gpt-tiny --policy lsp";
    lspo_cell_t two[] = {{.flags = native}, {.number = 1, .flags = lsp}};
    const lspo_cells_t cells = {.cells = two, .count = 2};
    lspo_measurement_t measurements[2] = {{0}};
    char *others = NULL;
    fuzz_file("visits.csv", data, size);
    if (lspo_visits_read(&cells, fuzz_folder(), measurements, &others) == LSPO_OK)
        free(others);
    for (size_t i = 0; i < 2; i++)
        lspo_measurement_release(&measurements[i]);
    return 0;
}
