/* host_adam.h - a building block of methods: Adam on the CPU for one stage's message.
 *
 * With a master: master <- master - eta adam(g), and the master is sent (or a copy of it, if the link has another
 * format or the next update may overtake the transfer); or, if the stage's weights are on the host, they follow it.
 * The master is in fp32, or in the format of the device's weights where --optimizer-state keeps none in fp32: then it
 * is updated in fp32 and rounded randomly.  Without a master Adam's direction is sent. */
#ifndef LSPO_REAL_METHODS_HOST_ADAM_H
#define LSPO_REAL_METHODS_HOST_ADAM_H

#include "real/methods/moments.h"

typedef struct {
    lspo_moments_t moments;               /* host                                    */
    size_t count;                         /* elements of the message                 */
    void *master;                         /* host, as long as the message; NULL: none */
    lspo_number_t number;                 /* of the master                           */
    void *second_moments, *second_master; /* host: where a speculative update writes; NULL: there is none */
} lspo_host_adam_t;

/* Set the counts for a stage's whole message. */
void lspo_host_adam_describe(const lspo_session_t *session, const lspo_session_stage_t *stage,
                             lspo_host_adam_t *host_out);
/* Take host memory: moments (followed by `extra` floats), the master; with `keeps_master` the master, and outgoing
 * buffers.  give_back releases it. */
lspo_status_t lspo_host_adam_take_moments(lspo_session_t *session, lspo_host_adam_t *host, size_t extra,
                                          lspo_host_count_t *count);
lspo_status_t lspo_host_adam_take_master(lspo_session_t *session, lspo_host_adam_t *host, lspo_host_count_t *count);
lspo_status_t lspo_host_adam_take_outgoing(lspo_session_t *session, uint32_t stage, lspo_host_adam_t *host,
                                           bool keeps_master, lspo_host_count_t *count);
void lspo_host_adam_give_back(lspo_session_t *session, lspo_host_adam_t *host);
/* m = v = 0. */
void lspo_host_adam_clear(const lspo_host_adam_t *host);
/* UPD of the received gradient, or of the op's part of it, shared among the workers; returns the number of its
 * elements.  A skipped step changes nothing. */
size_t lspo_host_adam_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host);
/* A second place for m, v and master, all in fp32 (plan/policies/zero_layerwise.c).  UPD into it, as if the step did
 * not clip and before its norm is known; and what follows the norm: the second place becomes the first, after an
 * update again if the step clips, or neither if it is skipped.  Both return the number of elements that they
 * updated. */
lspo_status_t lspo_host_adam_take_second(lspo_session_t *session, lspo_host_adam_t *host, lspo_host_count_t *count);
size_t lspo_host_adam_speculate(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host);
size_t lspo_host_adam_settle(lspo_session_t *session, const lspo_op_t *op, lspo_host_adam_t *host);
/* UPD of `count` elements of the message from `at` on. */
void lspo_host_adam_update_part(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host, size_t at,
                                size_t count);
/* The same of the first `count` elements along a direction, with a master: master <- keep master - eta direction. */
void lspo_host_adam_step_along(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                               const float *direction, size_t count);
/* Rate, step, decay and scale of the op's gradient. */
lspo_adam_t lspo_host_adam_of(const lspo_session_t *session, const lspo_op_t *op);
/* Visit the arrays NAME.master and NAME.moments (in 8 bits NAME.codes, NAME.scales). */
void lspo_host_adam_visit(const lspo_host_adam_t *host, const char *name, lspo_state_walk_t *walk);

#endif
