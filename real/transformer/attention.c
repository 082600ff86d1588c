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

static void attend_to_cache(lspo_transformer_t *t, size_t q_stride, size_t kv_stride, char *s)
{
    const lspo_generation_pass_t *pass = &t->pass;
    const lspo_cached_attention_t attention = {.batch = t->batch,
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
    lspo_compute_cache_append(t->compute, &attention, lspo_floats(s, t->saved.k), lspo_floats(s, t->saved.v));
    lspo_compute_cached_attention(t->compute, &attention, lspo_floats(s, t->saved.q), lspo_floats(s, t->saved.context),
                                  pass->attention);
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
