/* Timelines, traffic and memory of plans with --swap-activations, worked out by hand; see tests/timeline.h.  SWAP_OUT
 * and SWAP_IN take 3. */
#include "plan/policies/badam.h"
#include "sim/memory.h"
#include "tests/timeline.h"

enum { BLOCKS = 6 };

static lspo_workload_t swapping(uint32_t iterations, uint32_t blocks)
{
    lspo_workload_t w = small_workload(iterations);
    w.swap_activations = blocks;
    return w;
}

/* Two of three blocks fit.  Block 1 leaves 2-5 behind FWD1 0-2; FWD2 2-4; FWD3 waits for its place, 5-7.  BWD3 7-11
 * gives its place back: SWAP_IN1 11-14 beside BWD2 11-15; BWD1 15-19. */
Test(swap_activations, one_block)
{
    lspo_workload_t w = swapping(2, 1);
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_SWAP_OUT, 1, 0, 2, 5);
    expect(t, LSPO_OP_FWD, 2, 0, 2, 4);
    expect(t, LSPO_OP_FWD, 3, 0, 5, 7);
    expect(t, LSPO_OP_BWD, 3, 0, 7, 11);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 11, 14);
    expect(t, LSPO_OP_BWD, 2, 0, 11, 15);
    expect(t, LSPO_OP_BWD, 1, 0, 15, 19);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 21, 22);
    expect(t, LSPO_OP_SWAP_OUT, 1, 1, 24, 27);
    cr_expect_null(find_variant(t, LSPO_OP_SWAP_OUT, 2, 0, LSPO_VARIANT_ACTIVATIONS));
    done(t, p);
}

/* One place: every copy blocks the GPU.  FWD1 0-2, out 2-5, FWD2 5-7, out 7-10, FWD3 10-12, BWD3 12-16; in 16-19, BWD2
 * 19-23, in 23-26, BWD1 26-30. */
Test(swap_activations, one_place)
{
    lspo_workload_t w = swapping(1, 2);
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_FWD, 2, 0, 5, 7);
    expect(t, LSPO_OP_SWAP_OUT, 2, 0, 7, 10);
    expect(t, LSPO_OP_FWD, 3, 0, 10, 12);
    expect(t, LSPO_OP_SWAP_IN, 2, 0, 16, 19);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 23, 26);
    expect(t, LSPO_OP_BWD, 1, 0, 26, 30);
    done(t, p);
}

/* RECOMPUTE reads what returns: FWD3 5-7, RECOMPUTE3 7-9, BWD3 9-13, SWAP_IN1 13-16; RECOMPUTE2 13-15, BWD2 15-19,
 * RECOMPUTE1 19-21. */
Test(swap_activations, checkpointing)
{
    lspo_workload_t w = swapping(1, 1);
    w.checkpointing = true;
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 13, 16);
    expect(t, LSPO_OP_BWD, 2, 0, 15, 19);
    expect(t, LSPO_OP_RECOMPUTE, 1, 0, 19, 21);
    done(t, p);
}

/* With sends of 6 RECOMPUTE1 waits for what it reads: SWAP_IN1 from BWD3's end. */
Test(swap_activations, recompute_waits)
{
    durations_t slow = usual;
    lspo_workload_t w = swapping(1, 1);
    slow.ns[LSPO_OP_SWAP_IN] = 20;
    w.checkpointing = true;
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &slow);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 13, 33);
    expect(t, LSPO_OP_RECOMPUTE, 1, 0, 33, 35);
    done(t, p);
}

/* COMPRESS3 11-12 gives the place of block 3 back, not BWD3 7-11. */
Test(swap_activations, compress_gives_the_place_back)
{
    lspo_workload_t w = swapping(1, 1);
    lspo_plan_t *p = build("lsp", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_COMPRESS, 3, 0, 11, 12);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 12, 15);
    done(t, p);
}

/* Each micro-batch swaps: the second's FWD1 19-21 begins when the first has ended. */
Test(swap_activations, accumulation)
{
    lspo_workload_t w = swapping(1, 1);
    w.accumulation = 2;
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_ACTIVATIONS, 1, 0, 2);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_ACTIVATIONS, 1, 0, 11);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_ACTIVATIONS, 1, 1, 21);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_ACTIVATIONS, 1, 1, 30);
    done(t, p);
}

/* lomo --clip goes backward twice: the probe drops what has returned, and the host still has it.  FWD3 5-7, probe of
 * block 3 7-11, of 2 11-15; SWAP_IN1 behind the probe of block 3, 11-14, probe 15-19, NORM 19-20; BWD3 20-24, UPD_GPU3
 * 24-25; SWAP_IN1 again 24-27; BWD2 25-29, UPD_GPU2 29-30, BWD1 30-34. */
Test(swap_activations, probe)
{
    lspo_workload_t w = swapping(1, 1);
    w.clip_norm = 1;
    lspo_plan_t *p = build("lomo", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_PROBE, 1, 0, 11);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_ACTIVATIONS, 1, 0, 24);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 1, 0, 30);
    done(t, p);
}

/* Block 2 is the lowest that trains: block 1 keeps nothing, and nothing of it moves. */
Test(swap_activations, blocks_below_the_trained_one_keep_nothing)
{
    lspo_workload_t w = swapping(3, 2);
    lspo_badam_values_edit(&w)->switch_every = 1;
    lspo_plan_t *p = build("badam", &w);
    uint32_t moved[3][4] = {{0}};
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == LSPO_OP_SWAP_OUT || p->ops[i].kind == LSPO_OP_SWAP_IN)
            moved[p->ops[i].iteration][p->ops[i].layer]++;
    for (uint32_t iteration = 0; iteration < 3; iteration++)
        for (uint32_t layer = 1; layer < 4; layer++)
            cr_expect_eq(moved[iteration][layer],
                         layer <= 2 && layer >= lspo_plan_lowest_trained(p, iteration) ? 2u : 0u, "%u, layer %u",
                         iteration, layer);
    cr_expect_gt(lspo_plan_lowest_trained(p, 1) + lspo_plan_lowest_trained(p, 2), 2u);
    lspo_plan_destroy(p);
}

static lspo_plan_t *build_six(const lspo_policy_t *policy, const lspo_workload_t *w)
{
    lspo_model_t model = three_blocks();
    lspo_plan_t *plan = NULL;
    model.block_count = BLOCKS;
    cr_assert_eq(lspo_plan_build(&model, w, policy, &plan), LSPO_OK, "%s", policy->name);
    return plan;
}

static lspo_workload_t varied(int variant)
{
    lspo_workload_t w = small_workload(2);
    w.checkpointing = variant & 1;
    w.clip_norm = variant & 2;
    w.accumulation = variant & 4 ? 2 : 1;
    w.train_rest = variant & 8 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
    lspo_lsp_values_edit(&w)->check_every = variant & 4 ? 1 : 0;
    return w;
}

static uint64_t peak_of(const lspo_plan_t *plan)
{
    uint64_t gpu_bytes = 0, host_bytes;
    lspo_trace_t *t = play(plan, &usual);
    cr_assert_eq(lspo_memory_replay(plan, t, &gpu_bytes, &host_bytes), LSPO_OK);
    lspo_trace_destroy(t);
    return gpu_bytes;
}

/* Under every policy: what leaves returns, as often as backward reads it; the host has room for it; its ops are served
 * before others of their step; and the GPU's peak does not rise with the number of blocks. */
Test(swap_activations, traffic_and_memory_of_every_policy)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (int variant = 0; variant < 16; variant++) {
            lspo_workload_t w = varied(variant);
            lspo_activations_t a;
            uint64_t before = UINT64_MAX, kept;
            for (w.swap_activations = 0; w.swap_activations < BLOCKS; w.swap_activations += 1 + w.swap_activations) {
                lspo_plan_t *p = build_six(lspo_policy_at(i), &w);
                uint64_t out = 0, in = 0;
                lspo_activations(&p->model, &p->workload, &a);
                kept = a.input_bytes + (w.checkpointing ? 0 : a.saved_bytes);
                for (uint32_t o = 0; o < p->op_count; o++) {
                    const lspo_op_t *op = &p->ops[o];
                    if (!lspo_op_swaps_activations(op))
                        continue;
                    cr_assert_eq(lspo_work_link_bytes(&p->works[op->work]), kept);
                    cr_assert_eq(op->gpu_alloc_bytes + op->gpu_free_bytes, kept);
                    cr_assert_eq(op->priority, lspo_build_priority(op->iteration, 0, p->stage_count));
                    out += op->kind == LSPO_OP_SWAP_OUT;
                    in += op->kind == LSPO_OP_SWAP_IN && op->variant != LSPO_VARIANT_PROBE;
                }
                const char *name = p->policy->name;
                cr_expect_eq(out, in, "%s, variant %d", name, variant);
                cr_expect_eq(out > 0, w.swap_activations > 0, "%s, variant %d", name, variant);
                cr_expect_eq(p->footprint.host_activations_bytes, w.swap_activations * kept);
                uint64_t peak = peak_of(p);
                cr_expect_leq(peak, before, "%s, variant %d, %u blocks", name, variant, w.swap_activations);
                before = peak;
                lspo_plan_destroy(p);
            }
        }
}

/* native holds gradients until its updates.  At BWD of block s there are s blocks' activations and B - s + 1 gradients
 * without swapping, most at s = B where a gradient is the smaller; with K places min(s, K) of them, most at s = K: N
 * activations less and N gradients more.  A block has 12 x 16^2 weights. */
Test(swap_activations, peak_of_native)
{
    enum { GRADIENT_BYTES = 12 * 256 * 4 };
    lspo_workload_t w = small_workload(2);
    const lspo_policy_t *native = NULL;
    w.batch = 8;
    cr_assert_eq(lspo_policy_find("native", &native), LSPO_OK);
    lspo_plan_t *whole = build_six(native, &w);
    lspo_activations_t a;
    lspo_activations(&whole->model, &w, &a);
    for (w.swap_activations = 1; w.swap_activations < BLOCKS - 1; w.swap_activations++) {
        lspo_plan_t *p = build_six(native, &w);
        uint64_t saved_bytes = w.swap_activations * (a.input_bytes + a.saved_bytes - GRADIENT_BYTES);
        cr_expect_eq(peak_of(p), peak_of(whole) - saved_bytes, "%u", w.swap_activations);
        lspo_plan_destroy(p);
    }
    lspo_plan_destroy(whole);
}

/* The GPU needs a place for one block. */
Test(swap_activations, all_blocks_are_refused)
{
    lspo_workload_t w = swapping(1, 3);
    lspo_model_t model = three_blocks();
    const lspo_policy_t *native = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find("native", &native), LSPO_OK);
    cr_expect_eq(lspo_plan_build(&model, &w, native, &plan), LSPO_ERR_INPUT);
}
