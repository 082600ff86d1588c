/* verdict.h - compare predictions with measurements: per cell, for all cells, and against the thresholds. */
#ifndef LSPO_VALIDATE_VERDICT_H
#define LSPO_VALIDATE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/own_cells.h"
#include "traces/accuracy.h"
#include "validate/breakdown.h"
#include "validate/predict.h"
#include "validate/visits.h"

/* A row of cells.csv: a cell with its predictions and measurements.  Unknown times and errors are NaN. */
typedef struct {
    uint64_t cell, group, batch, sequence, iterations, visits, disturbed_visits, sample_count;
    const char *group_name, *model, *policy, *rates_of, *bound, *flags;
    char title[64];                          /* "lsp 64 8": the policy and its values in the grid */
    lspo_own_cell_t own[LSPO_OWN_CELLS_MAX]; /* by lspo_policies_parameter() */
    int disturbed;
    bool no_room; /* it does not fit the device, so it was not measured */
    double link_Bps, cpu_pps, foreign_share;
    double predicted_s, measured_s, low_s, high_s, error;
    double calibrated_s, calibrated_error; /* predicted without the yardsticks */
    double noise;                          /* fraction of measured_s */
    double native_s, predicted_slowdown, measured_slowdown, slowdown_error, calibrated_slowdown;
    double predicted_peak_gpu_bytes, measured_peak_gpu_bytes;     /* of the visit whose trace is kept */
    double predicted_peak_total_bytes, measured_peak_total_bytes; /* with the host's, of the process */
    double naive_s, naive_error;                                  /* measured native, and all bytes over the link */
    double lanes_s, lanes_error; /* the longest of measured native, bytes each way over the link, and the optimizer */
    double variant_s[LSPO_VARIANTS_MAX], variant_slowdown[LSPO_VARIANTS_MAX];
} lspo_outcome_t;

/* One per cell that is not native; malloc'd, texts point into `cells`. */
lspo_status_t lspo_validate_outcomes(const lspo_cells_t *cells, const lspo_measurement_t *measurements,
                                     lspo_outcome_t **outcomes_out, uint32_t *count_out);

/* A row of summary.csv: the errors of one predictor. */
typedef struct {
    const char *predictor, *quantity; /* "time", "slowdown"; "device" and "memory": the two peaks */
    const char *cells;                /* "all", "gpu", "link", "cpu": calm cells; "disturbed too" */
    uint64_t count;
    double mean, median, p95, worst, bias, tau;
} lspo_score_t;

enum { LSPO_SCORES_MAX = 2 * (5 + 3 + LSPO_VARIANTS_MAX) + 4 };

typedef struct {
    double mean, p95, tau;
} lspo_thresholds_t;

/* All results that are written at the end. */
typedef struct {
    const lspo_variants_t *variants;
    const lspo_cells_t *cells;
    const lspo_outcome_t *outcomes;
    const lspo_breakdown_t *breakdowns; /* one per outcome */
    uint32_t count;
    lspo_thresholds_t thresholds;
    const char *calibration; /* one line: file, date, who measured it */
    lspo_score_t scores[LSPO_SCORES_MAX];
    uint32_t score_count;
    lspo_order_t order; /* of the predicted times of lspo */
} lspo_verdict_t;

/* Fill the scores. */
lspo_status_t lspo_validate_score(lspo_verdict_t *verdict);
/* The score of ("lspo", "time", "all") and the like; NULL: none. */
const lspo_score_t *lspo_verdict_score(const lspo_verdict_t *verdict, const char *predictor, const char *quantity,
                                       const char *cells);

/* FOLDER/cells.csv, summary.csv, breakdown.csv, report.txt. */
lspo_status_t lspo_validate_write_files(const lspo_verdict_t *verdict, const char *folder);
/* Write the report for people, summary.csv, or one JSON object with all tables. */
void lspo_validate_write_report(const lspo_verdict_t *verdict, FILE *file);
lspo_status_t lspo_validate_write_csv(const lspo_verdict_t *verdict, FILE *file);
lspo_status_t lspo_validate_write_json(const lspo_verdict_t *verdict, FILE *file);
/* LSPO_ERR_INCONCLUSIVE if fewer than half of the cells were measured undisturbed; else LSPO_ERR_ACCURACY if the
 * predictions are outside the thresholds. */
lspo_status_t lspo_validate_judge(const lspo_verdict_t *verdict);

#endif
