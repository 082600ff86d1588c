/* predict.h - the cells of a grid and their predictions.
 *
 * Predictions depend only on the grid and the machine's profile, never on a measurement.  A cell is described by its
 * flags, the words for `lspo sim` and `lspo run`.  Only the command line knows their meaning, so it passes a function
 * that reads them.
 */
#ifndef LSPO_VALIDATE_PREDICT_H
#define LSPO_VALIDATE_PREDICT_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/trace.h"
#include "validate/grid.h"

/* The meaning of flags. */
typedef struct {
    lspo_model_t model;
    const lspo_policy_t *policy;
    lspo_workload_t workload;
} lspo_asked_t;

/* Read `flags` like `lspo run`.  --link, --cpu and --set change `machine` (may be NULL). */
typedef lspo_status_t (*lspo_read_flags_t)(const char *flags, lspo_machine_t *machine, lspo_asked_t *asked_out);

/* A machine relative to its calibration. */
typedef struct {
    double speed; /* of all kernels of the GPU */
    double cache; /* see lspo_machine_scale_cache() */
} lspo_now_t;

/* The profile, then variants of it that each lack one part of the model. */
enum { LSPO_VARIANTS_MAX = 8 };

typedef struct {
    uint32_t count;
    const char *names[LSPO_VARIANTS_MAX]; /* [0] is "lspo" */
    const char *parts[LSPO_VARIANTS_MAX]; /* of lspo_machine_ablate(); [0] is NULL */
    lspo_machine_t machine;
    lspo_read_flags_t read_flags;
} lspo_variants_t;

/* Rates of link and optimizer, from shares of the GPU time (validate/grid.h). */
typedef struct {
    double link_share, cpu_share; /* 0: the rate stays as it is */
    double link_most_Bps;
    double link_Bps, cpu_pps;
} lspo_rates_t;

/* Set the rates at which the gradients of `flags`, simulated without pacing, take these shares of its GPU time. */
lspo_status_t lspo_validate_shared_rates(const lspo_variants_t *variants, const char *flags, lspo_rates_t *rates);

/* A cell and its predictions. */
typedef struct {
    const lspo_grid_group_t *group;
    uint32_t group_number;         /* from 1 */
    uint32_t number;               /* of the cell, from 1; 0: native, the baseline, or a yardstick */
    uint32_t yardstick;            /* from 1; 0: none */
    uint32_t cores;                /* on which its host devices compute at once; a yardstick runs once on each */
    uint32_t native;               /* index of the native cell of the same workload */
    char *flags;                   /* owned: for `lspo sim` and `lspo run` */
    lspo_plan_t *plan;             /* owned */
    lspo_trace_t *trace;           /* owned: predicted */
    double link_Bps, cpu_pps;      /* if free: the profile's */
    uint64_t d2h_bytes, h2d_bytes; /* per iteration */
    uint64_t peak_gpu_bytes, peak_total_bytes;
    lspo_lane_kind_t bound; /* GPU; D2H for both directions of the link; CPU */
    lspo_now_t now;         /* see lspo_validate_now(); only where there are yardsticks */
    double iteration_s[LSPO_VARIANTS_MAX], slowdown[LSPO_VARIANTS_MAX]; /* on the machine now */
    double calibrated_s, calibrated_slowdown; /* on that of the calibration: [0] with 1 and 1 */
} lspo_cell_t;

typedef struct {
    lspo_cell_t *cells; /* owned; natives before the first cell of their workload, the yardsticks last */
    uint32_t count;
    uint32_t yardsticks; /* number of yardsticks; 0 if the profile has none */
} lspo_cells_t;

/* The link of a cell stays below `link_most_Bps`.  Its host devices have `cores_most` cores; 1 for GPUs, whose speed
 * does not depend on how many there are.  Errors name the line of the grid. */
lspo_status_t lspo_validate_predict(const lspo_grid_t *grid, const lspo_variants_t *variants, double link_most_Bps,
                                    uint32_t cores_most, lspo_cells_t *cells_out);
/* Predict again for the machine now: sets iteration_s and slowdown. */
lspo_status_t lspo_validate_predict_at(const lspo_variants_t *variants, const lspo_now_t *now, lspo_cell_t *cell);
void lspo_cells_release(lspo_cells_t *cells);

#endif
