/* method.h - a training method: a table of functions that a session calls.
 *
 * The session (real/session/) knows stages, gradients and messages: it runs forward and backward, sums norms, moves
 * messages over the link and swaps weights.  A method (one file in real/methods/) owns all other state of a training:
 * optimizer state, projectors, adapters, windows.  It has private memory for it, one block of state_bytes in
 * session->own and one block of stage_bytes per stage in stage->own.
 *
 * Any function may be NULL if the method has nothing to do there.  The functions may use everything in
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

/* The purposes of host memory, in the order of the error message. */
typedef enum {
    LSPO_HOST_MASTERS,
    LSPO_HOST_OPTIMIZERS,
    LSPO_HOST_LANDING,
    LSPO_HOST_OUTGOING,
    LSPO_HOST_PARAMETERS,
    LSPO_HOST_PROJECTORS,
    LSPO_HOST_WINDOWS,
    LSPO_HOST_ACTIVATIONS,
    LSPO_HOST_OTHERS,
    LSPO_HOST_PURPOSES
} lspo_host_purpose_t;

/* Bytes by purpose; see lspo_session_take_host(). */
typedef struct {
    uint64_t bytes[LSPO_HOST_PURPOSES];
} lspo_host_count_t;

/* Where a block's BWD writes the gradients of its stage. */
typedef struct {
    void *gradient;            /* the stage's buffer of gradient_count numbers; NULL: this BWD forms none       */
    lspo_gradient_sink_t sink; /* initially that of a dense gradient                                             */
    bool more_follows;         /* COMPRESS or PROJECT reads the activations next and completes the gradient       */
} lspo_session_backward_t;

/* A walk over the arrays of a checkpoint; see lspo_walk_host(). */
typedef struct lspo_state_walk lspo_state_walk_t;

typedef lspo_status_t (*lspo_method_op_t)(lspo_session_t *session, const lspo_op_t *op);

struct lspo_method {
    const char *name; /* as in the policy */
    size_t state_bytes, stage_bytes;
    uint32_t
        landing_slots;    /* gradients of a stage that are on the host at once; 0: one more than the plan's staleness */
    bool norm_comes_late; /* gradients are used before their norm is known, so the loss scale cannot depend on it */

    /* ---- memory ---- */

    /* Before any memory is taken: set the counts of session and stages that differ from a dense gradient. */
    void (*describe)(lspo_session_t *session);
    /* Take the host memory of one stage, only with lspo_session_take_host(); called once to count and once to
     * allocate. */
    lspo_status_t (*take_host)(lspo_session_t *session, uint32_t stage, lspo_host_count_t *count);
    /* Take the device memory of one stage; called in the order of the stages. */
    lspo_status_t (*take_device)(lspo_session_t *session, uint32_t stage);
    /* After all stages: create what they share. */
    lspo_status_t (*create)(lspo_session_t *session);
    /* Return to the state after create; the initial weights of the stages follow through weights_stored. */
    lspo_status_t (*reset)(lspo_session_t *session);
    /* Give back memory that ops have taken and later ops would have given back. */
    void (*drop)(lspo_session_t *session);
    /* Give back all memory, also after a create that failed halfway. */
    void (*release)(lspo_session_t *session);

    /* ---- ops: the handler of each kind; NULL: the session's own, lspo_session_run_op() ---- */

    lspo_method_op_t ops[LSPO_OP_KIND_COUNT];
    /* Returns true if the op has nothing to do. */
    bool (*skips)(const lspo_session_t *session, const lspo_op_t *op);
    /* The batch of the embedding's FWD in a pass of variant CALIBRATE. */
    lspo_status_t (*load_batch)(lspo_session_t *session, const lspo_op_t *op);
    /* Before a block's BWD. */
    lspo_status_t (*begin_backward)(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward);

    /* A block's forward in an evaluation, where it is more than lspo_transformer_block_forward(). */
    lspo_status_t (*evaluate_block)(lspo_session_t *session, uint32_t stage, const lspo_block_parameters_t *block,
                                    const void *x_in, void *saved, void *x_out);

    /* SEND, for methods of plans with several peers: lspo_session_begin_send() and so on; begin_send may be NULL. */
    lspo_method_op_t begin_send, end_send;
    lspo_status_t (*pack)(lspo_session_t *session, const lspo_op_t *op, uint32_t to, lspo_session_message_t *message);
    lspo_status_t (*unpack)(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                            const lspo_session_message_t *message);

    /* Turn the gradient of the op's stage, which is complete, into Adam's basis (plan/adam_basis.h). */
    void (*turn)(lspo_session_t *session, const lspo_op_t *op);

    /* ---- weights ---- */

    /* The stage's weights were set from `weights` (element_count floats): update masters. */
    lspo_status_t (*weights_stored)(lspo_session_t *session, uint32_t stage, const float *weights);
    /* Add what the method keeps beside the weights (adapters) to the stage's weights in `out`. */
    lspo_status_t (*merge)(lspo_session_t *session, uint32_t stage, float *out);

    /* ---- checkpoints: visit all arrays, in an order that depends only on the plan ---- */

    void (*visit_stage)(const lspo_session_t *session, uint32_t stage, const char *name, lspo_state_walk_t *walk);
    void (*visit)(const lspo_session_t *session, lspo_state_walk_t *walk);
    /* The arrays have been written: check them and update everything that depends on them. */
    lspo_status_t (*written)(lspo_session_t *session);

    /* Call `add` for each entry of a trace's header about what this training measured of itself. */
    lspo_status_t (*report)(const lspo_session_t *session, lspo_device_entry_t add, void *context);
};

#endif
