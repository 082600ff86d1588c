/* transformer.c - create a transformer and compute the layout of its buffers; gpt.c, llama.c and bert.c have its
 * stages. */
#include "real/transformer/transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rotary.h"
#include "plan/family.h"
#include "real/transformer/rope.h"
#include "real/transformer/state.h"

/* kernels/attention_cuda.cu */
enum { FLASH_HEAD_WIDTH_MAX = 128 };

/* The sizes that determine the layouts. */
typedef struct {
    const lspo_model_t *model;
    size_t batch, sequence, tokens;
    lspo_number_t number;
    const lspo_generation_shape_t *generation; /* NULL: for training */
} shape_t;

static shape_t shape_of(const lspo_model_t *model, uint32_t batch, uint32_t sequence, lspo_number_t number)
{
    return (shape_t){model, batch, sequence, (size_t)batch * sequence, number, NULL};
}

static const lspo_transformer_family_t *stages_of(const lspo_model_t *model)
{
    static const lspo_transformer_family_t *const families[] = {
#define FAMILY(id, name) [LSPO_FAMILY_##id] = &lspo_transformer_##name,
        LSPO_FAMILIES(FAMILY)
#undef FAMILY
    };
    return families[model->family];
}

static size_t take_floats(size_t count, size_t *end)
{
    return lspo_layout_take(end, count * sizeof(float));
}

static size_t take_numbers(const shape_t *of, size_t count, size_t *end)
{
    return lspo_layout_take(end, count * lspo_number_bytes(of->number));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Q, K and V as separate arrays, or in the rows of one array. */
static void take_qkv(const shape_t *of, size_t *end, size_t *q, size_t *k, size_t *v)
{
    const size_t a = lspo_model_attention_width(of->model), kv = lspo_model_kv_width(of->model),
                 rows = stages_of(of->model)->separate_qkv ? of->tokens : 1;
    *q = take_numbers(of, of->tokens * (a + 2 * kv), end);
    *k = *q + rows * a * lspo_number_bytes(of->number);
    *v = *k + rows * kv * lspo_number_bytes(of->number);
}

static void take_statistics(const shape_t *of, lspo_block_saved_t *s)
{
    const size_t kept = of->generation != NULL ? 0 : of->number == LSPO_NUMBER_FP32 ? of->sequence : 1;
    s->rstd1 = take_floats(of->tokens, &s->end);
    s->rstd2 = take_floats(of->tokens, &s->end);
    if (!lspo_model_traits(of->model).rms) {
        s->mean1 = take_floats(of->tokens, &s->end);
        s->mean2 = take_floats(of->tokens, &s->end);
    }
    if (of->model->qk_norm == LSPO_QK_NORM_HEAD) {
        s->q_rstd = take_floats(of->tokens * of->model->head_count, &s->end);
        s->k_rstd = take_floats(of->tokens * of->model->kv_head_count, &s->end);
    }
    s->kept = take_floats(of->tokens * of->model->head_count * kept, &s->end);
}

/* Only of generation, in fp32. */
static void take_experts(const shape_t *of, lspo_block_saved_t *s)
{
    const size_t chosen = of->tokens * of->model->experts_per_token, rows = of->tokens * of->model->width;
    s->router = take_floats(of->tokens * of->model->expert_count, &s->end);
    s->experts = take_floats(chosen, &s->end);
    s->shares = take_floats(chosen, &s->end);
    s->rows = take_floats(of->tokens, &s->end);
    s->expert_in = take_floats(rows, &s->end);
    s->expert_out = take_floats(rows, &s->end);
}

static lspo_block_saved_t block_saved_layout(const shape_t *of)
{
    const size_t rows = of->tokens * of->model->width, mlp = of->tokens * of->model->mlp_width;
    const size_t attention = of->tokens * lspo_model_attention_width(of->model);
    lspo_block_saved_t s = {0};
    take_statistics(of, &s);
    s.norm1_out = take_numbers(of, rows, &s.end);
    if (of->model->qk_norm == LSPO_QK_NORM_HEAD) {
        s.q_raw = take_numbers(of, attention, &s.end);
        s.k_raw = take_numbers(of, of->tokens * lspo_model_kv_width(of->model), &s.end);
    }
    take_qkv(of, &s.end, &s.q, &s.k, &s.v);
    s.context = take_numbers(of, attention, &s.end);
    s.residual = take_numbers(of, rows, &s.end);
    if (lspo_family_of(of->model)->post_norm)
        s.sum = take_numbers(of, rows, &s.end);
    else
        s.norm2_out = take_numbers(of, rows, &s.end);
    if (lspo_family_of(of->model)->gated)
        s.gate = take_numbers(of, mlp, &s.end);
    s.mlp_pre = take_numbers(of, mlp, &s.end);
    s.mlp_act = take_numbers(of, mlp, &s.end);
    if (of->model->expert_count > 0)
        take_experts(of, &s);
    return s;
}

static size_t logits_stride(const shape_t *of)
{
    return lspo_logits_stride(of->model->vocabulary, lspo_number_bytes(of->number));
}

static lspo_head_saved_t head_saved_layout(const shape_t *of)
{
    const lspo_model_t *model = of->model;
    lspo_head_saved_t s = {0};
    if (model->class_count > 0) {
        s.dense_out = take_numbers(of, of->batch * model->width, &s.end);
        s.probabilities = take_numbers(of, of->batch * model->class_count, &s.end);
        return s;
    }
    s.rstd = take_floats(of->tokens, &s.end);
    if (!lspo_model_traits(of->model).rms)
        s.mean = take_floats(of->tokens, &s.end);
    s.norm_out = take_numbers(of, of->tokens * model->width, &s.end);
    s.probabilities = take_numbers(of, of->tokens * logits_stride(of), &s.end);
    return s;
}

static lspo_block_workspace_t block_workspace_layout(const shape_t *of)
{
    const lspo_model_t *model = of->model;
    const size_t rows = of->tokens * model->width, mlp = of->tokens * model->mlp_width;
    lspo_block_workspace_t s = {0};
    s.d_mlp_down = take_numbers(of, rows, &s.end);
    s.d_mlp_up = take_numbers(of, mlp, &s.end);
    if (lspo_family_of(of->model)->gated)
        s.d_gate = take_numbers(of, mlp, &s.end);
    s.d_attention_out = take_numbers(of, rows, &s.end);
    take_qkv(of, &s.end, &s.d_q, &s.d_k, &s.d_v);
    s.scratch = take_numbers(of, larger(rows, of->tokens * lspo_model_attention_width(model)), &s.end);
    s.attention = s.end;
    if (of->number == LSPO_NUMBER_FP32)
        take_floats(lspo_attention_scratch(of->sequence, lspo_model_head_width(model)), &s.end);
    return s;
}

/* Every size of a product fits in 31 bits, and no buffer overflows a size_t: with the former and a sum below 2^50
 * floats, the integer arithmetic of the layouts is exact. */
static bool sizes_hold(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    if (model->head_count == 0)
        return false;
    const double limit = 2147483647.0, tokens = (double)batch * sequence;
    const double w = fmax(model->width, (double)lspo_model_head_width(model) * model->head_count);
    const double f = model->mlp_width;
    const double v = (double)lspo_logits_stride(model->vocabulary, 2);       /* in fp32 at most 7 fewer */
    const double stride = model->class_count > 0 ? (double)sequence * w : w; /* from first token to first token */
    const double floats = tokens * (9.0 * w + 3.0 * f + (double)model->head_count * sequence + v + 6.0);
    return model->kv_head_count > 0 && tokens <= limit && 3.0 * w <= limit && f <= limit && v <= limit &&
           stride <= limit && floats < 1125899906842624.0;
}

size_t lspo_transformer_rotary_bytes(const lspo_model_t *model, size_t positions)
{
    const bool rotary = lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY;
    return rotary ? positions * lspo_model_head_width(model) * sizeof(float) : 0;
}

static size_t positions_of(const shape_t *of)
{
    return of->generation != NULL ? of->generation->positions : of->sequence;
}

size_t lspo_transformer_generation_saved(const lspo_model_t *model, const lspo_generation_shape_t *generation)
{
    shape_t of = shape_of(model, generation->batch, generation->tokens, LSPO_NUMBER_FP32);
    of.generation = generation;
    return block_saved_layout(&of).end;
}

size_t lspo_transformer_workspace_bytes(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                        lspo_number_t number)
{
    if (!sizes_hold(model, batch, sequence))
        return SIZE_MAX;
    const shape_t of = shape_of(model, batch, sequence, number);
    const lspo_block_workspace_t block = block_workspace_layout(&of);
    const size_t head = head_saved_layout(&of).end;
    return lspo_transformer_rotary_bytes(model, sequence) + larger(block.attention, head) +
           (block.end - block.attention);
}

static lspo_status_t check_device(const lspo_model_t *model, const lspo_compute_t *compute)
{
    const uint32_t head_width = lspo_model_head_width(model);
    if (lspo_compute_is_host(compute))
        return LSPO_OK;
    if (!lspo_family_of(model)->on_gpu)
        return lspo_error(LSPO_ERR_INPUT, "model %s: family %s is computed on the host only (--device host)",
                          model->name, lspo_family_name(model->family));
    if (head_width > FLASH_HEAD_WIDTH_MAX)
        return lspo_error(LSPO_ERR_INPUT, "model %s: heads of width %u, above the %d that a GPU's attention has",
                          model->name, head_width, FLASH_HEAD_WIDTH_MAX);
    return LSPO_OK;
}

static lspo_status_t check_positions(const lspo_model_t *model, uint32_t sequence)
{
    const uint32_t head_width = lspo_model_head_width(model);
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY && head_width % 2 != 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s: rotary positions need an even head width, not %u", model->name,
                          head_width);
    if (model->window > 0 && sequence > model->window)
        return lspo_error(LSPO_ERR_INPUT,
                          "model %s: sequence %u is longer than the window of its attention, which is not computed but "
                          "only predicted; use at most --sequence %u",
                          model->name, sequence, model->window);
    return LSPO_OK;
}

static lspo_status_t check(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    status = lspo_model_check_trains(model);
    if (status != LSPO_OK)
        return status;
    if (model->expert_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s has experts, and lspo only generates with them", model->name);
    if (!lspo_family_of(model)->trains_language && model->class_count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "model %s cannot be trained here: of family %s only classifiers can (classes = N), not "
                          "masked-language heads",
                          model->name, lspo_family_name(model->family));
    status = check_positions(model, sequence);
    if (status != LSPO_OK)
        return status;
    if (batch == 0 || sequence == 0 || sequence > model->max_sequence)
        return lspo_error(LSPO_ERR_INPUT,
                          "batch %u, sequence %u: both must be at least 1, and model %s has at most %u"
                          " positions",
                          batch, sequence, model->name, model->max_sequence);
    if (!sizes_hold(model, batch, sequence))
        return lspo_error(LSPO_ERR_INPUT, "model %s with batch %u and sequence %u is too large for 31-bit matrix sizes",
                          model->name, batch, sequence);
    return LSPO_OK;
}

/* The number of a block's tensor; 0, which is that of a weight: there is none. */
static uint32_t block_tensor(const lspo_transformer_t *t, const char *name, const char *ending)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s%s", name, ending);
    for (uint32_t i = t->block.linear_count; i < t->block.tensor_count; i++)
        if (strcmp(t->block.tensors[i].name, wanted) == 0)
            return i;
    return 0;
}

static void find_tensors(lspo_transformer_t *t)
{
    for (uint32_t i = 0; i < t->block.linear_count; i++)
        t->bias[i] = block_tensor(t, t->block.tensors[i].name, "_bias");
    t->norm1 = block_tensor(t, "norm1", "_gain");
    t->norm2 = block_tensor(t, "norm2", "_gain");
    t->q_norm = block_tensor(t, "q_norm", "_gain");
    t->k_norm = block_tensor(t, "k_norm", "_gain");
}

static void describe(const shape_t *of, lspo_transformer_t *t)
{
    const lspo_model_t *model = of->model;
    t->family = stages_of(model);
    t->number_bytes = lspo_number_bytes(of->number);
    t->weight_number = of->generation != NULL ? of->generation->weights : of->number;
    t->weight_bytes = lspo_number_bytes(t->weight_number);
    t->batch = of->batch;
    t->sequence = of->sequence;
    t->tokens = of->tokens;
    t->width = model->width;
    t->attention_width = lspo_model_attention_width(model);
    t->kv_width = lspo_model_kv_width(model);
    t->head_width = lspo_model_head_width(model);
    t->heads = model->head_count;
    t->kv_heads = model->kv_head_count;
    t->mlp_width = model->mlp_width;
    t->vocabulary = model->vocabulary;
    t->logits_stride = logits_stride(of);
    t->classes = model->class_count;
    t->experts = model->expert_count;
    t->chosen = model->experts_per_token;
    t->router = model->router;
    t->max_sequence = model->max_sequence;
    t->tied = model->tied_head;
    t->rms = lspo_model_traits(model).rms;
    t->epsilon = (float)lspo_model_norm_epsilon(model);
    t->stage_count = lspo_model_stage_count(model);
    lspo_model_stage(model, 0, &t->embed);
    lspo_model_stage(model, 1, &t->block);
    if (of->generation != NULL && of->generation->experts_apart) {
        const lspo_stage_t whole = t->block;
        lspo_stage_without_experts(&whole, &t->block);
    }
    find_tensors(t);
    lspo_model_stage(model, t->stage_count - 1, &t->head);
    t->saved = block_saved_layout(of);
    t->mlp_input = lspo_family_of(model)->post_norm ? t->saved.norm1_out : t->saved.norm2_out;
    t->head_saved = head_saved_layout(of);
    t->at = block_workspace_layout(of);
}

/* Assign the device memory: the rotary table comes first. */
static lspo_status_t occupy(const shape_t *of, void *workspace, lspo_transformer_t *t)
{
    const size_t positions = positions_of(of), bytes = lspo_transformer_rotary_bytes(of->model, positions);
    t->workspace = (char *)workspace + bytes;
    if (bytes == 0)
        return LSPO_OK;
    float *table = malloc(bytes);
    double *frequencies = malloc(t->head_width / 2 * sizeof *frequencies);
    if (table == NULL || frequencies == NULL) {
        free(frequencies);
        free(table);
        return lspo_no_memory("the rotary table");
    }
    t->rotary = workspace;
    lspo_rope_frequencies(of->model, frequencies);
    lspo_rotary_table(positions, t->head_width, frequencies, table);
    lspo_compute_write(t->compute, bytes, table, t->rotary);
    free(frequencies);
    free(table);
    return lspo_compute_status(t->compute);
}

lspo_status_t lspo_transformer_make(const lspo_model_t *model, const lspo_transformer_sizes_t *sizes,
                                    lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out)
{
    lspo_status_t status = LSPO_OK;
    shape_t of = shape_of(model, sizes->batch, sizes->sequence, lspo_compute_number(compute));
    of.generation = sizes->generation;
    lspo_transformer_t *t = calloc(1, sizeof *t);
    uint32_t *lengths = malloc(of.batch * sizeof *lengths);
    if (t == NULL || lengths == NULL) {
        free(lengths);
        free(t);
        return lspo_no_memory("a transformer's description");
    }
    describe(&of, t);
    t->compute = compute;
    t->lengths = lengths;
    for (size_t b = 0; b < t->batch; b++)
        lengths[b] = sizes->sequence;
    status = lspo_compute_reserve(compute, t->tokens, t->heads);
    if (status != LSPO_OK)
        goto failed;
    status = occupy(&of, workspace, t);
    if (status != LSPO_OK)
        goto failed;
    *transformer_out = t;
    return LSPO_OK;
failed:
    lspo_transformer_destroy(t);
    return status;
}

lspo_status_t lspo_transformer_create(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                      lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out)
{
    lspo_status_t status = check(model, batch, sequence);
    if (status != LSPO_OK)
        return status;
    status = check_device(model, compute);
    if (status != LSPO_OK)
        return status;
    const lspo_transformer_sizes_t sizes = {.batch = batch, .sequence = sequence};
    return lspo_transformer_make(model, &sizes, compute, workspace, transformer_out);
}

void lspo_transformer_destroy(lspo_transformer_t *transformer)
{
    if (transformer == NULL)
        return;
    free(transformer->lengths);
    free(transformer);
}

lspo_status_t lspo_transformer_set_lengths(lspo_transformer_t *t, const uint32_t *lengths)
{
    for (size_t b = 0; lengths != NULL && b < t->batch; b++)
        if (lengths[b] == 0 || lengths[b] > t->sequence)
            return lspo_error(LSPO_ERR_INPUT, "sequence %zu of the batch has %u tokens, outside 1..%zu", b, lengths[b],
                              t->sequence);
    for (size_t b = 0; b < t->batch; b++)
        t->lengths[b] = lengths != NULL ? lengths[b] : (uint32_t)t->sequence;
    return LSPO_OK;
}

size_t lspo_transformer_saved_bytes(const lspo_transformer_t *transformer, uint32_t stage)
{
    if (stage == 0)
        return 0;
    return stage + 1 < transformer->stage_count ? transformer->saved.end : transformer->head_saved.end;
}

size_t lspo_transformer_targets(const lspo_transformer_t *t)
{
    return t->classes > 0 ? t->batch : t->tokens;
}

void lspo_transformer_embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights,
                                    void *x_out)
{
    t->family->embed_forward(t, tokens, embed_weights, x_out);
}

void lspo_transformer_block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                                    void *saved, void *x_out)
{
    lspo_transformer_block_begin(t, from, x_in, saved);
    lspo_transformer_block_mlp(t, from, saved, x_out);
    lspo_transformer_block_end(t, from, saved, x_out);
}

void lspo_transformer_block_begin(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                                  void *saved)
{
    t->family->attention_forward(t, from, x_in, saved);
}

void lspo_transformer_block_mlp(lspo_transformer_t *t, const lspo_block_parameters_t *from, void *saved, void *x_out)
{
    t->family->mlp_forward(t, from, saved, x_out);
}

void lspo_transformer_block_end(lspo_transformer_t *t, const lspo_block_parameters_t *from, void *saved, void *x_out)
{
    void *sum = t->family->block_end != NULL ? (char *)saved + t->saved.sum : x_out;
    if (sum != NULL)
        lspo_block_keys_forward(t, from, lspo_transformer_mlp_input(t, saved), sum);
    if (t->family->block_end != NULL)
        t->family->block_end(t, from, saved, x_out);
}

const void *lspo_transformer_mlp_input(const lspo_transformer_t *t, const void *saved)
{
    return (const char *)saved + t->mlp_input;
}

void lspo_transformer_head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                                   const void *x_in, void *saved, double *loss_sum_out)
{
    t->family->head_forward(t, from, targets, x_in, saved != NULL ? saved : t->workspace, loss_sum_out);
}

float lspo_transformer_predicted(const lspo_transformer_t *t, size_t row)
{
    const float *outputs = lspo_saved_floats(t->workspace, t->head_saved.probabilities) + row * t->classes;
    uint32_t best = 0;
    for (uint32_t c = 1; c < t->classes; c++)
        best = outputs[c] > outputs[best] ? c : best;
    return t->classes == 1 ? outputs[0] : (float)best;
}

void lspo_transformer_logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in, size_t count,
                             const uint32_t *rows, void *logits_out)
{
    t->family->logits(t, from, x_in, count, rows, logits_out);
}

void lspo_transformer_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from,
                                    const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                    const lspo_gradient_sink_t *sink, void *dx_out)
{
    t->family->head_backward(t, from, loss, kept, sink, dx_out);
}

void lspo_transformer_block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from,
                                     const lspo_stage_kept_t *kept, const lspo_gradient_sink_t *sink,
                                     lspo_linear_operands_t *operands_out, void *dx)
{
    const lspo_block_backward_t pass = {.t = t, .from = from, .sink = sink, .operands_out = operands_out};
    t->family->block_backward(&pass, kept->x_in, kept->saved, dx);
}

void lspo_transformer_embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights,
                                     const void *dx, bool accumulate, void *embed_gradient)
{
    t->family->embed_backward(t, tokens, embed_weights, dx, accumulate, embed_gradient);
}
