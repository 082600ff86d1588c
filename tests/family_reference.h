/* family_reference.h - a second, naive implementation of all three model families in double precision, and a model
 * under test with every buffer.  For suites; each function is used by some of them. */
#ifndef LSPO_TESTS_FAMILY_REFERENCE_H
#define LSPO_TESTS_FAMILY_REFERENCE_H

#include <criterion/criterion.h>

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/loss.h"
#include "kernels/random.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/workload.h"
#include "real/transformer/transformer.h"
#include "tests/mean_head.h"

#pragma GCC diagnostic ignored "-Wunused-function"

enum { FAMILY_STAGES_MAX = 6 };

/* --- the model in double ------------------------------------------------------------------------------------------ */

/* Weights of every stage as doubles, each laid out as lspo_model_stage() says. */
typedef struct reference {
    lspo_model_t model;
    size_t batch, sequence, tokens;
    uint32_t stages;
    lspo_stage_t shape[FAMILY_STAGES_MAX];
    double *weights[FAMILY_STAGES_MAX];
    const uint32_t *lengths;                                                              /* or NULL */
    void (*mlp)(const struct reference *r, uint32_t stage, const double *x, double *out); /* NULL: the family's */
} reference_t;

static double *doubles(size_t count)
{
    double *memory = calloc(count + 1, sizeof *memory);
    cr_assert_not_null(memory);
    return memory;
}

static const double *tensor(const reference_t *r, uint32_t stage, const char *name)
{
    for (uint32_t i = 0; i < r->shape[stage].tensor_count; i++) {
        if (strcmp(r->shape[stage].tensors[i].name, name) == 0)
            return r->weights[stage] + r->shape[stage].tensors[i].offset_elements;
    }
    return NULL; /* a bias that this family lacks */
}

static size_t reference_head_width(const lspo_model_t *m)
{
    return m->head_width > 0 ? m->head_width : m->width / m->head_count;
}

/* The gain and bias of a norm of w numbers; bias NULL: it has none. */
typedef struct {
    size_t w;
    const double *gain, *bias;
} norm_t;

static void reference_norm_rows(const reference_t *r, norm_t norm, size_t rows, const double *x, double *out)
{
    const size_t w = norm.w;
    const double *gain = norm.gain, *bias = norm.bias;
    for (size_t i = 0; i < rows; i++) {
        double mean = 0.0, variance = 0.0;
        for (size_t j = 0; j < w && r->model.family != LSPO_FAMILY_LLAMA; j++)
            mean += x[i * w + j] / (double)w;
        for (size_t j = 0; j < w; j++)
            variance += (x[i * w + j] - mean) * (x[i * w + j] - mean) / (double)w;
        for (size_t j = 0; j < w; j++)
            out[i * w + j] = (x[i * w + j] - mean) / sqrt(variance + r->model.norm_epsilon) * gain[j] +
                             (bias != NULL ? bias[j] : 0.0);
    }
}

static void reference_norm(const reference_t *r, const double *x, const double *gain, const double *bias, double *out)
{
    reference_norm_rows(r, (norm_t){r->model.width, gain, bias}, r->tokens, x, out);
}

/* A linear layer of m inputs and n outputs; bias NULL: it has none. */
typedef struct {
    size_t m, n;
    const double *weight, *bias;
} linear_t;

static void reference_linear(linear_t layer, size_t rows, const double *x, double *out)
{
    const size_t m = layer.m, n = layer.n;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = layer.bias != NULL ? layer.bias[j] : 0.0;
        for (size_t l = 0; l < m; l++)
            for (size_t j = 0; j < n; j++)
                out[i * n + j] += x[i * m + l] * layer.weight[l * n + j];
    }
}

/* The frequency of pair j.  Scaled, as transformers' modeling_rope_utils.py does it. */
static double reference_frequency(const lspo_model_t *m, size_t j)
{
    const double frequency = 1.0 / pow(m->rope_theta, 2.0 * (double)j / (double)reference_head_width(m));
    const double wavelength = 2.0 * M_PI / frequency;
    if (m->rope_scaling == LSPO_ROPE_LINEAR)
        return frequency / m->rope_factor;
    if (m->rope_scaling != LSPO_ROPE_LLAMA3 || wavelength < m->rope_original / m->rope_high_factor)
        return frequency;
    if (wavelength > m->rope_original / m->rope_low_factor)
        return frequency / m->rope_factor;
    const double smooth =
        (m->rope_original / wavelength - m->rope_low_factor) / (m->rope_high_factor - m->rope_low_factor);
    return (1.0 - smooth) * frequency / m->rope_factor + smooth * frequency;
}

/* x_j + i x_{j + e/2} times e^{i angle}. */
static void reference_rotate(const reference_t *r, size_t heads, double *x)
{
    const size_t e = reference_head_width(&r->model);
    for (size_t row = 0; row < r->tokens; row++) {
        for (size_t h = 0; h < heads; h++) {
            double *head = x + (row * heads + h) * e;
            for (size_t j = 0; j < e / 2; j++) {
                const double angle = (double)(row % r->sequence) * reference_frequency(&r->model, j);
                const double complex unit = (double complex)I;
                const double complex turned = (head[j] + head[j + e / 2] * unit) * cexp(unit * angle);
                head[j] = creal(turned);
                head[j + e / 2] = cimag(turned);
            }
        }
    }
}

/* Rows of q, k, v are that far apart. */
typedef struct {
    const double *q, *k, *v;
    size_t q_stride, kv_stride;
} qkv_t;

/* The query of `row` over the keys that it may see, of the head whose columns begin at q, k and v. */
static void reference_query(const reference_t *r, const qkv_t *head, size_t row, double *out)
{
    const double *q = head->q + row * head->q_stride, *k = head->k, *v = head->v;
    const size_t kv_stride = head->kv_stride;
    const size_t e = reference_head_width(&r->model), b = row / r->sequence, i = row % r->sequence;
    const bool causal = r->model.family != LSPO_FAMILY_BERT;
    const size_t keys = causal ? i + 1 : r->lengths != NULL ? r->lengths[b] : r->sequence;
    double *score = doubles(keys), sum = 0.0;
    for (size_t j = 0; j < keys; j++) {
        for (size_t l = 0; l < e; l++)
            score[j] += q[l] * k[(b * r->sequence + j) * kv_stride + l];
        score[j] = exp(score[j] / sqrt((double)e));
        sum += score[j];
    }
    for (size_t l = 0; l < e; l++) {
        out[l] = 0.0;
        for (size_t j = 0; j < keys; j++)
            out[l] += score[j] / sum * v[(b * r->sequence + j) * kv_stride + l];
    }
    free(score);
}

static void reference_attention(const reference_t *r, const qkv_t *all, double *context)
{
    const lspo_model_t *m = &r->model;
    const size_t e = reference_head_width(m);
    for (size_t row = 0; row < r->tokens; row++) {
        for (size_t h = 0; h < m->head_count; h++) {
            const size_t kv = h * m->kv_head_count / m->head_count * e;
            const qkv_t head = {all->q + h * e, all->k + kv, all->v + kv, all->q_stride, all->kv_stride};
            reference_query(r, &head, row, context + (row * m->head_count + h) * e);
        }
    }
}

static double reference_activation(const lspo_model_t *model, double x)
{
    if (model->family == LSPO_FAMILY_BERT)
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * pow(x, 3.0))));
}

/* The heads of Q or K through their norm, if the model has one. */
static void reference_head_norm(const reference_t *r, uint32_t stage, const char *gain, size_t heads, double *x)
{
    const size_t e = reference_head_width(&r->model), count = r->tokens * heads * e;
    if (tensor(r, stage, gain) == NULL)
        return;
    double *raw = doubles(count);
    memcpy(raw, x, count * sizeof *x);
    reference_norm_rows(r, (norm_t){e, tensor(r, stage, gain), NULL}, r->tokens * heads, raw, x);
    free(raw);
}

/* out (tokens x w): what attention adds to the residual, from x (tokens x w). */
static void reference_attention_half(const reference_t *r, uint32_t stage, const double *x, double *out)
{
    const size_t w = r->model.width, e = reference_head_width(&r->model), t = r->tokens;
    const size_t a = e * r->model.head_count, kv = e * r->model.kv_head_count;
    double *qkv = doubles(t * (a + 2 * kv)), *context = doubles(t * a);
    if (r->model.family == LSPO_FAMILY_LLAMA) {
        double *k = qkv + t * a, *v = k + t * kv;
        reference_linear((linear_t){w, a, tensor(r, stage, "q"), tensor(r, stage, "q_bias")}, t, x, qkv);
        reference_linear((linear_t){w, kv, tensor(r, stage, "k"), tensor(r, stage, "k_bias")}, t, x, k);
        reference_linear((linear_t){w, kv, tensor(r, stage, "v"), tensor(r, stage, "v_bias")}, t, x, v);
        reference_head_norm(r, stage, "q_norm_gain", r->model.head_count, qkv);
        reference_head_norm(r, stage, "k_norm_gain", r->model.kv_head_count, k);
        reference_rotate(r, r->model.head_count, qkv);
        reference_rotate(r, r->model.kv_head_count, k);
        reference_attention(r, &(qkv_t){qkv, k, v, a, kv}, context);
    } else {
        const size_t stride = a + 2 * kv;
        reference_linear((linear_t){w, stride, tensor(r, stage, "qkv"), tensor(r, stage, "qkv_bias")}, t, x, qkv);
        reference_attention(r, &(qkv_t){qkv, qkv + a, qkv + a + kv, stride, stride}, context);
    }
    reference_linear((linear_t){a, w, tensor(r, stage, "attention_out"), tensor(r, stage, "attention_out_bias")}, t,
                     context, out);
    free(context);
    free(qkv);
}

static void reference_mlp_half(const reference_t *r, uint32_t stage, const double *x, double *out)
{
    const size_t w = r->model.width, f = r->model.mlp_width, t = r->tokens;
    if (r->mlp != NULL) {
        r->mlp(r, stage, x, out);
        return;
    }
    double *pre = doubles(t * f), *gate = doubles(t * f);
    if (r->model.family == LSPO_FAMILY_LLAMA) {
        reference_linear((linear_t){w, f, tensor(r, stage, "gate"), tensor(r, stage, "gate_bias")}, t, x, gate);
        reference_linear((linear_t){w, f, tensor(r, stage, "up"), tensor(r, stage, "up_bias")}, t, x, pre);
        for (size_t i = 0; i < t * f; i++)
            pre[i] *= gate[i] / (1.0 + exp(-gate[i]));
        reference_linear((linear_t){f, w, tensor(r, stage, "down"), tensor(r, stage, "down_bias")}, t, pre, out);
    } else {
        reference_linear((linear_t){w, f, tensor(r, stage, "mlp_up"), tensor(r, stage, "mlp_up_bias")}, t, x, pre);
        for (size_t i = 0; i < t * f; i++)
            pre[i] = reference_activation(&r->model, pre[i]);
        reference_linear((linear_t){f, w, tensor(r, stage, "mlp_down"), tensor(r, stage, "mlp_down_bias")}, t, pre,
                         out);
    }
    free(gate);
    free(pre);
}

static void reference_stage_norm(const reference_t *r, uint32_t stage, const char *gain, const char *bias,
                                 const double *x, double *out)
{
    reference_norm(r, x, tensor(r, stage, gain), tensor(r, stage, bias), out);
}

static void reference_block(const reference_t *r, uint32_t stage, double *x)
{
    const size_t count = r->tokens * r->model.width;
    const bool post = r->model.family == LSPO_FAMILY_BERT;
    double *norm = doubles(count), *branch = doubles(count);
    if (!post)
        reference_stage_norm(r, stage, "norm1_gain", "norm1_bias", x, norm);
    reference_attention_half(r, stage, post ? x : norm, branch);
    for (size_t i = 0; i < count; i++)
        x[i] += branch[i];
    reference_stage_norm(r, stage, post ? "norm1_gain" : "norm2_gain", post ? "norm1_bias" : "norm2_bias", x, norm);
    if (post)
        memcpy(x, norm, count * sizeof *x);
    reference_mlp_half(r, stage, norm, branch);
    for (size_t i = 0; i < count; i++)
        x[i] += branch[i];
    if (post) {
        reference_stage_norm(r, stage, "norm2_gain", "norm2_bias", x, norm);
        memcpy(x, norm, count * sizeof *x);
    }
    free(branch);
    free(norm);
}

static void reference_embed(const reference_t *r, const uint32_t *tokens, double *x)
{
    const size_t w = r->model.width, skip = r->model.family == LSPO_FAMILY_BERT ? 2 : 0;
    const double *token = tensor(r, 0, "token"), *position = tensor(r, 0, "position");
    const double *type = tensor(r, 0, "token_type");
    for (size_t i = 0; i < r->tokens * w; i++) {
        x[i] = token[tokens[i / w] * w + i % w];
        x[i] += position != NULL ? position[(i / w % r->sequence + skip) * w + i % w] : 0.0;
        x[i] += type != NULL ? type[i % w] : 0.0;
    }
    if (r->model.family != LSPO_FAMILY_BERT)
        return;
    double *sum = doubles(r->tokens * w);
    memcpy(sum, x, r->tokens * w * sizeof *x);
    reference_stage_norm(r, 0, "norm_gain", "norm_bias", sum, x);
    free(sum);
}

/* Rows of the logits: tokens, or sequences of a classifier. */
static size_t reference_rows(const reference_t *r)
{
    return r->model.class_count > 0 ? r->batch : r->tokens;
}

static size_t reference_columns(const reference_t *r)
{
    return r->model.class_count > 0 ? r->model.class_count : r->model.vocabulary;
}

static void reference_head_logits(const reference_t *r, const double *x, double *logits)
{
    const size_t w = r->model.width, v = r->model.vocabulary;
    const uint32_t head = r->stages - 1;
    double *norm = doubles(r->tokens * w);
    if (r->model.class_count > 0) {
        for (size_t b = 0; b < r->batch; b++) {
            reference_linear((linear_t){w, w, tensor(r, head, "dense"), tensor(r, head, "dense_bias")}, 1,
                             x + b * r->sequence * w, norm + b * w);
            for (size_t j = 0; j < w; j++)
                norm[b * w + j] = tanh(norm[b * w + j]);
        }
        reference_linear((linear_t){w, r->model.class_count, tensor(r, head, "output"), tensor(r, head, "output_bias")},
                         r->batch, norm, logits);
        free(norm);
        return;
    }
    reference_stage_norm(r, head, "norm_gain", "norm_bias", x, norm);
    const double *output = tensor(r, head, "output"), *token = tensor(r, 0, "token");
    for (size_t i = 0; i < r->tokens; i++) {
        for (size_t j = 0; j < v; j++) {
            logits[i * v + j] = 0.0;
            for (size_t l = 0; l < w; l++)
                logits[i * v + j] += norm[i * w + l] * (output != NULL ? output[l * v + j] : token[j * w + l]);
        }
    }
    free(norm);
}

static void reference_logits(const reference_t *r, const uint32_t *tokens, double *logits)
{
    double *x = doubles(r->tokens * r->model.width);
    reference_embed(r, tokens, x);
    for (uint32_t stage = 1; stage + 1 < r->stages; stage++)
        reference_block(r, stage, x);
    reference_head_logits(r, x, logits);
    free(x);
}

static double reference_row_loss(const reference_t *r, const double *logits, uint32_t target)
{
    const size_t columns = reference_columns(r);
    if (columns == 1) {
        float value;
        memcpy(&value, &target, sizeof value);
        return pow(logits[0] - (double)value, 2.0);
    }
    double sum = 0.0;
    for (size_t j = 0; j < columns; j++)
        sum += exp(logits[j]);
    return log(sum) - logits[target];
}

static double reference_loss(const reference_t *r, const uint32_t *tokens, const uint32_t *targets)
{
    double *logits = doubles(reference_rows(r) * reference_columns(r)), loss = 0.0;
    size_t counted = 0;
    reference_logits(r, tokens, logits);
    for (size_t i = 0; i < reference_rows(r); i++) {
        if (targets[i] == UINT32_MAX)
            continue;
        loss += reference_row_loss(r, logits + i * reference_columns(r), targets[i]);
        counted++;
    }
    free(logits);
    return loss / (double)counted;
}

/* --- the model under test, with every buffer ---------------------------------------------------------------------- */

typedef struct {
    lspo_model_t model;
    lspo_transformer_t *t;
    size_t batch, sequence, tokens;
    uint32_t stages;
    float *workspace;
    lspo_stage_t shape[FAMILY_STAGES_MAX];
    float *weights[FAMILY_STAGES_MAX];
    float *gradient[FAMILY_STAGES_MAX];
    float *saved[FAMILY_STAGES_MAX];
    float *x[FAMILY_STAGES_MAX]; /* x[i]: output of stage i, but for the head */
    float *dx;
    double loss;
    const lspo_adapters_t *adapters[FAMILY_STAGES_MAX]; /* of the blocks, or NULL */
    float *d_factors[FAMILY_STAGES_MAX];
    const lspo_quantized_t *quantized[FAMILY_STAGES_MAX]; /* of the blocks, or NULL: weights[] have its numbers */
} tested_t;

static float *floats(size_t count)
{
    float *memory = aligned_alloc(64, (count * sizeof(float) + 64) / 64 * 64);
    cr_assert_not_null(memory);
    memset(memory, 0xff, count * sizeof(float)); /* NaN: what is read before it is written shows */
    return memory;
}

/* Norms of Q and K with larger gains: flat probabilities would leave the gradients of Q and K too small to see. */
static void raise_head_gains(tested_t *m, uint32_t stage)
{
    for (uint32_t k = 0; k < m->shape[stage].tensor_count; k++) {
        const lspo_tensor_t *of = &m->shape[stage].tensors[k];
        if (strcmp(of->name, "q_norm_gain") != 0 && strcmp(of->name, "k_norm_gain") != 0)
            continue;
        for (size_t i = 0; i < of->cols; i++)
            m->weights[stage][of->offset_elements + i] += 1.5F;
    }
}

/* Weights of order one, biases and gains included, so that every gradient is well above rounding. */
static void tested_create(const lspo_model_t *model, size_t batch, size_t sequence, tested_t *m)
{
    memset(m, 0, sizeof *m);
    m->model = *model;
    m->batch = batch;
    m->sequence = sequence;
    m->tokens = batch * sequence;
    m->stages = lspo_model_stage_count(model);
    m->workspace = floats(
        lspo_transformer_workspace_bytes(model, (uint32_t)batch, (uint32_t)sequence, LSPO_NUMBER_FP32) / sizeof(float));
    cr_assert_eq(
        lspo_transformer_create(model, (uint32_t)batch, (uint32_t)sequence, lspo_compute_host(), m->workspace, &m->t),
        LSPO_OK);
    for (uint32_t stage = 0; stage < m->stages; stage++) {
        lspo_model_stage(model, stage, &m->shape[stage]);
        const size_t count = m->shape[stage].element_count;
        m->weights[stage] = floats(count);
        m->gradient[stage] = floats(count);
        m->saved[stage] = floats(lspo_transformer_saved_bytes(m->t, stage) / sizeof(float));
        m->x[stage] = floats(m->tokens * model->width);
        lspo_random_normal_fill(7, stage, 0.4, count, m->weights[stage]);
        raise_head_gains(m, stage);
    }
    m->dx = floats(m->tokens * model->width);
}

static void tested_destroy(tested_t *m)
{
    for (uint32_t stage = 0; stage < m->stages; stage++) {
        free(m->weights[stage]);
        free(m->gradient[stage]);
        free(m->saved[stage]);
        free(m->x[stage]);
    }
    free(m->dx);
    free(m->workspace);
    lspo_transformer_destroy(m->t);
}

/* The number of floats of a stage's linear tensors. */
static size_t linear_count(const lspo_stage_t *shape)
{
    return shape->linear_count == 0 ? 0 : shape->tensors[shape->linear_count].offset_elements;
}

static lspo_block_parameters_t block_of(const tested_t *m, uint32_t stage)
{
    const size_t left_out = m->quantized[stage] != NULL ? linear_count(&m->shape[stage]) : 0;
    return (lspo_block_parameters_t){
        .weights = m->weights[stage] + left_out, .adapters = m->adapters[stage], .quantized = m->quantized[stage]};
}

static void tested_forward(tested_t *m, const uint32_t *input, const uint32_t *target)
{
    const uint32_t head = m->stages - 1;
    lspo_transformer_embed_forward(m->t, input, m->weights[0], m->x[0]);
    for (uint32_t stage = 1; stage < head; stage++) {
        const lspo_block_parameters_t block = block_of(m, stage);
        lspo_transformer_block_forward(m->t, &block, m->x[stage - 1], m->saved[stage], m->x[stage]);
    }
    m->loss = mean_head_forward(m->t, m->weights[head], m->weights[0], target, m->x[head - 1], m->saved[head]);
}

static void tested_backward(tested_t *m, const uint32_t *input, const uint32_t *target, float loss_scale,
                            bool accumulate)
{
    const uint32_t head = m->stages - 1;
    lspo_gradient_sink_t sink = {.rest = m->gradient[head], .tied = m->gradient[0], .accumulate = accumulate};
    mean_head_backward(m->t, &(lspo_head_parameters_t){m->weights[head], m->weights[0]},
                       &(lspo_head_loss_t){target, loss_scale}, &(lspo_stage_kept_t){m->x[head - 1], m->saved[head]},
                       &sink, m->dx);
    for (uint32_t stage = head - 1; stage > 0; stage--) {
        sink.linear = m->gradient[stage];
        sink.rest = m->gradient[stage] + linear_count(&m->shape[stage]);
        sink.adapters = m->d_factors[stage];
        const lspo_block_parameters_t block = block_of(m, stage);
        lspo_transformer_block_backward(m->t, &block, &(lspo_stage_kept_t){m->x[stage - 1], m->saved[stage]}, &sink,
                                        NULL, m->dx);
    }
    lspo_transformer_embed_backward(m->t, input, m->weights[0], m->dx, accumulate, m->gradient[0]);
}

static void reference_create(const tested_t *m, reference_t *r)
{
    *r = (reference_t){
        .model = m->model, .batch = m->batch, .sequence = m->sequence, .tokens = m->tokens, .stages = m->stages};
    for (uint32_t stage = 0; stage < m->stages; stage++) {
        r->shape[stage] = m->shape[stage];
        r->weights[stage] = doubles(m->shape[stage].element_count);
        for (size_t i = 0; i < m->shape[stage].element_count; i++)
            r->weights[stage][i] = (double)m->weights[stage][i];
    }
}

static void reference_destroy(reference_t *r)
{
    for (uint32_t stage = 0; stage < r->stages; stage++)
        free(r->weights[stage]);
}

/* --- checks that every family must stand -------------------------------------------------------------------------- */

static void assert_loss(const tested_t *m, const reference_t *r, const uint32_t *tokens, const uint32_t *targets)
{
    const double want = reference_loss(r, tokens, targets);
    cr_assert_float_eq(m->loss, want, 2e-6 * fabs(want), "loss %.9g, reference %.9g", m->loss, want);
}

/* Central differences of the double loss: error h^2 f''' / 6 + 2e-16 / h, about 1e-10 at h = 1e-5.  The rest of the
 * tolerance is fp32's: its gradients are sums of terms of order 0.1 to 1. */
static double central_difference(const reference_t *r, double *weight, const uint32_t *tokens, const uint32_t *targets)
{
    const double h = 1e-5, kept = *weight;
    *weight = kept + h;
    const double above = reference_loss(r, tokens, targets);
    *weight = kept - h;
    const double below = reference_loss(r, tokens, targets);
    *weight = kept;
    return (above - below) / (2.0 * h);
}

/* Every weight; each tensor must have a gradient that this can see. */
static void assert_gradients(const tested_t *m, const reference_t *r, const uint32_t *tokens, const uint32_t *targets)
{
    for (uint32_t stage = 0; stage < m->stages; stage++) {
        for (uint32_t k = 0; k < m->shape[stage].tensor_count; k++) {
            const lspo_tensor_t *of = &m->shape[stage].tensors[k];
            double largest = 0.0;
            for (size_t i = 0; i < (size_t)of->rows * of->cols; i++) {
                const size_t at = of->offset_elements + i;
                const double want = central_difference(r, &r->weights[stage][at], tokens, targets);
                const double got = (double)m->gradient[stage][at];
                largest = fmax(largest, fabs(want));
                cr_assert(fabs(got - want) <= 2e-6 + 4e-5 * fabs(want), "stage %u, %s %zu: gradient %.9g, not %.9g",
                          stage, of->name, i, got, want);
            }
            cr_assert(largest > 1e-3, "the gradients of stage %u, %s are too small for this test to see them", stage,
                      of->name);
        }
    }
}

/* A micro-batch. */
typedef struct {
    const uint32_t *tokens, *targets;
} micro_t;

/* Gradients of two micro-batches at half scale each: the mean of the two gradients. */
static void assert_accumulation(const lspo_model_t *model, size_t batch, size_t sequence, micro_t one, micro_t other)
{
    tested_t both, first, second;
    tested_create(model, batch, sequence, &both);
    tested_create(model, batch, sequence, &first);
    tested_create(model, batch, sequence, &second);
    tested_forward(&both, one.tokens, one.targets);
    tested_backward(&both, one.tokens, one.targets, 0.5F, false);
    tested_forward(&both, other.tokens, other.targets);
    tested_backward(&both, other.tokens, other.targets, 0.5F, true);
    tested_forward(&first, one.tokens, one.targets);
    tested_backward(&first, one.tokens, one.targets, 1.0F, false);
    tested_forward(&second, other.tokens, other.targets);
    tested_backward(&second, other.tokens, other.targets, 1.0F, false);
    for (uint32_t stage = 0; stage < both.stages; stage++) {
        for (size_t i = 0; i < both.shape[stage].element_count; i++) {
            const double want = 0.5 * ((double)first.gradient[stage][i] + (double)second.gradient[stage][i]);
            const double got = (double)both.gradient[stage][i];
            cr_assert(fabs(got - want) <= 1e-6 + 1e-5 * fabs(want), "stage %u, gradient %zu: %.9g, not %.9g", stage, i,
                      got, want);
        }
    }
    tested_destroy(&both);
    tested_destroy(&first);
    tested_destroy(&second);
}

/* G = X^T dY of every linear layer, from the operands that block_backward leaves behind. */
static void assert_operands(tested_t *m, const uint32_t *tokens, const uint32_t *targets)
{
    const uint32_t head = m->stages - 1, last = head - 1;
    lspo_linear_operands_t operands;
    tested_forward(m, tokens, targets);
    mean_head_backward(m->t, &(lspo_head_parameters_t){m->weights[head], m->weights[0]},
                       &(lspo_head_loss_t){targets, 1.0F}, &(lspo_stage_kept_t){m->x[last], m->saved[head]}, NULL,
                       m->dx);
    const lspo_gradient_sink_t sink = {.linear = m->gradient[last]};
    lspo_transformer_block_backward(m->t, &(lspo_block_parameters_t){.weights = m->weights[last]},
                                    &(lspo_stage_kept_t){m->x[last - 1], m->saved[last]}, &sink, &operands, m->dx);
    for (uint32_t k = 0; k < m->shape[last].linear_count; k++) {
        const lspo_tensor_t *of = &m->shape[last].tensors[k];
        const float *x = operands.of[k].x, *dy = operands.of[k].dy;
        for (size_t i = 0; i < (size_t)of->rows * of->cols; i++) {
            double want = 0.0;
            for (size_t row = 0; row < m->tokens; row++)
                want += (double)x[row * operands.of[k].x_stride + i / of->cols] *
                        (double)dy[row * operands.of[k].dy_stride + i % of->cols];
            const double got = (double)m->gradient[last][of->offset_elements + i];
            cr_assert(fabs(got - want) <= 1e-6 + 1e-5 * fabs(want), "%s[%zu]: %.9g, not %.9g", of->name, i, got, want);
        }
    }
}

static void assert_recompute(tested_t *m, const uint32_t *tokens, const uint32_t *targets)
{
    tested_forward(m, tokens, targets);
    const size_t bytes = lspo_transformer_saved_bytes(m->t, 1);
    float *again = floats(bytes / sizeof(float));
    lspo_transformer_block_forward(m->t, &(lspo_block_parameters_t){.weights = m->weights[1]}, m->x[0], again, NULL);
    cr_assert_eq(memcmp(again, m->saved[1], bytes), 0);
    free(again);
}

/* What this takes is what the plan says. */
static void assert_sizes(const tested_t *m)
{
    lspo_workload_t workload;
    lspo_activations_t activations;
    lspo_workload_default(&workload);
    workload.batch = (uint32_t)m->batch;
    workload.sequence = (uint32_t)m->sequence;
    workload.precision = LSPO_FP32;
    lspo_activations(&m->model, &workload, &activations);
    cr_assert_eq(lspo_transformer_saved_bytes(m->t, 0), 0);
    cr_assert_eq(activations.saved_bytes, lspo_transformer_saved_bytes(m->t, 1));
    cr_assert_eq(activations.head_bytes, lspo_transformer_saved_bytes(m->t, m->stages - 1));
    cr_assert_eq(activations.workspace_bytes,
                 lspo_transformer_workspace_bytes(&m->model, workload.batch, workload.sequence, LSPO_NUMBER_FP32));
}

/* The logits of some rows, in any order, and of the first ones. */
static void assert_logits(tested_t *m, const reference_t *r, const uint32_t *tokens, const uint32_t *targets)
{
    const uint32_t head = m->stages - 1;
    const size_t rows = reference_rows(r), columns = reference_columns(r), count = 2 * rows;
    double *want = doubles(rows * columns);
    float *got = floats(count * columns);
    uint32_t *which = malloc(count * sizeof *which);
    cr_assert_not_null(which);
    for (size_t i = 0; i < count; i++) /* more of them than the batch has, some twice */
        which[i] = (uint32_t)((7 * i + 1) % rows);
    tested_forward(m, tokens, targets);
    reference_logits(r, tokens, want);
    for (int form = 0; form < 2; form++) {
        lspo_transformer_logits(m->t, &(lspo_head_parameters_t){m->weights[head], m->weights[0]}, m->x[head - 1],
                                form == 0 ? count : 1, form == 0 ? which : NULL, got);
        for (size_t i = 0; i < (form == 0 ? count : 1) * columns; i++) {
            const double expected = want[(form == 0 ? which[i / columns] : 0) * columns + i % columns];
            cr_assert(fabs((double)got[i] - expected) <= 2e-5 * (1.0 + fabs(expected)), "logit %zu: %.9g, not %.9g", i,
                      (double)got[i], expected);
        }
    }
    free(which);
    free(got);
    free(want);
}

/* --- adapters ----------------------------------------------------------------------------------------------------- */

enum { ADAPTER_RANK = 2 };
#define ADAPTER_SCALE 0.7

/* Block `stage` of the reference becomes W + scale A B^T. */
static void merge_adapters(const tested_t *m, uint32_t stage, const double *factors, double *weights)
{
    for (uint32_t k = 0; k < m->shape[stage].linear_count; k++) {
        const lspo_tensor_t *w = &m->shape[stage].tensors[k];
        const double *a = factors, *b = factors + (size_t)w->rows * ADAPTER_RANK;
        for (size_t i = 0; i < (size_t)w->rows * w->cols; i++) {
            double sum = 0.0;
            for (size_t l = 0; l < ADAPTER_RANK; l++)
                sum += a[i / w->cols * ADAPTER_RANK + l] * b[i % w->cols * ADAPTER_RANK + l];
            weights[w->offset_elements + i] = (double)m->weights[stage][w->offset_elements + i] + ADAPTER_SCALE * sum;
        }
        factors += (size_t)ADAPTER_RANK * (w->rows + w->cols);
    }
}

static double merged_loss(const tested_t *m, const reference_t *r, const double *factors, const uint32_t *tokens,
                          const uint32_t *targets)
{
    merge_adapters(m, 1, factors, r->weights[1]);
    return reference_loss(r, tokens, targets);
}

/* An adapter at every linear layer of the first block: the loss is that of the merged weights, the gradients of A and B
 * are its central differences, and so are those of the embedding below. */
static void assert_adapters_of(tested_t *m, const uint32_t *tokens, const uint32_t *targets)
{
    reference_t r;
    size_t count = 0;
    for (uint32_t k = 0; k < m->shape[1].linear_count; k++)
        count += (size_t)ADAPTER_RANK * (m->shape[1].tensors[k].rows + m->shape[1].tensors[k].cols);
    float *factors = floats(count), *scratch = floats(2 * m->tokens * ADAPTER_RANK);
    lspo_random_normal_fill(8, 1, 0.4, count, factors);
    const lspo_adapters_t adapters = {
        .factors = factors, .rank = ADAPTER_RANK, .scale = (float)ADAPTER_SCALE, .scratch = scratch};
    m->adapters[1] = &adapters;
    m->d_factors[1] = floats(count);
    reference_create(m, &r);
    double *exact = doubles(count);
    for (size_t i = 0; i < count; i++)
        exact[i] = (double)factors[i];
    merge_adapters(m, 1, exact, r.weights[1]);
    tested_forward(m, tokens, targets);
    assert_loss(m, &r, tokens, targets);
    tested_backward(m, tokens, targets, 1.0F, false);
    for (size_t i = 0; i < m->shape[0].element_count; i++) {
        const double want = central_difference(&r, &r.weights[0][i], tokens, targets);
        cr_assert_float_eq((double)m->gradient[0][i], want, 2e-6 + 4e-5 * fabs(want));
    }
    for (size_t i = 0; i < count; i++) {
        const double h = 1e-5, kept = exact[i];
        exact[i] = kept + h;
        const double above = merged_loss(m, &r, exact, tokens, targets);
        exact[i] = kept - h;
        const double below = merged_loss(m, &r, exact, tokens, targets);
        exact[i] = kept;
        const double want = (above - below) / (2.0 * h);
        cr_assert_float_eq((double)m->d_factors[1][i], want, 2e-6 + 4e-5 * fabs(want), "factor %zu: %.9g, not %.9g", i,
                           (double)m->d_factors[1][i], want);
    }
    free(exact);
    reference_destroy(&r);
    free(m->d_factors[1]);
    free(scratch);
    free(factors);
}

static void assert_adapters(const lspo_model_t *model, size_t batch, size_t sequence, const uint32_t *tokens,
                            const uint32_t *targets)
{
    tested_t m;
    tested_create(model, batch, sequence, &m);
    assert_adapters_of(&m, tokens, targets);
    tested_destroy(&m);
}

/* Numbers by the definition in kernels/nf4.h. */
static void expand_in_double(const lspo_nf4_t *nf4, float *out)
{
    for (size_t i = 0; i < nf4->count; i++) {
        const size_t block = i / LSPO_NF4_BLOCK;
        const double scale = (double)*nf4->mean + (double)nf4->steps[block / LSPO_NF4_GROUP] * nf4->magnitudes[block];
        out[i] = (float)((double)lspo_nf4_levels[nf4->codes[i / 2] >> (4 * (i % 2)) & 15] * scale);
    }
}

/* The same with the linear weights of the first block in 4 bits: the model is then that of the expanded weights. */
static void assert_adapters_on_4_bits(const lspo_model_t *model, size_t batch, size_t sequence, const uint32_t *tokens,
                                      const uint32_t *targets)
{
    tested_t m;
    tested_create(model, batch, sequence, &m);
    const lspo_stage_t *shape = &m.shape[1];
    size_t counts[LSPO_LINEAR_MAX];
    for (uint32_t i = 0; i < shape->linear_count; i++)
        counts[i] = (size_t)shape->tensors[i].rows * shape->tensors[i].cols;
    float *codes = floats(lspo_nf4_bytes(shape->linear_count, counts) / sizeof(float) + 1);
    float *scratch = floats(linear_count(shape));
    lspo_quantized_t quantized = {.expanded = floats(linear_count(shape))};
    lspo_nf4_place(shape->linear_count, counts, codes, quantized.linear);
    for (uint32_t i = 0; i < shape->linear_count; i++) {
        float *w = m.weights[1] + shape->tensors[i].offset_elements;
        cr_assert(lspo_nf4_quantize(NULL, w, scratch, &quantized.linear[i]));
        expand_in_double(&quantized.linear[i], w);
    }
    m.quantized[1] = &quantized;
    assert_adapters_of(&m, tokens, targets);
    free(quantized.expanded);
    free(scratch);
    free(codes);
    tested_destroy(&m);
}

#endif
