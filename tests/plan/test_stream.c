/* Timelines, traffic and memory of stream, and of zero's --cpu-share, worked out by hand; see tests/timeline.h.
 * SWAP_IN takes 3, SWAP_OUT 3; what is brought of embedding and head takes no time. */
#include <criterion/criterion.h>

#include "plan/policies/stream.h"
#include "plan/policies/zero.h"
#include "tests/timeline.h"

/* The second time that the layer's parameters come in, in iteration 0. */
static uint64_t fetched_again(const lspo_trace_t *t, uint32_t layer)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind == LSPO_OP_SWAP_IN && r->layer == layer && r->iteration == 0 && ++seen == 2)
            return r->start_ns;
    }
    return UINT64_MAX;
}

/* Two places.  IN1 0-3 beside the embedding, FWD1 3-5; IN2 3-6 in the embedding's place, FWD2 6-8; IN3 6-9 in that of
 * block 1 (free at 5), FWD3 9-11.  Head: in the place of block 2; BWD of the head at 11.  Block 3 has stayed: BWD3
 * 11-15.  IN2 11-14 in the head's place, BWD2 15-19; IN1 15-18 in that of block 3.  D2H3 15-18, D2H2 19-22: BWD1 has a
 * place for its gradient since 18: 19-23, D2H1 23-26.  UPD3 18-26, UPD2 26-34, UPD1 34-42.
 * Iteration 1: the embedding is not trained and comes in early; IN2 in its place 34-37, IN1 waits for UPD1: 42-45, FWD1
 * 45-47, FWD2 47-49; IN3 47-50 in the place of block 1, FWD3 50-52. */
Test(stream, updates_as_gradients_arrive)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_SWAP_IN, 1, 0, 0, 3);
    expect(t, LSPO_OP_FWD, 1, 0, 3, 5);
    expect(t, LSPO_OP_SWAP_IN, 2, 0, 3, 6);
    expect(t, LSPO_OP_SWAP_IN, 3, 0, 6, 9);
    expect(t, LSPO_OP_FWD, 3, 0, 9, 11);
    expect(t, LSPO_OP_BWD, 3, 0, 11, 15);
    cr_expect_eq(fetched_again(t, 3), UINT64_MAX, "block 3 stays");
    cr_expect_eq(fetched_again(t, 2), 11);
    cr_expect_eq(fetched_again(t, 1), 15);
    expect(t, LSPO_OP_BWD, 2, 0, 15, 19);
    expect(t, LSPO_OP_BWD, 1, 0, 19, 23);
    expect(t, LSPO_OP_D2H, 1, 0, 23, 26);
    expect(t, LSPO_OP_UPD, 3, 0, 18, 26);
    expect(t, LSPO_OP_UPD, 1, 0, 34, 42);
    expect(t, LSPO_OP_SWAP_IN, 2, 1, 34, 37);
    expect(t, LSPO_OP_SWAP_IN, 1, 1, 42, 45);
    expect(t, LSPO_OP_FWD, 1, 1, 45, 47);
    expect(t, LSPO_OP_FWD, 2, 1, 47, 49);
    expect(t, LSPO_OP_FWD, 3, 1, 50, 52);
    for (uint32_t i = 0; i < t->row_count; i++)
        cr_expect(t->rows[i].kind != LSPO_OP_H2D && t->rows[i].kind != LSPO_OP_APPLY, "SWAP_IN brings the update");
    done(t, p);
}

/* As above until D2H1 23-26; then UPD1 26-34, UPD2 34-42, UPD3 42-50, and nothing is fetched before 50: an iteration
 * later all is the same. */
Test(stream, updates_after_all_gradients)
{
    lspo_workload_t w = small_workload(3);
    lspo_stream_values_edit(&w)->update = LSPO_STREAM_UPDATE_AFTER;
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 19, 23);
    expect(t, LSPO_OP_UPD, 1, 0, 26, 34);
    expect(t, LSPO_OP_UPD, 2, 0, 34, 42);
    expect(t, LSPO_OP_UPD, 3, 0, 42, 50);
    for (uint32_t i = 0; i < 3; i++) {
        expect(t, LSPO_OP_SWAP_IN, 1, i, 50 * i, 50 * i + 3);
        expect(t, LSPO_OP_SWAP_IN, 2, i, 50 * i + 3, 50 * i + 6);
        expect(t, LSPO_OP_FWD, 3, i, 50 * i + 9, 50 * i + 11);
    }
    done(t, p);
}

/* The norm (23-24, its scalar 26-29 behind D2H1 23-26) holds back all updates: UPD3 29-37, UPD2 37-45, UPD1 45-53. */
Test(stream, clipping_is_a_barrier)
{
    lspo_workload_t w = small_workload(1);
    w.clip_norm = 1;
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_NORM, 4, 0, 23, 24);
    expect(t, LSPO_OP_UPD, 3, 0, 29, 37);
    expect(t, LSPO_OP_UPD, 1, 0, 45, 53);
    done(t, p);
}

/* One place: fetch and compute in turn.  IN1 0-3, FWD1 3-5, IN2 5-8, FWD2 8-10, IN3 10-13, FWD3 13-15, IN3 again 15-18,
 * BWD3 18-22, IN2 22-25, BWD2 25-29, IN1 29-32, BWD1 32-36. */
Test(stream, a_window_of_one_fetches_nothing_ahead)
{
    lspo_workload_t w = small_workload(1);
    lspo_stream_values_edit(&w)->window = 1;
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_FWD, 1, 0, 3, 5);
    expect(t, LSPO_OP_FWD, 3, 0, 13, 15);
    cr_expect_eq(fetched_again(t, 3), 15);
    expect(t, LSPO_OP_BWD, 3, 0, 18, 22);
    cr_expect_eq(fetched_again(t, 1), 29);
    expect(t, LSPO_OP_BWD, 1, 0, 32, 36);
    done(t, p);
}

/* One gradient on the GPU at a time: BWD2 waits for D2H3 15-18 and BWD1 for D2H2 22-25. */
Test(stream, one_gradient_buffer)
{
    lspo_workload_t w = small_workload(1);
    lspo_stream_values_edit(&w)->gradient_buffers = 1;
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 3, 0, 11, 15);
    expect(t, LSPO_OP_BWD, 2, 0, 18, 22);
    expect(t, LSPO_OP_BWD, 1, 0, 25, 29);
    done(t, p);
}

/* Micro-batch 0 as above, but sums leave: OUT3 15-18, OUT2 19-22, OUT1 23-26.  Micro-batch 1: IN1 waits for its place
 * until BWD1 ends at 23: 23-26, FWD1 26-28; IN2 26-29, FWD2 29-31; IN3 29-32 in the place of block 1, FWD3 32-34.  The
 * sum of block 3 comes behind its parameters, 32-35: BWD3 35-39.  IN2 35-38 (head's place, free at 34), its sum 38-41,
 * BWD2 41-45.  D2H3 39-42, UPD3 42-50.  IN1 41-44, its sum 44-47 (D2H3 has left place for it at 42), BWD1 47-51.  D2H2
 * 45-48, D2H1 51-54, UPD2 50-58, UPD1 58-66. */
Test(stream, sums_of_micro_batches_wait_on_the_cpu)
{
    lspo_workload_t w = small_workload(1);
    w.accumulation = 2;
    lspo_plan_t *p = build("stream", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM, 3, 0, 15);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM, 1, 0, 23);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS, 1, 1, 23);
    expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 3, 1, 32);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 3, 1, 32);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 3, 1, 35);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 2, 1, 38);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 2, 1, 41);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 1, 1, 44);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 1, 1, 47);
    expect(t, LSPO_OP_D2H, 3, 0, 39, 42);
    expect(t, LSPO_OP_UPD, 2, 0, 50, 58);
    expect(t, LSPO_OP_UPD, 1, 0, 58, 66);
    done(t, p);
}

static uint64_t bytes_on(const lspo_plan_t *p, lspo_op_kind_t kind, lspo_op_variant_t variant)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == kind && p->ops[i].variant == variant)
            bytes += lspo_work_link_bytes(&p->works[p->ops[i].work]);
    return bytes;
}

/* In bf16, all trained.  Parameters of the embedding: (32 + 8) 16; of a block: 12 x 16^2 + 13 x 16; head: 2 x 16.
 * Per micro-batch: embedding twice (its own, and for the head), blocks 1 and 2 twice, block 3 and head once. */
Test(stream, traffic_and_memory)
{
    enum { EMBED = 40 * 16, BLOCK = 12 * 256 + 13 * 16, HEAD = 32, ALL = EMBED + 3 * BLOCK + HEAD };
    lspo_workload_t w = small_workload(1);
    w.precision = w.transfer = LSPO_BF16;
    w.train_rest = LSPO_TRAIN_REST_ON;
    w.accumulation = 3;
    lspo_plan_t *p = build("stream", &w);
    cr_expect_eq(bytes_on(p, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS), 3u * 2 * (2 * EMBED + 5 * BLOCK + HEAD));
    cr_expect_eq(bytes_on(p, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM), 2u * 2 * ALL);
    cr_expect_eq(bytes_on(p, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM), 2u * 2 * ALL);
    cr_expect_eq(bytes_on(p, LSPO_OP_D2H, LSPO_VARIANT_NONE), 2u * ALL);
    const lspo_footprint_t *f = &p->footprint;
    cr_expect_eq(p->gpu_static_bytes, f->gpu_workspace_bytes);
    cr_expect_eq(f->host_parameters_bytes, 2u * ALL);
    cr_expect_eq(f->host_master_bytes, 4u * ALL);
    cr_expect_eq(f->host_optimizer_bytes, 8u * ALL);
    cr_expect_eq(f->host_gradients_bytes, 2u * ALL);
    cr_expect_eq(p->host_static_bytes, 16u * ALL);
    lspo_plan_destroy(p);

    w.precision = LSPO_FP32; /* the parameters are the master; sums of 4 bytes wait in the landing buffers */
    p = build("stream", &w);
    cr_expect_eq(p->host_static_bytes, (4u + 8 + 4) * ALL);
    cr_expect_eq(bytes_on(p, LSPO_OP_D2H, LSPO_VARIANT_NONE), 2u * ALL);
    cr_expect_eq(bytes_on(p, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM), 2u * 4 * ALL);
    lspo_plan_destroy(p);
}

/* Parameters on the GPU, in layers, never exceed the window: from the first start of SWAP_IN to the end of the op that
 * drops them. */
Test(stream, the_window_bounds_the_layers_on_the_gpu)
{
    for (uint32_t window = 1; window <= 7; window++) {
        lspo_workload_t w = small_workload(3);
        w.accumulation = 2;
        lspo_stream_values_edit(&w)->window = window;
        lspo_plan_t *p = build("stream", &w);
        lspo_trace_t *t = play(p, &usual);
        uint32_t most = 0;
        for (uint32_t i = 0; i < t->row_count; i++) {
            uint32_t layers = 0;
            for (uint32_t j = 0; j < t->row_count; j++) {
                const lspo_trace_row_t *r = &t->rows[j];
                bool tied = r->layer == 0 && r->op > 0 && p->ops[r->op - 1].kind == LSPO_OP_SWAP_IN;
                if (r->kind != LSPO_OP_SWAP_IN || r->variant != LSPO_VARIANT_PARAMETERS || tied ||
                    r->start_ns > t->rows[i].start_ns)
                    continue;
                uint64_t dropped_ns = 0;
                for (uint32_t k = 0; k < t->row_count; k++)
                    for (uint32_t d = 0; d < p->ops[t->rows[k].op].dep_count; d++)
                        if (p->deps[p->ops[t->rows[k].op].dep_first + d] == r->op &&
                            t->rows[k].kind != LSPO_OP_SWAP_IN && t->rows[k].end_ns > dropped_ns)
                            dropped_ns = t->rows[k].end_ns;
                layers += dropped_ns > t->rows[i].start_ns;
            }
            most = layers > most ? layers : most;
        }
        cr_expect_leq(most, window, "%u layers in a window of %u", most, window);
        cr_expect(most == window || window > 4, "%u layers in a window of %u", most, window);
        done(t, p);
    }
}

/* ---- zero --cpu-share ---- */

static lspo_plan_t *build_share(double share, lspo_workload_t *w)
{
    lspo_zero_values_edit(w)->cpu_share = share;
    return build("zero", w);
}

/* A half of three equal blocks: as near to one as to two, and the CPU gets two.  D2H2 14-17, D2H1 18-21; UPD1 21-29,
 * UPD2 29-37, H2D2 37-40, APPLY2 40-41; UPD_GPU3 18-19 meanwhile; the next forward at 41. */
Test(cpu_share, a_half)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build_share(0.5, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
    expect(t, LSPO_OP_D2H, 2, 0, 14, 17);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 18, 19);
    expect(t, LSPO_OP_UPD, 1, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 2, 0, 29, 37);
    expect(t, LSPO_OP_APPLY, 2, 0, 40, 41);
    expect(t, LSPO_OP_FWD, 1, 1, 41, 43);
    cr_expect_null(find_variant(t, LSPO_OP_D2H, 3, 0, LSPO_VARIANT_NONE));
    cr_expect_null(find_variant(t, LSPO_OP_UPD, 3, 0, LSPO_VARIANT_NONE));
    done(t, p);
}

/* A third and a bit: the CPU has block 1.  UPD_GPU2 18-19, UPD_GPU3 19-20; UPD1 21-29, H2D1 29-32, APPLY1 32-33. */
Test(cpu_share, two_fifths)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build_share(0.4, &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_UPD_GPU, 2, 0, 18, 19);
    expect(t, LSPO_OP_UPD_GPU, 3, 0, 19, 20);
    expect(t, LSPO_OP_APPLY, 1, 0, 32, 33);
    expect(t, LSPO_OP_FWD, 1, 1, 33, 35);
    done(t, p);
}

/* Nothing on the CPU is native, but for the order of its updates. */
Test(cpu_share, none)
{
    lspo_workload_t w = small_workload(3);
    w.clip_norm = 1;
    lspo_plan_t *p = build_share(0, &w), *native = build("native", &w);
    lspo_trace_t *t = play(p, &usual), *on_gpu = play(native, &usual);
    cr_assert_eq(t->row_count, on_gpu->row_count);
    for (uint32_t i = 0; i < t->row_count; i++)
        cr_expect(t->rows[i].kind == on_gpu->rows[i].kind && t->rows[i].start_ns == on_gpu->rows[i].start_ns);
    cr_expect_eq(p->gpu_static_bytes, native->gpu_static_bytes);
    cr_expect_eq(p->host_static_bytes, 0u);
    done(on_gpu, native);
    done(t, p);
}

/* Where state, gradients and traffic of each block are, of 2 bytes there and 4 on the link: with 12 x 16^2 numbers. */
Test(cpu_share, memory_and_traffic)
{
    enum { BLOCK = 12 * 256 };
    lspo_workload_t w = small_workload(1);
    w.precision = LSPO_BF16;
    lspo_plan_t *all = build_share(1, &w), *p = build_share(0.5, &w);
    cr_expect_eq(all->footprint.gpu_optimizer_bytes, 0u);
    cr_expect_eq(all->footprint.host_optimizer_bytes, 3u * 8 * BLOCK);
    cr_expect_eq(p->footprint.gpu_optimizer_bytes, 12u * BLOCK);
    cr_expect_eq(p->footprint.gpu_parameters_bytes, all->footprint.gpu_parameters_bytes);
    cr_expect_eq(p->footprint.host_optimizer_bytes, 2u * 8 * BLOCK);
    cr_expect_eq(p->footprint.host_master_bytes, 2u * 4 * BLOCK);
    cr_expect_eq(bytes_on(p, LSPO_OP_D2H, LSPO_VARIANT_NONE), 2u * 4 * BLOCK);
    cr_expect_eq(bytes_on(p, LSPO_OP_H2D, LSPO_VARIANT_NONE), 2u * 4 * BLOCK);
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == LSPO_OP_UPD_GPU)
            cr_expect_eq(p->ops[i].gpu_free_bytes, 2u * BLOCK, "no copy for the link");
    lspo_plan_destroy(p);
    lspo_plan_destroy(all);
}
