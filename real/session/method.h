/* method.h - what a training method adds to a session: a table of functions.
 *
 * The session (real/session/) knows stages, gradients and messages: it runs forward and backward, sums norms, moves
 * messages over the link and swaps weights.  A method (one file in real/methods/) owns everything else that a policy's
 * training holds: optimizer state, projectors, adapters, windows.  It keeps that in private memory, one block of
 * state_bytes for the session and one of stage_bytes for each stage, and reaches it through session->own and
 * stage->own.
 *
 * Every function may be NULL: then the method has nothing to do there.  The functions may use everything in
 * real/session/state.h. */
#ifndef LSPO_REAL_SESSION_METHOD_H
#define LSPO_REAL_SESSION_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/op.h"
#include "real/session/session.h"
#include "real/transformer/transformer.h"

/* What host memory is for, in the order of the message that says what did not fit. */
typedef enum {
    LSPO_HOST_MASTERS,
    LSPO_HOST_OPTIMIZERS,
    LSPO_HOST_LANDING,
    LSPO_HOST_OUTGOING,
    LSPO_HOST_PARAMETERS,
    LSPO_HOST_PROJECTORS,
    LSPO_HOST_WINDOWS,
    LSPO_HOST_OTHERS,
    LSPO_HOST_PURPOSES
} lspo_host_purpose_t;

/* Bytes by purpose; see lspo_session_take_host(). */
typedef struct {
    uint64_t bytes[LSPO_HOST_PURPOSES];
} lspo_host_count_t;

/* Where a block's BWD leaves the gradients of its stage. */
typedef struct {
    void *gradient;            /* the stage's buffer of gradient_count numbers; NULL: this BWD forms none       */
    lspo_gradient_sink_t sink; /* on entry that of a dense gradient                                               */
    bool more_follows;         /* COMPRESS or PROJECT reads the activations next and completes the gradient       */
} lspo_session_backward_t;

/* A walk over the arrays of a checkpoint; see lspo_walk_host(). */
typedef struct lspo_state_walk lspo_state_walk_t;

typedef lspo_status_t (*lspo_method_op_t)(lspo_session_t *session, const lspo_op_t *op);

struct lspo_method {
    const char *name; /* a policy names its method by it */
    size_t state_bytes, stage_bytes;
    uint32_t
        landing_slots;    /* gradients of a stage that are on the host at once; 0: one more than the plan's staleness */
    bool norm_comes_late; /* gradients are used before their norm is known: their loss scale cannot follow the norm */

    /* ---- memory ---- */

    /* Before any memory is taken: the counts of session and stages that are not those of a dense gradient. */
    void (*describe)(lspo_session_t *session);
    /* Host memory of one stage, by lspo_session_take_host() alone: it is called once to count and once to take. */
    lspo_status_t (*take_host)(lspo_session_t *session, uint32_t stage, lspo_host_count_t *count);
    /* Device memory of one stage, in the order of the stages. */
    lspo_status_t (*take_device)(lspo_session_t *session, uint32_t stage);
    /* After all stages: what they share. */
    lspo_status_t (*create)(lspo_session_t *session);
    /* As after create; the stages' first weights follow through weights_stored. */
    lspo_status_t (*reset)(lspo_session_t *session);
    /* Give back what ops have taken and later ops would have given back. */
    void (*drop)(lspo_session_t *session);
    /* Give back all memory, also after a create that failed halfway. */
    void (*release)(lspo_session_t *session);

    /* ---- ops: the handler of each kind; NULL: the session's own, lspo_session_run_op() ---- */

    lspo_method_op_t ops[LSPO_OP_KIND_COUNT];
    /* The method finds that the op has nothing to do. */
    bool (*skips)(const lspo_session_t *session, const lspo_op_t *op);
    /* The batch of the embedding's FWD in a pass of variant CALIBRATE. */
    lspo_status_t (*load_batch)(lspo_session_t *session, const lspo_op_t *op);
    /* Before a block's BWD. */
    lspo_status_t (*begin_backward)(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward);

    /* ---- weights ---- */

    /* The stage's weights were written from `weights` (element_count floats): masters follow. */
    lspo_status_t (*weights_stored)(lspo_session_t *session, uint32_t stage, const float *weights);
    /* Add to the stage's weights in `out` what the method keeps beside them. */
    lspo_status_t (*merge)(lspo_session_t *session, uint32_t stage, float *out);

    /* ---- checkpoints: all arrays, in an order that depends on the plan alone ---- */

    void (*visit_stage)(const lspo_session_t *session, uint32_t stage, const char *name, lspo_state_walk_t *walk);
    void (*visit)(const lspo_session_t *session, lspo_state_walk_t *walk);
    /* The arrays were written: check them and make what follows from them. */
    lspo_status_t (*written)(lspo_session_t *session);
};

#endif
