/* grid.h - read a grid: the cells that `lspo validate` simulates and measures.
 *
 * A grid is a text file; '#' starts a comment.  Each line is a group of cells:
 *
 *     NAME MODEL BATCH SEQUENCE RATES LINK/GPU CPU/GPU POLICY...
 *
 * RATES is a policy, or `self`: each cell's own policy.  Before anything is measured, that policy is simulated without
 * pacing of link and optimizer.  Then the link of the cells is chosen such that its gradients take LINK/GPU times its
 * GPU time, and the optimizer such that its update takes CPU/GPU times that.  So a grid has the same shares of GPU-,
 * link- and CPU-bound cells on a faster or slower machine.  A share may be replaced by a rate with its unit (4GB/s,
 * 200M/s), or by `free`: not paced.  The order of policies is compared within groups with the same rates.  POLICY is a
 * name, `lsp:D:R` with subspace and nonzeros, `lsp:D:R:N` with a check of the projectors every N steps, which always
 * fits (--bias-threshold 0), or `NAME:RANK` for a policy with a rank.  A line
 *
 *     flags [--name VALUE]...
 *
 * sets workload flags for all groups below it and replaces the previous `flags` line.  A policy's own flag
 * (plan/parameter.h) applies to the cells of policies that have it.
 *
 * The policies of a group train or generate, not both.  Those that generate have no optimizer: their CPU/GPU is `free`.
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
    lspo_task_t task;                  /* of its policies */
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

/* LSPO_ERR_INPUT, with file, line, value and allowed values in the message, for the first wrong line, and for a grid
 * without cells.  Models and values of flags are not checked here. */
lspo_status_t lspo_grid_read(const char *path, lspo_grid_t *grid_out);
void lspo_grid_release(lspo_grid_t *grid);

/* Add a copy of a group, or a cell "lsp:64:8" of the group with that index, of which `text` is cut into pieces; its
 * errors name the line. */
lspo_status_t lspo_grid_add_group(lspo_grid_t *grid, const lspo_grid_group_t *group);
lspo_status_t lspo_grid_add_cell(lspo_grid_t *grid, uint32_t line, char *text, uint32_t group);

#endif
