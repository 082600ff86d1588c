/* recorded_plan.h - rebuild the plan of a trace from the flags in the trace's header. */
#ifndef LSPO_CLI_RECORDED_PLAN_H
#define LSPO_CLI_RECORDED_PLAN_H

#include <stdbool.h>

#include "ask/request.h"
#include "base/status.h"
#include "plan/plan.h"
#include "traces/trace.h"

typedef struct {
    char **words; /* owned: the flags of the header, as for `lspo run`; the request points to them */
    int word_count;
    lspo_request_t request;
    lspo_plan_t *plan; /* owned */
} lspo_recorded_plan_t;

/* Does the header name a plan?  That of an imported trace does not. */
bool lspo_recorded_plan_is_named(const lspo_trace_t *trace);

/* Build the plan.  LSPO_ERR_INPUT if the model is unknown or an entry is not a valid value of its flag; LSPO_ERR_CHECK
 * if the rows differ from the plan (lspo_trace_check()), for example because another version of lspo wrote them. */
lspo_status_t lspo_recorded_plan_open(const lspo_trace_t *trace, lspo_recorded_plan_t *recorded_out);
void lspo_recorded_plan_close(lspo_recorded_plan_t *recorded);

#endif
