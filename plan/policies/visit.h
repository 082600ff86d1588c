/* visit.h - optimizer state that is on the host and visits the GPU part by part, for policies whose GPU updates parts
 * of messages (plan/chunks.h) with state that it has no room for:
 *     SWAP_IN    m, v and an fp32 copy of 16-bit weights
 *     UPD_GPU    Adam
 *     SWAP_OUT   m, v and what was updated
 * With fp32 state of 16-bit weights a part of S parameters moves 12 S bytes each way and takes 12 S bytes meanwhile. */
#ifndef LSPO_PLAN_POLICIES_VISIT_H
#define LSPO_PLAN_POLICIES_VISIT_H

#include "plan/build.h"

/* Room for some states at once: a ring of the ops that free it. */
typedef struct {
    lspo_op_id_t *frees; /* owned */
    uint32_t count, used;
} lspo_visit_slots_t;

lspo_status_t lspo_visit_slots_create(uint32_t count, lspo_visit_slots_t *slots_out);
/* Accepts slots that are all zero. */
void lspo_visit_slots_release(lspo_visit_slots_t *slots);

/* The latest ops of a part; LSPO_NO_OP: none yet. */
typedef struct {
    lspo_op_id_t home;  /* SWAP_OUT after which the host's state is the latest one */
    lspo_op_id_t ready; /* after which its weights are new                         */
} lspo_visit_t;

static const lspo_visit_t lspo_visit_none = {LSPO_NO_OP, LSPO_NO_OP};

/* A visit as it is emitted. */
typedef struct {
    uint32_t iteration, stage, part;
    const lspo_op_id_t *waits; /* UPD_GPU waits for them ... */
    uint32_t wait_count;
    lspo_op_id_t before;  /* ... and for this one; LSPO_NO_OP: none */
    uint64_t given_bytes; /* GPU memory of gradients that it gives back */
} lspo_visit_order_t;

/* Emit the three ops.  The state comes when the compute chain (b->last_compute) has ended, until which its memory is
 * needed, and a slot is free. */
void lspo_visit_build(lspo_builder_t *b, lspo_visit_slots_t *slots, const lspo_visit_order_t *order,
                      lspo_visit_t *visit);

/* The works of SWAP_IN, SWAP_OUT and UPD_GPU of so many elements: lspo_policy_t.describe_part.  False for others. */
bool lspo_visit_describe(const lspo_builder_t *b, lspo_op_kind_t kind, uint64_t elements, lspo_work_t *work);

/* The format of the parameters that are updated, of which the host has a copy. */
lspo_precision_t lspo_visit_updated(const lspo_builder_t *b);

#endif
