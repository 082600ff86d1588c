/* largest.h - a part of methods: messages of which only the largest numbers are sent (plan/largest.h).
 *     COMPRESS   the numbers with the largest magnitudes, on ties the first ones: their indices, ascending, 32 bits
 *                each, and then the numbers.  Of a gradient with --link-feedback, of x + e, where e is what was not
 *                sent of the one before: e <- x + e without what is sent
 *     SEND       carries them
 *     APPLY      the receiver's, puts them at their places; all others are 0 */
#ifndef LSPO_REAL_METHODS_LARGEST_H
#define LSPO_REAL_METHODS_LARGEST_H

#include "real/session/state.h"

/* Of one peer. */
typedef struct {
    void **outgoing,
        **incoming;   /* owned; device: [flight][of gradients], from COMPRESS to SEND and from SEND to APPLY */
    float *scratch;   /* device: 2 n */
    uint32_t *places; /* device: n   */
    void *residual;   /* device: e; NULL: none */
} lspo_largest_state_t;

/* Take what the plan's ops of this peer need: nothing, if it sends and receives all numbers. */
lspo_status_t lspo_largest_create(lspo_session_t *session, lspo_largest_state_t *state);
void lspo_largest_clear(lspo_session_t *session, const lspo_largest_state_t *state);
/* Give back messages that have not arrived; and all. */
void lspo_largest_drop(lspo_session_t *session, const lspo_largest_state_t *state);
void lspo_largest_release(lspo_session_t *session, lspo_largest_state_t *state);
void lspo_largest_visit(const lspo_session_t *session, const lspo_largest_state_t *state, lspo_state_walk_t *walk);

/* Is the SEND one of chosen numbers? */
bool lspo_largest_is_sent(const lspo_session_t *session, const lspo_op_t *op);

lspo_status_t lspo_largest_choose(lspo_session_t *session, lspo_largest_state_t *state, const lspo_op_t *op);
lspo_status_t lspo_largest_pack(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op,
                                lspo_session_message_t *message);
lspo_status_t lspo_largest_end_send(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op);
lspo_status_t lspo_largest_unpack(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op,
                                  const lspo_session_message_t *message);
lspo_status_t lspo_largest_spread(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op);

#endif
