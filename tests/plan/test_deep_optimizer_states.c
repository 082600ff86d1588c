/* deep-optimizer-states: timelines worked out by hand (tests/timeline.h), what crosses the link, what is on the GPU,
 * and the stride that is chosen by simulation. */
#include <criterion/criterion.h>
#include <math.h>

#include "plan/chunks.h"
#include "plan/policies/deep_optimizer_states.h"
#include "sim/fit.h"
#include "tests/timeline.h"

static const char name[] = "deep-optimizer-states";

static lspo_deep_optimizer_states_values_t *own_of(lspo_workload_t *w)
{
    return lspo_deep_optimizer_states_values_edit(w);
}

/* Of three blocks, one subgroup each, the second is the GPU's.  FWD1-3 0-6, BWD3 6-10, BWD2 10-14, BWD1 14-18; D2H3
 * 10-13, D2H1 18-21.  SWAP_IN2 18-21, UPD_GPU2 21-22, SWAP_OUT2 22-25.  UPD1 21-29, UPD3 29-37; H2D1 29-32, APPLY1
 * 32-33; H2D3 37-40, APPLY3 40-41, for which FWD1 waits; zero, which updates block 2 as well, begins it at 49. */
Test(deep_optimizer_states, every_second_on_the_gpu)
{
    lspo_workload_t w = small_workload(2);
    own_of(&w)->stride = 2;
    lspo_plan_t *p = build(name, &w), *zero = build("zero", &w);
    lspo_trace_t *t = play(p, &usual), *of_zero = play(zero, &usual);
    expect(t, LSPO_OP_D2H, 3, 0, 10, 13);
    expect(t, LSPO_OP_D2H, 1, 0, 18, 21);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 2, 0, 18);
    expect(t, LSPO_OP_UPD_GPU, 2, 0, 21, 22);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_OPTIMIZER, 2, 0, 22);
    expect(t, LSPO_OP_UPD, 1, 0, 21, 29);
    expect(t, LSPO_OP_UPD, 3, 0, 29, 37);
    expect(t, LSPO_OP_H2D, 1, 0, 29, 32);
    expect(t, LSPO_OP_APPLY, 1, 0, 32, 33);
    expect(t, LSPO_OP_APPLY, 3, 0, 40, 41);
    expect(t, LSPO_OP_FWD, 1, 1, 41, 43);
    expect(of_zero, LSPO_OP_FWD, 1, 1, 49, 51);
    for (uint32_t i = 0; i < t->row_count; i++)
        cr_expect(t->rows[i].layer != 2 || (t->rows[i].kind != LSPO_OP_D2H && t->rows[i].kind != LSPO_OP_H2D &&
                                            t->rows[i].kind != LSPO_OP_UPD),
                  "block 2 is the GPU's");
    done(of_zero, zero);
    done(t, p);
}

/* The norm, 18-19, and its scalar behind D2H1, 21-24, hold back UPD1: 24-32.  The state of block 2 does not wait for
 * it; a state that takes 1 to come, 18-19, would be there before the norm is known: UPD_GPU2 19-20. */
Test(deep_optimizer_states, clipping_is_a_barrier)
{
    lspo_workload_t w = small_workload(1);
    durations_t quick = usual;
    w.clip_norm = 1;
    own_of(&w)->stride = 2;
    quick.ns[LSPO_OP_SWAP_IN] = 1;
    quick.ns[LSPO_OP_NORM] = 2;
    lspo_plan_t *p = build(name, &w);
    lspo_trace_t *t = play(p, &usual), *soon = play(p, &quick);
    expect(t, LSPO_OP_NORM, 4, 0, 18, 19);
    expect(t, LSPO_OP_UPD, 1, 0, 24, 32);
    expect(t, LSPO_OP_UPD_GPU, 2, 0, 21, 22);
    expect(soon, LSPO_OP_UPD_GPU, 2, 0, 20, 21);
    lspo_trace_destroy(soon);
    done(t, p);
}

/* D2H2 14-17; UPD1 21-29, and UPD2 waits for H2D1 29-32: 32-40, UPD3 for H2D2 40-43: 43-51; H2D3 51-54, APPLY3 54-55.
 * Asynchronously UPD3 37-45, H2D3 45-48, APPLY3 48-49. */
Test(deep_optimizer_states, blocking_down_convert)
{
    lspo_workload_t w = small_workload(2);
    own_of(&w)->interleave = false;
    for (int blocking = 0; blocking < 2; blocking++) {
        own_of(&w)->down_convert = blocking ? LSPO_DOWN_CONVERT_BLOCKING : LSPO_DOWN_CONVERT_ASYNC;
        lspo_plan_t *p = build(name, &w);
        lspo_trace_t *t = play(p, &usual);
        expect(t, LSPO_OP_UPD, 2, 0, blocking ? 32 : 29, blocking ? 40 : 37);
        expect(t, LSPO_OP_UPD, 3, 0, blocking ? 43 : 37, blocking ? 51 : 45);
        expect(t, LSPO_OP_FWD, 1, 1, blocking ? 55 : 49, blocking ? 57 : 51);
        done(t, p);
    }
}

/* BWD2 waits for D2H3, 10-13, also if block 2 is the GPU's: 13-17; otherwise BWD1 waits for D2H2, 17-20. */
Test(deep_optimizer_states, blocking_gradient_flush)
{
    lspo_workload_t w = small_workload(1);
    own_of(&w)->gradient_buffers = 1;
    for (int interleave = 0; interleave < 2; interleave++) {
        own_of(&w)->interleave = interleave;
        own_of(&w)->stride = 2;
        lspo_plan_t *p = build(name, &w);
        lspo_trace_t *t = play(p, &usual);
        expect(t, LSPO_OP_BWD, 2, 0, 13, 17);
        expect(t, LSPO_OP_BWD, 1, 0, interleave ? 17 : 20, interleave ? 21 : 24);
        done(t, p);
    }
}

/* Without the GPU's share the timeline is zero's, op by op, with gradients that block or not. */
Test(deep_optimizer_states, without_interleaving_it_is_zero)
{
    for (uint32_t variant = 0; variant < 8; variant++) {
        lspo_workload_t w = small_workload(3);
        own_of(&w)->interleave = false;
        own_of(&w)->gradient_buffers = lspo_zero_values_edit(&w)->gradient_buffers = variant & 1 ? 1 : 2;
        w.clip_norm = variant & 2 ? 1 : 0;
        w.train_rest = variant & 4 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        lspo_plan_t *p = build(name, &w), *zero = build("zero", &w);
        lspo_trace_t *t = play(p, &usual), *of_zero = play(zero, &usual);
        cr_assert_eq(t->row_count, of_zero->row_count);
        cr_expect_eq(p->gpu_static_bytes, zero->gpu_static_bytes);
        cr_expect_eq(p->host_static_bytes, zero->host_static_bytes);
        for (uint32_t i = 0; i < t->row_count; i++) {
            const lspo_trace_row_t *r = &t->rows[i], *s = &of_zero->rows[i];
            cr_assert(r->kind == s->kind && r->layer == s->layer && r->start_ns == s->start_ns &&
                          r->end_ns == s->end_ns && p->ops[r->op].gpu_alloc_bytes == zero->ops[s->op].gpu_alloc_bytes,
                      "variant %u, row %u", variant, i);
        }
        done(of_zero, zero);
        done(t, p);
    }
}

/* ---- several subgroups per block ---- */

enum { WIDTH = 64, WEIGHTS = 12 * WIDTH * WIDTH, PART = WEIGHTS / 3 };

static lspo_model_t two_blocks(void)
{
    lspo_model_t model = three_blocks();
    model.block_count = 2;
    model.width = WIDTH;
    model.mlp_width = 4 * WIDTH;
    return model;
}

/* Three subgroups of 16384 weights each. */
static lspo_plan_t *build_parts(lspo_workload_t *w)
{
    const lspo_model_t model = two_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    own_of(w)->subgroup_size = PART;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, w, policy, &plan), LSPO_OK);
    return plan;
}

static const durations_t of_parts = {.ns = {[LSPO_OP_FWD] = 2,
                                            [LSPO_OP_BWD] = 4,
                                            [LSPO_OP_COMPRESS] = 1,
                                            [LSPO_OP_D2H] = 1,
                                            [LSPO_OP_UPD] = 3,
                                            [LSPO_OP_UPD_GPU] = 1,
                                            [LSPO_OP_H2D] = 1,
                                            [LSPO_OP_APPLY] = 1,
                                            [LSPO_OP_SWAP_IN] = 4,
                                            [LSPO_OP_SWAP_OUT] = 4}};

/* k = 2: part 1 of block 1, parts 0 and 2 of block 2 are the GPU's, written 1.1, 2.0, 2.2.  BWD2 4-8, COMPRESS2.0 8-9,
 * 2.2 9-10, D2H2.1 10-11; BWD1 10-14, COMPRESS1.1 14-15, D2H1.0 15-16, D2H1.2 16-17.  UPD1.0 17-20, UPD1.2 20-23,
 * UPD2.1 23-26.  Two states at once: IN1.1 15-19, IN2.0 19-23; OUT1.1 20-24 makes room for IN2.2, before which H2D1.0
 * 23-24 and H2D1.2 24-25 were ready: 25-29; H2D2.1 29-30, APPLY2.1 30-31.  One at a time: OUT1.1 20-24, IN2.0 24-28,
 * OUT2.0 29-33, IN2.2 33-37, UPD_GPU2.2 37-38. */
Test(deep_optimizer_states, states_take_turns)
{
    for (uint32_t slots = 1; slots <= 2; slots++) {
        lspo_workload_t w = small_workload(2);
        bool two = slots == 2;
        own_of(&w)->stride = 2;
        own_of(&w)->subgroup_slots = slots;
        lspo_plan_t *p = build_parts(&w);
        lspo_trace_t *t = play(p, &of_parts);
        expect_micro(t, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, 2, 0, 8);
        expect_micro(t, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, 2, 2, 9);
        expect_micro(t, LSPO_OP_D2H, LSPO_VARIANT_NONE, 2, 1, 10);
        expect_micro(t, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, 1, 1, 14);
        expect_micro(t, LSPO_OP_D2H, LSPO_VARIANT_NONE, 1, 2, 16);
        expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_NONE, 1, 0, 17);
        expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_NONE, 1, 2, 20);
        expect_micro(t, LSPO_OP_UPD, LSPO_VARIANT_NONE, 2, 1, 23);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 1, 1, 15);
        expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_OPTIMIZER, 1, 1, 20);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 2, 0, two ? 19 : 24);
        expect_micro(t, LSPO_OP_H2D, LSPO_VARIANT_NONE, 1, 0, two ? 23 : 20);
        expect_micro(t, LSPO_OP_H2D, LSPO_VARIANT_NONE, 1, 2, two ? 24 : 23);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 2, 2, two ? 25 : 33);
        expect_micro(t, LSPO_OP_H2D, LSPO_VARIANT_NONE, 2, 1, two ? 29 : 28);
        expect_micro(t, LSPO_OP_UPD_GPU, LSPO_VARIANT_NONE, 2, 2, two ? 29 : 37);
        expect(t, LSPO_OP_FWD, 1, 1, two ? 31 : 38, two ? 33 : 40);
        done(t, p);
    }
}

/* ---- what crosses the link, what is updated, what is on the GPU ---- */

typedef struct {
    uint64_t fetched, flushed, sent, returned; /* bytes */
    uint64_t on_cpu, on_gpu, kept;             /* elements updated; bytes of gradients that stay */
    uint64_t fetches;
} ledger_t;

static ledger_t ledger_of(const lspo_plan_t *p)
{
    ledger_t all = {0};
    for (uint32_t i = 0; i < p->op_count; i++) {
        const lspo_op_t *op = &p->ops[i];
        const lspo_work_t *work = &p->works[op->work];
        const uint64_t bytes = lspo_work_link_bytes(work);
        all.fetched += op->kind == LSPO_OP_SWAP_IN ? bytes : 0;
        all.fetches += op->kind == LSPO_OP_SWAP_IN;
        all.flushed += op->kind == LSPO_OP_SWAP_OUT ? bytes : 0;
        all.sent += op->kind == LSPO_OP_D2H ? bytes : 0;
        all.returned += op->kind == LSPO_OP_H2D ? bytes : 0;
        all.on_cpu += op->kind == LSPO_OP_UPD ? work->kernels[0].elements : 0;
        all.on_gpu += op->kind == LSPO_OP_UPD_GPU ? work->kernels[0].elements : 0;
        all.kept += op->kind == LSPO_OP_COMPRESS ? op->gpu_alloc_bytes : 0;
    }
    return all;
}

/* In 16 bits a window of k subgroups of S weights moves 12 S each way for the GPU's one and 2 (k - 1) S each way for
 * the others; every weight is updated once per step; 2 S bytes of gradient stay per subgroup of the GPU. */
Test(deep_optimizer_states, a_window_moves_what_the_paper_says)
{
    enum { S = PART, STEPS = 2 };
    for (int32_t k = 2; k <= 6; k += k == 3 ? 3 : 1) { /* 2, 3, 6: whole windows of the 6 subgroups */
        lspo_workload_t w = small_workload(STEPS);
        w.precision = w.transfer = LSPO_FP16;
        own_of(&w)->stride = k;
        lspo_plan_t *p = build_parts(&w);
        const ledger_t l = ledger_of(p);
        const uint64_t windows = STEPS * 6 / (uint64_t)k, others = (uint64_t)k - 1;
        cr_expect_eq(l.fetched, windows * 12 * S);
        cr_expect_eq(l.flushed, windows * 12 * S);
        cr_expect_eq(l.sent, windows * 2 * others * S);
        cr_expect_eq(l.returned, windows * 2 * others * S);
        cr_expect_eq(l.kept, windows * 2 * S);
        cr_expect_eq(l.on_gpu, windows * S);
        cr_expect_eq(l.on_cpu, windows * others * S);
        cr_expect_eq(p->host_static_bytes, (12u + 2 + 2) * 2 * WEIGHTS);
        lspo_plan_destroy(p);
    }
}

/* fp32 weights are their own master: 8 bytes come and 12 leave.  Other formats: m and v, and the weights that leave.
 * In 8 bits 16384 weights have 64 blocks of 2 x 256 codes and 2 scales. */
Test(deep_optimizer_states, bytes_of_a_state_in_every_format)
{
    static const struct {
        lspo_precision_t precision;
        lspo_optimizer_state_t state;
        uint64_t fetched, flushed;
    } cases[] = {{LSPO_FP32, LSPO_OPTIMIZER_STATE_FP32, 8 * PART, 12 * PART},
                 {LSPO_BF16, LSPO_OPTIMIZER_STATE_FP32, 12 * PART, 12 * PART},
                 {LSPO_BF16, LSPO_OPTIMIZER_STATE_BF16, 4 * PART, 6 * PART},
                 {LSPO_FP32, LSPO_OPTIMIZER_STATE_8BIT, 64 * 520, 64 * 520 + 4 * PART}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_workload_t w = small_workload(1);
        w.precision = w.transfer = cases[i].precision;
        own_of(&w)->optimizer_state = cases[i].state;
        own_of(&w)->stride = 2;
        lspo_plan_t *p = build_parts(&w);
        const ledger_t l = ledger_of(p);
        cr_expect_eq(l.fetched, l.fetches * cases[i].fetched, "case %zu", i);
        cr_expect_eq(l.flushed, l.fetches * cases[i].flushed, "case %zu", i);
        cr_expect_eq(l.fetches, 3u);
        lspo_plan_destroy(p);
    }
}

/* The states on the GPU at once never exceed the slots, and the gradients that stay are those of the GPU's share. */
Test(deep_optimizer_states, slots_bound_the_states_on_the_gpu)
{
    for (uint32_t slots = 1; slots <= 4; slots++) {
        lspo_workload_t w = small_workload(3);
        own_of(&w)->stride = 2;
        own_of(&w)->subgroup_slots = slots;
        lspo_plan_t *p = build_parts(&w);
        lspo_trace_t *t = play(p, &of_parts);
        uint32_t most = 0;
        for (uint32_t i = 0; i < t->row_count; i++) {
            uint32_t states = 0;
            for (uint32_t j = 0; j < t->row_count; j++) {
                const lspo_trace_row_t *r = &t->rows[j];
                states += r->kind == LSPO_OP_SWAP_IN && r->start_ns <= t->rows[i].start_ns;
                states -= r->kind == LSPO_OP_SWAP_OUT && r->end_ns <= t->rows[i].start_ns;
            }
            most = states > most ? states : most;
        }
        cr_expect_eq(most, slots < 3 ? slots : 3, "%u states with %u slots", most, slots);
        done(t, p);
    }
}

/* A layer is cut into equal subgroups, whatever S: as few as have at most S weights, in whole grains. */
Test(deep_optimizer_states, layers_are_cut_into_equal_subgroups)
{
    static const uint64_t sizes[] = {1, 16384, 16385, 49152, 1000000, 113246208};
    static const uint32_t most[] = {1, 16384, 20000, 100000, 1000000, 100000000, UINT32_MAX};
    for (size_t m = 0; m < sizeof most / sizeof most[0]; m++) {
        lspo_workload_t w = small_workload(1);
        own_of(&w)->subgroup_size = most[m];
        lspo_plan_t *p = build(name, &w);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            const uint64_t grains = most[m] < LSPO_CHUNK_GRAIN ? 1 : most[m] / LSPO_CHUNK_GRAIN;
            const uint32_t count = lspo_chunk_count(p, sizes[i]);
            uint64_t first = 0, at = 0, largest = 0;
            for (uint32_t part = 0; part < count; part++) {
                uint64_t elements = lspo_chunk_elements(p, sizes[i], part, &first);
                cr_assert(first == at && elements > 0 && first % LSPO_CHUNK_GRAIN == 0);
                largest = elements > largest ? elements : largest;
                at += elements;
            }
            cr_expect_eq(at, sizes[i]);
            cr_expect_leq(largest, grains * LSPO_CHUNK_GRAIN);
            cr_expect_lt(largest * count - sizes[i], (uint64_t)count * LSPO_CHUNK_GRAIN, "they are alike");
        }
        lspo_plan_destroy(p);
    }
}

/* ---- --stride auto ---- */

static lspo_fit_t fit_with(const lspo_model_t *model, const lspo_machine_t *machine, int32_t stride)
{
    lspo_fit_question_t question = {.model = model, .machine = machine};
    lspo_fit_t fit;
    cr_assert_eq(lspo_policy_find(name, &question.policy), LSPO_OK);
    lspo_workload_default(&question.workload);
    lspo_policy_set_defaults(question.policy, model, false, &question.workload);
    own_of(&question.workload)->stride = stride;
    cr_assert_eq(lspo_fit_try(&question, &fit), LSPO_OK);
    return fit;
}

static int32_t stride_of(const lspo_model_t *model, const lspo_machine_t *machine)
{
    const lspo_policy_t *policy = NULL;
    lspo_workload_t w;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    lspo_workload_default(&w);
    lspo_policy_set_defaults(policy, model, false, &w);
    cr_expect_eq(own_of(&w)->stride, LSPO_STRIDE_AUTO);
    cr_assert_eq(lspo_tune_transition(model, &w, policy, machine, &plan), LSPO_OK);
    int32_t stride = own_of(&plan->workload)->stride;
    lspo_plan_destroy(plan);
    return stride;
}

/* No stride from 2 to 10 is faster than the one that is chosen; a faster link moves it to the GPU, a slower one to the
 * CPU. */
Test(deep_optimizer_states, the_fastest_stride_is_chosen)
{
    static const double links[] = {4e9, 50e9, 200e9};
    int32_t chosen[3];
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("gpt2-1.3b", &model), LSPO_OK);
    for (int i = 0; i < 3; i++) {
        lspo_machine_t machine;
        cr_assert_eq(lspo_machine_find("a100-80gb-sxm", &machine), LSPO_OK);
        machine.link.h2d_Bps = machine.link.d2h_Bps = links[i];
        chosen[i] = stride_of(&model, &machine);
        double best_s = fit_with(&model, &machine, chosen[i]).iteration_s;
        for (int32_t k = 2; k <= 10; k++)
            cr_expect_leq(best_s, fit_with(&model, &machine, k).iteration_s, "%d is faster than %d at %g", k, chosen[i],
                          links[i]);
    }
    cr_expect_eq(chosen[2], 2);
    cr_expect_gt(chosen[1], chosen[2]);
    cr_expect_gt(chosen[0], chosen[1]);
}

/* Where the gradients of the GPU's share do not fit, a larger stride does. */
Test(deep_optimizer_states, a_stride_that_fits_is_chosen)
{
    lspo_machine_t machine;
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("gpt2-1.3b", &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("a100-80gb-sxm", &machine), LSPO_OK);
    machine.link.h2d_Bps = machine.link.d2h_Bps = 200e9;
    lspo_fit_t at_2 = fit_with(&model, &machine, 2), at_10 = fit_with(&model, &machine, 10);
    cr_assert_lt(at_10.gpu_bytes, at_2.gpu_bytes);
    machine.gpu.memory_bytes = (double)at_2.gpu_bytes - 1 + machine.gpu.context_bytes;
    int32_t chosen = stride_of(&model, &machine);
    cr_expect_gt(chosen, 2);
    cr_expect(fit_with(&model, &machine, chosen).fits);
}
