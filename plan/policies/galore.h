/* galore.h - galore's own parameters. */
#ifndef LSPO_PLAN_POLICIES_GALORE_H
#define LSPO_PLAN_POLICIES_GALORE_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    uint32_t rank;            /* of each basis                                    */
    uint32_t project_every;   /* optimizer steps between refreshes of the basis */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
    uint32_t adam_basis;      /* lspo_adam_basis_t */
    uint32_t basis_every;     /* steps between renewals of a stage's eigenbases */
} lspo_galore_values_t;
extern const lspo_parameters_t lspo_galore_parameters;
LSPO_VALUES(galore);

#endif
