/* grid.h - a grid: which cells `lspo validate` simulates and measures.
 *
 * A text file.  '#' starts a comment.  A line is a group of cells:
 *
 *     NAME MODEL BATCH SEQUENCE RATES LINK/GPU CPU/GPU POLICY...
 *
 * RATES is a policy, or `self`.  Before anything is measured that policy (self: each cell's own) is simulated with
 * neither link nor optimizer paced; the cells' link is then such that its gradients take LINK/GPU times its GPU time,
 * and their optimizer such that the update takes CPU/GPU times that.  So a grid keeps its shares of GPU-, link- and
 * CPU-bound cells on a faster or slower machine.  In place of a share may stand a rate with its unit (4GB/s, 200M/s),
 * or `free`: not paced.  The order of policies is compared within groups that share their rates.
 * POLICY is a name, with `lsp:D:R` for its subspace and nonzeros, `lsp:D:R:N` for a check of its projectors every
 * N steps, which always fits (--bias-threshold 0), and `NAME:RANK` for a policy with a rank.  A line
 *
 *     flags [--name VALUE]...
 *
 * gives workload flags to all groups below it, in place of those of the `flags` line above.  A flag of some policies'
 * own (plan/parameter.h) is given to the cells of these policies.
 */
#ifndef LSPO_VALIDATE_GRID_H
#define LSPO_VALIDATE_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/policy.h"

enum { LSPO_GRID_FLAGS_BYTES = 512, LSPO_GRID_CELLS_MAX = 10000 };

typedef struct {
    char name[32];
    uint32_t line;                     /* of the file, from 1                                            */
    char flags[LSPO_GRID_FLAGS_BYTES]; /* "--model gpt-tiny --batch 4 --sequence 256", then those of `flags` */
    const lspo_policy_t *rates_of;     /* NULL: self */
    double link_share, cpu_share;      /* of the GPU time; 0: the rate below                             */
    double link_Bps, cpu_pps;          /* 0: free                                                        */
} lspo_grid_group_t;

typedef struct {
    uint32_t group; /* index */
    const lspo_policy_t *policy;
    char flags[160]; /* "--policy lsp --subspace 64 --nnz 8" */
} lspo_grid_cell_t;

typedef struct {
    char *path;                /* owned, as given */
    lspo_grid_group_t *groups; /* owned           */
    lspo_grid_cell_t *cells;   /* owned, in the order of the file */
    uint32_t group_count, cell_count;
} lspo_grid_t;

/* LSPO_ERR_INPUT with file, line, value and what is allowed for the first line that is wrong, and for a grid without
 * cells.  Models and the flags' values are not looked at here. */
lspo_status_t lspo_grid_read(const char *path, lspo_grid_t *grid_out);
void lspo_grid_release(lspo_grid_t *grid);

#endif
