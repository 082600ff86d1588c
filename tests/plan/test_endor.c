/* Plans of endor: timelines, bytes and tiers, worked out by hand, and the published passes of OPT-66B.  See
 * tests/timeline.h: FWD of a block takes 2, SWAP_IN 3, APPLY 1, and READ 5; embedding and head take no time. */
#include <criterion/criterion.h>
#include <math.h>

#include "plan/policies/endor.h"
#include "sim/memory.h"
#include "sim/pace.h"
#include "tests/timeline.h"

/* Of a block of width 16: 768 + 256 + 1024 + 1024 numbers in matrices of 16, 16, 16 and 64 rows, and 208 others. */
enum { MATRICES = 3072, REST = 208, DENSE = 4 * (MATRICES + REST), BITMAP = 4 * (MATRICES / 2 + REST) + MATRICES / 8 };
enum { CSR = 6 * MATRICES / 2 + 4 * REST + 3 * 72 + 264 }; /* places: 17 and 65 of 4 bytes, in whole 8 */

static lspo_status_t try(const lspo_endor_values_t *values, uint32_t iterations, lspo_plan_t **plan_out)
{
    const lspo_model_t m = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_workload_t w = small_workload(iterations);
    w.sequence = 5;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    *lspo_endor_values_edit(&w) = *values;
    cr_assert_eq(lspo_policy_find_any("endor", &policy), LSPO_OK);
    return lspo_plan_build(&m, &w, policy, plan_out);
}

static lspo_plan_t *build_packed(const lspo_endor_values_t *values, uint32_t iterations)
{
    lspo_plan_t *plan = NULL;
    cr_assert_eq(try(values, iterations, &plan), LSPO_OK);
    return plan;
}

static lspo_trace_t *play_packed(const lspo_plan_t *p)
{
    durations_t d = usual;
    d.ns[LSPO_OP_READ] = 5;
    return play(p, &d);
}

/* Block 1 on the GPU, block 2 on the host, block 3 on the SSD. */
static lspo_endor_values_t three_tiers(uint32_t slots, bool direct)
{
    return (lspo_endor_values_t){.sparsity = 0.5,
                                 .weight_format = LSPO_WEIGHTS_BITMAP,
                                 .gpu_blocks = 1,
                                 .host_weights = BITMAP,
                                 .weight_slots = slots,
                                 .direct = direct};
}

/* One behind the other: FWD1 0-2, IN2 0-3, APPLY2 3-4, FWD2 4-6; READ3 6-11, IN3 11-14, APPLY3 14-15, FWD3 15-17.  The
 * next token: FWD1 17-19, IN2 17-20, FWD2 21-23, READ3 23-28, FWD3 32-34. */
Test(endor, with_one_slot_a_layer_waits_for_the_one_before)
{
    const lspo_endor_values_t values = three_tiers(1, false);
    lspo_plan_t *p = build_packed(&values, 2);
    lspo_trace_t *t = play_packed(p);
    cr_expect_eq(p->op_count, 2 * (5 + 2 + 3 + 1));
    cr_expect_eq(p->lanes.count, 5);
    expect(t, LSPO_OP_FWD, 1, 0, 0, 2);
    expect(t, LSPO_OP_SWAP_IN, 2, 0, 0, 3);
    expect(t, LSPO_OP_APPLY, 2, 0, 3, 4);
    expect(t, LSPO_OP_FWD, 2, 0, 4, 6);
    expect(t, LSPO_OP_READ, 3, 0, 6, 11);
    expect(t, LSPO_OP_SWAP_IN, 3, 0, 11, 14);
    expect(t, LSPO_OP_APPLY, 3, 0, 14, 15);
    expect(t, LSPO_OP_FWD, 3, 0, 15, 17);
    expect(t, LSPO_OP_SWAP_IN, 2, 1, 17, 20);
    expect(t, LSPO_OP_FWD, 3, 1, 32, 34);
    done(t, p);
}

/* IN2 0-3 and READ3 0-5 at once; FWD2 4-6; IN3 5-8, APPLY3 8-9, FWD3 9-11.  The next token: IN2 in the slot of block 3,
 * 11-14, READ3 in that of the head, 11-16; FWD2 15-17, IN3 16-19, FWD3 20-22. */
Test(endor, with_two_slots_the_next_layer_is_on_its_way)
{
    const lspo_endor_values_t values = three_tiers(2, false);
    lspo_plan_t *p = build_packed(&values, 2);
    lspo_trace_t *t = play_packed(p);
    expect(t, LSPO_OP_SWAP_IN, 2, 0, 0, 3);
    expect(t, LSPO_OP_READ, 3, 0, 0, 5);
    expect(t, LSPO_OP_FWD, 2, 0, 4, 6);
    expect(t, LSPO_OP_SWAP_IN, 3, 0, 5, 8);
    expect(t, LSPO_OP_FWD, 3, 0, 9, 11);
    expect(t, LSPO_OP_SWAP_IN, 2, 1, 11, 14);
    expect(t, LSPO_OP_READ, 3, 1, 11, 16);
    expect(t, LSPO_OP_SWAP_IN, 3, 1, 16, 19);
    expect(t, LSPO_OP_FWD, 3, 1, 20, 22);
    done(t, p);
}

Test(endor, a_direct_read_needs_no_copy)
{
    const lspo_endor_values_t values = three_tiers(1, true);
    lspo_plan_t *p = build_packed(&values, 2);
    lspo_trace_t *t = play_packed(p);
    expect(t, LSPO_OP_READ, 3, 0, 6, 11);
    expect(t, LSPO_OP_APPLY, 3, 0, 11, 12);
    expect(t, LSPO_OP_FWD, 3, 0, 12, 14);
    cr_expect_null(find_variant(t, LSPO_OP_SWAP_IN, 3, 0, LSPO_VARIANT_PARAMETERS));
    done(t, p);
}

/* What one block moves and takes: packed while it comes, and dense beside it while it is expanded. */
static void expect_bytes(lspo_weight_format_t format, uint64_t stored)
{
    const lspo_endor_values_t values = {.sparsity = 0.5, .weight_format = format, .weight_slots = 1};
    lspo_plan_t *p = build_packed(&values, 2);
    lspo_trace_t *t = play_packed(p);
    uint64_t gpu = 0, host = 0;
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == LSPO_OP_SWAP_IN && p->ops[i].layer == 2)
            cr_expect_eq(lspo_work_link_bytes(&p->works[p->ops[i].work]), stored);
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    cr_expect_eq(gpu - p->gpu_static_bytes, format == LSPO_WEIGHTS_DENSE ? DENSE : DENSE + stored);
    cr_expect_eq(p->footprint.host_parameters_bytes, 3 * stored + 4 * 32); /* and the head's norm */
    cr_expect_eq(p->footprint.gpu_parameters_bytes, 4u * 640);
    done(t, p);
}

Test(endor, moves_and_stores_packed_bytes)
{
    expect_bytes(LSPO_WEIGHTS_DENSE, DENSE);
    expect_bytes(LSPO_WEIGHTS_CSR, CSR);
    expect_bytes(LSPO_WEIGHTS_BITMAP, BITMAP);
}

/* Whole blocks, as many as the host's memory has room for. */
Test(endor, tiers_follow_from_the_memory)
{
    const lspo_model_t m = three_blocks();
    lspo_endor_values_t v = {.sparsity = 0.5, .weight_format = LSPO_WEIGHTS_BITMAP};
    static const struct {
        double bytes;
        uint32_t on_host; /* of blocks 1 to 3, from the first */
    } cases[] = {{0, 3}, {1, 0}, {BITMAP - 1, 0}, {BITMAP, 1}, {2 * BITMAP, 2}, {3 * BITMAP, 3}, {1e15, 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        v.host_weights = cases[k].bytes;
        cr_expect_eq(lspo_endor_tier(&v, &m, LSPO_FP32, 0), LSPO_TIER_GPU);
        cr_expect_eq(lspo_endor_tier(&v, &m, LSPO_FP32, 4), LSPO_TIER_HOST, "the head");
        for (uint32_t s = 1; s <= 3; s++)
            cr_expect_eq(lspo_endor_tier(&v, &m, LSPO_FP32, s), s <= cases[k].on_host ? LSPO_TIER_HOST : LSPO_TIER_SSD,
                         "%g bytes, block %u", cases[k].bytes, s);
    }
}

/* Landing places: as many as there are slots, but no more than blocks on the SSD. */
Test(endor, reads_land_in_as_many_places_as_there_are_slots)
{
    for (uint32_t slots = 1; slots <= 5; slots++) {
        lspo_endor_values_t v = {
            .sparsity = 0.5, .weight_format = LSPO_WEIGHTS_BITMAP, .weight_slots = slots, .host_weights = 1};
        lspo_plan_t *p = build_packed(&v, 2);
        cr_expect_eq(p->footprint.host_parameters_bytes, (slots < 3 ? slots : 3) * BITMAP + 4 * 32, "%u slots", slots);
        lspo_plan_destroy(p);
        v.direct = true;
        p = build_packed(&v, 2);
        cr_expect_eq(p->footprint.host_parameters_bytes, 4 * 32);
        lspo_plan_destroy(p);
    }
}

Test(endor, refuses_what_has_no_place)
{
    lspo_plan_t *plan = NULL;
    lspo_endor_values_t v = {.sparsity = 0.5, .weight_slots = 1, .gpu_blocks = 4};
    cr_expect_eq(try(&v, 2, &plan), LSPO_ERR_INPUT);
    v.gpu_blocks = 0;
    const double wrong[] = {-0.1, 1.01, NAN};
    for (int i = 0; i < 3; i++) {
        v.sparsity = wrong[i];
        cr_expect_eq(try(&v, 2, &plan), LSPO_ERR_INPUT);
    }
    v.sparsity = 0.5;
    v.weight_slots = 0;
    cr_expect_eq(try(&v, 2, &plan), LSPO_ERR_INPUT);
}

/* All on the GPU but the head: no block is loaded. */
Test(endor, blocks_on_the_gpu_stay_there)
{
    const lspo_endor_values_t v = {
        .sparsity = 0.5, .weight_format = LSPO_WEIGHTS_BITMAP, .weight_slots = 2, .gpu_blocks = 3};
    lspo_plan_t *p = build_packed(&v, 2);
    cr_expect_eq(p->op_count, 2 * (5 + 1));
    cr_expect_eq(p->footprint.gpu_parameters_bytes, 3 * DENSE + 4u * 640);
    lspo_plan_destroy(p);
}

/* ---- OPT-66B on an RTX 4080: 5 blocks on the GPU, 8 on the host, 51 on the SSD; a pass of one token ---- */

static double pass_s(const lspo_endor_values_t *values, double expand_Bps, double rate)
{
    const lspo_model_t m = {.name = "opt-66b",
                            .family = LSPO_FAMILY_GPT,
                            .block_count = 64,
                            .width = 9216,
                            .head_count = 72,
                            .kv_head_count = 72,
                            .mlp_width = 36864,
                            .vocabulary = 50272,
                            .max_sequence = 2048,
                            .tied_head = true};
    const lspo_policy_t *policy = NULL;
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_workload_t w;
    double time_s = 0;
    lspo_workload_default(&w);
    w.batch = 1;
    w.sequence = 32;
    w.iterations = 4;
    *lspo_endor_values_edit(&w) = *values;
    cr_assert_eq(lspo_machine_find("rtx4080", &machine), LSPO_OK);
    machine.gpu.expand_Bps = expand_Bps;
    machine.link.h2d_Bps = rate * 10.2e9; /* the layer of 2.04 GB takes a second: 80 % from the SSD, 20 % on the link */
    machine.ssd.read_Bps = rate * 2.55e9;
    cr_assert_eq(lspo_policy_find_any("endor", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_pace_of(plan, &machine, &time_s), LSPO_OK);
    lspo_plan_destroy(plan);
    return time_s;
}

/* 8 dense blocks are 16.3 GB, 14 packed ones 16.1 GB.  Expansion at 46 GB/s of dense weights, which is 72 GB/s of what
 * it reads and writes. */
Test(endor, published_passes_within_a_tenth)
{
    static const struct {
        lspo_weight_format_t format;
        double host_weights;
        bool direct;
        double published_s;
    } cases[] = {{LSPO_WEIGHTS_DENSE, 16.4e9, false, 54},
                 {LSPO_WEIGHTS_BITMAP, 9.2e9, false, 35.8}, /* 8 packed blocks */
                 {LSPO_WEIGHTS_BITMAP, 16.4e9, false, 31.8},
                 {LSPO_WEIGHTS_BITMAP, 16.4e9, true, 24.2}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const lspo_endor_values_t v = {.sparsity = 0.5,
                                       .weight_format = cases[k].format,
                                       .gpu_blocks = 5,
                                       .host_weights = cases[k].host_weights,
                                       .weight_slots = 1,
                                       .direct = cases[k].direct};
        const double time_s = pass_s(&v, 72e9, 1);
        cr_expect_float_eq(time_s / cases[k].published_s, 1, 0.1, "%.1f s, published %.1f s", time_s,
                           cases[k].published_s);
        if (k == 1)
            cr_expect_lt(pass_s(&v, 500e9 * 25 / 16, 1), 31, "with an expansion that is hardly seen");
    }
}

/* Where links alone decide, the gain is that in bytes, 16/9; where they take no time, there is none. */
Test(endor, gains_16_ninths_on_a_slow_link_and_nothing_on_a_fast_one)
{
    for (uint32_t slots = 1; slots <= 3; slots++) {
        lspo_endor_values_t v = {.sparsity = 0.5, .weight_format = LSPO_WEIGHTS_DENSE, .weight_slots = slots};
        const double slow = pass_s(&v, 1e18, 0.01), fast = pass_s(&v, 1e18, 1e5);
        v.weight_format = LSPO_WEIGHTS_BITMAP;
        cr_expect_float_eq(slow / pass_s(&v, 1e18, 0.01), 16.0 / 9, 0.01);
        cr_expect_float_eq(fast / pass_s(&v, 1e18, 1e5), 1, 0.02);
        v.weight_format = LSPO_WEIGHTS_CSR; /* 32 (1 - z) bits: as dense */
        cr_expect_float_eq(slow / pass_s(&v, 1e18, 0.01), 1, 0.01);
    }
}
