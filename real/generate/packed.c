/* packed.c - see packed.h. */
#include "real/generate/packed.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/pruned.h"

static size_t count_of(const lspo_tensor_t *t)
{
    return (size_t)t->rows * t->cols;
}

lspo_status_t lspo_packed_prune(const lspo_stage_t *stage, double sparsity, float *w)
{
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_tensor_t *t = &stage->tensors[i];
        float *scratch = malloc(count_of(t) * sizeof *scratch);
        if (scratch == NULL)
            return lspo_no_memory("the scores of %zu weights", count_of(t));
        lspo_prune_magnitude(count_of(t), sparsity, w + t->offset_elements, scratch);
        free(scratch);
    }
    return LSPO_OK;
}

/* A matrix in `memory`, of which *used_out bytes are its own. */
static lspo_bitmap_t bitmap_at(const lspo_packed_t *packed, const lspo_tensor_t *t, char *memory, size_t *used_out)
{
    const size_t kept = lspo_endor_kept(packed->values, count_of(t));
    *used_out = lspo_bitmap_bytes(count_of(t), kept, packed->number);
    return lspo_bitmap_place(count_of(t), kept, packed->number, memory);
}

static lspo_csr_t csr_at(const lspo_packed_t *packed, const lspo_tensor_t *t, char *memory, size_t *used_out)
{
    const size_t kept = lspo_endor_kept(packed->values, count_of(t));
    *used_out = lspo_csr_bytes(t->rows, kept, packed->number);
    return lspo_csr_place(t->rows, t->cols, kept, packed->number, memory);
}

/* Bytes of the tensors behind the matrices, and where they begin in the array. */
static size_t rest_of(const lspo_packed_t *packed, size_t *at_out)
{
    const lspo_stage_t *s = packed->stage;
    const size_t linear = s->tensors[s->linear_count].offset_elements;
    *at_out = linear * lspo_number_bytes(packed->number);
    return (s->element_count - linear) * lspo_number_bytes(packed->number);
}

void lspo_packed_store(const lspo_packed_t *packed, const void *dense, void *out)
{
    const size_t bytes = lspo_number_bytes(packed->number);
    char *to = out;
    size_t used, at;
    for (uint32_t i = 0; i < packed->stage->linear_count; i++, to += used) {
        const lspo_tensor_t *t = &packed->stage->tensors[i];
        const char *from = (const char *)dense + t->offset_elements * bytes;
        if (packed->values->weight_format == LSPO_WEIGHTS_BITMAP) {
            const lspo_bitmap_t bitmap = bitmap_at(packed, t, to, &used);
            lspo_bitmap_pack(from, &bitmap);
        } else {
            const lspo_csr_t csr = csr_at(packed, t, to, &used);
            lspo_csr_pack(from, &csr);
        }
    }
    const size_t rest = rest_of(packed, &at);
    memcpy(to, (const char *)dense + at, rest);
}

void lspo_packed_expand(const lspo_packed_t *packed, lspo_compute_t *compute, const void *stored, void *dense_out)
{
    const size_t bytes = lspo_number_bytes(packed->number);
    char *from = (char *)(uintptr_t)stored; /* only read */
    size_t used, at;
    for (uint32_t i = 0; i < packed->stage->linear_count; i++, from += used) {
        const lspo_tensor_t *t = &packed->stage->tensors[i];
        char *to = (char *)dense_out + t->offset_elements * bytes;
        if (packed->values->weight_format == LSPO_WEIGHTS_BITMAP) {
            const lspo_bitmap_t bitmap = bitmap_at(packed, t, from, &used);
            lspo_compute_bitmap_expand(compute, &bitmap, NULL, to);
        } else {
            const lspo_csr_t csr = csr_at(packed, t, from, &used);
            lspo_compute_csr_expand(compute, &csr, to);
        }
    }
    const size_t rest = rest_of(packed, &at);
    lspo_compute_copy(compute, rest, from, (char *)dense_out + at);
}
