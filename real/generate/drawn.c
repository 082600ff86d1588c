/* drawn.c - see drawn.h. */
#include "real/generate/drawn.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>

#include "kernels/pack.h"
#include "real/generate/packed.h"
#include "real/generate/quantizer.h"

static bool is_apart(const lspo_drawn_t *drawn, const lspo_stage_t *shape)
{
    return drawn->experts != NULL && shape->kind == LSPO_STAGE_BLOCK;
}

size_t lspo_drawn_bytes(const lspo_drawn_t *drawn, uint32_t stage)
{
    const lspo_model_t *model = &drawn->plan->model;
    lspo_stage_t shape, dense;
    lspo_model_stage(model, stage, &shape);
    if (!is_apart(drawn, &shape))
        return lspo_generation_weight_bytes(model, stage, drawn->number, &drawn->int4);
    lspo_stage_without_experts(&shape, &dense);
    return dense.element_count * lspo_number_bytes(drawn->number);
}

size_t lspo_drawn_stored_bytes(const lspo_drawn_t *drawn, uint32_t stage, bool packed)
{
    lspo_stage_t shape;
    lspo_model_stage(&drawn->plan->model, stage, &shape);
    return packed ? lspo_endor_stored_bytes(drawn->endor, &shape, drawn->plan->workload.precision)
                  : lspo_drawn_bytes(drawn, stage);
}

/* All but the experts, which are in their cache then. */
static lspo_status_t store_apart(const lspo_drawn_t *drawn, uint32_t stage, const lspo_stage_t *block, float *wide,
                                 void *out)
{
    const size_t first = block->tensors[block->expert_first].offset_elements;
    const size_t rest = block->tensors[block->linear_count].offset_elements;
    lspo_convert(first, LSPO_NUMBER_FP32, wide, drawn->number, out);
    lspo_convert(block->element_count - rest, LSPO_NUMBER_FP32, wide + rest, drawn->number,
                 (char *)out + first * lspo_number_bytes(drawn->number));
    return lspo_expert_cache_store(drawn->experts, stage, wide);
}

enum { COLUMNS = 2 * LSPO_INT4_STRIP };

/* With little memory beside, because a run's peak is that of its plan. */
static lspo_status_t draw_rounded(const lspo_drawn_t *drawn, uint32_t stage, char *out)
{
    const lspo_model_t *model = &drawn->plan->model;
    const lspo_weights_source_t to = {.model = model, .number = drawn->number, .int4 = drawn->int4};
    const lspo_init_t init = {stage, drawn->plan->workload.seed, drawn->number};
    lspo_stage_t shape;
    lspo_status_t status = LSPO_OK;
    lspo_model_stage(model, stage, &shape);
    for (uint32_t i = 0; status == LSPO_OK && i < shape.linear_count; i++) {
        const lspo_tensor_t *tensor = &shape.tensors[i];
        float *columns = malloc(tensor->rows * COLUMNS * sizeof *columns);
        if (columns == NULL)
            return lspo_no_memory("weights to be rounded");
        for (size_t first = 0; status == LSPO_OK && first < tensor->cols; first += COLUMNS) {
            const size_t count = tensor->cols - first < COLUMNS ? tensor->cols - first : COLUMNS;
            lspo_transformer_init_columns(model, &init, &(lspo_init_columns_t){i, first, count}, columns);
            status = lspo_quantizer_round(&to, &(lspo_quantizer_columns_t){stage, i, first, count}, NULL, columns, out);
        }
        free(columns);
    }
    if (status == LSPO_OK)
        lspo_transformer_init_rest(
            model, &init, out + lspo_generation_weight_offset(&shape, to.number, &to.int4, shape.linear_count));
    return status;
}

/* Pruned, or with experts apart: in fp32 first. */
static lspo_status_t draw_wide(const lspo_drawn_t *drawn, uint32_t stage, const lspo_stage_t *shape, void *out)
{
    const bool apart = is_apart(drawn, shape), in_place = drawn->number == LSPO_NUMBER_FP32 && !apart;
    float *wide = in_place ? out : malloc(shape->element_count * sizeof *wide + 1);
    lspo_status_t status = LSPO_OK;
    if (wide == NULL)
        return lspo_no_memory("the weights of a stage");
    lspo_transformer_init(&drawn->plan->model, stage, drawn->plan->workload.seed, wide);
    if (drawn->endor != NULL)
        status = lspo_packed_prune(shape, drawn->endor->sparsity, wide);
    if (in_place)
        return status;
    if (apart)
        status = store_apart(drawn, stage, shape, wide, out);
    else
        lspo_convert(shape->element_count, LSPO_NUMBER_FP32, wide, drawn->number, out);
    free(wide);
    return status;
}

/* As it is computed. */
static lspo_status_t draw(const lspo_drawn_t *drawn, uint32_t stage, void *out)
{
    lspo_stage_t shape;
    lspo_model_stage(&drawn->plan->model, stage, &shape);
    if (shape.kind == LSPO_STAGE_BLOCK && (drawn->endor != NULL || drawn->experts != NULL))
        return draw_wide(drawn, stage, &shape, out);
    if (shape.kind == LSPO_STAGE_BLOCK && drawn->int4.on)
        return draw_rounded(drawn, stage, out);
    lspo_transformer_init_as(&drawn->plan->model, &(lspo_init_t){stage, drawn->plan->workload.seed, drawn->number},
                             out);
    return LSPO_OK;
}

lspo_status_t lspo_drawn_store(const lspo_drawn_t *drawn, uint32_t stage, bool packed, void *out)
{
    lspo_stage_t shape;
    if (!packed)
        return draw(drawn, stage, out);
    void *dense = malloc(lspo_drawn_bytes(drawn, stage));
    if (dense == NULL)
        return lspo_no_memory("the weights of a stage");
    lspo_model_stage(&drawn->plan->model, stage, &shape);
    lspo_status_t status = draw(drawn, stage, dense);
    if (status == LSPO_OK)
        lspo_packed_store(&(lspo_packed_t){drawn->endor, &shape, drawn->number}, dense, out);
    free(dense);
#ifdef __GLIBC__
    malloc_trim(0); /* else it stays in the process, and counts in the peak of the run */
#endif
    return status;
}
