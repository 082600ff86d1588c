/* zero.h - zero's own parameters. */
#ifndef LSPO_PLAN_POLICIES_ZERO_H
#define LSPO_PLAN_POLICIES_ZERO_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    double cpu_share;          /* of the trained parameters: updated on the CPU; the others on the GPU */
    uint32_t gradient_buffers; /* stages whose gradients may wait on the GPU for the link; 0: no limit */
    uint32_t accumulate_on;    /* lspo_accumulate_on_t */
    uint32_t optimizer_state;  /* lspo_optimizer_state_t */
    uint32_t native_layers;    /* stages, from the first, that are updated on the GPU */
    double chunk_bytes;        /* of a part of a message; 0: whole */
    uint32_t adam_basis;       /* lspo_adam_basis_t */
    uint32_t basis_every;      /* steps between renewals of a stage's eigenbases */
} lspo_zero_values_t;
extern const lspo_parameters_t lspo_zero_parameters;
LSPO_VALUES(zero);

#endif
