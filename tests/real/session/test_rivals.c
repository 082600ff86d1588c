/* lomo and badam: their training against independent loops in double.  For these and zenflow also memory against the
 * plan and formulas, and data that they must not change. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/zenflow.h"
#include "tests/rival_loop.h"

static const char *const rivals[] = {"badam", "lomo", "zenflow"};

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

static void assert_equals_loop(const char *policy, const lspo_workload_t *workload, double tolerance)
{
    lspo_model_t model = small_gpt();
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

static void assert_same_losses(const outcome_t *a, const outcome_t *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(a->losses[i], b->losses[i], "step %u: %.17g, not %.17g", i, a->losses[i], b->losses[i]);
}

/* Of a model of one block, that block always has the turn; a turn that never ends is native's Adam. */
Test(rivals, badam_of_one_block_is_native)
{
    lspo_model_t model = small_gpt();
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

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* The device's high-water mark and the plan's, both with the ops one after the other: what of zenflow's is there at
 * once on a link depends on nanoseconds. */
static void compare_peaks(const char *policy, const lspo_workload_t *workload)
{
    lspo_model_t model = small_gpt();
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
    lspo_model_t model = small_gpt();
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
    lspo_model_t model = small_gpt();
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
        lspo_model_t model = small_gpt();
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
        lspo_model_t model = small_gpt();
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
