/* meft: timelines worked out by hand (tests/timeline.h), bytes on the link, numbers of rows, memory, refused values. */
#include <criterion/criterion.h>
#include <math.h>

#include "kernels/random.h"
#include "plan/policies/meft.h"
#include "plan/stage_work.h"
#include "tests/timeline.h"

static lspo_meft_values_t *own_of(lspo_workload_t *w)
{
    return lspo_meft_values_edit(w);
}

/* 8 tokens of width 16; rows of 2 x 16 numbers. */
static lspo_workload_t rows_workload(uint32_t iterations)
{
    lspo_workload_t w = small_workload(iterations);
    *own_of(&w) = (lspo_meft_values_t){.adapter_width = 32, .experts = 8, .probes = 4, .keys = 6};
    return w;
}

static durations_t durations(void)
{
    durations_t d = usual;
    d.ns[LSPO_OP_SELECT] = 4;
    d.ns[LSPO_OP_UPD] = 9;
    return d;
}

static void expect_variant(const lspo_trace_t *t, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t layer,
                           uint32_t iteration, uint64_t start)
{
    const lspo_trace_row_t *r = find_variant(t, kind, layer, iteration, variant);
    cr_assert_not_null(r);
    cr_expect_eq(r->start_ns, start, "%s%u of iteration %u begins at %lu, not %lu", lspo_op_kind_name(kind), layer,
                 iteration, (unsigned long)r->start_ns, (unsigned long)start);
}

/* A block forward: FWD 0-2; D2H of what its rows are chosen by 2-5, SELECT 5-9, H2D 9-12, and beside them FWD mlp 2-4;
 * FWD rows 12-14.  So FWD1 begins at 0, FWD2 at 14, FWD3 at 28; BWD3 42-46, BWD2 46-50, BWD1 50-54; D2H3 46-49, D2H2
 * 50-53, D2H1 54-57; UPD3 49-58, then of 1 and 2 the shallow one: UPD1 58-67, UPD2 after what the GPU waits for.
 *
 * The next step: FWD1 54-56; D2H rows when the lane is free, 57-60; SELECT1 waits for UPD1 and comes before UPD2:
 * 67-71, UPD2 71-80; H2D1 71-74, FWD1 rows 74-76.  FWD2 76-78, D2H rows 78-81, SELECT2 81-85. */
Test(meft, rows_come_beside_the_mlp_and_return_behind_backward)
{
    const lspo_workload_t w = rows_workload(2);
    const durations_t d = durations();
    lspo_plan_t *p = build("meft", &w);
    lspo_trace_t *t = play(p, &d);
    for (uint32_t block = 1; block <= 3; block++) {
        const uint64_t start = 14 * (block - 1);
        expect_variant(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, block, 0, start);
        expect_variant(t, LSPO_OP_FWD, LSPO_VARIANT_MLP, block, 0, start + 2);
        expect_variant(t, LSPO_OP_D2H, LSPO_VARIANT_ROWS, block, 0, start + 2);
        expect_variant(t, LSPO_OP_SELECT, LSPO_VARIANT_NONE, block, 0, start + 5);
        expect_variant(t, LSPO_OP_H2D, LSPO_VARIANT_NONE, block, 0, start + 9);
        expect_variant(t, LSPO_OP_FWD, LSPO_VARIANT_ROWS, block, 0, start + 12);
        expect_variant(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, block, 0, 54 - 4 * block);
        expect_variant(t, LSPO_OP_D2H, LSPO_VARIANT_NONE, block, 0, 58 - 4 * block);
    }
    expect(t, LSPO_OP_UPD, 3, 0, 49, 58);
    expect(t, LSPO_OP_UPD, 1, 0, 58, 67);
    expect(t, LSPO_OP_SELECT, 1, 1, 67, 71);
    expect(t, LSPO_OP_UPD, 2, 0, 71, 80);
    expect_variant(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 1, 1, 54);
    expect_variant(t, LSPO_OP_D2H, LSPO_VARIANT_ROWS, 1, 1, 57);
    expect_variant(t, LSPO_OP_H2D, LSPO_VARIANT_NONE, 1, 1, 71);
    expect_variant(t, LSPO_OP_FWD, LSPO_VARIANT_ROWS, 1, 1, 74);
    expect(t, LSPO_OP_SELECT, 2, 1, 81, 85);
    done(t, p);
}

/* NORM 54-55; its scalar behind D2H1, 57-60; then UPD1 60-69, before which SELECT1 does not begin. */
Test(meft, clipping_is_a_barrier)
{
    lspo_workload_t w = rows_workload(2);
    const durations_t d = durations();
    w.clip_norm = 1;
    lspo_plan_t *p = build("meft", &w);
    lspo_trace_t *t = play(p, &d);
    expect(t, LSPO_OP_NORM, 4, 0, 54, 55);
    expect(t, LSPO_OP_UPD, 1, 0, 60, 69);
    expect(t, LSPO_OP_SELECT, 1, 1, 69, 73);
    done(t, p);
}

/* Gradients of each micro-batch, 54-57 and later, are added up: UPD accumulate of block 3 is the first, 49-58.  With
 * --clip the norm waits for all of them. */
Test(meft, micro_batches_are_added_up_on_the_cpu)
{
    lspo_workload_t w = rows_workload(1);
    const durations_t d = durations();
    w.accumulation = 2;
    w.clip_norm = 1;
    lspo_plan_t *p = build("meft", &w);
    lspo_trace_t *t = play(p, &d);
    uint64_t added_ns = 0;
    uint32_t added = 0, updates = 0;
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_ACCUMULATE, 3, 0, 49);
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind == LSPO_OP_UPD && r->variant == LSPO_VARIANT_ACCUMULATE) {
            added++;
            added_ns = r->end_ns > added_ns ? r->end_ns : added_ns;
        }
        updates += r->kind == LSPO_OP_UPD && r->variant == LSPO_VARIANT_NONE;
    }
    cr_expect_eq(added, 6);
    cr_expect_eq(updates, 3);
    cr_expect_geq(find(t, LSPO_OP_NORM, 4, 0)->start_ns, added_ns);
    done(t, p);
}

static uint64_t bytes_of(const lspo_plan_t *p, lspo_op_kind_t kind, lspo_op_variant_t variant)
{
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == kind && p->ops[i].variant == variant && p->ops[i].layer == 2)
            return lspo_work_link_bytes(&p->works[p->ops[i].work]);
    return 0;
}

/* |U| = 32 (1 - (26/32)^8) = 25.92: 26 rows of 2 x 16 numbers each way, 26 x 32 x 4 = 3328 bytes.  With them come lists
 * of (2 x 8 x 6 + 27) x 4 = 492 bytes; what they are chosen by has 8 x 16 x 4 + 8 x 4 x 8 = 768.  In 16 bits rows and
 * tokens have half. */
Test(meft, rows_cross_the_link_once_each_way)
{
    for (int half = 0; half < 2; half++) {
        lspo_workload_t w = rows_workload(1);
        w.transfer = half ? LSPO_BF16 : LSPO_FP32;
        lspo_plan_t *p = build("meft", &w);
        cr_expect_eq(bytes_of(p, LSPO_OP_D2H, LSPO_VARIANT_NONE), half ? 1664u : 3328u);
        cr_expect_eq(bytes_of(p, LSPO_OP_H2D, LSPO_VARIANT_NONE), (half ? 1664u : 3328u) + 492u);
        cr_expect_eq(bytes_of(p, LSPO_OP_D2H, LSPO_VARIANT_ROWS), half ? 512u : 768u);
        lspo_plan_destroy(p);
    }
}

static const lspo_op_t *op_of(const lspo_plan_t *p, lspo_op_kind_t kind, lspo_op_variant_t variant)
{
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == kind && p->ops[i].variant == variant && p->ops[i].layer == 2)
            return &p->ops[i];
    cr_assert_fail("no such op");
    return NULL;
}

/* Rows: at most min(32, 8 x 6) = 32 of 128 bytes, 4096, and lists of (96 + 33) x 4 = 516.  On the GPU from H2D to BWD,
 * which takes as many gradients.  Static: W_g of 16 x 8 numbers in each of 3 blocks, 1536; gates 8 x 8 numbers 256,
 * experts and gates 8 x 4 x 8 bytes 256, activations 2 x 8 x 6 numbers 384.  Host: rows 3 x 4096, moments twice
 * that and 3 x 128 for steps; landing 3 x (4096 + 128) and tokens 512 + 256; leaving 4096 + 516 and for choosing
 * 32 x 4 + 9 x 4 + 32 x (4 + 16) = 804. */
Test(meft, memory)
{
    const lspo_workload_t w = rows_workload(1);
    lspo_plan_t *p = build("meft", &w), *lora = build("lora", &w);
    const lspo_footprint_t *f = &p->footprint, *g = &lora->footprint;
    const uint64_t lora_scratch = 2 * 8 * 4 * 4; /* X A and dY B of rank 4 */
    cr_expect_eq(f->gpu_parameters_bytes, g->gpu_parameters_bytes);
    cr_expect_eq(f->gpu_workspace_bytes, g->gpu_workspace_bytes - lora_scratch + 256 + 256 + 384);
    cr_expect_eq(f->gpu_projectors_bytes, 1536u);
    cr_expect_eq(f->gpu_optimizer_bytes, 0u);
    cr_expect_eq(f->host_master_bytes, 3 * 4096u);
    cr_expect_eq(f->host_optimizer_bytes, 3 * (2 * 4096u + 128));
    cr_expect_eq(f->host_gradients_bytes, 3 * (4096u + 128) + 768);
    cr_expect_eq(f->host_outgoing_bytes, 4096u + 516 + 804);
    cr_expect_eq(op_of(p, LSPO_OP_H2D, LSPO_VARIANT_NONE)->gpu_alloc_bytes, 4612u);
    cr_expect_eq(op_of(p, LSPO_OP_BWD, LSPO_VARIANT_NONE)->gpu_alloc_bytes, 4096u);
    cr_expect_eq(op_of(p, LSPO_OP_D2H, LSPO_VARIANT_NONE)->gpu_free_bytes, 4096u);
    lspo_plan_destroy(lora);
    lspo_plan_destroy(p);
}

/* Against draws: each of N tokens takes K of r rows. */
Test(meft, expected_rows_are_those_of_any_choice)
{
    enum { ROWS = 40, CHOSEN = 6, DRAWS = 200 };
    const lspo_meft_shape_t shape = {.width = ROWS, .experts = 1, .each = ROWS, .probes = 1, .chosen = CHOSEN};
    for (uint64_t tokens = 1; tokens <= 27; tokens *= 3) {
        uint64_t sum = 0, at = 0;
        for (uint32_t draw = 0; draw < DRAWS; draw++) {
            bool used[ROWS] = {false};
            for (uint64_t t = 0; t < tokens; t++)
                for (uint32_t left = CHOSEN, row = 0; row < ROWS; row++)
                    if (lspo_random_below(8, 8, at++, ROWS - row) < left) {
                        used[row] = true;
                        left--;
                    }
            for (uint32_t row = 0; row < ROWS; row++)
                sum += used[row];
        }
        const double mean = (double)sum / DRAWS;
        cr_expect_float_eq(lspo_meft_rows_expected(&shape, tokens, 0), mean, 0.02 * mean, "%lu tokens", tokens);
    }
    cr_expect_eq(lspo_meft_rows_most(&shape, 6), 36u);
    cr_expect_eq(lspo_meft_rows_most(&shape, 7), 40u);
    cr_expect_float_eq(lspo_meft_rows_expected(&shape, 1, 0), 6, 1e-9);
    cr_expect_float_eq(lspo_meft_rows_expected(&shape, 1024, 0), 40, 1e-9);
    cr_expect_float_eq(lspo_meft_rows_expected(&shape, 9, 1e-9), lspo_meft_rows_expected(&shape, 9, 0), 1e-3);
    cr_expect_float_eq(lspo_meft_rows_expected(&shape, 1, 0.5), 6, 1e-6);
}

/* Against draws: of tokens whose numbers have the correlation rho, those rows are used for which one is above z. */
Test(meft, tokens_that_are_alike_use_fewer_rows)
{
    enum { ROWS = 4000, TOKENS = 12 };
    const lspo_meft_shape_t shape = {.width = 10, .experts = 1, .each = 10, .probes = 1, .chosen = 1};
    const double z = 1.2815515655446004, rho = 0.4; /* P(z) = 0.9 */
    static float common[ROWS], own[ROWS][TOKENS];
    uint32_t used = 0;
    lspo_random_normal_fill(3, 1, 1, ROWS, common);
    lspo_random_normal_fill(3, 2, 1, (size_t)ROWS * TOKENS, own[0]);
    for (uint32_t row = 0; row < ROWS; row++) {
        bool any = false;
        for (uint32_t t = 0; t < TOKENS; t++)
            any |= sqrt(rho) * (double)common[row] + sqrt(1 - rho) * (double)own[row][t] > z;
        used += any;
    }
    const double expected = lspo_meft_rows_expected(&shape, TOKENS, rho) / 10;
    cr_expect_float_eq((double)used / ROWS, expected, 0.03 * expected);
    cr_expect_lt(expected, lspo_meft_rows_expected(&shape, TOKENS, 0) / 10 - 0.1);
}

/* Rows of as many tokens as any, back to the rho that makes them expected; of one token, or of all rows, nothing is
 * known. */
Test(meft, rows_tell_how_alike_tokens_are)
{
    const lspo_meft_shape_t shape = {.width = 1024, .experts = 128, .each = 8, .probes = 8, .chosen = 32};
    for (uint32_t tokens = 2; tokens <= 200; tokens *= 3)
        for (double rho = 0; rho < 0.9; rho += 0.2)
            cr_expect_float_eq(lspo_meft_alike_by_rows(&shape, tokens, lspo_meft_rows_expected(&shape, tokens, rho)),
                               rho, 1e-4);
    cr_expect_eq(lspo_meft_alike_by_rows(&shape, 100000, 1024), 0);
    cr_expect_geq(lspo_meft_alike_by_rows(&shape, 64, 1), 0.99);
}

/* What the GPU does with the rows of a token does not depend on how many others there are. */
Test(meft, the_gpus_work_does_not_grow_with_the_width)
{
    double flop[2];
    for (int wide = 0; wide < 2; wide++) {
        lspo_workload_t w = rows_workload(1);
        own_of(&w)->adapter_width = wide ? 512 : 32;
        own_of(&w)->experts = wide ? 128 : 8;
        lspo_plan_t *p = build("meft", &w);
        flop[wide] = lspo_work_flop(&p->works[op_of(p, LSPO_OP_FWD, LSPO_VARIANT_ROWS)->work]) +
                     lspo_work_flop(&p->works[op_of(p, LSPO_OP_BWD, LSPO_VARIANT_NONE)->work]);
        cr_expect(bytes_of(p, LSPO_OP_D2H, LSPO_VARIANT_NONE) > (wide ? 5000 : 3000));
        lspo_plan_destroy(p);
    }
    cr_expect_eq(flop[0], flop[1]);
}

static void add_to_sums(const lspo_work_t *work, uint64_t sums[3])
{
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        sums[0] += work->kernels[i].count;
        sums[1] += work->kernels[i].bytes;
        sums[2] += (uint64_t)work->kernels[i].flop;
    }
}

/* Of every model's block: launches, bytes and FLOPs of the MLP and of what comes before it are those of both. */
Test(meft, a_forward_in_two_is_the_whole)
{
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t model;
        lspo_workload_t w = rows_workload(1);
        lspo_work_t whole, before, mlp;
        uint64_t expected[3] = {0}, got[3] = {0};
        cr_assert_eq(lspo_model_preset(i, &model), LSPO_OK);
        lspo_stage_work_forward(&model, &w, 1, &whole);
        lspo_stage_work_before_mlp(&model, &w, 1, &before);
        lspo_stage_work_mlp(&model, &w, 1, &mlp);
        add_to_sums(&whole, expected);
        add_to_sums(&before, got);
        add_to_sums(&mlp, got);
        cr_expect_arr_eq(got, expected, sizeof got, "%s", model.name);
        cr_expect_gt(lspo_work_flop(&before), 0);
    }
}

/* 3600 rows of 7B: 4 sqrt(3600) = 240 experts of 15 rows, 8 of which a token keeps; of their 120 rows half. */
Test(meft, defaults)
{
    const lspo_meft_values_t given = {3600, LSPO_MEFT_AUTO, LSPO_MEFT_AUTO, LSPO_MEFT_AUTO, 0};
    const lspo_meft_shape_t shape = lspo_meft_shape(&given);
    cr_expect_eq(shape.experts, 240u);
    cr_expect_eq(shape.each, 15u);
    cr_expect_eq(shape.probes, 8u);
    cr_expect_eq(shape.chosen, 60u);
    for (uint32_t width = 1; width < 200; width++) {
        const lspo_meft_values_t any = {width, LSPO_MEFT_AUTO, LSPO_MEFT_AUTO, LSPO_MEFT_AUTO, 0};
        const lspo_meft_shape_t s = lspo_meft_shape(&any);
        cr_assert(s.experts * s.each == width && s.probes <= s.experts && s.chosen >= 1 &&
                  s.chosen <= s.probes * s.each);
    }
}

Test(meft, values_that_do_not_fit_are_refused)
{
    const lspo_meft_values_t bad[] = {{32, 5, 2, 2, 0},  /* 5 does not divide 32 */
                                      {32, 33, 2, 2, 0}, /* more experts than rows */
                                      {32, 8, 9, 2, 0},  /* more probes than experts */
                                      {32, 8, 2, 9, 0},  /* more than 2 experts' rows */
                                      {0, 1, 1, 1, 0}};
    const lspo_model_t model = three_blocks();
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find("meft", &policy), LSPO_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_workload_t w = rows_workload(1);
        lspo_plan_t *plan = NULL;
        *own_of(&w) = bad[i];
        cr_expect_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_ERR_INPUT, "values %zu", i);
    }
}
