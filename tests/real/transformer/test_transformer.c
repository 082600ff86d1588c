/* The GPT's forward and backward passes against a second, naive implementation in double precision: its loss, and the
 * central differences of its loss for every single weight. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/workload.h"
#include "real/transformer/transformer.h"
#include "tests/mean_head.h"

enum { BATCH = 2, SEQUENCE = 5, T = BATCH * SEQUENCE, W = 8, HEADS = 2, F = 12, V = 11, BLOCKS = 2, POSITIONS = 7 };
enum { STAGES = BLOCKS + 2, RANK = 3 };

static const float adapter_scale = 0.7F;

static const lspo_model_t tiny = {.name = "tiny",
                                  .family = LSPO_FAMILY_GPT,
                                  .block_count = BLOCKS,
                                  .width = W,
                                  .head_count = HEADS,
                                  .kv_head_count = HEADS,
                                  .mlp_width = F,
                                  .vocabulary = V,
                                  .max_sequence = POSITIONS,
                                  .tied_head = true};

static const uint32_t tokens[T] = {3, 1, 4, 1, 5, 9, 2, 6, 10, 3};
static const uint32_t targets[T] = {1, 4, 1, 5, 9, 2, 6, 10, 3, 0};

/* --- the model in double ------------------------------------------------------------------------------------------ */

/* Weights of every stage as doubles, each laid out as lspo_model_stage() says. */
typedef struct {
    lspo_stage_t shape[STAGES];
    double *weights[STAGES];
} reference_t;

static const double *tensor(const reference_t *r, uint32_t stage, const char *name)
{
    for (uint32_t i = 0; i < r->shape[stage].tensor_count; i++) {
        if (strcmp(r->shape[stage].tensors[i].name, name) == 0)
            return r->weights[stage] + r->shape[stage].tensors[i].offset_elements;
    }
    cr_assert_fail("no tensor %s in stage %u", name, stage);
    return NULL;
}

static void reference_norm(const double *x, const double *gain, const double *bias, double *out)
{
    for (size_t i = 0; i < T; i++) {
        double mean = 0.0, variance = 0.0;
        for (size_t j = 0; j < W; j++)
            mean += x[i * W + j] / W;
        for (size_t j = 0; j < W; j++)
            variance += (x[i * W + j] - mean) * (x[i * W + j] - mean) / W;
        for (size_t j = 0; j < W; j++)
            out[i * W + j] = (x[i * W + j] - mean) / sqrt(variance + 1e-5) * gain[j] + bias[j];
    }
}

static void reference_linear(size_t m, size_t n, const double *x, const double *weight, const double *bias, double *out)
{
    for (size_t i = 0; i < T; i++) {
        for (size_t j = 0; j < n; j++) {
            out[i * n + j] = bias[j];
            for (size_t l = 0; l < m; l++)
                out[i * n + j] += x[i * m + l] * weight[l * n + j];
        }
    }
}

/* One query: token i of sequence b, head h. */
static void reference_query(const double *qkv, size_t b, size_t i, size_t h, double *context)
{
    enum { E = W / HEADS };
    const double *base = qkv + b * SEQUENCE * 3 * W + h * E;
    double score[SEQUENCE], sum = 0.0;
    for (size_t j = 0; j <= i; j++) {
        double dot = 0.0;
        for (size_t l = 0; l < E; l++)
            dot += base[i * 3 * W + l] * base[j * 3 * W + W + l];
        score[j] = exp(dot / sqrt((double)E));
        sum += score[j];
    }
    for (size_t l = 0; l < E; l++) {
        double *out = context + (b * SEQUENCE + i) * W + h * E + l;
        *out = 0.0;
        for (size_t j = 0; j <= i; j++)
            *out += score[j] / sum * base[j * 3 * W + 2 * W + l];
    }
}

static void reference_attention(const double *qkv, double *context)
{
    for (size_t b = 0; b < BATCH; b++)
        for (size_t i = 0; i < SEQUENCE; i++)
            for (size_t h = 0; h < HEADS; h++)
                reference_query(qkv, b, i, h, context);
}

static void reference_block(const reference_t *r, uint32_t stage, double *x)
{
    double norm[T * W], qkv[T * 3 * W], context[T * W], branch[T * W], mlp[T * F];
    reference_norm(x, tensor(r, stage, "norm1_gain"), tensor(r, stage, "norm1_bias"), norm);
    reference_linear(W, 3 * W, norm, tensor(r, stage, "qkv"), tensor(r, stage, "qkv_bias"), qkv);
    reference_attention(qkv, context);
    reference_linear(W, W, context, tensor(r, stage, "attention_out"), tensor(r, stage, "attention_out_bias"), branch);
    for (size_t i = 0; i < T * W; i++)
        x[i] += branch[i];
    reference_norm(x, tensor(r, stage, "norm2_gain"), tensor(r, stage, "norm2_bias"), norm);
    reference_linear(W, F, norm, tensor(r, stage, "mlp_up"), tensor(r, stage, "mlp_up_bias"), mlp);
    for (size_t i = 0; i < T * F; i++)
        mlp[i] = 0.5 * mlp[i] * (1.0 + tanh(sqrt(2.0 / M_PI) * (mlp[i] + 0.044715 * pow(mlp[i], 3.0))));
    reference_linear(F, W, mlp, tensor(r, stage, "mlp_down"), tensor(r, stage, "mlp_down_bias"), branch);
    for (size_t i = 0; i < T * W; i++)
        x[i] += branch[i];
}

static double reference_head(const reference_t *r, const double *x, const uint32_t *target)
{
    const double *token = tensor(r, 0, "token");
    double norm[T * W], loss = 0.0;
    reference_norm(x, tensor(r, STAGES - 1, "norm_gain"), tensor(r, STAGES - 1, "norm_bias"), norm);
    for (size_t i = 0; i < T; i++) {
        double logits[V] = {0}, sum = 0.0;
        for (size_t j = 0; j < V; j++) {
            for (size_t l = 0; l < W; l++)
                logits[j] += norm[i * W + l] * token[j * W + l];
            sum += exp(logits[j]);
        }
        loss += log(sum) - logits[target[i]];
    }
    return loss / T;
}

static double reference_loss(const reference_t *r, const uint32_t *input, const uint32_t *target)
{
    const double *token = tensor(r, 0, "token"), *position = tensor(r, 0, "position");
    double x[T * W];
    for (size_t i = 0; i < T * W; i++)
        x[i] = token[input[i / W] * W + i % W] + position[i % (SEQUENCE * W)];
    for (uint32_t stage = 1; stage <= BLOCKS; stage++)
        reference_block(r, stage, x);
    return reference_head(r, x, target);
}

/* --- the model under test, with every buffer ---------------------------------------------------------------------- */

typedef struct {
    lspo_transformer_t *t;
    float *workspace;
    lspo_stage_t shape[STAGES];
    float *weights[STAGES];
    float *gradient[STAGES];
    float *saved[STAGES];
    float *x[STAGES]; /* x[i]: output of stage i, i < STAGES - 1 */
    float *dx;
    double loss;
    bool adapted;
    float *factors[STAGES], *d_factors[STAGES], *adapter_scratch; /* of the blocks, when adapted */
    size_t factor_count;                                          /* of one block                */
    lspo_adapters_t adapters[STAGES];
} model_t;

static float *floats(size_t bytes)
{
    float *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    cr_assert_not_null(memory);
    memset(memory, 0xff, bytes); /* NaN: what is read before it is written shows */
    return memory;
}

/* Weights of order one, biases and gains included, so that every gradient is well above rounding. */
static void model_create(model_t *m)
{
    memset(m, 0, sizeof *m);
    const size_t workspace_bytes = lspo_transformer_workspace_bytes(&tiny, BATCH, SEQUENCE, LSPO_NUMBER_FP32);
    m->workspace = floats(workspace_bytes);
    cr_assert_eq(lspo_transformer_create(&tiny, BATCH, SEQUENCE, lspo_compute_host(), m->workspace, &m->t), LSPO_OK);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        lspo_model_stage(&tiny, stage, &m->shape[stage]);
        const size_t count = m->shape[stage].element_count;
        m->weights[stage] = floats(count * sizeof(float));
        m->gradient[stage] = floats(count * sizeof(float));
        m->saved[stage] = floats(lspo_transformer_saved_bytes(m->t, stage) + 1);
        m->x[stage] = floats(T * W * sizeof(float));
        lspo_random_normal_fill(7, stage, 0.4, count, m->weights[stage]);
    }
    m->dx = floats(T * W * sizeof(float));
}

/* Give every linear layer an adapter, both factors of order one. */
static void model_adapt(model_t *m)
{
    m->adapted = true;
    m->adapter_scratch = floats(2 * T * RANK * sizeof(float));
    for (uint32_t i = 0; i < m->shape[1].linear_count; i++)
        m->factor_count += (size_t)RANK * (m->shape[1].tensors[i].rows + m->shape[1].tensors[i].cols);
    for (uint32_t stage = 1; stage <= BLOCKS; stage++) {
        m->factors[stage] = floats(m->factor_count * sizeof(float));
        m->d_factors[stage] = floats(m->factor_count * sizeof(float));
        lspo_random_normal_fill(8, stage, 0.4, m->factor_count, m->factors[stage]);
        m->adapters[stage] = (lspo_adapters_t){
            .factors = m->factors[stage], .rank = RANK, .scale = adapter_scale, .scratch = m->adapter_scratch};
    }
}

static const lspo_adapters_t *adapters_of(const model_t *m, uint32_t stage)
{
    return m->adapted ? &m->adapters[stage] : NULL;
}

static void model_destroy(model_t *m)
{
    free(m->adapter_scratch);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        free(m->factors[stage]);
        free(m->d_factors[stage]);
        free(m->weights[stage]);
        free(m->gradient[stage]);
        free(m->saved[stage]);
        free(m->x[stage]);
    }
    free(m->dx);
    free(m->workspace);
    lspo_transformer_destroy(m->t);
}

static void forward(model_t *m, const uint32_t *input, const uint32_t *target)
{
    lspo_transformer_embed_forward(m->t, input, m->weights[0], m->x[0]);
    for (uint32_t stage = 1; stage <= BLOCKS; stage++)
        lspo_transformer_block_forward(
            m->t, &(lspo_block_parameters_t){.weights = m->weights[stage], .adapters = adapters_of(m, stage)},
            m->x[stage - 1], m->saved[stage], m->x[stage]);
    m->loss =
        mean_head_forward(m->t, m->weights[STAGES - 1], m->weights[0], target, m->x[BLOCKS], m->saved[STAGES - 1]);
}

/* The number of floats of a stage's linear tensors. */
static size_t linear_count(const lspo_stage_t *shape)
{
    return shape->linear_count == 0 ? 0 : shape->tensors[shape->linear_count].offset_elements;
}

static void backward(model_t *m, const uint32_t *input, const uint32_t *target, float loss_scale, bool accumulate)
{
    const uint32_t head = STAGES - 1;
    lspo_gradient_sink_t sink = {.rest = m->gradient[head], .tied = m->gradient[0], .accumulate = accumulate};
    mean_head_backward(m->t, &(lspo_head_parameters_t){m->weights[head], m->weights[0]},
                       &(lspo_head_loss_t){target, loss_scale}, &(lspo_stage_kept_t){m->x[BLOCKS], m->saved[head]},
                       &sink, m->dx);
    for (uint32_t stage = BLOCKS; stage > 0; stage--) {
        sink.linear = m->gradient[stage];
        sink.adapters = m->d_factors[stage];
        sink.rest = m->gradient[stage] + linear_count(&m->shape[stage]);
        lspo_transformer_block_backward(
            m->t, &(lspo_block_parameters_t){.weights = m->weights[stage], .adapters = adapters_of(m, stage)},
            &(lspo_stage_kept_t){m->x[stage - 1], m->saved[stage]}, &sink, NULL, m->dx);
    }
    lspo_transformer_embed_backward(m->t, input, m->weights[0], m->dx, accumulate, m->gradient[0]);
}

static void reference_create(const model_t *m, reference_t *r)
{
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        const size_t count = m->shape[stage].element_count;
        r->shape[stage] = m->shape[stage];
        r->weights[stage] = malloc(count * sizeof(double));
        cr_assert_not_null(r->weights[stage]);
        for (size_t i = 0; i < count; i++)
            r->weights[stage][i] = (double)m->weights[stage][i];
    }
}

static void reference_destroy(reference_t *r)
{
    for (uint32_t stage = 0; stage < STAGES; stage++)
        free(r->weights[stage]);
}

static void fill_bytes(float *memory, size_t count, int byte)
{
    memset(memory, byte, count * sizeof *memory);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

Test(transformer, loss_equals_the_reference)
{
    model_t m;
    reference_t r;
    model_create(&m);
    reference_create(&m, &r);
    forward(&m, tokens, targets);
    const double want = reference_loss(&r, tokens, targets);
    cr_assert_float_eq(m.loss, want, 1e-6 * want, "loss %.9g, reference %.9g", m.loss, want);
    const double evaluated = mean_head_forward(m.t, m.weights[STAGES - 1], m.weights[0], targets, m.x[BLOCKS], NULL);
    cr_assert_eq(evaluated, m.loss);
    reference_destroy(&r);
    model_destroy(&m);
}

/* Central differences of the double loss: error h^2 f''' / 6 + 2e-16 / h, about 1e-10 at h = 1e-5.  The rest of the
 * tolerance is fp32's: its gradients are sums of up to T terms of order 0.1. */
static double central_difference(const reference_t *r, double *weight)
{
    const double h = 1e-5, kept = *weight;
    *weight = kept + h;
    const double above = reference_loss(r, tokens, targets);
    *weight = kept - h;
    const double below = reference_loss(r, tokens, targets);
    *weight = kept;
    return (above - below) / (2.0 * h);
}

static void assert_gradient(double got, double want, const char *what, uint32_t stage, size_t index)
{
    cr_assert(fabs(got - want) <= 1e-6 + 2e-5 * fabs(want), "stage %u, %s %zu: gradient %.9g, not %.9g", stage, what,
              index, got, want);
}

static void assert_weight_gradients(const model_t *m, const reference_t *r)
{
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        double largest = 0.0;
        for (size_t i = 0; i < m->shape[stage].element_count; i++) {
            const double want = central_difference(r, &r->weights[stage][i]);
            largest = fmax(largest, fabs(want));
            assert_gradient((double)m->gradient[stage][i], want, "weight", stage, i);
        }
        cr_assert(largest > 0.01, "the gradients of stage %u are too small for this test to see them", stage);
    }
}

Test(transformer, every_gradient_equals_the_central_difference)
{
    model_t m;
    reference_t r;
    model_create(&m);
    reference_create(&m, &r);
    forward(&m, tokens, targets);
    backward(&m, tokens, targets, 1.0F, false);
    assert_weight_gradients(&m, &r);
    reference_destroy(&r);
    model_destroy(&m);
}

/* A block's weights of the reference become W + scale A B^T. */
static void merge_adapters(const model_t *m, uint32_t stage, const double *factors, double *weights)
{
    for (uint32_t k = 0; k < m->shape[stage].linear_count; k++) {
        const lspo_tensor_t *w = &m->shape[stage].tensors[k];
        const double *a = factors, *b = factors + (size_t)w->rows * RANK;
        for (size_t i = 0; i < w->rows; i++) {
            for (size_t j = 0; j < w->cols; j++) {
                double sum = 0.0;
                for (size_t l = 0; l < RANK; l++)
                    sum += a[i * RANK + l] * b[j * RANK + l];
                const size_t at = w->offset_elements + i * w->cols + j;
                weights[at] = (double)m->weights[stage][at] + (double)adapter_scale * sum;
            }
        }
        factors += (size_t)RANK * (w->rows + w->cols);
    }
}

static double merged_loss(const model_t *m, const reference_t *r, uint32_t stage, const double *factors)
{
    merge_adapters(m, stage, factors, r->weights[stage]);
    return reference_loss(r, tokens, targets);
}

static double *doubles_of(const float *from, size_t count)
{
    double *out = malloc(count * sizeof(double));
    cr_assert_not_null(out);
    for (size_t i = 0; i < count; i++)
        out[i] = (double)from[i];
    return out;
}

/* With an adapter at every linear layer: the loss is that of the merged weights; the gradients of A and B are its
 * central differences, and so are those of all weights, also of the stages below, which see the adapters' share of
 * dX. */
Test(transformer, adapters_train_as_merged_weights_do)
{
    model_t m;
    reference_t r;
    model_create(&m);
    model_adapt(&m);
    reference_create(&m, &r);
    for (uint32_t stage = 1; stage <= BLOCKS; stage++) {
        double *factors = doubles_of(m.factors[stage], m.factor_count);
        merge_adapters(&m, stage, factors, r.weights[stage]);
        free(factors);
    }
    forward(&m, tokens, targets);
    const double loss = reference_loss(&r, tokens, targets);
    cr_assert_float_eq(m.loss, loss, 1e-6 * loss, "loss %.9g, reference %.9g", m.loss, loss);
    backward(&m, tokens, targets, 1.0F, false);
    assert_weight_gradients(&m, &r);
    for (uint32_t stage = 1; stage <= BLOCKS; stage++) {
        double *factors = doubles_of(m.factors[stage], m.factor_count), largest = 0.0;
        for (size_t i = 0; i < m.factor_count; i++) {
            const double h = 1e-5, kept = factors[i];
            factors[i] = kept + h;
            const double above = merged_loss(&m, &r, stage, factors);
            factors[i] = kept - h;
            const double below = merged_loss(&m, &r, stage, factors);
            factors[i] = kept;
            const double want = (above - below) / (2.0 * h);
            largest = fmax(largest, fabs(want));
            assert_gradient((double)m.d_factors[stage][i], want, "factor", stage, i);
        }
        cr_assert_gt(largest, 0.01);
        merge_adapters(&m, stage, factors, r.weights[stage]);
        free(factors);
    }
    reference_destroy(&r);
    model_destroy(&m);
}

/* B = 0: forward is that of the bare weights to the bit. */
Test(transformer, adapters_start_from_the_frozen_model)
{
    model_t bare, m;
    model_create(&bare);
    model_create(&m);
    model_adapt(&m);
    for (uint32_t stage = 1; stage <= BLOCKS; stage++) {
        float *a = m.factors[stage];
        for (uint32_t k = 0; k < m.shape[stage].linear_count; k++) {
            const lspo_tensor_t *w = &m.shape[stage].tensors[k];
            memset(a + (size_t)RANK * w->rows, 0, (size_t)RANK * w->cols * sizeof(float));
            a += (size_t)RANK * (w->rows + w->cols);
        }
    }
    forward(&bare, tokens, targets);
    forward(&m, tokens, targets);
    cr_assert_eq(m.loss, bare.loss);
    cr_assert_eq(memcmp(m.x[BLOCKS], bare.x[BLOCKS], T * W * sizeof(float)), 0);
    model_destroy(&bare);
    model_destroy(&m);
}

/* Gradients of two micro-batches at half scale each: the mean of the two gradients. */
static void assert_mean(const float *both, const float *first, const float *second, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const double want = 0.5 * ((double)first[i] + (double)second[i]), got = (double)both[i];
        cr_assert(fabs(got - want) <= 1e-6 + 1e-5 * fabs(want), "gradient %zu: %.9g, not %.9g", i, got, want);
    }
}

static void assert_micro_batches_accumulate(bool adapted)
{
    model_t both, first, second;
    model_t *const models[] = {&both, &first, &second};
    for (int i = 0; i < 3; i++) {
        model_create(models[i]);
        if (adapted)
            model_adapt(models[i]);
    }
    forward(&both, tokens, targets);
    backward(&both, tokens, targets, 0.5F, false);
    forward(&both, targets, tokens);
    backward(&both, targets, tokens, 0.5F, true);
    forward(&first, tokens, targets);
    backward(&first, tokens, targets, 1.0F, false);
    forward(&second, targets, tokens);
    backward(&second, targets, tokens, 1.0F, false);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        assert_mean(both.gradient[stage], first.gradient[stage], second.gradient[stage],
                    both.shape[stage].element_count);
        if (both.d_factors[stage] != NULL)
            assert_mean(both.d_factors[stage], first.d_factors[stage], second.d_factors[stage], both.factor_count);
    }
    for (int i = 0; i < 3; i++)
        model_destroy(models[i]);
}

Test(transformer, micro_batches_accumulate)
{
    assert_micro_batches_accumulate(false);
    assert_micro_batches_accumulate(true);
}

/* overwrite_linear: the second micro-batch's G alone, while the rest adds up. */
Test(transformer, linear_gradients_can_hold_one_micro_batch)
{
    model_t m, alone;
    model_create(&m);
    model_create(&alone);
    const lspo_stage_t *shape = &m.shape[1];
    float start[T * W];
    lspo_random_normal_fill(9, 9, 0.1, T * W, start);
    forward(&m, tokens, targets);
    forward(&alone, tokens, targets);
    float *linear = m.gradient[1], *rest = linear + linear_count(shape);
    float *linear_alone = alone.gradient[1], *rest_alone = linear_alone + linear_count(shape);
    lspo_gradient_sink_t sink = {.linear = linear_alone, .rest = rest_alone};
    memcpy(m.dx, start, sizeof start);
    lspo_transformer_block_backward(m.t, &(lspo_block_parameters_t){.weights = m.weights[1]},
                                    &(lspo_stage_kept_t){m.x[0], m.saved[1]}, &sink, NULL, m.dx);
    fill_bytes(linear, linear_count(shape), 0x3f);
    memcpy(rest, rest_alone, (shape->element_count - linear_count(shape)) * sizeof(float));
    sink = (lspo_gradient_sink_t){.linear = linear, .rest = rest, .accumulate = true, .overwrite_linear = true};
    memcpy(m.dx, start, sizeof start);
    lspo_transformer_block_backward(m.t, &(lspo_block_parameters_t){.weights = m.weights[1]},
                                    &(lspo_stage_kept_t){m.x[0], m.saved[1]}, &sink, NULL, m.dx);
    cr_assert_eq(memcmp(linear, linear_alone, linear_count(shape) * sizeof(float)), 0);
    for (size_t i = 0; i < shape->element_count - linear_count(shape); i++)
        cr_assert_float_eq(rest[i], 2.0F * rest_alone[i], 1e-5F * fabsf(rest[i]) + 1e-7F);
    model_destroy(&m);
    model_destroy(&alone);
}

Test(transformer, recompute_saves_the_same_bytes)
{
    model_t m;
    model_create(&m);
    forward(&m, tokens, targets);
    const size_t bytes = lspo_transformer_saved_bytes(m.t, 1);
    float *again = floats(bytes);
    lspo_transformer_block_forward(m.t, &(lspo_block_parameters_t){.weights = m.weights[1]}, m.x[0], again, NULL);
    cr_assert_eq(memcmp(again, m.saved[1], bytes), 0);
    free(again);
    model_destroy(&m);
}

/* Changing the last token of the first sequence changes the probabilities after it and nothing else, to the bit. */
Test(transformer, a_later_token_does_not_reach_earlier_ones)
{
    model_t m;
    model_create(&m);
    forward(&m, tokens, targets);
    float before[T * V];
    const float *probabilities = m.saved[STAGES - 1] + T * W + 2 * T;
    memcpy(before, probabilities, sizeof before);
    uint32_t changed[T];
    memcpy(changed, tokens, sizeof changed);
    changed[SEQUENCE - 1] = 0;
    forward(&m, changed, targets);
    for (size_t i = 0; i < T; i++) {
        const bool same = memcmp(before + i * V, probabilities + i * V, V * sizeof(float)) == 0;
        cr_assert_eq(same, i != SEQUENCE - 1, "token %zu", i);
    }
    model_destroy(&m);
}

static bool all_bytes(const float *memory, size_t count, int byte)
{
    const unsigned char *bytes = (const unsigned char *)memory;
    for (size_t i = 0; i < count * sizeof *memory; i++) {
        if (bytes[i] != byte)
            return false;
    }
    return true;
}

/* Only what is wanted is written, and the input's gradient does not depend on what is wanted. */
Test(transformer, sinks_that_are_null_are_not_touched)
{
    model_t m;
    model_create(&m);
    forward(&m, tokens, targets);
    const uint32_t head = STAGES - 1;
    const size_t linear = linear_count(&m.shape[1]), count = m.shape[1].element_count;
    float want[T * W], start[T * W];
    mean_head_backward(m.t, &(lspo_head_parameters_t){m.weights[head], m.weights[0]},
                       &(lspo_head_loss_t){targets, 1.0F}, &(lspo_stage_kept_t){m.x[BLOCKS], m.saved[head]}, NULL,
                       m.dx);
    memcpy(start, m.dx, sizeof start);
    lspo_transformer_block_backward(m.t, &(lspo_block_parameters_t){.weights = m.weights[1]},
                                    &(lspo_stage_kept_t){m.x[0], m.saved[1]}, NULL, NULL, m.dx);
    memcpy(want, m.dx, sizeof want);
    for (int form = 0; form < 3; form++) {
        const bool with_linear = form != 1, with_rest = form != 0;
        fill_bytes(m.gradient[1], count, 0x5a);
        const lspo_gradient_sink_t sink = {.linear = with_linear ? m.gradient[1] : NULL,
                                           .rest = with_rest ? m.gradient[1] + linear : NULL};
        memcpy(m.dx, start, sizeof start);
        lspo_transformer_block_backward(m.t, &(lspo_block_parameters_t){.weights = m.weights[1]},
                                        &(lspo_stage_kept_t){m.x[0], m.saved[1]}, &sink, NULL, m.dx);
        cr_assert_eq(memcmp(m.dx, want, sizeof want), 0);
        cr_assert_eq(all_bytes(m.gradient[1], linear, 0x5a), !with_linear);
        cr_assert_eq(all_bytes(m.gradient[1] + linear, count - linear, 0x5a), !with_rest);
    }
    model_destroy(&m);
}

/* G = X^T dY of every linear layer, from the operands that block_backward leaves behind. */
Test(transformer, operands_give_the_linear_gradients)
{
    model_t m;
    model_create(&m);
    forward(&m, tokens, targets);
    const uint32_t head = STAGES - 1;
    mean_head_backward(m.t, &(lspo_head_parameters_t){m.weights[head], m.weights[0]},
                       &(lspo_head_loss_t){targets, 1.0F}, &(lspo_stage_kept_t){m.x[BLOCKS], m.saved[head]}, NULL,
                       m.dx);
    const lspo_gradient_sink_t sink = {.linear = m.gradient[BLOCKS]};
    lspo_linear_operands_t operands;
    lspo_transformer_block_backward(m.t, &(lspo_block_parameters_t){.weights = m.weights[BLOCKS]},
                                    &(lspo_stage_kept_t){m.x[BLOCKS - 1], m.saved[BLOCKS]}, &sink, &operands, m.dx);
    for (uint32_t k = 0; k < m.shape[BLOCKS].linear_count; k++) {
        const lspo_tensor_t *shape = &m.shape[BLOCKS].tensors[k];
        const float *x = operands.of[k].x, *dy = operands.of[k].dy;
        for (size_t i = 0; i < shape->rows; i++) {
            for (size_t j = 0; j < shape->cols; j++) {
                double want = 0.0;
                for (size_t row = 0; row < T; row++)
                    want +=
                        (double)x[row * operands.of[k].x_stride + i] * (double)dy[row * operands.of[k].dy_stride + j];
                const double got = (double)m.gradient[BLOCKS][shape->offset_elements + i * shape->cols + j];
                cr_assert(fabs(got - want) <= 1e-6 + 1e-5 * fabs(want), "%s[%zu, %zu]", shape->name, i, j);
            }
        }
    }
    model_destroy(&m);
}

/* The same inputs give the same bits, whatever is in the workspace and whatever ran before. */
Test(transformer, same_inputs_same_bits)
{
    model_t m, other;
    model_create(&m);
    model_create(&other);
    forward(&m, tokens, targets);
    backward(&m, tokens, targets, 1.0F, false);
    const double loss = m.loss;
    forward(&other, targets, tokens);
    backward(&other, targets, tokens, 1.0F, false);
    memset(other.workspace, 0x3c, lspo_transformer_workspace_bytes(&tiny, BATCH, SEQUENCE, LSPO_NUMBER_FP32));
    forward(&other, tokens, targets);
    backward(&other, tokens, targets, 1.0F, false);
    cr_assert_eq(other.loss, loss);
    for (uint32_t stage = 0; stage < STAGES; stage++)
        cr_assert_eq(memcmp(m.gradient[stage], other.gradient[stage], m.shape[stage].element_count * sizeof(float)), 0);
    model_destroy(&m);
    model_destroy(&other);
}

/* Positions 5 and 6 are never used: their gradient is 0 when overwritten and stays when accumulated. */
Test(transformer, unused_positions_get_zero_gradients)
{
    model_t m;
    model_create(&m);
    forward(&m, tokens, targets);
    backward(&m, tokens, targets, 1.0F, false);
    float *unused = m.gradient[0] + (V + SEQUENCE) * W;
    cr_assert(all_bytes(unused, (POSITIONS - SEQUENCE) * W, 0));
    fill_bytes(unused, (POSITIONS - SEQUENCE) * W, 0x5a);
    backward(&m, tokens, targets, 1.0F, true);
    cr_assert(all_bytes(unused, (POSITIONS - SEQUENCE) * W, 0x5a));
    model_destroy(&m);
}

/* By hand for `tiny`, T = 10: a block keeps 10 (7 8 + 2 12 + 2 5 + 4) = 940 floats, the head 10 (8 + 11 + 2) = 210;
 * the workspace is max(10 (6 8 + 12), 210) + (32 + 4) 5 = 780 floats. */
Test(transformer, sizes_are_those_of_the_memory_model)
{
    model_t m;
    model_create(&m);
    cr_assert_eq(lspo_transformer_saved_bytes(m.t, 0), 0);
    cr_assert_eq(lspo_transformer_saved_bytes(m.t, 1), 4 * 940);
    cr_assert_eq(lspo_transformer_saved_bytes(m.t, STAGES - 1), 4 * 210);
    cr_assert_eq(lspo_transformer_workspace_bytes(&tiny, BATCH, SEQUENCE, LSPO_NUMBER_FP32), 4 * 780);
    lspo_workload_t workload;
    lspo_activations_t activations;
    lspo_workload_default(&workload);
    workload.batch = BATCH;
    workload.sequence = SEQUENCE;
    workload.precision = LSPO_FP32;
    lspo_activations(&tiny, &workload, &activations);
    cr_assert_eq(activations.saved_bytes, lspo_transformer_saved_bytes(m.t, 1));
    cr_assert_eq(activations.head_bytes, lspo_transformer_saved_bytes(m.t, STAGES - 1));
    cr_assert_eq(activations.workspace_bytes,
                 lspo_transformer_workspace_bytes(&tiny, BATCH, SEQUENCE, LSPO_NUMBER_FP32));
    model_destroy(&m);
}

/* A stage that is shared out among threads: each number is the one of its place, also at the ends of their pieces, and
 * none is left out. */
Test(transformer, large_stages_are_made_as_small_ones)
{
    lspo_model_t large = tiny;
    large.vocabulary = 70001;
    large.width = 64;
    lspo_stage_t shape;
    lspo_model_stage(&large, 0, &shape);
    const size_t n = (size_t)large.vocabulary * large.width, piece = 1 << 18;
    float *weights = floats(shape.element_count * sizeof(float));
    lspo_transformer_init(&large, 0, 5, weights);
    for (size_t end = piece; end < n + piece; end += piece)
        for (size_t i = end < n ? end - 2 : n - 2; i < n && i < end + 2; i++)
            cr_assert_eq(weights[i], (float)(0.02 * lspo_random_normal(5, 0, i)), "number %zu", i);
    size_t left_out = 0;
    for (size_t i = 0; i < shape.element_count; i++)
        left_out += !isfinite(weights[i]);
    cr_assert_eq(left_out, 0u);
    free(weights);
}

Test(transformer, initial_weights_are_those_of_gpt2)
{
    lspo_model_t small;
    lspo_stage_t shape;
    cr_assert_eq(lspo_model_find("gpt-tiny", &small), LSPO_OK);
    lspo_model_stage(&small, 1, &shape);
    float *weights = floats(shape.element_count * sizeof(float)), *again = floats(shape.element_count * sizeof(float));
    lspo_transformer_init(&small, 1, 3, weights);
    lspo_transformer_init(&small, 1, 3, again);
    cr_assert_eq(memcmp(weights, again, shape.element_count * sizeof(float)), 0);
    lspo_transformer_init(&small, 1, 4, again);
    cr_assert_neq(weights[0], again[0]);
    lspo_transformer_init(&small, 2, 3, again);
    cr_assert_neq(weights[0], again[0]);
    for (uint32_t k = 0; k < shape.tensor_count; k++) {
        const lspo_tensor_t *tensor_k = &shape.tensors[k];
        const size_t n = (size_t)tensor_k->rows * tensor_k->cols;
        double sum = 0.0, squares = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double value = (double)weights[tensor_k->offset_elements + i];
            sum += value / (double)n;
            squares += value * value / (double)n;
        }
        const bool gain = strstr(tensor_k->name, "gain") != NULL;
        const bool residual = strcmp(tensor_k->name, "attention_out") == 0 || strcmp(tensor_k->name, "mlp_down") == 0;
        const double deviation = residual ? 0.02 / sqrt(2.0 * small.block_count) : 0.02;
        if (tensor_k->linear) /* five standard errors of a mean and of a deviation of n normals */
            cr_assert(fabs(sum) < 5.0 * deviation / sqrt((double)n) &&
                          fabs(sqrt(squares) - deviation) < 5.0 * deviation / sqrt(2.0 * (double)n),
                      "%s: mean %g, root mean square %g", tensor_k->name, sum, sqrt(squares));
        else
            cr_assert(fabs(sum - (gain ? 1.0 : 0.0)) < 1e-12, "%s", tensor_k->name);
    }
    free(weights);
    free(again);
}

static void assert_refused(lspo_model_t model, uint32_t batch, uint32_t sequence)
{
    static float workspace[16];
    lspo_transformer_t *t = NULL;
    cr_assert_eq(lspo_transformer_create(&model, batch, sequence, lspo_compute_host(), workspace, &t), LSPO_ERR_INPUT);
    cr_assert_null(t);
}

Test(transformer, refuses_what_it_cannot_train)
{
    lspo_model_t model = tiny;
    assert_refused(model, 0, SEQUENCE);
    assert_refused(model, BATCH, 0);
    assert_refused(model, BATCH, POSITIONS + 1);
    model.family = LSPO_FAMILY_BERT; /* a masked-language head */
    assert_refused(model, BATCH, SEQUENCE);
    model.class_count = 2; /* but a tied one */
    assert_refused(model, BATCH, SEQUENCE);
    model = tiny;
    model.class_count = 2;
    assert_refused(model, BATCH, SEQUENCE);
    model = tiny;
    model.kv_head_count = 3;
    assert_refused(model, BATCH, SEQUENCE);
    model = tiny;
    model.family = LSPO_FAMILY_LLAMA;
    model.head_count = model.kv_head_count = W; /* heads one wide have no pairs to turn */
    assert_refused(model, BATCH, SEQUENCE);
    model = tiny;
    model.head_count = 3;
    model.kv_head_count = 3;
    assert_refused(model, BATCH, SEQUENCE);
    model = tiny;
    model.max_sequence = 1U << 20;
    assert_refused(model, UINT32_MAX, 1U << 20);
    cr_assert_eq(lspo_transformer_workspace_bytes(&model, UINT32_MAX, 1U << 20, LSPO_NUMBER_FP32), SIZE_MAX);
    lspo_transformer_destroy(NULL);
}
