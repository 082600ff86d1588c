/* validate.h - the parts of `lspo validate`: predictions of a grid's cells, measurements of them, and what both say.
 *
 * Predictions come first and from a function that is given the grid and the machine's profile alone
 * (lspo_validate_predict), so that no measurement can reach them.  A cell is measured by `lspo run` in a process of its
 * own, with the same flags, again and again in rounds over all cells: what changes in the machine meets all alike.
 */
#ifndef LSPO_CLI_VALIDATE_H
#define LSPO_CLI_VALIDATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/grid.h"
#include "cli/own_cells.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/accuracy.h"
#include "traces/trace.h"

/* The profile as it is, then without one part of the model each. */
enum { LSPO_VARIANTS_MAX = 8 };

typedef struct {
    uint32_t count;
    const char *names[LSPO_VARIANTS_MAX]; /* [0] is "lspo" */
    const char *parts[LSPO_VARIANTS_MAX]; /* of lspo_machine_ablate(); [0] is NULL */
    lspo_machine_t machine;
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

/* Iterations that a measurement drops as warm-up: those of lspo_run(). */
enum { LSPO_VALIDATE_WARMUP = 2 };

/* The link of a cell stays below `link_most_Bps`.  Errors name the line of the grid. */
lspo_status_t lspo_validate_predict(const lspo_grid_t *grid, const lspo_variants_t *variants, double link_most_Bps,
                                    lspo_cells_t *cells_out);
/* The same of a machine all of whose GPU kernels run `speed` times as fast: sets iteration_s and slowdown. */
lspo_status_t lspo_validate_predict_at(const lspo_variants_t *variants, double speed, lspo_cell_t *cell);
void lspo_cells_release(lspo_cells_t *cells);

/* One measurement of a cell. */
typedef struct {
    uint32_t round;
    double foreign_share; /* CPU time that others took of two cores, over elapsed time */
    double core_share;    /* of its busy time that the GPU lane had its core */
    bool disturbed;
    uint32_t sample_count;
    double *samples_s; /* owned */
} lspo_visit_t;

/* All of a cell.  Its samples are those of its calm visits or, where all were disturbed, of all. */
typedef struct {
    lspo_visit_t *visits; /* owned */
    uint32_t visit_count;
    bool disturbed;
    uint32_t sample_count, counted_visits;
    double median_s, low_s, high_s; /* of the visits' medians, with its 95 % bootstrap interval; NaN without samples */
    double noise;                   /* see lspo_accuracy_noise() */
    double visit_s;                 /* how long the last visit took as a whole */
} lspo_measurement_t;

typedef struct {
    const char *device, *text_path, *folder;
    double interval; /* half-width over median at which a cell is settled */
    double budget_s;
    uint32_t visits_least; /* calm ones, before a cell is settled */
    const char *others;    /* lines that visits.csv keeps, see lspo_visits_read() */
    const atomic_int *stop;
} lspo_measure_options_t;

/* Visit cells until all are settled, the budget is spent or *stop; LSPO_ERR_INTERRUPTED then.  `measurements` has one
 * for each cell, with what earlier sessions left.  After each visit all are written to FOLDER/visits.csv; the trace of
 * a cell's last calm visit is in FOLDER/traces/. */
lspo_status_t lspo_validate_measure(const lspo_cells_t *cells, const lspo_measure_options_t *options,
                                    lspo_measurement_t *measurements);
void lspo_measurement_release(lspo_measurement_t *measurement);
/* Samples, median, interval and noise from the visits. */
lspo_status_t lspo_measurement_update(lspo_measurement_t *measurement);
lspo_status_t lspo_measurement_add(lspo_measurement_t *measurement, const lspo_visit_t *visit);

/* How fast the machine was while cells were measured, over its calibration: the median of what the yardsticks took then
 * over what they took now.  1 without a calm visit to one. */
double lspo_validate_speed(const lspo_cells_t *cells, const lspo_machine_t *machine,
                           const lspo_measurement_t *measurements);

/* FOLDER/visits.csv; without that file nothing was measured yet.  Reading adds to `measurements` what was measured with
 * the flags of a cell; the lines of other cells (another grid, another profile and so other rates) are said to be there
 * and kept for writing: `others`, the caller's to free. */
lspo_status_t lspo_visits_write(const lspo_cells_t *cells, const lspo_measurement_t *measurements, const char *others,
                                const char *folder);
lspo_status_t lspo_visits_read(const lspo_cells_t *cells, const char *folder, lspo_measurement_t *measurements,
                               char **others_out);
/* FOLDER/traces/3.trace, FOLDER/traces/native-1.trace, FOLDER/traces/yardstick-1.trace; `buffer` is returned. */
const char *lspo_cell_trace_path(const lspo_cells_t *cells, uint32_t cell, const char *folder, size_t buffer_bytes,
                                 char *buffer);

/* What makes the error of a cell, by kind of op; see validate_breakdown.c. */
typedef struct {
    bool known;                       /* a measured trace was there */
    double error;                     /* of the visit that was traced: predicted / measured - 1 */
    double share[LSPO_OP_KIND_COUNT]; /* of `error`: that these ops take another time than predicted */
    double waiting;                   /* the rest of `error` */
    bool present[LSPO_OP_KIND_COUNT];
} lspo_breakdown_t;

lspo_status_t lspo_validate_breakdown(const lspo_cell_t *cell, const lspo_trace_t *measured,
                                      lspo_breakdown_t *breakdown_out);

/* A row of cells.csv: a cell, what was predicted and what was measured.  Times and errors that are not known are
 * NaN. */
typedef struct {
    uint64_t cell, group, batch, sequence, iterations, visits, disturbed_visits, sample_count;
    const char *group_name, *model, *policy, *rates_of, *bound, *flags;
    char title[64];                          /* "lsp 64 8": the policy and the numbers that a grid gives it */
    lspo_own_cell_t own[LSPO_OWN_CELLS_MAX]; /* by lspo_policies_parameter() */
    int disturbed;
    double link_Bps, cpu_pps, foreign_share;
    double predicted_s, measured_s, low_s, high_s, error;
    double calibrated_s, calibrated_error; /* predicted without the yardsticks */
    double noise;                          /* fraction of measured_s */
    double native_s, predicted_slowdown, measured_slowdown, slowdown_error, calibrated_slowdown;
    double naive_s, naive_error; /* measured native, and all bytes over the link */
    double lanes_s, lanes_error; /* the longest of measured native, bytes each way over the link, and the optimizer */
    double variant_s[LSPO_VARIANTS_MAX], variant_slowdown[LSPO_VARIANTS_MAX];
} lspo_outcome_t;

/* One a cell that is not native; malloc'd, texts point into `cells`. */
lspo_status_t lspo_validate_outcomes(const lspo_cells_t *cells, const lspo_measurement_t *measurements,
                                     lspo_outcome_t **outcomes_out, uint32_t *count_out);

/* A row of summary.csv: the errors of one predictor. */
typedef struct {
    const char *predictor, *quantity; /* "time", "slowdown" */
    const char *cells;                /* "all", "gpu", "link", "cpu": calm cells; "disturbed too" */
    uint64_t count;
    double mean, median, p95, worst, bias, tau;
} lspo_score_t;

enum { LSPO_SCORES_MAX = 2 * (5 + 3 + LSPO_VARIANTS_MAX) + 2 };

typedef struct {
    double mean, p95, tau;
} lspo_thresholds_t;

/* Everything that is written at the end. */
typedef struct {
    const lspo_variants_t *variants;
    const lspo_outcome_t *outcomes;
    const lspo_breakdown_t *breakdowns; /* one an outcome */
    uint32_t count;
    lspo_thresholds_t thresholds;
    const char *calibration; /* one line: file, date, who measured it */
    double speed;            /* of the machine, see lspo_validate_speed() */
    lspo_score_t scores[LSPO_SCORES_MAX];
    uint32_t score_count;
    lspo_order_t order; /* of the times that lspo predicts */
} lspo_verdict_t;

/* Fill the scores. */
lspo_status_t lspo_validate_score(lspo_verdict_t *verdict);
/* "lspo", "time", "all"; NULL when there is none. */
const lspo_score_t *lspo_verdict_score(const lspo_verdict_t *verdict, const char *predictor, const char *quantity,
                                       const char *cells);

/* FOLDER/cells.csv, summary.csv, breakdown.csv, report.txt. */
lspo_status_t lspo_validate_write_files(const lspo_verdict_t *verdict, const char *folder);
/* The report for people; summary.csv; one object of all tables. */
void lspo_validate_write_report(const lspo_verdict_t *verdict, FILE *file);
lspo_status_t lspo_validate_write_csv(const lspo_verdict_t *verdict, FILE *file);
lspo_status_t lspo_validate_write_json(const lspo_verdict_t *verdict, FILE *file);
/* To stdout: a table of all; CSV of the summary; JSON of all. */
lspo_status_t lspo_validate_write(const lspo_verdict_t *verdict, int format);
/* LSPO_ERR_INCONCLUSIVE when fewer than half of the cells were measured undisturbed, whatever these say; else
 * LSPO_ERR_ACCURACY when the predictions are outside the thresholds. */
lspo_status_t lspo_validate_judge(const lspo_verdict_t *verdict);

#endif
