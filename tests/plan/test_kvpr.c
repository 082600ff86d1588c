/* Plans of kvpr: timelines, traffic and memory, worked out by hand; see tests/timeline.h.  FWD of a block takes 2,
 * RECOMPUTE 4, SWAP_IN and SWAP_OUT 3 each; embedding and head take no time, nor do the head's weights. */
#include <criterion/criterion.h>
#include <math.h>

#include "plan/build_generate.h"
#include "plan/policies/kvpr.h"
#include "sim/memory.h"
#include "tests/timeline.h"

/* Prompts of 5 tokens, of which 2 are rebuilt. */
static lspo_plan_t *build_texts(lspo_kvpr_schedule_t schedule, uint32_t iterations, uint32_t micros, double share)
{
    const lspo_model_t m = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t w = small_workload(iterations);
    w.sequence = 5;
    w.accumulation = micros;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    lspo_kvpr_values_edit(&w)->schedule = schedule;
    lspo_kvpr_values_edit(&w)->recompute_share = share;
    cr_assert_eq(lspo_policy_find_any("kvpr", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_trace_t *play_texts(const lspo_plan_t *p)
{
    durations_t d = usual;
    d.ns[LSPO_OP_RECOMPUTE] = 4;
    return play(p, &d);
}

typedef struct {
    lspo_op_kind_t kind;
    lspo_op_variant_t variant;
    uint32_t stage, micro, start_ns;
} wanted_t;

static void expect_all(const lspo_trace_t *t, uint32_t iteration, const wanted_t *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const wanted_t *w = &wanted[i];
        bool found = false;
        for (uint32_t j = 0; j < t->row_count; j++) {
            const lspo_trace_row_t *r = &t->rows[j];
            if (r->kind != w->kind || r->variant != w->variant || r->layer != w->stage || r->micro != w->micro ||
                r->iteration != iteration)
                continue;
            found = true;
            cr_expect_eq(r->start_ns, w->start_ns, "%s%u (%d) of text %u begins at %lu, not %u",
                         lspo_op_kind_name(w->kind), w->stage, (int)w->variant, w->micro, (unsigned long)r->start_ns,
                         w->start_ns);
        }
        cr_expect(found, "no %s%u (%d) of text %u", lspo_op_kind_name(w->kind), w->stage, (int)w->variant, w->micro);
    }
}

#define EXPECT_ALL(iteration, ...)                                                                                     \
    do {                                                                                                               \
        const wanted_t wanted_ops[] = {__VA_ARGS__};                                                                   \
        expect_all(t, iteration, wanted_ops, sizeof wanted_ops / sizeof wanted_ops[0]);                                \
    } while (0)

#define FWD(stage, micro, start)                                                                                       \
    {                                                                                                                  \
        LSPO_OP_FWD, LSPO_VARIANT_NONE, stage, micro, start                                                            \
    }
#define REBUILD(stage, micro, start)                                                                                   \
    {                                                                                                                  \
        LSPO_OP_RECOMPUTE, LSPO_VARIANT_CACHE, stage, micro, start                                                     \
    }
#define IN(what, stage, micro, start)                                                                                  \
    {                                                                                                                  \
        LSPO_OP_SWAP_IN, LSPO_VARIANT_##what, stage, micro, start                                                      \
    }
#define OUT(what, stage, micro, start)                                                                                 \
    {                                                                                                                  \
        LSPO_OP_SWAP_OUT, LSPO_VARIANT_##what, stage, micro, start                                                     \
    }

/* The prompt: FWD1 0-2, X1 out 2-5; FWD2 2-4, X2 out 5-8 (ready before KV1, which waits for X1); KV1 8-11, whose place
 * FWD3 waits for: 11-13; KV2 11-14, X3 14-17, KV3 17-20.
 * Then block by block: X1 waits for the place of KV2, 14-17; KV1 17-20 while the GPU rebuilds, 17-21; FWD1 21-23.  X2
 * waits for FWD1, 23-26; KV2 26-29, rebuilt 26-30; FWD2 30-32.  X3 32-35; KV3 35-38, rebuilt 35-39; FWD3 39-41. */
Test(kvpr, rebuilds_the_first_tokens_while_the_rest_comes_in)
{
    lspo_plan_t *p = build_texts(LSPO_SCHEDULE_LATENCY, 2, 1, 0.4);
    lspo_trace_t *t = play_texts(p);
    cr_expect_eq(p->op_count, 5 + 6 + 5 + 4 * 3);
    EXPECT_ALL(0, FWD(1, 0, 0), OUT(INPUTS, 1, 0, 2), FWD(2, 0, 2), OUT(INPUTS, 2, 0, 5), OUT(CACHE, 1, 0, 8),
               FWD(3, 0, 11), OUT(CACHE, 2, 0, 11), OUT(INPUTS, 3, 0, 14), OUT(CACHE, 3, 0, 17));
    EXPECT_ALL(1, IN(INPUTS, 1, 0, 14), IN(CACHE, 1, 0, 17), REBUILD(1, 0, 17), FWD(1, 0, 21), IN(INPUTS, 2, 0, 23),
               IN(CACHE, 2, 0, 26), REBUILD(2, 0, 26), FWD(2, 0, 30), IN(INPUTS, 3, 0, 32), REBUILD(3, 0, 35),
               FWD(3, 0, 39), OUT(CACHE, 3, 0, 41));
    done(t, p);
}

/* Two texts per load, iteration 1.  W1 comes 31-34 in the place of block 3, W2 34-37; X1 of text 0 waits for a
 * cache's place, 38-41, KV1 41-44, rebuilt 41-45, FWD1 45-47.  X1 of text 1 44-47, KV1 47-50, rebuilt behind FWD1
 * of text 0, 47-51, FWD1 51-53.  X2 of text 0 in the place that is free at 50: 50-53, KV2 53-56, rebuilt 53-57,
 * FWD2 57-59.  W3 in the place of W1, free at 53: 56-59, before X2 of text 1, whose place is free at 56: 59-62,
 * KV2 62-65, rebuilt 62-66, FWD2 66-68.  X3 of text 0 in the place that is free at 62: 65-68; that of text 1
 * 71-74. */
Test(kvpr, a_load_of_weights_serves_all_texts)
{
    lspo_plan_t *p = build_texts(LSPO_SCHEDULE_THROUGHPUT, 2, 2, 0.4);
    lspo_trace_t *t = play_texts(p);
    cr_expect_eq(p->op_count, 2 * 10 + 2 * 4 + 6 * 2 + 6 * 4);
    EXPECT_ALL(0, IN(PARAMETERS, 1, 0, 0), FWD(1, 0, 3), IN(PARAMETERS, 2, 0, 3), FWD(1, 1, 5), OUT(INPUTS, 1, 0, 5),
               IN(PARAMETERS, 3, 0, 7), OUT(INPUTS, 1, 1, 8), OUT(CACHE, 1, 0, 11), FWD(2, 0, 14), FWD(2, 1, 17));
    EXPECT_ALL(1, IN(PARAMETERS, 1, 0, 31), IN(PARAMETERS, 2, 0, 34), IN(INPUTS, 1, 0, 38), IN(CACHE, 1, 0, 41),
               REBUILD(1, 0, 41), FWD(1, 0, 45), IN(INPUTS, 1, 1, 44), IN(CACHE, 1, 1, 47), REBUILD(1, 1, 47),
               FWD(1, 1, 51), IN(INPUTS, 2, 0, 50), REBUILD(2, 0, 53), FWD(2, 0, 57), IN(PARAMETERS, 3, 0, 56),
               IN(INPUTS, 2, 1, 59), REBUILD(2, 1, 62), FWD(2, 1, 66), IN(INPUTS, 3, 0, 65), IN(INPUTS, 3, 1, 71),
               FWD(3, 1, 78));
    done(t, p);
}

/* Bytes of a kind and variant in an iteration. */
static uint64_t bytes_of(const lspo_plan_t *p, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t iteration)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == kind && p->ops[i].variant == variant && p->ops[i].iteration == iteration)
            sum += lspo_work_link_bytes(&p->works[p->ops[i].work]);
    return sum;
}

static void expect_bytes(double share, const uint32_t rebuilt[4], const uint32_t kept[4])
{
    enum { INPUT = 3 * 16 * 4, CACHE = 3 * 2 * 16 * 4 }; /* of three blocks for a position */
    lspo_plan_t *p = build_texts(LSPO_SCHEDULE_LATENCY, 4, 1, share);
    for (uint32_t i = 0; i < 4; i++) {
        const uint64_t before = i == 0 ? 0 : 5 + i - 1;
        cr_expect_eq(bytes_of(p, LSPO_OP_SWAP_IN, LSPO_VARIANT_INPUTS, i), rebuilt[i] * INPUT);
        cr_expect_eq(bytes_of(p, LSPO_OP_SWAP_IN, LSPO_VARIANT_CACHE, i), (before - rebuilt[i]) * CACHE);
        cr_expect_eq(bytes_of(p, LSPO_OP_SWAP_OUT, LSPO_VARIANT_INPUTS, i), kept[i] * INPUT);
        cr_expect_eq(bytes_of(p, LSPO_OP_SWAP_OUT, LSPO_VARIANT_CACHE, i), (i == 0 ? 5 : 1) * CACHE);
    }
    cr_expect_eq(p->footprint.host_cache_bytes, 8 * CACHE);
    cr_expect_eq(p->footprint.host_inputs_bytes, rebuilt[3] * INPUT);
    lspo_plan_destroy(p);
}

/* 5, 6 and 7 cached tokens: 2, 2.4 and 2.8 of them.  Inputs are kept of as many tokens as are ever rebuilt. */
Test(kvpr, moves_inputs_of_what_is_rebuilt_and_the_rest_of_the_cache)
{
    expect_bytes(0.4, (const uint32_t[]){0, 2, 2, 3}, (const uint32_t[]){3, 0, 0, 0});
    expect_bytes(0, (const uint32_t[]){0, 0, 0, 0}, (const uint32_t[]){0, 0, 0, 0});
    expect_bytes(1, (const uint32_t[]){0, 5, 6, 7}, (const uint32_t[]){5, 1, 1, 0});
}

/* In the last iteration one cache of 8 positions leaves, 1024 bytes, while another arrives with the inputs of 3. */
Test(kvpr, holds_two_caches_and_the_inputs_of_one)
{
    lspo_plan_t *p = build_texts(LSPO_SCHEDULE_LATENCY, 4, 1, 0.4);
    lspo_trace_t *t = play_texts(p);
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    cr_expect_eq(gpu - p->gpu_static_bytes, 2 * 8 * 128 + 3 * 64);
    cr_expect_eq(host, p->host_static_bytes);
    done(t, p);
}

/* 4 b l h^2 FLOP: 7 tokens, of which 5, as many as the prompt has, are one product, and 2 another. */
Test(kvpr, rebuilding_is_two_products_of_the_width)
{
    lspo_plan_t *p = build_texts(LSPO_SCHEDULE_LATENCY, 4, 1, 1);
    uint32_t found = 0;
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_work_t *work = &p->works[p->ops[i].work];
        if (p->ops[i].kind != LSPO_OP_RECOMPUTE || p->ops[i].iteration != 3)
            continue;
        cr_expect_float_eq(lspo_work_flop(work), 4.0 * 7 * 16 * 16, 0);
        for (uint32_t k = 0; k < 2; k++) {
            cr_expect_eq(work->kernels[k].kernel_class, LSPO_KERNEL_FEW_ROWS);
            cr_expect_float_eq(work->kernels[k].flop, 2.0 * (k == 0 ? 5 : 2) * 32 * 16, 0);
        }
        found++;
    }
    cr_expect_eq(found, 3);
    lspo_plan_destroy(p);
}

Test(kvpr, refuses_shares_that_are_none)
{
    const lspo_model_t m = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t w = small_workload(2);
    w.sequence = 5;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    cr_assert_eq(lspo_policy_find_any("kvpr", &policy), LSPO_OK);
    const double wrong[] = {1.1, -0.5, NAN};
    for (int i = 0; i < 3; i++) {
        lspo_kvpr_values_edit(&w)->recompute_share = wrong[i];
        cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT, "%g", wrong[i]);
    }
    double share = 0;
    cr_expect_eq(lspo_parameter_parse(&lspo_parameter_recompute_share, "--recompute-share", "auto", &share), LSPO_OK);
    cr_expect_eq(share, LSPO_SHARE_AUTO);
    cr_expect_eq(lspo_parameter_parse(&lspo_parameter_recompute_share, "--recompute-share", "-1", &share),
                 LSPO_ERR_INPUT);
    char text[32];
    lspo_parameter_format(&lspo_parameter_recompute_share, &share, text, sizeof text);
    cr_expect_str_eq(text, "auto");
}
