/* axonn_grid.h - a plan of axonn while it is built: the grid of peers, shared by axonn.c and axonn_passes.c. */
#ifndef LSPO_PLAN_POLICIES_AXONN_GRID_H
#define LSPO_PLAN_POLICIES_AXONN_GRID_H

#include "plan/build.h"
#include "plan/policies/visit.h"

/* A peer of the grid: GPU d of replica r is devices[r * pipeline + d]. */
typedef struct {
    uint32_t first, last; /* its stages */
    uint32_t lanes[LSPO_LANE_KIND_COUNT];
    lspo_visit_slots_t slots;
    lspo_op_id_t forward, backward; /* the last op of the latest message of each kind in this step */
    lspo_op_id_t latest;            /* of either kind, also of the step before */
    uint32_t forwards, backwards;   /* messages so far */
    lspo_op_id_t norm;              /* of this step; LSPO_NO_OP: none */
    uint64_t kept; /* numbers of a message to and from the next peer, the largest; 0: all (plan/largest.h) */
} lspo_axonn_device_t;

typedef struct {
    lspo_builder_t *b;
    uint32_t pipeline, replicas, micros; /* micros: per replica */
    bool message_driven, gpipe, tied;    /* tied: across peers */
    bool feedback;                       /* what is not sent of a gradient is added to the next one */
    lspo_axonn_device_t *devices;
    lspo_build_stage_t *stages;          /* [replica][stage]: the builder's, once per replica */
    lspo_visit_t *visits;                /* [replica][bucket] */
    uint32_t bucket_count, *first;       /* first: by stage, the number of its first bucket */
    lspo_op_id_t *activation, *gradient; /* [device][micro] of a replica: after which that message can begin */
    lspo_op_id_t *returned;              /* [micro]: after which it has come back to the first GPU */
    lspo_op_id_t tied_sum;               /* SEND of a replica's embedding's gradient to its first peer */
    lspo_op_id_t *tied_back;             /* [replica]: SEND of its new parameters to the last one */
    lspo_op_id_t *shares;                /* [replica]: SEND of the group that is written */
    lspo_op_id_t *sums;                  /* [replica][bucket]: SEND of its group */
    lspo_op_id_t *waits;                 /* room for those of an update */
} lspo_axonn_t;

static inline lspo_axonn_device_t *lspo_axonn_device(const lspo_axonn_t *x, uint32_t replica, uint32_t d)
{
    return &x->devices[(size_t)replica * x->pipeline + d];
}

/* From now on, ops are of this peer. */
void lspo_axonn_enter(const lspo_axonn_t *x, uint32_t replica, uint32_t d);

/* Bytes of the token embedding, of which the last peer has a copy if the head is tied. */
static inline uint64_t lspo_axonn_tied_bytes(const lspo_builder_t *b)
{
    const lspo_tensor_t *token = &b->stages[0].shape.tensors[0];
    return (uint64_t)token->rows * token->cols * lspo_precision_bytes(b->workload->precision);
}

/* All messages of a replica in a step, in the order of --pipeline-order. */
void lspo_axonn_passes(lspo_axonn_t *x, uint32_t iteration, uint32_t replica);

#endif
