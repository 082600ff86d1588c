/* grid_cells.h - a grid of either form: that of grid.h, or that of sweeps (sweep/grid.h).
 *
 * In a sweep's grid the keys rates, link-over-gpu and cpu-over-gpu stand for RATES, LINK/GPU and CPU/GPU, link and cpu
 * for given rates; the machine is that of the command.  Cells that differ only in policy and its options are one
 * group.
 */
#ifndef LSPO_VALIDATE_GRID_CELLS_H
#define LSPO_VALIDATE_GRID_CELLS_H

#include <stdbool.h>

#include "sweep/grid.h"
#include "validate/grid.h"

/* What the keys of a sweep's grid mean. */
typedef struct {
    lspo_sweep_language_t language;
    /* Do the constraints of the grid hold in this cell? */
    bool (*holds)(const lspo_sweep_grid_t *grid, const lspo_sweep_cell_t *cell);
} lspo_grid_language_t;

/* Does the file begin with a [section]?  `otherwise` for what is not a file, such as a pipe, which is read once. */
bool lspo_grid_is_of_sweeps(const char *path, bool otherwise);

/* Read a grid of either form; `machine` is for the language. */
lspo_status_t lspo_grid_read_any(const char *path, const lspo_grid_language_t *language, const char *machine,
                                 lspo_grid_t *grid_out);

/* A grid of the form of grid.h as text of the form of sweeps, a section per cell, without its machine; malloc'd. */
lspo_status_t lspo_grid_as_sweep(const lspo_grid_t *grid, char **text_out);

#endif
