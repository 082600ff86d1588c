/* Plans of qmoe: sizes of packed experts against their encoder and the published ones, timelines, bytes and memory by
 * hand.  See tests/timeline.h: FWD of a block takes 2, D2H 3, SWAP_IN 3; embedding and head take no time. */
#include <criterion/criterion.h>
#include <math.h>

#include "kernels/random.h"
#include "kernels/ternary.h"
#include "plan/build_generate.h"
#include "plan/policies/qmoe.h"
#include "sim/memory.h"
#include "tests/timeline.h"

/* ---- sizes ---- */

Test(qmoe, bits_are_the_published_ones)
{
    static const double zeros[] = {1.0 / 3, 0.8, 0.885, 0.9, 0.95}, bits[] = {4.15, 1.12, 0.737, 0.690, 0.590};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        cr_expect_float_eq(lspo_qmoe_bits(zeros[i]), bits[i], 0.005 * bits[i], "zeros %g: %g", zeros[i],
                           lspo_qmoe_bits(zeros[i]));
    cr_expect_float_eq(lspo_qmoe_bits(1), 16.0 / 28, 1e-9, "codes of 28 zeros");
}

/* Random weights of which so many are zero, made ternary and packed: the bits of long rows, and room in each shape. */
static void check_pack(size_t m, size_t n, double zeros)
{
    const lspo_qmoe_values_t values = {.expert_zeros = zeros};
    const size_t room = lspo_qmoe_room_codes(&values, m, n);
    float *w = malloc(m * n * sizeof *w), *scratch = malloc(m * n * sizeof *w);
    char *memory = malloc(lspo_ternary_bytes(n, room));
    size_t used = 0;
    cr_assert(w != NULL && scratch != NULL && memory != NULL);
    const lspo_ternary_t to = lspo_ternary_in(m, n, memory);
    lspo_random_normal_fill(7, m, 0.02, m * n, w);
    lspo_ternary_round(m, n, zeros, w, scratch);
    cr_expect_eq(lspo_ternary_pack(w, room, &to, &used), LSPO_OK, "%zu x %zu, zeros %g: %zu of %zu", m, n, zeros, used,
                 room);
    if (m >= 100000)
        cr_expect_float_eq(16.0 * (double)used / (double)(m * n) / lspo_qmoe_bits(zeros), 1, 0.005, "zeros %g", zeros);
    free(w), free(scratch), free(memory);
}

Test(qmoe, room_is_enough_and_not_much_more)
{
    static const size_t shapes[][2] = {{1, 1}, {7, 3}, {16, 64}, {64, 16}, {301, 33}, {1000, 20}, {100000, 2}};
    static const double zeros[] = {0, 1.0 / 3, 0.5, 0.885, 0.99, 1};
    const lspo_qmoe_values_t published = {.expert_zeros = 0.885};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t z = 0; z < sizeof zeros / sizeof *zeros; z++)
            check_pack(shapes[s][0], shapes[s][1], zeros[z]);
    const double room = 16.0 * (double)lspo_qmoe_room_codes(&published, 4096, 14336) / (4096.0 * 14336);
    cr_expect_float_eq(room, 0.737, 0.01, "an expert of Mixtral: %g bits", room);
}

static lspo_model_t preset(const char *name)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find(name, &model), LSPO_OK);
    return model;
}

/* 3.2 TB become less than 160 GB, 20 times less, 0.8 bits per parameter [QMoE, abstract]; here a little
 * less, since experts are all that is packed. */
Test(qmoe, switch_fits_in_the_published_bytes)
{
    const lspo_model_t model = preset("switch-c-2048");
    const lspo_qmoe_values_t values = {.expert_zeros = 0.885};
    const double parameters = (double)lspo_model_parameter_count(&model);
    const double experts = 30.0 * 2048, weights = experts * (double)lspo_model_expert_elements(&model);
    const double bytes = experts * (double)lspo_qmoe_expert_bytes(&values, &model) + 2 * (parameters - weights);
    cr_expect_float_eq(parameters / 1.571e12, 1, 0.002, "%g parameters", parameters);
    cr_expect_lt(bytes, 160e9, "%g", bytes);
    cr_expect(2 * parameters / bytes > 19.5 && 2 * parameters / bytes < 21.5, "%g times", 2 * parameters / bytes);
    cr_expect(8 * bytes / parameters > 0.74 && 8 * bytes / parameters < 0.82, "%g bits", 8 * bytes / parameters);
}

/* Bytes of a block of width 16 with 4 experts, of which a token uses one: all but the experts in fp32; an expert. */
enum { DENSE = 4 * (768 + 256 + 64 + 64), UP = 8 * 65 + 272, DOWN = 8 * 17 + 176, EXPERT = UP + DOWN };

static lspo_model_t three_blocks_of_experts(void)
{
    lspo_model_t m = three_blocks();
    m.biases = LSPO_BIASES_NONE;
    m.expert_count = 4;
    m.experts_per_token = 1;
    return m;
}

/* Up is 16 x 64: at 0.736 bits 47.1 codes, 64 rows, ten deviations of 2.3, together 134 codes of 2 bytes, in whole 8;
 * down is 64 x 16: 47.1 + 16 + 23, 86. */
Test(qmoe, an_expert_has_the_bytes_of_its_matrices)
{
    const lspo_model_t m = three_blocks_of_experts();
    const lspo_qmoe_values_t v = {.expert_zeros = 0.885};
    cr_expect_eq(lspo_qmoe_room_codes(&v, 16, 64), 134);
    cr_expect_eq(lspo_qmoe_room_codes(&v, 64, 16), 86);
    cr_expect_eq(lspo_qmoe_expert_bytes(&v, &m), EXPERT);
    cr_expect_eq(lspo_ternary_bytes(64, 134) + lspo_ternary_bytes(16, 86), EXPERT);
}

/* ---- plans ---- */

static lspo_status_t try(const lspo_model_t *model, int32_t cached, uint32_t micros, lspo_plan_t **plan_out)
{
    const lspo_policy_t *policy = NULL;
    lspo_workload_t w = small_workload(3);
    w.sequence = 5;
    w.accumulation = micros;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    *lspo_qmoe_values_edit(&w) = (lspo_qmoe_values_t){.expert_zeros = 0.885, .cached_experts = cached};
    cr_assert_eq(lspo_policy_find_any("qmoe", &policy), LSPO_OK);
    return lspo_plan_build(model, &w, policy, plan_out);
}

static lspo_plan_t *build_experts(int32_t cached, uint32_t micros)
{
    const lspo_model_t m = three_blocks_of_experts();
    lspo_plan_t *plan = NULL;
    cr_assert_eq(try(&m, cached, micros, &plan), LSPO_OK);
    return plan;
}

static void expect_experts(const lspo_trace_t *t, uint32_t layer, uint32_t iteration, uint64_t start)
{
    const lspo_trace_row_t *row = find_variant(t, LSPO_OP_FWD, layer, iteration, LSPO_VARIANT_EXPERTS);
    cr_assert_not_null(row);
    cr_expect_eq(row->start_ns, start);
    cr_expect_eq(row->end_ns, start + 2);
}

/* A block: FWD 0-2, D2H 2-5, SWAP_IN 5-8, FWD of its experts 8-10; three of them one behind the other, then the next
 * token. */
Test(qmoe, experts_come_when_they_are_known)
{
    lspo_plan_t *p = build_experts(2, 1);
    lspo_trace_t *t = play(p, &usual);
    cr_expect_eq(p->op_count, 3 * (5 + 3 * 3));
    expect(t, LSPO_OP_FWD, 1, 0, 0, 2);
    expect(t, LSPO_OP_D2H, 1, 0, 2, 5);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 5, 8);
    expect_experts(t, 1, 0, 8);
    expect(t, LSPO_OP_FWD, 2, 0, 10, 12);
    expect(t, LSPO_OP_SWAP_IN, 3, 0, 25, 28);
    expect_experts(t, 3, 0, 28);
    expect(t, LSPO_OP_FWD, 1, 1, 30, 32);
    expect_experts(t, 3, 2, 88);
    done(t, p);
}

Test(qmoe, with_all_experts_there_is_only_fwd)
{
    for (int32_t cached = -1; cached <= 4; cached += 5) {
        lspo_plan_t *p = build_experts(cached, 2);
        cr_expect_eq(p->op_count, 3 * 2 * 5);
        cr_expect_eq(p->footprint.gpu_parameters_bytes, 4 * (640 + 32) + 3 * DENSE + 3 * 4 * EXPERT);
        cr_expect_eq(p->footprint.host_parameters_bytes, 0);
        lspo_plan_destroy(p);
    }
}

/* Of the prompt's 5 tokens the experts that are not cached may all be needed, of a new token one; SWAP_IN takes the
 * time of 4 (1 - (3/4)^5) (2/4) = 1.52539 and of (2/4) experts. */
Test(qmoe, moves_the_expected_and_takes_memory_for_the_most)
{
    lspo_plan_t *p = build_experts(2, 1);
    lspo_trace_t *t = play(p, &usual);
    uint64_t gpu = 0, host = 0;
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const uint64_t bytes = lspo_work_link_bytes(&p->works[op->work]);
        if (op->kind == LSPO_OP_SWAP_IN) {
            cr_expect_eq(bytes, op->iteration == 0 ? (uint64_t)(1.525390625 * EXPERT + 0.5) : EXPERT / 2);
            cr_expect_eq(op->gpu_alloc_bytes, op->iteration == 0 ? 2 * EXPERT : EXPERT);
        } else if (op->kind == LSPO_OP_D2H) {
            cr_expect_eq(bytes, op->iteration == 0 ? 20 : 4);
        }
    }
    cr_expect_eq(p->footprint.gpu_parameters_bytes, 4 * (640 + 32) + 3 * DENSE + 3 * 2 * EXPERT);
    cr_expect_eq(p->footprint.host_parameters_bytes, 3 * 4 * EXPERT);
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    cr_expect_eq(gpu - p->gpu_static_bytes, 2 * EXPERT);
    done(t, p);
}

/* What each of 2 tokens may choose of 3 experts, two at a time: of the 9 pairs of choices 3 are twice the same. */
Test(qmoe, expected_experts_are_those_of_all_choices)
{
    const lspo_model_t m = {.expert_count = 3, .experts_per_token = 2};
    cr_expect_float_eq(lspo_generate_experts_used(&m, 1), 2, 1e-12);
    cr_expect_float_eq(lspo_generate_experts_used(&m, 2), (3 * 2 + 6 * 3) / 9.0, 1e-12);
    const lspo_model_t none = {.expert_count = 0};
    cr_expect_eq(lspo_generate_experts_used(&none, 2), 0);
}

/* The dense experts of the other policies: each that is used is read once, and no other. */
Test(qmoe, dense_experts_cost_what_is_used)
{
    lspo_model_t m = three_blocks_of_experts();
    const lspo_policy_t *policy = NULL;
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *plan = NULL;
    w.sequence = 5;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    cr_assert_eq(lspo_policy_find_any("resident", &policy), LSPO_OK);
    double flop[2];
    for (int many = 0; many < 2; many++) {
        m.expert_count = many ? 400 : 4;
        cr_assert_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_OK);
        for (uint32_t i = 0; i < plan->op_count; i++)
            if (plan->ops[i].layer == 1 && plan->ops[i].iteration == 1)
                flop[many] = lspo_work_flop(&plan->works[plan->ops[i].work]);
        lspo_plan_destroy(plan);
    }
    cr_expect_float_eq(flop[1] - flop[0], 2.0 * 16 * 396, 1e-6, "only the router is larger");
}

Test(qmoe, refuses_what_it_cannot_pack)
{
    const lspo_model_t dense = three_blocks();
    lspo_model_t m = three_blocks_of_experts();
    lspo_plan_t *plan = NULL;
    cr_expect_eq(try(&dense, 0, 1, &plan), LSPO_ERR_INPUT);
    cr_expect_eq(try(&m, 5, 1, &plan), LSPO_ERR_INPUT);
    cr_expect_eq(try(&m, -2, 1, &plan), LSPO_ERR_INPUT);
    m.experts_per_token = 5;
    cr_expect_eq(try(&m, 0, 1, &plan), LSPO_ERR_INPUT, "more per token than there are");
    m.experts_per_token = 0;
    cr_expect_eq(try(&m, 0, 1, &plan), LSPO_ERR_INPUT);
    m.experts_per_token = 1;
    m.biases = LSPO_BIASES_ALL;
    cr_expect_eq(try(&m, 0, 1, &plan), LSPO_ERR_INPUT);
}

Test(qmoe, trainings_with_experts_are_refused)
{
    const lspo_model_t m = three_blocks_of_experts();
    const lspo_workload_t w = small_workload(2);
    lspo_plan_t *plan = NULL;
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        cr_expect_eq(lspo_plan_build(&m, &w, lspo_policy_at(i), &plan), LSPO_ERR_INPUT, "%s", lspo_policy_at(i)->name);
}
