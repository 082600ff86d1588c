/* reuse.h - the share of an op's operands that is in the GPU's cache, from the reuse distance.
 *
 * An op reads data that the GPU's last op of the same layer has touched: its weights, what the forward pass saved, a
 * gradient. (Adam reads moments, which only the layer's last Adam has touched.) The reuse distance d is the number of
 * bytes that the GPU has touched since then, including those of the op itself.  The share of the operands in cache is
 *     share(d) = log(cache_bytes / d) / log(cache_bytes / near_bytes)   within [0, 1]
 * that is, everything up to gpu.near_bytes, with which the cached rates were measured, and nothing from gpu.cache_bytes
 * on.
 *
 * Passes of generation take milliseconds, so that it counts how long ago a use was, too: others use the cache.  There
 * gpu.kept_bytes takes the place of cache_bytes, with which the share gpu.kept_share is still in cache, and
 * gpu.kept_all_bytes, where a profile has it, that of near_bytes:
 *     share(d) = 1 - (1 - kept_share) log(d / kept_all_bytes) / log(kept_bytes / kept_all_bytes)   within [0, 1]
 * times exp(-(s / kept_s)^2) for a use that ended s seconds ago, if all ops run as early as they can.  What rebuilds a
 * cache is no use, because it reads only a part of a layer.
 *
 * An op touches the memory that it takes and gives back, the weights of its products (or their codes), and Adam's w, m
 * and v.  An op without a product touches half of its traffic, since each byte is read and written.  Ops are taken in
 * the order of their ids, and all ops with the same work get their mean share; the first op of a layer, which has no
 * earlier one, does not count. */
#ifndef LSPO_SIM_REUSE_H
#define LSPO_SIM_REUSE_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* Bytes that one GPU op of the plan touches, each counted once. */
uint64_t lspo_reuse_touched_bytes(const lspo_plan_t *plan, const lspo_op_t *op);

/* shares_out: one for each of the plan's works, for its ops on the GPU lane; all 0 on a machine without cache_bytes.
 * op_ns: the duration of each op; NULL: no time passes.  LSPO_ERR_MEMORY. */
lspo_status_t lspo_reuse_shares(const lspo_machine_t *machine, const lspo_plan_t *plan, const uint64_t *op_ns,
                                double *shares_out);

#endif
