/* build_parts.h - declarations shared by the files of the builder (plan/build*.c); policies use build.h. */
#ifndef LSPO_PLAN_BUILD_PARTS_H
#define LSPO_PLAN_BUILD_PARTS_H

#include "plan/build.h"
#include "plan/policies/lsp.h"

/* Which extra kernels the last op before the link runs: bits of the last index of works->ids.  TAIL_TURN: COMPRESS and
 * APPLY turn (plan/adam_basis.h), and UPD does not.  TAIL_APART: UPD is only the renewal.  An op that is a part of a
 * message has another of these: a full part, or the last one. */
enum { TAIL_PACK = 1, TAIL_SQUARES = 2, TAIL_TURN = 4, TAIL_APART = 8, PART_FULL = 1, PART_LAST = 2 };

/* An op as it is emitted. */
typedef struct {
    lspo_op_kind_t kind;
    lspo_op_variant_t variant;
    uint32_t stage, iteration, micro;
    uint32_t tail; /* what it does besides at its end */
} lspo_new_op_t;

/* build.c: emit one op, as lspo_build_op(); or one with a work of its own, of kernels without FLOPs. */
lspo_op_id_t lspo_build_emit(lspo_builder_t *b, const lspo_new_op_t *op);
lspo_op_id_t lspo_build_with_work(lspo_builder_t *b, const lspo_new_op_t *op, const lspo_work_t *work);

/* build_work.c: fill *work, which is all zero, with the kernels of an op of stage `s`; and the tail of the op that
 * completes a gradient. */
void lspo_build_describe(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                         uint32_t tail, lspo_work_t *work);
uint32_t lspo_build_tail(const lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro);

/* build_step.c: FWD of a variant. */
lspo_op_id_t lspo_build_forward_as(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro,
                                   uint32_t stage);

/* build_activations.c.  Before FWD of `stage`, which has this variant: SWAP_OUT of what the block below keeps.  And let
 * the op emitted last, FWD of a block, wait until there is a place for what it keeps. */
void lspo_build_activations_leave(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro,
                                  uint32_t stage);
void lspo_build_activations_place(lspo_builder_t *b, uint32_t stage);
/* SWAP_IN of what the block keeps, for the op that reads it; LSPO_NO_OP: it is on the GPU.  `variant`: of BWD. */
lspo_op_id_t lspo_build_activations_return(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration,
                                           uint32_t micro, uint32_t stage);

/* build_step.c: let the op emitted last wait until at most --gradient-buffers gradients are on the GPU. */
void lspo_build_bound_gradients(lspo_builder_t *b, uint32_t micro, uint32_t stage);

/* build_turn.c: after the updates of a step the renewals that are ops of their own, and the copies of T. */
void lspo_build_renew(lspo_builder_t *b, uint32_t iteration);

/* Device memory of a stage's check, and of a new pair in addition to the current one. */
uint64_t lspo_build_check_bytes(const lspo_builder_t *b, uint32_t stage);
uint64_t lspo_build_candidate_bytes(const lspo_builder_t *b, uint32_t stage);

/* build_projectors.c: bytes of the projectors that a stage owns, on the GPU and as rows on the link; bytes of all
 * projectors on the host, with checks; and the calibration pass of an iteration, if it has one. */
uint64_t lspo_build_projector_bytes(const lspo_builder_t *b, uint32_t stage);
uint64_t lspo_build_projector_link_bytes(const lspo_builder_t *b, uint32_t stage);
uint64_t lspo_build_projector_host_bytes(const lspo_builder_t *b);
void lspo_build_calibrate(lspo_builder_t *b, uint32_t iteration);

/* TAIL_TURN where the GPU turns the stage's gradient in this iteration, or 0. */
static inline uint32_t turn_tail(const lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    return b->stages[stage].turn_bytes > 0 && lspo_plan_turns_on_gpu(b->plan, iteration) ? TAIL_TURN : 0;
}

/* Whether the stage's gradient is formed in this iteration. */
static inline bool trains(const lspo_builder_t *b, uint32_t stage, uint32_t iteration)
{
    return b->stages[stage].trained && lspo_plan_trains(b->plan, stage, iteration);
}

/* What a block keeps from FWD to BWD. */
static inline uint64_t kept_bytes(const lspo_builder_t *b)
{
    return b->activations.input_bytes + (b->workload->checkpointing ? 0 : b->activations.saved_bytes);
}

static inline bool is_first_micro(const lspo_builder_t *b, uint32_t micro)
{
    return micro == b->first_micro;
}

static inline bool is_last_micro(const lspo_builder_t *b, uint32_t micro)
{
    return micro + 1 == b->first_micro + b->micro_count;
}

static inline bool columns(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_COLUMNS;
}

static inline bool adapters(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_ADAPTER;
}

static inline bool quantizes(const lspo_builder_t *b)
{
    return lspo_plan_quantizes(b->plan);
}

static inline bool lowrank(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_LOWRANK;
}

static inline bool shares_projectors(const lspo_builder_t *b)
{
    return lspo_lsp_values_of(b->workload)->projectors == LSPO_PROJECTORS_SHAPE;
}

static inline bool tied(const lspo_builder_t *b)
{
    return b->model->tied_head;
}

static inline uint32_t head_of(const lspo_builder_t *b)
{
    return b->stage_count - 1;
}

/* Backward ends there. */
static inline uint32_t lowest_trained(const lspo_builder_t *b, uint32_t iteration)
{
    return lspo_plan_lowest_trained(b->plan, iteration);
}

#endif
