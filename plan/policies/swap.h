/* swap.h - swap's own parameters. */
#ifndef LSPO_PLAN_POLICIES_SWAP_H
#define LSPO_PLAN_POLICIES_SWAP_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    uint32_t swap_slots;      /* blocks whose parameters are on the GPU at a time */
    uint32_t resident_blocks; /* the first N blocks stay on the GPU           */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
} lspo_swap_values_t;
extern const lspo_parameters_t lspo_swap_parameters;
LSPO_VALUES(swap);

#endif
