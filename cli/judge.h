/* judge.h - is a measured step normal?  The answer of `lspo sim --measured`: the verdict, what may explain a
 * difference, and what to look at. */
#ifndef LSPO_CLI_JUDGE_H
#define LSPO_CLI_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ask/result.h"
#include "base/status.h"
#include "cli/measured.h"
#include "cli/whatif.h"
#include "plan/expect.h"
#include "traces/compare.h"

enum { LSPO_EXPLAINED_BYTES = 1024 };

typedef struct {
    const lspo_measured_t *measured;
    const char *verdict;    /* "normal", "slower", "faster" */
    double beyond;          /* measured / the nearer limit of the band - 1; 0: normal */
    lspo_whatif_t *whatifs; /* owned: none if the step is normal */
    uint32_t whatif_count;
    bool compared; /* the parts of steps are known */
    lspo_comparison_t comparison;
    char explained_by[LSPO_EXPLAINED_BYTES]; /* flags of those that explain it, by "; "; "": none */
} lspo_judgement_t;

/* Judge `measured`, which must outlive the judgement, by the question's prediction and its band.  `predicted` is the
 * trace of the prediction; only needed if the measurement has a trace. */
lspo_status_t lspo_judge(const lspo_whatif_question_t *question, const lspo_expect_t *expect,
                         const lspo_measured_t *measured, const lspo_trace_t *predicted,
                         lspo_judgement_t *judgement_out);
void lspo_judgement_release(lspo_judgement_t *judgement);

/* LSPO_ERR_ACCURACY unless the step is normal; nothing is logged. */
lspo_status_t lspo_judgement_status(const lspo_judgement_t *judgement);

/* The answer in sentences, a line each. */
void lspo_judgement_print(const lspo_judgement_t *judgement, FILE *file);

/* The same in a result, after lspo_result_fill(). */
void lspo_judgement_fill(const lspo_judgement_t *judgement, lspo_result_t *result);

#endif
