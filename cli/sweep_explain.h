/* sweep_explain.h - the command that predicts a cell of a sweep. */
#ifndef LSPO_CLI_SWEEP_EXPLAIN_H
#define LSPO_CLI_SWEEP_EXPLAIN_H

#include "base/status.h"
#include "base/workers.h"
#include "cli/sweep_cell.h"

/* Print the command of the cell with this key, 16 hexadecimal digits, or with this number.  LSPO_ERR_INPUT if there is
 * none. */
lspo_status_t lspo_sweep_explain(const lspo_sweep_grid_t *grid, lspo_sweep_cells_t *cells, lspo_workers_t *workers,
                                 const char *text);

#endif
