/* packed.h - a block's weights as endor stores them (plan/policies/endor.h): each matrix pruned and packed, one behind
 * the other, then the other tensors as they are.  Numbers are those of the workload's precision. */
#ifndef LSPO_REAL_GENERATE_PACKED_H
#define LSPO_REAL_GENERATE_PACKED_H

#include "base/status.h"
#include "plan/model.h"
#include "plan/policies/endor.h"
#include "real/device/compute.h"

typedef struct {
    const lspo_endor_values_t *values;
    const lspo_stage_t *stage;
    lspo_number_t number;
} lspo_packed_t;

/* Zero the share of each matrix that is least in magnitude (lspo_stage_pruned()); w: the whole array of the stage. */
lspo_status_t lspo_packed_prune(const lspo_stage_t *stage, double sparsity, float *w);
/* dense: the whole array, pruned, in the format; out: lspo_endor_stored_bytes(). */
void lspo_packed_store(const lspo_packed_t *packed, const void *dense, void *out);
/* The whole array again, bit for bit. */
void lspo_packed_expand(const lspo_packed_t *packed, lspo_compute_t *compute, const void *stored, void *dense_out);

#endif
