/* attention.c - the shape of a transformer's attention for kernels/attention.h and kernels/cached_attention.h. */
#include "real/transformer/state.h"

lspo_attention_t lspo_transformer_attention(const lspo_transformer_t *t, bool causal, size_t q_stride, size_t kv_stride)
{
    return (lspo_attention_t){.batch = t->batch,
                              .sequence = t->sequence,
                              .heads = t->heads,
                              .kv_heads = t->kv_heads,
                              .head_width = t->head_width,
                              .q_stride = q_stride,
                              .kv_stride = kv_stride,
                              .causal = causal,
                              .lengths = causal ? NULL : t->lengths};
}

static void append_and_attend(lspo_transformer_t *t, const lspo_cached_attention_t *attention, size_t row, char *s)
{
    const float *q = lspo_floats(s, t->saved.q) + row * attention->q_stride;
    const float *k = lspo_floats(s, t->saved.k) + row * attention->kv_stride;
    const float *v = lspo_floats(s, t->saved.v) + row * attention->kv_stride;
    float *context = lspo_floats(s, t->saved.context) + row * t->attention_width;
    lspo_compute_cache_append(t->compute, attention, k, v);
    lspo_compute_cached_attention(t->compute, attention, q, context, t->pass.attention);
}

static void attend_to_cache(lspo_transformer_t *t, size_t q_stride, size_t kv_stride, char *s)
{
    const lspo_generation_pass_t *pass = &t->pass;
    lspo_cached_attention_t attention = {.batch = t->batch,
                                         .queries = t->sequence,
                                         .first = pass->first,
                                         .heads = t->heads,
                                         .kv_heads = t->kv_heads,
                                         .head_width = t->head_width,
                                         .q_stride = q_stride,
                                         .kv_stride = kv_stride,
                                         .number = pass->shape.cache,
                                         .k = pass->k,
                                         .v = pass->v,
                                         .token_stride = 2 * t->batch * t->kv_width,
                                         .sequence_stride = t->kv_width};
    if (pass->caches == NULL) {
        append_and_attend(t, &attention, 0, s);
        return;
    }
    attention.batch = 1;
    attention.token_stride = pass->caches->token_stride;
    attention.block_tokens = pass->caches->block_tokens;
    for (size_t b = 0; b < t->batch; b++) {
        attention.first = pass->firsts[b];
        attention.k = pass->caches->k[b];
        attention.v = pass->caches->v[b];
        attention.blocks = pass->caches->blocks != NULL ? pass->caches->blocks[b] : NULL;
        append_and_attend(t, &attention, b * t->sequence, s);
    }
}

/* What follows a position in the cache are its sequences, so that the roles of the two are exchanged. */
void lspo_transformer_put_back(lspo_transformer_t *t, const float *k, const float *v, size_t kv_stride)
{
    const lspo_generation_pass_t *pass = &t->pass;
    const size_t position = 2 * t->batch * t->kv_width, at = pass->first * position;
    const size_t bytes = lspo_number_bytes(pass->shape.cache);
    const lspo_cached_attention_t rows = {.batch = t->sequence,
                                          .queries = t->batch,
                                          .kv_heads = t->kv_heads,
                                          .head_width = t->head_width,
                                          .kv_stride = kv_stride,
                                          .number = pass->shape.cache,
                                          .k = pass->k + at * bytes,
                                          .v = pass->v + at * bytes,
                                          .token_stride = t->kv_width,
                                          .sequence_stride = position};
    lspo_compute_cache_append(t->compute, &rows, k, v);
}

void lspo_transformer_attend(lspo_transformer_t *t, size_t q_stride, size_t kv_stride, char *s)
{
    const lspo_attention_t attention = lspo_transformer_attention(t, true, q_stride, kv_stride);
    const lspo_attention_operands_t qkv = lspo_attention_operands(t, s);
    if (lspo_transformer_generates(t))
        attend_to_cache(t, q_stride, kv_stride, s);
    else
        lspo_compute_attention_forward(t->compute, &attention, &qkv, lspo_floats(s, t->saved.kept),
                                       s + t->saved.context, lspo_floats(t->workspace, t->at.attention));
}
