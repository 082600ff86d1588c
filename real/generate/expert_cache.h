/* expert_cache.h - the packed experts of a plan of qmoe (plan/policies/qmoe.h), and which of them are on the device.
 *
 * With --cached-experts N each block has its first N on the device to begin with, and after each pass the N that were
 * used last.  All experts are on the host then; otherwise on the device only. */
#ifndef LSPO_REAL_GENERATE_EXPERT_CACHE_H
#define LSPO_REAL_GENERATE_EXPERT_CACHE_H

#include <stdbool.h>

#include "base/status.h"
#include "kernels/ternary.h"
#include "plan/plan.h"
#include "real/device/device.h"
#include "real/transformer/generation.h"

typedef struct lspo_expert_cache lspo_expert_cache_t;

/* The caller owns plan and device, which must outlive the cache.  *cache_out <- NULL if the plan's policy packs no
 * experts.  Takes no memory of the device yet. */
lspo_status_t lspo_expert_cache_create(const lspo_plan_t *plan, lspo_device_t *device, lspo_expert_cache_t **cache_out);
void lspo_expert_cache_destroy(lspo_expert_cache_t *cache);

/* Make the experts of a block ternary and pack them.  wide: the block's whole array in fp32, of which the experts'
 * matrices are changed.  LSPO_ERR_INPUT if they need more room than the plan has for them. */
lspo_status_t lspo_expert_cache_store(lspo_expert_cache_t *cache, uint32_t stage, float *wide);

/* Whether experts come in as they are needed. */
bool lspo_expert_cache_streams(const lspo_expert_cache_t *cache);

/* What a pass needs, in order: the device's list of what tokens have chosen; this list on the host; those experts of it
 * that are missing on the device.  Behind the pass those used longest ago are dropped until there are N again. */
void lspo_expert_cache_choose(lspo_expert_cache_t *cache, lspo_chosen_t chosen);
void lspo_expert_cache_read(lspo_expert_cache_t *cache);
lspo_status_t lspo_expert_cache_bring(lspo_expert_cache_t *cache, uint32_t stage);
void lspo_expert_cache_drop(lspo_expert_cache_t *cache, uint32_t stage);

/* The matrices of a block's experts, one expert's behind the other's; of those that are not on the device they are
 * empty. */
const lspo_ternary_t *lspo_expert_cache_of(const lspo_expert_cache_t *cache, uint32_t stage);

/* How many experts have been brought so far, of all blocks together. */
uint64_t lspo_expert_cache_loads(const lspo_expert_cache_t *cache);

#endif
