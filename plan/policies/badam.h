/* badam.h - badam's own parameters. */
#ifndef LSPO_PLAN_POLICIES_BADAM_H
#define LSPO_PLAN_POLICIES_BADAM_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    uint32_t switch_every;    /* optimizer steps for one block before the next */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
} lspo_badam_values_t;
extern const lspo_parameters_t lspo_badam_parameters;
LSPO_VALUES(badam);

#endif
