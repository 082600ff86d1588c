/* axonn on a grid of GPUs: timelines worked out by hand (tests/timeline.h), the three orders on equal stages and with
 * jitter, what is in flight and in memory, and sums over replicas. */
#include <criterion/criterion.h>
#include <math.h>

#include "plan/peers.h"
#include "plan/policies/axonn.h"
#include "sim/memory.h"
#include "tests/timeline.h"

static const lspo_pipeline_order_t message = LSPO_PIPELINE_ORDER_MESSAGE, one_f_one_b = LSPO_PIPELINE_ORDER_1F1B,
                                   gpipe = LSPO_PIPELINE_ORDER_GPIPE;
enum { ORDERS = 3 };

static lspo_axonn_values_t *own_of(lspo_workload_t *w)
{
    return lspo_axonn_values_edit(w);
}

/* G GPUs with `each` blocks, A micro-batches in all. */
typedef struct {
    uint32_t pipeline, replicas, accumulation, each;
    lspo_pipeline_order_t order;
    bool tied;
} grid_t;

static lspo_status_t try_grid(const grid_t *grid, lspo_workload_t *w, lspo_plan_t **plan_out)
{
    lspo_model_t model = three_blocks();
    const lspo_policy_t *policy = NULL;
    model.block_count = grid->pipeline * grid->each;
    model.tied_head = grid->tied;
    w->accumulation = grid->accumulation;
    own_of(w)->pipeline = grid->pipeline;
    own_of(w)->replicas = grid->replicas;
    own_of(w)->pipeline_order = grid->order;
    cr_assert_eq(lspo_policy_find("axonn", &policy), LSPO_OK);
    return lspo_plan_build(&model, w, policy, plan_out);
}

static lspo_plan_t *build_grid(const grid_t *grid, lspo_workload_t w)
{
    lspo_plan_t *plan = NULL;
    cr_assert_eq(try_grid(grid, &w, &plan), LSPO_OK);
    return plan;
}

static grid_t pipeline_of(uint32_t g, uint32_t m, lspo_pipeline_order_t order)
{
    return (grid_t){.pipeline = g, .replicas = 1, .accumulation = m, .each = 1, .order = order};
}

static uint64_t last_backward_ns(const lspo_trace_t *t)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < t->row_count; i++)
        if (t->rows[i].kind == LSPO_OP_BWD && t->rows[i].iteration == 0 && t->rows[i].end_ns > last)
            last = t->rows[i].end_ns;
    return last;
}

/* ---- by hand ---- */

static durations_t with_sends(uint64_t ns)
{
    durations_t d = usual;
    d.ns[LSPO_OP_SEND] = ns;
    return d;
}

/* Two GPUs, one block each, three micro-batches, SEND 1.  The first one: F0 0-2, F1 2-4, and no more until one has come
 * back.  Activations arrive at 3 and 5.  The second one: F0 3-5, B0 5-9, F1 9-11, B1 11-15; gradients arrive at 10 and
 * 16.  The first one: B0 10-14, F2 14-16, B1 16-20; the second one: F2 17-19, B2 19-23; the first one: B2 24-28.
 * GPipe: F2 4-6; the second one: F0-F2 3-9, B0-B2 9-21; the first one: B0 14-18, B1 18-22, B2 22-26. */
Test(pipeline, two_gpus_by_hand)
{
    const durations_t d = with_sends(1);
    for (int order = 0; order < ORDERS; order++) {
        const grid_t grid = pipeline_of(2, 3, (lspo_pipeline_order_t)order);
        const bool all_first = grid.order == gpipe;
        lspo_plan_t *p = build_grid(&grid, small_workload(1));
        lspo_trace_t *t = play(p, &d);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 1, 1, 2);
        expect_micro(t, LSPO_OP_SEND, LSPO_VARIANT_NONE, 1, 1, 4);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 2, 0, 3);
        expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 2, 0, all_first ? 9 : 5);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 2, 1, all_first ? 5 : 9);
        expect_micro(t, LSPO_OP_SEND, LSPO_VARIANT_GRADIENT, 2, 1, all_first ? 17 : 15);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 1, 2, all_first ? 4 : 14);
        expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 1, 1, all_first ? 18 : 16);
        cr_expect_eq(last_backward_ns(t), all_first ? 26u : 28u);
        done(t, p);
    }
}

/* Three GPUs and micro-batches.  The second one, message-driven: F2 7-9, as soon as it is there; B0 13-17, B1 19-23, B2
 * 25-29.  1F1B: it waits for B0 13-17, then F2 17-19, so that the third one has F2 at 20 and not at 18: B2 27-31. */
Test(pipeline, three_gpus_by_hand)
{
    const durations_t d = with_sends(1);
    for (int order = 0; order < 2; order++) {
        const grid_t grid = pipeline_of(3, 3, (lspo_pipeline_order_t)order);
        const bool eager = grid.order == message;
        lspo_plan_t *p = build_grid(&grid, small_workload(1));
        lspo_trace_t *t = play(p, &d);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 2, 2, eager ? 7 : 17);
        expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 2, 0, 13);
        expect_micro(t, LSPO_OP_FWD, LSPO_VARIANT_NONE, 3, 2, eager ? 18 : 20);
        expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 2, 2, eager ? 25 : 27);
        cr_expect_eq(last_backward_ns(t), eager ? 34u : 36u);
        done(t, p);
    }
}

/* An embedding that is not trained waits for no update, but a step begins behind backward of the one before. */
Test(pipeline, steps_do_not_overlap_on_a_gpu)
{
    for (uint32_t g = 1; g <= 2; g++) {
        const grid_t grid = {.pipeline = g, .replicas = 1, .accumulation = 3, .each = 2, .order = message};
        lspo_plan_t *p = build_grid(&grid, small_workload(2));
        lspo_trace_t *t = play(p, &usual);
        cr_expect_geq(find(t, LSPO_OP_FWD, 0, 1)->start_ns, last_backward_ns(t));
        done(t, p);
    }
}

/* The ops of a message follow each other without another one between, whatever arrives meanwhile. */
Test(pipeline, a_message_runs_in_one_go)
{
    const durations_t d = with_sends(1);
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        const grid_t grid = {.pipeline = 3, .replicas = 1, .accumulation = 7, .each = 3, .order = message};
        lspo_workload_t w = small_workload(1);
        w.checkpointing = checkpointing;
        lspo_plan_t *p = build_grid(&grid, w);
        lspo_trace_t *t = play(p, &d);
        for (uint32_t lane = 0; lane < p->lanes.count; lane++) {
            const lspo_trace_row_t *before = NULL;
            for (uint32_t i = 0; p->lanes.list[lane].kind == LSPO_LANE_GPU && i < t->row_count; i++) {
                const lspo_trace_row_t *r = &t->rows[i];
                const bool passes = r->kind == LSPO_OP_FWD || r->kind == LSPO_OP_BWD || r->kind == LSPO_OP_RECOMPUTE;
                if (p->ops[r->op].lane != lane || !passes || r->layer == 0 || r->layer == 10)
                    continue;
                const bool begins = before == NULL || (r->kind == LSPO_OP_FWD) != (before->kind == LSPO_OP_FWD) ||
                                    r->micro != before->micro;
                const uint32_t first = r->layer - 1u; /* of blocks 0 to 8, three a GPU */
                if (begins)
                    cr_expect_eq(first % 3, r->kind == LSPO_OP_FWD ? 0u : 2u, "a message begins with block %u", first);
                else
                    cr_expect_eq(r->start_ns, before->end_ns);
                before = r;
            }
        }
        done(t, p);
    }
}

/* ---- equal stages ---- */

/* (M + G - 1) (f + b) for the static orders; message-driven for M <= G, and for any M on up to four GPUs.  On more it
 * begins forward too eagerly for that: at most 5 % longer here. */
Test(pipeline, equal_stages)
{
    for (uint32_t g = 1; g <= 8; g++)
        for (uint32_t m = 1; m <= 4 * g; m++)
            for (int order = 0; order < ORDERS; order++) {
                const grid_t grid = pipeline_of(g, m, (lspo_pipeline_order_t)order);
                lspo_workload_t w = small_workload(1);
                w.checkpointing = m & 1;
                const uint64_t f = 2, b = w.checkpointing ? 6 : 4, expected = (m + g - 1) * (f + b);
                lspo_plan_t *p = build_grid(&grid, w);
                lspo_trace_t *t = play(p, &usual);
                const uint64_t got = last_backward_ns(t);
                cr_expect_geq(got, expected);
                if (grid.order != message || m <= g || g <= 4)
                    cr_expect_eq(got, expected, "order %d, %u GPUs, %u: %lu", order, g, m, (unsigned long)got);
                else
                    cr_expect_leq((double)got, 1.05 * (double)expected, "%u GPUs, %u: %lu", g, m, (unsigned long)got);
                done(t, p);
            }
}

/* ---- jitter ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double uniform(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return ((double)(mix(*state) >> 11) + 0.5) / 9007199254740992.0;
}

/* A lognormal factor that depends on what the op does, not on its id, so that it is the same in every order. */
static double factor_of(const lspo_op_t *op, uint64_t seed, double sigma)
{
    uint64_t state = mix(seed) ^ mix(op->kind | (uint64_t)op->layer << 8 | (uint64_t)op->micro << 24);
    const double radius = sqrt(-2 * log(uniform(&state)));
    return exp(sigma * radius * cos(2 * M_PI * uniform(&state)));
}

typedef struct {
    uint64_t seed;
    double sigma;
    uint64_t forward_ns, backward_ns, send_ns;
} draw_t;

static lspo_trace_t *play_draw(const lspo_plan_t *p, const draw_t *draw)
{
    uint64_t *ns = calloc((size_t)p->op_count + 1, sizeof *ns);
    lspo_machine_t machine = quiet_machine();
    lspo_trace_t *t = NULL;
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        if (op->kind == LSPO_OP_SEND)
            ns[i] = draw->send_ns;
        if (op->layer == 0 || op->layer + 1u == p->stage_count)
            continue;
        if (op->kind == LSPO_OP_FWD)
            ns[i] = (uint64_t)(factor_of(op, draw->seed, draw->sigma) * (double)draw->forward_ns);
        if (op->kind == LSPO_OP_BWD)
            ns[i] = (uint64_t)(factor_of(op, draw->seed, draw->sigma) * (double)draw->backward_ns);
    }
    cr_assert_eq(lspo_engine_play_ops(p, &machine, ns, &t), LSPO_OK);
    free(ns);
    return t;
}

static double drawn_s(uint32_t g, uint32_t m, lspo_pipeline_order_t order, const draw_t *draw)
{
    const grid_t grid = pipeline_of(g, m, order);
    lspo_plan_t *p = build_grid(&grid, small_workload(1));
    lspo_trace_t *t = play_draw(p, draw);
    const double s = (double)last_backward_ns(t);
    done(t, p);
    return s;
}

/* What is true of message-driven pipelines.  With at most as many micro-batches as GPUs, so that all may be in flight,
 * in the mean of draws they are not slower than either static order.  On single draws they may be, since what came
 * first may not be what the others wait for: on at most 5 % of them, by at most 5 %. */
Test(pipeline, with_all_in_flight_messages_are_not_slower)
{
    enum { DRAWS = 40 };
    for (uint32_t g = 2; g <= 6; g += 2)
        for (uint64_t send = 0; send <= 20000; send += 20000)
            for (double sigma = 0.1; sigma < 0.5; sigma += 0.2) {
                double sums[ORDERS] = {0};
                uint32_t slower[ORDERS] = {0};
                for (uint64_t seed = 1; seed <= DRAWS; seed++) {
                    const draw_t draw = {seed, sigma, 20000, 40000, send};
                    double s[ORDERS];
                    for (int order = 0; order < ORDERS; order++) {
                        sums[order] += s[order] = drawn_s(g, g, (lspo_pipeline_order_t)order, &draw);
                        slower[order] += s[message] > s[order];
                        cr_expect_leq(s[message], 1.05 * s[order], "%u GPUs, order %d, seed %lu", g, order,
                                      (unsigned long)seed);
                    }
                }
                for (int order = 1; order < ORDERS; order++) {
                    cr_expect_leq(sums[message], sums[order], "%u GPUs, order %d, send %lu, sigma %g", g, order,
                                  (unsigned long)send, sigma);
                    cr_expect_leq(slower[order], DRAWS / 20, "%u GPUs, order %d, send %lu, sigma %g: %u", g, order,
                                  (unsigned long)send, sigma, slower[order]);
                }
            }
}

/* What is not: with more micro-batches than GPUs and no time on the network, the order that 1F1B has fixed is better in
 * the mean, because it keeps GPUs from running ahead; but not by more than 5 %.  Two GPUs have no other order. */
Test(pipeline, with_more_micro_batches_1f1b_is_faster_in_the_mean)
{
    enum { DRAWS = 40 };
    for (uint32_t g = 2; g <= 6; g += 2) {
        double sums[ORDERS] = {0};
        for (uint64_t seed = 1; seed <= DRAWS; seed++) {
            const draw_t draw = {seed, 0.3, 20000, 40000, 0};
            for (int order = 0; order < ORDERS; order++)
                sums[order] += drawn_s(g, 4 * g, (lspo_pipeline_order_t)order, &draw);
        }
        if (g == 2)
            cr_expect_eq(sums[message], sums[one_f_one_b]);
        else
            cr_expect(sums[message] > sums[one_f_one_b] && sums[message] < 1.05 * sums[one_f_one_b], "%u GPUs: %g", g,
                      sums[message] / sums[one_f_one_b]);
    }
}

/* ---- in flight, and memory ---- */

/* Micro-batches whose forward through the GPU has begun and whose backward has not ended: at most G; 1F1B at most G - d
 * on GPU d; GPipe all. */
Test(pipeline, at_most_as_many_in_flight_as_gpus)
{
    enum { G = 4, M = 11 };
    for (int order = 0; order < ORDERS; order++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            const grid_t grid = pipeline_of(G, M, (lspo_pipeline_order_t)order);
            const draw_t draw = {seed, 0.5, 20000, 40000, 5000};
            lspo_plan_t *p = build_grid(&grid, small_workload(1));
            lspo_trace_t *t = play_draw(p, &draw);
            for (uint32_t block = 1; block <= G; block++) {
                uint32_t most = 0;
                for (uint32_t i = 0; i < t->row_count; i++) {
                    uint32_t in_flight = 0;
                    for (uint32_t j = 0; j < t->row_count; j++) {
                        const lspo_trace_row_t *r = &t->rows[j];
                        if (r->layer != block || r->iteration > 0)
                            continue;
                        in_flight += r->kind == LSPO_OP_FWD && r->start_ns <= t->rows[i].start_ns;
                        in_flight -= r->kind == LSPO_OP_BWD && r->end_ns <= t->rows[i].start_ns;
                    }
                    most = in_flight > most ? in_flight : most;
                }
                cr_expect_leq(most, grid.order == gpipe ? M : grid.order == message ? G : G + 1 - block);
                if (block == 1)
                    cr_expect_eq(most, grid.order == gpipe ? (uint32_t)M : (uint32_t)G);
            }
            done(t, p);
        }
}

/* Four GPUs with a block each, GPipe, four micro-batches, no time on the network: after four forwards GPU 1 keeps for
 * each its input I and what was saved, S; while the fourth output has not left, one more I, and no gradient yet.  Then
 * backward adds dx, I, and the gradient.  The static memory is the block and the workspace. */
Test(pipeline, memory_of_each_gpu)
{
    const grid_t grid = pipeline_of(4, 4, gpipe);
    lspo_plan_t *p = build_grid(&grid, small_workload(2));
    lspo_trace_t *t = play(p, &usual);
    lspo_activations_t a;
    lspo_peer_peaks_t peaks = {0};
    lspo_stage_t block;
    uint64_t gpu = 0, host = 0, most = 0;
    lspo_activations(&p->model, &p->workload, &a);
    lspo_model_stage(&p->model, 2, &block);
    cr_assert_eq(lspo_memory_replay_peers(p, t, &peaks), LSPO_OK);
    cr_assert_eq(peaks.count, 4u);
    const uint64_t parameters = 4 * block.element_count, gradient = 4 * 12 * 16 * 16;
    cr_expect_eq(p->peer_static[1].gpu_bytes, parameters + a.workspace_bytes);
    cr_expect_eq(p->peer_static[1].host_bytes, 3 * gradient); /* m, v and the copy of the linear weights */
    cr_expect_eq(peaks.gpu_bytes[1],
                 p->peer_static[1].gpu_bytes + 4 * (a.input_bytes + a.saved_bytes) + a.input_bytes + gradient, "%lu",
                 (unsigned long)peaks.gpu_bytes[1]);
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    for (uint32_t peer = 0; peer < 4; peer++)
        most = peaks.gpu_bytes[peer] > most ? peaks.gpu_bytes[peer] : most;
    cr_expect_eq(gpu, most);
    lspo_peer_peaks_release(&peaks);
    done(t, p);
}

/* Stages are distributed evenly, each once; a tied head adds a copy of the token embedding. */
Test(pipeline, static_memory_adds_up)
{
    for (uint32_t tied = 0; tied < 2; tied++)
        for (uint32_t g = 2; g <= 5; g++) {
            lspo_model_t model = three_blocks();
            const lspo_policy_t *policy = NULL;
            lspo_workload_t w = small_workload(1);
            lspo_plan_t *p = NULL;
            lspo_activations_t a;
            uint64_t sum = 0, host = 0;
            model.block_count = 7;
            model.tied_head = tied;
            w.train_rest = LSPO_TRAIN_REST_ON;
            w.accumulation = 2;
            own_of(&w)->pipeline = g;
            own_of(&w)->replicas = 2;
            cr_assert_eq(lspo_policy_find("axonn", &policy), LSPO_OK);
            cr_assert_eq(lspo_plan_build(&model, &w, policy, &p), LSPO_OK);
            lspo_activations(&model, &w, &a);
            for (uint32_t peer = 0; peer < 2 * g; peer++) {
                sum += p->peer_static[peer].gpu_bytes - a.workspace_bytes;
                host += p->peer_static[peer].host_bytes;
                cr_expect_leq(p->peer_static[peer].gpu_bytes, p->gpu_static_bytes);
                cr_expect_leq(p->peer_static[peer].host_bytes, p->host_static_bytes);
            }
            const uint64_t phi = lspo_model_parameter_count(&model), copy = tied ? 32u * 16 : 0;
            cr_expect_eq(sum, 2 * 4 * (phi + copy), "%u GPUs", g);
            cr_expect_eq(host, 2 * 12 * phi);
            lspo_plan_destroy(p);
        }
}

/* ---- replicas ---- */

/* Two replicas of one GPU, a micro-batch each: FWD 0-6, BWD 6-18; shares and sums of blocks 1 to 3 18-20-22, 22-24-26,
 * 26-28-30, each sum before the next shares.  Block 1 is updated 22-23 under those of block 2, block 2 26-27 with two
 * buckets at a time, and with one 29-30, behind SWAP_OUT 23-26 and SWAP_IN 26-29.  With --clip the norm comes behind
 * all sums, 30-31, and then the updates: block 2 with one bucket at a time 7 later than block 1. */
Test(pipeline, sums_run_under_updates)
{
    const durations_t d = with_sends(2);
    for (uint32_t variant = 0; variant < 4; variant++) {
        const grid_t grid = {.pipeline = 1, .replicas = 2, .accumulation = 2, .each = 3};
        const bool two = variant & 1, clips = variant & 2;
        lspo_workload_t w = small_workload(1);
        w.clip_norm = clips;
        own_of(&w)->bucket_slots = two ? 2 : 1;
        lspo_plan_t *p = build_grid(&grid, w);
        lspo_trace_t *t = play(p, &d);
        uint64_t bytes = 0;
        expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
        expect_micro(t, LSPO_OP_SEND, LSPO_VARIANT_SHARE, 1, 0, 18);
        expect_micro(t, LSPO_OP_SEND, LSPO_VARIANT_SUM, 1, 0, 20);
        expect_micro(t, LSPO_OP_SEND, LSPO_VARIANT_SUM, 3, 0, 28);
        expect(t, LSPO_OP_UPD_GPU, 1, 0, clips ? 31 : 22, clips ? 32 : 23);
        expect(t, LSPO_OP_UPD_GPU, 2, 0, clips ? (two ? 32 : 38) : (two ? 26 : 29),
               clips ? (two ? 33 : 39) : (two ? 27 : 30));
        for (uint32_t i = 0; i < p->op_count; i++)
            bytes += p->ops[i].kind == LSPO_OP_SEND ? lspo_work_link_bytes(&p->works[p->ops[i].work]) : 0;
        cr_expect_eq(bytes, 2u * (2 * 3 * 3072 * 4) / 2); /* of each replica 2 (R - 1) / R of all gradients */
        done(t, p);
    }
}

/* --reduce-buckets divides a layer's buckets into groups, of which the last may be smaller. */
Test(pipeline, buckets_are_summed_in_groups)
{
    for (uint32_t together = 1; together <= 4; together++) {
        lspo_model_t model = three_blocks();
        const lspo_policy_t *policy = NULL;
        lspo_workload_t w = small_workload(1);
        lspo_plan_t *p = NULL;
        uint32_t sums = 0, messages = 0;
        uint64_t bytes = 0;
        model.width = 64;
        model.mlp_width = 256;
        w.accumulation = 4;
        own_of(&w)->bucket_size = 16384;
        own_of(&w)->reduce_buckets = together;
        own_of(&w)->replicas = 4;
        cr_assert_eq(lspo_policy_find("axonn", &policy), LSPO_OK);
        cr_assert_eq(lspo_plan_build(&model, &w, policy, &p), LSPO_OK);
        for (uint32_t i = 0; i < p->op_count; i++)
            if (p->ops[i].kind == LSPO_OP_SEND) {
                sums++;
                messages += p->works[p->ops[i].work].kernels[0].count;
                bytes += lspo_work_link_bytes(&p->works[p->ops[i].work]);
            }
        cr_expect_eq(sums, 2 * 4u * 3 * ((3 + together - 1) / together)); /* SHARE and SUM; three buckets a block */
        cr_expect_eq(messages, 3 * sums);
        cr_expect_eq(bytes, 4u * (2 * 3 * (3 * 12 * 64 * 64 * 4)) / 4);
        lspo_plan_destroy(p);
    }
}

/* With --clip no peer updates anything before every sum and norm of the step. */
Test(pipeline, no_peer_updates_before_the_norms)
{
    const grid_t grid = {.pipeline = 3, .replicas = 2, .accumulation = 8, .each = 2, .tied = true};
    lspo_workload_t w = small_workload(2);
    w.clip_norm = 1;
    w.train_rest = LSPO_TRAIN_REST_ON;
    lspo_plan_t *p = build_grid(&grid, w);
    const durations_t d = with_sends(2);
    lspo_trace_t *t = play(p, &d);
    for (uint32_t step = 0; step < 2; step++) {
        uint64_t known = 0, updates = UINT64_MAX;
        for (uint32_t i = 0; i < t->row_count; i++) {
            const lspo_trace_row_t *r = &t->rows[i];
            const bool tells = r->kind == LSPO_OP_NORM || (r->kind == LSPO_OP_SEND && r->variant == LSPO_VARIANT_SUM);
            if (r->iteration != step)
                continue;
            if (tells && r->end_ns > known)
                known = r->end_ns;
            if (r->kind == LSPO_OP_UPD_GPU && r->start_ns < updates)
                updates = r->start_ns;
        }
        cr_expect_geq(updates, known);
    }
    done(t, p);
}

/* The head's part of a tied embedding's gradient goes to the first GPU before that updates, and the new embedding comes
 * back before the next head. */
Test(pipeline, a_tied_embedding_goes_and_comes_back)
{
    const grid_t grid = {.pipeline = 2, .replicas = 1, .accumulation = 3, .each = 2, .tied = true};
    lspo_workload_t w = small_workload(2);
    w.train_rest = LSPO_TRAIN_REST_ON;
    lspo_plan_t *p = build_grid(&grid, w);
    const durations_t d = with_sends(5);
    lspo_trace_t *t = play(p, &d);
    const lspo_trace_row_t *there = find_variant(t, LSPO_OP_SEND, 0, 0, LSPO_VARIANT_GRADIENT);
    const lspo_trace_row_t *back = find_variant(t, LSPO_OP_SEND, 0, 0, LSPO_VARIANT_PARAMETERS);
    cr_assert(there != NULL && back != NULL);
    cr_expect_leq(there->end_ns, find(t, LSPO_OP_UPD_GPU, 0, 0)->start_ns);
    cr_expect_geq(back->start_ns, find(t, LSPO_OP_UPD_GPU, 0, 0)->end_ns);
    cr_expect_geq(find(t, LSPO_OP_FWD, 5, 1)->start_ns, back->end_ns);
    cr_expect_eq(lspo_work_link_bytes(&p->works[p->ops[back->op].work]), 4u * 32 * 16);
    done(t, p);
}

/* ---- peers, and what is refused ---- */

/* A peer learns of others by what they send to it, and by nothing else: what it waits for is its own, or SEND of which
 * it is a receiver. */
Test(pipeline, peers_wait_for_messages_only)
{
    for (uint32_t variant = 0; variant < 8; variant++) {
        const grid_t grid = {.pipeline = 1 + (variant & 1) * 2,
                             .replicas = 1 + (variant >> 1 & 1),
                             .accumulation = 4,
                             .each = 2,
                             .tied = true};
        lspo_workload_t w = small_workload(2);
        w.clip_norm = variant >> 2 & 1;
        w.train_rest = LSPO_TRAIN_REST_ON;
        lspo_plan_t *p = build_grid(&grid, w);
        for (uint32_t i = 0; i < p->op_count; i++)
            for (uint32_t k = 0; k < p->ops[i].dep_count; k++) {
                const lspo_op_t *before = &p->ops[p->deps[p->ops[i].dep_first + k]];
                const uint32_t own = p->lanes.list[p->ops[i].lane].peer;
                cr_expect(p->lanes.list[before->lane].peer == own ||
                              (before->kind == LSPO_OP_SEND && p->policy->receives(p, before, own)),
                          "op %u", i);
            }
        lspo_plan_destroy(p);
    }
}

/* Lanes gpu, d2h, h2d, cpu, net of peer 0, then gpu, d2h, h2d, net of the others; what SEND takes is the receiver's. */
Test(pipeline, an_op_takes_memory_of_its_peer)
{
    const grid_t grid = {.pipeline = 2, .replicas = 2, .accumulation = 4, .each = 1};
    lspo_plan_t *p = build_grid(&grid, small_workload(1));
    lspo_peers_t peers;
    cr_assert_eq(lspo_peers_create(p, &peers), LSPO_OK);
    cr_assert_eq(peers.count, 4u);
    cr_assert_eq(p->lanes.count, 5u + 3 * 4);
    for (uint32_t lane = 0; lane < p->lanes.count; lane++)
        cr_expect_eq(peers.of_lane[lane], p->lanes.list[lane].peer);
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const uint32_t own = p->lanes.list[op->lane].peer;
        cr_expect_eq(lspo_peers_giver(&peers, op), own);
        if (op->kind == LSPO_OP_SEND && op->variant != LSPO_VARIANT_SUM && op->variant != LSPO_VARIANT_SHARE)
            cr_expect_eq(peers.taker[i], own ^ 1, "op %u", i);
        else if (op->kind != LSPO_OP_SEND)
            cr_expect_eq(peers.taker[i], own, "op %u", i);
    }
    lspo_peers_release(&peers);
    lspo_plan_destroy(p);
}

Test(pipeline, refuses_what_it_cannot_divide)
{
    const grid_t uneven = {.pipeline = 1, .replicas = 3, .accumulation = 4, .each = 3};
    const grid_t swapping = {.pipeline = 2, .replicas = 1, .accumulation = 4, .each = 2};
    lspo_workload_t w = small_workload(1);
    lspo_model_t model = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *p = NULL;
    cr_expect_eq(try_grid(&uneven, &w, &p), LSPO_ERR_INPUT);
    w.swap_activations = 1;
    cr_expect_eq(try_grid(&swapping, &w, &p), LSPO_ERR_INPUT);
    w = small_workload(1);
    own_of(&w)->pipeline = 4;
    cr_assert_eq(lspo_policy_find("axonn", &policy), LSPO_OK);
    cr_expect_eq(lspo_plan_build(&model, &w, policy, &p), LSPO_ERR_INPUT);
    cr_expect_null(p);
}
