/* build_projector_bytes.c - the memory and link traffic of lsp's projectors. */
#include "plan/build_parts.h"

/* Whether a stage's weight has its own pair of projectors.  All blocks that are sent are alike, so of shared pairs the
 * first of them has one per shape. */
static bool owns_pair(const lspo_builder_t *b, uint32_t stage, uint32_t i)
{
    const lspo_message_t *message = &b->stages[stage].message;
    if (!message->linear[i].compressed)
        return false;
    return !shares_projectors(b) ||
           (stage == lspo_plan_first_sent_block(b->plan) && lspo_message_first_alike(message, i) == i);
}

/* Indices and values of a stage's own projectors, row by row. */
uint64_t lspo_build_projector_link_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t nonzeros = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        nonzeros += owns_pair(b, stage, i) ? (uint64_t)w->rows * w->nnz_rows + (uint64_t)w->cols * w->nnz_cols : 0;
    }
    return nonzeros * (sizeof(uint32_t) + sizeof(float));
}

/* kernels/fit.h counts the same. */
static uint64_t fit_scratch_elements(const lspo_projection_t *w)
{
    uint64_t m = w->rows, n = w->cols, d_m = w->d_rows, d_n = w->d_cols;
    return 2 * m * d_n + 2 * n * d_m + 8 * d_m * d_n + 4 * (m * w->nnz_rows + n * w->nnz_cols);
}

/* The storage of kernels/projector.h: indices and values of r nonzeros per row, by row and by column. */
static uint64_t sparse_bytes(uint64_t rows, uint64_t d, uint64_t nnz)
{
    return 2 * rows * nnz * (sizeof(uint32_t) + sizeof(float)) + (d + 1) * sizeof(uint32_t);
}

/* The memory of a check or of a part of a fit, one weight at a time: gradient and scratch. */
uint64_t lspo_build_check_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t bytes = ((uint64_t)w->rows * w->cols + fit_scratch_elements(w)) * sizeof(float);
        largest = w->compressed && bytes > largest ? bytes : largest;
    }
    return largest;
}

/* The new pairs of a stage and their Adam moments, from the first fit of a calibration pass to its decision. */
uint64_t lspo_build_candidate_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t nonzeros = (uint64_t)w->rows * w->nnz_rows + (uint64_t)w->cols * w->nnz_cols;
        if (owns_pair(b, stage, i))
            bytes += sparse_bytes(w->rows, w->d_rows, w->nnz_rows) + sparse_bytes(w->cols, w->d_cols, w->nnz_cols) +
                     2 * nonzeros * sizeof(float);
    }
    return bytes;
}

uint64_t lspo_build_projector_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *l = &message->linear[i];
        if (owns_pair(b, stage, i))
            bytes += sparse_bytes(l->rows, l->d_rows, l->nnz_rows) + sparse_bytes(l->cols, l->d_cols, l->nnz_cols);
    }
    return bytes;
}

/* Of every pair: the one in use and the new one; and three matrices of the subspace to transform moments. */
uint64_t lspo_build_projector_host_bytes(const lspo_builder_t *b)
{
    uint64_t bytes = 0, largest = 0;
    for (uint32_t s = 0; s < b->stage_count; s++)
        bytes += 2 * lspo_build_projector_link_bytes(b, s);
    const lspo_message_t *message = &b->stages[lspo_plan_first_sent_block(b->plan)].message; /* all others are alike */
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t d_m = w->d_rows, d_n = w->d_cols, elements = d_m * d_m + d_n * d_n + d_m * d_n;
        largest = w->compressed && elements > largest ? elements : largest;
    }
    return bytes + largest * sizeof(float);
}
