#include "plan/stage_work.h"

#include <assert.h>
#include <string.h>

enum { ADAM_BYTES = 28, ADAM_FLOP = 12 };

/* The leading eigenvectors of a symmetric matrix, in products of its size: see the header. */
enum { EIGEN_PRODUCTS = 8 };

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What the helpers below need of model and workload. */
typedef struct {
    const lspo_model_t *model;
    uint64_t tokens, p; /* p: bytes an element */
    uint64_t width, kv_width, mlp_width, vocabulary;
    uint64_t sequence, batch;
} shape_t;

static shape_t make_shape(const lspo_model_t *model, const lspo_workload_t *workload)
{
    return (shape_t){.model = model,
                     .tokens = lspo_workload_tokens(workload),
                     .p = lspo_precision_bytes(workload->precision),
                     .width = model->width,
                     .kv_width = (uint64_t)(model->width / model->head_count) * model->kv_head_count,
                     .mlp_width = model->mlp_width,
                     .vocabulary = model->vocabulary,
                     .sequence = workload->sequence,
                     .batch = workload->batch};
}

static void clear(lspo_work_t *work)
{
    memset(work, 0, sizeof *work);
}

void lspo_work_append(lspo_work_t *work, const lspo_kernel_t *kernel)
{
    assert(work->kernel_count < LSPO_WORK_KERNELS_MAX);
    work->kernels[work->kernel_count++] = *kernel;
}

static void add(lspo_work_t *work, lspo_kernel_class_t kernel_class, uint32_t count, double flop, uint64_t bytes)
{
    lspo_work_append(work,
                     &(lspo_kernel_t){.kernel_class = kernel_class, .count = count, .flop = flop, .bytes = bytes});
}

/* `per_token` elements of memory traffic a token. */
static void add_traffic(lspo_work_t *work, const shape_t *shape, lspo_kernel_class_t kernel_class, uint32_t count,
                        uint64_t per_token)
{
    add(work, kernel_class, count, 0.0, shape->tokens * shape->p * per_token);
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

/* kernels/attention.h counts the same.  Probabilities are in memory in fp32 only. */
static void add_attention(lspo_work_t *work, const shape_t *shape, bool backward)
{
    const lspo_model_t *model = shape->model;
    bool causal = model->family != LSPO_FAMILY_BERT;
    double pairs = (double)shape->sequence * (double)(shape->sequence + 1) / 2.0;
    if (!causal) {
        pairs = (double)shape->sequence * (double)shape->sequence;
    }
    double products = backward ? 4.0 : 2.0; /* each 2 e flop a pair and head */
    double flop = products * 2.0 * (double)shape->batch * pairs * (double)shape->width;
    uint64_t per_token = backward ? 3 * shape->width + 4 * shape->kv_width : 2 * shape->width + 2 * shape->kv_width;
    uint64_t bytes = shape->tokens * shape->p * per_token;
    if (shape->p == 4) {
        bytes += 4 * shape->batch * model->head_count * (uint64_t)pairs;
    }
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ATTENTION,
                                            .count = 1,
                                            .m = shape->sequence,
                                            .n = (uint64_t)model->head_count * shape->batch,
                                            .k = model->width / model->head_count,
                                            .flop = flop,
                                            .bytes = bytes});
}

/* Tokens and positions are summed, the one token type is added, the sum is normed. */
static void bert_embed(const shape_t *shape, lspo_work_t *work)
{
    add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, (3 + 2) * shape->width);
    add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 2 * shape->width);
}

static void forward_embed(const shape_t *shape, lspo_work_t *work)
{
    switch (shape->model->family) {
    case LSPO_FAMILY_GPT:
        add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 3 * shape->width);
        break;
    case LSPO_FAMILY_LLAMA:
        add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * shape->width);
        break;
    case LSPO_FAMILY_BERT:
        bert_embed(shape, work);
        break;
    }
}

/* A product starts from its bias (write 1) or from residual plus bias (read 1, write 1) and adds to it. */
static void forward_gpt_block(const shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    uint64_t qkv = w + 2 * shape->kv_width;
    add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 2 * w);
    add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, qkv + f);
    add_traffic(work, shape, LSPO_KERNEL_STREAM, recompute ? 1 : 2, (recompute ? 1 : 2) * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, qkv, w);
    add_attention(work, shape, false);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 2 * f);
    if (!recompute) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
    }
}

/* As GPT's, but the second norm behind the last product needs its input in backward: recompute leaves out nothing. */
static void forward_bert_block(const shape_t *shape, lspo_work_t *work)
{
    forward_gpt_block(shape, false, work);
}

static void forward_llama_block(const shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, kv = shape->kv_width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * (w + kv)); /* rotary positions of q and k, in place */
    add_attention(work, shape, false);
    add_traffic(work, shape, LSPO_KERNEL_STREAM, recompute ? 1 : 2, (recompute ? 1 : 2) * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * f);
    if (!recompute) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
    }
}

static void forward_block(const shape_t *shape, bool recompute, lspo_work_t *work)
{
    switch (shape->model->family) {
    case LSPO_FAMILY_GPT:
        forward_gpt_block(shape, recompute, work);
        break;
    case LSPO_FAMILY_LLAMA:
        forward_llama_block(shape, recompute, work);
        break;
    case LSPO_FAMILY_BERT:
        forward_bert_block(shape, work);
        break;
    }
}

/* dense, tanh, output and loss of the first token of each sequence. */
static void forward_classifier(const shape_t *shape, lspo_work_t *work)
{
    uint64_t w = shape->width, c = shape->model->class_count, b = shape->batch, p = shape->p;
    add(work, LSPO_KERNEL_STREAM, 2, 0.0, b * p * (w + c));
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, b, w, w);
    add(work, LSPO_KERNEL_ACTIVATION, 1, 0.0, b * p * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, b, c, w);
    add(work, LSPO_KERNEL_LOSS, 1, 0.0, b * p * 2 * c);
}

static void forward_head(const shape_t *shape, lspo_work_t *work)
{
    uint64_t w = shape->width, v = shape->vocabulary, t = shape->tokens, p = shape->p;
    if (shape->model->class_count > 0) {
        forward_classifier(shape, work);
        return;
    }
    if (shape->model->family == LSPO_FAMILY_BERT) {
        add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, w + v);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
        add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 2 * w);
    }
    add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 2 * w);
    lspo_work_append_gemm(work, p, shape->model->tied_head ? LSPO_LAYOUT_NT : LSPO_LAYOUT_NN, t, v, w);
    add_traffic(work, shape, LSPO_KERNEL_LOSS, 1, 2 * v);
}

void lspo_stage_work_forward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                             lspo_work_t *work_out)
{
    shape_t shape = make_shape(model, workload);
    clear(work_out);
    if (stage == 0) {
        forward_embed(&shape, work_out);
    } else if (stage <= model->block_count) {
        forward_block(&shape, false, work_out);
    } else {
        forward_head(&shape, work_out);
    }
}

void lspo_stage_work_recompute(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                               lspo_work_t *work_out)
{
    shape_t shape = make_shape(model, workload);
    clear(work_out);
    if (stage > 0 && stage <= model->block_count) {
        forward_block(&shape, true, work_out);
    }
}

static void backward_embed(const shape_t *shape, bool rest, lspo_work_t *work)
{
    if (!rest) {
        return;
    }
    if (shape->model->family == LSPO_FAMILY_BERT) { /* the norm's input again, and its backward */
        bert_embed(shape, work);
        add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 3 * shape->width);
    }
    if (!shape->model->tied_head) { /* no head has written the token table's gradient before */
        add(work, LSPO_KERNEL_STREAM, 1, 0.0, shape->p * shape->vocabulary * shape->width);
    }
    /* Read dx, read and write the rows of one table or of two. */
    uint64_t tables = shape->model->family == LSPO_FAMILY_LLAMA ? 1 : 2;
    add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, (1 + 2 * tables) * shape->width);
}

/* The products of one linear layer m x n. */
static void backward_linear(const shape_t *shape, const lspo_tensor_t *weight, bool gradient, lspo_work_t *work)
{
    lspo_work_append_gemm(work, shape->p, LSPO_LAYOUT_NT, shape->tokens, weight->rows, weight->cols);
    if (gradient) {
        lspo_work_append_gemm(work, shape->p, LSPO_LAYOUT_TN, weight->rows, weight->cols, shape->tokens);
    }
}

/* The biases of attention_out and mlp_up are summed inside the kernels that make their dY, under BERT that of mlp_down
 * too; those of qkv and GPT's mlp_down take a pass over it.  Pre-norm residuals are added inside the norms' backward,
 * post-norm ones start the product that adds to them. */
static void backward_block(const shape_t *shape, bool linear, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, kv = shape->kv_width, f = shape->mlp_width;
    lspo_stage_t block;
    lspo_model_stage(shape->model, 1, &block);
    for (uint32_t i = 0; i < block.linear_count; i++) {
        backward_linear(shape, &block.tensors[i], linear, work);
    }
    add_attention(work, shape, true);
    switch (shape->model->family) {
    case LSPO_FAMILY_GPT:
        add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 4 * w);
        add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * f);
        if (rest) {
            add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, (w + 2 * kv) + w);
        }
        break;
    case LSPO_FAMILY_LLAMA:
        add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 4 * w);
        add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 5 * f);
        add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * (w + kv));
        break;
    case LSPO_FAMILY_BERT:
        add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 3 * w);
        add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * f);
        add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, 2 * 2 * w);
        if (rest) {
            add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, w + 2 * kv);
        }
        break;
    }
}

static void backward_classifier(const shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, c = shape->model->class_count, b = shape->batch, p = shape->p;
    add(work, LSPO_KERNEL_LOSS, 1, 0.0, b * p * 2 * c);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, b, w, c);
    add(work, LSPO_KERNEL_ACTIVATION, 1, 0.0, b * p * 3 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, b, w, w);
    add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, w); /* no gradient but the first tokens' */
    if (rest) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, c, b);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, w, b);
        add(work, LSPO_KERNEL_STREAM, 2, 0.0, b * p * (w + c));
    }
}

static void backward_head(const shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, v = shape->vocabulary, t = shape->tokens, p = shape->p;
    if (shape->model->class_count > 0) {
        backward_classifier(shape, rest, work);
        return;
    }
    add_traffic(work, shape, LSPO_KERNEL_LOSS, 1, 2 * v);
    lspo_work_append_gemm(work, p, shape->model->tied_head ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, t, w, v);
    if (rest) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, shape->model->tied_head ? v : w, shape->model->tied_head ? w : v,
                              t);
    }
    add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 3 * w);
    if (shape->model->family == LSPO_FAMILY_BERT) {
        add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * w);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, t, w, w);
        if (rest) {
            lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, w, t);
            add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, v);
        }
    }
}

void lspo_stage_work_backward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                              bool linear_gradients, bool rest_gradients, lspo_work_t *work_out)
{
    shape_t shape = make_shape(model, workload);
    clear(work_out);
    work_out->backward = true;
    if (stage == 0) {
        backward_embed(&shape, rest_gradients, work_out);
    } else if (stage <= model->block_count) {
        backward_block(&shape, linear_gradients, rest_gradients, work_out);
    } else {
        backward_head(&shape, rest_gradients, work_out);
    }
}

/* out (tokens x d) = in (tokens x rows) P, r nonzeros a row of P. */
static void add_gather(lspo_work_t *work, uint64_t p, uint64_t tokens, uint32_t rows, uint32_t d, uint32_t r)
{
    add(work, LSPO_KERNEL_GATHER, 1, 2.0 * (double)tokens * rows * r, p * tokens * ((uint64_t)rows + d));
}

void lspo_stage_work_compress(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_message_t *message,
                              lspo_work_t *work_out)
{
    shape_t shape = make_shape(model, workload);
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *weight = &message->linear[i];
        if (weight->compressed) {
            add_gather(work_out, shape.p, shape.tokens, weight->rows, weight->d_rows, weight->nnz_rows);
            add_gather(work_out, shape.p, shape.tokens, weight->cols, weight->d_cols, weight->nnz_cols);
        }
        lspo_work_append_recent_gemm(work_out, shape.p, LSPO_LAYOUT_TN, weight->d_rows, weight->d_cols, shape.tokens);
    }
}

void lspo_stage_work_apply_delta(const lspo_model_t *model, const lspo_workload_t *workload,
                                 const lspo_message_t *message, lspo_work_t *work_out)
{
    uint64_t p = make_shape(model, workload).p;
    uint64_t sent = lspo_precision_bytes(workload->transfer);
    uint64_t dense_elements = message->rest_elements;
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *weight = &message->linear[i];
        double m = weight->rows, n = weight->cols;
        if (!weight->compressed) {
            dense_elements += weight->message_elements;
            continue;
        }
        double inner_flop = 2.0 * m * weight->d_cols * weight->nnz_rows;
        add(work_out, LSPO_KERNEL_SCATTER, 1, inner_flop + 2.0 * m * n * weight->nnz_cols,
            2 * p * weight->rows * weight->cols + sent * weight->message_elements);
        work_out->kernels[work_out->kernel_count - 1].inner_flop = inner_flop;
    }
    if (dense_elements > 0) {
        add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, dense_elements * (2 * p + sent));
    }
}

void lspo_stage_work_add_adapters(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                  lspo_work_t *work)
{
    uint64_t t = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    uint32_t count = message->linear_count - (recompute && message->linear_count > 0 ? 1 : 0);
    for (uint32_t i = 0; i < count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->rows);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, t, w->cols, w->d_rows);
    }
}

void lspo_stage_work_add_adapters_backward(const lspo_workload_t *workload, const lspo_message_t *message,
                                           lspo_work_t *work)
{
    uint64_t t = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->rows);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->cols);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w->rows, w->d_rows, t);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w->cols, w->d_rows, t);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, t, w->rows, w->d_rows);
    }
}

void lspo_stage_work_lowrank_compress(const lspo_workload_t *workload, const lspo_message_t *message,
                                      lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed) {
            bool left = w->d_rows < w->rows; /* B^T G, else G B */
            lspo_work_append_gemm(work_out, p, left ? LSPO_LAYOUT_TN : LSPO_LAYOUT_NN, w->d_rows, w->d_cols,
                                  left ? w->rows : w->cols);
        } else {
            add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, 2 * p * w->message_elements);
        }
    }
}

void lspo_stage_work_lowrank_apply(const lspo_workload_t *workload, const lspo_message_t *message,
                                   lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    uint64_t dense_elements = message->rest_elements;
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed) {
            lspo_work_append_gemm(work_out, p, w->d_rows < w->rows ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, w->rows, w->cols,
                                  smaller(w->d_rows, w->d_cols));
        } else {
            dense_elements += w->message_elements;
        }
    }
    if (dense_elements > 0) {
        add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, 3 * p * dense_elements);
    }
}

void lspo_stage_work_lowrank_project(const lspo_workload_t *workload, const lspo_message_t *message,
                                     lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (!w->compressed) {
            continue;
        }
        uint64_t s = smaller(w->rows, w->cols);
        bool wide = w->rows == s;
        lspo_work_append_gemm(work_out, p, wide ? LSPO_LAYOUT_NT : LSPO_LAYOUT_TN, s, s, wide ? w->cols : w->rows);
        lspo_work_append_gemm(work_out, p, LSPO_LAYOUT_NN, s, s, EIGEN_PRODUCTS * s);
    }
}

/* Products with G, of `wide` rows; with P and a small matrix; with Q and one: flop and bytes of `times` passes. */
static void add_sketches(lspo_work_t *work, const lspo_projection_t *w, uint32_t times, bool gradient)
{
    double m = w->rows, n = w->cols, d_m = w->d_rows, d_n = w->d_cols, r_m = w->nnz_rows, r_n = w->nnz_cols;
    double with_g = 2 * m * n * (gradient ? r_m + r_n : r_n);
    double with_p = 2 * m * d_n * r_m * (gradient ? 7 : 3), with_q = 2 * n * d_m * r_n * (gradient ? 5 : 2);
    double read = m * n * (gradient ? 2 : 1) + m * d_n * (gradient ? 8 : 4) + n * d_m * (gradient ? 5 : 2);
    add(work, LSPO_KERNEL_GATHER, times * (gradient ? 12 : 6), times * (with_g + with_p + with_q),
        times * (uint64_t)(sizeof(float) * read));
}

void lspo_stage_work_fit(const lspo_workload_t *workload, const lspo_message_t *message, uint32_t checks,
                         uint32_t steps, lspo_work_t *work_out)
{
    clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (!w->compressed) {
            continue;
        }
        lspo_work_append_gemm(work_out, sizeof(float), LSPO_LAYOUT_TN, w->rows, w->cols,
                              lspo_workload_tokens(workload));
        add_sketches(work_out, w, checks, false);
        if (steps > 0) {
            add_sketches(work_out, w, steps, true);
        }
    }
}

void lspo_work_stream(uint64_t bytes, lspo_work_t *work_out)
{
    clear(work_out);
    add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, bytes);
}

void lspo_work_adam(uint64_t elements, lspo_work_t *work_out)
{
    clear(work_out);
    lspo_work_append(work_out, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM,
                                                .count = 1,
                                                .elements = elements,
                                                .flop = ADAM_FLOP * (double)elements,
                                                .bytes = ADAM_BYTES * elements});
}

void lspo_work_copy(uint64_t bytes, lspo_work_t *work_out)
{
    clear(work_out);
    add(work_out, LSPO_KERNEL_COPY, 1, 0.0, bytes);
}
