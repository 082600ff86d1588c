/* grid.h - a grid: the cells of a sweep, counted but not listed.
 *
 * A grid is an INI file (docs/sweep.md).  Each section is a group of cells: the product of its axes, of which the first
 * varies slowest.  The axes of [all], which comes first, belong to every group; a group's own axis of the same key
 * replaces it.  `zip = A B, C D` lets A and B, and C and D, take their values side by side.  `where` is a constraint
 * (where.h).  Cells are numbered from 0, group by group; the number of a cell never depends on which are left out.
 *
 * An axis of an option that a cell's policy does not have says nothing about it: the cell is left out, unless all such
 * axes are at their first value, and has no such option.
 */
#ifndef LSPO_SWEEP_GRID_H
#define LSPO_SWEEP_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/policy.h"
#include "sweep/axis.h"
#include "sweep/where.h"

enum { LSPO_SWEEP_AXES_MAX = 64, LSPO_SWEEP_GROUPS_MAX = 1000 };
/* What is kept for each cell while a sweep runs, a bit, stays small. */
#define LSPO_SWEEP_CELLS_MAX UINT64_C(1000000000)

/* Axes that take their values side by side, or one axis alone. */
typedef struct {
    uint32_t axes[LSPO_SWEEP_AXES_MAX]; /* indices of the grid's axes */
    uint32_t axis_count, size;
} lspo_wheel_t;

typedef struct {
    char *name;           /* owned; "": the only group, [all] */
    lspo_wheel_t *wheels; /* owned; the first varies slowest */
    uint32_t wheel_count;
    lspo_where_t *where;   /* owned; NULL: none */
    uint64_t first, count; /* cells */
} lspo_sweep_group_t;

typedef struct {
    char *path;        /* owned, as given */
    lspo_axis_t *axes; /* owned: those of [all], then those of the groups */
    uint32_t axis_count;
    lspo_where_t *where;        /* owned: that of [all]; NULL: none */
    lspo_sweep_group_t *groups; /* owned */
    uint32_t group_count;
    uint64_t cell_count; /* with those that are left out */
    uint64_t hash;       /* of all of it but the path */
} lspo_sweep_grid_t;

/* `given` is a key of [all] that replaces that of the file; NULL: none.  LSPO_ERR_INPUT, with file and line in the
 * message, for the first wrong line, a group without model, machine or policy, and more than LSPO_SWEEP_CELLS_MAX
 * cells. */
lspo_status_t lspo_sweep_grid_read(const char *path, const lspo_sweep_language_t *language,
                                   const lspo_ini_entry_t *given, lspo_sweep_grid_t *grid_out);
/* The same for `text` in memory; messages use `path` as the file's name. */
lspo_status_t lspo_sweep_grid_read_text(const char *path, const char *text, const lspo_sweep_language_t *language,
                                        const lspo_ini_entry_t *given, lspo_sweep_grid_t *grid_out);
void lspo_sweep_grid_release(lspo_sweep_grid_t *grid);

typedef struct {
    const lspo_axis_t *axis;
    uint32_t value; /* index */
} lspo_sweep_setting_t;

typedef struct {
    uint64_t index;
    const lspo_sweep_group_t *group;
    const lspo_policy_t *policy;
    lspo_sweep_setting_t settings[LSPO_SWEEP_AXES_MAX]; /* without options that the policy does not have */
    uint32_t setting_count;
} lspo_sweep_cell_t;

/* The cell with this number.  Returns false if it is left out for its policy; constraints are the caller's. */
bool lspo_sweep_grid_cell(const lspo_sweep_grid_t *grid, uint64_t index, lspo_sweep_cell_t *cell_out);

/* The cell's value of a key; NULL: it has none. */
const char *lspo_sweep_cell_value(const lspo_sweep_cell_t *cell, const char *key);

#endif
