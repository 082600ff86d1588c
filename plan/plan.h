/* plan.h - the DAG of operations that a policy builds, and that sim/ plays and real/ executes.
 *
 * A lane serves one op at a time.  Among the ops of a lane whose dependencies have all ended it takes the
 * lowest priority value, then the one that became ready first, then the lowest id.  Ids are in emission
 * order and every dependency has a lower id than its op, so a plan is acyclic by construction;
 * lspo_plan_check() verifies that and the rest.
 *
 * Memory: what lives for the whole plan is in gpu_static_bytes and host_static_bytes; the rest is taken
 * when an op starts and given back when one ends, and balances to zero over the plan.
 */
#ifndef LSPO_PLAN_PLAN_H
#define LSPO_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/op.h"
#include "plan/work.h"
#include "plan/workload.h"

/* What the host sends back, and what APPLY does with it. */
typedef enum {
    LSPO_RETURN_NOTHING,    /* the update happens on the GPU                       */
    LSPO_RETURN_PARAMETERS, /* new parameters from the fp32 master; APPLY overwrites */
    LSPO_RETURN_DELTA       /* Adam's direction; APPLY does W -= eta P D Q^T        */
} lspo_return_form_t;

/* What becomes of a gradient. */
typedef enum {
    LSPO_OPTIMIZER_ADAM,      /* Adam on all trained weights                                      */
    LSPO_OPTIMIZER_SGD,       /* w <- w - eta (scale g + decay w), no state                 */
    LSPO_OPTIMIZER_BLOCK_ADAM /* Adam on one stage at a time, its state new with each turn */
} lspo_optimizer_t;

typedef struct lspo_policy lspo_policy_t;

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload; /* with every AUTO resolved */
    const lspo_policy_t *policy;
    lspo_return_form_t return_form;
    lspo_gradient_form_t gradient_form;
    bool dense_sketches; /* of the policy */
    lspo_optimizer_t optimizer;
    uint32_t stage_count;
    uint32_t staleness_steps;   /* 0: exact order; 1: the gradient of the step before is applied */
    lspo_footprint_t footprint; /* the itemised static memory and the sizes of messages */

    lspo_op_t *ops;
    uint32_t op_count;
    lspo_op_id_t *deps;
    uint32_t dep_count;
    lspo_work_t *works;
    uint32_t work_count;
    lspo_lanes_t lanes;

    uint64_t gpu_static_bytes;
    uint64_t host_static_bytes;
} lspo_plan_t;

/* Build the plan of `policy` for model and workload.  Checks both first.  LSPO_TRANSITION_AUTO is taken as
 * "every stage", that is last come first served throughout; sim/tune.h finds a better one for a machine. */
lspo_status_t lspo_plan_build(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                              lspo_plan_t **plan_out);
void lspo_plan_destroy(lspo_plan_t *plan);

/* Every dependency precedes its op and exists; every op is on a lane of the list, of the kind that its own kind
 * demands; names of lanes differ; iterations of a (kind, layer, variant) are in order; works exist; dynamic allocations
 * balance on GPU and host.  Logs the first offence. */
lspo_status_t lspo_plan_check(const lspo_plan_t *plan);

/* How the gradient of one stage is laid out under this plan. */
void lspo_plan_message(const lspo_plan_t *plan, uint32_t stage, lspo_message_t *message_out);

/* Is the gradient of `stage` formed in this iteration?  What is trained at all always is, but under
 * LSPO_OPTIMIZER_BLOCK_ADAM only in its turn: the lowest trained stage first, since its steps cost the most time and
 * memory and a short plan should not hide that; then the highest and on downward, switch_every steps of the training
 * each.  A tied head has its turn with the embedding that it shares. */
bool lspo_plan_trains(const lspo_plan_t *plan, uint32_t stage, uint32_t iteration);
/* The lowest stage whose gradient is formed in this iteration: backward ends there. */
uint32_t lspo_plan_lowest_trained(const lspo_plan_t *plan, uint32_t iteration);
/* Steps of a stage's turn, where stages are trained in turn. */
uint32_t lspo_plan_turn_steps(const lspo_plan_t *plan);
/* Adam's t in this iteration, from 1: steps of the training, or of the turn. */
uint32_t lspo_plan_adam_step(const lspo_plan_t *plan, uint32_t iteration);

/* The rank of a policy that has one; else 0. */
uint32_t lspo_plan_rank(const lspo_plan_t *plan);
/* lsp: whether this iteration checks the bias of the projectors. */
bool lspo_plan_checks_projectors(const lspo_plan_t *plan, uint32_t iteration);
/* lsp: Adam steps of a fit on each micro-batch of a calibration pass: its share of --fit-steps, rounded up. */
uint32_t lspo_plan_fit_steps(const lspo_plan_t *plan);
/* Low rank: whether this iteration makes new bases; and whether it does so from several micro-batches, so that the
 * blocks' full gradients stay on the GPU until the last one. */
bool lspo_plan_renews_bases(const lspo_plan_t *plan, uint32_t iteration);
bool lspo_plan_keeps_gradients(const lspo_plan_t *plan, uint32_t iteration);

/* For people: a table of the ops (at most `row_limit`, 0 = all), and Graphviz with one cluster per lane. */
void lspo_plan_print(const lspo_plan_t *plan, uint32_t row_limit, FILE *file);
lspo_status_t lspo_plan_print_dot(const lspo_plan_t *plan, uint32_t iteration_limit, FILE *file);

/* successors[first[i] .. first[i+1]) are the ops that wait for op i: the transpose of deps, in id order.
 * Both arrays are allocated with malloc: first has op_count + 1 entries. */
lspo_status_t lspo_plan_successors(const lspo_plan_t *plan, uint32_t **first_out, lspo_op_id_t **successors_out);

#endif
