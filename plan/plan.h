/* plan.h - the plan: the DAG of ops that a policy builds, sim/ plays and real/ executes.
 *
 * A lane serves one op at a time.  Among its ops whose dependencies have all ended, it takes the one with the lowest
 * priority value, then the one that became ready first, then the one with the lowest id.  Ids are in the order of
 * emission, and every dependency has a lower id than its op, so a plan is acyclic by construction; lspo_plan_check()
 * verifies this and the rest.
 *
 * Memory: gpu_static_bytes and host_static_bytes live as long as the plan.  All other memory is taken when an op starts
 * and given back when an op ends, and balances to zero over the plan.
 */
#ifndef LSPO_PLAN_PLAN_H
#define LSPO_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/adam_basis.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/network.h"
#include "plan/op.h"
#include "plan/optimizer_state.h"
#include "plan/work.h"
#include "plan/workload.h"

/* What the host sends back, and what APPLY does with it. */
typedef enum {
    LSPO_RETURN_NOTHING,    /* the update happens on the GPU                       */
    LSPO_RETURN_PARAMETERS, /* new parameters from the fp32 master; APPLY overwrites */
    LSPO_RETURN_DELTA       /* Adam's direction; APPLY does W -= eta P D Q^T        */
} lspo_return_form_t;

/* The optimizer of a plan. */
typedef enum {
    LSPO_OPTIMIZER_ADAM,      /* Adam on all trained weights                                      */
    LSPO_OPTIMIZER_SGD,       /* w <- w - eta (scale g + decay w), no state                 */
    LSPO_OPTIMIZER_BLOCK_ADAM /* Adam on one stage at a time, with new state in each turn */
} lspo_optimizer_t;

/* Static memory of one peer. */
typedef struct {
    uint64_t gpu_bytes, host_bytes;
} lspo_peer_static_t;

typedef struct lspo_policy lspo_policy_t;

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload; /* with every AUTO resolved */
    const lspo_policy_t *policy;
    lspo_return_form_t return_form;
    lspo_gradient_form_t gradient_form;
    bool dense_compress, dense_apply; /* by dense projectors: kernels/sketch.h */
    lspo_optimizer_t optimizer;
    uint32_t stage_count;
    uint32_t staleness_steps;   /* by which updates may be late; 0: exact order */
    bool layerwise;             /* scheduled by lspo_build_layerwise(): only priorities depend on the transition */
    lspo_footprint_t footprint; /* the itemised static memory and the sizes of messages */

    lspo_op_t *ops;
    uint32_t op_count;
    lspo_op_id_t *deps;
    uint32_t dep_count;
    lspo_work_t *works;
    uint32_t work_count;
    lspo_lanes_t lanes;

    /* Of a plan with several peers, the largest of each kind, as its footprint; then peer_static has those of each peer
     * by its index (plan/peers.h), owned.  NULL: all are alike. */
    uint64_t gpu_static_bytes;
    uint64_t host_static_bytes;
    lspo_peer_static_t *peer_static;

    lspo_network_t network; /* of peers that differ; no kinds: all have the machine's profile */
    uint32_t *peer_kinds;   /* by peer (plan/peers.h): its kind, owned; NULL: there are none */
} lspo_plan_t;

/* Build the plan of `policy` for model and workload.  Checks both first.  LSPO_TRANSITION_AUTO becomes the last stage,
 * that is last in, first out everywhere, and LSPO_STRIDE_AUTO the least stride; sim/tune.h finds better ones for a
 * machine. */
lspo_status_t lspo_plan_build(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                              lspo_plan_t **plan_out);
void lspo_plan_destroy(lspo_plan_t *plan);

/* Only the first steps of that plan of a training, with an open end (plan/workload.h); the whole plan of a generation.
 * With no steps it has the static memory of the whole plan, at a small part of the cost. */
lspo_status_t lspo_plan_build_first(const lspo_model_t *model, const lspo_workload_t *workload,
                                    const lspo_policy_t *policy, uint32_t steps, lspo_plan_t **plan_out);

/* Check that every dependency exists and precedes its op; that every op is on a lane of the list, of the right kind;
 * that names of lanes differ; that iterations of a (kind, layer, variant) are in order; that works exist; and that
 * dynamic allocations balance on GPU and host.  Logs the first violation. */
lspo_status_t lspo_plan_check(const lspo_plan_t *plan);

/* Do the activations that this block keeps wait on the host: --swap-activations? */
static inline bool lspo_plan_swaps_activations(const lspo_plan_t *plan, uint32_t stage)
{
    return stage >= 1 && stage <= plan->workload.swap_activations;
}

/* Does the CPU update before the norm of --clip is known (plan/policies/zero_layerwise.c)?  And does the plan assume
 * that the step of this iteration clips? */
bool lspo_plan_speculates(const lspo_plan_t *plan);
bool lspo_plan_redoes(const lspo_plan_t *plan, uint32_t iteration);

/* The number of stages, from the first, whose full gradients and optimizer state stay on the GPU: --native-layers, or 0
 * if the policy does not have it.  And the first block behind them; the head if there is none. */
uint32_t lspo_plan_native_layers(const lspo_plan_t *plan);
uint32_t lspo_plan_first_sent_block(const lspo_plan_t *plan);

/* How the gradient of one stage is laid out under this plan. */
void lspo_plan_message(const lspo_plan_t *plan, uint32_t stage, lspo_message_t *message_out);

/* Is the gradient of `stage` formed in this iteration? Those of trained stages always are, except under
 * LSPO_OPTIMIZER_BLOCK_ADAM, where each stage has its turn of switch_every steps.  The lowest trained stage is first,
 * because its steps cost the most time and memory, and a short plan should not hide that; then comes the highest, and
 * so on downward.  A tied head has the same turn as the embedding. */
bool lspo_plan_trains(const lspo_plan_t *plan, uint32_t stage, uint32_t iteration);
/* The lowest stage whose gradient is formed in this iteration: backward ends there. */
uint32_t lspo_plan_lowest_trained(const lspo_plan_t *plan, uint32_t iteration);
/* Number of steps of a stage's turn, if stages are trained in turn. */
uint32_t lspo_plan_turn_steps(const lspo_plan_t *plan);
/* Adam's t in this iteration, from 1: the step of the training, or of the turn. */
uint32_t lspo_plan_adam_step(const lspo_plan_t *plan, uint32_t iteration);

/* The format of Adam's m and v: fp32 if the policy has no other. */
lspo_optimizer_state_t lspo_plan_optimizer_state(const lspo_plan_t *plan);
/* The coordinates in which Adam works; and does the update of a stage renew them in this iteration?  The first step of
 * a training makes them; later the stages are renewed in turn, so that no step has more of this work than others. */
lspo_adam_basis_t lspo_plan_adam_basis(const lspo_plan_t *plan);
bool lspo_plan_renews_adam_basis(const lspo_plan_t *plan, uint32_t stage, uint32_t iteration);
/* lsp: are these renewals ops of their own, which follow the updates of a step? */
bool lspo_plan_renews_apart(const lspo_plan_t *plan);
/* lsp: does the GPU lane turn gradients into that basis?  And in this iteration, in which no projectors are checked? */
bool lspo_plan_has_bases_on_gpu(const lspo_plan_t *plan);
bool lspo_plan_turns_on_gpu(const lspo_plan_t *plan, uint32_t iteration);
/* The policy's rank, or 0 if it has none. */
uint32_t lspo_plan_rank(const lspo_plan_t *plan);
/* lora: are the blocks' frozen linear weights 4-bit codes? */
bool lspo_plan_quantizes(const lspo_plan_t *plan);
/* lsp: does this iteration check the bias of the projectors? */
bool lspo_plan_checks_projectors(const lspo_plan_t *plan, uint32_t iteration);
/* lsp: Adam steps of a fit on each micro-batch of a calibration pass: its share of --fit-steps, rounded up. */
uint32_t lspo_plan_fit_steps(const lspo_plan_t *plan);
/* Low rank: does this iteration compute new bases? And does it do so from several micro-batches, so that the blocks'
 * full gradients stay on the GPU until the last one? */
bool lspo_plan_renews_bases(const lspo_plan_t *plan, uint32_t iteration);
bool lspo_plan_keeps_gradients(const lspo_plan_t *plan, uint32_t iteration);

/* Tokens of an iteration after the first: those of all micro-batches, of generation the new ones. */
double lspo_plan_tokens(const lspo_plan_t *plan);

/* Do sums of gradients leave for the host after each micro-batch, except the last, and come back for the next? */
bool lspo_plan_sums_on_host(const lspo_plan_t *plan);

/* Print a table of the ops (at most `row_limit`; 0: all), or a Graphviz graph with one cluster per lane. */
void lspo_plan_print(const lspo_plan_t *plan, uint32_t row_limit, FILE *file);
lspo_status_t lspo_plan_print_dot(const lspo_plan_t *plan, uint32_t iteration_limit, FILE *file);

/* successors[first[i] .. first[i+1]) are the ops that wait for op i: the transpose of deps, in id order.
 * Both arrays are allocated with malloc: first has op_count + 1 entries. */
lspo_status_t lspo_plan_successors(const lspo_plan_t *plan, uint32_t **first_out, lspo_op_id_t **successors_out);

#endif
