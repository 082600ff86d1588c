/* Plans of generation: timelines, traffic and memory, worked out by hand; see tests/timeline.h.  FWD of a block takes
 * 2, SWAP_IN 3, SWAP_OUT 3; embedding and head take no time, nor does what is brought of the head. */
#include <criterion/criterion.h>

#include "plan/build_generate.h"
#include "plan/policies/marlin.h"
#include "sim/memory.h"
#include "tests/timeline.h"

/* Prompts of 5 tokens. */
static lspo_workload_t texts(uint32_t iterations, uint32_t micros)
{
    lspo_workload_t w = small_workload(iterations);
    w.sequence = 5;
    w.accumulation = micros;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    return w;
}

static lspo_plan_t *build_texts(const char *name, const lspo_workload_t *w)
{
    const lspo_model_t m = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find_any(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, w, policy, &plan), LSPO_OK);
    return plan;
}

/* The op of a micro-batch. */
static void expect_in(const lspo_trace_t *t, const lspo_trace_row_t *wanted)
{
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind != wanted->kind || r->layer != wanted->layer || r->micro != wanted->micro ||
            r->iteration != wanted->iteration)
            continue;
        cr_expect_eq(r->start_ns, wanted->start_ns, "%s%u of text %u in iteration %u begins at %lu, not %lu",
                     lspo_op_kind_name((lspo_op_kind_t)r->kind), r->layer, r->micro, r->iteration,
                     (unsigned long)r->start_ns, (unsigned long)wanted->start_ns);
        return;
    }
    cr_assert_fail("no such op");
}

#define AT(the_kind, stage, text, step, start)                                                                         \
    expect_in(t, &(lspo_trace_row_t){                                                                                  \
                     .kind = (the_kind), .layer = (stage), .micro = (text), .iteration = (step), .start_ns = (start)})

/* Text 0: FWD1 0-2, FWD2 2-4, FWD3 4-6; text 1 from 6; the second iteration from 12. */
Test(generate, resident_computes_one_text_after_the_other)
{
    const lspo_workload_t w = texts(2, 2);
    lspo_plan_t *p = build_texts("resident", &w);
    lspo_trace_t *t = play(p, &usual);
    cr_expect_eq(p->op_count, 2 * 2 * 5);
    AT(LSPO_OP_FWD, 1, 0, 0, 0);
    AT(LSPO_OP_FWD, 3, 0, 0, 4);
    AT(LSPO_OP_FWD, 1, 1, 0, 6);
    AT(LSPO_OP_FWD, 3, 1, 0, 10);
    AT(LSPO_OP_FWD, 1, 0, 1, 12);
    AT(LSPO_OP_FWD, 3, 1, 1, 22);
    done(t, p);
}

/* Two texts, so that a block computes for 4.  IN1 0-3, FWD1 3-7 of both texts; IN2 3-6, FWD2 7-11; IN3 in the place of
 * block 1, which is free at 7: 7-10, FWD3 11-15; the head in that of block 2: 11.  Iteration 1: IN1 in the place of
 * block 3, free at 15, since the head's is given back at 15, too, and was taken later: 15-18, FWD1 18-22; IN2 in the
 * head's place: 18-21, FWD2 22-26; IN3 22-25, FWD3 26-30. */
Test(generate, a_load_of_weights_serves_all_texts)
{
    const lspo_workload_t w = texts(2, 2);
    lspo_plan_t *p = build_texts("offload-weights", &w);
    lspo_trace_t *t = play(p, &usual);
    cr_expect_eq(p->op_count, 2 * (2 * 5 + 4));
    AT(LSPO_OP_SWAP_IN, 1, 0, 0, 0);
    AT(LSPO_OP_FWD, 1, 0, 0, 3);
    AT(LSPO_OP_FWD, 1, 1, 0, 5);
    AT(LSPO_OP_SWAP_IN, 2, 0, 0, 3);
    AT(LSPO_OP_FWD, 2, 0, 0, 7);
    AT(LSPO_OP_SWAP_IN, 3, 0, 0, 7);
    AT(LSPO_OP_FWD, 3, 0, 0, 11);
    AT(LSPO_OP_SWAP_IN, 4, 0, 0, 11);
    AT(LSPO_OP_SWAP_IN, 1, 0, 1, 15);
    AT(LSPO_OP_FWD, 1, 0, 1, 18);
    AT(LSPO_OP_SWAP_IN, 2, 0, 1, 18);
    AT(LSPO_OP_FWD, 2, 0, 1, 22);
    AT(LSPO_OP_SWAP_IN, 3, 0, 1, 22);
    AT(LSPO_OP_FWD, 3, 1, 1, 28);
    done(t, p);
}

/* The prompt: FWD1 0-2, OUT1 2-5; FWD2 2-4, OUT2 5-8; FWD3 waits for a place: 5-7, OUT3 8-11.  IN1 waits for the place
 * of OUT2: 8-11, FWD1 11-13, OUT1 13-16; IN2 for that of OUT3: 11-14, FWD2 14-16, OUT2 16-19; IN3 for that of OUT1:
 * 16-19, FWD3 19-21, OUT3 21-24. */
Test(generate, a_cache_comes_in_and_what_is_new_goes_out)
{
    const lspo_workload_t w = texts(2, 1);
    lspo_plan_t *p = build_texts("offload-cache", &w);
    lspo_trace_t *t = play(p, &usual);
    cr_expect_eq(p->op_count, 5 + 3 + 5 + 6);
    AT(LSPO_OP_FWD, 1, 0, 0, 0);
    AT(LSPO_OP_SWAP_OUT, 1, 0, 0, 2);
    AT(LSPO_OP_FWD, 2, 0, 0, 2);
    AT(LSPO_OP_SWAP_OUT, 2, 0, 0, 5);
    AT(LSPO_OP_FWD, 3, 0, 0, 5);
    AT(LSPO_OP_SWAP_OUT, 3, 0, 0, 8);
    AT(LSPO_OP_SWAP_IN, 1, 0, 1, 8);
    AT(LSPO_OP_FWD, 1, 0, 1, 11);
    AT(LSPO_OP_SWAP_IN, 2, 0, 1, 11);
    AT(LSPO_OP_FWD, 2, 0, 1, 14);
    AT(LSPO_OP_SWAP_IN, 3, 0, 1, 16);
    AT(LSPO_OP_FWD, 3, 0, 1, 19);
    AT(LSPO_OP_SWAP_OUT, 3, 0, 1, 21);
    done(t, p);
}

/* Bytes on a lane in an iteration. */
static uint64_t bytes_of(const lspo_plan_t *p, lspo_op_kind_t kind, uint32_t iteration)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == kind && p->ops[i].iteration == iteration)
            sum += lspo_work_link_bytes(&p->works[p->ops[i].work]);
    return sum;
}

/* Of each block, text and position 2 x 16 numbers of 4 bytes: 128 bytes.  Three blocks and two texts: 768 bytes per
 * position; weights of a block: 12 x 16^2 + 13 x 16 = 3280 numbers, of the head, norm only, 32; of the embedding
 * (32 + 8) x 16 = 640. */
Test(generate, moves_each_weight_once_and_each_cached_position_once)
{
    const lspo_workload_t w = texts(3, 2);
    lspo_plan_t *weights = build_texts("offload-weights", &w), *cache = build_texts("offload-cache", &w);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(bytes_of(weights, LSPO_OP_SWAP_IN, i), 4 * (3 * 3280 + 32));
        cr_expect_eq(bytes_of(cache, LSPO_OP_SWAP_IN, i), 768u * (i == 0 ? 0 : 5 + i - 1));
        cr_expect_eq(bytes_of(cache, LSPO_OP_SWAP_OUT, i), 768u * (i == 0 ? 5 : 1));
    }
    /* What has gone out is what a text has in the end: 5 + 2 positions. */
    cr_expect_eq(cache->footprint.host_cache_bytes, 768u * 7);
    cr_expect_eq(weights->footprint.gpu_cache_bytes, 768u * 7);
    cr_expect_eq(weights->footprint.host_parameters_bytes, 4u * (3 * 3280 + 32));
    cr_expect_eq(weights->footprint.gpu_parameters_bytes, 4u * 640);
    cr_expect_eq(cache->footprint.gpu_parameters_bytes, 4u * (3 * 3280 + 32 + 640));
    lspo_plan_destroy(cache);
    lspo_plan_destroy(weights);
}

static uint64_t peak_above_static(const char *policy, const lspo_workload_t *w)
{
    lspo_plan_t *p = build_texts(policy, w);
    lspo_trace_t *t = play(p, &usual);
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    cr_expect_eq(host, p->host_static_bytes);
    const uint64_t above = gpu - p->gpu_static_bytes;
    done(t, p);
    return above;
}

/* Two blocks of weights; two caches of all positions so far: 6 + 1 in the last iteration. */
Test(generate, holds_two_layers_or_two_caches)
{
    const lspo_workload_t w = texts(3, 1);
    cr_expect_eq(peak_above_static("resident", &w), 0);
    cr_expect_eq(peak_above_static("offload-weights", &w), 2 * 4 * 3280);
    cr_expect_eq(peak_above_static("offload-cache", &w), 2 * 128 * 7);
}

/* A block of a token, with 6 before it: products 16 x 48, 16 x 16, 16 x 64, 64 x 16 of 3072 weights, 2 x 3072 = 6144
 * FLOP; attention to 7 keys 4 x 7 x 16 = 448.  Four texts have 20 tokens at first, which are more than few, then 4. */
Test(generate, counts_products_and_pairs)
{
    lspo_workload_t w = texts(3, 1);
    w.batch = 4;
    lspo_plan_t *p = build_texts("resident", &w);
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const lspo_work_t *work = &p->works[op->work];
        if (op->layer != 1)
            continue;
        if (op->iteration == 2)
            cr_expect_float_eq(lspo_work_flop(work), 4 * (6144 + 448), 0);
        else if (op->iteration == 0) /* 5 tokens; 15 pairs */
            cr_expect_float_eq(lspo_work_flop(work), 4 * (5 * 6144 + 4 * 15 * 16), 0);
        bool products = false;
        for (uint32_t k = 0; k < work->kernel_count; k++)
            products |= work->kernels[k].kernel_class == LSPO_KERNEL_GEMM;
        cr_expect_eq(products, op->iteration == 0, "few rows take the time of reading their weight");
    }
    lspo_plan_destroy(p);
}

/* A block's weights of 4 bits in strips of 32 columns and rows filled up to 32, with a scale of 2 bytes per column:
 * 16 x 48 two strips of 32 (2 + 16) = 1152 bytes, 16 x 16 one: 576, 16 x 64 two: 1152, 64 x 16 one of 32 (2 + 32) =
 * 1088, of two groups of 32 rows 1152; and 208 other numbers of 4 bytes.  What is read of them is less by 4 x 3072. */
Test(generate, marlin_holds_and_reads_weights_of_4_bits)
{
    lspo_workload_t w = texts(3, 1);
    lspo_plan_t *p = build_texts("marlin", &w), *wide = build_texts("resident", &w);
    cr_expect_eq(p->footprint.gpu_parameters_bytes, 3u * (1152 + 576 + 1152 + 1088 + 832) + 4u * (32 + 640));
    cr_assert_eq(p->op_count, wide->op_count);
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const lspo_work_t *work = &p->works[op->work], *other = &wide->works[wide->ops[i].work];
        uint64_t bytes = 0, other_bytes = 0;
        cr_expect_float_eq(lspo_work_flop(work), lspo_work_flop(other), 0);
        for (uint32_t k = 0; k < work->kernel_count; k++) {
            bytes += work->kernels[k].bytes;
            other_bytes += other->kernels[k].bytes;
            cr_expect_eq(work->kernels[k].packed,
                         op->layer % 4 != 0 && (work->kernels[k].kernel_class == LSPO_KERNEL_GEMM ||
                                                work->kernels[k].kernel_class == LSPO_KERNEL_FEW_ROWS));
        }
        cr_expect_eq(other_bytes - bytes, op->layer % 4 == 0 ? 0 : 4 * 3072 - 3968, "stage %u", op->layer);
    }
    lspo_plan_destroy(p);
    lspo_marlin_values_edit(&w)->weight_group = LSPO_WEIGHT_GROUP_32;
    p = build_texts("marlin", &w);
    cr_expect_eq(p->footprint.gpu_parameters_bytes, 3u * (1152 + 576 + 1152 + 1152 + 832) + 4u * (32 + 640));
    lspo_plan_destroy(p);
    lspo_plan_destroy(wide);
}

Test(generate, refuses_what_has_no_place)
{
    lspo_model_t m = three_blocks();
    lspo_plan_t *plan = NULL;
    const lspo_policy_t *policy = NULL, *none = NULL;
    cr_assert_eq(lspo_policy_find_any("resident", &policy), LSPO_OK);
    cr_expect_eq(lspo_policy_find("resident", &none), LSPO_ERR_INPUT); /* it is none of a training */
    lspo_workload_t w = texts(4, 1);                                   /* 5 + 3 positions of 8 */
    cr_assert_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_OK);
    lspo_plan_destroy(plan);
    w.iterations = 5;
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT);
    w.iterations = 4;
    w.clip_norm = 1;
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT);
    w.clip_norm = 0;
    w.train_rest = LSPO_TRAIN_REST_ON;
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT);
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    m.family = LSPO_FAMILY_BERT;
    m.class_count = 2;
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT);
}
