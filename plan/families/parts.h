/* parts.h - what families have in common: the head of a language model, the rows of an embedding, norms, residuals. */
#ifndef LSPO_PLAN_FAMILIES_PARTS_H
#define LSPO_PLAN_FAMILIES_PARTS_H

#include "plan/family.h"
#include "plan/stage_work.h"

/* The token table and, if positions are learned, theirs. */
void lspo_parts_embed(const lspo_model_t *model, lspo_stage_t *stage);
void lspo_parts_embed_forward(const lspo_stage_shape_t *shape, lspo_work_t *work);
void lspo_parts_embed_backward(const lspo_stage_shape_t *shape, lspo_work_t *work);

/* Zero the token table's gradient where no head has written it, then read dx, read and write the rows of `count`
 * tables. */
void lspo_parts_tables_backward(const lspo_stage_shape_t *shape, uint64_t count, lspo_work_t *work);

/* The final norm, the product with the output projection or the token embedding, and the loss. */
void lspo_parts_head(const lspo_model_t *model, lspo_stage_t *stage);
void lspo_parts_head_forward(const lspo_stage_shape_t *shape, lspo_work_t *work);
void lspo_parts_head_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work);

/* The norms of a block, those of Q and K last. */
void lspo_parts_block_norms(const lspo_model_t *model, lspo_stage_t *stage);
void lspo_parts_norms_forward(const lspo_stage_shape_t *shape, lspo_work_t *work);
/* The backward pass of norms before attention and MLP adds the residuals, that of norms after them does not. */
void lspo_parts_norms_backward(const lspo_stage_shape_t *shape, lspo_work_t *work);

/* A product that follows starts from its residual: read and write.  A norm between them needs another read. */
void lspo_parts_residuals_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work);

/* Rotary positions of Q and K, in place, forward or backward; nothing for other positions. */
void lspo_parts_rotate(const lspo_stage_shape_t *shape, lspo_work_t *work);

/* A block with one product for Q, K and V, biases, and an MLP of two products: GPT's and BERT's. */
void lspo_parts_biased_block(const lspo_model_t *model, lspo_stage_t *stage);
void lspo_parts_biased_block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work);

#endif
