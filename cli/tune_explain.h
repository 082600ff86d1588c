/* tune_explain.h - `lspo tune --explain`: the front of time against memory, and the arithmetic of the best result. */
#ifndef LSPO_CLI_TUNE_EXPLAIN_H
#define LSPO_CLI_TUNE_EXPLAIN_H

#include "base/status.h"
#include "base/table.h"
#include "cli/tune_report.h"
#include "sim/arithmetic.h"
#include "sim/search.h"

typedef struct {
    lspo_search_t front; /* owned */
    lspo_arithmetic_t arithmetic;
    double iteration_s, lower_bound_s; /* of the best result */
    lspo_lane_kind_t bound_lane;       /* what limits it */
} lspo_tune_explain_t;

/* The arithmetic of a result; the front is the caller's. */
lspo_status_t lspo_tune_explain_arithmetic(const lspo_tune_report_t *report, const lspo_found_t *found,
                                           lspo_tune_explain_t *explain);

/* To standard output, behind the results: two tables with sentences; in CSV each with an empty line before it; in JSON
 * the keys "front" and "arithmetic" of the object that the results began. */
lspo_status_t lspo_tune_explain_write(const lspo_tune_report_t *report, const lspo_tune_explain_t *explain,
                                      lspo_format_t format);

#endif
