/* stage_work.c - see stage_work.h. */
#include "plan/stage_work.h"

#include <assert.h>

#include "plan/family.h"

enum { ADAM_FLOP = 12 };

static lspo_stage_shape_t make_shape(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage)
{
    return (lspo_stage_shape_t){.model = model,
                                .traits = lspo_model_traits(model),
                                .tokens = lspo_workload_tokens(workload),
                                .p = lspo_precision_bytes(workload->precision),
                                .width = model->width,
                                .attention_width = lspo_model_attention_width(model),
                                .kv_width = lspo_model_kv_width(model),
                                .mlp_width = model->mlp_width,
                                .vocabulary = model->vocabulary,
                                .sequence = workload->sequence,
                                .batch = workload->batch,
                                .window = lspo_model_window(model, stage)};
}

void lspo_work_append(lspo_work_t *work, const lspo_kernel_t *kernel)
{
    assert(work->kernel_count < LSPO_WORK_KERNELS_MAX);
    work->kernels[work->kernel_count++] = *kernel;
}

void lspo_work_add(lspo_work_t *work, lspo_kernel_class_t kernel_class, uint32_t count, double flop, uint64_t bytes)
{
    lspo_work_append(work,
                     &(lspo_kernel_t){.kernel_class = kernel_class, .count = count, .flop = flop, .bytes = bytes});
}

void lspo_work_add_traffic(lspo_work_t *work, const lspo_stage_shape_t *shape, lspo_kernel_class_t kernel_class,
                           uint32_t count, uint64_t per_token)
{
    lspo_work_add(work, kernel_class, count, 0.0, shape->tokens * shape->p * per_token);
}

void lspo_work_append_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n, uint64_t k)
{
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_GEMM,
                                            .layout = layout,
                                            .count = 1,
                                            .m = m,
                                            .n = n,
                                            .k = k,
                                            .flop = 2.0 * (double)m * (double)n * (double)k,
                                            .bytes = p * (m * k + k * n + m * n),
                                            .far_bytes = p * (layout == LSPO_LAYOUT_TN ? m * k + m * n : k * n)});
}

void lspo_work_append_recent_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n,
                                  uint64_t k)
{
    lspo_work_append_gemm(work, p, layout, m, n, k);
    work->kernels[work->kernel_count - 1].far_bytes = 0;
}

/* The keys that all queries of a sequence see together: query i sees min(i + 1, window) of them. */
static double pairs_of(const lspo_stage_shape_t *shape)
{
    const double s = (double)shape->sequence, window = (double)shape->window;
    if (!lspo_family_of(shape->model)->causal)
        return s * s;
    if (window == 0 || window >= s)
        return s * (s + 1) / 2.0;
    return window * (window + 1) / 2.0 + (s - window) * window;
}

void lspo_work_add_attention(lspo_work_t *work, const lspo_stage_shape_t *shape, bool backward)
{
    const lspo_model_t *model = shape->model;
    const double pairs = pairs_of(shape);
    const uint64_t a = shape->attention_width, kv = shape->kv_width;
    double products = backward ? 4.0 : 2.0; /* each 2 e FLOPs per pair and head */
    double flop = products * 2.0 * (double)shape->batch * pairs * (double)a;
    uint64_t bytes = shape->tokens * shape->p * (backward ? 3 * a + 4 * kv : 2 * a + 2 * kv);
    if (shape->p == 4)
        bytes += 4 * shape->batch * model->head_count * (uint64_t)pairs;
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ATTENTION,
                                            .count = 1,
                                            .m = shape->sequence,
                                            .n = (uint64_t)model->head_count * shape->batch,
                                            .k = lspo_model_head_width(model),
                                            .flop = flop,
                                            .bytes = bytes});
}

void lspo_stage_work_forward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                             lspo_work_t *work_out)
{
    const lspo_stage_shape_t shape = make_shape(model, workload, stage);
    const lspo_family_row_t *family = lspo_family_of(model);
    lspo_work_clear(work_out);
    if (stage == 0) {
        family->embed_forward(&shape, work_out);
    } else if (stage <= model->block_count) {
        family->block_forward(&shape, false, work_out);
    } else {
        family->head_forward(&shape, work_out);
    }
}

void lspo_stage_work_mlp(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                         lspo_work_t *work_out)
{
    const lspo_stage_shape_t shape = make_shape(model, workload, stage);
    const bool gated = lspo_family_of(model)->gated;
    lspo_work_clear(work_out);
    for (int i = 0; i < (gated ? 2 : 1); i++)
        lspo_work_append_gemm(work_out, shape.p, LSPO_LAYOUT_NN, shape.tokens, shape.mlp_width, shape.width);
    lspo_work_add_traffic(work_out, &shape, LSPO_KERNEL_ACTIVATION, 1, (gated ? 3 : 2) * shape.mlp_width);
    lspo_work_append_gemm(work_out, shape.p, LSPO_LAYOUT_NN, shape.tokens, shape.width, shape.mlp_width);
    lspo_work_add_traffic(work_out, &shape, LSPO_KERNEL_STREAM, 1, 2 * shape.width);
}

/* Is `part` `whole`, or some of its launches? */
static bool has_kernel(const lspo_kernel_t *whole, const lspo_kernel_t *part)
{
    return whole->kernel_class == part->kernel_class && whole->layout == part->layout && whole->m == part->m &&
           whole->n == part->n && whole->k == part->k &&
           (whole->bytes == part->bytes || (whole->count > part->count && whole->bytes > part->bytes));
}

void lspo_stage_work_before_mlp(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                                lspo_work_t *work_out)
{
    lspo_work_t mlp;
    lspo_stage_work_mlp(model, workload, stage, &mlp);
    lspo_stage_work_forward(model, workload, stage, work_out);
    for (uint32_t i = 0; i < mlp.kernel_count; i++) {
        const lspo_kernel_t *part = &mlp.kernels[i];
        uint32_t at = 0;
        while (at < work_out->kernel_count && !has_kernel(&work_out->kernels[at], part))
            at++;
        assert(at < work_out->kernel_count);
        lspo_kernel_t *whole = &work_out->kernels[at];
        whole->count -= part->count;
        whole->flop -= part->flop;
        whole->bytes -= part->bytes;
        whole->far_bytes -= part->far_bytes;
        if (whole->count == 0)
            *whole = work_out->kernels[--work_out->kernel_count];
    }
}

void lspo_stage_work_recompute(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                               lspo_work_t *work_out)
{
    const lspo_stage_shape_t shape = make_shape(model, workload, stage);
    lspo_work_clear(work_out);
    if (stage > 0 && stage <= model->block_count)
        lspo_family_of(model)->block_forward(&shape, true, work_out);
}

/* The products of one linear layer m x n. */
static void backward_linear(const lspo_stage_shape_t *shape, const lspo_tensor_t *weight, bool gradient,
                            lspo_work_t *work)
{
    lspo_work_append_gemm(work, shape->p, LSPO_LAYOUT_NT, shape->tokens, weight->rows, weight->cols);
    if (gradient)
        lspo_work_append_gemm(work, shape->p, LSPO_LAYOUT_TN, weight->rows, weight->cols, shape->tokens);
}

static void backward_block(const lspo_stage_shape_t *shape, bool linear, bool rest, lspo_work_t *work)
{
    lspo_stage_t block;
    lspo_model_stage(shape->model, 1, &block);
    for (uint32_t i = 0; i < block.linear_count; i++)
        backward_linear(shape, &block.tensors[i], linear, work);
    lspo_work_add_attention(work, shape, true);
    lspo_family_of(shape->model)->block_backward(shape, rest, work);
}

void lspo_stage_work_backward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                              bool linear_gradients, bool rest_gradients, lspo_work_t *work_out)
{
    const lspo_stage_shape_t shape = make_shape(model, workload, stage);
    const lspo_family_row_t *family = lspo_family_of(model);
    lspo_work_clear(work_out);
    work_out->backward = true;
    if (stage == 0) {
        if (rest_gradients)
            family->embed_backward(&shape, work_out);
    } else if (stage <= model->block_count) {
        backward_block(&shape, linear_gradients, rest_gradients, work_out);
    } else {
        family->head_backward(&shape, rest_gradients, work_out);
    }
}

void lspo_work_stream(uint64_t bytes, lspo_work_t *work_out)
{
    lspo_work_clear(work_out);
    lspo_work_add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, bytes);
}

void lspo_work_adam(uint64_t elements, lspo_work_t *work_out)
{
    lspo_work_adam_in(LSPO_OPTIMIZER_STATE_FP32, LSPO_FP32, elements, work_out);
}

void lspo_work_adam_in(lspo_optimizer_state_t state, lspo_precision_t weights, uint64_t elements, lspo_work_t *work_out)
{
    double each_bytes = lspo_optimizer_state_traffic_bytes(state, weights);
    lspo_work_clear(work_out);
    lspo_work_append(work_out, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM,
                                                .count = 1,
                                                .elements = elements,
                                                .state = state,
                                                .weights = weights,
                                                .flop = ADAM_FLOP * (double)elements,
                                                .bytes = (uint64_t)(each_bytes * (double)elements)});
}

void lspo_work_copy(uint64_t bytes, lspo_work_t *work_out)
{
    lspo_work_clear(work_out);
    lspo_work_add(work_out, LSPO_KERNEL_COPY, 1, 0.0, bytes);
}
