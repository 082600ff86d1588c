/* kvpr by its closed forms, on a machine of which only the link and the rate of products count:
 *
 *     a = h p / B            a token's inputs on the link; its keys and values take 2 a
 *     r = 4 h^2 / F          two products of 2 h^2 FLOP
 *     f = 24 h^2 / F         a new token through a block
 *     latency                T(l) = b (a l + max(r l, 2 a (s - l)) + f);  least where r l = 2 a (s - l):
 *                            l* = s 2 a / (2 a + r),  T(l*) / T(0) = (a + r) / (2 a + r) without f
 *     throughput             T(l) = max(W / B + n b (a l + 2 a (s - l)), n b (r l + f)),  W = p (12 h^2 + 13 h)
 *
 * h is the width, p = 2 bytes, b sequences in each of n micro-batches, s cached tokens, B = 32 GB/s, F = 312
 * TFLOP/s. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "plan/policies/kvpr.h"
#include "plan/policy.h"
#include "sim/pace.h"
#include "sim/split.h"
#include "sim/tune.h"
#include "tests/said.h"

static const double link_Bps = 32e9, flops = 312e12;

/* OPT-6.7B, 13B, 30B: blocks, width, heads. */
static const uint32_t shapes[3][3] = {{32, 4096, 32}, {40, 5120, 40}, {48, 7168, 56}};
static const double gains[3] = {-0.35, -0.33, -0.29}; /* of latency */

static lspo_model_t opt(int i)
{
    return (lspo_model_t){.name = "opt",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = shapes[i][0],
                          .width = shapes[i][1],
                          .head_count = shapes[i][2],
                          .kv_head_count = shapes[i][2],
                          .mlp_width = 4 * shapes[i][1],
                          .vocabulary = 50272,
                          .max_sequence = 2048,
                          .tied_head = true};
}

static lspo_machine_t ideal(void)
{
    lspo_machine_t m;
    cr_assert_eq(lspo_machine_find("a100-80gb-sxm", &m), LSPO_OK);
    cr_assert_eq(lspo_machine_ablate(&m, "contention"), LSPO_OK);
    cr_assert_eq(lspo_machine_ablate(&m, "shapes"), LSPO_OK);
    cr_assert_eq(lspo_machine_ablate(&m, "latency"), LSPO_OK);
    cr_assert_eq(lspo_machine_ablate(&m, "cache"), LSPO_OK);
    memset(m.gpu.gemm_memory_Bps, 0, sizeof m.gpu.gemm_memory_Bps);
    m.gpu.gemm_flops[LSPO_FP16] = flops;
    m.gpu.stream_Bps = m.gpu.norm_Bps = m.gpu.activation_Bps = 1e18;
    m.gpu.training_speed = 0;
    m.link.h2d_Bps = m.link.d2h_Bps = link_Bps;
    return m;
}

static lspo_workload_t texts(uint32_t sequence, lspo_kvpr_schedule_t schedule, uint32_t micros)
{
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = 32;
    w.sequence = sequence;
    w.iterations = 8;
    w.accumulation = micros;
    lspo_kvpr_values_edit(&w)->schedule = schedule;
    lspo_kvpr_values_edit(&w)->cache_slots = schedule == LSPO_SCHEDULE_LATENCY ? 2 : 4;
    return w;
}

static lspo_fit_question_t ask(const lspo_model_t *model, const lspo_machine_t *machine, const lspo_workload_t *w)
{
    lspo_fit_question_t q = {.model = model, .machine = machine, .workload = *w};
    cr_assert_eq(lspo_policy_find_any("kvpr", &q.policy), LSPO_OK);
    return q;
}

static double simulated_s(const lspo_fit_question_t *q, double share)
{
    lspo_workload_t w = q->workload;
    lspo_plan_t *plan = NULL;
    double token_s = 0;
    lspo_kvpr_values_edit(&w)->recompute_share = share;
    cr_assert_eq(lspo_plan_build(q->model, &w, q->policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_pace_of(plan, q->machine, &token_s), LSPO_OK);
    lspo_plan_destroy(plan);
    return token_s;
}

/* Of all blocks. */
static double closed_form_s(const lspo_model_t *model, const lspo_workload_t *w, double share)
{
    const double h = model->width, a = h * 2 / link_Bps, r = 4 * h * h / flops, b = w->batch, n = w->accumulation;
    const double s = w->sequence + w->iterations / 2, l = share * s; /* the median of the iterations after warm-up */
    const double link_s = b * (a * l + 2 * a * (s - l)), rebuild_s = b * r * l, forward_s = b * 24 * h * h / flops;
    if (lspo_kvpr_values_of(w)->schedule == LSPO_SCHEDULE_LATENCY)
        return model->block_count * (b * a * l + fmax(rebuild_s, b * 2 * a * (s - l)) + forward_s);
    return model->block_count * fmax(2 * (12 * h * h + 13 * h) / link_Bps + n * link_s, n * (rebuild_s + forward_s));
}

static double best_share(const lspo_model_t *model)
{
    const double h = model->width, a = h * 2 / link_Bps, r = 4 * h * h / flops;
    return 2 * a / (2 * a + r);
}

static void check_sweep(const lspo_fit_question_t *q)
{
    double last_s = 0;
    bool rises = false;
    for (int i = 0; i <= 20; i++) {
        const double share = i / 20.0, simulated = simulated_s(q, share);
        const double wanted = closed_form_s(q->model, &q->workload, share);
        cr_expect_float_eq(simulated / wanted, 1, 0.01, "width %u, share %g: %g s, not %g s", q->model->width, share,
                           simulated, wanted);
        cr_expect(i == 0 || !rises || simulated > last_s * (1 - 1e-6), "a second minimum before share %g", share);
        rises = rises || (i > 0 && simulated > last_s * (1 + 1e-6));
        last_s = simulated;
    }
}

Test(split, a_sweep_follows_the_closed_forms_with_one_minimum)
{
    const lspo_machine_t machine = ideal();
    for (int i = 0; i < 3; i++) {
        const lspo_model_t model = opt(i);
        const lspo_workload_t alone = texts(1024, LSPO_SCHEDULE_LATENCY, 1);
        const lspo_workload_t many = texts(1024, LSPO_SCHEDULE_THROUGHPUT, 6);
        lspo_fit_question_t q = ask(&model, &machine, &alone);
        check_sweep(&q);
        q = ask(&model, &machine, &many);
        check_sweep(&q);
    }
}

/* The closed form, the program, the simulator and --recompute-share auto. */
Test(split, four_ways_to_the_same_share)
{
    const lspo_machine_t machine = ideal();
    for (int i = 0; i < 3; i++)
        for (uint32_t batch = 8; batch <= 64; batch *= 8) { /* products are compute-bound: it does not depend on it */
            const lspo_model_t model = opt(i);
            lspo_workload_t w = texts(1024, LSPO_SCHEDULE_LATENCY, 1);
            w.batch = batch;
            const lspo_fit_question_t q = ask(&model, &machine, &w);
            double by_program = 0, by_simulation = 0, token_s = 0;
            cr_assert_eq(lspo_split_by_program(&q, &by_program), LSPO_OK);
            cr_assert_eq(lspo_split_by_simulation(&q, &by_simulation, &token_s), LSPO_OK);
            cr_expect_float_eq(by_program, best_share(&model), 0.005, "program: %g", by_program);
            cr_expect_float_eq(by_simulation, best_share(&model), 0.005, "simulation: %g", by_simulation);
            cr_assert_eq(lspo_split_tune(&model, q.policy, &machine, &w), LSPO_OK);
            const double chosen = lspo_kvpr_values_of(&w)->recompute_share;
            cr_expect_float_eq(chosen, best_share(&model), 0.005, "auto: %g", chosen);
            const double gain = simulated_s(&q, chosen) / simulated_s(&q, 0) - 1;
            cr_expect_float_eq(gain, gains[i], 0.01, "width %u: %g", model.width, gain);
        }
}

/* The message has the numbers that were given, not those of a trial. */
Test(split, texts_longer_than_the_model_are_refused_as_they_are)
{
    const lspo_machine_t machine = ideal();
    const lspo_model_t model = opt(0);
    lspo_workload_t w = texts(2040, LSPO_SCHEDULE_LATENCY, 1);
    w.iterations = 16;
    const lspo_fit_question_t q = ask(&model, &machine, &w);
    listen_begin();
    cr_expect_eq(lspo_split_tune(&model, q.policy, &machine, &w), LSPO_ERR_INPUT);
    listen_end();
    expect_said("too long", "--sequence 2040 and --iterations 16: ");
}

/* Where W counts: for many micro-batches all is rebuilt if r < a, and 2 a / (a + r) of it else, where both sides take
 * as long; W moves that to where W / B + n b (2 a s - a l) = n b r l. */
Test(split, weights_on_the_link_leave_room_for_more)
{
    const lspo_machine_t machine = ideal();
    for (int i = 0; i < 3; i++) {
        const lspo_model_t model = opt(i);
        const lspo_workload_t w = texts(1024, LSPO_SCHEDULE_THROUGHPUT, 6);
        const lspo_fit_question_t q = ask(&model, &machine, &w);
        const double h = model.width, a = h * 2 / link_Bps, r = 4 * h * h / flops, tokens = 6.0 * 32 * (1024 + 4);
        const double weights_s = 2 * (12 * h * h + 13 * h) / link_Bps;
        const double wanted = fmin(1, (weights_s + 2 * a * tokens) / ((a + r) * tokens));
        double by_program = 0, by_simulation = 0, token_s = 0;
        cr_assert_eq(lspo_split_by_program(&q, &by_program), LSPO_OK);
        cr_assert_eq(lspo_split_by_simulation(&q, &by_simulation, &token_s), LSPO_OK);
        cr_expect_float_eq(by_program, wanted, 0.01, "program: %g, not %g", by_program, wanted);
        cr_expect_float_eq(by_simulation, wanted, 0.01, "simulation: %g, not %g", by_simulation, wanted);
    }
}

/* Prompts of 128 tokens, 4 and 8 micro-batches of 32: the published gains are 15.1, 46.2 and 29.0 %, at an unknown
 * number of sequences, on which they depend. */
Test(split, throughput_gains_with_weights_are_within_the_published_ones)
{
    const lspo_machine_t machine = ideal();
    for (int i = 0; i < 3; i++)
        for (uint32_t micros = 4; micros <= 8; micros *= 2) {
            const lspo_model_t model = opt(i);
            lspo_workload_t w = texts(128, LSPO_SCHEDULE_THROUGHPUT, micros);
            const lspo_fit_question_t q = ask(&model, &machine, &w);
            cr_assert_eq(lspo_split_tune(&model, q.policy, &machine, &w), LSPO_OK);
            const double gain = simulated_s(&q, 0) / simulated_s(&q, lspo_kvpr_values_of(&w)->recompute_share) - 1;
            cr_expect(gain > 0.15 && gain < 0.462, "width %u, %u micro-batches: %+.3f", model.width, micros, gain);
        }
}

/* With n_kv / n_q <= 1/2 the inputs are as large as the keys and values: nothing is rebuilt. */
Test(split, grouped_queries_rebuild_nothing)
{
    const lspo_machine_t machine = ideal();
    for (uint32_t groups = 1; groups <= 8; groups *= 2)
        for (lspo_kvpr_schedule_t schedule = LSPO_SCHEDULE_LATENCY; schedule <= LSPO_SCHEDULE_THROUGHPUT; schedule++) {
            lspo_model_t model = opt(0);
            model.family = LSPO_FAMILY_LLAMA;
            model.tied_head = false;
            model.kv_head_count = 32 / groups;
            lspo_workload_t w = texts(1024, schedule, 2);
            const lspo_fit_question_t q = ask(&model, &machine, &w);
            double by_program = 0;
            cr_assert_eq(lspo_split_by_program(&q, &by_program), LSPO_OK);
            cr_assert_eq(lspo_split_tune(&model, q.policy, &machine, &w), LSPO_OK);
            const double chosen = lspo_kvpr_values_of(&w)->recompute_share;
            cr_expect_eq(groups > 1, chosen == 0, "%u heads of K, schedule %d: %g", model.kv_head_count, schedule,
                         chosen);
            cr_expect_eq(groups > 1, by_program == 0, "%u heads of K, schedule %d: program %g", model.kv_head_count,
                         schedule, by_program);
        }
}

/* A plan of the prompt alone has nothing to rebuild, nor has one that is given a share anything to choose. */
Test(split, leaves_alone_what_is_settled)
{
    const lspo_machine_t machine = ideal();
    const lspo_model_t model = opt(0);
    lspo_workload_t w = texts(64, LSPO_SCHEDULE_LATENCY, 1);
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find_any("kvpr", &policy), LSPO_OK);
    cr_expect(lspo_tune_is_open(policy, &w));
    w.iterations = 1;
    cr_assert_eq(lspo_split_tune(&model, policy, &machine, &w), LSPO_OK);
    cr_expect_eq(lspo_kvpr_values_of(&w)->recompute_share, 0);
    lspo_kvpr_values_edit(&w)->recompute_share = 0.3;
    w.iterations = 8;
    cr_assert_eq(lspo_split_tune(&model, policy, &machine, &w), LSPO_OK);
    cr_expect_eq(lspo_kvpr_values_of(&w)->recompute_share, 0.3);
    cr_expect_not(lspo_tune_is_open(policy, &w));
}
