/* Timelines, traffic and memory of hybrid plans, worked out by hand; see tests/timeline.h.  --native-layers: layer 0 is
 * the embedding, which is not trained there, so 2 native layers are block 1.  --chunk-bytes: two blocks of 3 parts.
 * --speculate-clip: UPD 8, and nothing or 8 again behind the norm. */
#include "plan/chunks.h"
#include "tests/timeline.h"

static const char *const policies[] = {"zero", "zero-delayed", "zero-layerwise", "backward-update", "lsp", "lsp-paper"};
enum { POLICIES = sizeof policies / sizeof policies[0] };

static lspo_plan_t *build_native(const char *name, uint32_t layers, lspo_workload_t *w)
{
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    own_value(policy, w, "native-layers", layers);
    return build(name, w);
}

/* D2H3 10-13, D2H2 14-17; BWD1 14-18, UPD_GPU1 18-19.  The CPU begins when D2H2 has ended, 4 earlier than with D2H1 of
 * zero: UPD2 17-25, UPD3 25-33, H2D3 33-36, APPLY3 36-37.  The next forward waits for all. */
Test(native_layers, zero)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build_native("zero", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_D2H, 2, 0, 14, 17);
    expect(t, LSPO_OP_UPD, 2, 0, 17, 25);
    expect(t, LSPO_OP_UPD, 3, 0, 25, 33);
    expect(t, LSPO_OP_APPLY, 3, 0, 36, 37);
    expect(t, LSPO_OP_FWD, 1, 1, 37, 39);
    cr_expect_null(find_variant(t, LSPO_OP_D2H, 1, 0, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_UPD, 1, 0, LSPO_VARIANT_NONE));
    done(t, p);
}

/* The next forward begins while the CPU has two blocks to do: FWD1 19-21.  UPD3 13-21, UPD2 21-29, H2D2 29-32; APPLY3
 * 24-25, APPLY2 32-33, FWD2 33-35, FWD3 35-37. */
Test(native_layers, zero_layerwise)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build_native("zero-layerwise", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_FWD, 1, 1, 19, 21);
    expect(t, LSPO_OP_UPD, 3, 0, 13, 21);
    expect(t, LSPO_OP_UPD, 2, 0, 21, 29);
    expect(t, LSPO_OP_APPLY, 3, 0, 24, 25);
    expect(t, LSPO_OP_APPLY, 2, 0, 32, 33);
    expect(t, LSPO_OP_FWD, 3, 1, 35, 37);
    done(t, p);
}

/* The norm is of all gradients: NORM 18-19, UPD_GPU1 19-20; its scalar 19-22, then UPD2 22-30, UPD3 30-38,
 * last in, first out. */
Test(native_layers, clipping)
{
    lspo_workload_t w = small_workload(2);
    w.clip_norm = 1;
    lspo_plan_t *p = build_native("zero-layerwise", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 19, 20);
    expect(t, LSPO_OP_UPD, 2, 0, 22, 30);
    expect(t, LSPO_OP_UPD, 3, 0, 30, 38);
    expect(t, LSPO_OP_FWD, 1, 1, 20, 22);
    done(t, p);
}

/* The native block is updated in its own step, the others one step late: UPD2 17-25, UPD3 25-33, and H2D3 waits for it,
 * H2D2 for BWD2 of the next step 29-33.  UPD_GPU1 18-19 is before FWD1 19-21; that of the next step, whose BWD1 is
 * 33-37, comes behind APPLY3 37-38. */
Test(native_layers, zero_delayed)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build_native("zero-delayed", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_FWD, 1, 1, 19, 21);
    expect(t, LSPO_OP_UPD, 2, 0, 17, 25);
    expect(t, LSPO_OP_UPD, 3, 0, 25, 33);
    expect(t, LSPO_OP_BWD, 2, 1, 29, 33);
    expect(t, LSPO_OP_H2D, 3, 0, 33, 36);
    expect(t, LSPO_OP_H2D, 2, 0, 36, 39);
    expect(t, LSPO_OP_APPLY, 3, 0, 37, 38);
    expect(t, LSPO_OP_UPD_GPU, 1, 1, 38, 39);
    done(t, p);
}

/* COMPRESS3 10-11, D2H3 11-14, UPD3 14-22; BWD2 11-15, COMPRESS2 15-16, D2H2 16-19, UPD2 22-30; BWD1 16-20 forms the
 * full gradient, UPD_GPU1 20-21, FWD1 21-23; H2D2 30-33, APPLY2 33-34. */
Test(native_layers, lsp)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build_native("lsp", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_COMPRESS, 2, 0, 15, 16);
    expect(t, LSPO_OP_BWD, 1, 0, 16, 20);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 20, 21);
    expect(t, LSPO_OP_FWD, 1, 1, 21, 23);
    expect(t, LSPO_OP_UPD, 2, 0, 22, 30);
    expect(t, LSPO_OP_APPLY, 2, 0, 33, 34);
    cr_expect_null(find_variant(t, LSPO_OP_COMPRESS, 1, 0, LSPO_VARIANT_NONE));
    done(t, p);
}

/* Between fields there may be anything. */
static bool are_alike(const lspo_kernel_t *a, const lspo_kernel_t *b)
{
    bool same_shape = a->m == b->m && a->n == b->n && a->k == b->k && a->layout == b->layout;
    bool same_update = a->elements == b->elements && a->of_elements == b->of_elements && a->state == b->state &&
                       a->weights == b->weights;
    bool same_bytes = a->bytes == b->bytes && a->far_bytes == b->far_bytes;
    return a->kernel_class == b->kernel_class && a->count == b->count && a->adapter == b->adapter && same_shape &&
           same_update && same_bytes && memcmp(&a->flop, &b->flop, sizeof a->flop) == 0 &&
           memcmp(&a->inner_flop, &b->inner_flop, sizeof a->inner_flop) == 0;
}

/* All layers are native: its ops, at its times, on its memory. */
Test(native_layers, all_are_native)
{
    for (int i = 0; i < POLICIES; i++)
        for (int variant = 0; variant < 8; variant++) {
            lspo_workload_t w = small_workload(3);
            w.clip_norm = variant & 1;
            w.accumulation = variant & 2 ? 2 : 1;
            w.train_rest = variant & 4 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
            w.precision = w.transfer = variant & 4 ? LSPO_BF16 : LSPO_FP32;
            lspo_plan_t *p = build_native(policies[i], 5, &w), *native = build("native", &w);
            lspo_trace_t *t = play(p, &usual), *on_gpu = play(native, &usual);
            cr_assert_eq(t->row_count, on_gpu->row_count, "%s, variant %d", policies[i], variant);
            for (uint32_t r = 0; r < t->row_count; r++)
                cr_assert(t->rows[r].kind == on_gpu->rows[r].kind && t->rows[r].layer == on_gpu->rows[r].layer &&
                              t->rows[r].start_ns == on_gpu->rows[r].start_ns,
                          "%s, variant %d, row %u", policies[i], variant, r);
            for (uint32_t o = 0; o < p->op_count; o++) {
                const lspo_work_t *work = &p->works[p->ops[o].work], *alike = &native->works[native->ops[o].work];
                cr_assert_eq(work->kernel_count, alike->kernel_count, "%s, variant %d, op %u", policies[i], variant, o);
                for (uint32_t k = 0; k < work->kernel_count; k++)
                    cr_assert(are_alike(&work->kernels[k], &alike->kernels[k]), "%s, op %u", policies[i], o);
                cr_assert_eq(p->ops[o].gpu_alloc_bytes, native->ops[o].gpu_alloc_bytes);
                cr_assert_eq(p->ops[o].gpu_free_bytes, native->ops[o].gpu_free_bytes);
            }
            cr_assert_eq(p->gpu_static_bytes, native->gpu_static_bytes, "%s, variant %d", policies[i], variant);
            cr_assert_eq(p->host_static_bytes, 0u);
            done(on_gpu, native);
            done(t, p);
        }
}

/* Block 1 has its m, v and master on the GPU, and a gradient of 2 bytes without a copy for the link; the others have
 * m, v, master and a message of 4 bytes on the host.  A block has 12 x 16^2 weights. */
Test(native_layers, memory_and_traffic)
{
    enum { BLOCK = 12 * 256 };
    lspo_workload_t w = small_workload(1);
    w.precision = LSPO_BF16;
    lspo_plan_t *p = build_native("zero-layerwise", 2, &w);
    const lspo_footprint_t *f = &p->footprint;
    uint64_t sent_bytes = 0, kept_bytes = 0;
    cr_expect_eq(f->gpu_optimizer_bytes, 12u * BLOCK);
    cr_expect_eq(f->host_optimizer_bytes, 2u * 8 * BLOCK);
    cr_expect_eq(f->host_master_bytes, 2u * 4 * BLOCK);
    cr_expect_eq(f->host_gradients_bytes, 2u * 4 * BLOCK);
    for (uint32_t i = 0; i < p->op_count; i++) {
        if (lspo_op_kind_lane(p->ops[i].kind) == LSPO_LANE_D2H)
            sent_bytes += lspo_work_link_bytes(&p->works[p->ops[i].work]);
        if (p->ops[i].kind == LSPO_OP_UPD_GPU)
            kept_bytes += p->ops[i].gpu_free_bytes;
    }
    cr_expect_eq(sent_bytes, 2u * 4 * BLOCK);
    cr_expect_eq(kept_bytes, 2u * BLOCK);
    lspo_plan_destroy(p);
}

/* The first layers beside the last ones: the CPU has block 2 alone. */
Test(native_layers, beside_cpu_share)
{
    lspo_workload_t w = small_workload(2);
    lspo_zero_values_edit(&w)->cpu_share = 0.5;
    lspo_plan_t *p = build_native("zero", 2, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 18, 19);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 19, 20);
    expect(t, LSPO_OP_UPD, 2, 0, 17, 25);
    expect(t, LSPO_OP_FWD, 1, 1, 29, 31);
    done(t, p);
}

/* With checks every block but the first has projectors: its activations go with its BWD, a shared pair is block 2's. */
Test(native_layers, checks_of_projectors)
{
    for (int shape = 0; shape < 2; shape++) {
        lspo_workload_t w = small_workload(2);
        lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&w);
        lsp->check_every = 1;
        lsp->projectors = shape ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        lspo_plan_t *p = build_native("lsp", 2, &w);
        uint32_t projects = 0, sends = 0;
        for (uint32_t i = 0; i < p->op_count; i++) {
            projects += p->ops[i].kind == LSPO_OP_PROJECT;
            sends += p->ops[i].kind == LSPO_OP_D2H && p->ops[i].variant == LSPO_VARIANT_PROJECTORS;
            cr_expect(p->ops[i].kind != LSPO_OP_PROJECT || p->ops[i].layer > 1);
        }
        cr_expect_eq(projects, 2u * 8 * 2); /* steps, micro-batches, blocks */
        cr_expect_eq(sends, shape ? 2u : 4u);
        lspo_plan_destroy(p);
    }
}

/* ---- --chunk-bytes ---- */

static lspo_plan_t *build_chunks(const char *name, uint32_t width, double bytes)
{
    lspo_model_t model = three_blocks();
    lspo_workload_t w = small_workload(2);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    model.block_count = 2;
    model.width = width;
    model.mlp_width = 4 * width;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    own_value(policy, &w, "chunk-bytes", bytes);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    return plan;
}

/* 12 x 64^2 weights in fp32 are 3 parts of 64 KiB. */
enum { PARTS = 3, WIDTH = 64, PART_BYTES = 64 * 1024 };

/* Of a part. */
static const durations_t of_parts = {.ns = {[LSPO_OP_FWD] = 2,
                                            [LSPO_OP_BWD] = 4,
                                            [LSPO_OP_D2H] = 1,
                                            [LSPO_OP_UPD] = 3,
                                            [LSPO_OP_H2D] = 1,
                                            [LSPO_OP_APPLY] = 1}};

static void expect_parts(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t layer, const uint64_t starts[PARTS])
{
    for (uint32_t part = 0; part < PARTS; part++)
        expect_micro(t, kind, LSPO_VARIANT_NONE, layer, part, starts[part]);
}

/* BWD2 4-8, BWD1 8-12.  UPD2 begins with its first part, and before its last part the urgent block 1 overtakes.
 *  FWD1 of the next step begins at 26; with whole messages (D2H1 12-15, UPD1 20-29, H2D1 29-32) it could not before
 * 33. */
Test(chunk_bytes, zero_layerwise)
{
    lspo_plan_t *p = build_chunks("zero-layerwise", WIDTH, PART_BYTES);
    lspo_trace_t *t = play(p, &of_parts);
    expect_parts(t, LSPO_OP_D2H, 2, (uint64_t[]){8, 9, 10});
    expect_parts(t, LSPO_OP_D2H, 1, (uint64_t[]){12, 13, 14});
    expect_parts(t, LSPO_OP_UPD, 2, (uint64_t[]){9, 12, 24});
    expect_parts(t, LSPO_OP_UPD, 1, (uint64_t[]){15, 18, 21});
    expect_parts(t, LSPO_OP_H2D, 2, (uint64_t[]){12, 15, 27});
    expect_parts(t, LSPO_OP_H2D, 1, (uint64_t[]){18, 21, 24});
    expect_parts(t, LSPO_OP_APPLY, 2, (uint64_t[]){13, 16, 28});
    expect_parts(t, LSPO_OP_APPLY, 1, (uint64_t[]){19, 22, 25});
    expect(t, LSPO_OP_FWD, 1, 1, 26, 28);
    expect(t, LSPO_OP_FWD, 2, 1, 29, 31);
    done(t, p);
}

/* First in, first out: nothing overtakes. */
Test(chunk_bytes, backward_update)
{
    lspo_plan_t *p = build_chunks("backward-update", WIDTH, PART_BYTES);
    lspo_trace_t *t = play(p, &of_parts);
    expect_parts(t, LSPO_OP_UPD, 2, (uint64_t[]){9, 12, 15});
    expect_parts(t, LSPO_OP_UPD, 1, (uint64_t[]){18, 21, 24});
    expect_parts(t, LSPO_OP_H2D, 1, (uint64_t[]){21, 24, 27});
    expect(t, LSPO_OP_FWD, 1, 1, 29, 31);
    done(t, p);
}

/* No part is updated before the last has arrived, at 15; the first returns while the second is updated. */
Test(chunk_bytes, zero)
{
    lspo_plan_t *p = build_chunks("zero", WIDTH, PART_BYTES);
    lspo_trace_t *t = play(p, &of_parts);
    expect_parts(t, LSPO_OP_UPD, 1, (uint64_t[]){15, 18, 21});
    expect_parts(t, LSPO_OP_UPD, 2, (uint64_t[]){24, 27, 30});
    expect_parts(t, LSPO_OP_H2D, 1, (uint64_t[]){18, 21, 24});
    expect_parts(t, LSPO_OP_H2D, 2, (uint64_t[]){27, 30, 33});
    expect(t, LSPO_OP_FWD, 1, 1, 35, 37);
    done(t, p);
}

/* Two blocks of 12 x 48^2 = 27648 weights, of which a part has 16384: all of it crosses, is updated once, and at
 * most one part of a message waits on the GPU for its APPLY. */
Test(chunk_bytes, parts_of_unequal_size)
{
    enum { ELEMENTS = 27648, PART = 16384 };
    lspo_plan_t *p = build_chunks("zero-layerwise", 48, 100000); /* 25000 elements: one grain */
    uint64_t sent = 0, returned = 0, updated = 0, landed = 0, freed = 0;
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const lspo_work_t *work = &p->works[op->work];
        if (op->kind == LSPO_OP_D2H) {
            sent += lspo_work_link_bytes(work);
            freed += op->gpu_free_bytes;
            cr_expect_eq(lspo_work_link_bytes(work), 4u * (op->micro == 0 ? PART : ELEMENTS - PART));
            cr_expect_eq(op->gpu_free_bytes, op->micro == 0 ? 0u : 4u * ELEMENTS);
        } else if (op->kind == LSPO_OP_H2D) {
            returned += lspo_work_link_bytes(work);
            landed = op->gpu_alloc_bytes > landed ? op->gpu_alloc_bytes : landed;
        } else if (op->kind == LSPO_OP_UPD) {
            updated += work->kernels[0].elements;
            cr_expect_eq(work->kernels[0].of_elements, (uint64_t)ELEMENTS);
        }
    }
    cr_expect_eq(sent, 2u * 2 * 4 * ELEMENTS);
    cr_expect_eq(returned, sent);
    cr_expect_eq(freed, sent);
    cr_expect_eq(updated, 2u * 2 * ELEMENTS);
    cr_expect_eq(landed, 4u * PART);
    lspo_plan_destroy(p);
}

/* Whole messages by default and where the chunk is larger; never more parts than an op can number, and no element is
 * lost. */
Test(chunk_bytes, counts)
{
    static const uint64_t sizes[] = {1, 16384, 16385, 1000000, UINT64_C(1) << 31, UINT64_C(1) << 40};
    lspo_workload_t usual_workload = small_workload(1);
    lspo_plan_t *whole = build("zero", &usual_workload);
    lspo_plan_t *p = build_chunks("zero", WIDTH, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t count = lspo_chunk_count(p, sizes[i]);
        uint64_t first = 0, at = 0;
        cr_expect_eq(lspo_chunk_count(whole, sizes[i]), 1u);
        cr_expect(count >= 1 && count <= LSPO_CHUNKS_MAX, "%u parts", count);
        for (uint32_t part = 0; part < count; part++) {
            uint64_t elements = lspo_chunk_elements(p, sizes[i], part, &first);
            cr_assert(first == at && elements > 0 && (first % LSPO_CHUNK_GRAIN == 0));
            at += elements;
        }
        cr_expect_eq(at, sizes[i]);
    }
    cr_expect_eq(lspo_chunk_count(p, 16385), 2u);
    lspo_plan_destroy(p);
    lspo_plan_destroy(whole);
}

/* ---- --speculate-clip ---- */

static lspo_workload_t speculating(uint32_t iterations, uint32_t clip_every)
{
    lspo_workload_t w = small_workload(iterations);
    w.clip_norm = 1;
    lspo_layerwise_values_edit(&w)->speculate_clip = LSPO_SPECULATE_ON;
    lspo_layerwise_values_edit(&w)->clip_every = clip_every;
    return w;
}

static uint64_t end_of(const lspo_trace_t *t, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t layer)
{
    const lspo_trace_row_t *row = find_variant(t, kind, layer, 0, variant);
    cr_assert_not_null(row);
    return row->end_ns;
}

/* D2H3 10-13: UPD3 13-21, in the place of 24-32 behind the norm.  NORM 18-19; its scalar waits for D2H1 18-21: 21-24.
 * UPD1 21-29, the most urgent.  At 29 blocks 3 and 1 are settled in no time and leave; UPD2 29-37. */
Test(speculate_clip, no_step_clips)
{
    lspo_workload_t w = speculating(2, 0);
    lspo_plan_t *p = build("zero-layerwise", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_SPECULATE, 3, 0, 13);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_SPECULATE, 1, 0, 21);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_SPECULATE, 2, 0, 29);
    cr_expect_eq(end_of(t, LSPO_OP_UPD, LSPO_VARIANT_SETTLE, 3), 29u);
    cr_expect_eq(end_of(t, LSPO_OP_UPD, LSPO_VARIANT_SETTLE, 1), 29u);
    cr_expect_eq(end_of(t, LSPO_OP_UPD, LSPO_VARIANT_SETTLE, 2), 37u);
    expect(t, LSPO_OP_H2D, 3, 0, 29, 32);
    expect(t, LSPO_OP_H2D, 1, 0, 32, 35);
    expect(t, LSPO_OP_H2D, 2, 0, 37, 40);
    expect(t, LSPO_OP_FWD, 1, 1, 36, 38);
    expect(t, LSPO_OP_FWD, 2, 1, 41, 43);
    done(t, p);
}

/* All of it again: at 29 that of block 3, which could have been settled since 24, then of block 1, 37-45; UPD2 45-53
 * and again 53-61. */
Test(speculate_clip, every_step_clips)
{
    lspo_workload_t w = speculating(1, 1);
    lspo_plan_t *p = build("zero-layerwise", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_REDO, 3, 0, 29);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_REDO, 1, 0, 37);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_SPECULATE, 2, 0, 45);
    expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_REDO, 2, 0, 53);
    expect(t, LSPO_OP_H2D, 2, 0, 61, 64);
    done(t, p);
}

/* Every third step of the training, of which this plan has steps 4 to 9: the sixth and the ninth, counted from 1. */
Test(speculate_clip, one_of_three_steps_clips)
{
    lspo_workload_t w = speculating(6, 3);
    w.first_step = 3;
    lspo_plan_t *p = build("zero-layerwise", &w);
    for (uint32_t i = 0; i < p->op_count; i++)
        if (lspo_op_settles(&p->ops[i]))
            cr_expect_eq(p->ops[i].variant == LSPO_VARIANT_REDO, p->ops[i].iteration % 3 == 2);
    cr_expect_eq(lspo_policy_period(p->policy, &p->workload), 3u);
    lspo_plan_destroy(p);
}

/* m, v and master twice on the host; what crosses the link is the same. */
Test(speculate_clip, memory_and_traffic)
{
    enum { BLOCK = 12 * 256 };
    lspo_workload_t w = speculating(1, 1), waiting = w;
    lspo_layerwise_values_edit(&waiting)->speculate_clip = LSPO_SPECULATE_OFF;
    w.precision = waiting.precision = LSPO_BF16;
    lspo_plan_t *p = build("zero-layerwise", &w), *of_waiting = build("zero-layerwise", &waiting);
    uint64_t moved[2] = {0};
    const lspo_plan_t *plans[2] = {p, of_waiting};
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < plans[k]->op_count; i++)
            moved[k] += lspo_work_link_bytes(&plans[k]->works[plans[k]->ops[i].work]);
    cr_expect_eq(moved[0], moved[1]);
    cr_expect_eq(p->gpu_static_bytes, of_waiting->gpu_static_bytes);
    cr_expect_eq(p->host_static_bytes, of_waiting->host_static_bytes + 3u * 12 * BLOCK);
    lspo_plan_destroy(of_waiting);
    lspo_plan_destroy(p);
}

/* Without --clip there is nothing to guess; messages in parts and other formats of the state are refused. */
Test(speculate_clip, without_clipping_and_what_is_refused)
{
    lspo_workload_t w = speculating(2, 1), waiting = small_workload(2);
    lspo_model_t model = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    w.clip_norm = 0;
    lspo_plan_t *p = build("zero-layerwise", &w), *of_waiting = build("zero-layerwise", &waiting);
    cr_expect_eq(p->op_count, of_waiting->op_count);
    cr_expect_eq(p->host_static_bytes, of_waiting->host_static_bytes);
    lspo_plan_destroy(of_waiting);
    lspo_plan_destroy(p);
    cr_assert_eq(lspo_policy_find("zero-layerwise", &policy), LSPO_OK);
    w = speculating(2, 1);
    lspo_layerwise_values_edit(&w)->chunk_bytes = 65536;
    cr_expect_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_ERR_INPUT);
    w = speculating(2, 1);
    lspo_layerwise_values_edit(&w)->optimizer_state = LSPO_OPTIMIZER_STATE_8BIT;
    cr_expect_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_ERR_INPUT);
}
