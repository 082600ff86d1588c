/* sweep_cell.h - predict the cells of a sweep: the request of a cell, its prediction and its row.
 *
 * A row has the fields of the result of `lspo sim`, and
 *     cell    number of the cell in the grid, from 0
 *     key     its key (sweep/key.h), 16 hexadecimal digits
 *     group   the grid's section
 *     NAME    each column.NAME of the grid
 *     measured_...   what a run measured, and the errors of the prediction, if cells are measured
 *     flags   the options of `lspo sim` that predict this cell
 *     error   what is wrong with the cell; empty: nothing
 */
#ifndef LSPO_CLI_SWEEP_CELL_H
#define LSPO_CLI_SWEEP_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/table.h"
#include "cli/measure.h"
#include "sweep/grid.h"
#include "sweep/journal.h"

typedef struct lspo_sweep_cells lspo_sweep_cells_t;

typedef struct {
    const lspo_sweep_grid_t *grid; /* read with the table of cli/sweep_language.h; must outlive the cells */
    const char *columns;           /* names separated by commas; NULL: all that need no more than the prediction */
    lspo_format_t format;          /* CSV or JSON */
    uint32_t workers;
    const lspo_bench_t *bench; /* measure each cell there, too, with one worker; NULL: only predict */
} lspo_sweep_cells_options_t;

/* LSPO_ERR_INPUT, with all names in the message, for a column that there is not. */
lspo_status_t lspo_sweep_cells_create(const lspo_sweep_cells_options_t *options, lspo_sweep_cells_t **cells_out);
void lspo_sweep_cells_destroy(lspo_sweep_cells_t *cells);

/* The names of the columns, separated by commas; lives as long as the cells. */
const char *lspo_sweep_cells_names(const lspo_sweep_cells_t *cells);

/* The row of a cell: lspo_sweep_cell_row_t of sweep/play.h, `context` is the lspo_sweep_cells_t. */
lspo_status_t lspo_sweep_cells_row(void *context, uint32_t worker, const lspo_sweep_cell_t *cell, lspo_row_t *row_out);

/* The row of a cell whose prediction has crashed: lspo_sweep_crash_row_t. */
lspo_status_t lspo_sweep_cells_crash_row(void *context, const lspo_sweep_cell_t *cell, int signal, lspo_row_t *row_out);

/* The key of a cell and its flags, without predicting it; *key_out 0: a constraint leaves it out, or it is wrong. */
lspo_status_t lspo_sweep_cells_key(lspo_sweep_cells_t *cells, uint32_t worker, const lspo_sweep_cell_t *cell,
                                   uint64_t *key_out, const char **flags_out);

#endif
