/* mapped.h - the caches of a plan of vtensor (plan/policies/vtensor.c): one of each text, of all micro-batches. */
#ifndef LSPO_REAL_GENERATE_MAPPED_H
#define LSPO_REAL_GENERATE_MAPPED_H

#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "real/device/device.h"
#include "real/transformer/generation.h"

typedef struct lspo_mapped lspo_mapped_t;

/* With --chunks start their memory, too, else only addresses; NULL for a plan of another policy.  The caller owns plan
 * and device, which must outlive them.  LSPO_ERR_FIT, LSPO_ERR_MEMORY as lspo_chunks_create(). */
lspo_status_t lspo_mapped_create(const lspo_plan_t *plan, lspo_device_t *device, lspo_mapped_t **mapped_out);
/* Both ignore NULL.  As if just made. */
void lspo_mapped_destroy(lspo_mapped_t *mapped);
void lspo_mapped_reset(lspo_mapped_t *mapped);

/* MAP: memory for the tokens that the texts of its micro-batch have in its iteration. */
lspo_status_t lspo_mapped_map(lspo_mapped_t *mapped, const lspo_op_t *op);

/* FWD: before that of a stage, and of a block. */
void lspo_mapped_begin(lspo_mapped_t *mapped, uint32_t iteration, lspo_transformer_t *t);
void lspo_mapped_block_forward(lspo_mapped_t *mapped, const lspo_op_t *op, lspo_transformer_t *t, const void *weights,
                               const float *x_in, float *x_out);

#endif
