/* The effect of a training's flags on plans, and properties of the plans of all policies; see tests/timeline.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "plan/policies/swap.h"
#include "plan/policies/zenflow.h"
#include "plan/policy.h"
#include "sim/memory.h"
#include "tests/timeline.h"

/* Clipping under both: NORM between the last gradient and the first update, nothing crosses a link. */
Test(plan, clipping_on_the_gpu_delays_only_the_updates)
{
    lspo_workload_t w = small_workload(1);
    w.clip_norm = 1.0;
    lspo_plan_t *p = build("lora", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_NORM, 4, 0, 18, 19);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 19, 20);
    done(t, p);
    p = build("galore", &w); /* PROJECT takes no time here: BWD and COMPRESS of three blocks end at 6 + 15 */
    t = play(p, &usual);
    expect(t, LSPO_OP_NORM, 4, 0, 21, 22);
    expect(t, LSPO_OP_UPD_GPU, 1, 0, 22, 23);
    expect(t, LSPO_OP_APPLY, 1, 0, 25, 26);
    done(t, p);
}

/* --clip under zero-layerwise: BWD1 ends at 18, NORM 18-19, the scalar's D2H is ready at 19 behind D2H1 18-21: it takes
 * 3 like any D2H here, 21-24.  No UPD before 24; then, the shallow first: UPD1 24-32, UPD2 32-40, UPD3 40-48. */
Test(plan, clipping_is_a_barrier)
{
    lspo_workload_t w = small_workload(1);
    w.clip_norm = 1.0;
    lspo_plan_t *p = build("zero-layerwise", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_NORM, 4, 0, 18, 19);
    expect(t, LSPO_OP_UPD, 1, 0, 24, 32);
    expect(t, LSPO_OP_UPD, 3, 0, 40, 48);
    done(t, p);
}

/* Three micro-batches: gradients stay on the GPU and cross once, after the last backward: the first D2H follows the
 * third BWD3, which ends at 2 * 18 + 10 = 46. */
Test(plan, accumulation_sends_once)
{
    lspo_workload_t w = small_workload(1);
    w.accumulation = 3;
    lspo_plan_t *p = build("zero", &w);
    lspo_trace_t *t = play(p, &usual);
    uint32_t sends = 0;
    for (uint32_t i = 0; i < t->row_count; i++)
        sends += t->rows[i].kind == LSPO_OP_D2H;
    cr_expect_eq(sends, 3u);
    expect(t, LSPO_OP_D2H, 3, 0, 46, 49);
    done(t, p);
}

/* Two micro-batches whose sums wait on the host.  OUT3 10-13, OUT2 14-17, OUT1 18-21.  There are two places for
 * gradients: IN3 waits for OUT2, 17-20; IN2 for OUT1, 21-24; IN1 for D2H3 28-31, 31-34, so BWD1 34-38, D2H1 38-41. */
Test(plan, sums_of_micro_batches_leave_and_return)
{
    lspo_workload_t w = small_workload(1);
    w.accumulation = 2;
    set_accumulate_on(&w, LSPO_ACCUMULATE_ON_HOST);
    lspo_plan_t *p = build("zero", &w);
    lspo_trace_t *t = play(p, &usual);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM, 3, 0, 10);
    expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM, 1, 0, 18);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 3, 1, 17);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 2, 1, 21);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 2, 1, 28);
    expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, 1, 1, 31);
    expect_micro(t, LSPO_OP_BWD, LSPO_VARIANT_NONE, 1, 1, 34);
    expect(t, LSPO_OP_D2H, 3, 0, 28, 31);
    expect(t, LSPO_OP_D2H, 1, 0, 38, 41);
    expect(t, LSPO_OP_UPD, 1, 0, 41, 49);
    done(t, p);
}

static uint64_t gradient_peak(const lspo_workload_t *w)
{
    lspo_plan_t *p = build("zero", w);
    lspo_trace_t *t = play(p, &usual);
    uint64_t gpu = 0, host = 0;
    cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
    done(t, p);
    return gpu;
}

/* On the GPU all three blocks' sums are there at once, on the host two: the difference is one block of
 * 12 x 16^2 + 13 x 16 numbers. */
Test(plan, sums_on_the_host_leave_memory_on_the_gpu)
{
    lspo_workload_t w = small_workload(2);
    w.accumulation = 3;
    uint64_t on_gpu = gradient_peak(&w);
    set_accumulate_on(&w, LSPO_ACCUMULATE_ON_HOST);
    uint64_t on_host = gradient_peak(&w);
    cr_expect_eq(on_gpu - on_host, 12u * 256 * 4, "%lu and %lu", (unsigned long)on_gpu, (unsigned long)on_host);
}

/* One gradient buffer: BWD2 may not start before D2H3 (10-13) has emptied it, nor BWD1 before D2H2. */
Test(plan, gradient_buffers_hold_the_backward_back)
{
    lspo_workload_t w = small_workload(1);
    set_gradient_buffers(&w, 1);
    lspo_plan_t *p = build("zero", &w);
    lspo_trace_t *t = play(p, &usual);
    expect(t, LSPO_OP_BWD, 2, 0, 13, 17);
    expect(t, LSPO_OP_D2H, 2, 0, 17, 20);
    expect(t, LSPO_OP_BWD, 1, 0, 20, 24);
    done(t, p);
}

/* A tied embedding's gradient is started by the head and finished by the embedding's backward: it lands last, and the
 * next iteration's first forward, and the head's, wait for it. */
Test(plan, tied_embedding_lands_last_and_is_needed_first)
{
    lspo_workload_t w = small_workload(2);
    w.train_rest = LSPO_TRAIN_REST_ON;
    lspo_plan_t *p = build("zero-layerwise", &w);
    lspo_trace_t *t = play(p, &usual);
    cr_expect(find(t, LSPO_OP_D2H, 0, 0)->start_ns >= find(t, LSPO_OP_BWD, 0, 0)->end_ns);
    cr_expect(find(t, LSPO_OP_FWD, 0, 1)->start_ns >= find(t, LSPO_OP_APPLY, 0, 0)->end_ns);
    cr_expect(find(t, LSPO_OP_FWD, 4, 1)->start_ns >= find(t, LSPO_OP_APPLY, 0, 0)->end_ns);
    done(t, p);
}

/* The memory of every policy in every mode balances to zero, is never negative, and peaks at no less than its
 * statics. */
Test(plan, memory_balances_in_every_mode)
{
    for (uint32_t mode = 0; mode < 128; mode++) {
        lspo_workload_t w = small_workload(3);
        w.checkpointing = mode & 1;
        w.train_rest = mode & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        w.accumulation = mode & 4 ? 2 : 1;
        w.clip_norm = mode & 8 ? 1.0 : 0.0;
        w.transfer = mode & 16 ? LSPO_BF16 : LSPO_FP32;
        lspo_swap_values_edit(&w)->resident_blocks = mode & 32 ? 1 : 0;
        set_accumulate_on(&w, mode & 64 ? LSPO_ACCUMULATE_ON_HOST : LSPO_ACCUMULATE_ON_GPU);
        for (uint32_t i = 0; i < lspo_policy_count(); i++) {
            lspo_plan_t *p = build(lspo_policy_at(i)->name, &w);
            lspo_trace_t *t = play(p, &usual);
            uint64_t gpu = 0, host = 0;
            cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
            cr_expect_gt(gpu, p->gpu_static_bytes);
            cr_expect_geq(host, p->host_static_bytes);
            lspo_plan_t *empty = NULL;
            cr_assert_eq(lspo_plan_build_first(&p->model, &w, p->policy, 0, &empty), LSPO_OK);
            cr_expect_eq(empty->gpu_static_bytes, p->gpu_static_bytes, "%s", p->policy->name);
            cr_expect_eq(empty->host_static_bytes, p->host_static_bytes, "%s", p->policy->name);
            lspo_plan_destroy(empty);
            done(t, p);
        }
    }
}

static void check_begins(const lspo_plan_t *fewer, const lspo_plan_t *more)
{
    const char *name = more->policy->name;
    cr_assert_leq(fewer->op_count, more->op_count, "%s", name);
    for (uint32_t i = 0; i < fewer->op_count; i++) {
        const lspo_op_t *a = &fewer->ops[i], *b = &more->ops[i];
        cr_assert_eq(memcmp(a, b, sizeof *a), 0, "%s: op %u is another", name, i);
        cr_assert_eq(memcmp(fewer->deps + a->dep_first, more->deps + b->dep_first, a->dep_count * sizeof *fewer->deps),
                     0, "%s: op %u waits for others", name, i);
    }
}

/* A training that is asked to end finishes the steps that have begun: the plan of these, whose end is open, must be how
 * the longer plan begins, whichever way that one ends. */
Test(plan, a_plan_of_fewer_steps_begins_the_plan_of_more)
{
    lspo_model_t model = three_blocks();
    for (uint32_t p = 0; p < lspo_policy_count(); p++)
        for (unsigned mode = 0; mode < 16; mode++) {
            lspo_plan_t *fewer, *more;
            lspo_workload_t w = small_workload(3);
            w.first_step = mode & 1 ? 10 : 0;
            w.clip_norm = mode & 2 ? 1 : 0;
            w.accumulation = mode & 4 ? 2 : 1;
            lspo_lsp_values_edit(&w)->check_every = lspo_galore_values_edit(&w)->project_every = 3;
            lspo_zenflow_values_edit(&w)->update_every = lspo_zenflow_values_edit(&w)->select_every =
                lspo_badam_values_edit(&w)->switch_every = 2;
            set_transition(&w, 2);
            w.open_end = true;
            cr_assert_eq(lspo_plan_build(&model, &w, lspo_policy_at(p), &fewer), LSPO_OK);
            w.iterations = 8;
            w.open_end = (mode & 8) != 0;
            cr_assert_eq(lspo_plan_build(&model, &w, lspo_policy_at(p), &more), LSPO_OK);
            check_begins(fewer, more);
            lspo_plan_destroy(fewer);
            lspo_plan_destroy(more);
        }
}

/* The checks reject what they are there for. */
Test(plan, broken_plans_are_refused)
{
    lspo_workload_t w = small_workload(2);
    lspo_plan_t *p = build("zero", &w);
    lspo_op_t first = p->ops[5];

    p->deps[p->ops[5].dep_first] = 7; /* waits for a later op */
    cr_expect_eq(lspo_plan_check(p), LSPO_ERR_CHECK);
    lspo_plan_destroy(p);

    p = build("zero", &w);
    p->ops[5].lane = (uint8_t)(first.lane + 1);
    cr_expect_eq(lspo_plan_check(p), LSPO_ERR_CHECK);
    lspo_plan_destroy(p);

    p = build("zero", &w);
    p->ops[5].gpu_alloc_bytes += 1;
    cr_expect_eq(lspo_plan_check(p), LSPO_ERR_CHECK);
    lspo_plan_destroy(p);

    p = build("zero", &w);
    p->ops[5].work = p->work_count;
    cr_expect_eq(lspo_plan_check(p), LSPO_ERR_CHECK);
    lspo_plan_destroy(p);
}

/* Transposing the dependencies twice over: every (op, dependency) pair appears exactly once among the successors. */
Test(plan, successors_are_the_transpose)
{
    lspo_workload_t w = small_workload(3);
    lspo_plan_t *p = build("lsp", &w);
    uint32_t *first = NULL;
    lspo_op_id_t *successors = NULL;
    cr_assert_eq(lspo_plan_successors(p, &first, &successors), LSPO_OK);
    cr_assert_eq(first[0], 0u);
    cr_assert_eq(first[p->op_count], p->dep_count);
    for (uint32_t i = 0; i < p->op_count; i++)
        for (uint32_t d = 0; d < p->ops[i].dep_count; d++) {
            lspo_op_id_t dep = p->deps[p->ops[i].dep_first + d];
            uint32_t hits = 0;
            for (uint32_t k = first[dep]; k < first[dep + 1]; k++)
                hits += successors[k] == i;
            cr_assert_eq(hits, 1u);
        }
    free(first);
    free(successors);
    lspo_plan_destroy(p);
}

/* llama-7b, w 4096, f 11008.  Codes of a weight: 33 bytes per 64 elements, 4 per 16,384, and 4:
 *     4 weights of w x w, 262,144 blocks and 1,024 groups each: 4 x 8,654,852 = 34,619,408
 *     3 weights of w x f, 704,512 blocks and 2,752 groups each: 3 x 23,259,908 = 69,779,724
 * with two gains of w in bf16 104,415,516 bytes per block instead of 404,766,720.  Embedding and head are
 * 32,000 x w x 2 each, the last gain 8,192: 3,865,592,704 bytes in all.  The largest weight expanded: 90,177,536. */
Test(plan, lora_on_4_bit_weights_of_llama_7b)
{
    lspo_model_t model;
    lspo_workload_t w;
    lspo_plan_t *plans[2];
    cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
    for (uint32_t base = LSPO_BASE_WEIGHTS_PRECISION; base <= LSPO_BASE_WEIGHTS_NF4; base++) {
        const lspo_policy_t *policy = NULL;
        lspo_workload_default(&w);
        w.precision = w.transfer = LSPO_BF16;
        w.iterations = 1;
        lspo_lora_values_edit(&w)->base_weights = base;
        cr_assert_eq(lspo_policy_find("lora", &policy), LSPO_OK);
        cr_assert_eq(lspo_plan_build(&model, &w, policy, &plans[base]), LSPO_OK);
    }
    const lspo_footprint_t *plain = &plans[0]->footprint, *quantized = &plans[1]->footprint;
    cr_expect_eq(plain->gpu_parameters_bytes, 13476831232u);
    cr_expect_eq(quantized->gpu_parameters_bytes, 3865592704u);
    cr_expect_eq(quantized->gpu_workspace_bytes, plain->gpu_workspace_bytes + 90177536u);
    cr_expect_eq(quantized->gpu_projectors_bytes, plain->gpu_projectors_bytes);
    cr_expect_eq(quantized->gpu_optimizer_bytes, plain->gpu_optimizer_bytes);
    cr_expect_eq(plans[1]->gpu_static_bytes + 13476831232u - 3865592704u, plans[0]->gpu_static_bytes + 90177536u);
    lspo_plan_destroy(plans[1]);
    lspo_plan_destroy(plans[0]);
}
