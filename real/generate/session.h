/* session.h - run the ops of a plan of generation (plan/build_generate.h) on real memory.
 *
 * The executor decides when an op runs; the plan ensures that its inputs exist.  FWD computes a stage of a micro-batch,
 * SWAP_IN brings weights of a stage, a cache or inputs of a block, from which RECOMPUTE rebuilds keys and values, and
 * SWAP_OUT stores those of new tokens.  READ brings weights from a temporary file, which stands in for an SSD, and
 * APPLY expands packed ones.  MAP maps chunks into the addresses of caches.  Of experts that stream, FWD computes a
 * block up to its router, D2H and SWAP_IN bring those that are chosen and missing, and another FWD computes them.
 * Prompts and weights
 * are random, drawn from the workload's seed; the next token is always the most likely one, so that texts do not depend
 * on the policy.  Everything is taken and given back as the plan says.
 */
#ifndef LSPO_REAL_GENERATE_SESSION_H
#define LSPO_REAL_GENERATE_SESSION_H

#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "real/device/device.h"

typedef struct lspo_generation_session lspo_generation_session_t;

/* The caller owns plan and device, which must outlive the session.  LSPO_ERR_INPUT for a device other than the host,
 * and as lspo_generation_check(); LSPO_ERR_FIT if the device's memory is too small. */
lspo_status_t lspo_generation_session_create(const lspo_plan_t *plan, lspo_device_t *device,
                                             lspo_generation_session_t **session_out);
void lspo_generation_session_destroy(lspo_generation_session_t *session);

/* Back to the prompts. */
void lspo_generation_session_reset(lspo_generation_session_t *session);

/* One op, an lspo_op_function_t: the context is the session.  LSPO_ERR_NUMERIC if logits are no numbers. */
lspo_status_t lspo_generation_session_run_op(void *session, const lspo_op_t *op);

/* Experts that SWAP_IN has brought so far, of all blocks. */
uint64_t lspo_generation_session_expert_loads(const lspo_generation_session_t *session);

/* The new tokens of a micro-batch: batch x iterations. */
const uint32_t *lspo_generation_session_tokens(const lspo_generation_session_t *session, uint32_t micro);

#endif
