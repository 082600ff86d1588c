/* lora on 4-bit weights (QLoRA): the numbers of lora on the expanded weights, and the plan's memory. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/lora.h"
#include "tests/said.h"
#include "tests/session_fixture.h"

static lspo_workload_t workload_in_4_bits(void)
{
    lspo_workload_t workload = segment_workload();
    lspo_lora_values_edit(&workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    return workload;
}

static float *weights_of(const training_t *training, uint32_t s)
{
    float *weights = floats(training->session->stages[s].shape.element_count);
    cr_assert_eq(lspo_session_weights(training->session, s, weights), LSPO_OK);
    return weights;
}

/* Both start at the same seed; then lora gets the weights that the other one sees: the same bits from there on. */
static void check_expanded(const lspo_workload_t *workload)
{
    lspo_workload_t plain = *workload;
    double expected[STEPS], got[STEPS];
    training_t quantized, expanded;
    lspo_lora_values_edit(&plain)->base_weights = LSPO_BASE_WEIGHTS_PRECISION;
    training_begin("lora", workload, &quantized);
    training_begin("lora", &plain, &expanded);
    for (uint32_t s = 0; s < quantized.plan->stage_count; s++) {
        float *weights = weights_of(&quantized, s);
        cr_assert_eq(lspo_session_set_weights(expanded.session, s, weights), LSPO_OK);
        free(weights);
    }
    training_run(&expanded, expected);
    training_run(&quantized, got);
    cr_expect_arr_eq(got, expected, workload->iterations * sizeof *got);
    assert_equal_weights("in 4 bits", "lora", &expanded, &quantized);
    training_end(&expanded);
    training_end(&quantized);
}

Test(lora_nf4, a_training_is_that_of_lora_on_the_expanded_weights)
{
    lspo_workload_t workload = workload_in_4_bits();
    workload.iterations = 10;
    check_expanded(&workload);
    workload.checkpointing = !workload.checkpointing;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    check_expanded(&workload);
}

/* Quantized weights differ from the others by at most the error of a level, and linear ones only; evaluation sees
 * them. */
Test(lora_nf4, linear_weights_of_blocks_are_in_4_bits)
{
    lspo_workload_t workload = workload_in_4_bits(), plain = segment_workload();
    training_t a, b;
    lspo_evaluation_t with = {0}, without = {0};
    training_begin("lora", &workload, &a);
    training_begin("lora", &plain, &b);
    for (uint32_t s = 0; s < a.plan->stage_count; s++) {
        const lspo_session_stage_t *stage = &a.session->stages[s];
        float *got = weights_of(&a, s), *exact = weights_of(&b, s);
        size_t differ = 0;
        for (size_t i = 0; i < stage->shape.element_count; i++) {
            cr_assert(i < stage->linear_elements || got[i] == exact[i], "stage %u, number %zu", s, i);
            cr_assert_float_eq(got[i], exact[i], 0.03F); /* deviation 0.02, of which 4 are c: a gap of 0.3 c at most */
            differ += got[i] != exact[i];
        }
        cr_expect_geq(differ, 9 * stage->linear_elements / 10, "stage %u", s);
        free(exact);
        free(got);
    }
    cr_assert_eq(lspo_session_evaluate(a.session, made_up_batch, &workload, 2, &with), LSPO_OK);
    cr_assert_eq(lspo_session_evaluate(b.session, made_up_batch, &workload, 2, &without), LSPO_OK);
    cr_expect_neq(with.loss, without.loss);
    cr_expect_float_eq(with.loss / without.loss, 1, 0.02);
    training_end(&b);
    training_end(&a);
}

/* Byte for byte: what a session takes when it is created is the plan's static memory. */
Test(lora_nf4, static_memory_is_the_plans)
{
    for (uint32_t rest = 0; rest < 2; rest++)
        for (uint32_t base = LSPO_BASE_WEIGHTS_PRECISION; base <= LSPO_BASE_WEIGHTS_NF4; base++) {
            lspo_workload_t workload = segment_workload();
            training_t training;
            lspo_lora_values_edit(&workload)->base_weights = base;
            workload.train_rest = rest ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
            training_begin("lora", &workload, &training);
            cr_expect_eq(lspo_device_peak_bytes(training.device), training.plan->gpu_static_bytes, "%llu, planned %llu",
                         (unsigned long long)lspo_device_peak_bytes(training.device),
                         (unsigned long long)training.plan->gpu_static_bytes);
            training_end(&training);
        }
}

Test(lora_nf4, memory_is_what_the_plan_says)
{
    for (uint32_t checkpointing = 0; checkpointing < 2; checkpointing++) {
        lspo_workload_t workload = workload_in_4_bits();
        training_t training;
        lspo_trace_t *trace = NULL;
        uint64_t planned, host;
        workload.iterations = 3;
        workload.checkpointing = checkpointing;
        training_begin("lora", &workload, &training);
        cr_assert_eq(lspo_execute(training.plan, lspo_session_run_op, NULL, training.session, NULL, &trace), LSPO_OK);
        cr_assert_eq(lspo_memory_replay(training.plan, trace, &planned, &host), LSPO_OK);
        cr_expect_eq(lspo_device_peak_bytes(training.device), planned);
        lspo_trace_destroy(trace);
        training_end(&training);
    }
}

Test(lora_nf4, weights_that_are_not_finite_are_refused_by_name)
{
    lspo_workload_t workload = workload_in_4_bits();
    training_t training;
    training_begin("lora", &workload, &training);
    const lspo_stage_t *shape = &training.session->stages[2].shape;
    float *weights = weights_of(&training, 2);
    weights[shape->tensors[1].offset_elements + 5] = (float)NAN;
    listen_begin();
    lspo_status_t status = lspo_session_set_weights(training.session, 2, weights);
    listen_end();
    cr_expect_eq(status, LSPO_ERR_INPUT);
    expect_said("NaN", "weight attention_out of stage 2: number 5 is nan");
    weights[shape->tensors[1].offset_elements + 5] = (float)INFINITY;
    listen_begin();
    status = lspo_session_set_weights(training.session, 2, weights);
    listen_end();
    cr_expect_eq(status, LSPO_ERR_INPUT);
    expect_said("infinite", "number 5 is inf");
    free(weights);
    training_end(&training);
}
