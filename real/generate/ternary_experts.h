/* ternary_experts.h - the experts of a model, ternary and packed (kernels/ternary.h), in memory of a device.
 *
 * Each matrix takes exactly the bytes of its codes and rows, which depend on its weights. */
#ifndef LSPO_REAL_GENERATE_TERNARY_EXPERTS_H
#define LSPO_REAL_GENERATE_TERNARY_EXPERTS_H

#include <stdint.h>

#include "base/status.h"
#include "kernels/ternary.h"
#include "plan/model.h"
#include "real/device/device.h"

typedef struct lspo_ternary_experts lspo_ternary_experts_t;

/* Without any weights yet.  model: with experts; it and the device, the host, must outlive the object. */
lspo_status_t lspo_ternary_experts_create(const lspo_model_t *model, lspo_device_t *device,
                                          lspo_ternary_experts_t **experts_out);
void lspo_ternary_experts_destroy(lspo_ternary_experts_t *experts);

/* A matrix of an expert: `tensor` of the block, from its expert_first on. */
typedef struct {
    uint32_t stage, tensor, expert;
} lspo_expert_matrix_t;

/* Pack w, which is ternary; once for each matrix.  scratch: so many bytes, 8-byte aligned.  LSPO_ERR_FIT if the device
 * has not so much memory. */
size_t lspo_ternary_experts_scratch(const lspo_model_t *model);
lspo_status_t lspo_ternary_experts_store(lspo_ternary_experts_t *experts, const lspo_expert_matrix_t *of,
                                         const float *w, void *scratch);

/* Of a block: its matrices, one expert's behind the other's. */
const lspo_ternary_t *lspo_ternary_experts_of(const lspo_ternary_experts_t *experts, uint32_t stage);

/* Of all that is stored: weights, how many are not zero, bytes of their codes and rows. */
typedef struct {
    uint64_t weights, nonzeros, bytes;
} lspo_ternary_total_t;
lspo_ternary_total_t lspo_ternary_experts_total(const lspo_ternary_experts_t *experts);

#endif
