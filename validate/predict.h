/* predict.h - the cells of a grid, and what the simulator predicts of each.
 *
 * Predictions are a function of the grid and the machine's profile alone, so that no measurement can reach them.
 * A cell is its flags, the words that `lspo sim` and `lspo run` are given.  Only the command line knows what they mean,
 * and hands in a function that reads them.
 */
#ifndef LSPO_VALIDATE_PREDICT_H
#define LSPO_VALIDATE_PREDICT_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/trace.h"
#include "validate/grid.h"

/* What flags ask for. */
typedef struct {
    lspo_model_t model;
    const lspo_policy_t *policy;
    lspo_workload_t workload;
} lspo_asked_t;

/* Read `flags`, as `lspo run` would.  `machine` (may be NULL) is changed as they say: --link, --cpu, --set. */
typedef lspo_status_t (*lspo_read_flags_t)(const char *flags, lspo_machine_t *machine, lspo_asked_t *asked_out);

/* The profile as it is, then without one part of the model each. */
enum { LSPO_VARIANTS_MAX = 8 };

typedef struct {
    uint32_t count;
    const char *names[LSPO_VARIANTS_MAX]; /* [0] is "lspo" */
    const char *parts[LSPO_VARIANTS_MAX]; /* of lspo_machine_ablate(); [0] is NULL */
    lspo_machine_t machine;
    lspo_read_flags_t read_flags;
} lspo_variants_t;

/* A cell and what is predicted of it. */
typedef struct {
    const lspo_grid_group_t *group;
    uint32_t group_number;         /* from 1 */
    uint32_t number;               /* of the cell, from 1; 0: native, by which slowdowns are, or a yardstick */
    uint32_t yardstick;            /* from 1; 0: none */
    uint32_t native;               /* index of the native cell of the same workload */
    char *flags;                   /* owned: what `lspo sim` and `lspo run` are given */
    lspo_plan_t *plan;             /* owned */
    lspo_trace_t *trace;           /* owned: predicted */
    double link_Bps, cpu_pps;      /* where it is free, the profile's */
    uint64_t d2h_bytes, h2d_bytes; /* per iteration */
    lspo_lane_kind_t bound;        /* GPU; D2H for either way of the link; CPU */
    double iteration_s[LSPO_VARIANTS_MAX], slowdown[LSPO_VARIANTS_MAX]; /* at the speed of the machine */
    double calibrated_s, calibrated_slowdown; /* at that of the calibration: [0] with speed 1 */
} lspo_cell_t;

typedef struct {
    lspo_cell_t *cells; /* owned; natives before the first cell of their workload, the yardsticks last */
    uint32_t count;
    uint32_t yardsticks; /* how many of them; 0 where the profile has none */
} lspo_cells_t;

/* The link of a cell stays below `link_most_Bps`.  Errors name the line of the grid. */
lspo_status_t lspo_validate_predict(const lspo_grid_t *grid, const lspo_variants_t *variants, double link_most_Bps,
                                    lspo_cells_t *cells_out);
/* The same of a machine all of whose GPU kernels run `speed` times as fast: sets iteration_s and slowdown. */
lspo_status_t lspo_validate_predict_at(const lspo_variants_t *variants, double speed, lspo_cell_t *cell);
void lspo_cells_release(lspo_cells_t *cells);

#endif
