/* packed.c - see packed.h. */
#include "real/generate/packed.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/pruned.h"

static size_t count_of(const lspo_pruned_t *matrix)
{
    return (size_t)matrix->rows * matrix->cols;
}

lspo_status_t lspo_packed_prune(const lspo_stage_t *stage, double sparsity, float *w)
{
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(stage, i);
        const size_t count = count_of(&pruned);
        float *scratch = malloc(count * sizeof *scratch);
        if (scratch == NULL)
            return lspo_no_memory("the scores of %zu weights", count);
        for (uint32_t k = 0; k < pruned.count; k++)
            lspo_prune_magnitude(count, sparsity, w + stage->tensors[i].offset_elements + k * count, scratch);
        free(scratch);
    }
    return LSPO_OK;
}

/* A matrix in `memory`, of which *used_out bytes are its own. */
static lspo_bitmap_t bitmap_at(const lspo_packed_t *packed, const lspo_pruned_t *m, char *memory, size_t *used_out)
{
    const size_t kept = lspo_endor_kept(packed->values, count_of(m));
    *used_out = lspo_bitmap_bytes(count_of(m), kept, packed->number);
    return lspo_bitmap_place(count_of(m), kept, packed->number, memory);
}

static lspo_csr_t csr_at(const lspo_packed_t *packed, const lspo_pruned_t *m, char *memory, size_t *used_out)
{
    const size_t kept = lspo_endor_kept(packed->values, count_of(m));
    *used_out = lspo_csr_bytes(m->rows, kept, packed->number);
    return lspo_csr_place(m->rows, m->cols, kept, packed->number, memory);
}

/* Of a tensor that is stored as it is; and in the next place of 8 bytes begins what follows. */
static size_t dense_bytes(const lspo_packed_t *packed, const lspo_pruned_t *tensor, size_t *used_out)
{
    const size_t bytes = count_of(tensor) * lspo_number_bytes(packed->number);
    *used_out = (bytes + 7) / 8 * 8;
    return bytes;
}

/* Bytes of the tensors behind the matrices, and where they begin in the array. */
static size_t rest_of(const lspo_packed_t *packed, size_t *at_out)
{
    const lspo_stage_t *s = packed->stage;
    const size_t linear = s->tensors[s->linear_count].offset_elements;
    *at_out = linear * lspo_number_bytes(packed->number);
    return (s->element_count - linear) * lspo_number_bytes(packed->number);
}

static size_t store_matrix(const lspo_packed_t *packed, const lspo_pruned_t *matrix, const char *from, char *to)
{
    size_t used;
    if (packed->values->weight_format == LSPO_WEIGHTS_BITMAP) {
        const lspo_bitmap_t bitmap = bitmap_at(packed, matrix, to, &used);
        lspo_bitmap_pack(from, &bitmap);
    } else {
        const lspo_csr_t csr = csr_at(packed, matrix, to, &used);
        lspo_csr_pack(from, &csr);
    }
    return used;
}

void lspo_packed_store(const lspo_packed_t *packed, const void *dense, void *out)
{
    const lspo_stage_t *stage = packed->stage;
    const size_t bytes = lspo_number_bytes(packed->number);
    char *to = out;
    size_t used, at;
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(stage, i);
        const char *from = (const char *)dense + stage->tensors[i].offset_elements * bytes;
        for (uint32_t k = 0; k < pruned.count; k++)
            to += store_matrix(packed, &pruned, from + k * count_of(&pruned) * bytes, to);
        if (pruned.count == 0) {
            const size_t own = dense_bytes(packed, &pruned, &used);
            memcpy(to, from, own);
            memset(to + own, 0, used - own);
            to += used;
        }
    }
    const size_t rest = rest_of(packed, &at);
    memcpy(to, (const char *)dense + at, rest);
}

static size_t expand_matrix(const lspo_packed_t *packed, lspo_compute_t *compute, const lspo_pruned_t *matrix,
                            char *from, char *to)
{
    size_t used;
    if (packed->values->weight_format == LSPO_WEIGHTS_BITMAP) {
        const lspo_bitmap_t bitmap = bitmap_at(packed, matrix, from, &used);
        lspo_compute_bitmap_expand(compute, &bitmap, NULL, to);
    } else {
        const lspo_csr_t csr = csr_at(packed, matrix, from, &used);
        lspo_compute_csr_expand(compute, &csr, to);
    }
    return used;
}

void lspo_packed_expand(const lspo_packed_t *packed, lspo_compute_t *compute, const void *stored, void *dense_out)
{
    const lspo_stage_t *stage = packed->stage;
    const size_t bytes = lspo_number_bytes(packed->number);
    char *from = (char *)(uintptr_t)stored; /* only read */
    size_t used, at;
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(stage, i);
        char *to = (char *)dense_out + stage->tensors[i].offset_elements * bytes;
        for (uint32_t k = 0; k < pruned.count; k++)
            from += expand_matrix(packed, compute, &pruned, from, to + k * count_of(&pruned) * bytes);
        if (pruned.count == 0) {
            lspo_compute_copy(compute, dense_bytes(packed, &pruned, &used), from, to);
            from += used;
        }
    }
    const size_t rest = rest_of(packed, &at);
    lspo_compute_copy(compute, rest, from, (char *)dense_out + at);
}
