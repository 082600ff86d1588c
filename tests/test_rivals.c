/* lomo and badam: their training against loops in double that know nothing of plans, their memory against the plan and
 * against formulas, and what they must leave alone. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/random.h"
#include "plan/policy.h"
#include "real/executor.h"
#include "real/session.h"
#include "real/transformer.h"
#include "sim/memory.h"

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
    workload.subspace = 16;
    workload.nnz = 4;
    workload.switch_every = 5;
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
    loop->workspace = memory(lspo_transformer_workspace_bytes(model, workload->batch, workload->sequence));
    cr_assert_eq(lspo_transformer_create(model, workload->batch, workload->sequence, loop->workspace, &loop->t),
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
        memcpy(loop->w[s], lspo_session_weights(f->session, s), n * sizeof(float));
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
        lspo_transformer_block_forward(loop->t, loop->w[s], NULL, loop->x[s - 1], loop->saved[s], loop->x[s]);
    double loss = lspo_transformer_head_forward(loop->t, loop->w[HEAD], loop->w[0], loop->targets, loop->x[HEAD - 1],
                                                loop->saved[HEAD]);
    lspo_gradient_sink_t sink = {.rest = loop->g[HEAD]};
    lspo_transformer_head_backward(loop->t, loop->w[HEAD], loop->w[0], loop->targets, loop->x[HEAD - 1],
                                   loop->saved[HEAD], 1.0F / (float)workload->accumulation, &sink, loop->g[0],
                                   loop->dx);
    for (uint32_t s = HEAD - 1; s > 0; s--) {
        sink = (lspo_gradient_sink_t){.linear = loop->g[s], .rest = loop->g[s] + linear_count(&loop->shape[s])};
        lspo_transformer_block_backward(loop->t, loop->w[s], NULL, loop->x[s - 1], loop->saved[s], &sink, NULL,
                                        loop->dx);
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

/* badam, `turn` counted from 0: block 1, then 3, 2, 1, 3, ...; with the rest embedding and tied head together, then 3, 2,
 * 1, and so on. */
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
    return !rival->turns || has_turn(rival->rest, step / loop->workload->switch_every, s);
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
    uint32_t t = (rival->turns ? step % loop->workload->switch_every : step) + 1;
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
        const float *got = lspo_session_weights(f->session, s);
        cr_assert_eq(memcmp(got + moved, before[s] + moved, (n - moved) * sizeof(float)), 0,
                     "stage %u moved without a turn, step %u", s, step);
        cr_assert(moved == 0 || memcmp(got, before[s], moved * sizeof(float)) != 0, "stage %u rests, step %u", s, step);
    }
}

static void remember(const fixture_t *f, const loop_t *loop, float *const before[STAGES])
{
    for (uint32_t s = 0; s < STAGES; s++)
        memcpy(before[s], lspo_session_weights(f->session, s), loop->shape[s].element_count * sizeof(float));
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
    workload.switch_every = STEPS;
    train_model(&model, "native", &workload, &native);
    train_model(&model, "badam", &workload, &badam);
    assert_same_losses(&badam, &native, STEPS);
    workload.switch_every = STEPS / 2; /* and with a new state half-way it is not */
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

static lspo_workload_t rival_workload(bool lomo)
{
    lspo_workload_t workload = small_workload();
    workload.learning_rate = lomo ? 0.5 : 1e-2;
    return workload;
}

Test(rivals, held_out_loss_goes_down)
{
    for (int lomo = 0; lomo < 2; lomo++) {
        lspo_workload_t workload = rival_workload(lomo);
        outcome_t got;
        train(lomo ? "lomo" : "badam", &workload, &got);
        cr_assert_lt(got.held_out_after, got.held_out_before - 0.2, "%s: %g -> %g", lomo ? "lomo" : "badam",
                     got.held_out_before, got.held_out_after);
    }
}

/* Activations kept or computed again: the same bits.  A clip that never bites: the same bits, though under lomo it costs
 * a backward pass.  That bites: others. */
Test(rivals, checkpointing_and_a_loose_clip_change_nothing)
{
    for (int lomo = 0; lomo < 2; lomo++) {
        const char *policy = lomo ? "lomo" : "badam";
        lspo_workload_t workload = rival_workload(lomo);
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

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* The device's high-water mark against the plan's allocations replayed in the order in which the ops really ran. */
Test(rivals, device_memory_is_what_the_plan_says)
{
    for (int variant = 0; variant < 32; variant++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 4;
        workload.switch_every = 1;
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        workload.transfer = variant & 16 ? LSPO_BF16 : LSPO_FP32;
        for (int lomo = 0; lomo < 2; lomo++) {
            outcome_t got;
            train(lomo ? "lomo" : "badam", &workload, &got);
            double ratio = (double)got.peak_bytes / (double)got.planned_peak_bytes;
            cr_assert_float_eq(ratio, 1, 0.002, "%s, variant %d: device %g, plan %g bytes", lomo ? "lomo" : "badam",
                               variant, (double)got.peak_bytes, (double)got.planned_peak_bytes);
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
    workload.switch_every = 3; /* block 1 all the time */
    lspo_activations(&model, &workload, &a);
    uint64_t gradient = 32768, weights = 4 * lspo_model_parameter_count(&model);
    /* At block 3: inputs and `saved` of three blocks, the head's input is gone, dx, one gradient.  At the head: one input
     * more, head_bytes, dx, no gradient yet. */
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
    workload.switch_every = 1;
    workload.first_step = 1;
    workload.iterations = 1;
    cr_assert_eq(planned_peak("badam", &workload), weights + a.workspace_bytes + 2 * gradient + 2 * a.input_bytes +
                                                       a.saved_bytes + a.head_bytes + a.input_bytes);
}

/* T 32; a block's dW products are 2 T 8192 = 524288 flop; lomo's update reads g, reads and writes w: 12 bytes of each of
 * 8192. */
Test(rivals, the_plan_counts_what_is_run)
{
    lspo_model_t model = small_model();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    double flop[2] = {0, 0};
    workload.iterations = 2;
    workload.switch_every = 1;
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
            cr_assert_eq(lspo_work_bytes(&f.plan->works[f.plan->ops[i].work]), 12u * 8192u);
    close_fixture(&f);
}

/* From the weights alone to all but the last allocation: refused at whatever op comes first, nothing leaked. */
Test(rivals, memory_caps_are_errors_wherever_they_hit)
{
    for (int lomo = 0; lomo < 2; lomo++) {
        const char *policy = lomo ? "lomo" : "badam";
        lspo_model_t model = small_model();
        lspo_workload_t workload = small_workload();
        outcome_t whole;
        workload.iterations = 2;
        workload.switch_every = 1;
        workload.clip_norm = 0.05;
        workload.train_rest = LSPO_TRAIN_REST_ON;
        train(policy, &workload, &whole);
        for (uint64_t cap = 1000; cap < whole.peak_bytes; cap += whole.peak_bytes / 23) {
            fixture_t f;
            lspo_trace_t *trace = NULL;
            lspo_status_t status = open_fixture(&model, policy, &workload, cap, &f);
            if (status == LSPO_OK)
                status = lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace);
            cr_assert_eq(status, LSPO_ERR_FIT, "%s capped at %g bytes", policy, (double)cap);
            close_fixture(&f);
        }
    }
}

Test(rivals, exploding_training_is_a_numeric_error)
{
    for (int lomo = 0; lomo < 2; lomo++) {
        lspo_model_t model = small_model();
        lspo_workload_t workload = small_workload();
        workload.learning_rate = 1e30;
        workload.clip_norm = lomo ? 1 : 0;
        fixture_t f;
        lspo_trace_t *trace = NULL;
        cr_assert_eq(open_fixture(&model, lomo ? "lomo" : "badam", &workload, 0, &f), LSPO_OK);
        cr_assert_eq(lspo_execute(f.plan, lspo_session_run_op, NULL, f.session, NULL, &trace), LSPO_ERR_NUMERIC);
        close_fixture(&f);
    }
}
