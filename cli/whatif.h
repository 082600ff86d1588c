/* whatif.h - what may explain that a measured step is not as long as the predicted one: the same simulation with one
 * assumption changed, for each of a list of usual causes.
 *
 * A change is written as flags of `lspo sim`, which are added to those given, so anyone can repeat it:
 *     another framework; the link at half, a quarter, or 30 % of its rate (pageable memory); the CPU optimizer at half;
 *     checkpointing, precision, --transfer fp32, --gradient-buffers 1, --accumulate-on the other side; attention not
 *     fused; matrix products at 70 %; batch, sequence or accumulation twice or half as large.
 */
#ifndef LSPO_CLI_WHATIF_H
#define LSPO_CLI_WHATIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cli/sim_request.h"
#include "plan/machine.h"
#include "plan/plan.h"

enum { LSPO_WHATIF_FLAGS_BYTES = 160, LSPO_WHATIF_WHY_BYTES = 128, LSPO_WHATIFS_MAX = 64 };

typedef struct {
    char flags[LSPO_WHATIF_FLAGS_BYTES];
    char why[LSPO_WHATIF_WHY_BYTES]; /* what it would mean: "each copy of a gradient blocks backward" */
    const char *remedy;              /* what to look at or change */
    double predicted_s;
    bool explains; /* the measured time is in its band (plan/expect.h) */
} lspo_whatif_t;

/* The command that was asked, and its prediction. */
typedef struct {
    int argc;
    char **argv;
    const lspo_plan_t *plan;
    const lspo_machine_t *machine; /* with its overrides */
    double predicted_s, measured_s;
    lspo_sim_read_t read;
} lspo_whatif_question_t;

/* Those whose prediction is nearer to the measured time than the first one, the nearest first. */
lspo_status_t lspo_whatif(const lspo_whatif_question_t *question, lspo_whatif_t list_out[LSPO_WHATIFS_MAX],
                          uint32_t *count_out);

#endif
