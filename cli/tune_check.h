/* tune_check.h - what `lspo tune` is asked, and what it refuses. */
#ifndef LSPO_CLI_TUNE_CHECK_H
#define LSPO_CLI_TUNE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "ask/request.h"
#include "base/status.h"
#include "plan/machine.h"
#include "sim/search.h"

enum { LSPO_TUNE_CURVES_MOST = 16 };

typedef struct {
    lspo_request_t base; /* first, see ask/request.h */
    bool exact_only, exhaustive, explain;
    int objective;                  /* lspo_objective_t */
    const char *configuration_path; /* NULL: not given */
    uint32_t sequences;             /* per step; 0: not given */
    double loss;                    /* 0: not given */
    const char *curves[LSPO_TUNE_CURVES_MOST];
    uint32_t curve_count;
} lspo_tune_request_t;

/* In the order of lspo_objective_t; ends with NULL. */
extern const char *const lspo_objective_names[];

/* LSPO_ERR_INPUT for options that exclude each other, or that only the other task has. */
lspo_status_t lspo_tune_check_asked(const lspo_tune_request_t *request, const lspo_search_options_t *asked);
/* A budget may be less than the machine has, not more: what is found must run there. */
lspo_status_t lspo_tune_check_budgets(const lspo_request_t *base);
/* Nothing was found: LSPO_ERR_FIT, or LSPO_ERR_INPUT if there was nothing to try. */
lspo_status_t lspo_tune_refuse(const lspo_tune_request_t *request, const lspo_machine_t *machine,
                               const lspo_search_t *search);

#endif
