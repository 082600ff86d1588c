/* axonn.h - the messages between the GPUs of axonn's grid (plan/policies/axonn.c), each with a session of its own:
 *     SEND              activations of the last stage here; the receiver has them as its input
 *     SEND gradient     of the first stage's input; of layer 0 the last GPU's part of a tied embedding's gradient
 *     SEND parameters   of the embedding, to the last GPU's copy of it
 *     SEND norm         the sum of squares of this GPU's gradients
 *     SEND share        of a group's gradients the part that the receiver sums
 *     SEND sum          the part that this replica sums: g_0 + g_1 + ..., in fp32, in the order of the replicas
 * Of n elements replica r of R sums those from floor(n r / R) to floor(n (r + 1) / R).  So a sum does not depend on
 * what came first. */
#ifndef LSPO_REAL_METHODS_AXONN_H
#define LSPO_REAL_METHODS_AXONN_H

#include <pthread.h>

#include "real/session/state.h"

/* A share that has come and was not summed yet. */
typedef struct lspo_axonn_share {
    struct lspo_axonn_share *next;
    uint32_t stage, part, replica;
    float numbers[];
} lspo_axonn_share_t;

/* The method's state. */
typedef struct {
    pthread_mutex_t lock; /* messages come on any thread */
    lspo_axonn_share_t *shares;
} lspo_axonn_exchange_t;

lspo_status_t lspo_axonn_begin_send(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_axonn_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                              lspo_session_message_t *message);
lspo_status_t lspo_axonn_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                const lspo_session_message_t *message);
lspo_status_t lspo_axonn_end_send(lspo_session_t *session, const lspo_op_t *op);
/* Forget shares that have come. */
void lspo_axonn_drop_shares(lspo_session_t *session);

#endif
