/* lora.h - lora's own parameters. */
#ifndef LSPO_PLAN_POLICIES_LORA_H
#define LSPO_PLAN_POLICIES_LORA_H

#include "plan/parameter.h"

/* The format of the frozen linear weights of blocks; in the order of --base-weights' words. */
typedef enum {
    LSPO_BASE_WEIGHTS_PRECISION, /* the workload's precision                                     */
    LSPO_BASE_WEIGHTS_NF4        /* 4-bit NormalFloat, expanded before each use: kernels/nf4.h   */
} lspo_base_weights_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t rank;            /* of each adapter     */
    double scaling;           /* s = alpha / rank    */
    uint32_t base_weights;    /* lspo_base_weights_t */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
    uint32_t adam_basis;      /* lspo_adam_basis_t */
    uint32_t basis_every;     /* steps between renewals of a stage's eigenbases */
} lspo_lora_values_t;
extern const lspo_parameters_t lspo_lora_parameters;
extern const lspo_parameter_t lspo_parameter_base_weights;
LSPO_VALUES(lora);

#endif
