/* message_work.c - see message_work.h. */
#include "plan/message_work.h"

#include "plan/family.h"
#include "plan/stage_work.h"

/* The leading eigenvectors of a symmetric matrix, in products of its size: see the header. */
enum { EIGEN_PRODUCTS = 8 };

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* out (tokens x d) = in (tokens x rows) P, with r nonzeros per row of P. */
static void add_gather(lspo_work_t *work, uint64_t p, uint64_t tokens, uint32_t rows, uint32_t d, uint32_t r)
{
    lspo_work_add(work, LSPO_KERNEL_GATHER, 1, 2.0 * (double)tokens * rows * r, p * tokens * ((uint64_t)rows + d));
}

void lspo_message_work_compress(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out)
{
    uint64_t tokens = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *weight = &message->linear[i];
        if (weight->compressed) {
            add_gather(work_out, p, tokens, weight->rows, weight->d_rows, weight->nnz_rows);
            add_gather(work_out, p, tokens, weight->cols, weight->d_cols, weight->nnz_cols);
        }
        lspo_work_append_recent_gemm(work_out, p, LSPO_LAYOUT_TN, weight->d_rows, weight->d_cols, tokens);
    }
}

void lspo_message_work_apply_delta(const lspo_workload_t *workload, const lspo_message_t *message,
                                   lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    uint64_t sent = lspo_precision_bytes(workload->transfer);
    uint64_t dense_elements = message->rest_elements;
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *weight = &message->linear[i];
        double m = weight->rows, n = weight->cols;
        if (!weight->compressed) {
            dense_elements += weight->message_elements;
            continue;
        }
        double inner_flop = 2.0 * m * weight->d_cols * weight->nnz_rows;
        lspo_work_add(work_out, LSPO_KERNEL_SCATTER, 1, inner_flop + 2.0 * m * n * weight->nnz_cols,
                      2 * p * weight->rows * weight->cols + sent * weight->message_elements);
        work_out->kernels[work_out->kernel_count - 1].inner_flop = inner_flop;
    }
    if (dense_elements > 0)
        lspo_work_add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, dense_elements * (2 * p + sent));
}

static void append_adapter(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n, uint64_t k)
{
    lspo_work_append_gemm(work, p, layout, m, n, k);
    work->kernels[work->kernel_count - 1].adapter = true;
}

/* Of the linear weights of a block: a recompute does not need the last product. */
static uint32_t weights_used(const lspo_message_t *message, bool recompute)
{
    return message->linear_count - (recompute && message->linear_count > 0 ? 1 : 0);
}

void lspo_message_work_add_adapters(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                    lspo_work_t *work)
{
    uint64_t t = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    for (uint32_t i = 0; i < weights_used(message, recompute); i++) {
        const lspo_projection_t *w = &message->linear[i];
        append_adapter(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->rows);
        append_adapter(work, p, LSPO_LAYOUT_NT, t, w->cols, w->d_rows);
    }
}

void lspo_message_work_add_adapters_backward(const lspo_workload_t *workload, const lspo_message_t *message,
                                             lspo_work_t *work)
{
    uint64_t t = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        append_adapter(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->rows);
        append_adapter(work, p, LSPO_LAYOUT_NN, t, w->d_rows, w->cols);
        append_adapter(work, p, LSPO_LAYOUT_TN, w->rows, w->d_rows, t);
        append_adapter(work, p, LSPO_LAYOUT_TN, w->cols, w->d_rows, t);
        append_adapter(work, p, LSPO_LAYOUT_NT, t, w->rows, w->d_rows);
    }
}

void lspo_message_work_add_expansion(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                     lspo_work_t *work)
{
    uint64_t p = lspo_precision_bytes(workload->precision), codes = 0, expanded = 0;
    uint32_t count = weights_used(message, recompute);
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t elements = (uint64_t)message->linear[i].rows * message->linear[i].cols;
        codes += lspo_nf4_weight_bytes(elements);
        expanded += p * elements;
    }
    for (uint32_t i = 0; i < work->kernel_count; i++)
        if (work->kernels[i].kernel_class == LSPO_KERNEL_GEMM && !work->kernels[i].adapter)
            work->kernels[i].far_bytes = 0;
    lspo_work_append(
        work, &(lspo_kernel_t){
                  .kernel_class = LSPO_KERNEL_EXPAND, .count = count, .bytes = codes + expanded, .far_bytes = codes});
}

void lspo_message_work_lowrank_compress(const lspo_workload_t *workload, const lspo_message_t *message,
                                        lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed) {
            bool left = w->d_rows < w->rows; /* B^T G, else G B */
            lspo_work_append_gemm(work_out, p, left ? LSPO_LAYOUT_TN : LSPO_LAYOUT_NN, w->d_rows, w->d_cols,
                                  left ? w->rows : w->cols);
        } else {
            lspo_work_add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, 2 * p * w->message_elements);
        }
    }
}

void lspo_message_work_lowrank_apply(const lspo_workload_t *workload, const lspo_message_t *message,
                                     lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    uint64_t dense_elements = message->rest_elements;
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed) {
            lspo_work_append_gemm(work_out, p, w->d_rows < w->rows ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, w->rows, w->cols,
                                  smaller(w->d_rows, w->d_cols));
        } else {
            dense_elements += w->message_elements;
        }
    }
    if (dense_elements > 0)
        lspo_work_add(work_out, LSPO_KERNEL_STREAM, 1, 0.0, 3 * p * dense_elements);
}

void lspo_message_work_lowrank_project(const lspo_workload_t *workload, const lspo_message_t *message,
                                       lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (!w->compressed)
            continue;
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
    lspo_work_add(work, LSPO_KERNEL_GATHER, times * (gradient ? 12 : 6), times * (with_g + with_p + with_q),
                  times * (uint64_t)(sizeof(float) * read));
}

void lspo_message_work_fit(const lspo_workload_t *workload, const lspo_message_t *message, uint32_t checks,
                           uint32_t steps, lspo_work_t *work_out)
{
    lspo_work_clear(work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (!w->compressed)
            continue;
        lspo_work_append_gemm(work_out, sizeof(float), LSPO_LAYOUT_TN, w->rows, w->cols,
                              lspo_workload_tokens(workload));
        add_sketches(work_out, w, checks, false);
        if (steps > 0)
            add_sketches(work_out, w, steps, true);
    }
}
