/* quantizer.c - see quantizer.h. */
#include "real/generate/quantizer.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/gptq.h"
#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "kernels/pruned.h"
#include "kernels/ternary_quantize.h"
#include "real/generate/input_sums.h"
#include "real/transformer/generation.h"

struct lspo_quantizer {
    lspo_quantizer_options_t options;
    lspo_stage_t block;
    float *wide;   /* a block's weights in fp32 */
    void *scratch; /* of pruning or packing a matrix */
    lspo_ternary_experts_t *experts;
    lspo_input_sums_t *calibration; /* only for GPTQ and Wanda */
    uint32_t unseen;                /* experts */
};

static bool calibrates(const lspo_quantizer_options_t *options)
{
    return options->tokens != NULL;
}

static bool prunes(const lspo_quantizer_options_t *options)
{
    return !options->from.int4.on && !options->from.ternary;
}

static lspo_input_sums_options_t calibration_of(const lspo_quantizer_options_t *options)
{
    return (lspo_input_sums_options_t){.from = options->from,
                                       .workers = options->workers,
                                       .device = options->device,
                                       .tokens = options->tokens,
                                       .sequences = options->sequences,
                                       .length = options->length,
                                       .squares = prunes(options)};
}

static size_t scratch_bytes(const lspo_quantizer_options_t *options, const lspo_stage_t *block)
{
    size_t most = 0;
    if (options->from.ternary)
        return lspo_ternary_experts_scratch(options->from.model);
    for (uint32_t i = 0; prunes(options) && i < block->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(block, i);
        const size_t all = (size_t)pruned.rows * pruned.cols;
        const size_t wanda = calibrates(options) ? lspo_prune_wanda_scratch(options->workers, pruned.rows) : 0;
        /* An expert that no token has chosen is pruned by magnitude. */
        const size_t some = !calibrates(options) || (i >= block->expert_first && all > wanda) ? all : wanda;
        most = pruned.count > 0 && some > most ? some : most;
    }
    return most * sizeof(float);
}

uint64_t lspo_quantizer_bytes(const lspo_quantizer_options_t *options)
{
    const lspo_input_sums_options_t calibration = calibration_of(options);
    lspo_stage_t block;
    lspo_model_stage(options->from.model, 1, &block);
    return block.element_count * sizeof(float) + scratch_bytes(options, &block) +
           (calibrates(options) ? lspo_input_sums_bytes(&calibration) : 0);
}

/* ---- the object ---- */

static lspo_status_t open_quantizer(lspo_quantizer_t *q)
{
    const lspo_quantizer_options_t *options = &q->options;
    const lspo_input_sums_options_t calibration = calibration_of(options);
    const size_t bytes = scratch_bytes(options, &q->block);
    lspo_status_t status =
        lspo_device_alloc(options->device, q->block.element_count * sizeof(float), (void **)&q->wide);
    if (status == LSPO_OK && bytes > 0)
        status = lspo_device_alloc(options->device, bytes, &q->scratch);
    if (status == LSPO_OK && options->from.ternary)
        status = lspo_ternary_experts_create(options->from.model, options->device, &q->experts);
    if (status == LSPO_OK && calibrates(options))
        status = lspo_input_sums_create(&calibration, &q->calibration);
    return status;
}

lspo_status_t lspo_quantizer_create(const lspo_quantizer_options_t *options, lspo_quantizer_t **quantizer_out)
{
    lspo_quantizer_t *q = calloc(1, sizeof *q);
    if (q == NULL)
        return lspo_no_memory("a quantizer");
    q->options = *options;
    lspo_model_stage(options->from.model, 1, &q->block);
    lspo_status_t status = open_quantizer(q);
    if (status != LSPO_OK) {
        lspo_quantizer_destroy(q);
        return status;
    }
    *quantizer_out = q;
    return LSPO_OK;
}

void lspo_quantizer_destroy(lspo_quantizer_t *quantizer)
{
    if (quantizer == NULL)
        return;
    lspo_input_sums_destroy(quantizer->calibration);
    lspo_ternary_experts_destroy(quantizer->experts);
    if (quantizer->wide != NULL)
        lspo_device_free(quantizer->options.device, quantizer->wide);
    if (quantizer->scratch != NULL)
        lspo_device_free(quantizer->options.device, quantizer->scratch);
    free(quantizer);
}

lspo_ternary_experts_t *lspo_quantizer_take_experts(lspo_quantizer_t *quantizer)
{
    lspo_ternary_experts_t *experts = quantizer->experts;
    quantizer->experts = NULL;
    return experts;
}

uint32_t lspo_quantizer_unseen(const lspo_quantizer_t *quantizer)
{
    return quantizer->unseen;
}

/* ---- weights ---- */

static lspo_status_t refuse(const lspo_model_t *model, uint32_t stage, const lspo_tensor_t *tensor, const char *what)
{
    char name[16];
    return lspo_error(LSPO_ERR_INPUT, "weight %s of stage %s has %s", tensor->name,
                      lspo_model_stage_name(model, stage, name), what);
}

static const char beyond_int4[] = "numbers that are not finite or above 491,280; int4 cannot hold them";
static const char beyond_bf16[] = "numbers that are not finite in bf16";

/* The k-th matrix of a tensor, in fp32. */
static float *matrix_of(const lspo_quantizer_t *q, uint32_t tensor, uint32_t k)
{
    const lspo_pruned_t matrix = lspo_stage_pruned(&q->block, tensor);
    return q->wide + q->block.tensors[tensor].offset_elements + (size_t)k * matrix.rows * matrix.cols;
}

/* Has a token chosen this expert?  Without experts: yes. */
static bool is_seen(const lspo_quantizer_t *q, uint32_t tensor, uint32_t expert)
{
    return tensor < q->block.expert_first || lspo_input_sums_tokens(q->calibration, expert) > 0;
}

/* The factor for GPTQ of the inputs of a matrix, which tensors with the same inputs share. */
static lspo_status_t factor_inputs(const lspo_quantizer_t *q, uint32_t tensor, uint32_t k, float **upper_out)
{
    const float damping = q->options.from.ternary ? LSPO_TERNARY_DAMPING : LSPO_INT4_DAMPING;
    bool is_first;
    *upper_out = lspo_input_sums_of(q->calibration, tensor, k, &is_first);
    return is_first ? lspo_gptq_factor(lspo_stage_pruned(&q->block, tensor).rows, damping, *upper_out) : LSPO_OK;
}

/* ---- 4 bits ---- */

/* What is behind the linear tensors. */
static void convert_rest(const lspo_weights_source_t *to, const lspo_stage_t *block, const float *wide, char *out)
{
    const uint64_t linear = block->tensors[block->linear_count].offset_elements;
    lspo_convert(block->element_count - linear, LSPO_NUMBER_FP32, wide + linear, to->number,
                 out + lspo_generation_weight_offset(block, to->number, &to->int4, block->linear_count));
}

lspo_status_t lspo_quantizer_round(const lspo_weights_source_t *to, const lspo_quantizer_columns_t *of,
                                   lspo_workers_t *workers, const float *columns, void *out)
{
    lspo_stage_t block;
    lspo_model_stage(to->model, of->stage, &block);
    const lspo_tensor_t *tensor = &block.tensors[of->tensor];
    const lspo_int4_shape_t shape = lspo_int4_shape(&to->int4, tensor->rows, of->count);
    const lspo_int4_shape_t before = lspo_int4_shape(&to->int4, tensor->rows, of->first);
    char *packed = (char *)out + lspo_generation_weight_offset(&block, to->number, &to->int4, of->tensor);
    return lspo_int4_round(workers, &shape, columns, packed + lspo_int4_bytes(&before))
               ? LSPO_OK
               : refuse(to->model, of->stage, tensor, beyond_int4);
}

static lspo_status_t calibrate_tensor(lspo_quantizer_t *q, uint32_t stage, uint32_t i, char *weights)
{
    const lspo_weights_source_t *to = &q->options.from;
    const lspo_tensor_t *tensor = &q->block.tensors[i];
    const lspo_int4_shape_t shape = lspo_int4_shape(&to->int4, tensor->rows, tensor->cols);
    float *upper = NULL;
    lspo_status_t status = factor_inputs(q, i, 0, &upper);
    if (status != LSPO_OK)
        return status;
    return lspo_int4_gptq(q->options.workers, &shape, matrix_of(q, i, 0), upper,
                          weights + lspo_generation_weight_offset(&q->block, to->number, &to->int4, i))
               ? LSPO_OK
               : refuse(to->model, stage, tensor, beyond_int4);
}

static lspo_status_t narrow_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    const lspo_weights_source_t *to = &q->options.from;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        status = q->calibration != NULL
                     ? calibrate_tensor(q, stage, i, weights)
                     : lspo_quantizer_round(to, &(lspo_quantizer_columns_t){stage, i, 0, q->block.tensors[i].cols},
                                            q->options.workers, matrix_of(q, i, 0), weights);
    if (status == LSPO_OK)
        convert_rest(to, &q->block, q->wide, weights);
    return status;
}

/* ---- ternary experts ---- */

static lspo_status_t pack_matrix(lspo_quantizer_t *q, const lspo_expert_matrix_t *of)
{
    const lspo_quantizer_options_t *options = &q->options;
    const lspo_pruned_t matrix = lspo_stage_pruned(&q->block, of->tensor);
    float *w = matrix_of(q, of->tensor, of->expert), *upper = NULL;
    const bool gptq = q->calibration != NULL && is_seen(q, of->tensor, of->expert);
    lspo_status_t status = gptq ? factor_inputs(q, of->tensor, of->expert, &upper) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (!(gptq ? lspo_ternary_gptq(options->workers, matrix.rows, matrix.cols, w, upper)
               : lspo_ternary_nearest(options->workers, matrix.rows, matrix.cols, w)))
        return refuse(options->from.model, of->stage, &q->block.tensors[of->tensor], beyond_bf16);
    return lspo_ternary_experts_store(q->experts, of, w, q->scratch);
}

/* All but the experts. */
static void store_apart(const lspo_quantizer_t *q, char *out)
{
    const lspo_number_t number = q->options.from.number;
    const size_t first = q->block.tensors[q->block.expert_first].offset_elements;
    const size_t rest = q->block.tensors[q->block.linear_count].offset_elements;
    lspo_convert(first, LSPO_NUMBER_FP32, q->wide, number, out);
    lspo_convert(q->block.element_count - rest, LSPO_NUMBER_FP32, q->wide + rest, number,
                 out + first * lspo_number_bytes(number));
}

static lspo_status_t pack_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t e = 0; e < q->block.expert_count; e++)
        for (uint32_t i = q->block.expert_first; status == LSPO_OK && i < q->block.linear_count; i++)
            status = pack_matrix(q, &(lspo_expert_matrix_t){stage, i, e});
    if (status == LSPO_OK)
        store_apart(q, weights);
    return status;
}

/* ---- pruning ---- */

static bool are_finite(size_t count, const float *x)
{
    bool all = true;
    for (size_t i = 0; i < count; i++)
        all &= isfinite(x[i]) != 0;
    return all;
}

static void prune_matrix(lspo_quantizer_t *q, uint32_t tensor, uint32_t k, const float *squares)
{
    const lspo_pruned_t pruned = lspo_stage_pruned(&q->block, tensor);
    const double sparsity = q->options.sparsity;
    if (squares != NULL)
        lspo_prune_wanda(q->options.workers, &(lspo_wanda_t){pruned.rows, pruned.cols, sparsity, squares},
                         matrix_of(q, tensor, k), q->scratch);
    else
        lspo_prune_magnitude((size_t)pruned.rows * pruned.cols, sparsity, matrix_of(q, tensor, k), q->scratch);
}

/* The sums of the squares of a matrix's inputs; NULL: it is pruned by magnitude. */
static const float *squares_of(const lspo_quantizer_t *q, uint32_t tensor, uint32_t k)
{
    bool is_first;
    return q->calibration != NULL && is_seen(q, tensor, k) ? lspo_input_sums_of(q->calibration, tensor, k, &is_first)
                                                           : NULL;
}

static lspo_status_t check_tensor(const lspo_quantizer_t *q, uint32_t stage, uint32_t i)
{
    const lspo_model_t *model = q->options.from.model;
    const lspo_tensor_t *tensor = &q->block.tensors[i];
    const lspo_pruned_t pruned = lspo_stage_pruned(&q->block, i);
    if (!are_finite((size_t)tensor->rows * tensor->cols, q->wide + tensor->offset_elements))
        return refuse(model, stage, tensor, "numbers that are not finite");
    for (uint32_t k = 0; k < pruned.count; k++) {
        const float *squares = squares_of(q, i, k);
        if (squares != NULL && !are_finite(pruned.rows, squares))
            return refuse(model, stage, tensor, "inputs in the calibration whose squares are not finite");
    }
    return LSPO_OK;
}

static lspo_status_t prune_block(lspo_quantizer_t *q, uint32_t stage, char *weights)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        status = check_tensor(q, stage, i);
    for (uint32_t i = 0; status == LSPO_OK && i < q->block.linear_count; i++)
        for (uint32_t k = 0; k < lspo_stage_pruned(&q->block, i).count; k++)
            prune_matrix(q, i, k, squares_of(q, i, k));
    if (status == LSPO_OK)
        lspo_convert(q->block.element_count, LSPO_NUMBER_FP32, q->wide, q->options.from.number, weights);
    return status;
}

/* ---- stages ---- */

static void count_unseen(lspo_quantizer_t *q)
{
    for (uint32_t e = 0; e < q->block.expert_count; e++)
        q->unseen += lspo_input_sums_tokens(q->calibration, e) == 0;
}

static lspo_status_t load_block(lspo_quantizer_t *q, uint32_t stage, void *weights)
{
    const lspo_weights_source_t *from = &q->options.from;
    lspo_status_t status = from->load(from->context, stage, LSPO_NUMBER_FP32, q->wide);
    if (status == LSPO_OK && q->calibration != NULL) {
        status = lspo_input_sums_measure(q->calibration, q->wide);
        count_unseen(q);
    }
    if (status == LSPO_OK)
        status = (from->ternary ? pack_block : from->int4.on ? narrow_block : prune_block)(q, stage, weights);
    if (status == LSPO_OK && q->calibration != NULL)
        lspo_input_sums_follow(q->calibration, weights,
                               from->ternary ? lspo_ternary_experts_of(q->experts, stage) : NULL);
    return status;
}

lspo_status_t lspo_quantizer_load(void *quantizer, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_quantizer_t *q = quantizer;
    lspo_stage_t shape;
    lspo_model_stage(q->options.from.model, stage, &shape);
    if (shape.kind == LSPO_STAGE_BLOCK)
        return load_block(q, stage, weights);
    lspo_status_t status = q->options.from.load(q->options.from.context, stage, number, weights);
    if (status == LSPO_OK && stage == 0 && q->calibration != NULL)
        lspo_input_sums_embed(q->calibration, weights);
    return status;
}
