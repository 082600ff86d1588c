/* workload.h - the parameters of a training: everything in a plan that is not the model, the machine or the policy. */
#ifndef LSPO_PLAN_WORKLOAD_H
#define LSPO_PLAN_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "plan/precision.h"
#include "plan/record.h"
#include "plan/values.h"

typedef enum {
    LSPO_TRAIN_REST_AUTO, /* the policy's default (train_rest_default) */
    LSPO_TRAIN_REST_ON,   /* embeddings, norms, biases and head are trained too, uncompressed         */
    LSPO_TRAIN_REST_OFF   /* only the linear layers of the blocks are trained                         */
} lspo_train_rest_t;

enum { LSPO_TRANSITION_AUTO = -1 };

typedef enum {
    LSPO_ORDER_POLICY, /* the policy's priorities                */
    LSPO_ORDER_AUTO    /* the fastest by simulation, sim/order.h */
} lspo_lane_order_t;
extern const char *const lspo_lane_order_names[]; /* "policy", "auto"; ends with NULL */

/* Limits of counts of steps and of micro-batches per step. */
enum { LSPO_STEPS_MAX = 1000000, LSPO_MICROS_MAX = 65535 };

typedef struct {
    uint32_t batch;             /* sequences per micro-batch                                              */
    uint32_t sequence;          /* tokens per sequence                                                    */
    lspo_precision_t precision; /* of weights and activations on the GPU                                  */
    lspo_precision_t transfer;  /* of gradients, parameters and deltas on the link                        */
    bool checkpointing;         /* keep only block inputs; RECOMPUTE before BWD                           */
    uint32_t swap_activations;  /* blocks, from the first, whose kept activations wait on the host: build.h */
    uint32_t iterations;        /* optimizer steps in the plan                                            */
    uint32_t accumulation;      /* micro-batches per optimizer step                                       */
    double clip_norm;           /* global-norm clipping; 0 = off                                          */
    lspo_lane_order_t order;    /* of the ops that wait for the same lane                                 */
    lspo_train_rest_t train_rest;
    uint32_t first_step; /* optimizer steps done before this plan, which is a segment of a longer training; above
                                  0 a stale policy begins with the update of a gradient that it left */
    bool open_end;       /* a stale policy leaves its last update to the plan that follows           */
    uint64_t seed;
    double learning_rate;
    double loss_scale;   /* factor of the loss in backward; the update divides by it: real/session/session.h */
    double adam_epsilon; /* Adam's, beside the root; and under it: kernels/adam.h                            */
    double adam_root_epsilon;
    double weight_decay;      /* decoupled (AdamW): w <- w (1 - learning_rate weight_decay) - ...          */
    bool identity_projectors; /* for tests: lsp with P = Q = I, so that d_m = m and d_n = n; default off */
    lspo_values_t values;     /* of the policies' own parameters */
} lspo_workload_t;

/* All fields except the values, named like their flags; those without a flag have their own names. */
extern const lspo_record_field_t lspo_workload_fields[];
extern const size_t lspo_workload_field_count;

/* batch 4, sequence 512, fp16 weights and transfer, checkpointing on, 8 iterations, accumulation 1, no clipping,
 * train_rest auto, first_step 0, closed end, no weight decay, Adam's epsilon 1e-8, loss scale auto, seed 1, learning
 * rate 1e-4; and the policies' own parameters for a large model. */
void lspo_workload_default(lspo_workload_t *workload_out);

/* Refuse zero or overflowing sizes and a sequence above the model's maximum.  The message names flag, value and allowed
 * range.  lspo_policy_check() checks the policies' own parameters. */
lspo_status_t lspo_workload_check(const lspo_workload_t *workload, const lspo_model_t *model);

/* The largest batch that the check allows at this sequence. */
uint32_t lspo_workload_batch_most(const lspo_workload_t *workload, const lspo_model_t *model);

/* batch * sequence. */
uint64_t lspo_workload_tokens(const lspo_workload_t *workload);

#endif
