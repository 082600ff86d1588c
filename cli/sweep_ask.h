/* sweep_ask.h - what a cell of a sweep asks for: its model, workload, policy and machine. */
#ifndef LSPO_CLI_SWEEP_ASK_H
#define LSPO_CLI_SWEEP_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "ask/request.h"
#include "cli/sweep_language.h"

enum { LSPO_ASK_TEXT_BYTES = 8192 };

typedef struct {
    const lspo_sweep_cell_t *cell;
    lspo_request_t request;
    lspo_machine_t machine;
    double link_Bps, cpu_pps;        /* from shares of a policy's GPU time; 0: not asked for */
    bool complete;                   /* all of it was read */
    char texts[LSPO_ASK_TEXT_BYTES]; /* of --set */
    size_t used;
    char colons[LSPO_SWEEP_COLON_BYTES]; /* of the policy's values */
} lspo_sweep_ask_t;

/* Read a cell for a prediction, or for a run on `device` (NULL: none), whose default precision may be another; `ask` is
 * for one cell at a time.  LSPO_ERR_INPUT, like `lspo sim`, for values that do not go together. */
lspo_status_t lspo_sweep_ask(const lspo_sweep_cell_t *cell, const char *device, lspo_sweep_ask_t *ask);

/* Do the constraints of the grid and of the cell's group hold?  Also for a cell that could not be read: what is not
 * known then holds. */
bool lspo_sweep_ask_holds(const lspo_sweep_grid_t *grid, lspo_sweep_ask_t *ask);

/* The same for a cell that is not asked for otherwise; false if there is no memory. */
bool lspo_sweep_cell_holds(const lspo_sweep_grid_t *grid, const lspo_sweep_cell_t *cell);

/* The options of `lspo sim` for the cell, quoted for a shell; cut off at `capacity`. */
void lspo_sweep_ask_flags(const lspo_sweep_ask_t *ask, char *text, size_t capacity);

#endif
