/* ternary_experts.c - see ternary_experts.h. */
#include "real/generate/ternary_experts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lspo_ternary_experts {
    lspo_device_t *device;
    lspo_stage_t block;
    uint32_t blocks, matrices; /* matrices of an expert */
    lspo_ternary_t *packed;    /* by block, expert and matrix; without rows: not stored yet */
    lspo_ternary_total_t total;
};

static size_t count_of(const lspo_ternary_experts_t *e)
{
    return (size_t)e->blocks * e->block.expert_count * e->matrices;
}

/* A code per pair of weights: no matrix needs more. */
static size_t most_codes(const lspo_pruned_t *matrix)
{
    return (size_t)matrix->cols * ((matrix->rows + 1) / 2);
}

size_t lspo_ternary_experts_scratch(const lspo_model_t *model)
{
    lspo_stage_t block;
    size_t most = 0;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = block.expert_first; i < block.linear_count; i++) {
        const lspo_pruned_t matrix = lspo_stage_pruned(&block, i);
        const size_t bytes = lspo_ternary_bytes(matrix.cols, most_codes(&matrix));
        most = bytes > most ? bytes : most;
    }
    return most;
}

lspo_status_t lspo_ternary_experts_create(const lspo_model_t *model, lspo_device_t *device,
                                          lspo_ternary_experts_t **experts_out)
{
    lspo_ternary_experts_t *e = calloc(1, sizeof *e);
    if (e == NULL)
        return lspo_no_memory("packed experts");
    e->device = device;
    e->blocks = model->block_count;
    lspo_model_stage(model, 1, &e->block);
    e->matrices = e->block.linear_count - e->block.expert_first;
    e->packed = calloc(count_of(e), sizeof *e->packed);
    if (e->packed == NULL) {
        lspo_ternary_experts_destroy(e);
        return lspo_no_memory("the matrices of %u experts in %u blocks", model->expert_count, model->block_count);
    }
    *experts_out = e;
    return LSPO_OK;
}

void lspo_ternary_experts_destroy(lspo_ternary_experts_t *experts)
{
    if (experts == NULL)
        return;
    for (size_t i = 0; experts->packed != NULL && i < count_of(experts); i++)
        if (experts->packed[i].rows != NULL)
            lspo_device_free(experts->device, experts->packed[i].rows);
    free(experts->packed);
    free(experts);
}

static lspo_ternary_t *place_of(const lspo_ternary_experts_t *e, uint32_t stage, uint32_t expert)
{
    return &e->packed[((size_t)(stage - 1) * e->block.expert_count + expert) * e->matrices];
}

static uint64_t count_nonzeros(size_t count, const float *w)
{
    uint64_t nonzeros = 0;
    for (size_t i = 0; i < count; i++)
        nonzeros += w[i] < 0 || w[i] > 0;
    return nonzeros;
}

lspo_status_t lspo_ternary_experts_store(lspo_ternary_experts_t *experts, const lspo_expert_matrix_t *of,
                                         const float *w, void *scratch)
{
    const lspo_pruned_t matrix = lspo_stage_pruned(&experts->block, of->tensor);
    const size_t m = matrix.rows, n = matrix.cols;
    const lspo_ternary_t packed = lspo_ternary_in(m, n, scratch);
    size_t codes = 0;
    char what[64];
    void *memory = NULL;
    lspo_status_t status = lspo_ternary_pack(w, most_codes(&matrix), &packed, &codes);
    if (status != LSPO_OK)
        return status;
    const size_t bytes = lspo_ternary_bytes(n, codes);
    status = lspo_device_alloc(experts->device, bytes, &memory);
    if (status != LSPO_OK)
        return status;
    lspo_ternary_t *to = place_of(experts, of->stage, of->expert) + (of->tensor - experts->block.expert_first);
    *to = lspo_ternary_in(m, n, memory);
    memcpy(to->rows, packed.rows, (n + 1) * sizeof *packed.rows);
    memcpy(to->codes, packed.codes, codes * sizeof *packed.codes);
    experts->total.weights += m * n;
    experts->total.nonzeros += count_nonzeros(m * n, w);
    experts->total.bytes += bytes;
    /* A product reads where the codes say, so they are checked once. */
    snprintf(what, sizeof what, "block %u, expert %u, %s", of->stage, of->expert,
             experts->block.tensors[of->tensor].name);
    return lspo_ternary_check(what, to, bytes);
}

const lspo_ternary_t *lspo_ternary_experts_of(const lspo_ternary_experts_t *experts, uint32_t stage)
{
    return place_of(experts, stage, 0);
}

lspo_ternary_total_t lspo_ternary_experts_total(const lspo_ternary_experts_t *experts)
{
    return experts->total;
}
