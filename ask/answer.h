/* answer.h - the prediction of a request, as `lspo sim` and the library report it. */
#ifndef LSPO_ASK_ANSWER_H
#define LSPO_ASK_ANSWER_H

#include <stdbool.h>

#include "ask/request.h"
#include "ask/result.h"
#include "base/status.h"
#include "plan/expect.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/advice.h"
#include "sim/sim.h"
#include "traces/trace.h"

enum { LSPO_ANSWER_SETS_BYTES = 1024 };

typedef struct {
    const lspo_request_t *request;
    const lspo_machine_t *machine;
    lspo_plan_t *plan;            /* owned */
    lspo_prediction_t prediction; /* owned */
    lspo_trace_t *trace;          /* owned; NULL: not wanted */
    lspo_expect_t expect;         /* of a training */
    char advice[LSPO_ADVICE_BYTES], sets[LSPO_ANSWER_SETS_BYTES];
} lspo_answer_t;

/* Build the request's plan, with all that is left to simulation (sim/tune.h), and predict it on `machine`, which
 * lspo_request_use_machine() has changed.  Both must outlive the answer.  On failure nothing is left to release. */
lspo_status_t lspo_answer_predict(const lspo_request_t *request, const lspo_machine_t *machine, bool wants_trace,
                                  lspo_answer_t *answer_out);
/* Accepts an answer that is all zero. */
void lspo_answer_release(lspo_answer_t *answer);

/* The first part of it: build the plan.  The caller then fills in prediction, advice and, of a training, expect, as far
 * as they are wanted, and releases the answer, also after a failure. */
lspo_status_t lspo_answer_begin(const lspo_request_t *request, const lspo_machine_t *machine,
                                lspo_answer_t *answer_out);

/* The fields of a prediction, all others missing.  Texts point into the answer. */
void lspo_answer_result(const lspo_answer_t *answer, lspo_result_t *result_out);

#endif
