/* marlin.h - own parameters of marlin. */
#ifndef LSPO_PLAN_POLICIES_MARLIN_H
#define LSPO_PLAN_POLICIES_MARLIN_H

#include "plan/parameter.h"

/* In the order of --weight-group's words. */
typedef enum {
    LSPO_WEIGHT_GROUP_32,
    LSPO_WEIGHT_GROUP_64,
    LSPO_WEIGHT_GROUP_128,
    LSPO_WEIGHT_GROUP_COLUMN
} lspo_weight_group_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t weight_group; /* lspo_weight_group_t: inputs of an output whose weights share a scale */
} lspo_marlin_values_t;
extern const lspo_parameters_t lspo_marlin_parameters;
LSPO_VALUES(marlin);

extern const lspo_parameter_t lspo_parameter_weight_group; /* build_generate.h asks for it */

#endif
