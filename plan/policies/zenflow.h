/* zenflow.h - zenflow's own parameters. */
#ifndef LSPO_PLAN_POLICIES_ZENFLOW_H
#define LSPO_PLAN_POLICIES_ZENFLOW_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    double critical_fraction; /* share of a weight's columns updated on the GPU in every step */
    uint32_t update_every;    /* steps whose gradients the CPU sums for one update         */
    uint32_t select_every;    /* steps between selections of the critical columns            */
} lspo_zenflow_values_t;
extern const lspo_parameters_t lspo_zenflow_parameters;
LSPO_VALUES(zenflow);

#endif
