/* recorded_plan.h - the plan that a trace is of, built again from the trace's header, which holds the flags that made
 * it. */
#ifndef LSPO_CLI_RECORDED_PLAN_H
#define LSPO_CLI_RECORDED_PLAN_H

#include <stdbool.h>

#include "cli/request.h"
#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    char **words; /* owned: the flags of `lspo run` that the header stands for; the request points to them */
    int word_count;
    lspo_request_t request;
    lspo_plan_t *plan; /* owned */
} lspo_recorded_plan_t;

/* Does the header name a plan?  That of an imported trace does not. */
bool lspo_recorded_plan_is_named(const lspo_trace_t *trace);

/* Build it.  LSPO_ERR_INPUT where the model is not known here, or an entry is no value of its flag; LSPO_ERR_CHECK
 * where the rows are not those of the plan (lspo_trace_check), such as those of another version of lspo. */
lspo_status_t lspo_recorded_plan_open(const lspo_trace_t *trace, lspo_recorded_plan_t *recorded_out);
void lspo_recorded_plan_close(lspo_recorded_plan_t *recorded);

#endif
