/* lomo, badam and zenflow: their training against loops in double that know nothing of plans, their memory against the
 * plan and against formulas, and what they must leave alone. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/columns.h"
#include "kernels/random.h"
#include "plan/policies/badam.h"
#include "plan/policies/lsp.h"
#include "plan/policies/zenflow.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/methods/zenflow.h"
#include "real/session/session.h"
#include "real/session/state.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"
#include "tests/host_weights.h"
#include "tests/mean_head.h"

static const char *const rivals[] = {"badam", "lomo", "zenflow"};

enum { BLOCKS = 3, STAGES = BLOCKS + 2, HEAD = STAGES - 1, STEPS = 24 };

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

static double *doubles(size_t count)
{
    return memory(count * sizeof(double));
}

static lspo_model_t small_model(void)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = BLOCKS,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 256,
                          .max_sequence = 32,
                          .tied_head = true};
}

static lspo_workload_t small_workload(void)
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

static lspo_text_t *make_text(void)
{
    static const char *const words[] = {"the ", "cat ", "sat ", "on ", "a ", "mat ", "and ", "ate ", "it. "};
    char path[] = "/tmp/lspo-test-rivals-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (uint32_t i = 0; i < 10000; i++)
        fputs(words[lspo_random_below(5, 5, i, 9)], file);
    cr_assert_eq(fclose(file), 0);
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(path, &text), LSPO_OK);
    unlink(path);
    return text;
}

typedef struct {
    lspo_plan_t *plan;
    lspo_text_t *text;
    lspo_device_t *device;
    lspo_session_t *session;
} fixture_t;

static lspo_status_t open_fixture(const lspo_model_t *model, const char *policy_name, const lspo_workload_t *workload,
                                  uint64_t memory_bytes, fixture_t *f)
{
    const lspo_policy_t *policy = NULL;
    lspo_device_caps_t caps = {.memory_bytes = memory_bytes};
    *f = (fixture_t){.text = make_text()};
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(model, workload, policy, &f->plan), LSPO_OK);
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

static void loop_open(const fixture_t *f, loop_t *loop)
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

static void loop_close(loop_t *loop)
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

static size_t linear_count(const lspo_stage_t *shape)
{
    size_t count = 0;
    for (uint32_t i = 0; i < shape->linear_count; i++)
        count += (size_t)shape->tensors[i].rows * shape->tensors[i].cols;
    return count;
}

/* One micro-batch; the gradients of all weights are added to loop->sum. */
static double loop_backward(loop_t *loop, const lspo_text_t *text, uint32_t step, uint32_t micro)
{
    const lspo_workload_t *workload = loop->workload;
    lspo_text_batch(text, workload->seed, step, micro, workload->batch, workload->sequence, loop->tokens,
                    loop->targets);
    lspo_transformer_embed_forward(loop->t, loop->tokens, loop->w[0], loop->x[0]);
    for (uint32_t s = 1; s < HEAD; s++)
        lspo_transformer_block_forward(loop->t, &(lspo_block_parameters_t){loop->w[s], NULL}, loop->x[s - 1],
                                       loop->saved[s], loop->x[s]);
    double loss =
        mean_head_forward(loop->t, loop->w[HEAD], loop->w[0], loop->targets, loop->x[HEAD - 1], loop->saved[HEAD]);
    lspo_gradient_sink_t sink = {.rest = loop->g[HEAD]};
    mean_head_backward(loop->t, loop->w[HEAD], loop->w[0], loop->targets, loop->x[HEAD - 1], loop->saved[HEAD],
                       1.0F / (float)workload->accumulation, &sink, loop->g[0], loop->dx);
    for (uint32_t s = HEAD - 1; s > 0; s--) {
        sink = (lspo_gradient_sink_t){.linear = loop->g[s], .rest = loop->g[s] + linear_count(&loop->shape[s])};
        lspo_transformer_block_backward(loop->t, &(lspo_block_parameters_t){loop->w[s], NULL},
                                        &(lspo_stage_kept_t){loop->x[s - 1], loop->saved[s]}, &sink, NULL, loop->dx);
    }
    lspo_transformer_embed_backward(loop->t, loop->tokens, loop->dx, false, loop->g[0]);
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < loop->shape[s].element_count; i++)
            loop->sum[s][i] += (double)loop->g[s][i];
    return loss / workload->accumulation;
}

/* Elements from the start of the stage's array that are trained at all. */
static size_t trained_count(const loop_t *loop, bool rest, uint32_t s)
{
    return rest ? loop->shape[s].element_count : linear_count(&loop->shape[s]);
}

/* badam, `turn` counted from 0: block 1, then 3, 2, 1, 3, ...; with the rest embedding and tied head together, then 3,
 * 2, 1, and so on. */
static bool has_turn(bool rest, uint32_t turn, uint32_t s)
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

static bool updates(const rival_t *rival, const loop_t *loop, uint32_t step, uint32_t s)
{
    return !rival->turns || has_turn(rival->rest, step / lspo_badam_values_of(loop->workload)->switch_every, s);
}

static double loop_clip_scale(const loop_t *loop, const rival_t *rival, uint32_t step)
{
    double squares = 0, clip = loop->workload->clip_norm;
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t i = 0; updates(rival, loop, step, s) && i < trained_count(loop, rival->rest, s); i++)
            squares += loop->sum[s][i] * loop->sum[s][i];
    return clip > 0 && sqrt(squares) > clip ? clip / sqrt(squares) : 1;
}

static void loop_update(loop_t *loop, const rival_t *rival, uint32_t step)
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

/* What has no turn keeps its bits; what has one is not far from the loop's weights. */
static void assert_weights(const fixture_t *f, const loop_t *loop, const rival_t *rival, float *const before[STAGES],
                           uint32_t step)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t n = loop->shape[s].element_count;
        size_t moved = updates(rival, loop, step, s) ? trained_count(loop, rival->rest, s) : 0;
        const float *got = host_weights(f->session, s);
        cr_assert_eq(memcmp(got + moved, before[s] + moved, (n - moved) * sizeof(float)), 0,
                     "stage %u moved without a turn, step %u", s, step);
        cr_assert(moved == 0 || memcmp(got, before[s], moved * sizeof(float)) != 0, "stage %u rests, step %u", s, step);
    }
}

static void remember(const fixture_t *f, const loop_t *loop, float *const before[STAGES])
{
    for (uint32_t s = 0; s < STAGES; s++)
        memcpy(before[s], host_weights(f->session, s), loop->shape[s].element_count * sizeof(float));
}

static void run_step(fixture_t *f, uint32_t step, uint32_t *at)
{
    for (; *at < f->plan->op_count && f->plan->ops[*at].iteration == step; (*at)++)
        cr_assert_eq(lspo_session_run_op(f->session, &f->plan->ops[*at]), LSPO_OK);
}

static void assert_equals_loop(const char *policy, const lspo_workload_t *workload, double tolerance)
{
    lspo_model_t model = small_model();
    fixture_t f;
    loop_t loop;
    float *before[STAGES];
    cr_assert_eq(open_fixture(&model, policy, workload, 0, &f), LSPO_OK);
    loop_open(&f, &loop);
    rival_t rival = {.turns = strcmp(policy, "badam") == 0,
                     .adam = strcmp(policy, "lomo") != 0,
                     .rest = f.plan->workload.train_rest == LSPO_TRAIN_REST_ON};
    for (uint32_t s = 0; s < STAGES; s++)
        before[s] = floats(loop.shape[s].element_count);
    uint32_t at = 0;
    for (uint32_t step = 0; step < workload->iterations; step++) {
        remember(&f, &loop, before);
        run_step(&f, step, &at);
        assert_weights(&f, &loop, &rival, before, step);
        double loss = 0, got = lspo_session_losses(f.session)[step];
        for (uint32_t micro = 0; micro < workload->accumulation; micro++)
            loss += loop_backward(&loop, f.text, step, micro);
        loop_update(&loop, &rival, step);
        cr_assert_float_eq(got, loss, tolerance * loss, "%s, step %u: loss %.9g, loop %.9g", policy, step, got, loss);
    }
    cr_assert_eq(at, f.plan->op_count);
    for (uint32_t s = 0; s < STAGES; s++)
        free(before[s]);
    loop_close(&loop);
    close_fixture(&f);
}

Test(rivals, lomo_equals_a_loop)
{
    lspo_workload_t workload = small_workload();
    workload.learning_rate = 0.3;
    assert_equals_loop("lomo", &workload, 1e-5);
    workload.checkpointing = false;
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    assert_equals_loop("lomo", &workload, 1e-5);
}

/* Norms of this model's gradients are between 0.5 and 2: a clip at 0.1 always bites. */
Test(rivals, lomo_clips_as_a_loop_does)
{
    lspo_workload_t workload = small_workload();
    workload.learning_rate = 1;
    workload.clip_norm = 0.1;
    for (int variant = 0; variant < 8; variant++) {
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        assert_equals_loop("lomo", &workload, 1e-5);
    }
}

/* Steps along Adam's direction carry a gradient's rounding on in full where the gradient is tiny. */
Test(rivals, badam_equals_a_loop)
{
    lspo_workload_t workload = small_workload();
    for (int variant = 0; variant < 16; variant++) {
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        assert_equals_loop("badam", &workload, 1e-4);
    }
}

/* Decay takes 0.3 % a step off what is trained, and nothing off what is not. */
Test(rivals, weights_decay_as_in_a_loop)
{
    static const char *const policies[] = {"native",          "swap",  "zero", "zero-layerwise",
                                           "backward-update", "badam", "lomo"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = small_workload();
        workload.weight_decay = 1;
        workload.clip_norm = 0.1;
        assert_equals_loop(policies[i], &workload, 1e-4);
    }
}

/* --- whole trainings ---------------------------------------------------------------------------------------------- */

typedef struct {
    double losses[STEPS];
    double held_out_before, held_out_after;
    uint64_t peak_bytes, planned_peak_bytes;
} outcome_t;

static void train_model(const lspo_model_t *model, const char *policy, const lspo_workload_t *workload,
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

static void train(const char *policy, const lspo_workload_t *workload, outcome_t *outcome)
{
    lspo_model_t model = small_model();
    train_model(&model, policy, workload, outcome);
}

static void assert_same_losses(const outcome_t *a, const outcome_t *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(a->losses[i], b->losses[i], "step %u: %.17g, not %.17g", i, a->losses[i], b->losses[i]);
}

/* Of a model of one block, that block always has the turn; a turn that never ends is native's Adam. */
Test(rivals, badam_of_one_block_is_native)
{
    lspo_model_t model = small_model();
    lspo_workload_t workload = small_workload();
    outcome_t native, badam;
    model.block_count = 1;
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    lspo_badam_values_edit(&workload)->switch_every = STEPS;
    train_model(&model, "native", &workload, &native);
    train_model(&model, "badam", &workload, &badam);
    assert_same_losses(&badam, &native, STEPS);
    lspo_badam_values_edit(&workload)->switch_every = STEPS / 2; /* and with a new state half-way it is not */
    train_model(&model, "badam", &workload, &badam);
    assert_same_losses(&badam, &native, STEPS / 2 + 1);
    cr_assert_neq(badam.losses[STEPS - 1], native.losses[STEPS - 1]);
}

/* Decay is in the one Adam that all exact policies share: the same bits, and others than without. */
Test(rivals, decay_is_the_same_under_every_exact_policy)
{
    lspo_workload_t workload = small_workload();
    outcome_t plain, native, other;
    train("native", &workload, &plain);
    workload.weight_decay = 0.1;
    train("native", &workload, &native);
    cr_assert_neq(native.losses[STEPS - 1], plain.losses[STEPS - 1]);
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        if (lspo_policy_at(i)->semantics != LSPO_SEMANTICS_EXACT)
            continue;
        train(lspo_policy_at(i)->name, &workload, &other);
        assert_same_losses(&other, &native, STEPS);
        cr_assert_eq(other.held_out_after, native.held_out_after);
    }
}

static lspo_workload_t rival_workload(const char *policy)
{
    lspo_workload_t workload = small_workload();
    workload.learning_rate = strcmp(policy, "lomo") == 0 ? 0.5 : 1e-2;
    lspo_zenflow_values_edit(&workload)->update_every = 2; /* zenflow: 24 steps should see some updates on the CPU */
    return workload;
}

Test(rivals, held_out_loss_goes_down)
{
    for (size_t r = 0; r < sizeof rivals / sizeof rivals[0]; r++) {
        lspo_workload_t workload = rival_workload(rivals[r]);
        outcome_t got;
        train(rivals[r], &workload, &got);
        cr_assert_lt(got.held_out_after, got.held_out_before - 0.2, "%s: %g -> %g", rivals[r], got.held_out_before,
                     got.held_out_after);
    }
}

/* Activations kept or computed again: the same bits.  A clip that never bites: the same bits, though under lomo it
 * costs a backward pass.  That bites: others. */
Test(rivals, checkpointing_and_a_loose_clip_change_nothing)
{
    for (size_t r = 0; r < sizeof rivals / sizeof rivals[0]; r++) {
        const char *policy = rivals[r];
        lspo_workload_t workload = rival_workload(rivals[r]);
        outcome_t plain, other;
        train(policy, &workload, &plain);
        workload.checkpointing = false;
        train(policy, &workload, &other);
        assert_same_losses(&other, &plain, STEPS);
        workload.clip_norm = 1e6;
        train(policy, &workload, &other);
        assert_same_losses(&other, &plain, STEPS);
        workload.clip_norm = 1e-9;
        train(policy, &workload, &other);
        cr_assert_gt(other.losses[STEPS - 1], plain.losses[STEPS - 1]);
    }
}

/* --- zenflow ------------------------------------------------------------------------------------------------------ */

/* What the loop needs beside the GPU's moments (loop->m, loop->v): by element, the CPU's moments, two windows of sums
 * and of directions, and by weight which columns the GPU has, in two windows. */
typedef struct {
    loop_t loop;
    double *m[STAGES], *v[STAGES], *sum[2][STAGES], *direction[2][STAGES];
    bool *critical[2][STAGES][LSPO_LINEAR_MAX];
} zenflow_t;

static void zenflow_open(const fixture_t *f, zenflow_t *z)
{
    *z = (zenflow_t){0};
    loop_open(f, &z->loop);
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t n = z->loop.shape[s].element_count;
        z->m[s] = doubles(n);
        z->v[s] = doubles(n);
        for (int slot = 0; slot < 2; slot++) {
            z->sum[slot][s] = doubles(n);
            z->direction[slot][s] = doubles(n);
            for (uint32_t i = 0; i < z->loop.shape[s].linear_count; i++)
                z->critical[slot][s][i] = memory(z->loop.shape[s].tensors[i].cols * sizeof(bool));
        }
    }
}

static void zenflow_close(zenflow_t *z)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        free(z->m[s]);
        free(z->v[s]);
        for (int slot = 0; slot < 2; slot++) {
            free(z->sum[slot][s]);
            free(z->direction[slot][s]);
            for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
                free(z->critical[slot][s][i]);
        }
    }
    loop_close(&z->loop);
}

/* The session's choice, which must be the columns with the largest sums of |g|: of nearly equal ones either may do. */
static void take_choice(const fixture_t *f, zenflow_t *z, uint32_t step, int slot)
{
    const lspo_workload_t *workload = z->loop.workload;
    for (uint32_t s = 1; s < HEAD; s++)
        for (uint32_t i = 0; i < z->loop.shape[s].linear_count; i++) {
            const lspo_tensor_t *t = &z->loop.shape[s].tensors[i];
            const lspo_zenflow_stage_t *own = f->session->stages[s].own;
            const uint32_t *columns = own->columns[step / lspo_zenflow_values_of(workload)->select_every & 1][i];
            bool *critical = z->critical[slot][s][i];
            uint32_t count = (uint32_t)(lspo_zenflow_values_of(workload)->critical_fraction * t->cols + 0.5);
            double least = INFINITY, most = 0;
            memset(critical, 0, t->cols * sizeof(bool));
            for (uint32_t j = 0; j < count; j++)
                critical[columns[j]] = true;
            for (uint32_t j = 0; j < t->cols; j++) {
                double sum = 0;
                for (uint32_t r = 0; r < t->rows; r++)
                    sum += fabs(z->loop.sum[s][t->offset_elements + (size_t)r * t->cols + j]);
                if (critical[j])
                    least = fmin(least, sum);
                else
                    most = fmax(most, sum);
            }
            cr_assert(step % lspo_zenflow_values_of(workload)->select_every != 0 || most <= least * (1 + 1e-4),
                      "stage %u, weight %u: %g is left, %g taken", s, i, most, least);
        }
}

/* Element e of the stage belongs to the GPU in that window. */
static bool on_gpu(const zenflow_t *z, int slot, uint32_t s, size_t e)
{
    const lspo_stage_t *shape = &z->loop.shape[s];
    for (uint32_t i = 0; i < shape->linear_count; i++) {
        const lspo_tensor_t *t = &shape->tensors[i];
        if (e >= t->offset_elements && e < t->offset_elements + (uint64_t)t->rows * t->cols)
            return z->critical[slot][s][i][(e - t->offset_elements) % t->cols];
    }
    return true;
}

static double adam_direction(double g, double *m, double *v, uint32_t t)
{
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    return *m / (1 - pow(0.9, t)) / (sqrt(*v / (1 - pow(0.999, t))) + 1e-8);
}

static void move(loop_t *loop, uint32_t s, size_t e, double direction)
{
    loop->exact[s][e] -= loop->workload->learning_rate * (direction + loop->workload->weight_decay * loop->exact[s][e]);
    loop->w[s][e] = (float)loop->exact[s][e];
}

static void apply_window(zenflow_t *z, int slot)
{
    for (uint32_t s = 1; s < HEAD; s++)
        for (size_t e = 0; e < linear_count(&z->loop.shape[s]); e++)
            if (!on_gpu(z, slot, s, e))
                move(&z->loop, s, e, z->direction[slot][s][e]);
}

static void finish_window(zenflow_t *z, uint32_t window, uint32_t steps)
{
    int slot = window & 1;
    for (uint32_t s = 1; s < HEAD; s++)
        for (size_t e = 0; e < linear_count(&z->loop.shape[s]); e++)
            if (!on_gpu(z, slot, s, e))
                z->direction[slot][s][e] =
                    adam_direction(z->sum[slot][s][e] / steps, &z->m[s][e], &z->v[s][e], window + 1);
}

/* The gradients of the step are in loop->sum. */
static void zenflow_step(const fixture_t *f, zenflow_t *z, uint32_t step)
{
    const lspo_workload_t *workload = z->loop.workload;
    const rival_t all = {.rest = f->plan->workload.train_rest == LSPO_TRAIN_REST_ON};
    double scale = loop_clip_scale(&z->loop, &all, step);
    int slot = step / lspo_zenflow_values_of(workload)->update_every & 1;
    bool begins = step % lspo_zenflow_values_of(workload)->update_every == 0,
         chooses = step % lspo_zenflow_values_of(workload)->select_every == 0;
    if (begins)
        take_choice(f, z, step, slot);
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t linear = linear_count(&z->loop.shape[s]);
        for (size_t e = 0; e < trained_count(&z->loop, all.rest, s); e++) {
            double g = scale * z->loop.sum[s][e], *m = &z->loop.m[s][e], *v = &z->loop.v[s][e];
            if (e < linear && chooses)
                *m = *v = 0;
            if (on_gpu(z, slot, s, e))
                move(&z->loop, s, e,
                     adam_direction(g, m, v,
                                    e < linear ? step % lspo_zenflow_values_of(workload)->select_every + 1 : step + 1));
            else
                z->sum[slot][s][e] = g + (begins ? 0 : z->sum[slot][s][e]);
        }
        memset(z->loop.sum[s], 0, z->loop.shape[s].element_count * sizeof(double));
    }
}

/* How far the session's weights are from the loop's, of how far they have come. */
static double distance(const fixture_t *f, const loop_t *loop, float *const before[STAGES])
{
    double off = 0, moved = 0;
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t e = 0; e < loop->shape[s].element_count; e++) {
            double difference = (double)host_weights(f->session, s)[e] - loop->exact[s][e];
            off += difference * difference;
            moved += pow(loop->exact[s][e] - (double)before[s][e], 2);
        }
    return sqrt(off / moved);
}

static void assert_zenflow_equals_loop(const lspo_workload_t *workload, double tolerance)
{
    lspo_model_t model = small_model();
    fixture_t f;
    zenflow_t z;
    float *before[STAGES];
    uint32_t at = 0, every = lspo_zenflow_values_of(workload)->update_every, last = workload->iterations - 1;
    cr_assert_eq(open_fixture(&model, "zenflow", workload, 0, &f), LSPO_OK);
    zenflow_open(&f, &z);
    for (uint32_t s = 0; s < STAGES; s++)
        before[s] = floats(z.loop.shape[s].element_count);
    remember(&f, &z.loop, before);
    for (uint32_t step = 0; step <= last; step++) {
        run_step(&f, step, &at);
        if (step % every == 0 && step >= 2 * every)
            apply_window(&z, step / every & 1);
        double loss = 0, got = lspo_session_losses(f.session)[step];
        for (uint32_t micro = 0; micro < workload->accumulation; micro++)
            loss += loop_backward(&z.loop, f.text, step, micro);
        zenflow_step(&f, &z, step);
        if (step % every == every - 1 && step < last)
            finish_window(&z, step / every, every);
        cr_assert_float_eq(got, loss, tolerance * loss, "step %u: loss %.9g, loop %.9g", step, got, loss);
    }
    if (last / every >= 1)
        apply_window(&z, (last / every - 1) & 1);
    finish_window(&z, last / every, last % every + 1);
    apply_window(&z, last / every & 1);
    double off = distance(&f, &z.loop, before);
    cr_assert_lt(off, 100 * tolerance, "weights are off by %g of their way", off);
    for (uint32_t s = 0; s < STAGES; s++)
        free(before[s]);
    zenflow_close(&z);
    close_fixture(&f);
}

/* 24 steps: six windows of four, three choices of columns; then windows that do not divide the training. */
Test(rivals, zenflow_equals_a_loop)
{
    lspo_workload_t workload = small_workload();
    lspo_zenflow_values_edit(&workload)->select_every = 8;
    for (int variant = 0; variant < 16; variant++) {
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        workload.weight_decay = variant & 8 ? 1 : 0;
        assert_zenflow_equals_loop(&workload, 1e-4);
    }
    static const uint32_t shapes[][3] = {{1, 1, 7}, {1, 3, 7}, {3, 6, 11},  {5, 5, 13},
                                         {4, 8, 3}, {2, 4, 2}, {24, 24, 24}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        lspo_zenflow_values_edit(&workload)->update_every = shapes[i][0];
        lspo_zenflow_values_edit(&workload)->select_every = shapes[i][1];
        workload.iterations = shapes[i][2];
        assert_zenflow_equals_loop(&workload, 1e-4);
    }
}

/* Threads in any order that the plan allows: the same bits as one after the other. */
Test(rivals, zenflow_does_not_depend_on_the_order_of_lanes)
{
    lspo_model_t model = small_model();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    outcome_t threads, again;
    uint32_t at = 0;
    workload.clip_norm = 0.05;
    lspo_zenflow_values_edit(&workload)->select_every = 8;
    train("zenflow", &workload, &threads);
    cr_assert_eq(open_fixture(&model, "zenflow", &workload, 0, &f), LSPO_OK);
    for (uint32_t step = 0; step < STEPS; step++)
        run_step(&f, step, &at);
    for (uint32_t step = 0; step < STEPS; step++)
        cr_assert_eq(threads.losses[step], lspo_session_losses(f.session)[step]);
    close_fixture(&f);
    workload.transfer = LSPO_BF16; /* packed on the link: other bits, nearly the same losses */
    train("zenflow", &workload, &again);
    cr_assert_neq(again.losses[STEPS - 1], threads.losses[STEPS - 1]);
    cr_assert_float_eq(again.losses[STEPS - 1], threads.losses[STEPS - 1], 0.02 * threads.losses[STEPS - 1]);
}

/* Critical or not by the sums of |g|: 5, 1, 3, 3, 0 -> 0, then of the two threes the first. */
Test(rivals, columns_are_split_by_importance)
{
    const float g[] = {2, -1, 0, 3, 0, -3, 0, 3, 0, 0};
    float scratch[10], x[4], y[10] = {0};
    uint32_t columns[5];
    const uint32_t want[] = {0, 2, 1, 3, 4};
    lspo_columns_split(&(lspo_columns_t){2, 5, 2}, g, scratch, columns);
    cr_assert_eq(memcmp(columns, want, sizeof want), 0);
    lspo_columns_gather(&(lspo_columns_t){2, 5, 2}, columns, g, x);
    cr_assert(x[0] == 2 && x[1] == 0 && x[2] == -3 && x[3] == 3);
    lspo_columns_scatter(&(lspo_columns_t){2, 5, 2}, columns, x, y);
    cr_assert(y[0] == 2 && y[2] == 0 && y[5] == -3 && y[7] == 3 && y[3] == 0);
    const float bad[] = {NAN, 1, NAN, 2, INFINITY};
    lspo_columns_split(&(lspo_columns_t){1, 5, 2}, bad, scratch, columns);
    const uint32_t still[] = {0, 2, 1, 3, 4};
    cr_assert_eq(memcmp(columns, still, sizeof still), 0);
    lspo_columns_split(&(lspo_columns_t){1, 5, 0}, g, scratch, columns);
    for (uint32_t j = 0; j < 5; j++)
        cr_assert_eq(columns[j], j);
}

/* 0.1 of 96, 32, 64 and 32 columns: 10, 3, 6, 3.  Sent: 32 x 86 + 32 x 29 + 32 x 58 + 64 x 29 = 7392 of 8192
 * weights. */
Test(rivals, zenflow_sends_the_other_columns)
{
    lspo_model_t model = small_model();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    cr_assert_eq(open_fixture(&model, "zenflow", &workload, 0, &f), LSPO_OK);
    uint64_t d2h = 0, h2d = 0;
    for (uint32_t i = 0; i < f.plan->op_count; i++) {
        const lspo_op_t *op = &f.plan->ops[i];
        uint64_t bytes = lspo_work_link_bytes(&f.plan->works[op->work]);
        d2h += op->kind == LSPO_OP_D2H ? bytes : 0;
        h2d += op->kind == LSPO_OP_H2D ? bytes : 0;
    }
    cr_assert_eq(d2h, 4ull * 7392 * BLOCKS * STEPS);
    cr_assert_eq(h2d, 4ull * 7392 * BLOCKS * STEPS / 4, "once a window of four steps");
    close_fixture(&f);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* The device's high-water mark and the plan's, both with the ops one after the other: what of zenflow's is there at
 * once on a link depends on nanoseconds. */
static void compare_peaks(const char *policy, const lspo_workload_t *workload)
{
    lspo_model_t model = small_model();
    fixture_t f;
    cr_assert_eq(open_fixture(&model, policy, workload, 0, &f), LSPO_OK);
    uint64_t now = f.plan->gpu_static_bytes, peak = now;
    for (uint32_t i = 0; i < f.plan->op_count; i++) {
        const lspo_op_t *op = &f.plan->ops[i];
        cr_assert_eq(lspo_session_run_op(f.session, op), LSPO_OK);
        now += op->gpu_alloc_bytes;
        peak = now > peak ? now : peak;
        now -= op->gpu_free_bytes;
    }
    double ratio = (double)lspo_device_peak_bytes(f.device) / (double)peak;
    cr_assert_float_eq(ratio, 1, 0.002, "%s: device %g, plan %g bytes", policy,
                       (double)lspo_device_peak_bytes(f.device), (double)peak);
    close_fixture(&f);
}

/* With threads, the plan replayed in the order in which the ops really ran may only be above the device's mark: an op
 * gives back a moment before it ends. */
Test(rivals, device_memory_is_what_the_plan_says)
{
    for (int variant = 0; variant < 32; variant++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 4;
        lspo_badam_values_edit(&workload)->switch_every = 1;
        lspo_zenflow_values_edit(&workload)->update_every = 1;
        lspo_zenflow_values_edit(&workload)->select_every = 2;
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        workload.transfer = variant & 16 ? LSPO_BF16 : LSPO_FP32;
        for (size_t r = 0; r < sizeof rivals / sizeof rivals[0]; r++) {
            outcome_t got;
            train(rivals[r], &workload, &got);
            double ratio = (double)got.peak_bytes / (double)got.planned_peak_bytes;
            cr_assert(ratio < 1.002 && ratio > (strcmp(rivals[r], "zenflow") == 0 ? 0.9 : 0.998),
                      "%s, variant %d: device %g, plan %g bytes", rivals[r], variant, (double)got.peak_bytes,
                      (double)got.planned_peak_bytes);
            compare_peaks(rivals[r], &workload);
        }
    }
}

static uint64_t planned_peak(const char *policy, const lspo_workload_t *workload)
{
    outcome_t got;
    train(policy, workload, &got);
    return got.planned_peak_bytes;
}

/* Only the linear weights are trained, 8192 of a block (32 x 96 + 32 x 32 + 2 x 32 x 64): 32768 bytes of gradient.
 *     native  the gradients of three blocks and two moments of each:                    9 x 32768 beside the rest
 *     lomo    one gradient, no moments
 *     badam   one gradient, two moments:                                                3 x 32768
 * beside weights, workspace and activations. */
Test(rivals, memory_is_what_the_formulas_say)
{
    lspo_workload_t workload = small_workload();
    lspo_model_t model = small_model();
    lspo_activations_t a;
    workload.iterations = 3;
    workload.checkpointing = false;
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    lspo_badam_values_edit(&workload)->switch_every = 3; /* block 1 all the time */
    lspo_activations(&model, &workload, &a);
    uint64_t gradient = 32768, weights = 4 * lspo_model_parameter_count(&model);
    /* At block 3: inputs and `saved` of three blocks, the head's input is gone, dx, one gradient.  At the head: one
     * input more, head_bytes, dx, no gradient yet. */
    uint64_t at_block = 3 * (a.input_bytes + a.saved_bytes) + a.input_bytes + gradient;
    uint64_t at_head = 3 * (a.input_bytes + a.saved_bytes) + a.input_bytes + a.head_bytes + a.input_bytes;
    uint64_t lomo = weights + a.workspace_bytes + (at_block > at_head ? at_block : at_head);
    cr_assert_eq(planned_peak("lomo", &workload), lomo);
    workload.clip_norm = 0.05; /* the first pass has one gradient at a time beside all activations, the head's too */
    cr_assert_eq(planned_peak("lomo", &workload), weights + a.workspace_bytes + at_head + gradient);
    workload.clip_norm = 0;
    /* badam's gradient is taken by BWD1, when the other blocks' activations are gone: it peaks at the head. */
    cr_assert_eq(planned_peak("badam", &workload), weights + a.workspace_bytes + 2 * gradient + at_head);
    cr_assert_geq(planned_peak("native", &workload), weights + a.workspace_bytes + 9 * gradient);
    /* Block 3 in turn: nothing is kept below.  FWD of the head: its input, block 3's, one `saved`; BWD takes dx. */
    lspo_badam_values_edit(&workload)->switch_every = 1;
    workload.first_step = 1;
    workload.iterations = 1;
    cr_assert_eq(planned_peak("badam", &workload), weights + a.workspace_bytes + 2 * gradient + 2 * a.input_bytes +
                                                       a.saved_bytes + a.head_bytes + a.input_bytes);
}

static uint64_t work_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        bytes += work->kernels[i].bytes;
    return bytes;
}

/* T 32; a block's dW products are 2 T 8192 = 524288 flop; lomo's update reads g, reads and writes w: 12 bytes of each
 * of 8192. */
Test(rivals, the_plan_counts_what_is_run)
{
    lspo_model_t model = small_model();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    double flop[2] = {0, 0};
    workload.iterations = 2;
    lspo_badam_values_edit(&workload)->switch_every = 1;
    cr_assert_eq(open_fixture(&model, "badam", &workload, 0, &f), LSPO_OK);
    for (uint32_t i = 0; i < f.plan->op_count; i++) /* block 3 passes dx on in step 0, and is trained in step 1 */
        if (f.plan->ops[i].kind == LSPO_OP_BWD && f.plan->ops[i].layer == 3)
            flop[f.plan->ops[i].iteration] = lspo_work_flop(&f.plan->works[f.plan->ops[i].work]);
    cr_assert_eq(flop[1] - flop[0], 524288);
    close_fixture(&f);
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    cr_assert_eq(open_fixture(&model, "lomo", &workload, 0, &f), LSPO_OK);
    for (uint32_t i = 0; i < f.plan->op_count; i++)
        if (f.plan->ops[i].kind == LSPO_OP_UPD_GPU)
            cr_assert_eq(work_bytes(&f.plan->works[f.plan->ops[i].work]), 12u * 8192u);
    close_fixture(&f);
}

/* From the weights alone to all but the last allocation: refused at whatever op comes first, nothing leaked. */
Test(rivals, memory_caps_are_errors_wherever_they_hit)
{
    for (size_t r = 0; r < sizeof rivals / sizeof rivals[0]; r++) {
        const char *policy = rivals[r];
        lspo_model_t model = small_model();
        lspo_workload_t workload = small_workload();
        outcome_t whole;
        workload.iterations = 2;
        lspo_badam_values_edit(&workload)->switch_every = 1;
        workload.clip_norm = 0.05;
        workload.train_rest = LSPO_TRAIN_REST_ON;
        train(policy, &workload, &whole);
        for (uint64_t cap = 1000; cap < whole.peak_bytes; cap += whole.peak_bytes / 23) {
            fixture_t f;
            lspo_trace_t *trace = NULL;
            lspo_status_t status = open_fixture(&model, policy, &workload, cap, &f);
            if (status == LSPO_OK)
                status = lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace);
            /* How much of zenflow's is there at once depends on how fast the link is. */
            bool may_fit = strcmp(policy, "zenflow") == 0 && cap > f.plan->gpu_static_bytes && status == LSPO_OK;
            cr_assert(may_fit || status == LSPO_ERR_FIT, "%s capped at %g bytes", policy, (double)cap);
            lspo_trace_destroy(trace);
            close_fixture(&f);
        }
    }
}

Test(rivals, exploding_training_is_a_numeric_error)
{
    for (size_t r = 0; r < sizeof rivals / sizeof rivals[0]; r++) {
        lspo_model_t model = small_model();
        lspo_workload_t workload = small_workload();
        workload.learning_rate = 1e30;
        workload.clip_norm = r == 1 ? 1 : 0;
        fixture_t f;
        lspo_trace_t *trace = NULL;
        cr_assert_eq(open_fixture(&model, rivals[r], &workload, 0, &f), LSPO_OK);
        cr_assert_eq(lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace), LSPO_ERR_NUMERIC);
        close_fixture(&f);
    }
}
