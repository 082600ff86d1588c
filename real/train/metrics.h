/* metrics.h - how a training went: one CSV row a step, which plots and `lspo join` read.
 *
 * Columns: step (steps done), epoch, loss (of that step's batch, nats), learning_rate, gradient_norm (before clipping),
 * time_s (of training alone, without evaluations and checkpoints, since step 0), tokens_per_s, held_out_loss,
 * perplexity (e to the held-out loss), bias and bias_fitted (of lsp's projectors, before and after the step's check),
 * refits (weights whose projectors were fitted anew so far), accuracy (of a classifier, held out).  What is not known
 * is empty.  Row 0 holds the held-out loss before training.  The file is written in place: its mode and what links to
 * it stay.
 */
#ifndef LSPO_REAL_TRAIN_METRICS_H
#define LSPO_REAL_TRAIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* NaN: not known. */
typedef struct {
    uint32_t step;
    double epoch, loss, learning_rate, gradient_norm, time_s, tokens_per_s, held_out_loss, perplexity, bias,
        bias_fitted, refits, accuracy;
} lspo_metrics_row_t;

/* A row of which nothing but the step is known. */
lspo_metrics_row_t lspo_metrics_row(uint32_t step);

typedef struct lspo_metrics lspo_metrics_t;

/* Open a file to write to, made where there is none, and lock it until it is closed.  Nothing in it is changed, and one
 * that was made here and not begun is removed by close.  LSPO_ERR_INPUT when another training writes to it, or when it
 * holds anything but metrics, which would be lost.  A pipe or a terminal is taken as it is. */
lspo_status_t lspo_metrics_open(const char *path, lspo_metrics_t **metrics_out);
/* Empty it, or with `resume` go on with it: rows after `step`, which the interrupted run wrote beyond its checkpoint,
 * are dropped, and so is a last row that was cut. */
lspo_status_t lspo_metrics_begin(lspo_metrics_t *metrics, bool resume, uint32_t step);
/* Before that: the row of `step` that a run wrote; *row_out stays as it is where there is none. */
lspo_status_t lspo_metrics_find(lspo_metrics_t *metrics, uint32_t step, lspo_metrics_row_t *row_out);
/* Write rows and hand them to the system. */
lspo_status_t lspo_metrics_add(lspo_metrics_t *metrics, const lspo_metrics_row_t *rows, size_t count);
/* Its path where it is a file, NULL where it is a pipe or a terminal. */
const char *lspo_metrics_path(const lspo_metrics_t *metrics);
void lspo_metrics_close(lspo_metrics_t *metrics);

/* All rows, allocated.  LSPO_ERR_INPUT, with file and line, for what is not a metrics file; of a last
 * line that was cut nothing counts, and one whole but for its end counts.  A byte-order mark and "\r\n" do not
 * matter. */
lspo_status_t lspo_metrics_read(const char *path, lspo_metrics_row_t **rows_out, size_t *count_out);

#endif
