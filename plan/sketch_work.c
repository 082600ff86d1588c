/* sketch_work.c - the kernels of COMPRESS and APPLY with dense projectors; see sketch_work.h. */
#include "plan/sketch_work.h"

#include <string.h>

#include "plan/stage_work.h"

static void add_stream(lspo_work_t *work, uint64_t bytes)
{
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_STREAM, .count = 1, .bytes = bytes});
}

static uint64_t dense_elements(const lspo_projection_t *w)
{
    return (uint64_t)w->rows * w->d_rows + (uint64_t)w->cols * w->d_cols;
}

void lspo_sketch_work_compress(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out)
{
    uint64_t t = lspo_workload_tokens(workload), p = lspo_precision_bytes(workload->precision);
    memset(work_out, 0, sizeof *work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed) {
            add_stream(work_out, p * dense_elements(w));
            lspo_work_append_gemm(work_out, p, LSPO_LAYOUT_NN, t, w->d_rows, w->rows);
            lspo_work_append_gemm(work_out, p, LSPO_LAYOUT_NN, t, w->d_cols, w->cols);
        }
        lspo_work_append_recent_gemm(work_out, p, LSPO_LAYOUT_TN, w->d_rows, w->d_cols, t);
    }
}

void lspo_sketch_work_apply(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out)
{
    uint64_t p = lspo_precision_bytes(workload->precision), dense = message->rest_elements;
    memset(work_out, 0, sizeof *work_out);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        bool wide = w->rows <= w->cols;
        if (!w->compressed) {
            dense += w->message_elements;
            continue;
        }
        add_stream(work_out, p * dense_elements(w));
        lspo_work_append_gemm(work_out, p, wide ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, wide ? w->rows : w->d_rows,
                              wide ? w->d_cols : w->cols, wide ? w->d_rows : w->d_cols);
        lspo_work_append_gemm(work_out, p, wide ? LSPO_LAYOUT_NT : LSPO_LAYOUT_NN, w->rows, w->cols,
                              wide ? w->d_cols : w->d_rows);
        add_stream(work_out, 3 * p * w->rows * w->cols);
    }
    if (dense > 0)
        add_stream(work_out, dense * (2 * p + lspo_precision_bytes(workload->transfer)));
}

uint64_t lspo_sketch_compress_elements(const lspo_projection_t *w, uint64_t tokens)
{
    return dense_elements(w) + tokens * ((uint64_t)w->d_rows + w->d_cols);
}

uint64_t lspo_sketch_apply_elements(const lspo_projection_t *w)
{
    uint64_t m = w->rows, n = w->cols;
    return dense_elements(w) + m * n + (m <= n ? m * w->d_cols : n * w->d_rows);
}
