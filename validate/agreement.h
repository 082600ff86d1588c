/* agreement.h - how well predicted times agree with measured ones, and the cache with which those of generations do.
 *
 * A machine whose speed is `speed` of what its profile says takes predicted / speed; the speed is the one for which the
 * median of ln(predicted / measured) is 0, and the error is the mean size of what is left of these.
 *
 * Other programs take a share of a cache that they share, and how much changes within minutes.  Only small models feel
 * it, so the speed cannot tell it: it is a factor of the sizes gpu.kept_all_bytes and gpu.kept_bytes, the one with the
 * least error. */
#ifndef LSPO_VALIDATE_AGREEMENT_H
#define LSPO_VALIDATE_AGREEMENT_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* What was measured: `count` times of an iteration, from 1 to LSPO_RUNS_MOST. */
enum { LSPO_RUNS_MOST = 32 };
typedef struct {
    const lspo_plan_t *plan[LSPO_RUNS_MOST];
    double measured_s[LSPO_RUNS_MOST];
    uint32_t count;
} lspo_runs_t;

typedef struct {
    double speed, error;
} lspo_agreement_t;

/* By how much the error of a cache must be lower than that of another one, which is the better guess. */
#define LSPO_AGREEMENT_GAIN 0.005

/* Errors of lspo_simulate(). */
lspo_status_t lspo_agreement(const lspo_runs_t *runs, const lspo_machine_t *machine, lspo_agreement_t *agreement_out);

/* Of a machine with such a factor; nothing changes in a profile without gpu.kept_bytes. */
void lspo_machine_scale_cache(lspo_machine_t *machine, double factor);

/* The factor for generations, 1/4 to 4.  The error of one that is further from 1 must be lower by LSPO_AGREEMENT_GAIN.
 * 1 where the profile has no gpu.kept_bytes, and of less than three runs: the speed alone makes two agree half. */
lspo_status_t lspo_agreement_cache(const lspo_runs_t *runs, const lspo_machine_t *machine, double *factor_out);

#endif
