/* rival_loop.h - code shared by the suites of lomo, badam and zenflow: a session step by step, beside a loop of the
 * plain transformer that forms the gradients of all weights, with weights and moments in double; and whole
 * trainings. */
#ifndef LSPO_TESTS_RIVAL_LOOP_H
#define LSPO_TESTS_RIVAL_LOOP_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/session/state.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"
#include "tests/host_weights.h"
#include "tests/mean_head.h"
#include "tests/small_gpt.h"

enum { BLOCKS = 3, STAGES = BLOCKS + 2, HEAD = STAGES - 1, STEPS = 24 };

static inline void *memory(size_t bytes)
{
    void *array = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    cr_assert_not_null(array);
    memset(array, 0, bytes);
    return array;
}

static inline float *floats(size_t count)
{
    return memory(count * sizeof(float));
}

static inline double *doubles(size_t count)
{
    return memory(count * sizeof(double));
}

static inline lspo_workload_t small_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 16;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.iterations = STEPS;
    workload.learning_rate = 3e-3;
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    lspo_badam_values_edit(&workload)->switch_every = 5;
    return workload;
}

typedef struct {
    lspo_plan_t *plan;
    lspo_text_t *text;
    lspo_device_t *device;
    lspo_session_t *session;
} fixture_t;

static inline lspo_status_t open_fixture(const lspo_model_t *model, const char *policy_name,
                                         const lspo_workload_t *workload, uint64_t memory_bytes, fixture_t *f)
{
    const lspo_policy_t *policy = NULL;
    lspo_device_caps_t caps = {.memory_bytes = memory_bytes};
    *f = (fixture_t){.text = make_text()};
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(model, workload, policy, &f->plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &caps, &f->device), LSPO_OK);
    return lspo_session_create(f->plan, f->device, f->text, &f->session);
}

static inline void close_fixture(fixture_t *f)
{
    lspo_session_destroy(f->session);
    lspo_device_close(f->device);
    lspo_text_close(f->text);
    lspo_plan_destroy(f->plan);
}

/* --- loops beside the session ------------------------------------------------------------------------------------- */

/* The plain transformer, which forms the gradients of all weights; weights and moments in double. */
typedef struct {
    const lspo_workload_t *workload;
    lspo_transformer_t *t;
    void *workspace;
    lspo_stage_t shape[STAGES];
    float *w[STAGES], *g[STAGES], *x[STAGES], *saved[STAGES], *dx;
    double *exact[STAGES], *sum[STAGES], *m[STAGES], *v[STAGES];
    uint32_t *tokens, *targets;
} loop_t;

static inline void loop_open(const fixture_t *f, loop_t *loop)
{
    const lspo_workload_t *workload = &f->plan->workload;
    const lspo_model_t *model = &f->plan->model;
    size_t tokens = lspo_workload_tokens(workload);
    *loop = (loop_t){.workload = workload};
    loop->workspace =
        memory(lspo_transformer_workspace_bytes(model, workload->batch, workload->sequence, LSPO_NUMBER_FP32));
    cr_assert_eq(lspo_transformer_create(model, workload->batch, workload->sequence, lspo_compute_host(),
                                         loop->workspace, &loop->t),
                 LSPO_OK);
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_model_stage(model, s, &loop->shape[s]);
        size_t n = loop->shape[s].element_count;
        loop->w[s] = floats(n);
        loop->g[s] = floats(n);
        loop->x[s] = floats(tokens * model->width);
        loop->saved[s] = memory(lspo_transformer_saved_bytes(loop->t, s));
        loop->exact[s] = doubles(n);
        loop->sum[s] = doubles(n);
        loop->m[s] = doubles(n);
        loop->v[s] = doubles(n);
        memcpy(loop->w[s], host_weights(f->session, s), n * sizeof(float));
        for (size_t i = 0; i < n; i++)
            loop->exact[s][i] = (double)loop->w[s][i];
    }
    loop->dx = floats(tokens * model->width);
    loop->tokens = memory(tokens * sizeof(uint32_t));
    loop->targets = memory(tokens * sizeof(uint32_t));
}

static inline void loop_close(loop_t *loop)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        void *arrays[] = {loop->w[s],     loop->g[s],   loop->x[s], loop->saved[s],
                          loop->exact[s], loop->sum[s], loop->m[s], loop->v[s]};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
            free(arrays[i]);
    }
    free(loop->dx);
    free(loop->tokens);
    free(loop->targets);
    lspo_transformer_destroy(loop->t);
    free(loop->workspace);
}

static inline size_t linear_count(const lspo_stage_t *shape)
{
    size_t count = 0;
    for (uint32_t i = 0; i < shape->linear_count; i++)
        count += (size_t)shape->tensors[i].rows * shape->tensors[i].cols;
    return count;
}

/* One micro-batch; the gradients of all weights are added to loop->sum. */
static inline double loop_backward(loop_t *loop, const lspo_text_t *text, uint32_t step, uint32_t micro)
{
    const lspo_workload_t *workload = loop->workload;
    lspo_text_batch(text, workload->seed, step, micro,
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
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < loop->shape[s].element_count; i++)
            loop->sum[s][i] += (double)loop->g[s][i];
    return loss / workload->accumulation;
}

/* Elements from the start of the stage's array that are trained at all. */
static inline size_t trained_count(const loop_t *loop, bool rest, uint32_t s)
{
    return rest ? loop->shape[s].element_count : linear_count(&loop->shape[s]);
}

/* badam, `turn` counted from 0: block 1, then 3, 2, 1, 3, ...; with the rest embedding and tied head together, then 3,
 * 2, 1, and so on. */
static inline bool has_turn(bool rest, uint32_t turn, uint32_t s)
{
    static const uint32_t blocks[] = {1, 3, 2}, stages[] = {0, 3, 2, 1};
    if (!rest)
        return s == blocks[turn % 3];
    return s == stages[turn % 4] || (turn % 4 == 0 && s == HEAD);
}

typedef struct {
    bool turns; /* badam                                     */
    bool adam;  /* or plain gradient descent                 */
    bool rest;  /* embedding, head, norms and biases as well */
} rival_t;

static inline bool updates(const rival_t *rival, const loop_t *loop, uint32_t step, uint32_t s)
{
    return !rival->turns || has_turn(rival->rest, step / lspo_badam_values_of(loop->workload)->switch_every, s);
}

static inline double loop_clip_scale(const loop_t *loop, const rival_t *rival, uint32_t step)
{
    double squares = 0, clip = loop->workload->clip_norm;
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; updates(rival, loop, step, s) && i < trained_count(loop, rival->rest, s); i++)
            squares += loop->sum[s][i] * loop->sum[s][i];
    return clip > 0 && sqrt(squares) > clip ? clip / sqrt(squares) : 1;
}

static inline void loop_update(loop_t *loop, const rival_t *rival, uint32_t step)
{
    double rate = loop->workload->learning_rate, scale = loop_clip_scale(loop, rival, step);
    double decay = loop->workload->weight_decay;
    uint32_t t = (rival->turns ? step % lspo_badam_values_of(loop->workload)->switch_every : step) + 1;
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t n = updates(rival, loop, step, s) ? trained_count(loop, rival->rest, s) : 0;
        for (size_t i = 0; i < n; i++) {
            double g = scale * loop->sum[s][i], *m = &loop->m[s][i], *v = &loop->v[s][i];
            *m = 0.9 * (t == 1 ? 0 : *m) + 0.1 * g;
            *v = 0.999 * (t == 1 ? 0 : *v) + 0.001 * g * g;
            if (rival->adam)
                g = *m / (1 - pow(0.9, t)) / (sqrt(*v / (1 - pow(0.999, t))) + 1e-8);
            loop->exact[s][i] -= rate * (g + decay * loop->exact[s][i]);
            loop->w[s][i] = (float)loop->exact[s][i];
        }
        memset(loop->sum[s], 0, loop->shape[s].element_count * sizeof(double));
    }
}

static inline void remember(const fixture_t *f, const loop_t *loop, float *const before[STAGES])
{
    for (uint32_t s = 0; s < STAGES; s++)
        memcpy(before[s], host_weights(f->session, s), loop->shape[s].element_count * sizeof(float));
}

static inline void run_step(fixture_t *f, uint32_t step, uint32_t *at)
{
    for (; *at < f->plan->op_count && f->plan->ops[*at].iteration == step; (*at)++)
        cr_assert_eq(lspo_session_run_op(f->session, &f->plan->ops[*at]), LSPO_OK);
}

/* --- whole trainings ---------------------------------------------------------------------------------------------- */

typedef struct {
    double losses[STEPS];
    double held_out_before, held_out_after;
    uint64_t peak_bytes, planned_peak_bytes;
} outcome_t;

static inline void train_model(const lspo_model_t *model, const char *policy, const lspo_workload_t *workload,
                               outcome_t *outcome)
{
    fixture_t f;
    uint64_t host_bytes;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(open_fixture(model, policy, workload, 0, &f), LSPO_OK);
    cr_assert_eq(lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, f.plan), LSPO_OK);
    outcome->peak_bytes = lspo_device_peak_bytes(f.device);
    cr_assert_eq(lspo_memory_replay(f.plan, trace, &outcome->planned_peak_bytes, &host_bytes), LSPO_OK);
    memcpy(outcome->losses, lspo_session_losses(f.session), workload->iterations * sizeof(double));
    cr_assert_eq(lspo_session_held_out_loss(f.session, 4, &outcome->held_out_after), LSPO_OK);
    cr_assert_eq(lspo_session_reset(f.session), LSPO_OK);
    cr_assert_eq(lspo_session_held_out_loss(f.session, 4, &outcome->held_out_before), LSPO_OK);
    lspo_trace_destroy(trace);
    close_fixture(&f);
}

static inline void train(const char *policy, const lspo_workload_t *workload, outcome_t *outcome)
{
    lspo_model_t model = small_gpt();
    train_model(&model, policy, workload, outcome);
}

#endif
