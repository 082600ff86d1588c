/* shared.h - parameters of several policies, each declared once and listed by each of these policies. */
#ifndef LSPO_PLAN_POLICIES_SHARED_H
#define LSPO_PLAN_POLICIES_SHARED_H

#include "plan/adam_basis.h"
#include "plan/footprint.h"
#include "plan/parameter.h"

extern const lspo_parameter_t lspo_parameter_transition;       /* zero-layerwise, lsp, lsp-paper               */
extern const lspo_parameter_t lspo_parameter_gradient_buffers; /* policies that send full gradients to the CPU */
extern const lspo_parameter_t lspo_parameter_accumulate_on;    /* the same except stream                      */
extern const lspo_parameter_t lspo_parameter_rank;             /* lora, galore                                 */
extern const lspo_parameter_t lspo_parameter_native_layers;    /* zero, zero-delayed, and layer-wise policies  */
extern const lspo_parameter_t lspo_parameter_chunk_bytes;      /* the same                                     */

extern const lspo_parameter_t lspo_parameter_speculate_clip; /* zero-layerwise                                */
extern const lspo_parameter_t lspo_parameter_clip_every;     /* the same                                      */

extern const lspo_parameter_t lspo_parameter_check_every; /* lsp, lsp-paper                               */

extern const lspo_parameter_t lspo_parameter_optimizer_state; /* policies whose Adam has its own state        */

/* Policies whose Adam may work in another basis: native, zero, lsp, lsp-paper, lora, galore. */
extern const lspo_parameter_t lspo_parameter_adam_basis, lspo_parameter_basis_every;

/* A period of these policies. */
#define LSPO_BASIS_PERIOD                                                                                              \
    {                                                                                                                  \
        .parameter = &lspo_parameter_basis_every, .times = 1, .work = "renewals of Adam's basis",                      \
        .with = &lspo_parameter_adam_basis, .with_value = LSPO_ADAM_BASIS_EIGEN                                        \
    }

/* The largest dimension of any weight that a policy may compress. */
double lspo_parameter_largest_dimension(const lspo_parameter_context_t *context);

/* Where the gradients of a step's micro-batches are summed; in the order of --accumulate-on's words. */
typedef enum { LSPO_ACCUMULATE_ON_GPU, LSPO_ACCUMULATE_ON_HOST } lspo_accumulate_on_t;

/* Are updates made before the norm that clips is known?  In the order of --speculate-clip's words. */
typedef enum { LSPO_SPECULATE_OFF, LSPO_SPECULATE_ON } lspo_speculate_t;

/* Own parameters of zero-delayed and backward-update. */
typedef struct LSPO_VALUES_BLOCK {
    uint32_t gradient_buffers; /* stages whose gradients may wait on the GPU for the link; 0: no limit */
    uint32_t accumulate_on;    /* lspo_accumulate_on_t */
    uint32_t optimizer_state;  /* lspo_optimizer_state_t */
    uint32_t native_layers;    /* stages, from the first, that are updated on the GPU */
    double chunk_bytes;        /* of a part of a message; 0: whole */
} lspo_offload_values_t;
extern const lspo_parameters_t lspo_offload_parameters;
LSPO_VALUES(offload);

/* Own parameters of zero-layerwise. */
typedef struct LSPO_VALUES_BLOCK {
    int32_t transition; /* stages <= transition are served last in, first out; LSPO_TRANSITION_AUTO: by simulation */
    uint32_t gradient_buffers;
    uint32_t accumulate_on;   /* lspo_accumulate_on_t */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
    uint32_t native_layers;
    double chunk_bytes;
    uint32_t speculate_clip; /* lspo_speculate_t */
    uint32_t clip_every;     /* of so many steps one is assumed to clip; 0: none */
} lspo_layerwise_values_t;
extern const lspo_parameters_t lspo_layerwise_parameters;
LSPO_VALUES(layerwise);

/* The message of lsp and lsp-paper. */
void lspo_lsp_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                      lspo_message_t *message_out);

#endif
