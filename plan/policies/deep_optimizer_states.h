/* deep_optimizer_states.h - own parameters of deep-optimizer-states. */
#ifndef LSPO_PLAN_POLICIES_DEEP_OPTIMIZER_STATES_H
#define LSPO_PLAN_POLICIES_DEEP_OPTIMIZER_STATES_H

#include "plan/parameter.h"

enum { LSPO_STRIDE_AUTO = -1, LSPO_STRIDE_LEAST = 2 };

/* In the order of --down-convert's words. */
typedef enum { LSPO_DOWN_CONVERT_ASYNC, LSPO_DOWN_CONVERT_BLOCKING } lspo_down_convert_t;

typedef struct LSPO_VALUES_BLOCK {
    int32_t stride;          /* k: of k subgroups the last is updated on the GPU; LSPO_STRIDE_AUTO: by simulation */
    uint32_t subgroup_size;  /* S: the most parameters of a subgroup */
    uint32_t subgroup_slots; /* subgroups whose state may be on the GPU at once */
    bool interleave;         /* false: the CPU updates all */
    uint32_t down_convert;   /* lspo_down_convert_t */
    uint32_t gradient_buffers;
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
} lspo_deep_optimizer_states_values_t;
extern const lspo_parameters_t lspo_deep_optimizer_states_parameters;
LSPO_VALUES(deep_optimizer_states);

extern const lspo_parameter_t lspo_parameter_stride;        /* sim/tune.h chooses it      */
extern const lspo_parameter_t lspo_parameter_subgroup_size; /* plan/chunks.h cuts by it */

#endif
