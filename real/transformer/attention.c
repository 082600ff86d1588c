/* attention.c - the shape of a transformer's attention for kernels/attention.h. */
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
