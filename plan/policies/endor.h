/* endor.h - own parameters of endor, and the bytes of its packed weights. */
#ifndef LSPO_PLAN_POLICIES_ENDOR_H
#define LSPO_PLAN_POLICIES_ENDOR_H

#include "plan/parameter.h"

/* In the order of --weight-format's words. */
typedef enum { LSPO_WEIGHTS_DENSE, LSPO_WEIGHTS_CSR, LSPO_WEIGHTS_BITMAP } lspo_weight_format_t;

typedef struct LSPO_VALUES_BLOCK {
    double sparsity;        /* share of each matrix of a block that is zero              */
    double host_weights;    /* bytes of blocks on the host, the others are on the SSD; 0: all on the host */
    uint32_t weight_format; /* lspo_weight_format_t, of blocks that are not on the GPU   */
    uint32_t gpu_blocks;    /* blocks, from the first, that stay on the GPU, dense       */
    uint32_t weight_slots;  /* layers that may be between their storage and their use    */
    bool direct;            /* the SSD is read into the GPU's memory                     */
} lspo_endor_values_t;
extern const lspo_parameters_t lspo_endor_parameters;
LSPO_VALUES(endor);

extern const lspo_parameter_t lspo_parameter_sparsity; /* which weights are pruned depends on whether a policy has it */

/* Numbers of a matrix that are stored, of `count`: all but round(sparsity count). */
uint64_t lspo_endor_kept(const lspo_endor_values_t *values, uint64_t count);
/* Bytes of a stage as it is stored: each of a block's matrices in the format (kernels/pruned.h), a router as it is,
 * then the rest. */
uint64_t lspo_endor_stored_bytes(const lspo_endor_values_t *values, const lspo_stage_t *stage,
                                 lspo_precision_t precision);

/* Where the weights of stages wait: on the GPU, on the host, on the SSD. */
typedef enum { LSPO_TIER_GPU, LSPO_TIER_HOST, LSPO_TIER_SSD } lspo_tier_t;
/* --weight-slots, but no more than there are layers per token: none is on its way twice. */
uint32_t lspo_endor_slots(const lspo_endor_values_t *values, uint32_t stage_count);
lspo_tier_t lspo_endor_tier(const lspo_endor_values_t *values, const lspo_model_t *model, lspo_precision_t precision,
                            uint32_t stage);

#endif
