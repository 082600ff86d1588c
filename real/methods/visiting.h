/* visiting.h - a building block of methods: Adam's state of a stage, on the host, of which one part at a time (of the
 * op's number, plan/chunks.h) visits the device for an update.
 *     SWAP_IN    m, v and an fp32 master of 16-bit weights, from the host's arrays of the whole stage
 *     UPD_GPU    w <- w - eta adam(g)
 *     SWAP_OUT   m, v and the master, or else the weights, into the same arrays
 * So between two steps all state is on the host, and is the same whoever has updated it. */
#ifndef LSPO_REAL_METHODS_VISITING_H
#define LSPO_REAL_METHODS_VISITING_H

#include "real/methods/host_adam.h"

lspo_status_t lspo_visiting_in(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host);
lspo_status_t lspo_visiting_out(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host);
/* `gradient`: of the part, on the device.  A skipped step changes nothing. */
void lspo_visiting_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                          const void *gradient);
/* The stage's weights were set from `weights`: the master follows. */
void lspo_visiting_store(const lspo_session_t *session, uint32_t stage, const lspo_host_adam_t *host,
                         const float *weights);

#endif
