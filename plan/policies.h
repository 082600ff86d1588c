/* policies.h - declares all policies; each one is defined in its own file under plan/policies/. */
#ifndef LSPO_PLAN_POLICIES_H
#define LSPO_PLAN_POLICIES_H

#include "plan/policy.h"

extern const lspo_policy_t lspo_policy_native;
extern const lspo_policy_t lspo_policy_swap;
extern const lspo_policy_t lspo_policy_stream;
extern const lspo_policy_t lspo_policy_zero;
extern const lspo_policy_t lspo_policy_zero_delayed;
extern const lspo_policy_t lspo_policy_zero_layerwise;
extern const lspo_policy_t lspo_policy_backward_update;
extern const lspo_policy_t lspo_policy_deep_optimizer_states;
extern const lspo_policy_t lspo_policy_axonn;
extern const lspo_policy_t lspo_policy_fusion;
extern const lspo_policy_t lspo_policy_lsp;
extern const lspo_policy_t lspo_policy_lsp_paper;
extern const lspo_policy_t lspo_policy_lora;
extern const lspo_policy_t lspo_policy_meft;
extern const lspo_policy_t lspo_policy_galore;
extern const lspo_policy_t lspo_policy_lomo;
extern const lspo_policy_t lspo_policy_badam;
extern const lspo_policy_t lspo_policy_zenflow;

/* Of generation. */
extern const lspo_policy_t lspo_policy_resident;
extern const lspo_policy_t lspo_policy_offload_weights;
extern const lspo_policy_t lspo_policy_offload_cache;
extern const lspo_policy_t lspo_policy_kvpr;
extern const lspo_policy_t lspo_policy_marlin;
extern const lspo_policy_t lspo_policy_endor;
extern const lspo_policy_t lspo_policy_qmoe;
extern const lspo_policy_t lspo_policy_vtensor;

#endif
