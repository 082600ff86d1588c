/* build.h - what a policy file uses to write its plan: helpers that emit the ops common to all policies.
 *
 * A policy's build() loops over iterations, calls lspo_build_forward_backward() and says in between what
 * happens to each stage's gradient.  Errors (out of memory, too many ops) stick in the builder: an emit
 * after one does nothing, and lspo_plan_build() returns the status at the end, so that a policy reads as
 * its schedule and nothing else.
 */
#ifndef LSPO_PLAN_BUILD_H
#define LSPO_PLAN_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/op.h"
#include "plan/plan.h"
#include "plan/work.h"
#include "plan/workload.h"

/* Up to this many dependencies an op that is written as a list; longer ones go through lspo_build_depend(). */
typedef struct {
    lspo_op_id_t ids[8];
    uint32_t count;
} lspo_deps_t;

/* Per-stage facts that policies need, computed once. */
typedef struct {
    lspo_stage_t shape;
    lspo_message_t message; /* of this policy: dense or projected */
    uint64_t parameter_bytes; /* all tensors, workload precision (fp32: 4)  */
    uint64_t message_bytes;   /* on the link, transfer precision            */
    bool trained;             /* message.element_count > 0                  */
} lspo_build_stage_t;

typedef struct lspo_builder {
    lspo_plan_t *plan;
    const lspo_model_t *model;
    const lspo_workload_t *workload;
    bool train_rest; /* AUTO resolved */
    uint32_t stage_count;
    lspo_build_stage_t *stages;
    lspo_activations_t activations;
    /* The ops after which the weights of a stage are those of the coming iteration; LSPO_NO_OP: from the start. */
    lspo_op_id_t *ready;
    lspo_op_id_t *bwd;    /* latest BWD of each stage              */
    lspo_op_id_t *fwd;    /* latest FWD of each stage              */
    lspo_op_id_t *gradient_gone; /* op after which the stage's gradient buffer is free again; LSPO_NO_OP: never taken */
    lspo_op_id_t last_gpu; /* latest FWD/BWD/RECOMPUTE/COMPRESS, which form one chain   */
    lspo_status_t status;
    uint32_t op_capacity, dep_capacity, work_capacity;
} lspo_builder_t;

#endif
