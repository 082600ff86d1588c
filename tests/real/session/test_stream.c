/* stream, zero's --cpu-share and --accumulate-on host, on the host: whatever lives where and whenever it is updated,
 * losses and weights are those of native, bit for bit, and the memory is that of the plan. */
#include "plan/policies/stream.h"
#include "plan/policies/zero.h"
#include "tests/session_fixture.h"

static lspo_workload_t short_workload(void)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 8;
    workload.weight_decay = 0.1;
    return workload;
}

/* Each with and without checkpointing, clipping, micro-batches, and training of the rest. */
enum { VARIANTS = 16 };

static lspo_workload_t workload_of(int variant)
{
    lspo_workload_t workload = short_workload();
    workload.checkpointing = variant & 1;
    workload.clip_norm = variant & 2 ? 0.05 : 0;
    workload.accumulation = variant & 4 ? 3 : 1;
    workload.train_rest = variant & 8 ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
    return workload;
}

static void assert_as_native(const char *policy, const char *what, const lspo_workload_t *workload)
{
    outcome_t expected, got;
    train("native", workload, &expected);
    train(policy, workload, &got);
    assert_identical(what, workload, &expected, &got);
    cr_assert_eq(got.held_out_before, expected.held_out_before, "%s", what);
    cr_assert_eq(got.held_out_after, expected.held_out_after, "%s", what);
    cr_assert_neq(got.losses[7], got.losses[0]);
    outcome_release(&got);
    outcome_release(&expected);
}

Test(stream, equals_native_bit_for_bit)
{
    static const uint32_t windows[] = {1, 2, 3, 100}, buffers[] = {1, 2, 0};
    for (int variant = 0; variant < VARIANTS; variant++) {
        for (uint32_t i = 0; i < 4; i++) {
            lspo_workload_t workload = workload_of(variant);
            lspo_stream_values_t *own = lspo_stream_values_edit(&workload);
            char what[96];
            own->window = windows[i];
            own->gradient_buffers = buffers[(i + (uint32_t)variant) % 3];
            own->update = (i + (uint32_t)variant / 2) % 2;
            snprintf(what, sizeof what, "variant %d, window %u, buffers %u, update %u", variant, own->window,
                     own->gradient_buffers, own->update);
            assert_as_native("stream", what, &workload);
        }
    }
}

Test(cpu_share, equals_native_bit_for_bit)
{
    static const double shares[] = {0, 0.3, 0.5, 0.9, 1};
    for (int variant = 0; variant < VARIANTS; variant++) {
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            lspo_workload_t workload = workload_of(variant);
            char what[96];
            lspo_zero_values_edit(&workload)->cpu_share = shares[i];
            snprintf(what, sizeof what, "variant %d, share %g", variant, shares[i]);
            assert_as_native("zero", what, &workload);
        }
    }
}

Test(accumulate_on, equals_native_bit_for_bit)
{
    static const char *const policies[] = {"zero", "zero-layerwise", "backward-update"};
    static const uint32_t buffers[] = {1, 2, 0};
    for (int variant = 0; variant < VARIANTS; variant++) {
        for (int i = 0; i < 3; i++) {
            lspo_workload_t workload = workload_of(variant);
            char what[96];
            workload.accumulation = 2 + (uint32_t)variant % 3;
            set_accumulate_on(&workload, LSPO_ACCUMULATE_ON_HOST);
            set_gradient_buffers(&workload, buffers[(i + variant) % 3]);
            lspo_zero_values_edit(&workload)->cpu_share = variant & 4 ? 0.5 : 1;
            snprintf(what, sizeof what, "%s, variant %d", policies[i], variant);
            assert_as_native(policies[i], what, &workload);
        }
    }
}

/* A stale policy equals itself with sums on the GPU: two gradients wait on the host, and the sums beside them. */
Test(accumulate_on, does_not_change_a_stale_policy)
{
    for (int variant = 0; variant < VARIANTS; variant++) {
        lspo_workload_t workload = workload_of(variant);
        outcome_t on_gpu, on_host;
        char what[96];
        workload.accumulation = 3;
        train("zero-delayed", &workload, &on_gpu);
        set_accumulate_on(&workload, LSPO_ACCUMULATE_ON_HOST);
        train("zero-delayed", &workload, &on_host);
        snprintf(what, sizeof what, "variant %d", variant);
        assert_identical(what, &workload, &on_gpu, &on_host);
        outcome_release(&on_gpu);
        outcome_release(&on_host);
    }
}

/* Gradients in 16 bits on the link: the schedule still changes nothing. */
Test(stream, packed_gradients_are_the_same_under_every_schedule)
{
    lspo_workload_t workload = short_workload();
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    outcome_t native, first, got;
    train("native", &workload, &native);
    train("stream", &workload, &first);
    cr_assert_neq(first.losses[7], native.losses[7], "16 bits leave a trace");
    cr_assert_float_eq(first.losses[7], native.losses[7], 1e-2 * native.losses[7]);
    for (uint32_t window = 1; window <= 2; window++) {
        lspo_stream_values_edit(&workload)->window = window;
        lspo_stream_values_edit(&workload)->update = LSPO_STREAM_UPDATE_AFTER;
        train("stream", &workload, &got);
        assert_identical("stream", &workload, &first, &got);
        outcome_release(&got);
    }
    outcome_release(&first);
    outcome_release(&native);
}

Test(stream, device_memory_is_what_the_plan_says)
{
    for (int variant = 0; variant < VARIANTS; variant += 3) {
        lspo_workload_t workload = workload_of(variant);
        workload.iterations = 4;
        workload.transfer = variant & 4 ? LSPO_BF16 : LSPO_FP32;
        lspo_stream_values_edit(&workload)->window = 1 + (uint32_t)variant % 3;
        assert_planned_memory("stream", &workload);
        lspo_zero_values_edit(&workload)->cpu_share = 0.5;
        assert_planned_memory("zero", &workload);
    }
}

/* Between two plans all is on the host: a training in two segments, the second in another window and at another time of
 * update, is the training as a whole. */
Test(stream, continues_in_another_window)
{
    lspo_workload_t workload = segment_workload(), second;
    training_t whole, parts;
    double losses[STEPS], first[STEPS], rest[STEPS];
    workload.iterations = 9;
    workload.accumulation = 2;
    training_begin("stream", &workload, &whole);
    training_run(&whole, losses);
    second = workload;
    workload.iterations = second.first_step = 4;
    second.iterations = 5;
    lspo_stream_values_edit(&second)->window = 3;
    lspo_stream_values_edit(&second)->update = LSPO_STREAM_UPDATE_AFTER;
    training_begin("stream", &workload, &parts);
    training_run(&parts, first);
    training_continue(&parts, "stream", &second);
    training_run(&parts, rest);
    for (uint32_t i = 0; i < 9; i++)
        cr_assert_eq(i < 4 ? first[i] : rest[i - 4], losses[i], "step %u", i);
    assert_equal_weights("two segments", "stream", &whole, &parts);
    training_end(&parts);
    training_end(&whole);
}

/* Another share is another place for the state. */
Test(cpu_share, another_share_cannot_continue)
{
    lspo_workload_t workload = segment_workload();
    training_t training;
    workload.iterations = 2;
    training_begin("zero", &workload, &training);
    workload.first_step = 2;
    lspo_zero_values_edit(&workload)->cpu_share = 0.5;
    lspo_plan_t *plan = make_plan("zero", &workload);
    cr_assert_eq(lspo_session_continue(training.session, plan), LSPO_ERR_INPUT);
    lspo_plan_destroy(plan);
    training_end(&training);
}
