/* axonn.h - own parameters of axonn. */
#ifndef LSPO_PLAN_POLICIES_AXONN_H
#define LSPO_PLAN_POLICIES_AXONN_H

#include "plan/parameter.h"
#include "plan/plan.h"

/* In the order of --pipeline-order's words. */
typedef enum { LSPO_PIPELINE_ORDER_MESSAGE, LSPO_PIPELINE_ORDER_1F1B, LSPO_PIPELINE_ORDER_GPIPE } lspo_pipeline_order_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t bucket_size;     /* the most parameters of a bucket */
    uint32_t bucket_slots;    /* buckets whose state may be on the GPU at once */
    uint32_t pipeline;        /* G: GPUs of a pipeline */
    uint32_t replicas;        /* R: pipelines */
    uint32_t pipeline_order;  /* lspo_pipeline_order_t */
    uint32_t reduce_buckets;  /* buckets that replicas sum in one go */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
} lspo_axonn_values_t;
extern const lspo_parameters_t lspo_axonn_parameters;
LSPO_VALUES(axonn);

/* The elements that SHARE or SUM of a stage's message of so many elements is about. */
void lspo_axonn_sum_range(const lspo_plan_t *plan, const lspo_op_t *op, uint64_t elements, uint64_t *first_out,
                          uint64_t *count_out);

extern const lspo_parameter_t lspo_parameter_bucket_size; /* plan/chunks.h cuts by it */

#endif
