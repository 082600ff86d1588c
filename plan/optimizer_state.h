/* optimizer_state.h - the formats of Adam's m and v (kernels/adam_state.h), and what they take.
 *
 *     format   m and v, bytes per parameter   besides 16-bit weights
 *     fp32     8                              an fp32 master copy, updated in their place
 *     bf16     4                              nothing: the weights are rounded randomly
 *     8bit     2 + 8 / 256                    nothing; whole blocks of 256
 */
#ifndef LSPO_PLAN_OPTIMIZER_STATE_H
#define LSPO_PLAN_OPTIMIZER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/precision.h"

typedef enum {
    LSPO_OPTIMIZER_STATE_FP32,
    LSPO_OPTIMIZER_STATE_BF16,
    LSPO_OPTIMIZER_STATE_8BIT,
    LSPO_OPTIMIZER_STATE_COUNT
} lspo_optimizer_state_t;

/* "fp32", "bf16", "8bit"; ends with NULL. */
extern const char *const lspo_optimizer_state_names[LSPO_OPTIMIZER_STATE_COUNT + 1];

/* m and v of a message with so many elements of linear weights, and so many others, which begin their own block. */
uint64_t lspo_optimizer_state_bytes(lspo_optimizer_state_t state, uint64_t linear_elements, uint64_t rest_elements);

/* Does Adam update an fp32 copy of weights of this precision? And the precision of what it updates. */
bool lspo_optimizer_state_has_master(lspo_optimizer_state_t state, lspo_precision_t weights);
lspo_precision_t lspo_optimizer_state_updates(lspo_optimizer_state_t state, lspo_precision_t weights);

/* Bytes per parameter of a step, for weights of p bytes and s bytes of m and v.  Traffic: gradient read; weight, m and
 * v read and written: 28 in fp32 (with a master, too), otherwise 3 p + 2 s.  Held: weight, m and v: 12, or p + s. */
double lspo_optimizer_state_traffic_bytes(lspo_optimizer_state_t state, lspo_precision_t weights);
double lspo_optimizer_state_held_bytes(lspo_optimizer_state_t state, lspo_precision_t weights);

#endif
