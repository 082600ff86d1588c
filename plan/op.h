/* op.h - ops, the nodes of a plan.  One table (op.c) describes each kind of op. */
#ifndef LSPO_PLAN_OP_H
#define LSPO_PLAN_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/lane.h"

typedef enum {
    LSPO_OP_FWD,       /* forward of a stage                                                       */
    LSPO_OP_RECOMPUTE, /* forward again from the stage's input (gradient checkpointing)            */
    LSPO_OP_BWD,       /* backward of a stage                                                      */
    LSPO_OP_COMPRESS,  /* lsp: G^ = (X P)^T (dY Q); low rank: R = A^T G                            */
    LSPO_OP_NORM,      /* GPU: global gradient norm, the clipping barrier                          */
    LSPO_OP_D2H,       /* gradients to the CPU                                                     */
    LSPO_OP_UPD,       /* CPU optimizer                                                            */
    LSPO_OP_UPD_GPU,   /* GPU optimizer                                                            */
    LSPO_OP_H2D,       /* new parameters or deltas to the GPU                                      */
    LSPO_OP_APPLY,     /* GPU: overwrite the weights, or decompress and add                        */
    LSPO_OP_SWAP_IN,   /* parameters, optimizer state, sums or activations to the GPU              */
    LSPO_OP_SWAP_OUT,  /* ... and back                                                             */
    LSPO_OP_PROJECT,   /* fit or refresh a projector                                               */
    LSPO_OP_SEND,      /* activations or gradients to another peer                                 */
    LSPO_OP_READ,      /* from the SSD                                                             */
    LSPO_OP_WRITE,     /* to the SSD                                                               */
    LSPO_OP_SELECT,    /* meft: the CPU chooses the rows that a batch needs, and gathers them      */
    LSPO_OP_MAP,       /* vtensor: the CPU maps memory into the GPU's addresses                   */
    LSPO_OP_KIND_COUNT
} lspo_op_kind_t;

/* A 32-bit index into plan->ops. */
typedef uint32_t lspo_op_id_t;
#define LSPO_NO_OP UINT32_MAX

typedef struct {
    uint8_t kind;       /* lspo_op_kind_t */
    uint16_t layer;     /* stage index, see model.h */
    uint32_t lane;      /* index into plan->lanes */
    uint32_t iteration; /* optimizer step that the op belongs to (of the gradient, for UPD of zero-delayed) */
    uint16_t micro;     /* micro-batch within the step; of D2H, UPD, H2D, APPLY a part: plan/chunks.h */
    uint16_t variant;   /* distinguishes ops of one kind and layer: see lspo_op_variant_t */
    uint32_t work;      /* index into plan->works: what it costs */
    uint32_t priority;  /* lower is served first among the ready ops of a lane; ties: first ready, then lowest id */
    uint32_t dep_first; /* plan->deps[dep_first .. dep_first + dep_count) are the ops that must have ended */
    uint32_t dep_count;
    uint64_t gpu_alloc_bytes; /* taken when the op starts */
    uint64_t gpu_free_bytes;  /* given back when it ends  */
    uint64_t host_alloc_bytes;
    uint64_t host_free_bytes;
} lspo_op_t;

typedef enum {
    LSPO_VARIANT_NONE,
    LSPO_VARIANT_NORM_SCALAR, /* D2H or SEND of the one clipping scalar      */
    LSPO_VARIANT_PARAMETERS,  /* SWAP_IN/SWAP_OUT/SEND of parameters         */
    LSPO_VARIANT_OPTIMIZER,   /* SWAP_IN/SWAP_OUT of optimizer state         */
    LSPO_VARIANT_FROZEN,      /* FWD that keeps nothing for a backward, BWD without gradients of weights */
    LSPO_VARIANT_ACCUMULATE,  /* UPD that only sums the gradient up                                  */
    LSPO_VARIANT_DRAIN,       /* H2D, APPLY of the window before the last, at the end of a training     */
    LSPO_VARIANT_DRAIN_LAST,  /* UPD, H2D, APPLY of the last window                                     */
    LSPO_VARIANT_PROBE,      /* BWD (its RECOMPUTE, SWAP_IN) that only computes the clipping norm, drops the gradient */
    LSPO_VARIANT_PENDING,    /* UPD, H2D, APPLY of a gradient left by the previous segment: one iteration earlier */
    LSPO_VARIANT_CALIBRATE,  /* lsp: FWD, RECOMPUTE, BWD, swaps of a calibration pass, which only needs gradients */
    LSPO_VARIANT_FIT,        /* lsp: PROJECT that fits; without this variant it only checks */
    LSPO_VARIANT_DECIDE,     /* lsp: PROJECT that accepts or rejects the new projectors    */
    LSPO_VARIANT_PROJECTORS, /* lsp: D2H of new projectors, for the moments on the CPU     */
    LSPO_VARIANT_RENEW,      /* UPD that also renews the bases of Adam: --adam-basis */
    LSPO_VARIANT_SUM, /* SWAP_OUT/SWAP_IN of the gradient's sum over the micro-batches so far; SEND: of replicas */
    LSPO_VARIANT_SPECULATE, /* UPD that does not wait for the norm, into a second place: --speculate-clip */
    LSPO_VARIANT_SETTLE, /* UPD after it: takes that place, or repeats what clips, which the plan assumes not to ... */
    LSPO_VARIANT_REDO,   /* ... or to be so */
    LSPO_VARIANT_ACTIVATIONS, /* SWAP_OUT/SWAP_IN of what a block keeps for its backward: --swap-activations */
    LSPO_VARIANT_CACHE,    /* generation: SWAP_IN of keys and values, SWAP_OUT of those of new tokens; RECOMPUTE ... */
    LSPO_VARIANT_INPUTS,   /* ... rebuilds them from a block's inputs: SWAP_IN, and SWAP_OUT of new ones */
    LSPO_VARIANT_MLP,      /* meft: FWD of a block's MLP; without a variant it is what comes before */
    LSPO_VARIANT_ROWS,     /* meft: FWD of the adapter beside it, and D2H of what its rows are chosen by */
    LSPO_VARIANT_GRADIENT, /* SEND of a gradient to the peer before; none: of activations */
    LSPO_VARIANT_SHARE,    /* SEND of shares of a gradient to the replicas that sum them, before SUM: of a sum to all */
    LSPO_VARIANT_EXPERTS,  /* qmoe: D2H of which experts are chosen, SWAP_IN of the missing ones, and their FWD */
    LSPO_VARIANT_DELAY,    /* SEND of which only the latency is left: plan/place.h */
    LSPO_VARIANT_COUNT
} lspo_op_variant_t;

/* One row per kind of op.  In a training, the function of a kind is in a table, too: the training method's or else the
 * session's (real/session/method.h). */
typedef struct {
    const char *name; /* "FWD", "D2H", ... */
    lspo_lane_kind_t lane;
    const char *colour; /* in charts: "#rrggbb"; plots/style.gp has the same */
} lspo_op_kind_info_t;

extern const lspo_op_kind_info_t lspo_op_kinds[LSPO_OP_KIND_COUNT];

/* The kind of lane on which ops of `kind` run. */
static inline lspo_lane_kind_t lspo_op_kind_lane(lspo_op_kind_t kind)
{
    return lspo_op_kinds[kind].lane;
}

/* Is it a pass of a stage?  The end of a step's last one is the end of the step. */
static inline bool lspo_op_kind_is_pass(lspo_op_kind_t kind)
{
    return kind == LSPO_OP_FWD || kind == LSPO_OP_RECOMPUTE || kind == LSPO_OP_BWD;
}
static inline bool lspo_op_is_pass(const lspo_op_t *op)
{
    return lspo_op_kind_is_pass((lspo_op_kind_t)op->kind);
}

/* Is it a SWAP_OUT or SWAP_IN of a block's activations, in whichever pass? */
static inline bool lspo_op_kind_swaps_activations(lspo_op_kind_t kind, lspo_op_variant_t variant)
{
    return (kind == LSPO_OP_SWAP_OUT || kind == LSPO_OP_SWAP_IN) &&
           (variant == LSPO_VARIANT_ACTIVATIONS || variant == LSPO_VARIANT_CALIBRATE || variant == LSPO_VARIANT_PROBE);
}
static inline bool lspo_op_swaps_activations(const lspo_op_t *op)
{
    return lspo_op_kind_swaps_activations((lspo_op_kind_t)op->kind, (lspo_op_variant_t)op->variant);
}

/* Is it the second part of a speculative update? */
static inline bool lspo_op_settles(const lspo_op_t *op)
{
    return op->kind == LSPO_OP_UPD && (op->variant == LSPO_VARIANT_SETTLE || op->variant == LSPO_VARIANT_REDO);
}

/* Does the op's priority depend on its layer's rank?  The GPU waits for activations as for nothing else, and what a
 * norm settles is most often done at once. */
static inline bool lspo_op_is_ranked(const lspo_op_t *op)
{
    return lspo_op_kind_lane((lspo_op_kind_t)op->kind) != LSPO_LANE_GPU && !lspo_op_swaps_activations(op) &&
           !lspo_op_settles(op);
}

/* "FWD", "D2H", ...  The parser returns LSPO_OP_KIND_COUNT when unknown. */
const char *lspo_op_kind_name(lspo_op_kind_t kind);
lspo_op_kind_t lspo_op_kind_parse(const char *text);

#endif
