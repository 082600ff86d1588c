/* sim_report.h - print a prediction for people, in a few sentences with the answer first.  `lspo help terms` explains
 * the words. */
#ifndef LSPO_CLI_SIM_REPORT_H
#define LSPO_CLI_SIM_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cli/judge.h"
#include "plan/expect.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/noise.h"
#include "sim/sim.h"

typedef struct {
    const lspo_plan_t *plan;
    const lspo_machine_t *machine;
    const lspo_prediction_t *prediction;
    const char *advice; /* of lspo_advise() */
    const lspo_expect_t *expect;
    const lspo_judgement_t *judgement; /* NULL: no --measured */
    const lspo_noise_t *noise;         /* NULL: no --noise */
    uint32_t draws;
} lspo_sim_report_t;

/* Print to stdout, wrapped to the terminal's width. */
void lspo_sim_report_print(const lspo_sim_report_t *report);

/* "579 ms (545 to 693)": the predicted step, and the band in which a measured one is expected, in the same unit. */
void lspo_format_step(double iteration_s, const lspo_expect_t *expect, size_t text_bytes, char *text);

/* "3,069": a count for people, rounded.  Returns `buffer`. */
const char *lspo_format_count(double value, char *buffer, size_t buffer_bytes);

#endif
