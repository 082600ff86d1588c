/* reuse.h - what the GPU lane finds in its cache, by reuse distance.
 *
 * An op reads again what the GPU's last op of its layer left: its weights, what the forward pass saved, a gradient.
 * (An Adam reads moments, which only the layer's last Adam has touched.)  Between the two the GPU has touched so many
 * other bytes, and the op touches its own; their sum d is the distance, and of what the op reads
 *     share(d) = log(cache_bytes / d) / log(cache_bytes / near_bytes)   within [0, 1]
 * is in cache: all of it up to gpu.near_bytes, on which the cached rates were measured, and nothing from
 * gpu.cache_bytes on.
 *
 * An op touches what it takes and gives back of memory, the weights it multiplies by, and Adam's w, m and v; an op
 * without a product half of its traffic, each byte being read and written.  Ops are taken in the order of their ids,
 * and those of one work have the mean of their shares; the first op of a layer, which has no earlier one, does not
 * count. */
#ifndef LSPO_SIM_REUSE_H
#define LSPO_SIM_REUSE_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "base/status.h"

/* Bytes that one GPU op of the plan touches, each counted once. */
uint64_t lspo_reuse_touched_bytes(const lspo_plan_t *plan, const lspo_op_t *op);

/* shares_out: one for each of the plan's works, for its ops on the GPU lane; all 0 on a machine without cache_bytes.
 * LSPO_ERR_MEMORY. */
lspo_status_t lspo_reuse_shares(const lspo_machine_t *machine, const lspo_plan_t *plan, double *shares_out);

#endif
