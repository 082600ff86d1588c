/* mapped.c - see mapped.h. */
#include "real/generate/mapped.h"

#include <stdlib.h>

#include "plan/build_generate.h"
#include "plan/policies/vtensor.h"
#include "plan/policy.h"
#include "real/generate/text_cache.h"

struct lspo_mapped {
    const lspo_plan_t *plan;
    lspo_chunks_t *pool;
    size_t count; /* texts of all micro-batches, one micro-batch behind the other */
    lspo_text_cache_t **texts;
    size_t *firsts; /* of the texts of a micro-batch, all alike */
    void **k, **v;
};

static lspo_status_t create_pool(lspo_mapped_t *mapped, lspo_device_t *device)
{
    const lspo_workload_t *w = &mapped->plan->workload;
    const lspo_model_t *model = &mapped->plan->model;
    const lspo_vtensor_values_t *values = lspo_vtensor_values_of(w);
    const uint64_t most = mapped->count * lspo_vtensor_ranges(values, model) *
                          lspo_vtensor_chunks_of(values, model, w->precision, lspo_generate_positions(w));
    return lspo_chunks_create(&(lspo_chunks_options_t){.device = device,
                                                       .chunk_bytes = (uint64_t)values->chunk,
                                                       .most = most,
                                                       .made = values->chunks == LSPO_CHUNKS_START ? most : 0,
                                                       .access_by_chunk = values->access == LSPO_ACCESS_CHUNK},
                              &mapped->pool);
}

static lspo_status_t create_texts(lspo_mapped_t *mapped)
{
    const lspo_workload_t *w = &mapped->plan->workload;
    const lspo_text_cache_options_t options = {.model = &mapped->plan->model,
                                               .number = lspo_compute_number_of(w->precision),
                                               .one_range = lspo_vtensor_values_of(w)->range == LSPO_RANGE_TEXT,
                                               .positions = lspo_generate_positions(w),
                                               .pool = mapped->pool};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < mapped->count; i++)
        status = lspo_text_cache_create(&options, &mapped->texts[i]);
    return status;
}

lspo_status_t lspo_mapped_create(const lspo_plan_t *plan, lspo_device_t *device, lspo_mapped_t **mapped_out)
{
    const lspo_workload_t *w = &plan->workload;
    if (plan->policy->parameters != &lspo_vtensor_parameters) {
        *mapped_out = NULL;
        return LSPO_OK;
    }
    lspo_mapped_t *mapped = calloc(1, sizeof *mapped);
    if (mapped == NULL)
        return lspo_no_memory("the caches of a plan");
    mapped->plan = plan;
    mapped->count = (size_t)w->batch * w->accumulation;
    mapped->texts = calloc(mapped->count, sizeof(lspo_text_cache_t *));
    mapped->firsts = calloc(w->batch, sizeof *mapped->firsts);
    mapped->k = calloc(w->batch, sizeof *mapped->k);
    mapped->v = calloc(w->batch, sizeof *mapped->v);
    const bool has_all = mapped->texts != NULL && mapped->firsts != NULL && mapped->k != NULL && mapped->v != NULL;
    lspo_status_t status = has_all ? create_pool(mapped, device) : lspo_no_memory("%zu caches", mapped->count);
    if (status == LSPO_OK)
        status = create_texts(mapped);
    if (status != LSPO_OK) {
        lspo_mapped_destroy(mapped);
        return status;
    }
    *mapped_out = mapped;
    return LSPO_OK;
}

void lspo_mapped_destroy(lspo_mapped_t *mapped)
{
    if (mapped == NULL)
        return;
    for (size_t i = 0; mapped->texts != NULL && i < mapped->count; i++)
        lspo_text_cache_destroy(mapped->texts[i]);
    lspo_chunks_destroy(mapped->pool);
    free(mapped->texts);
    free(mapped->firsts);
    free(mapped->k);
    free(mapped->v);
    free(mapped);
}

void lspo_mapped_reset(lspo_mapped_t *mapped)
{
    if (mapped == NULL)
        return;
    for (size_t i = 0; i < mapped->count; i++)
        lspo_text_cache_shrink(mapped->texts[i], 0);
    lspo_chunks_trim(mapped->pool);
}

/* The first cache of a micro-batch. */
static lspo_text_cache_t **texts_of(const lspo_mapped_t *mapped, uint32_t micro)
{
    return mapped->texts + (size_t)micro * mapped->plan->workload.batch;
}

lspo_status_t lspo_mapped_map(lspo_mapped_t *mapped, const lspo_op_t *op)
{
    const lspo_workload_t *w = &mapped->plan->workload;
    const size_t tokens = (size_t)lspo_generate_first(w, op->iteration) + lspo_generate_count(w, op->iteration);
    lspo_status_t status = LSPO_OK;
    for (uint32_t b = 0; status == LSPO_OK && b < w->batch; b++)
        status = lspo_text_cache_grow(texts_of(mapped, op->micro)[b], tokens);
    return status;
}

void lspo_mapped_begin(lspo_mapped_t *mapped, uint32_t iteration, lspo_transformer_t *t)
{
    const lspo_workload_t *w = &mapped->plan->workload;
    for (uint32_t b = 0; b < w->batch; b++)
        mapped->firsts[b] = lspo_generate_first(w, iteration);
    lspo_generation_begin_each(t, w->batch, mapped->firsts, lspo_generate_count(w, iteration));
}

void lspo_mapped_block_forward(lspo_mapped_t *mapped, const lspo_op_t *op, lspo_transformer_t *t, const void *weights,
                               const float *x_in, float *x_out)
{
    lspo_text_cache_t **texts = texts_of(mapped, op->micro);
    for (uint32_t b = 0; b < mapped->plan->workload.batch; b++) {
        mapped->k[b] = lspo_text_cache_k(texts[b], op->layer - 1U);
        mapped->v[b] = lspo_text_cache_v(texts[b], op->layer - 1U);
    }
    const lspo_generation_caches_t caches = {
        .k = mapped->k, .v = mapped->v, .token_stride = lspo_text_cache_stride(texts[0])};
    lspo_generation_block_forward_each(t, weights, &caches, x_in, x_out);
}
