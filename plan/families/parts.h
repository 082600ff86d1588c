/* parts.h - what families have in common: the head of a language model, the rows of an embedding. */
#ifndef LSPO_PLAN_FAMILIES_PARTS_H
#define LSPO_PLAN_FAMILIES_PARTS_H

#include "plan/family.h"
#include "plan/stage_work.h"

/* The final norm, the product with the output projection or the token embedding, and the loss. */
void lspo_parts_head_forward(const lspo_stage_shape_t *shape, lspo_work_t *work);
void lspo_parts_head_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work);

/* Zero the token table's gradient where no head has written it, then read dx, read and write the rows of `tables`. */
void lspo_parts_embed_backward(const lspo_stage_shape_t *shape, uint64_t tables, lspo_work_t *work);

/* A block with one product for Q, K and V, biases, and an MLP of two products: GPT's and BERT's. */
void lspo_parts_biased_block(const lspo_model_t *model, lspo_stage_t *stage);
void lspo_parts_biased_block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work);

#endif
