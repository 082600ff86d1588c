/* arithmetic.h - what a step consists of, so that it can be checked with a calculator.
 *
 * For each kind of lane and sort of work: how much there is of it in a step, the profile's rate for it, and the
 * quotient.  A lane takes longer (or, from caches, shorter) than the sum of its quotients, because of the shapes of
 * products, launches, latencies, traffic of the framework: alone_s is what sim/cost.h makes of it.  Lanes slow each
 * other down: busy_s is what the simulation makes of that.
 */
#ifndef LSPO_SIM_ARITHMETIC_H
#define LSPO_SIM_ARITHMETIC_H

#include <stdint.h>

#include "base/status.h"
#include "base/units.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/sim.h"

typedef struct {
    lspo_lane_kind_t lane;
    const char *work;    /* "products", "copies", ... */
    lspo_unit_t unit;    /* of the rate: FLOP/s, B/s, or parameters per second */
    double amount;       /* per step, of all lanes of the kind: FLOP, bytes or parameters */
    uint64_t launches;   /* kernels or messages per step */
    double rate;         /* of the profile, without caches */
    const char *section; /* of the rate, in `lspo show machine`: "gpu" */
    const char *key;     /* "gemm_fp16_flops" */
    double least_s;      /* amount / rate */
    /* Of the whole lane, in the first of its rows; NaN in the others. */
    double alone_s, busy_s;
} lspo_arithmetic_row_t;

enum { LSPO_ARITHMETIC_ROWS_MAX = 16 };

typedef struct {
    lspo_arithmetic_row_t rows[LSPO_ARITHMETIC_ROWS_MAX];
    uint32_t count;
    double busiest_s; /* the longest alone_s of one lane: no order of the ops is faster */
} lspo_arithmetic_t;

/* Of the iterations that the prediction's time is of.  `prediction` is that of lspo_simulate() for this plan. */
lspo_status_t lspo_arithmetic(const lspo_plan_t *plan, const lspo_machine_t *machine,
                              const lspo_prediction_t *prediction, lspo_arithmetic_t *arithmetic_out);

#endif
