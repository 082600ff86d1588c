/* The timeline of each policy, worked out by hand; see tests/timeline.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "plan/policies/zenflow.h"
#include "plan/policy.h"
#include "tests/timeline.h"

/* FWD 0-6, BWD3 6-10, BWD2 10-14, BWD1 14-18, three UPD_GPU 18-21; next FWD1 at 21: 21 ns an iteration. */
Test(policies, native)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build("native", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 20, 21);
    /* FWD1 needs only UPD_GPU1, but the GPU has UPD_GPU2 and 3 of the iteration before in its queue. */
    expect(t, LSPO_OP_FWD, 1, 1, 21, 23);
    expect(t, LSPO_OP_FWD, 1, 2, 42, 44);
    done(t, p);
}

/* D2H3 10-13, D2H2 14-17, D2H1 18-21; UPD starts at 21 with the shallow end: UPD1 21-29, UPD2 29-37, UPD3 37-45;
 * H2D1 29-32, H2D2 37-40, H2D3 45-48; APPLY3 48-49; FWD waits for all: 49 ns an iteration. */
Test(policies, zero)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build("zero", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_D2H, 3, 0, 10, 13);
    expect(t, LSPO_OP_D2H, 1, 0, 18, 21);
    expect(t, LSPO_OP_UPD, 1, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 3, 0, 37, 45);
    expect(t, LSPO_OP_H2D, 1, 0, 29, 32);
    expect(t, LSPO_OP_H2D, 3, 0, 45, 48);
    expect(t, LSPO_OP_APPLY, 1, 0, 32, 33);
    expect(t, LSPO_OP_APPLY, 3, 0, 48, 49);
    expect(t, LSPO_OP_FWD, 1, 1, 49, 51);
    expect(t, LSPO_OP_FWD, 1, 2, 98, 100);
    done(t, p);
}

/* The same until D2H1 18-21.  Iteration 1 starts at once, at 18, with the old weights: FWD 18-24, BWD3 24-28, BWD2
 * 28-32, BWD1 32-36.  Meanwhile UPD1 21-29, UPD2 29-37, UPD3 37-45 with the gradients of iteration 0.  They return when
 * the backward of iteration 1 has left the stage: H2D1 waits for BWD1 (36): 36-39 (alone: UPD2 ends at 37), H2D2 39-42,
 * H2D3 45-48, APPLY3 48-49.  FWD1 of iteration 2 needs only APPLY1 39-40: it starts at 40 (FWD2 waits for APPLY2 42-43:
 * 43-45; FWD3 for APPLY3: 49-51). */
Test(policies, zero_delayed)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build("zero-delayed", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_FWD, 1, 1, 18, 20);
    expect(t, LSPO_OP_BWD, 1, 1, 32, 36);
    expect(t, LSPO_OP_UPD, 1, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 3, 0, 37, 45);
    expect(t, LSPO_OP_H2D, 1, 0, 36, 39);
    expect(t, LSPO_OP_H2D, 3, 0, 45, 48);
    expect(t, LSPO_OP_FWD, 1, 2, 40, 42);
    expect(t, LSPO_OP_FWD, 2, 2, 43, 45);
    expect(t, LSPO_OP_FWD, 3, 2, 49, 51);
    /* Drained: the last gradient is applied too. */
    find(t, LSPO_OP_APPLY, 1, 2);
    done(t, p);
}

/* UPD3 13-21.  At 21 UPD2 (ready since 17) and UPD1 (D2H1 18-21) both wait; last come first served takes UPD1 21-29,
 * then UPD2 29-37.  H2D3 21-24, APPLY3 24-25; H2D1 29-32, APPLY1 32-33, FWD1 33-35; H2D2 37-40, APPLY2 40-41, FWD2
 * 41-43, FWD3 43-45. */
Test(policies, zero_layerwise_serves_the_shallow_first)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("zero-layerwise", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD, 3, 0, 13, 21);
    expect(t, LSPO_OP_UPD, 1, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 2, 0, 29, 37);
    expect(t, LSPO_OP_FWD, 1, 1, 33, 35);
    expect(t, LSPO_OP_FWD, 2, 1, 41, 43);
    expect(t, LSPO_OP_FWD, 3, 1, 43, 45);
    done(t, p);
}

/* First in first out: UPD2 21-29, UPD1 29-37, H2D1 37-40, APPLY1 40-41, FWD 41-47: two ns later than last come
 * first. */
Test(policies, backward_update_is_first_in_first_out)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("backward-update", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD, 2, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 1, 0, 29, 37);
    expect(t, LSPO_OP_FWD, 1, 1, 41, 43);
    expect(t, LSPO_OP_FWD, 3, 1, 45, 47);
    done(t, p);

    set_transition(&w, 0); /* zero-layerwise with no shallow stage is the same schedule */
    p = build("zero-layerwise", &w);
    t = play(p, &usual);
    expect(t, LSPO_OP_FWD, 3, 1, 45, 47);
    done(t, p);
}

/* Small messages: D2H 1, UPD 2, H2D 1.  GPU: FWD 0-6, BWD3 6-10, COMPRESS3 10-11, BWD2 11-15, COMPRESS2 15-16, BWD1
 * 16-20, COMPRESS1 20-21.  D2H3 11-12, UPD3 12-14, H2D3 14-15; APPLY3 is ready at 15, when BWD2 ends.  COMPRESS2 became
 * ready at 15 too, and has the lower id: COMPRESS2 15-16, then APPLY3 and BWD1 (ready at 16): APPLY3 was first, 16-17,
 * and BWD1 moves to 17-21, COMPRESS1 21-22.  D2H2 16-17, UPD2 17-19, H2D2 19-20, APPLY2 waits for BWD1: ready at 20,
 * before COMPRESS1 (21): 21-22; COMPRESS1 22-23.  D2H1 23-24, UPD1 24-26, H2D1 26-27, APPLY1 27-28, FWD1 28. */
Test(policies, lsp)
{
    durations_t d = usual;
    d.ns[LSPO_OP_D2H] = d.ns[LSPO_OP_H2D] = 1;
    d.ns[LSPO_OP_UPD] = 2;
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("lsp", &w);
    lspo_trace_t *t = play(p, &d);
    expect(t, LSPO_OP_COMPRESS, 3, 0, 10, 11);
    expect(t, LSPO_OP_APPLY, 3, 0, 16, 17);
    expect(t, LSPO_OP_BWD, 1, 0, 17, 21);
    expect(t, LSPO_OP_APPLY, 2, 0, 21, 22);
    expect(t, LSPO_OP_COMPRESS, 1, 0, 22, 23);
    expect(t, LSPO_OP_UPD, 1, 0, 24, 26);
    expect(t, LSPO_OP_APPLY, 1, 0, 27, 28);
    expect(t, LSPO_OP_FWD, 1, 1, 28, 30);
    done(t, p);
}

/* Adapters change what ops compute, not when: native's timeline. */
Test(policies, lora)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build("lora", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 20, 21);
    expect(t, LSPO_OP_FWD, 1, 1, 21, 23);
    expect(t, LSPO_OP_FWD, 1, 2, 42, 44);
    for (uint32_t i = 0; i < t->row_count; i++)
        cr_expect_eq(t->rows[i].lane, LSPO_LANE_GPU);
    done(t, p);
}

/* Nor does their being on 4-bit weights; every pass over a block expands its weights. */
Test(policies, lora_on_4_bit_weights)
{
    lspo_workload_t w = small_workload(3);
    lspo_lora_values_edit(&w)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    w.checkpointing = true; /* RECOMPUTE 2: FWD 0-6, RECOMPUTE3 6-8, BWD3 8-12, ..., BWD1 20-24, UPD_GPU 24-27 */
    lspo_plan_t *p = build("lora", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 20, 24);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 26, 27);
    expect(t, LSPO_OP_FWD, 1, 1, 27, 29);
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const lspo_work_t *work = &p->works[op->work];
        bool block = op->layer > 0 && op->layer < 4 && op->kind != LSPO_OP_UPD_GPU, expands = false;
        for (uint32_t k = 0; k < work->kernel_count; k++)
            expands |= work->kernels[k].kernel_class == LSPO_KERNEL_EXPAND;
        cr_expect_eq(expands, block, "%s of layer %u", lspo_op_kind_name((lspo_op_kind_t)op->kind), op->layer);
    }
    done(t, p);
}

/* New bases (PROJECT 5) every second iteration.  FWD 0-6, BWD3 6-10, PROJECT3 10-15, COMPRESS3 15-16, BWD2 16-20,
 * PROJECT2 20-25, COMPRESS2 25-26, BWD1 26-30, PROJECT1 30-35, COMPRESS1 35-36.  All UPD_GPU are ready at 36, each
 * APPLY when its UPD_GPU ends: UPD_GPU1 36-37, 2 37-38, 3 38-39, APPLY1 39-40, 2 40-41, 3 41-42.  Iteration 1 has no
 * PROJECT: FWD 42-48, BWD3 48-52, COMPRESS3 52-53, BWD2 53-57, COMPRESS2 57-58, BWD1 58-62, COMPRESS1 62-63, UPD_GPU
 * 63-66, APPLY 66-69; FWD1 of iteration 2 69-71, FWD to 75, BWD3 75-79, PROJECT3 79-84. */
Test(policies, galore)
{
    durations_t d = usual;
    d.ns[LSPO_OP_PROJECT] = 5;
    lspo_workload_t w = small_workload(3);
    lspo_galore_values_edit(&w)->project_every = 2;
    lspo_plan_t *p = build("galore", &w);
    lspo_trace_t *t = play(p, &d);
    expect(t, LSPO_OP_PROJECT, 3, 0, 10, 15);
    expect(t, LSPO_OP_COMPRESS, 3, 0, 15, 16);
    expect(t, LSPO_OP_PROJECT, 1, 0, 30, 35);
    expect(t, LSPO_OP_COMPRESS, 1, 0, 35, 36);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 36, 37);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 38, 39);
    expect(t, LSPO_OP_APPLY, 1, 0, 39, 40);
    expect(t, LSPO_OP_APPLY, 3, 0, 41, 42);
    expect(t, LSPO_OP_FWD, 1, 1, 42, 44);
    expect(t, LSPO_OP_COMPRESS, 3, 1, 52, 53);
    expect(t, LSPO_OP_APPLY, 3, 1, 68, 69);
    expect(t, LSPO_OP_FWD, 1, 2, 69, 71);
    expect(t, LSPO_OP_PROJECT, 3, 2, 79, 84);
    uint32_t projects = 0;
    for (uint32_t i = 0; i < t->row_count; i++)
        projects += t->rows[i].kind == LSPO_OP_PROJECT;
    cr_expect_eq(projects, 6u, "iterations 0 and 2, three blocks each");
    done(t, p);

    set_rank(&w, 16); /* the width: no weight has a subspace, and there is nothing to project */
    p = build("galore", &w);
    for (uint32_t i = 0; i < p->op_count; i++)
        cr_expect_neq(p->ops[i].kind, LSPO_OP_PROJECT);
    lspo_plan_destroy(p);
}

/* FWD 0-6; each UPD_GPU right behind its BWD: BWD3 6-10, UPD3 10-11, BWD2 11-15, UPD2 15-16, BWD1 16-20, UPD1 20-21: 21
 * an iteration, like native, with one gradient at a time. */
Test(policies, lomo)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("lomo", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 3, 0, 6, 10);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 10, 11);
    expect(t, LSPO_OP_BWD, 2, 0, 11, 15);
    expect(t, LSPO_OP_BWD, 1, 0, 16, 20);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 20, 21);
    expect(t, LSPO_OP_FWD, 1, 1, 21, 23);
    done(t, p);
}

/* Projectors checked every second iteration, PROJECT 5, D2H 1, UPD 2, H2D 1.  A micro-batch of the calibration pass:
 * FWD 6, then BWD 4 and PROJECT 5 of each block, 33 together: the first, 0-33, checks (PROJECT3 10-15), the second is
 * fitted to (PROJECT3 43-48), the third decides (PROJECT3 76-81 and D2H of the projectors 81-82, PROJECT1 94-99).  The
 * step: FWD 99-105, BWD3 105-109, COMPRESS3 109-110, D2H3 110-111, UPD3 111-113, H2D3 113-114; BWD2 110-114.  At 114
 * COMPRESS2 and APPLY3 are ready: COMPRESS2 has the lower id, 114-115, APPLY3 115-116, BWD1 116-120.  D2H2 115-116,
 * UPD2 116-118, H2D2 118-119: APPLY2 120-121, COMPRESS1 121-122, D2H1 122-123, UPD1 123-125, H2D1 125-126, APPLY1
 * 126-127.  Iteration 1: FWD 127-133, BWD3 133-137, COMPRESS3 137-138. */
Test(policies, lsp_calibrates_its_projectors)
{
    durations_t d = usual;
    d.ns[LSPO_OP_D2H] = d.ns[LSPO_OP_H2D] = 1;
    d.ns[LSPO_OP_UPD] = 2;
    d.ns[LSPO_OP_PROJECT] = 5;
    lspo_workload_t w = small_workload(3);
    lspo_lsp_values_edit(&w)->check_every = 2;
    lspo_lsp_values_edit(&w)->fit_batches = 3;
    lspo_plan_t *p = build("lsp", &w);
    lspo_trace_t *t = play(p, &d);
    const struct {
        lspo_op_kind_t kind;
        uint32_t layer;
        lspo_op_variant_t variant;
        uint64_t start_ns;
    } rows[] = {{LSPO_OP_PROJECT, 3, LSPO_VARIANT_NONE, 10},   {LSPO_OP_PROJECT, 3, LSPO_VARIANT_FIT, 43},
                {LSPO_OP_PROJECT, 3, LSPO_VARIANT_DECIDE, 76}, {LSPO_OP_D2H, 3, LSPO_VARIANT_PROJECTORS, 81},
                {LSPO_OP_PROJECT, 1, LSPO_VARIANT_DECIDE, 94}, {LSPO_OP_FWD, 1, LSPO_VARIANT_NONE, 99},
                {LSPO_OP_COMPRESS, 3, LSPO_VARIANT_NONE, 109}, {LSPO_OP_UPD, 3, LSPO_VARIANT_NONE, 111},
                {LSPO_OP_COMPRESS, 2, LSPO_VARIANT_NONE, 114}, {LSPO_OP_APPLY, 3, LSPO_VARIANT_NONE, 115},
                {LSPO_OP_APPLY, 2, LSPO_VARIANT_NONE, 120},    {LSPO_OP_APPLY, 1, LSPO_VARIANT_NONE, 126}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const lspo_trace_row_t *row = find_variant(t, rows[i].kind, rows[i].layer, 0, rows[i].variant);
        cr_assert_not_null(row, "row %zu", i);
        cr_expect_eq(row->start_ns, rows[i].start_ns, "row %zu begins at %lu", i, (unsigned long)row->start_ns);
    }
    /* Of a block's weights 16x48, 16x16, 16x64 and 64x16, d = 8, r = 2: 8 bytes for each of 2 (64 + 32 + 80 + 80). */
    cr_expect_eq(find_variant(t, LSPO_OP_D2H, 3, 0, LSPO_VARIANT_PROJECTORS)->bytes, 8u * 2 * (64 + 32 + 80 + 80));
    expect(t, LSPO_OP_FWD, 1, 1, 127, 129);
    expect(t, LSPO_OP_COMPRESS, 3, 1, 137, 138);
    cr_expect_null(find_variant(t, LSPO_OP_BWD, 3, 1, LSPO_VARIANT_CALIBRATE));
    cr_expect_not_null(find_variant(t, LSPO_OP_BWD, 3, 2, LSPO_VARIANT_CALIBRATE));
    done(t, p);

    w.first_step = 3; /* steps 3, 4, 5 of the training: only the second iteration checks; no bias is above 1 */
    lspo_lsp_values_edit(&w)->bias_threshold = 1;
    p = build("lsp", &w);
    t = play(p, &d);
    cr_expect_null(find_variant(t, LSPO_OP_PROJECT, 1, 0, LSPO_VARIANT_NONE));
    cr_expect_not_null(find_variant(t, LSPO_OP_PROJECT, 1, 1, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_PROJECT, 1, 1, LSPO_VARIANT_FIT));
    cr_expect_null(find_variant(t, LSPO_OP_PROJECT, 1, 2, LSPO_VARIANT_NONE));
    done(t, p);
}

/* As above, with one pair for each shape: the decision of the first block, the last of the pass, is that of all
 * (94-99), the rows go once (99-100), as many bytes as one block's, and every update waits for them.  The new pairs
 * live from the last block's first fit to the first block's decision. */
Test(policies, lsp_sends_pairs_by_shape_once)
{
    durations_t d = usual;
    d.ns[LSPO_OP_D2H] = d.ns[LSPO_OP_H2D] = 1;
    d.ns[LSPO_OP_UPD] = 2;
    d.ns[LSPO_OP_PROJECT] = 5;
    lspo_workload_t w = small_workload(1);
    lspo_lsp_values_edit(&w)->check_every = 2;
    lspo_lsp_values_edit(&w)->fit_batches = 3;
    lspo_lsp_values_edit(&w)->projectors = LSPO_PROJECTORS_SHAPE;
    lspo_plan_t *p = build("lsp", &w);
    lspo_trace_t *t = play(p, &d);
    const lspo_trace_row_t *sent = find_variant(t, LSPO_OP_D2H, 1, 0, LSPO_VARIANT_PROJECTORS);
    cr_assert_not_null(sent);
    cr_expect_eq(sent->start_ns, 99u);
    cr_expect_eq(sent->bytes, 8u * 2 * (64 + 32 + 80 + 80));
    cr_expect_null(find_variant(t, LSPO_OP_D2H, 2, 0, LSPO_VARIANT_PROJECTORS));
    cr_expect_null(find_variant(t, LSPO_OP_D2H, 3, 0, LSPO_VARIANT_PROJECTORS));
    uint32_t updates = 0;
    for (uint32_t id = 0; id < p->op_count; id++) {
        const lspo_op_t *op = &p->ops[id];
        bool waits = false;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            const lspo_op_t *before = &p->ops[p->deps[op->dep_first + i]];
            waits |= before->kind == LSPO_OP_D2H && before->variant == LSPO_VARIANT_PROJECTORS;
        }
        updates += op->kind == LSPO_OP_UPD && waits;
    }
    cr_expect_eq(updates, 3u);
    done(t, p);
}

/* A segment that goes on and has an open end: UPD of the pending gradients 0-8, 8-16, 16-24 (blocks 1, 2, 3) beside
 * FWD 0-6, BWD3 6-10, BWD2 10-14, BWD1 14-18; H2D1 waits for BWD1: 18-21, APPLY1 21-22; H2D2 21-24; H2D3 24-27, APPLY3
 * 27-28.  Iteration 1: FWD1 22-24, FWD2 after APPLY2 (24-25) 25-27, APPLY3 27-28, FWD3 28-30. */
Test(policies, zero_delayed_goes_on_and_leaves_its_last_update)
{
    lspo_workload_t w = small_workload(2);
    w.first_step = 7;
    w.open_end = true;
    lspo_plan_t *p = build("zero-delayed", &w);
    lspo_trace_t *t = play(p, &usual);
    const lspo_trace_row_t *row = find_variant(t, LSPO_OP_UPD, 1, 0, LSPO_VARIANT_PENDING);
    cr_assert_not_null(row);
    cr_expect_eq(row->start_ns, 0u);
    row = find_variant(t, LSPO_OP_APPLY, 3, 0, LSPO_VARIANT_PENDING);
    cr_assert_not_null(row);
    cr_expect_eq(row->start_ns, 27u);
    expect(t, LSPO_OP_FWD, 3, 1, 28, 30);
    cr_expect_not_null(find_variant(t, LSPO_OP_UPD, 1, 0, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_UPD, 1, 1, LSPO_VARIANT_NONE));
    done(t, p);
}

/* With --clip a first backward for the norm: FWD 0-6, BWD3 6-10, BWD2 10-14, BWD1 14-18, NORM 18-19; then BWD3 19-23,
 * UPD3 23-24, BWD2 24-28, UPD2 28-29, BWD1 29-33, UPD1 33-34. */
Test(policies, lomo_clips_with_two_backward_passes)
{
    lspo_workload_t w = small_workload(2);
    w.clip_norm = 1.0;
    lspo_plan_t *p = build("lomo", &w);
    lspo_trace_t *t = play(p, &usual);
    const lspo_trace_row_t *probe = find_variant(t, LSPO_OP_BWD, 1, 0, LSPO_VARIANT_PROBE);
    cr_assert_not_null(probe);
    cr_expect_eq(probe->start_ns, 14u);
    cr_expect_eq(probe->end_ns, 18u);
    expect(t, LSPO_OP_NORM, 4, 0, 18, 19);
    const lspo_trace_row_t *second = find_variant(t, LSPO_OP_BWD, 3, 0, LSPO_VARIANT_NONE);
    cr_assert_not_null(second);
    cr_expect_eq(second->start_ns, 19u);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 23, 24);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 33, 34);
    expect(t, LSPO_OP_FWD, 1, 1, 34, 36);
    done(t, p);

    w.accumulation = 2; /* gradients stay anyway: two FWD-BWD of 18, NORM 36-37, UPD3 37-38, ... no second pass */
    p = build("lomo", &w);
    t = play(p, &usual);
    cr_expect_null(find_variant(t, LSPO_OP_BWD, 1, 0, LSPO_VARIANT_PROBE));
    expect(t, LSPO_OP_NORM, 4, 0, 36, 37);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 39, 40);
    done(t, p);
}

/* One block a step, here: 1 first, then 3, 2, 1.  Step 0: FWD 0-6, BWD 6-18 down to block 1, UPD1 18-19.  Step 1 trains
 * block 3: FWD 19-25, BWD3 25-29, UPD3 29-30.  Step 2, block 2: FWD 30-36, BWD3 36-40 (dx only), BWD2 40-44, UPD2
 * 44-45.  Step 3, block 1 again: FWD 45-51, BWD 51-63, UPD1 63-64. */
Test(policies, badam)
{
    static const uint32_t blocks[] = {1, 3, 2, 1};
    static const uint64_t updates_ns[] = {18, 29, 44, 63};
    lspo_workload_t w = small_workload(4);
    lspo_badam_values_edit(&w)->switch_every = 1;
    lspo_plan_t *p = build("badam", &w);
    lspo_trace_t *t = play(p, &usual);
    for (uint32_t i = 0; i < 4; i++) {
        expect(t, LSPO_OP_UPD_GPU, blocks[i], i, updates_ns[i], updates_ns[i] + 1);
        for (uint32_t block = 1; block <= 3; block++) {
            bool frozen = find_variant(t, LSPO_OP_BWD, block, i, LSPO_VARIANT_FROZEN) != NULL;
            bool whole = find_variant(t, LSPO_OP_BWD, block, i, LSPO_VARIANT_NONE) != NULL;
            cr_expect_eq(frozen, block > blocks[i], "block %u, step %u", block, i);
            cr_expect_eq(whole, block == blocks[i], "block %u, step %u", block, i);
        }
    }
    uint32_t updates = 0;
    for (uint32_t i = 0; i < t->row_count; i++)
        updates += t->rows[i].kind == LSPO_OP_UPD_GPU;
    cr_expect_eq(updates, 4u, "one a step");
    expect(t, LSPO_OP_BWD, 3, 2, 36, 40);
    done(t, p);

    /* The turns belong to the training, not to the plan: step 3 is the second of block 3. */
    lspo_badam_values_edit(&w)->switch_every = 2;
    w.first_step = 3;
    w.iterations = 2;
    p = build("badam", &w);
    cr_expect_eq(lspo_plan_lowest_trained(p, 0), 3u);
    cr_expect_eq(lspo_plan_adam_step(p, 0), 2u);
    cr_expect_eq(lspo_plan_lowest_trained(p, 1), 2u);
    cr_expect_eq(lspo_plan_adam_step(p, 1), 1u);
    lspo_plan_destroy(p);
}

/* With --train-rest the embedding has the first turn, together with the head that is tied to it. */
Test(policies, badam_trains_a_tied_head_with_its_embedding)
{
    static const bool trained[4][5] = {
        {true, false, false, false, true}, {false, false, false, true}, {false, false, true}, {false, true}};
    lspo_workload_t w = small_workload(4);
    lspo_badam_values_edit(&w)->switch_every = 1;
    w.train_rest = LSPO_TRAIN_REST_ON;
    lspo_plan_t *p = build("badam", &w);
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t s = 0; s < 5; s++)
            cr_expect_eq(lspo_plan_trains(p, s, i), trained[i][s], "stage %u, step %u", s, i);
    lspo_plan_destroy(p);
}

static void expect_at(const lspo_trace_row_t *r, uint64_t start, uint64_t end)
{
    cr_assert_not_null(r);
    cr_expect(r->start_ns == start && r->end_ns == end, "%s %u, iteration %u: %lu-%lu, expected %lu-%lu",
              lspo_op_kind_name(r->kind), r->layer, r->iteration, (unsigned long)r->start_ns, (unsigned long)r->end_ns,
              (unsigned long)start, (unsigned long)end);
}

/* Windows of two steps; UPD and accumulating take 2, choosing nothing.  Step 0: FWD 0-6, then a block at a time BWD 4,
 * COMPRESS 1, UPD_GPU 1: BWD3 6-10, COMPRESS3 10-11, UPD_GPU3 11-12, BWD2 12-16, COMPRESS2 16-17, BWD1 18-22, COMPRESS1
 * 22-23, UPD_GPU1 23-24: 24 a step.  D2H3 11-14, accumulated 14-16.  The window ends with step 1, 24-48: COMPRESS3
 * 34-35, D2H3 35-38, accumulated 38-40, and then, beside what follows, UPD3 40-42; D2H1 47-50, accumulated 50-52, UPD1
 * 52-54.  Steps 2 and 3 run to 96.  H2D3 waits for COMPRESS3 of step 3, 82-83: 83-86, H2D2 89-92, H2D1 95-98.  The GPU
 * does what belongs to step 3 first: APPLY3 96-97, APPLY2 97-98, APPLY1 98-99; FWD1 of step 4 99-101. */
Test(policies, zenflow)
{
    durations_t d = usual;
    d.ns[LSPO_OP_UPD] = 2;
    lspo_workload_t w = small_workload(5);
    lspo_zenflow_values_edit(&w)->update_every = 2;
    lspo_zenflow_values_edit(&w)->select_every = 4;
    lspo_plan_t *p = build("zenflow", &w);
    lspo_trace_t *t = play(p, &d);
    expect(t, LSPO_OP_COMPRESS, 3, 0, 10, 11);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 23, 24);
    expect(t, LSPO_OP_D2H, 3, 0, 11, 14);
    expect_at(find_variant(t, LSPO_OP_UPD, 3, 0, LSPO_VARIANT_ACCUMULATE), 14, 16);
    expect_at(find_variant(t, LSPO_OP_UPD, 3, 1, LSPO_VARIANT_ACCUMULATE), 38, 40);
    expect_at(find_variant(t, LSPO_OP_UPD, 3, 2, LSPO_VARIANT_NONE), 40, 42);
    expect_at(find_variant(t, LSPO_OP_UPD, 1, 2, LSPO_VARIANT_NONE), 52, 54);
    expect_at(find_variant(t, LSPO_OP_H2D, 3, 4, LSPO_VARIANT_NONE), 83, 86);
    expect_at(find_variant(t, LSPO_OP_H2D, 1, 4, LSPO_VARIANT_NONE), 95, 98);
    expect_at(find_variant(t, LSPO_OP_APPLY, 1, 4, LSPO_VARIANT_NONE), 98, 99);
    expect(t, LSPO_OP_FWD, 1, 3, 72, 74);
    expect(t, LSPO_OP_FWD, 1, 4, 99, 101);
    cr_expect_null(find_variant(t, LSPO_OP_UPD, 1, 1, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_UPD, 1, 3, LSPO_VARIANT_NONE));
    cr_expect_not_null(find_variant(t, LSPO_OP_PROJECT, 1, 4, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_PROJECT, 1, 2, LSPO_VARIANT_NONE));
    /* Step 4 is the last: the window of steps 2 and 3, then its own. */
    cr_expect_not_null(find_variant(t, LSPO_OP_APPLY, 1, 4, LSPO_VARIANT_DRAIN));
    cr_expect_not_null(find_variant(t, LSPO_OP_UPD, 1, 4, LSPO_VARIANT_DRAIN_LAST));
    cr_expect_not_null(find_variant(t, LSPO_OP_APPLY, 1, 4, LSPO_VARIANT_DRAIN_LAST));
    done(t, p);

    /* BWD1 and COMPRESS1 end at 21; NORM 21-22, UPD_GPU 22-25; the scalar is behind D2H1: 21-24, 24-27. */
    w.clip_norm = 1;
    w.iterations = 1;
    p = build("zenflow", &w);
    t = play(p, &d);
    expect(t, LSPO_OP_NORM, 4, 0, 21, 22);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 22, 23);
    expect_at(find_variant(t, LSPO_OP_UPD, 3, 0, LSPO_VARIANT_ACCUMULATE), 27, 29);
    done(t, p);

    lspo_model_t m = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_zenflow_values_edit(&w)->select_every = 3;
    p = NULL;
    cr_assert_eq(lspo_policy_find("zenflow", &policy), LSPO_OK);
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &p), LSPO_ERR_INPUT);
    cr_expect_null(p);
}

/* Two slots each for parameters and for state; swaps take 3 each way, FWD 2, BWD 4, UPD_GPU 1.  "in" brings parameters,
 * a dash marks their second coming, "state" the optimizer's.
 *     H2D   in1 0-3, in2 3-6, in3 6-9 (its slot was FWD1's, free at 5), in3' 9-12 (FWD2's, free at 8), in2' 12-15
 *           (FWD3's, free at 11, before state3, which follows in3' at 12), state3 15-18, state2 18-21 (behind in2' at
 *           15)
 *     GPU   FWD1 3-5, FWD2 6-8, FWD3 9-11, BWD3 12-16, BWD2 16-20 (ready at 16; UPD_GPU3 waits for state3 until 18),
 *           UPD_GPU3 20-21, UPD_GPU2 21-22
 *     D2H   parameters3 21-24, state3 24-27 (ready at 21), parameters2 27-30 (ready at 22), state2 30-33
 *     H2D   in1' takes the slot that parameters3 left at 24: 24-27; BWD1 27-31; state1 takes state3's, free at 27:
 *           27-30; UPD_GPU1 31-32, parameters1 33-36 */
Test(policies, swap)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("swap", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_FWD, 3, 0, 9, 11);
    expect(t, LSPO_OP_BWD, 3, 0, 12, 16);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 20, 21);
    expect(t, LSPO_OP_UPD_GPU, 2, 0, 21, 22);
    expect(t, LSPO_OP_SWAP_OUT, 3, 0, 21, 24);
    expect(t, LSPO_OP_SWAP_OUT, 2, 0, 27, 30);
    expect(t, LSPO_OP_BWD, 1, 0, 27, 31);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 31, 32);
    expect(t, LSPO_OP_SWAP_OUT, 1, 0, 33, 36);
    done(t, p);
}

/* ---- lsp, --adam-basis eigen, in either lane ----
 * Renewals of step 0 follow its last UPD, deepest first.  With --basis-lane gpu T goes up behind each, and COMPRESS1 of
 * step 1 waits for its own; with cpu it is 62-63, the rest is the same.
 *     GPU  FWD 0-6 BWD3 6-10 C3 10-11 BWD2 11-15 C2 15-16 BWD1 16-20 C1 20-21 A3 25-26 A2 33-34 A1 41-42
 *          FWD 42-48 BWD3 48-52 C3 52-53 BWD2 53-57 C2 57-58 BWD1 58-62 C1 65-66
 *     D2H  3 11-14  2 16-19  1 21-24                             3 53-56  2 58-61  1 66-69
 *     CPU  3 14-22  2 22-30  1 30-38  renew: 3 38-46 2 46-54 1 54-62     2 62-70  1 70-78  3 78-86
 *     H2D  3 22-25  2 30-33  1 38-41      T: 3 46-49 2 54-57 1 62-65 */
static void expect_start(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t block, uint32_t iteration,
                         lspo_op_variant_t variant, uint64_t start)
{
    const lspo_trace_row_t *row = find_variant(t, kind, block, iteration, variant);
    cr_assert_not_null(row);
    cr_expect_eq(row->start_ns, start, "%s%u of step %u at %lu, not %lu", lspo_op_kind_name(kind), block, iteration,
                 (unsigned long)row->start_ns, (unsigned long)start);
}

static void expect_block(const lspo_trace_t *t, bool gpu, uint32_t block)
{
    static const uint64_t updated[2][4] = {{0, 30, 22, 14}, {0, 70, 62, 78}}, renewed[] = {0, 54, 46, 38};
    const uint64_t compressed[2][4] = {{0, 20, 15, 10}, {0, gpu ? 65 : 62, 57, 52}};
    for (uint32_t i = 0; i < 2; i++) {
        expect_start(t, LSPO_OP_UPD, block, i, LSPO_VARIANT_NONE, updated[i][block]);
        expect_start(t, LSPO_OP_COMPRESS, block, i, LSPO_VARIANT_NONE, compressed[i][block]);
    }
    expect_start(t, LSPO_OP_UPD, block, 0, LSPO_VARIANT_RENEW, renewed[block]);
    cr_expect_null(find_variant(t, LSPO_OP_UPD, block, 1, LSPO_VARIANT_RENEW));
    cr_expect_null(find_variant(t, LSPO_OP_H2D, block, 1, LSPO_VARIANT_RENEW));
    const lspo_trace_row_t *copy = find_variant(t, LSPO_OP_H2D, block, 0, LSPO_VARIANT_RENEW);
    cr_assert_eq(copy != NULL, gpu);
    if (!gpu)
        return;
    cr_expect_eq(copy->start_ns, renewed[block] + 8, "T of block %u at %lu", block, (unsigned long)copy->start_ns);
    cr_expect_eq(copy->bytes, 4 * 2 * 8 * 8 * sizeof(float));
}

Test(policies, lsp_renews_behind_its_updates)
{
    for (int gpu = 0; gpu < 2; gpu++) {
        lspo_workload_t w = small_workload(2);
        lspo_lsp_values_edit(&w)->adam_basis = LSPO_ADAM_BASIS_EIGEN;
        lspo_lsp_values_edit(&w)->basis_lane = gpu ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU;
        lspo_plan_t *plan = build("lsp", &w);
        lspo_trace_t *t = play(plan, &usual);
        for (uint32_t block = 1; block <= 3; block++)
            expect_block(t, gpu, block);
        done(t, plan);
    }
}

/* A step that checks projectors is the CPU's, and its T goes up, be it renewed or not. */
Test(policies, lsp_that_checks_projectors_turns_on_the_cpu)
{
    lspo_workload_t w = small_workload(6);
    lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&w);
    lsp->adam_basis = LSPO_ADAM_BASIS_EIGEN;
    lsp->basis_lane = LSPO_BASIS_LANE_GPU;
    lsp->check_every = 4;
    lsp->bias_threshold = 0;
    lspo_plan_t *plan = build("lsp", &w);
    lspo_trace_t *t = play(plan, &usual);
    double flop[2] = {0, 0};
    for (uint32_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->kind == LSPO_OP_UPD && op->variant == LSPO_VARIANT_NONE && op->layer == 1 && op->iteration >= 4)
            flop[op->iteration - 4] = lspo_work_flop(&plan->works[op->work]);
    }
    cr_expect(lspo_plan_checks_projectors(plan, 4) && !lspo_plan_checks_projectors(plan, 5));
    /* Four products more of 2 x 8 x 8 x 8 for each of four weights. */
    cr_expect_eq(flop[0] - flop[1], 4 * 4 * 2 * 8 * 8 * 8);
    for (uint32_t block = 1; block <= 3; block++) {
        cr_expect_null(find_variant(t, LSPO_OP_UPD, block, 4, LSPO_VARIANT_RENEW));
        cr_expect_not_null(find_variant(t, LSPO_OP_H2D, block, 4, LSPO_VARIANT_RENEW));
        cr_expect_null(find_variant(t, LSPO_OP_H2D, block, 5, LSPO_VARIANT_RENEW));
    }
    done(t, plan);
}
