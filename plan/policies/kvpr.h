/* kvpr.h - own parameters of kvpr. */
#ifndef LSPO_PLAN_POLICIES_KVPR_H
#define LSPO_PLAN_POLICIES_KVPR_H

#include "plan/parameter.h"

#define LSPO_SHARE_AUTO (-1.0)

/* In the order of --schedule's words. */
typedef enum { LSPO_SCHEDULE_LATENCY, LSPO_SCHEDULE_THROUGHPUT } lspo_kvpr_schedule_t;

typedef struct LSPO_VALUES_BLOCK {
    double recompute_share; /* of the cached tokens, those that are rebuilt; LSPO_SHARE_AUTO: sim/split.h */
    uint32_t schedule;      /* lspo_kvpr_schedule_t */
    uint32_t cache_slots;   /* caches of a block and micro-batch that may be on the GPU at once */
} lspo_kvpr_values_t;
extern const lspo_parameters_t lspo_kvpr_parameters;
LSPO_VALUES(kvpr);

extern const lspo_parameter_t lspo_parameter_recompute_share; /* sim/split.h chooses it */

#endif
