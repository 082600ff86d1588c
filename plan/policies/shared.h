/* shared.h - parameters that several policies have: each is declared once, and listed by each of these policies. */
#ifndef LSPO_PLAN_POLICIES_SHARED_H
#define LSPO_PLAN_POLICIES_SHARED_H

#include "plan/parameter.h"

extern const lspo_parameter_t lspo_parameter_transition;       /* zero-layerwise, lsp, lsp-paper               */
extern const lspo_parameter_t lspo_parameter_gradient_buffers; /* policies that send full gradients to the CPU */
extern const lspo_parameter_t lspo_parameter_rank;             /* lora, galore                                 */

extern const lspo_parameter_t lspo_parameter_check_every; /* lsp, lsp-paper                               */

/* The largest dimension of any weight that a policy may compress. */
double lspo_parameter_largest_dimension(const lspo_parameter_context_t *context);

/* Tables of policies that have nothing else. */
extern const lspo_parameters_t lspo_offload_parameters;   /* gradient-buffers             */
extern const lspo_parameters_t lspo_layerwise_parameters; /* transition, gradient-buffers */
extern const lspo_parameters_t lspo_lsp_parameters;       /* plan/policies/lsp.c          */

#endif
