/* axonn.h - the messages between the GPUs of axonn's grid (plan/policies/axonn.c) beside those of pipeline.h:
 *     SEND norm         the sum of squares of this GPU's gradients, to all of its replica
 *     SEND share        of a group's gradients the part that the receiver sums
 *     SEND sum          the part that this replica sums: g_0 + g_1 + ..., in fp32, in the order of the replicas
 * Of n elements replica r of R sums those from floor(n r / R) to floor(n (r + 1) / R).  So a sum does not depend on
 * what came first. */
#ifndef LSPO_REAL_METHODS_AXONN_H
#define LSPO_REAL_METHODS_AXONN_H

#include <pthread.h>

#include "real/methods/pipeline.h"

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
/* Forget shares that have come. */
void lspo_axonn_drop_shares(lspo_session_t *session);

#endif
