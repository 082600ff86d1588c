/* tune_curve.h - a recorded loss curve: how many steps a training needed to a loss, for `lspo tune --objective
 * time-to-loss`. */
#ifndef LSPO_CLI_TUNE_CURVE_H
#define LSPO_CLI_TUNE_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "real/train/origin.h"

typedef struct {
    const char *path;
    lspo_origin_t *origin; /* owned: the settings of the training */
    const lspo_policy_t *policy;
    uint32_t batch, accumulation, sequence;
    double steps; /* to the loss; NaN: it was not reached */
} lspo_tune_curve_t;

/* Read the metrics of lspo train at `path` and the record beside them.  LSPO_ERR_INPUT without that record, if the
 * training was one of another model than `model`, or if its steps have no held-out losses. */
lspo_status_t lspo_tune_curve_read(const char *path, const lspo_model_t *model, double loss,
                                   lspo_tune_curve_t *curve_out);
void lspo_tune_curve_close(lspo_tune_curve_t *curve);

/* Does the curve of an exact policy stand for `policy`, too?  Not for one that lacks a parameter which decides the
 * numbers and is not at its default in the curve's training: native --adam-basis eigen is no training of stream. */
bool lspo_tune_curve_stands_for(const lspo_tune_curve_t *curve, const lspo_policy_t *policy);

/* Set what decides the numbers of the training: its sequence, and the parameters that `policy` has, too. */
lspo_status_t lspo_tune_curve_apply(const lspo_tune_curve_t *curve, const lspo_policy_t *policy,
                                    lspo_workload_t *workload);

#endif
