/* compute_layers.c - the kernels of layers, on the host or on the GPU. */
#include <assert.h>

#include "real/device/compute_state.h"

void lspo_compute_embedding_forward(lspo_compute_t *c, const lspo_embedding_t *embedding, const void *token,
                                    const void *position, void *x_out)
{
    LSPO_ON(c, lspo_embedding_forward(embedding, token, position, x_out),
            lspo_embedding_forward_cuda(&c->on, embedding, token, position, x_out));
}

void lspo_compute_embedding_backward(lspo_compute_t *c, const lspo_embedding_t *embedding, const void *dx,
                                     void *token_gradient, void *position_gradient)
{
    LSPO_ON(c, lspo_embedding_backward(embedding, dx, token_gradient, position_gradient),
            lspo_embedding_backward_cuda(&c->on, embedding, dx, token_gradient, position_gradient));
}

void lspo_compute_norm_forward(lspo_compute_t *c, const lspo_norm_t *norm, const void *x, void *out, float *mean_out,
                               float *rstd_out)
{
    LSPO_ON(c, lspo_norm_forward(norm, x, out, mean_out, rstd_out),
            lspo_norm_forward_cuda(&c->on, norm, x, out, mean_out, rstd_out));
}

void lspo_compute_norm_backward(lspo_compute_t *c, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                const lspo_norm_gradients_t *gradients)
{
    LSPO_ON(c, lspo_norm_backward(norm, operands, gradients),
            lspo_norm_backward_cuda(&c->on, norm, operands, gradients));
}

void lspo_compute_rms_norm_forward(lspo_compute_t *c, const lspo_norm_t *norm, const void *x, void *out,
                                   float *rstd_out)
{
    LSPO_ON(c, lspo_rms_norm_forward(norm, x, out, rstd_out),
            lspo_rms_norm_forward_cuda(&c->on, norm, x, out, rstd_out));
}

void lspo_compute_rms_norm_backward(lspo_compute_t *c, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                    const lspo_norm_gradients_t *gradients)
{
    LSPO_ON(c, lspo_rms_norm_backward(norm, operands, gradients),
            lspo_rms_norm_backward_cuda(&c->on, norm, operands, gradients));
}

void lspo_compute_gelu_forward(lspo_compute_t *c, lspo_gelu_form_t form, size_t n, const void *x, void *out)
{
    LSPO_ON(c, lspo_gelu_forward(form, n, x, out), lspo_gelu_forward_cuda(&c->on, form, n, x, out));
}

void lspo_compute_gelu_backward(lspo_compute_t *c, lspo_gelu_form_t form, size_t rows, size_t cols, const void *x,
                                const lspo_gelu_gradients_t *gradients)
{
    LSPO_ON(c, lspo_gelu_backward(form, rows, cols, x, gradients),
            lspo_gelu_backward_cuda(&c->on, form, rows, cols, x, gradients));
}

void lspo_compute_swiglu_forward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *out)
{
    LSPO_ON(c, lspo_swiglu_forward(n, gate, up, out), lspo_swiglu_forward_cuda(&c->on, n, gate, up, out));
}

void lspo_compute_swiglu_backward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *d, void *d_gate)
{
    LSPO_ON(c, lspo_swiglu_backward(n, gate, up, d, d_gate), lspo_swiglu_backward_cuda(&c->on, n, gate, up, d, d_gate));
}

void lspo_compute_rotary_forward(lspo_compute_t *c, const lspo_rotary_t *rotary, void *x)
{
    LSPO_ON(c, lspo_rotary_forward(rotary, x), lspo_rotary_forward_cuda(&c->on, rotary, x));
}

void lspo_compute_rotary_backward(lspo_compute_t *c, const lspo_rotary_t *rotary, void *dx)
{
    LSPO_ON(c, lspo_rotary_backward(rotary, dx), lspo_rotary_backward_cuda(&c->on, rotary, dx));
}

void lspo_compute_attention_forward(lspo_compute_t *c, const lspo_attention_t *a,
                                    const lspo_attention_operands_t *operands, float *kept, void *out, float *scratch)
{
    LSPO_ON(c, lspo_attention_forward(a, operands, kept, out, scratch),
            lspo_attention_forward_cuda(&c->on, a, operands, kept, out));
}

void lspo_compute_attention_backward(lspo_compute_t *c, const lspo_attention_t *a,
                                     const lspo_attention_operands_t *operands,
                                     const lspo_attention_gradients_t *gradients, float *scratch)
{
    LSPO_ON(c, lspo_attention_backward(a, operands, gradients, scratch),
            lspo_attention_backward_cuda(&c->on, a, operands, gradients, c->scratch));
}

/* ---- loss.h ---- */

void lspo_compute_cross_entropy_forward(lspo_compute_t *c, const lspo_cross_entropy_t *loss, void *logits,
                                        double *loss_sum_out)
{
    LSPO_ON(c, *loss_sum_out = lspo_cross_entropy_forward(loss, logits),
            lspo_cross_entropy_forward_cuda(&c->on, loss, logits, c->scratch, loss_sum_out));
}

void lspo_compute_cross_entropy_backward(lspo_compute_t *c, const lspo_cross_entropy_t *loss, const void *probabilities,
                                         float scale, void *dlogits)
{
    LSPO_ON(c, lspo_cross_entropy_backward(loss, probabilities, scale, dlogits),
            lspo_cross_entropy_backward_cuda(&c->on, loss, probabilities, scale, dlogits));
}

/* ---- gemm.h ---- */

void lspo_compute_gemm_nn(lspo_compute_t *c, const lspo_gemm_t *p)
{
    LSPO_ON(c,
            lspo_gemm_nn(p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c, p->c_stride),
            lspo_gemm_nn_cuda(&c->on, p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c,
                              p->c_stride));
}

void lspo_compute_gemm_nt(lspo_compute_t *c, const lspo_gemm_t *p)
{
    LSPO_ON(c,
            lspo_gemm_nt(p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c, p->c_stride),
            lspo_gemm_nt_cuda(&c->on, p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c,
                              p->c_stride));
}

void lspo_compute_gemm_tn(lspo_compute_t *c, const lspo_gemm_t *p)
{
    LSPO_ON(c,
            lspo_gemm_tn(p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c, p->c_stride),
            lspo_gemm_tn_cuda(&c->on, p->m, p->n, p->k, p->alpha, p->a, p->a_stride, p->b, p->b_stride, p->beta, p->c,
                              p->c_stride));
}

/* ---- linear.h ---- */

void lspo_compute_linear_forward(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, const void *residual,
                                 void *out)
{
    if (c->generates) {
        lspo_compute_few_rows_linear(c, layer, x, residual, out);
        return;
    }
    LSPO_ON(c, lspo_linear_forward(layer, x, residual, out), lspo_linear_forward_cuda(&c->on, layer, x, residual, out));
}

void lspo_compute_linear_gelu_forward(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, void *pre_out,
                                      void *out)
{
    if (c->generates) {
        lspo_compute_few_rows_linear_gelu(c, layer, x, pre_out, out);
        return;
    }
    LSPO_ON(c, lspo_linear_gelu_forward(layer, x, pre_out, out),
            lspo_linear_gelu_forward_cuda(&c->on, layer, x, pre_out, out));
}

void lspo_compute_linear_gelu_backward(lspo_compute_t *c, const lspo_linear_t *layer, const void *dy, const void *pre,
                                       const lspo_gelu_gradients_t *gradients)
{
    LSPO_ON(c, lspo_linear_gelu_backward(layer, dy, pre, gradients),
            lspo_linear_gelu_backward_cuda(&c->on, layer, dy, pre, gradients));
}

/* ---- turn.h ---- */

void lspo_compute_turn_in(lspo_compute_t *c, const lspo_turn_t *turn, void *g, void *y)
{
    LSPO_ON(c, lspo_turn_in(turn, g, y), lspo_turn_in_cuda(&c->on, turn, g, y));
}

void lspo_compute_turn_back(lspo_compute_t *c, const lspo_turn_t *turn, void *d, void *y)
{
    LSPO_ON(c, lspo_turn_back(turn, d, y), lspo_turn_back_cuda(&c->on, turn, d, y));
}

/* ---- adapter.h, lowrank.h ---- */

void lspo_compute_adapter_forward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, void *y,
                                  void *scratch)
{
    LSPO_ON(c, lspo_adapter_forward(adapter, x, y, scratch), lspo_adapter_forward_cuda(&c->on, adapter, x, y, scratch));
}

void lspo_compute_adapter_backward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, const void *dy,
                                   const lspo_adapter_gradients_t *gradients, void *scratch)
{
    LSPO_ON(c, lspo_adapter_backward(adapter, x, dy, gradients, scratch),
            lspo_adapter_backward_cuda(&c->on, adapter, x, dy, gradients, scratch));
}

void lspo_compute_lowrank_compress(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *g, float beta,
                                   void *r_out)
{
    LSPO_ON(c, lspo_lowrank_compress(lowrank, g, beta, r_out),
            lspo_lowrank_compress_cuda(&c->on, lowrank, g, beta, r_out));
}

void lspo_compute_lowrank_apply(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *direction, float rate,
                                void *w)
{
    LSPO_ON(c, lspo_lowrank_apply(lowrank, direction, rate, w),
            lspo_lowrank_apply_cuda(&c->on, lowrank, direction, rate, w));
}

/* ---- pruned.h ---- */

void lspo_compute_bitmap_expand(lspo_compute_t *c, const lspo_bitmap_t *from, uint32_t *scratch, void *out)
{
    LSPO_ON(c, lspo_bitmap_expand(from, out), lspo_bitmap_expand_cuda(&c->on, from, scratch, out));
}

void lspo_compute_csr_expand(lspo_compute_t *c, const lspo_csr_t *from, void *out)
{
    assert(lspo_compute_is_host(c));
    lspo_csr_expand(from, out);
}

/* ---- nf4.h ---- */

void lspo_compute_nf4_expand(lspo_compute_t *c, const lspo_nf4_t *from, void *out)
{
    LSPO_ON(c, lspo_nf4_expand(from, out), lspo_nf4_expand_cuda(&c->on, from, out));
}
