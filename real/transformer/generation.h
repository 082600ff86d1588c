/* generation.h - a transformer that computes only new tokens: the keys and values of those before them are in a cache.
 *
 * The object is an lspo_transformer_t with the same mathematics, made for other sizes: `tokens` new tokens per sequence
 * at most, at positions up to `positions`.  A pass over the model is
 *
 *     lspo_generation_begin()                        how many tokens the caches have, and how many are new
 *     lspo_transformer_embed_forward()
 *     lspo_generation_block_forward()                for each block, with its cache
 *     lspo_transformer_logits()                      for the rows that are wanted
 *
 * The result for a token does not depend on how the tokens before it were divided into passes, except for rounding.
 *
 * Activations are fp32.  Weights are in `weights`, the whole array of a stage, and the cache is in `cache`: fp32, bf16
 * or fp16.  With `int4` a block's array begins with its linear tensors in 4 bits (kernels/int4.h), and what is behind
 * them is in `weights`.  A cache of a block has for each position K of each sequence, then V of each: 2 x batch x kv
 * width numbers, so that those of some tokens are one piece of memory.
 *
 * In a block with experts a router chooses those of each token with the largest gates g = h W_router, h the MLP's
 * input:
 *     y = x + sum over the chosen e of p_e MLP_e(h)        p: softmax of the chosen g, or of all (plan/model.h)
 * They are in the block's array, or packed and elsewhere (`experts_apart`); then a block computes in two parts.
 */
#ifndef LSPO_REAL_TRANSFORMER_GENERATION_H
#define LSPO_REAL_TRANSFORMER_GENERATION_H

#include "real/transformer/transformer.h"

typedef struct {
    uint32_t batch;     /* sequences of equal length                           */
    uint32_t tokens;    /* new tokens per sequence in a pass, at most          */
    uint32_t positions; /* tokens per sequence for which the caches have room  */
    lspo_number_t weights, cache;
    lspo_int4_form_t int4; /* of the linear weights of blocks */
    bool experts_apart;    /* a block's array lacks its experts (lspo_stage_without_experts()) */
    bool paged;            /* caches have blocks */
} lspo_generation_shape_t;

/* Bytes of a block's cache. */
size_t lspo_generation_cache_bytes(const lspo_model_t *model, const lspo_generation_shape_t *shape);

/* Of the weights of a stage; and where its linear tensor `tensor` is, or what is behind these if that is their
 * number. */
size_t lspo_generation_weight_bytes(const lspo_model_t *model, uint32_t stage, lspo_number_t weights,
                                    const lspo_int4_form_t *int4);
size_t lspo_generation_weight_offset(const lspo_stage_t *stage, lspo_number_t weights, const lspo_int4_form_t *int4,
                                     uint32_t tensor);

/* As lspo_transformer_workspace_bytes(): what a pass computes with, beside weights, caches and its input and output.
 * `workers`: of the compute object. */
size_t lspo_generation_workspace_bytes(const lspo_model_t *model, const lspo_generation_shape_t *shape,
                                       uint32_t workers);

/* The most tokens of a text: the model's positions, or the window of its attention if that is smaller, because windows
 * are not computed. */
uint32_t lspo_generation_positions(const lspo_model_t *model);

/* LSPO_ERR_INPUT for a model that does not continue texts or is only predicted, for more positions
 * than these, and for sizes of 2^31 or more. */
lspo_status_t lspo_generation_check(const lspo_model_t *model, const lspo_generation_shape_t *shape);

/* compute: of lspo_compute_create_generation().  Checks the shape first.  lspo_transformer_destroy() releases it. */
lspo_status_t lspo_generation_create(const lspo_model_t *model, const lspo_generation_shape_t *shape,
                                     lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out);

/* The next pass reads `count` tokens per sequence (1..tokens) behind `first` that the caches have. */
void lspo_generation_begin(lspo_transformer_t *t, size_t first, size_t count);

/* From now on called with the input of every linear tensor of a block, tokens x its rows, before it is used; NULL: no
 * more.  expert: whose matrix it is, with the tokens that have chosen it; 0 of other tensors. */
typedef void (*lspo_generation_observer_t)(void *context, uint32_t tensor, uint32_t expert, size_t tokens,
                                           const float *x);
void lspo_generation_observe(lspo_transformer_t *t, lspo_generation_observer_t observer, void *context);

/* x_in, x_out: (batch x count) x w floats, not the same.  Adds the new tokens to the cache. */
void lspo_generation_block_forward(lspo_transformer_t *t, const void *weights, void *cache, const float *x_in,
                                   float *x_out);

/* The same in two parts, with experts apart.  begin: up to the router; what the tokens have chosen, until the next
 * pass.  experts: of each expert its matrices, as lspo_qmoe_matrices() has them; of those that no token has chosen
 * nothing is read. */
typedef struct {
    size_t count;            /* tokens x k */
    const uint32_t *experts; /* of a token behind those of the one before */
} lspo_chosen_t;
lspo_chosen_t lspo_generation_block_begin(lspo_transformer_t *t, const void *weights, void *cache, const float *x_in);
void lspo_generation_block_experts(lspo_transformer_t *t, const void *weights, const lspo_ternary_t *experts,
                                   float *x_out);
/* The same for sequences of different lengths, each with a cache of its own: `texts` of them, up to the batch of the
 * shape, of which sequence b has firsts[b] tokens in its cache.  K and V of its token i are kv width numbers each, at
 * k[b] and v[b] + i x token_stride numbers.  `firsts` must live until the end of the pass. */
typedef struct {
    void *const *k, *const *v;
    size_t token_stride;
    const uint32_t *const *blocks; /* NULL, or of each sequence: see kernels/cached_attention.h */
    size_t block_tokens;
} lspo_generation_caches_t;
void lspo_generation_begin_each(lspo_transformer_t *t, size_t texts, const size_t *firsts, size_t count);
void lspo_generation_block_forward_each(lspo_transformer_t *t, const void *weights,
                                        const lspo_generation_caches_t *caches, const float *x_in, float *x_out);

/* A block's inputs in the format of the cache, of each position those of each sequence: batch x w numbers per position.
 * keep: of the first `kept` of the new tokens, from x_in of the block's forward pass.  rebuild: K and V of positions 0
 * .. tokens from the inputs of these, as if the cache had never been without them: the same as in the forward pass but
 * for the rounding of inputs to 16 bits, and of products with other numbers of rows.  scratch: as x_in of the most
 * tokens. */
void lspo_generation_keep_inputs(lspo_transformer_t *t, const float *x_in, size_t kept, void *inputs_out);
void lspo_generation_block_rebuild(lspo_transformer_t *t, const void *weights, const void *inputs, size_t tokens,
                                   float *scratch, void *cache);

#endif
