/* timeline.h - plans of a GPT of three blocks of which only the linear layers are trained, so that embedding and head
 * take no time and send nothing, and their timelines: durations are given to the engine directly, in ns:
 *
 *     FWD 2   BWD 4   D2H 3   UPD 8   H2D 3   APPLY 1   UPD_GPU 1   COMPRESS 1   NORM 1
 *
 * unless a test says otherwise.  Blocks are written 1, 2, 3; "BWD3 6-10" runs from 6 to 10. */
#ifndef LSPO_TESTS_TIMELINE_H
#define LSPO_TESTS_TIMELINE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "sim/sim.h"
#include "tests/own_values.h"

typedef struct {
    uint64_t ns[LSPO_OP_KIND_COUNT];
    uint64_t delay_ns; /* of SEND of variant DELAY */
} durations_t;

static const durations_t usual = {.ns = {[LSPO_OP_FWD] = 2,
                                         [LSPO_OP_BWD] = 4,
                                         [LSPO_OP_RECOMPUTE] = 2,
                                         [LSPO_OP_COMPRESS] = 1,
                                         [LSPO_OP_NORM] = 1,
                                         [LSPO_OP_D2H] = 3,
                                         [LSPO_OP_UPD] = 8,
                                         [LSPO_OP_UPD_GPU] = 1,
                                         [LSPO_OP_H2D] = 3,
                                         [LSPO_OP_APPLY] = 1,
                                         [LSPO_OP_SWAP_IN] = 3,
                                         [LSPO_OP_SWAP_OUT] = 3}};

static inline lspo_model_t three_blocks(void)
{
    lspo_model_t m = {.name = "three",
                      .family = LSPO_FAMILY_GPT,
                      .block_count = 3,
                      .width = 16,
                      .head_count = 2,
                      .kv_head_count = 2,
                      .mlp_width = 64,
                      .vocabulary = 32,
                      .max_sequence = 8,
                      .tied_head = true};
    return m;
}

static inline lspo_workload_t small_workload(uint32_t iterations)
{
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = 1;
    w.sequence = 8;
    w.precision = w.transfer = LSPO_FP32;
    w.checkpointing = false;
    w.iterations = iterations;
    w.train_rest = LSPO_TRAIN_REST_OFF;
    lspo_lsp_values_edit(&w)->subspace = 8;
    lspo_lsp_values_edit(&w)->nnz = 2;
    set_rank(&w, 4);
    return w;
}

static inline lspo_plan_t *build(const char *policy, const lspo_workload_t *w)
{
    lspo_model_t m = three_blocks();
    const lspo_policy_t *p = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy, &p), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, w, p, &plan), LSPO_OK);
    return plan;
}

static inline lspo_machine_t quiet_machine(void)
{
    lspo_machine_t m;
    cr_assert_eq(lspo_machine_find("paper-workstation", &m), LSPO_OK);
    memset(m.contention, 0, sizeof m.contention);
    m.link.h2d_duplex_loss = m.link.d2h_duplex_loss = 0;
    return m;
}

/* Blocks cost what `d` says, embedding and head nothing. */
static inline lspo_trace_t *play(const lspo_plan_t *plan, const durations_t *d)
{
    lspo_machine_t machine = quiet_machine();
    uint64_t *ns = calloc((size_t)plan->work_count * LSPO_LANE_KIND_COUNT, sizeof *ns);
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        bool block = op->layer > 0 && op->layer + 1u < plan->stage_count;
        bool costs = block || op->kind == LSPO_OP_NORM || op->variant == LSPO_VARIANT_NORM_SCALAR;
        bool works = plan->works[op->work].kernel_count > 0;
        ns[op->work * LSPO_LANE_KIND_COUNT + lspo_op_kind_lane((lspo_op_kind_t)op->kind)] =
            !costs || !works                    ? 0
            : op->variant == LSPO_VARIANT_DELAY ? d->delay_ns
                                                : d->ns[op->kind];
    }
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(plan, &machine, ns, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
    free(ns);
    return trace;
}

static inline const lspo_trace_row_t *find(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t layer,
                                           uint32_t iteration)
{
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind == kind && r->layer == layer && r->iteration == iteration &&
            r->variant != LSPO_VARIANT_NORM_SCALAR && r->variant != LSPO_VARIANT_OPTIMIZER)
            return r;
    }
    cr_assert_fail("no op of kind %s, layer %u, iteration %u", lspo_op_kind_name(kind), layer, iteration);
    return NULL;
}

static inline void expect(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t layer, uint32_t iteration,
                          uint64_t start, uint64_t end)
{
    const lspo_trace_row_t *r = find(t, kind, layer, iteration);
    cr_expect(r->start_ns == start && r->end_ns == end, "%s%u of iteration %u: %lu-%lu, expected %lu-%lu",
              lspo_op_kind_name(kind), layer, iteration, (unsigned long)r->start_ns, (unsigned long)r->end_ns,
              (unsigned long)start, (unsigned long)end);
}

/* The first such op of the micro-batch in iteration 0. */
static inline void expect_micro(const lspo_trace_t *t, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t layer,
                                uint32_t micro, uint64_t start)
{
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind != kind || r->variant != variant || r->layer != layer || r->micro != micro || r->iteration > 0)
            continue;
        cr_expect_eq(r->start_ns, start, "%s%u of micro-batch %u begins at %lu, not %lu", lspo_op_kind_name(kind),
                     layer, micro, (unsigned long)r->start_ns, (unsigned long)start);
        return;
    }
    cr_assert_fail("no %s%u in micro-batch %u", lspo_op_kind_name(kind), layer, micro);
}

static inline void done(lspo_trace_t *t, lspo_plan_t *p)
{
    lspo_trace_destroy(t);
    lspo_plan_destroy(p);
}

/* NULL: there is none. */
static inline const lspo_trace_row_t *find_variant(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t layer,
                                                   uint32_t iteration, lspo_op_variant_t variant)
{
    for (uint32_t i = 0; i < t->row_count; i++) {
        const lspo_trace_row_t *r = &t->rows[i];
        if (r->kind == kind && r->layer == layer && r->iteration == iteration && r->variant == variant)
            return r;
    }
    return NULL;
}

#endif
