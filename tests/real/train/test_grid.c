/* Grids of axonn and chains of fusion run in one process: losses and weights are those of one device to rounding, and
 * the same bits in every order of messages; the memory of each peer is that of the plan; messages take the time of the
 * network. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mpi.h"
#include "base/texts.h"
#include "plan/policies/axonn.h"
#include "plan/policies/fusion.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/train/grid_state.h"
#include "sim/memory.h"
#include "tests/host_weights.h"
#include "tests/own_folder.h"
#include "tests/small_gpt.h"

TestSuite(grid, .init = make_folder, .fini = remove_folder);

enum { STEPS = 6, STAGES = 5 };

typedef struct {
    uint32_t pipeline, replicas, accumulation;
    lspo_pipeline_order_t order;
    bool tied, checkpointing, frozen_rest;
    double clip;
    uint32_t bucket_size, together;
    uint32_t steps; /* 0: STEPS */
    bool dynamic;   /* the loss scale */
    lspo_family_t family;
    const char *chain; /* of fusion; NULL: axonn's grid */
    bool gpipe;
    double compress; /* --compress-links; 0: 1 */
    bool feedback;   /* --link-feedback */
} variant_t;

static void set_grid(const variant_t *v, lspo_workload_t *w)
{
    lspo_axonn_values_t *own = lspo_axonn_values_edit(w);
    own->pipeline = v->pipeline;
    own->replicas = v->replicas;
    own->pipeline_order = v->order;
    own->bucket_size = v->bucket_size > 0 ? v->bucket_size : 16000000;
    own->reduce_buckets = v->together > 0 ? v->together : 4;
}

static const char *peers_file = "[peers]\nBps = 1 GB/s\nlatency_s = 20 us\n[peer a]\ncount = 3\n"
                                "[peer b]\ncount = 2\nspeed = 0.5\nmemory_bytes = 1MiB\n[link a b]\nBps = 100 MB/s\n";

/* "none": one device. */
static void set_chain(const variant_t *v, lspo_workload_t *w)
{
    lspo_fusion_values_t *own = lspo_fusion_values_edit(w);
    own->peer_order = v->gpipe ? LSPO_PEER_ORDER_GPIPE : LSPO_PEER_ORDER_1F1B;
    own->compress_links = v->compress > 0 ? v->compress : 1;
    own->link_feedback = v->feedback;
    if (strcmp(v->chain, "none") == 0)
        return;
    cr_assert_eq(lspo_text_number(v->chain, &own->chain), LSPO_OK);
    cr_assert_eq(lspo_text_number(own_file("peers.ini", peers_file), &own->peers), LSPO_OK);
}

static lspo_plan_t *make_plan(const variant_t *v)
{
    lspo_model_t model = small_gpt();
    lspo_workload_t w;
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(v->chain != NULL ? "fusion" : "axonn", &policy), LSPO_OK);
    lspo_workload_default(&w);
    lspo_policy_set_defaults(policy, &model, false, &w);
    model.tied_head = v->tied;
    model.family = v->family;
    w.batch = 2;
    w.sequence = 16;
    w.precision = w.transfer = LSPO_FP32;
    w.iterations = v->steps > 0 ? v->steps : STEPS;
    w.loss_scale = v->dynamic ? LSPO_LOSS_SCALE_DYNAMIC : LSPO_LOSS_SCALE_AUTO;
    w.learning_rate = 3e-3;
    w.accumulation = v->accumulation;
    w.checkpointing = v->checkpointing;
    w.clip_norm = v->clip;
    w.train_rest = v->frozen_rest ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
    if (v->chain != NULL)
        set_chain(v, &w);
    else
        set_grid(v, &w);
    cr_assert_eq(lspo_plan_build(&model, &w, policy, &plan), LSPO_OK);
    return plan;
}

typedef struct {
    double losses[STEPS], held_out;
    float *weights[STAGES];
    size_t counts[STAGES];
} outcome_t;

static void keep_weights(outcome_t *outcome, const lspo_session_t *session)
{
    for (uint32_t s = session->place.first_stage; s <= session->place.last_stage; s++) {
        outcome->counts[s] = session->stages[s].shape.element_count;
        outcome->weights[s] = malloc(outcome->counts[s] * sizeof(float));
        cr_assert_not_null(outcome->weights[s]);
        memcpy(outcome->weights[s], host_weights(session, s), outcome->counts[s] * sizeof(float));
    }
}

static void release(outcome_t *outcome)
{
    for (uint32_t s = 0; s < STAGES; s++)
        free(outcome->weights[s]);
}

/* One device, without a grid. */
static void train_alone(const variant_t *v, outcome_t *outcome)
{
    variant_t alone = *v;
    alone.pipeline = alone.replicas = 1;
    alone.chain = v->chain != NULL ? "none" : NULL;
    const lspo_device_caps_t caps = {0};
    lspo_plan_t *plan = make_plan(&alone);
    lspo_text_t *text = make_text();
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_session_create(plan, device, text, &session), LSPO_OK);
    cr_assert_eq(lspo_execute(plan, lspo_session_run_op, NULL, session, NULL, &trace), LSPO_OK);
    memcpy(outcome->losses, lspo_session_losses(session), sizeof outcome->losses);
    keep_weights(outcome, session);
    cr_assert_eq(lspo_session_held_out_loss(session, 4, &outcome->held_out), LSPO_OK);
    lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_text_close(text);
    lspo_plan_destroy(plan);
}

typedef struct {
    lspo_plan_t *plan;
    lspo_text_t *text;
    lspo_grid_t *grid;
    lspo_trace_t *trace;
} run_t;

static void begin(const variant_t *v, const lspo_device_caps_t *caps, run_t *run)
{
    *run = (run_t){.plan = make_plan(v), .text = make_text()};
    const lspo_grid_options_t options = {.device = "host", .caps = *caps, .text = run->text};
    cr_assert_eq(lspo_grid_create(run->plan, &options, &run->grid), LSPO_OK);
}

static void play(run_t *run, outcome_t *outcome)
{
    lspo_trace_destroy(run->trace);
    cr_assert_eq(lspo_execute(run->plan, lspo_grid_run_op, NULL, run->grid, NULL, &run->trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(run->trace, run->plan), LSPO_OK);
    cr_assert_eq(lspo_grid_losses(run->grid, outcome->losses), LSPO_OK);
    for (uint32_t p = lspo_grid_peers(run->grid); p-- > 0;) {
        outcome_t own = {0};
        keep_weights(&own, run->grid->peers[p].session);
        for (uint32_t s = 0; s < STAGES; s++) {
            if (own.weights[s] == NULL)
                continue;
            if (outcome->weights[s] != NULL) /* of another replica */
                cr_assert_eq(memcmp(outcome->weights[s], own.weights[s], own.counts[s] * sizeof(float)), 0);
            free(outcome->weights[s]);
            outcome->weights[s] = own.weights[s];
            outcome->counts[s] = own.counts[s];
        }
    }
    cr_assert_eq(lspo_grid_held_out_loss(run->grid, 4, &outcome->held_out), LSPO_OK);
}

static void end(run_t *run)
{
    lspo_trace_destroy(run->trace);
    lspo_grid_destroy(run->grid);
    lspo_text_close(run->text);
    lspo_plan_destroy(run->plan);
}

static void train(const variant_t *v, outcome_t *outcome)
{
    const lspo_device_caps_t caps = {0};
    run_t run;
    begin(v, &caps, &run);
    *outcome = (outcome_t){0};
    play(&run, outcome);
    end(&run);
}

/* ---- numbers ---- */

/* Gradients differ by rounding, 1e-7 of the larger ones; where a gradient is hardly more than that, Adam's step may be
 * any of up to 3e-3.  So a few weights differ, and the mean of all and the losses do not. */
static void assert_close(const char *what, const outcome_t *got, const outcome_t *expected)
{
    for (uint32_t i = 0; i < STEPS; i++)
        cr_expect_float_eq(got->losses[i], expected->losses[i], 1e-5, "%s: step %u: %.9g, not %.9g", what, i,
                           got->losses[i], expected->losses[i]);
    cr_expect_float_eq(got->held_out, expected->held_out, 1e-5, "%s", what);
    for (uint32_t s = 0; s < STAGES; s++) {
        double sum = 0;
        for (size_t i = 0; i < expected->counts[s]; i++)
            sum += fabs((double)got->weights[s][i] - (double)expected->weights[s][i]);
        cr_expect_lt(sum / (double)expected->counts[s], 2e-6, "%s: stage %u: %g", what, s,
                     sum / (double)expected->counts[s]);
    }
    cr_expect_lt(expected->losses[STEPS - 1], expected->losses[0] - 0.1, "%s", what);
}

static const variant_t variants[] = {
    {.pipeline = 2, .replicas = 1, .accumulation = 3, .tied = true},
    {.pipeline = 3, .replicas = 1, .accumulation = 4, .tied = true, .clip = 0.3},
    {.pipeline = 3, .replicas = 1, .accumulation = 1, .tied = true, .checkpointing = true},
    {.pipeline = 2, .replicas = 1, .accumulation = 5, .frozen_rest = true, .tied = true, .clip = 0.3},
    {.pipeline = 2, .replicas = 1, .accumulation = 4, .family = LSPO_FAMILY_LLAMA},
    {.pipeline = 1, .replicas = 2, .accumulation = 4, .tied = true, .clip = 0.3},
    {.pipeline = 1, .replicas = 3, .accumulation = 3, .bucket_size = 1, .together = 2},
    {.pipeline = 2, .replicas = 2, .accumulation = 6, .tied = true, .checkpointing = true, .clip = 0.3},
    {.pipeline = 3, .replicas = 2, .accumulation = 4, .tied = true, .family = LSPO_FAMILY_LLAMA},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

Test(grid, trains_as_one_device)
{
    for (int i = 0; i < VARIANTS; i++) {
        outcome_t expected = {0};
        train_alone(&variants[i], &expected);
        for (uint32_t order = 0; order < (variants[i].pipeline > 1 ? 3 : 1); order++) {
            variant_t v = variants[i];
            outcome_t got;
            char what[64];
            v.order = (lspo_pipeline_order_t)order;
            snprintf(what, sizeof what, "variant %d, order %u", i, order);
            train(&v, &got);
            assert_close(what, &got, &expected);
            release(&got);
        }
        release(&expected);
    }
}

/* Unequal parts of peers of two kinds, one of which waits; parts that are the embedding or the head alone. */
static const variant_t chains[] = {
    {.chain = "a:3/b:2", .accumulation = 3, .tied = true},
    {.chain = "b:2/a:1/a:2", .accumulation = 4, .tied = true, .clip = 0.3},
    {.chain = "a:1/b:2/a:1/b:1", .accumulation = 1, .tied = true, .checkpointing = true, .clip = 0.3},
    {.chain = "a:2/b:3", .accumulation = 5, .frozen_rest = true, .tied = true, .clip = 0.3},
    {.chain = "a:4/b:1", .accumulation = 2, .family = LSPO_FAMILY_LLAMA, .clip = 0.3},
    {.chain = "b:5", .accumulation = 2, .tied = true},
};
enum { CHAINS = sizeof chains / sizeof chains[0] };

Test(grid, chains_train_as_one_device)
{
    for (int i = 0; i < CHAINS; i++) {
        outcome_t expected = {0};
        train_alone(&chains[i], &expected);
        for (int gpipe = 0; gpipe < 2; gpipe++) {
            variant_t v = chains[i];
            outcome_t got;
            char what[64];
            v.gpipe = gpipe;
            snprintf(what, sizeof what, "chain %s, order %d", v.chain, gpipe);
            train(&v, &got);
            assert_close(what, &got, &expected);
            release(&got);
        }
        release(&expected);
    }
}

/* One in 1.0001 is all: the numbers with their indices would be more bytes.  One in three changes the losses a little,
 * and both orders have the same numbers. */
Test(grid, compressed_links_change_the_losses)
{
    variant_t v = {.chain = "a:3/b:2", .accumulation = 2, .tied = true, .clip = 0.3, .compress = 1.0001};
    outcome_t exact, few[2];
    train(&(variant_t){.chain = v.chain, .accumulation = 2, .tied = true, .clip = 0.3}, &exact);
    train(&v, &few[0]);
    cr_expect_eq(memcmp(few[0].losses, exact.losses, sizeof exact.losses), 0);
    release(&few[0]);
    v.compress = 3;
    for (int gpipe = 0; gpipe < 2; gpipe++) {
        v.gpipe = gpipe;
        train(&v, &few[gpipe]);
    }
    cr_expect_eq(memcmp(few[0].losses, few[1].losses, sizeof exact.losses), 0);
    cr_expect_neq(few[0].losses[0], exact.losses[0]);
    cr_expect_float_eq(few[0].losses[0], exact.losses[0], 0.2);
    cr_expect_lt(few[0].losses[STEPS - 1], few[0].losses[0] - 0.1);
    release(&few[0]);
    release(&few[1]);
    release(&exact);
}

/* Whatever comes first: three orders, a slow network, and a second play. */
Test(grid, order_does_not_change_a_bit)
{
    const variant_t v = {.pipeline = 2, .replicas = 2, .accumulation = 8, .tied = true, .clip = 0.3};
    outcome_t expected;
    train(&v, &expected);
    for (uint32_t i = 0; i < 4; i++) {
        const lspo_device_caps_t caps = {.net_latency_s = i < 3 ? 0 : 3e-4};
        variant_t other = v;
        run_t run;
        other.order = (lspo_pipeline_order_t)(i % 3);
        begin(&other, &caps, &run);
        for (int again = 0; again < 2; again++) {
            outcome_t got = {0};
            if (again)
                cr_assert_eq(lspo_grid_reset(run.grid), LSPO_OK);
            play(&run, &got);
            cr_expect_eq(memcmp(got.losses, expected.losses, sizeof got.losses), 0, "order %u, play %d", i, again);
            cr_expect_eq(got.held_out, expected.held_out);
            for (uint32_t s = 0; s < STAGES; s++)
                cr_expect_eq(memcmp(got.weights[s], expected.weights[s], got.counts[s] * sizeof(float)), 0,
                             "order %u, play %d, stage %u", i, again, s);
            release(&got);
        }
        end(&run);
    }
    release(&expected);
}

/* The final norm's gain at 1e36: the loss stays in fp32, but gradients behind the norm do not stand a factor of 8192,
 * and each of the three steps overflows (as in test_loss_scale.c).  Only the last GPU of a replica sees it, and none
 * changes anything; the scale is halved on all. */
Test(grid, a_step_that_overflows_is_skipped_by_all)
{
    const variant_t v = {
        .pipeline = 2, .replicas = 2, .accumulation = 4, .tied = true, .clip = 0.3, .steps = 3, .dynamic = true};
    const lspo_device_caps_t caps = {0};
    run_t run;
    outcome_t before = {0}, got = {0};
    begin(&v, &caps, &run);
    for (uint32_t p = 0; p < lspo_grid_peers(run.grid); p++) {
        lspo_session_t *session = run.grid->peers[p].session;
        float weights[2 * 32] = {0};
        for (uint32_t i = 0; i < 32; i++)
            weights[i] = 1e36F;
        if (session->stages[STAGES - 1].here)
            cr_assert_eq(lspo_session_set_weights(session, STAGES - 1, weights), LSPO_OK);
    }
    for (uint32_t p = 0; p < 2; p++)
        keep_weights(&before, run.grid->peers[p].session);
    play(&run, &got);
    for (uint32_t p = 0; p < lspo_grid_peers(run.grid); p++) {
        cr_expect_not(isfinite(lspo_session_gradient_norm(run.grid->peers[p].session)), "peer %u", p);
        cr_expect_eq(run.grid->peers[p].session->scaling.now, 65536.0F / 8, "peer %u", p);
    }
    for (uint32_t s = 0; s < STAGES; s++)
        cr_expect_eq(memcmp(got.weights[s], before.weights[s], got.counts[s] * sizeof(float)), 0, "stage %u", s);
    release(&got);
    release(&before);
    end(&run);
}

/* ---- memory ---- */

/* The device's own high-water mark is at most that of the plan, replayed in the order in which the ops ran, and has at
 * least the static memory and a block's activations in it. */
static void expect_memory(const char *what, const variant_t *v)
{
    const lspo_device_caps_t caps = {.h2d_latency_s = 1e-4, .d2h_latency_s = 1e-4, .net_latency_s = 1e-4};
    outcome_t got = {0};
    run_t run;
    lspo_peer_peaks_t peaks;
    begin(v, &caps, &run);
    play(&run, &got);
    cr_assert_eq(lspo_memory_replay_peers(run.plan, run.trace, &peaks), LSPO_OK);
    cr_assert_eq(peaks.count, lspo_grid_peers(run.grid));
    for (uint32_t p = 0; p < peaks.count; p++) {
        const uint64_t peak_bytes = lspo_device_peak_bytes(run.grid->peers[p].device);
        const double of_plan = (double)peak_bytes / (double)peaks.gpu_bytes[p];
        cr_expect(of_plan <= 1 && of_plan >= 0.9, "%s, peer %u: %g", what, p, of_plan);
    }
    lspo_peer_peaks_release(&peaks);
    release(&got);
    end(&run);
}

Test(grid, memory_of_each_peer_is_that_of_the_plan)
{
    char what[64];
    for (int i = 0; i < VARIANTS; i++)
        for (uint32_t order = 0; order < (variants[i].pipeline > 1 ? 3 : 1); order++) {
            variant_t v = variants[i];
            v.order = (lspo_pipeline_order_t)order;
            snprintf(what, sizeof what, "variant %d, order %u", i, order);
            expect_memory(what, &v);
        }
    for (uint32_t i = 0; i < 3; i++) {
        const variant_t v = {
            .chain = "b:2/a:1/a:2", .accumulation = 4, .tied = true, .gpipe = i == 1, .compress = 3, .feedback = i > 0};
        expect_memory("compressed links", &v);
    }
}

/* ---- compressed links ---- */

static const lspo_op_t *op_of(const lspo_plan_t *plan, lspo_op_kind_t kind, uint32_t micro)
{
    for (uint32_t i = 0; i < plan->op_count; i++)
        if (plan->ops[i].kind == kind && plan->ops[i].variant == LSPO_VARIANT_GRADIENT && plan->ops[i].layer > 0 &&
            plan->ops[i].micro == micro)
            return &plan->ops[i];
    cr_assert_fail("no %s of micro-batch %u", lspo_op_kind_name(kind), micro);
    return NULL;
}

static bool is_sent(const float *x, size_t n, size_t i, size_t kept)
{
    size_t before = 0;
    for (size_t k = 0; k < n; k++)
        before += fabsf(x[k]) > fabsf(x[i]) || (fabsf(x[k]) == fabsf(x[i]) && k < i);
    return before < kept;
}

/* Of drawn numbers arrives, and with feedback stays for the next message, what a reference says that counts. */
static void expect_largest(bool feedback)
{
    const variant_t v = {.chain = "a:3/b:2", .accumulation = 3, .tied = true, .compress = 5, .feedback = feedback};
    static float x[2048], left[2048], got[2048];
    const lspo_device_caps_t caps = {0};
    run_t run;
    begin(&v, &caps, &run);
    lspo_session_t *from = run.grid->peers[1].session, *to = run.grid->peers[0].session;
    const size_t n = lspo_session_output_bytes(from) / sizeof(float), kept = (n + 4) / 5;
    cr_assert_leq(n, 2048);
    memset(left, 0, sizeof left);
    for (uint32_t m = 0; m < 3; m++) {
        const lspo_op_t *sent = op_of(run.plan, LSPO_OP_SEND, m), *spread = op_of(run.plan, LSPO_OP_APPLY, m);
        lspo_session_message_t message = {0};
        void **dx = lspo_session_dx(from, sent);
        for (size_t i = 0; i < n; i++)
            x[i] = (float)((i * 7919 + m * 104729) % 1009) - 500;
        cr_assert_eq(lspo_session_take(from, n * sizeof *x, dx), LSPO_OK);
        cr_assert_eq(lspo_device_write(from->device, *dx, x, n * sizeof *x), LSPO_OK);
        cr_assert_eq(lspo_session_run_op(from, op_of(run.plan, LSPO_OP_COMPRESS, m)), LSPO_OK);
        cr_assert_eq(lspo_session_pack(from, sent, 0, &message), LSPO_OK);
        cr_expect_eq(message.bytes, kept * 8);
        cr_assert_eq(lspo_session_unpack(to, sent, 1, &message), LSPO_OK);
        cr_assert_eq(lspo_session_end_send(from, sent), LSPO_OK);
        cr_assert_eq(lspo_session_run_op(to, spread), LSPO_OK);
        cr_assert_eq(lspo_device_read(to->device, got, *lspo_session_dx(to, spread), n * sizeof *got), LSPO_OK);
        for (size_t i = 0; i < n; i++)
            x[i] += left[i];
        for (size_t i = 0; i < n; i++) {
            const bool goes = is_sent(x, n, i, kept);
            cr_assert_eq(got[i], goes ? x[i] : 0, "message %u, number %zu", m, i);
            left[i] = goes || !feedback ? 0 : x[i];
        }
        lspo_session_give_back(to, lspo_session_dx(to, spread));
        lspo_session_message_release(&message);
    }
    end(&run);
}

Test(grid, the_largest_numbers_of_a_gradient_are_sent)
{
    expect_largest(false);
    expect_largest(true);
}

/* ---- the network ---- */

static double longest_s(const lspo_trace_t *trace, lspo_op_variant_t variant, double *shortest_s_out)
{
    double longest_s = 0;
    *shortest_s_out = INFINITY;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const double s = 1e-9 * (double)(trace->rows[i].end_ns - trace->rows[i].start_ns);
        if (trace->rows[i].kind != LSPO_OP_SEND || trace->rows[i].variant != variant)
            continue;
        longest_s = fmax(longest_s, s);
        *shortest_s_out = fmin(*shortest_s_out, s);
    }
    return longest_s;
}

/* Activations: 2 x 16 x 32 numbers, 4096 bytes at 10 MB/s and 100 us: 509.6 us.  A share of one of three replicas: two
 * messages, with two thirds of a group of up to 8512 numbers. */
Test(grid, messages_take_the_time_of_the_network)
{
    const variant_t pipeline = {.pipeline = 2, .replicas = 1, .accumulation = 2};
    const variant_t replicas = {.pipeline = 1, .replicas = 3, .accumulation = 3};
    const lspo_device_caps_t caps = {.net_Bps = 1e7, .net_latency_s = 1e-4};
    outcome_t got = {0};
    run_t run;
    double shortest_s;
    begin(&pipeline, &caps, &run);
    play(&run, &got);
    cr_expect_gt(longest_s(run.trace, LSPO_VARIANT_NONE, &shortest_s), 0);
    cr_expect_geq(shortest_s, 509.5e-6);
    release(&got);
    end(&run);
    got = (outcome_t){0};
    begin(&replicas, &caps, &run);
    play(&run, &got);
    const size_t block = run.grid->peers[0].session->stages[1].shape.element_count;
    cr_expect_geq(longest_s(run.trace, LSPO_VARIANT_SHARE, &shortest_s),
                  2e-4 + 4.0 * 2 / 3 * (double)block / 1e7 - 1e-6);
    cr_expect_geq(shortest_s, 2e-4);
    release(&got);
    end(&run);
}

static double busy_s(const run_t *run, uint32_t peer)
{
    double sum_s = 0;
    for (uint32_t i = 0; i < run->trace->row_count; i++) {
        const lspo_trace_row_t *row = &run->trace->rows[i];
        const lspo_lane_t *lane = &run->plan->lanes.list[row->lane];
        if (lane->kind == LSPO_LANE_GPU && lane->peer == peer)
            sum_s += 1e-9 * (double)(row->end_ns - row->start_ns);
    }
    return sum_s;
}

/* 4096 bytes take 41 us from a to b, and then 20 us until they are there; b has half the speed: its lane is busy for
 * twice the time that it computes.  Each has the memory that the file says. */
Test(grid, a_chain_is_as_slow_as_its_file)
{
    const lspo_device_caps_t caps = {0};
    const variant_t v = {.chain = "a:3/b:2", .accumulation = 2};
    outcome_t got = {0};
    run_t run;
    double shortest_s;
    begin(&v, &caps, &run);
    play(&run, &got);
    cr_expect_gt(longest_s(run.trace, LSPO_VARIANT_NONE, &shortest_s), 0);
    cr_expect_geq(shortest_s, 40.9e-6);
    cr_expect_gt(longest_s(run.trace, LSPO_VARIANT_DELAY, &shortest_s), 0);
    cr_expect_geq(shortest_s, 19.9e-6);
    cr_expect_geq(busy_s(&run, 1), 2 * run.grid->peers[1].cpu_s);
    cr_expect_eq(lspo_device_caps(run.grid->peers[0].device)->memory_bytes, 0u);
    cr_expect_eq(lspo_device_caps(run.grid->peers[1].device)->memory_bytes, 1u << 20);
    release(&got);
    end(&run);
}

/* ---- ranks ---- */

static void expect_local(uint32_t rank, uint32_t count)
{
    uint32_t rank_here, count_here;
    lspo_mpi_local(&rank_here, &count_here);
    cr_expect_eq(rank_here, rank);
    cr_expect_eq(count_here, count);
}

/* Rank 5 of 6 on this machine; 4 ranks on the first one, 6 on the second. */
Test(grid, slurms_ranks_have_gpus_of_their_own)
{
    unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
    unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    unsetenv("MPI_LOCALRANKID");
    unsetenv("MPI_LOCALNRANKS");
    unsetenv("SLURM_LOCALID");
    unsetenv("SLURM_STEP_TASKS_PER_NODE");
    expect_local(0, 1);
    setenv("SLURM_LOCALID", "3", 1);
    expect_local(3, 4);
    setenv("SLURM_STEP_TASKS_PER_NODE", "4(x2)", 1);
    expect_local(3, 4);
    setenv("SLURM_STEP_TASKS_PER_NODE", "4,6", 1);
    setenv("SLURM_LOCALID", "5", 1);
    expect_local(5, 6);
}

/* ---- what is refused ---- */

Test(grid, refuses_what_it_cannot_run)
{
    const variant_t v = {.pipeline = 2, .replicas = 1, .accumulation = 2};
    const lspo_device_caps_t none = {0};
    lspo_plan_t *plan = make_plan(&v);
    lspo_text_t *text = make_text();
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_grid_t *grid = NULL;
    const lspo_grid_options_t gpus = {.device = "cuda", .text = text};
    const lspo_grid_options_t small = {.device = "host", .caps.memory_bytes = 1000, .text = text};
    cr_expect_eq(lspo_grid_create(plan, &gpus, &grid), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_grid_create(plan, &small, &grid), LSPO_ERR_FIT);
    cr_expect_null(grid);
    cr_assert_eq(lspo_device_open("host", &none, &device), LSPO_OK);
    cr_expect_eq(lspo_session_create(plan, device, text, &session), LSPO_ERR_INTERNAL);
    cr_expect_null(session);
    lspo_device_close(device);
    lspo_text_close(text);
    lspo_plan_destroy(plan);
}
