/* footprint.c - how many elements and bytes each part of a fine-tuning takes, stage by stage; see footprint.h. */
#include "plan/footprint.h"

#include <string.h>

#include "plan/family.h"

/* Rows of probabilities that the host's attention processes at a time, in addition to one head's transposed K or V
 * (kernels/attention.h). */
enum { ATTENTION_SCRATCH_ROWS = 32 };

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* All linear weights of the stage uncompressed, one after the other. */
static void lay_out_linear(const lspo_stage_t *stage, lspo_message_t *message)
{
    memset(message, 0, sizeof *message);
    message->linear_count = stage->linear_count;
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_tensor_t *tensor = &stage->tensors[i];
        message->linear[i] = (lspo_projection_t){.rows = tensor->rows,
                                                 .cols = tensor->cols,
                                                 .d_rows = tensor->rows,
                                                 .d_cols = tensor->cols,
                                                 .message_offset_elements = message->element_count,
                                                 .message_elements = (uint64_t)tensor->rows * tensor->cols};
        message->element_count += message->linear[i].message_elements;
    }
}

static void add_rest(const lspo_stage_t *stage, lspo_message_t *message)
{
    uint64_t linear_elements = stage->linear_count == stage->tensor_count
                                   ? stage->element_count
                                   : stage->tensors[stage->linear_count].offset_elements;
    message->rest_offset_elements = message->element_count;
    message->rest_elements = stage->element_count - linear_elements;
    message->element_count += message->rest_elements;
}

void lspo_message_dense(const lspo_stage_t *stage, bool train_rest, lspo_message_t *message_out)
{
    lay_out_linear(stage, message_out);
    if (train_rest)
        add_rest(stage, message_out);
}

static void compress(uint32_t d, uint32_t r, lspo_projection_t *projection)
{
    uint32_t d_rows = smaller(d, projection->rows);
    uint32_t d_cols = smaller(d, projection->cols);
    if ((uint64_t)d_rows * d_cols >= projection->message_elements)
        return;
    projection->compressed = true;
    projection->d_rows = d_rows;
    projection->d_cols = d_cols;
    projection->nnz_rows = smaller(r, d_rows);
    projection->nnz_cols = smaller(r, d_cols);
    projection->message_elements = (uint64_t)d_rows * d_cols;
}

/* Recompute offsets after message_elements have changed: linear weights in order, then the rest. */
static void close_ranks(const lspo_stage_t *stage, bool train_rest, lspo_message_t *message)
{
    message->element_count = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        message->linear[i].message_offset_elements = message->element_count;
        message->element_count += message->linear[i].message_elements;
    }
    if (train_rest)
        add_rest(stage, message);
}

void lspo_message_projected(const lspo_stage_t *stage, uint32_t d, uint32_t r, bool train_rest,
                            lspo_message_t *message_out)
{
    lay_out_linear(stage, message_out);
    for (uint32_t i = 0; i < message_out->linear_count; i++)
        compress(d, r, &message_out->linear[i]);
    close_ranks(stage, train_rest, message_out);
}

uint32_t lspo_message_first_alike(const lspo_message_t *message, uint32_t i)
{
    const lspo_projection_t *weight = &message->linear[i];
    uint32_t first = 0;
    while (message->linear[first].rows != weight->rows || message->linear[first].cols != weight->cols)
        first++;
    return first;
}

void lspo_message_adapters(const lspo_stage_t *stage, uint32_t rank, bool train_rest, lspo_message_t *message_out)
{
    lay_out_linear(stage, message_out);
    for (uint32_t i = 0; i < message_out->linear_count; i++) {
        lspo_projection_t *adapter = &message_out->linear[i];
        adapter->compressed = true;
        adapter->d_rows = adapter->d_cols = rank;
        adapter->message_elements = (uint64_t)rank * (adapter->rows + adapter->cols);
    }
    close_ranks(stage, train_rest, message_out);
}

void lspo_message_lowrank(const lspo_stage_t *stage, uint32_t rank, bool train_rest, lspo_message_t *message_out)
{
    lay_out_linear(stage, message_out);
    for (uint32_t i = 0; i < message_out->linear_count; i++) {
        lspo_projection_t *weight = &message_out->linear[i];
        if (rank >= smaller(weight->rows, weight->cols))
            continue;
        weight->compressed = true;
        if (weight->rows <= weight->cols) {
            weight->d_rows = rank;
        } else {
            weight->d_cols = rank;
        }
        weight->message_elements = (uint64_t)weight->d_rows * weight->d_cols;
    }
    close_ranks(stage, train_rest, message_out);
}

uint64_t lspo_nf4_weight_bytes(uint64_t elements)
{
    enum { BLOCK = 64, GROUP = 256 };
    uint64_t blocks = (elements + BLOCK - 1) / BLOCK, groups = (blocks + GROUP - 1) / GROUP;
    return blocks * (BLOCK / 2 + 1) + (groups + 1) * sizeof(float);
}

uint64_t lspo_int4_weight_bytes(uint64_t rows, uint64_t cols, uint64_t group)
{
    enum { STRIP = 32 };
    const uint64_t groups = group > 0 ? (rows + group - 1) / group : rows > 0;
    const uint64_t strips = (cols + STRIP - 1) / STRIP, filled = (rows + STRIP - 1) / STRIP * STRIP;
    return strips * STRIP * (2 * groups + filled / 2);
}

void lspo_message_columns(const lspo_stage_t *stage, double fraction, bool train_rest, lspo_message_t *message_out)
{
    lay_out_linear(stage, message_out);
    for (uint32_t i = 0; i < message_out->linear_count; i++) {
        lspo_projection_t *weight = &message_out->linear[i];
        uint32_t critical = (uint32_t)(fraction * weight->cols + 0.5);
        critical = critical < 1 ? 1 : critical;
        critical = smaller(critical, weight->cols - 1);
        weight->compressed = true;
        weight->d_cols = weight->cols - critical;
        weight->message_elements = (uint64_t)weight->rows * weight->d_cols;
    }
    close_ranks(stage, train_rest, message_out);
}

/* Arrays of the model's width that a block keeps: outputs of norms that are inputs of products, the sum with
 * attention's result, and inputs of norms that are results of products. */
static uint64_t kept_rows(const lspo_model_t *model)
{
    static const uint64_t rows[LSPO_NORMS_COUNT] = {[LSPO_NORMS_BEFORE] = 3,
                                                    [LSPO_NORMS_AFTER] = 3,
                                                    [LSPO_NORMS_BOTH] = 5,
                                                    [LSPO_NORMS_PARALLEL] = 2,
                                                    [LSPO_NORMS_PARALLEL_SHARED] = 1};
    return rows[lspo_model_traits(model).norms];
}

/* Elements per token, not counting the statistics of the norms. */
static uint64_t saved_elements(const lspo_model_t *model)
{
    const uint64_t a = lspo_model_attention_width(model), kv = lspo_model_kv_width(model);
    uint64_t attention = kept_rows(model) * model->width + 2 * a + 2 * kv;
    if (model->qk_norm != LSPO_QK_NORM_NONE)
        attention += a + kv;
    return attention + (lspo_family_of(model)->gated ? 3 : 2) * (uint64_t)model->mlp_width;
}

static uint64_t backward_elements(const lspo_model_t *model)
{
    const uint64_t w = model->width, a = lspo_model_attention_width(model), kv = lspo_model_kv_width(model);
    return 2 * w + a + 2 * kv + larger(w, a) + (lspo_family_of(model)->gated ? 2 : 1) * (uint64_t)model->mlp_width;
}

/* Numbers per token that a block's norms keep: 1/sigma, and the mean if there is one. */
static uint64_t statistics(const lspo_model_t *model)
{
    uint64_t norms = lspo_model_norm_count(model);
    if (model->qk_norm == LSPO_QK_NORM_HEAD)
        norms += model->head_count + model->kv_head_count;
    if (model->qk_norm == LSPO_QK_NORM_WIDTH)
        norms += 2;
    return norms * (lspo_model_traits(model).rms ? 1 : 2);
}

uint64_t lspo_logits_stride(uint32_t vocabulary, uint64_t element_bytes)
{
    return element_bytes == 2 ? ((uint64_t)vocabulary + 7) / 8 * 8 : vocabulary;
}

/* A classifier uses only the first token of each sequence. */
static uint64_t head_bytes(const lspo_model_t *model, const lspo_workload_t *workload, uint64_t norm_statistics)
{
    uint64_t p = lspo_precision_bytes(workload->precision);
    if (model->class_count > 0)
        return workload->batch * p * ((uint64_t)model->width + model->class_count);
    uint64_t elements = model->width + lspo_logits_stride(model->vocabulary, p);
    return lspo_workload_tokens(workload) * (p * elements + 4 * norm_statistics);
}

void lspo_activations(const lspo_model_t *model, const lspo_workload_t *workload, lspo_activations_t *activations_out)
{
    uint64_t tokens = lspo_workload_tokens(workload);
    uint64_t p = lspo_precision_bytes(workload->precision);
    bool materialised = workload->precision == LSPO_FP32;
    uint64_t norm_statistics = lspo_model_traits(model).rms ? 1 : 2;
    uint64_t attention = (uint64_t)model->head_count * (materialised ? workload->sequence : 1);
    activations_out->saved_bytes = tokens * (p * saved_elements(model) + 4 * attention + 4 * statistics(model));
    activations_out->input_bytes = tokens * p * model->width;
    activations_out->head_bytes = head_bytes(model, workload, norm_statistics);
    uint64_t head_width = lspo_model_head_width(model);
    uint64_t columns = materialised ? ATTENTION_SCRATCH_ROWS + head_width : 0;
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY) {
        columns += head_width; /* the table of angles */
    }
    activations_out->workspace_bytes =
        larger(tokens * p * backward_elements(model), activations_out->head_bytes) + 4 * columns * workload->sequence;
}

uint64_t lspo_footprint_gpu_bytes(const lspo_footprint_t *footprint)
{
    return footprint->gpu_parameters_bytes + footprint->gpu_gradients_bytes + footprint->gpu_optimizer_bytes +
           footprint->gpu_projectors_bytes + footprint->gpu_workspace_bytes + footprint->gpu_cache_bytes;
}

uint64_t lspo_footprint_host_bytes(const lspo_footprint_t *footprint)
{
    return footprint->host_master_bytes + footprint->host_optimizer_bytes + footprint->host_gradients_bytes +
           footprint->host_outgoing_bytes + footprint->host_projectors_bytes + footprint->host_parameters_bytes +
           footprint->host_activations_bytes + footprint->host_cache_bytes + footprint->host_inputs_bytes;
}
