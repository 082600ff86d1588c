/* A sweep's grid, with the keys of the command line, and some of its cells. */
#include "cli/sweep_ask.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lspo_sweep_ask_t ask;
    lspo_sweep_words_t *words;
    lspo_sweep_grid_t grid;
    lspo_sweep_cell_t cell;
    if (lspo_sweep_words_create(&words) != LSPO_OK)
        return 0;
    lspo_sweep_language_t language = lspo_sweep_words_language(words);
    if (lspo_sweep_grid_read(fuzz_file("sweep", data, size), &language, NULL, &grid) == LSPO_OK) {
        for (uint64_t i = 0; i < grid.cell_count && i < 8; i++)
            if (lspo_sweep_grid_cell(&grid, i, &cell)) {
                (void)lspo_sweep_ask(&cell, NULL, &ask);
                (void)lspo_sweep_ask_holds(&grid, &ask);
            }
        lspo_sweep_grid_release(&grid);
    }
    lspo_sweep_words_destroy(words);
    return 0;
}
