/* build.h - the functions with which a policy builds its plan.
 *
 * A policy's build() loops over iterations and emits the ops of each in program order.  After an error (out of memory,
 * too many ops) the builder ignores all further calls, and lspo_plan_build() returns the error.  So the code of a
 * policy shows only its schedule.
 *
 * Which op takes and gives back dynamic GPU memory (p = bytes of the precision, q = bytes of the transfer precision, T
 * tokens):
 *     FWD embed, block   takes its output (T w p), which is the next stage's input
 *     FWD block          takes `saved`; gives it back at its end under checkpointing
 *     RECOMPUTE          takes `saved` again
 *     FWD head           takes head_bytes
 *     BWD head           takes dx (T w p), which travels down to the embedding in place; gives back head_bytes and
 *                        its input
 *     BWD block          gives back `saved` and its input; where a COMPRESS follows, that op does
 *     BWD block, low     takes the full gradients of its linear weights (p per element); COMPRESS gives them back,
 *     rank               behind each micro-batch, but in a step that renews the bases behind the last one only
 *     BWD, columns       takes the full gradient; COMPRESS gives it back and takes its two parts: D2H gives back the
 *                        CPU's, UPD_GPU the GPU's
 *     PROJECT            takes and gives back the scratch of one basis; lsp: a weight's full gradient (fp32) and the
 *                        scratch of a fit; it gives back `saved` and its block's input, as a COMPRESS does.  The first
 *                        FIT of a pass takes its stage's new projectors and their Adam moments, DECIDE gives them back
 *     BWD, lowest        gives back dx (embed's BWD; the first block's when the embedding is frozen)
 *     BWD, first micro   takes the stage's gradient message (elements x p; and elements x q where q != p, packed);
 *                        the message of a tied embedding is taken by BWD head
 *     APPLY, low rank    in 16 bits takes and gives back the full step of a weight, which is rounded at random
 *     one block at a     below the active stage FWD gives back `saved` and its input, and there is no BWD; the lowest
 *     time               BWD gives back dx
 *     BWD, probe         takes and gives back the stage's message; of the activations gives back only what RECOMPUTE
 *                        took
 *     D2H                gives the message back; without a link, UPD_GPU does (low rank: APPLY)
 *     H2D                takes a landing buffer (message elements x q, or those of a part; the first part of a delta
 *                        takes it whole); APPLY gives it back; of bases, none
 *     SWAP_IN            takes what it brings; FWD, BWD or SWAP_OUT give it back
 *     SWAP_OUT,          gives back what a block keeps for its backward: `saved`, except under checkpointing, and its
 *     activations        input; SWAP_IN takes it again, and BWD (or PROJECT, COMPRESS) gives it back as usual
 *     SWAP_IN, sum       takes a gradient as BWD of the first micro-batch does; SWAP_OUT, sum gives it back
 */
#ifndef LSPO_PLAN_BUILD_H
#define LSPO_PLAN_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/chunks.h"
#include "plan/footprint.h"
#include "plan/lane_set.h"
#include "plan/model.h"
#include "plan/op.h"
#include "plan/plan.h"
#include "plan/work.h"
#include "plan/workload.h"

/* What is known about a stage: facts that are the same in every iteration, and its latest ops. */
typedef struct {
    lspo_stage_t shape;
    lspo_message_t message;   /* dense, or projected under a compressing policy */
    bool trained;             /* message.element_count > 0                      */
    uint64_t parameter_bytes; /* all tensors, workload precision                */
    uint64_t moments_bytes;   /* Adam's m and v of the message (plan/optimizer_state.h), and their bases */
    uint64_t optimizer_bytes; /* these, and an fp32 master for 16-bit weights that are not rounded at random */
    uint64_t gradient_bytes;  /* a gradient on the GPU, including packed_bytes            */
    uint64_t packed_bytes;    /* its copy in the link's format; 0: none, or COMPRESS makes the message */
    uint64_t sent_bytes;      /* the message on the link to the CPU                          */
    uint64_t link_bytes;      /* the message back to the GPU                                 */
    uint64_t turn_bytes;      /* T of its bases on the GPU and on the link; 0: the GPU turns nothing */
    uint64_t kept_bytes;      /* the part of the gradient that stays on the GPU if COMPRESS splits it */
    uint32_t priority_rank;   /* 0 is served first within an iteration          */
    bool updated_on_gpu;      /* its gradient stays there, in a policy that sends others to the CPU */
    uint32_t parts;           /* of its message on the link: plan/chunks.h                          */
    uint64_t chunk_elements;  /* of each of them but the last; 0: the message is whole                  */
    uint32_t update_parts;    /* of its update: the same, but 1 in bases                              */

    lspo_op_id_t ready;     /* op after which the weights are those of the next iteration; LSPO_NO_OP: they are */
    lspo_op_id_t backward;  /* latest BWD or COMPRESS                                                     */
    lspo_op_id_t sent;      /* latest D2H of the gradient, or of its last part                              */
    lspo_op_id_t updated;   /* latest UPD of lspo_build_update(), or its last part                          */
    lspo_op_id_t returned;  /* latest H2D of an update's result                                            */
    lspo_op_id_t projected; /* D2H of new projectors in this step; LSPO_NO_OP: none                        */
    lspo_op_id_t renewed;   /* its renewal after that; LSPO_NO_OP: none                                    */
    lspo_op_id_t left;      /* SWAP_OUT of what it keeps of this pass; LSPO_NO_OP: it keeps nothing, or on the GPU */
    lspo_op_id_t turned;    /* H2D of new T that the next step's COMPRESS needs; LSPO_NO_OP: none          */
} lspo_build_stage_t;

/* The works of the plan so far.  Rows that are not known have not been written: to clear all of them takes longer than
 * to build a small plan. */
typedef struct {
    bool is_known[LSPO_OP_KIND_COUNT][LSPO_VARIANT_COUNT];
    uint32_t ids[LSPO_OP_KIND_COUNT][LSPO_VARIANT_COUNT][6][16]; /* kind, variant, stage kind, tail; + 1; 0: none */
} lspo_build_works_t;

typedef struct lspo_builder {
    lspo_plan_t *plan;
    const lspo_model_t *model;
    const lspo_workload_t *workload;
    bool train_rest;                  /* AUTO resolved                                            */
    bool compresses;                  /* COMPRESS follows every block's BWD */
    bool forward_waits_all;           /* FWD of the embedding waits for the updates of all stages */
    bool bounds_gradients;            /* BWD waits until an older gradient has left the GPU       */
    uint32_t gradient_buffers;        /* stages whose gradients may wait for the link; 0: no limit */
    bool sums_on_host;                /* lspo_plan_sums_on_host()                                 */
    bool norm_known;                  /* BWD need not sum squares, since another op does so          */
    bool splits_forward;              /* other ops of a block's forward follow FWD: `saved` stays    */
    lspo_op_variant_t update_variant; /* of the UPD, H2D and APPLY that are emitted     */
    uint32_t stage_count;
    lspo_build_stage_t *stages;
    lspo_activations_t activations;
    uint32_t lanes[LSPO_LANE_KIND_COUNT]; /* currently chosen lane of each kind; LSPO_NO_LANE: none yet */
    uint32_t generate_step;               /* generation: the iteration whose works are described */
    uint32_t first_micro, micro_count;    /* of a step, on the GPU whose passes are emitted           */
    lspo_op_id_t last_compute;            /* FWD, RECOMPUTE, BWD and COMPRESS form one chain          */
    lspo_status_t status;
    size_t op_capacity, dep_capacity, work_capacity;
    lspo_build_works_t *works; /* not owned */
} lspo_builder_t;

/* For lspo_build_message(). */
typedef struct {
    lspo_op_variant_t variant;
    uint32_t stage, iteration, micro;
    uint64_t bytes;
    uint32_t messages;
} lspo_build_message_t;

/* Emit one op and return its id; add its dependencies with lspo_build_depend().  Its lane is the one chosen by
 * lspo_build_use_lane() for the kind.  Its cost follows from kind, variant and stage, its priority from the iteration
 * and the stage's rank. */
lspo_op_id_t lspo_build_op(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                           uint32_t iteration);
/* Add a lane to the plan's list and return its index.  A plan begins with the four lanes of peer 0 and its GPU 0, whose
 * indices are LSPO_LANE_GPU to LSPO_LANE_CPU. A lane without a name gets one: see lspo_lanes_add(). */
uint32_t lspo_build_lane(lspo_builder_t *b, const lspo_lane_t *lane);
/* From now on, ops that need a lane of this lane's kind are emitted on it, by all functions.  The four lanes above are
 * the default; before SEND, READ or WRITE a lane of their kind must be chosen. */
void lspo_build_use_lane(lspo_builder_t *b, uint32_t lane);
/* lspo_build_op() on `lane`; does not change the chosen lane of its kind. */
lspo_op_id_t lspo_build_op_on(lspo_builder_t *b, uint32_t lane, lspo_op_kind_t kind, lspo_op_variant_t variant,
                              uint32_t stage, uint32_t iteration);
/* Set the micro-batch of the op emitted last. */
void lspo_build_micro(lspo_builder_t *b, uint32_t micro);
/* Set the rank of an op within its iteration (lspo_build_priority()); LSPO_NO_OP is ignored. */
void lspo_build_rank(lspo_builder_t *b, lspo_op_id_t op, uint32_t rank);
/* SEND of so many bytes in so many messages, which each have the network's latency, on the chosen lane; `stage` and
 * `micro` only name it. */
lspo_op_id_t lspo_build_message(lspo_builder_t *b, const lspo_build_message_t *message);
/* Let the op emitted last have a work of its own: one kernel that streams so many bytes in so many launches. */
void lspo_build_stream(lspo_builder_t *b, uint64_t bytes, uint32_t launches);
/* LSPO_ERR_INPUT, before anything is built, for a plan that would have millions of ops. */
lspo_status_t lspo_build_check_size(const lspo_builder_t *b);
/* Part `part` of the `parts` of a stage's message (plan/chunks.h), whose cost is that of its elements; the same as
 * lspo_build_op() where the message is whole. */
lspo_op_id_t lspo_build_part(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                             uint32_t iteration, uint32_t part);
/* Its elements. */
static inline uint64_t lspo_build_part_elements(const lspo_builder_t *b, uint32_t stage, uint32_t part)
{
    const lspo_build_stage_t *st = &b->stages[stage];
    uint64_t first;
    return lspo_chunk_part(st->chunk_elements, st->message.element_count, part, &first);
}
/* Let the op emitted last depend on `dependency`; LSPO_NO_OP is ignored. */
void lspo_build_depend(lspo_builder_t *b, lspo_op_id_t dependency);
/* Let the op emitted last take and give back GPU memory. */
void lspo_build_gpu_memory(lspo_builder_t *b, uint64_t alloc_bytes, uint64_t free_bytes);

/* FWD of one stage: after the compute chain and, for the first micro-batch, after the stage's weights are ready; before
 * it SWAP_OUT of what the block below keeps. */
lspo_op_id_t lspo_build_forward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage);
/* [SWAP_IN], [RECOMPUTE], BWD, [COMPRESS] of one stage; returns the last.  They also depend on `parameters`, unless it
 * is LSPO_NO_OP.  Nothing is emitted below the lowest stage that is trained in this iteration. */
lspo_op_id_t lspo_build_backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage,
                                 lspo_op_id_t parameters);
/* The same, but only to compute the norm before the pass that updates: BWD drops its gradient and keeps the activations
 * (under checkpointing, the stage's input). */
void lspo_build_probe(lspo_builder_t *b, uint32_t iteration, uint32_t stage);
/* All FWD and BWD of an optimizer step, all micro-batches.  With `send`, D2H of each trained stage follows its last
 * BWD, unless the stage is updated on the GPU; with --accumulate-on host, SWAP_OUT of its sum follows the earlier ones
 * and SWAP_IN brings it back for the next. */
void lspo_build_step(lspo_builder_t *b, uint32_t iteration, bool send);

/* The barrier of --clip: NORM after the last BWD, on which updates on the GPU must depend; LSPO_NO_OP without --clip.
 * Updates on the CPU must depend on the D2H of its scalar: LSPO_NO_OP after LSPO_NO_OP. */
lspo_op_id_t lspo_build_norm(lspo_builder_t *b, uint32_t iteration);
lspo_op_id_t lspo_build_norm_to_host(lspo_builder_t *b, uint32_t iteration, lspo_op_id_t norm);

/* D2H of one stage's gradient, in parts, after its BWD; gives back the gradient. */
void lspo_build_send(lspo_builder_t *b, uint32_t iteration, uint32_t stage);

/* UPD of one stage on the CPU, after its gradient has arrived and after `wait`; of the parts the last is returned. */
lspo_op_id_t lspo_build_update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait);
/* The same where no update starts before all gradients have arrived and each waits for the one before it: `previous`,
 * or LSPO_NO_OP for the first of a step, which waits for `norm` and for the latest D2H of all stages. */
lspo_op_id_t lspo_build_update_in_turn(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t previous,
                                       lspo_op_id_t norm);
/* H2D, in parts, and APPLY of the result of `update`, also after `wait`: the stage's `returned` and `ready`. */
void lspo_build_return(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t update, lspo_op_id_t wait);
/* Is the gradient of the stage sent to the CPU, which updates it, in a policy that does so?  And let the GPU update it
 * instead: its gradient has no copy in the link's format. */
bool lspo_build_is_sent(const lspo_builder_t *b, uint32_t stage);
void lspo_build_keep_on_gpu(lspo_build_stage_t *stage);
/* After the backward pass of such a policy: NORM, UPD_GPU of all stages that are not sent, and, if any is sent, the D2H
 * of the norm, for which updates on the CPU must wait; LSPO_NO_OP without --clip. */
lspo_op_id_t lspo_build_updates_gpu(lspo_builder_t *b, uint32_t iteration);
/* UPD_GPU of one stage after the last BWD of the step and after `wait`; gives back the gradient.  With a low rank an
 * APPLY follows, which projects Adam's direction back from the subspace. */
lspo_op_id_t lspo_build_update_gpu(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait);

/* The layer-wise schedule of zero-layerwise, backward-update and lsp: each stage's D2H, UPD, H2D, APPLY follow its
 * BWD, and FWD waits stage by stage.  Stages <= transition are served last in, first out (the shallower first), the
 * others first in, first out; transition < 0: all first in, first out. */
lspo_status_t lspo_build_layerwise(lspo_builder_t *b, int32_t transition);

/* The rank of a stage's ops in that schedule, and the priority of an op: ranks count within an iteration. */
static inline uint32_t lspo_build_layerwise_rank(uint32_t stage, int32_t transition, uint32_t stage_count)
{
    return (int32_t)stage <= transition ? stage : stage_count;
}
static inline uint32_t lspo_build_priority(uint32_t iteration, uint32_t rank, uint32_t stage_count)
{
    return iteration * (stage_count + 1) + rank;
}

/* The whole schedule of policies without a link: everything on the GPU, updates after the whole backward pass. */
lspo_status_t lspo_build_on_gpu(lspo_builder_t *b);

/* Static memory of policies with the optimizer on the CPU, and of policies with everything on the GPU. */
void lspo_build_offloaded_memory(lspo_builder_t *b, uint32_t gradient_slots);
void lspo_build_resident_memory(lspo_builder_t *b);

#endif
