/* measured.h - `lspo sim --measured TIME|FILE`: how long a step took, read from a time or from what a program wrote.
 *
 * A FILE is one of, recognised by its beginning:
 *     a trace of lspo; the metrics of lspo train; a profile of PyTorch (Kineto), plain or compressed by gzip;
 *     else a log: nanoGPT's lines, timers of DeepSpeed or Megatron, samples per second, a progress bar of Hugging
 *     Face's Trainer, or its train_runtime (traces/import/pace.h, log.h).
 * The first steps are warm-up and left out: 2 of at least 5, else 1 of at least 2.
 */
#ifndef LSPO_CLI_MEASURED_H
#define LSPO_CLI_MEASURED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "real/train/origin.h"
#include "traces/trace.h"

typedef struct {
    const char *source;    /* "the time given", "a progress bar", ... */
    double step_s;         /* median */
    uint64_t steps;        /* behind the median; 0: only a time was given */
    bool is_average;       /* over a whole training, warm-up included */
    uint64_t skipped;      /* before these, as warm-up */
    uint64_t left_out;     /* lines that repeat a step, or have no usable time */
    lspo_trace_t *trace;   /* owned: with the parts of steps; NULL: only the times of steps are known */
    uint32_t warmup;       /* of the trace */
    lspo_origin_t *origin; /* owned: what training the metrics are of; NULL: not known */
} lspo_measured_t;

/* `batch`: samples per step, for logs that have only samples per second.  LSPO_ERR_INPUT if `text` is neither a time
 * nor a file with times of steps; the message says what can be read. */
lspo_status_t lspo_measured_read(const char *text, double batch, lspo_measured_t *measured_out);

/* Warns if the file says that it is of another training than `expected`, the trace of a plan: another model, policy,
 * batch, ... */
void lspo_measured_warn_of_other(const lspo_measured_t *measured, const char *path, const lspo_trace_t *expected);

void lspo_measured_release(lspo_measured_t *measured);

#endif
