/* metrics.h - the metrics of a training: a CSV file with one row per step, read by plots and `lspo join`.
 *
 * Columns: step (steps done), epoch, loss (of that step's batch, nats), learning_rate, gradient_norm (before clipping),
 * time_s (of training alone, without evaluations and checkpoints, since step 0), tokens_per_s, held_out_loss,
 * perplexity (e to the held-out loss), bias and bias_fitted (of lsp's projectors, before and after the step's check),
 * refits (how many times a weight's projectors were fitted again so far), and the scores of a classifier on held-out
 * rows (real/session/scores.h).  Unknown values are empty.  Row 0 has what is held out before training.  The file is
 * written in place, so its mode and links to it are preserved.  Files of before f1, which end with accuracy, are read,
 * too.
 */
#ifndef LSPO_REAL_TRAIN_METRICS_H
#define LSPO_REAL_TRAIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/session/scores.h"

/* NaN: not known. */
typedef struct {
    uint32_t step;
    double epoch, loss, learning_rate, gradient_norm, time_s, tokens_per_s, held_out_loss, perplexity, bias,
        bias_fitted, refits;
    lspo_scores_t scores;
} lspo_metrics_row_t;

/* A row with this step and all other values unknown. */
lspo_metrics_row_t lspo_metrics_row(uint32_t step);

typedef struct lspo_metrics lspo_metrics_t;

/* Open a file for writing, creating it if needed, and lock it until it is closed.  Its contents are unchanged until
 * begin; close removes a file that was created here and never begun.  LSPO_ERR_INPUT if another training writes to it,
 * or if it contains anything other than metrics, which would be lost.  Pipes and terminals are not checked. */
lspo_status_t lspo_metrics_open(const char *path, lspo_metrics_t **metrics_out);
/* Empty it, or with `resume` continue it: removes rows after `step`, which the interrupted run wrote after its
 * checkpoint, and an incomplete last row; an older file gets the columns that it lacks.  Warns if rows of earlier steps
 * are missing. */
lspo_status_t lspo_metrics_begin(lspo_metrics_t *metrics, bool resume, uint32_t step);
/* Call before begin: reads the row of `step` that an earlier run wrote; *row_out is unchanged if there is none. */
lspo_status_t lspo_metrics_find(lspo_metrics_t *metrics, uint32_t step, lspo_metrics_row_t *row_out);
/* Write rows and flush them. */
lspo_status_t lspo_metrics_add(lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count);
/* Write `row` in place of the last one if that has the same step, else behind it.  A process that is killed meanwhile
 * leaves one or the other. */
lspo_status_t lspo_metrics_replace(lspo_metrics_t *metrics, const lspo_metrics_row_t *row);
/* Its path; NULL for a pipe or a terminal. */
const char *lspo_metrics_path(const lspo_metrics_t *metrics);
void lspo_metrics_close(lspo_metrics_t *metrics);

/* All rows, at least one, allocated.  LSPO_ERR_INPUT if it is not a metrics file: the message names file, line, column
 * and value.  Values are empty or finite numbers of at least 0, but for matthews, pearson and spearman,
 * which are from -1 to 1; and steps ascend.  An incomplete last line is ignored;
 * one that lacks only its newline counts.  A byte-order mark and "\r\n" are accepted. */
lspo_status_t lspo_metrics_read(const char *path, lspo_metrics_row_t **rows_out, size_t *count_out);

#endif
