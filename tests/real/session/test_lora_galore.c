/* lora and galore: their training against independent loops by the formulas, and their memory against the plan. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "plan/policies/galore.h"
#include "plan/policies/lora.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/galore.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/session/state.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"
#include "tests/mean_head.h"
#include "tests/orthonormal.h"
#include "tests/own_values.h"
#include "tests/small_gpt.h"
enum { STAGES = 5, HEAD = STAGES - 1, STEPS = 50, RANK = 4 };

static void *memory(size_t bytes)
{
    void *array = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    cr_assert_not_null(array);
    memset(array, 0, bytes);
    return array;
}

static float *floats(size_t count)
{
    return memory(count * sizeof(float));
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 16;
    workload.precision = LSPO_FP32;
    workload.transfer = LSPO_FP32;
    workload.iterations = STEPS;
    workload.learning_rate = 3e-3;
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    set_rank(&workload, RANK);
    return workload;
}

/* A session with all that it rests on. */
typedef struct {
    lspo_plan_t *plan;
    lspo_text_t *text;
    lspo_device_t *device;
    lspo_session_t *session;
} fixture_t;

static lspo_status_t open_fixture(const char *policy_name, const lspo_workload_t *workload, uint64_t memory_bytes,
                                  fixture_t *f)
{
    lspo_model_t model = small_gpt();
    const lspo_policy_t *policy = NULL;
    lspo_device_caps_t caps = {.memory_bytes = memory_bytes};
    *f = (fixture_t){.text = make_text()};
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, workload, policy, &f->plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &caps, &f->device), LSPO_OK);
    return lspo_session_create(f->plan, f->device, f->text, &f->session);
}

static void close_fixture(fixture_t *f)
{
    lspo_session_destroy(f->session);
    lspo_device_close(f->device);
    lspo_text_close(f->text);
    lspo_plan_destroy(f->plan);
}

static lspo_trace_t *execute(fixture_t *f)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(f->plan, lspo_session_run_op, NULL, f->session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, f->plan), LSPO_OK);
    return trace;
}

/* Emission order is one of the orders that the dependencies allow. */
static void run_in_order(fixture_t *f, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        cr_assert_eq(lspo_session_run_op(f->session, &f->plan->ops[i]), LSPO_OK);
}

/* A training loop beside the session: the plain transformer on whole weights, whose full gradients G it forms, and Adam
 * in double.  What it optimises of a linear weight W0 + U is
 *     lora     A and B with U = s A B^T:   dA = s G B,  dB = s G^T A
 *     galore   R = A^T G (or G A), U -= (eta / 4) A N;  the basis A is the session's, checked on its own */
typedef struct {
    const lspo_workload_t *workload;
    lspo_transformer_t *t;
    void *workspace;
    lspo_stage_t shape[STAGES];
    lspo_message_t message[STAGES];
    float *w[STAGES], *g[STAGES], *total[STAGES], *x[STAGES], *saved[STAGES], *dx;
    double *base[STAGES];                             /* the exact weights: W of galore, W0 of lora       */
    double *factors[STAGES];                          /* lora                                             */
    double *gradient[STAGES], *m[STAGES], *v[STAGES]; /* of the message           */
    uint32_t *tokens, *targets;
} loop_t;

static double *doubles(size_t count)
{
    return memory(count * sizeof(double));
}

static void loop_open(const fixture_t *f, loop_t *loop)
{
    const lspo_workload_t *workload = &f->plan->workload;
    size_t tokens = lspo_workload_tokens(workload), width = f->plan->model.width;
    *loop = (loop_t){.workload = workload};
    loop->workspace = memory(
        lspo_transformer_workspace_bytes(&f->plan->model, workload->batch, workload->sequence, LSPO_NUMBER_FP32));
    cr_assert_eq(lspo_transformer_create(&f->plan->model, workload->batch, workload->sequence, lspo_compute_host(),
                                         loop->workspace, &loop->t),
                 LSPO_OK);
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_model_stage(&f->plan->model, s, &loop->shape[s]);
        lspo_plan_message(f->plan, s, &loop->message[s]);
        size_t n = loop->shape[s].element_count, message = loop->message[s].element_count;
        loop->w[s] = floats(n);
        loop->g[s] = floats(n);
        loop->total[s] = floats(n);
        loop->x[s] = floats(tokens * width);
        loop->saved[s] = memory(lspo_transformer_saved_bytes(loop->t, s));
        loop->base[s] = doubles(n);
        loop->factors[s] = doubles(message);
        loop->gradient[s] = doubles(message);
        loop->m[s] = doubles(message);
        loop->v[s] = doubles(message);
        cr_assert_eq(lspo_session_weights(f->session, s, loop->w[s]), LSPO_OK);
        for (size_t i = 0; i < n; i++)
            loop->base[s][i] = (double)loop->w[s][i];
        const lspo_adapters_t *adapters = f->session->stages[s].adapters;
        for (size_t i = 0; adapters && i < message - loop->message[s].rest_elements; i++)
            loop->factors[s][i] = (double)((const float *)adapters->factors)[i];
    }
    loop->dx = floats(tokens * width);
    loop->tokens = memory(tokens * sizeof(uint32_t));
    loop->targets = memory(tokens * sizeof(uint32_t));
}

static void loop_close(loop_t *loop)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        void *arrays[] = {loop->w[s],       loop->g[s],        loop->x[s], loop->saved[s], loop->base[s],
                          loop->factors[s], loop->gradient[s], loop->m[s], loop->v[s],     loop->total[s]};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
            free(arrays[i]);
    }
    free(loop->dx);
    free(loop->tokens);
    free(loop->targets);
    lspo_transformer_destroy(loop->t);
    free(loop->workspace);
}

static size_t linear_count(const lspo_stage_t *shape)
{
    size_t count = 0;
    for (uint32_t i = 0; i < shape->linear_count; i++)
        count += (size_t)shape->tensors[i].rows * shape->tensors[i].cols;
    return count;
}

/* One micro-batch; G of every tensor of every stage ends in loop->g. */
static double loop_backward(loop_t *loop, const lspo_text_t *text, uint32_t iteration, uint32_t micro)
{
    const lspo_workload_t *workload = loop->workload;
    lspo_text_batch(text, workload->seed, iteration, micro,
                    &(lspo_text_windows_t){workload->batch, workload->sequence, loop->tokens, loop->targets});
    lspo_transformer_embed_forward(loop->t, loop->tokens, loop->w[0], loop->x[0]);
    for (uint32_t s = 1; s < HEAD; s++)
        lspo_transformer_block_forward(loop->t, &(lspo_block_parameters_t){.weights = loop->w[s]}, loop->x[s - 1],
                                       loop->saved[s], loop->x[s]);
    double loss =
        mean_head_forward(loop->t, loop->w[HEAD], loop->w[0], loop->targets, loop->x[HEAD - 1], loop->saved[HEAD]);
    lspo_gradient_sink_t sink = {.rest = loop->g[HEAD], .tied = loop->g[0]};
    mean_head_backward(loop->t, &(lspo_head_parameters_t){loop->w[HEAD], loop->w[0]},
                       &(lspo_head_loss_t){loop->targets, 1.0F / (float)workload->accumulation},
                       &(lspo_stage_kept_t){loop->x[HEAD - 1], loop->saved[HEAD]}, &sink, loop->dx);
    for (uint32_t s = HEAD - 1; s > 0; s--) {
        sink = (lspo_gradient_sink_t){.linear = loop->g[s], .rest = loop->g[s] + linear_count(&loop->shape[s])};
        lspo_transformer_block_backward(loop->t, &(lspo_block_parameters_t){.weights = loop->w[s]},
                                        &(lspo_stage_kept_t){loop->x[s - 1], loop->saved[s]}, &sink, NULL, loop->dx);
    }
    lspo_transformer_embed_backward(loop->t, loop->tokens, loop->w[0], loop->dx, false, loop->g[0]);
    return loss / workload->accumulation;
}

/* gradient += of A and B */
static void add_adapter_gradient(const lspo_projection_t *l, double scaling, const float *g, const double *factors,
                                 double *gradient)
{
    size_t m = l->rows, n = l->cols, r = RANK;
    const double *a = factors, *b = factors + m * r;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < r; k++) {
                gradient[i * r + k] += scaling * (double)g[i * n + j] * b[j * r + k];
                gradient[(m + j) * r + k] += scaling * (double)g[i * n + j] * a[i * r + k];
            }
}

/* Element (i, j) of G belongs to R's (k, j) by A's (i, k), or to R's (i, k) by A's (j, k). */
static size_t message_index(const lspo_projection_t *l, size_t i, size_t j, size_t k)
{
    return l->rows <= l->cols ? k * l->cols + j : i * RANK + k;
}

static const float *galore_basis(const lspo_session_t *session, uint32_t s, uint32_t i)
{
    const lspo_galore_stage_t *own = session->stages[s].own;
    return own->basis[i];
}

static double basis_value(const lspo_projection_t *l, const float *basis, size_t i, size_t j, size_t k)
{
    return (double)basis[(l->rows <= l->cols ? i : j) * RANK + k];
}

static void add_lowrank_gradient(const lspo_projection_t *l, const float *g, const float *basis, double *gradient)
{
    for (size_t i = 0; i < l->rows; i++)
        for (size_t j = 0; j < l->cols; j++)
            for (size_t k = 0; k < RANK; k++)
                gradient[message_index(l, i, j, k)] += basis_value(l, basis, i, j, k) * (double)g[i * l->cols + j];
}

static void loop_add_gradients(loop_t *loop, const fixture_t *f)
{
    bool lora = f->plan->gradient_form == LSPO_FORM_ADAPTER;
    for (uint32_t s = 0; s < STAGES; s++) {
        const lspo_message_t *message = &loop->message[s];
        for (uint32_t i = 0; i < message->linear_count; i++) {
            const lspo_projection_t *l = &message->linear[i];
            const float *g = loop->g[s] + loop->shape[s].tensors[i].offset_elements;
            double *gradient = loop->gradient[s] + l->message_offset_elements;
            if (lora)
                add_adapter_gradient(l, lspo_lora_values_of(loop->workload)->scaling, g,
                                     loop->factors[s] + l->message_offset_elements, gradient);
            else
                add_lowrank_gradient(l, g, galore_basis(f->session, s, i), gradient);
        }
        size_t linear = linear_count(&loop->shape[s]);
        for (size_t i = 0; i < message->rest_elements; i++)
            loop->gradient[s][message->rest_offset_elements + i] += (double)loop->g[s][linear + i];
    }
}

static double loop_clip_scale(const loop_t *loop)
{
    double sum = 0, clip = loop->workload->clip_norm;
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < loop->message[s].element_count; i++)
            sum += loop->gradient[s][i] * loop->gradient[s][i];
    return clip > 0 && sqrt(sum) > clip ? clip / sqrt(sum) : 1;
}

/* The gradient becomes the direction. */
static void loop_adam(loop_t *loop, uint32_t s, uint32_t step, double scale)
{
    double b1 = 1 - pow(0.9, step), b2 = 1 - pow(0.999, step);
    for (size_t i = 0; i < loop->message[s].element_count; i++) {
        double g = scale * loop->gradient[s][i];
        loop->m[s][i] = 0.9 * loop->m[s][i] + 0.1 * g;
        loop->v[s][i] = 0.999 * loop->v[s][i] + 0.001 * g * g;
        loop->gradient[s][i] = loop->m[s][i] / b1 / (sqrt(loop->v[s][i] / b2) + 1e-8);
    }
}

static void step_linear(loop_t *loop, const fixture_t *f, uint32_t s, uint32_t tensor)
{
    const lspo_projection_t *l = &loop->message[s].linear[tensor];
    const double rate = loop->workload->learning_rate, keep = 1 - rate * loop->workload->weight_decay;
    const double scaling = lspo_lora_values_of(loop->workload)->scaling;
    const double *direction = loop->gradient[s] + l->message_offset_elements;
    double *base = loop->base[s] + loop->shape[s].tensors[tensor].offset_elements;
    float *w = loop->w[s] + loop->shape[s].tensors[tensor].offset_elements;
    double *a = loop->factors[s] + l->message_offset_elements, *b = a + (size_t)l->rows * RANK;
    bool lora = f->plan->gradient_form == LSPO_FORM_ADAPTER;
    for (size_t i = 0; lora && i < l->message_elements; i++)
        a[i] = keep * a[i] - rate * direction[i];
    for (size_t i = 0; i < l->rows; i++)
        for (size_t j = 0; j < l->cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < RANK; k++)
                sum += lora ? a[i * RANK + k] * b[j * RANK + k]
                            : basis_value(l, galore_basis(f->session, s, tensor), i, j, k) *
                                  direction[message_index(l, i, j, k)];
            if (!lora)
                base[i * l->cols + j] = keep * base[i * l->cols + j] - 0.25 * rate * sum;
            w[i * l->cols + j] = (float)(base[i * l->cols + j] + (lora ? scaling * sum : 0));
        }
}

static void loop_update(loop_t *loop, const fixture_t *f, uint32_t step)
{
    double scale = loop_clip_scale(loop);
    for (uint32_t s = 0; s < STAGES; s++) {
        const lspo_message_t *message = &loop->message[s];
        loop_adam(loop, s, step, scale);
        for (uint32_t i = 0; i < message->linear_count; i++)
            step_linear(loop, f, s, i);
        size_t linear = linear_count(&loop->shape[s]);
        for (size_t i = 0; i < message->rest_elements; i++) {
            double *w = &loop->base[s][linear + i], rate = loop->workload->learning_rate;
            *w -= rate * (loop->gradient[s][message->rest_offset_elements + i] + loop->workload->weight_decay * *w);
            loop->w[s][linear + i] = (float)loop->base[s][linear + i];
        }
        memset(loop->gradient[s], 0, message->element_count * sizeof(double));
    }
}

/* The basis holds the leading singular vectors of G: what it leaves of G has, by power iteration, no singular value
 * above the least that it keeps. */
static void assert_leading(const lspo_projection_t *l, const float *g, const float *basis)
{
    size_t m = l->rows, n = l->cols, s = m <= n ? m : n, other = m <= n ? n : m;
    double *h = doubles(s * other), *x = doubles(s), *y = doubles(other), least = HUGE_VAL, largest = 0;
    for (size_t i = 0; i < s; i++)
        for (size_t j = 0; j < other; j++)
            h[i * other + j] = (double)(m <= n ? g[i * n + j] : g[j * n + i]);
    for (size_t k = 0; k < RANK; k++) { /* take vector k out of h, and see how much that was */
        double squares = 0;
        for (size_t j = 0; j < other; j++) {
            double dot = 0;
            for (size_t i = 0; i < s; i++)
                dot += (double)basis[i * RANK + k] * h[i * other + j];
            for (size_t i = 0; i < s; i++)
                h[i * other + j] -= (double)basis[i * RANK + k] * dot;
            squares += dot * dot;
        }
        least = fmin(least, sqrt(squares));
    }
    for (size_t i = 0; i < s; i++)
        x[i] = 1 + 0.1 * (double)i;
    for (int round = 0; round < 300; round++) {
        double norm = 0;
        for (size_t i = 0; i < s; i++)
            norm += x[i] * x[i];
        memset(y, 0, other * sizeof(double));
        for (size_t i = 0; i < s; i++)
            for (size_t j = 0; j < other; j++)
                y[j] += h[i * other + j] * x[i] / sqrt(norm);
        largest = 0;
        for (size_t j = 0; j < other; j++)
            largest += y[j] * y[j];
        for (size_t i = 0; i < s; i++) {
            x[i] = 0;
            for (size_t j = 0; j < other; j++)
                x[i] += h[i * other + j] * y[j];
        }
    }
    cr_assert_gt(least, 0);
    cr_assert_leq(sqrt(largest), least * (1 + 1e-4), "left %g, kept %g", sqrt(largest), least);
    cr_assert_gt(sqrt(largest), 1e-3 * least, "the gradient has no more than %d directions", RANK);
    free(h);
    free(x);
    free(y);
}

static void loop_add_total(loop_t *loop, bool first)
{
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < loop->shape[s].element_count; i++)
            loop->total[s][i] = (first ? 0 : loop->total[s][i]) + loop->g[s][i];
}

/* After a step that renews the bases: they are those of the sum of its micro-batches. */
static void check_bases(const loop_t *loop, const fixture_t *f)
{
    for (uint32_t s = 1; s < HEAD; s++)
        for (uint32_t i = 0; i < loop->message[s].linear_count; i++) {
            const lspo_projection_t *l = &loop->message[s].linear[i];
            const float *basis = galore_basis(f->session, s, i);
            assert_orthonormal(l->rows <= l->cols ? l->rows : l->cols, RANK, basis);
            assert_leading(l, loop->total[s] + loop->shape[s].tensors[i].offset_elements, basis);
        }
}

/* Session and loop, step by step.  Both round, and a step along Adam's direction carries a gradient's rounding on in
 * full where the gradient is tiny: losses agree to `tolerance`, relative. */
static void assert_equals_loop(const char *policy, const lspo_workload_t *workload, double tolerance)
{
    fixture_t f;
    loop_t loop;
    cr_assert_eq(open_fixture(policy, workload, 0, &f), LSPO_OK);
    loop_open(&f, &loop);
    uint32_t at = 0;
    for (uint32_t step = 0; step < workload->iterations; step++) {
        uint32_t end = at;
        while (end < f.plan->op_count && f.plan->ops[end].iteration == step)
            end++;
        run_in_order(&f, at, end);
        at = end;
        double loss = 0, got = lspo_session_losses(f.session)[step];
        for (uint32_t micro = 0; micro < workload->accumulation; micro++) {
            loss += loop_backward(&loop, f.text, step, micro);
            loop_add_total(&loop, micro == 0);
            loop_add_gradients(&loop, &f);
        }
        if (f.plan->gradient_form == LSPO_FORM_LOWRANK && step % lspo_galore_values_of(workload)->project_every == 0)
            check_bases(&loop, &f);
        loop_update(&loop, &f, step + 1);
        cr_assert_float_eq(got, loss, tolerance * loss, "%s, step %u: loss %.9g, loop %.9g", policy, step, got, loss);
    }
    cr_assert_eq(at, f.plan->op_count);
    loop_close(&loop);
    close_fixture(&f);
}

Test(lora_galore, lora_equals_a_loop_of_merged_weights)
{
    lspo_workload_t workload = small_workload();
    assert_equals_loop("lora", &workload, 1e-4);
    workload.checkpointing = false;
    workload.iterations = 10;
    workload.accumulation = 2;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    assert_equals_loop("lora", &workload, 1e-4);
    workload.clip_norm = 0.05;
    assert_equals_loop("lora", &workload, 1e-4);
    workload.weight_decay = 1; /* with a rate of 3e-3, 3 % off all weights in ten steps */
    assert_equals_loop("lora", &workload, 1e-4);
    lspo_lora_values_edit(&workload)->scaling = 0.5;
    assert_equals_loop("lora", &workload, 1e-4);
}

/* The loop has the expanded weights. */
Test(lora_galore, lora_on_4_bit_weights_equals_the_loop)
{
    lspo_workload_t workload = small_workload();
    lspo_lora_values_edit(&workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    assert_equals_loop("lora", &workload, 1e-4);
    workload.checkpointing = false;
    workload.iterations = 10;
    workload.accumulation = 2;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.clip_norm = 0.05;
    workload.weight_decay = 1;
    assert_equals_loop("lora", &workload, 1e-4);
}

/* The bases are renewed at steps 0, 20 and 40; the moments stay. */
Test(lora_galore, galore_equals_a_loop_of_dense_products)
{
    lspo_workload_t workload = small_workload();
    lspo_galore_values_edit(&workload)->project_every = 20;
    assert_equals_loop("galore", &workload, 1e-4);
    workload.checkpointing = false;
    workload.iterations = 10;
    lspo_galore_values_edit(&workload)->project_every = 4;
    workload.accumulation = 2;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    assert_equals_loop("galore", &workload, 1e-4);
    workload.clip_norm = 0.05;
    assert_equals_loop("galore", &workload, 1e-4);
    workload.weight_decay = 1; /* with a rate of 3e-3, 3 % off all weights in ten steps */
    assert_equals_loop("galore", &workload, 1e-4);
}

typedef struct {
    double losses[STEPS];
    double held_out_before, held_out_after;
    uint64_t peak_bytes, planned_peak_bytes;
    bool frozen; /* no weight of any stage changed */
} outcome_t;

static void train(const char *policy, const lspo_workload_t *workload, outcome_t *outcome)
{
    fixture_t f;
    uint64_t host_bytes;
    float *before[STAGES];
    *outcome = (outcome_t){.frozen = true};
    cr_assert_eq(open_fixture(policy, workload, 0, &f), LSPO_OK);
    for (uint32_t s = 0; s < STAGES; s++) {
        before[s] = floats(f.session->stages[s].shape.element_count);
        cr_assert_eq(lspo_session_weights(f.session, s, before[s]), LSPO_OK);
    }
    lspo_trace_t *trace = execute(&f);
    outcome->peak_bytes = lspo_device_peak_bytes(f.device);
    cr_assert_eq(lspo_memory_replay(f.plan, trace, &outcome->planned_peak_bytes, &host_bytes), LSPO_OK);
    memcpy(outcome->losses, lspo_session_losses(f.session), workload->iterations * sizeof(double));
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t count = f.session->stages[s].shape.element_count;
        float *after = floats(count);
        cr_assert_eq(lspo_session_weights(f.session, s, after), LSPO_OK);
        outcome->frozen &= memcmp(before[s], after, count * sizeof(float)) == 0;
        free(after);
        free(before[s]);
    }
    cr_assert_eq(lspo_session_held_out_loss(f.session, 4, &outcome->held_out_after), LSPO_OK);
    cr_assert_eq(lspo_session_reset(f.session), LSPO_OK);
    cr_assert_eq(lspo_session_held_out_loss(f.session, 4, &outcome->held_out_before), LSPO_OK);
    lspo_trace_destroy(trace);
    close_fixture(&f);
}

static void assert_same_losses(const outcome_t *a, const outcome_t *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(a->losses[i], b->losses[i], "step %u: %.17g, not %.17g", i, a->losses[i], b->losses[i]);
}

/* B = 0: the first loss is native's to the bit; W never moves; the adapters alone lower the held-out loss. */
Test(lora_galore, lora_starts_as_native_and_freezes_the_weights)
{
    lspo_workload_t workload = small_workload();
    outcome_t native, lora;
    train("native", &workload, &native);
    train("lora", &workload, &lora);
    cr_assert_eq(lora.losses[0], native.losses[0]);
    cr_assert_neq(lora.losses[1], native.losses[1]);
    cr_assert(lora.frozen);
    cr_assert_not(native.frozen);
    cr_assert_eq(lora.held_out_before, native.held_out_before);
    cr_assert_lt(lora.held_out_after, lora.held_out_before - 0.2, "%g -> %g", lora.held_out_before,
                 lora.held_out_after);
    lspo_lora_values_edit(&workload)->scaling = 0;
    train("lora", &workload, &lora);
    cr_assert_eq(lora.held_out_after, lora.held_out_before, "adapters without a factor change nothing");
}

/* In one run: what 4 bits lose of the weights is small against what the adapters learn. */
Test(lora_galore, lora_on_4_bit_weights_learns_nearly_as_well)
{
    lspo_workload_t workload = small_workload();
    outcome_t lora, in_4_bits;
    train("lora", &workload, &lora);
    lspo_lora_values_edit(&workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    train("lora", &workload, &in_4_bits);
    cr_assert(in_4_bits.frozen);
    cr_assert_neq(in_4_bits.losses[0], lora.losses[0]);
    cr_assert_float_eq(in_4_bits.held_out_before / lora.held_out_before, 1, 0.01);
    cr_assert_lt(in_4_bits.held_out_after, in_4_bits.held_out_before - 0.2);
    cr_assert_float_eq(in_4_bits.held_out_after / lora.held_out_after, 1, 0.02, "%g, lora %g", in_4_bits.held_out_after,
                       lora.held_out_after);
}

static double mean(const double *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

Test(lora_galore, losses_go_down_over_fifty_steps)
{
    const char *const policies[] = {"lora", "galore"};
    for (size_t i = 0; i < 2; i++) {
        lspo_workload_t workload = small_workload();
        outcome_t got;
        train(policies[i], &workload, &got);
        cr_assert_lt(mean(got.losses + STEPS - 5, 5), got.losses[0] - 0.2, "%s: %g -> %g", policies[i], got.losses[0],
                     got.losses[STEPS - 1]);
        cr_assert_lt(got.held_out_after, got.held_out_before - 0.2, "%s: %g -> %g", policies[i], got.held_out_before,
                     got.held_out_after);
    }
}

/* At rank 32, the width, no weight has a shorter side to project: galore keeps all gradients as they are and takes
 * plain steps, so that it is native to rounding (native's Adam updates w in one expression, galore's in two). */
Test(lora_galore, galore_at_full_rank_is_native)
{
    lspo_workload_t workload = small_workload();
    set_rank(&workload, 32);
    for (int rest = 0; rest < 2; rest++) {
        workload.train_rest = rest ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = rest ? 2 : 1;
        outcome_t native, galore;
        train("native", &workload, &native);
        train("galore", &workload, &galore);
        for (uint32_t i = 0; i < STEPS; i++)
            cr_assert_float_eq(galore.losses[i], native.losses[i], 2e-4 * native.losses[i], "step %u: %.9g, not %.9g",
                               i, galore.losses[i], native.losses[i]);
    }
}

/* Activations kept or computed again: the same bits.  Clipping that never bites: the same bits.  That bites: others. */
Test(lora_galore, checkpointing_and_a_loose_clip_change_nothing)
{
    const char *const policies[] = {"lora", "galore"};
    for (size_t i = 0; i < 2; i++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 10;
        outcome_t plain, other;
        train(policies[i], &workload, &plain);
        workload.checkpointing = false;
        train(policies[i], &workload, &other);
        assert_same_losses(&other, &plain, 10);
        workload.clip_norm = 1e6;
        train(policies[i], &workload, &other);
        assert_same_losses(&other, &plain, 10);
        workload.clip_norm = 1e-9; /* against Adam's epsilon of 1e-8, even a scaled gradient makes a smaller step */
        train(policies[i], &workload, &other);
        cr_assert_neq(other.losses[9], plain.losses[9]);
        cr_assert_gt(other.losses[9], plain.losses[9]);
    }
}

/* The device's high-water mark against the plan's allocations replayed in the order in which the ops really ran. */
Test(lora_galore, device_memory_is_what_the_plan_says)
{
    const char *const policies[] = {"lora", "galore"};
    for (int variant = 0; variant < 64; variant++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 4;
        lspo_galore_values_edit(&workload)->project_every = 3;
        workload.checkpointing = variant & 1;
        workload.transfer = variant & 2 ? LSPO_BF16 : LSPO_FP32;
        workload.train_rest = variant & 4 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 8 ? 2 : 1;
        workload.clip_norm = variant & 16 ? 0.05 : 0;
        set_rank(&workload, variant & 32 ? 31 : RANK);
        for (size_t i = 0; i < 2; i++) {
            outcome_t got;
            train(policies[i], &workload, &got);
            double ratio = (double)got.peak_bytes / (double)got.planned_peak_bytes;
            cr_assert_float_eq(ratio, 1, 0.002, "%s, variant %d: device %g, plan %g bytes", policies[i], variant,
                               (double)got.peak_bytes, (double)got.planned_peak_bytes);
        }
    }
}

/* The plan cannot include the kernels and counts LAPACK's scratch on its own. */
Test(lora_galore, the_plan_counts_the_scratch_of_a_basis)
{
    fixture_t f;
    lspo_workload_t workload = small_workload();
    cr_assert_eq(open_fixture("galore", &workload, 0, &f), LSPO_OK);
    uint32_t projects = 0;
    for (uint32_t i = 0; i < f.plan->op_count; i++) {
        const lspo_op_t *op = &f.plan->ops[i];
        if (op->kind != LSPO_OP_PROJECT)
            continue;
        cr_assert_eq(op->gpu_alloc_bytes, lspo_lowrank_basis_scratch_bytes(32, 96, RANK));
        cr_assert_eq(op->gpu_free_bytes, op->gpu_alloc_bytes);
        projects++;
    }
    cr_assert_eq(projects, 3u); /* step 0 of 50, three blocks */
    close_fixture(&f);
}

static double flop_of(const char *policy, lspo_op_kind_t kind)
{
    fixture_t f;
    lspo_workload_t workload = small_workload();
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    cr_assert_eq(open_fixture(policy, &workload, 0, &f), LSPO_OK);
    double flop = -1;
    for (uint32_t i = 0; i < f.plan->op_count && flop < 0; i++)
        if (f.plan->ops[i].kind == kind && f.plan->ops[i].layer == 1)
            flop = lspo_work_flop(&f.plan->works[f.plan->ops[i].work]);
    close_fixture(&f);
    return flop;
}

/* T 32, r 4; weights 32 x 96, 32 x 32, 32 x 64, 64 x 32, 8192 elements together.
 *     lora    forward 2 T r (m + n): 256 (128 + 64 + 96 + 96) = 98304, again without the last: 73728; backward
 *             2 T r (3 m + 2 n): 256 (288 + 160 + 224 + 256) = 237568 instead of the dW products' 2 T 8192 = 524288
 *     galore  2 r 8192 = 65536 into the subspace, as many out of it; a basis 2 s^2 l for the Gram matrix, s 32:
 *             2048 (96 + 32 + 64 + 64) = 524288, and 16 s^3 for the vectors, four times 524288 */
Test(lora_galore, the_plan_counts_the_products_that_are_run)
{
    cr_assert_eq(flop_of("lora", LSPO_OP_FWD) - flop_of("native", LSPO_OP_FWD), 98304);
    cr_assert_eq(flop_of("lora", LSPO_OP_RECOMPUTE) - flop_of("native", LSPO_OP_RECOMPUTE), 73728);
    cr_assert_eq(flop_of("lora", LSPO_OP_BWD) - flop_of("native", LSPO_OP_BWD), 237568 - 524288);
    cr_assert_eq(flop_of("galore", LSPO_OP_BWD), flop_of("native", LSPO_OP_BWD));
    cr_assert_eq(flop_of("galore", LSPO_OP_COMPRESS), 65536);
    cr_assert_eq(flop_of("galore", LSPO_OP_APPLY), 65536);
    cr_assert_eq(flop_of("galore", LSPO_OP_PROJECT), 5 * 524288);
}

/* From the weights alone to all but the last allocation: refused at whatever op comes first, nothing leaked. */
Test(lora_galore, memory_caps_are_errors_wherever_they_hit)
{
    const char *const policies[] = {"lora", "galore"};
    for (size_t i = 0; i < 2; i++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 2;
        outcome_t whole;
        train(policies[i], &workload, &whole);
        uint64_t step = whole.peak_bytes / 23;
        for (uint64_t cap = 1000; cap < whole.peak_bytes; cap += step) {
            fixture_t f;
            lspo_trace_t *trace = NULL;
            lspo_status_t status = open_fixture(policies[i], &workload, cap, &f);
            if (status == LSPO_OK)
                status = lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace);
            cr_assert_eq(status, LSPO_ERR_FIT, "%s capped at %g bytes", policies[i], (double)cap);
            close_fixture(&f);
        }
    }
}

Test(lora_galore, exploding_training_is_a_numeric_error)
{
    const char *const policies[] = {"lora", "galore"};
    for (size_t i = 0; i < 2; i++) {
        lspo_workload_t workload = small_workload();
        workload.learning_rate = 1e30;
        lspo_galore_values_edit(&workload)->project_every = 1;
        fixture_t f;
        lspo_trace_t *trace = NULL;
        cr_assert_eq(open_fixture(policies[i], &workload, 0, &f), LSPO_OK);
        cr_assert_eq(lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace), LSPO_ERR_NUMERIC);
        close_fixture(&f);
    }
}
