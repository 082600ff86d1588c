/* lora.h - lora's own parameter. */
#ifndef LSPO_PLAN_POLICIES_LORA_H
#define LSPO_PLAN_POLICIES_LORA_H

#include "plan/parameter.h"

typedef struct LSPO_VALUES_BLOCK {
    uint32_t rank; /* of each adapter */
} lspo_lora_values_t;
extern const lspo_parameters_t lspo_lora_parameters;
LSPO_VALUES(lora);

#endif
