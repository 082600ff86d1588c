/* drawn.h - the random weights of a session of generation (real/generate/session.h), as its policy has them: pruned and
 * perhaps packed, in 4 bits, with experts packed apart, or as they are. */
#ifndef LSPO_REAL_GENERATE_DRAWN_H
#define LSPO_REAL_GENERATE_DRAWN_H

#include "plan/policies/endor.h"
#include "real/generate/expert_cache.h"
#include "real/transformer/generation.h"

typedef struct {
    const lspo_plan_t *plan;
    lspo_number_t number;
    lspo_int4_form_t int4;            /* of the linear weights of blocks */
    const lspo_endor_values_t *endor; /* NULL: weights are neither pruned nor packed */
    lspo_expert_cache_t *experts;     /* NULL: those of a block are in its array     */
} lspo_drawn_t;

/* Bytes of a stage where it is computed; and where it is stored, packed or as it is computed. */
size_t lspo_drawn_bytes(const lspo_drawn_t *drawn, uint32_t stage);
size_t lspo_drawn_stored_bytes(const lspo_drawn_t *drawn, uint32_t stage, bool packed);

/* Draw a stage from the workload's seed, packed or as it is computed; experts that are apart go to their cache. */
lspo_status_t lspo_drawn_store(const lspo_drawn_t *drawn, uint32_t stage, bool packed, void *out);

#endif
