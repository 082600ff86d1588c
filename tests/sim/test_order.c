/* --order auto on the plans of all policies: never slower, nothing but priorities changed, never below the bound. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/fit.h"
#include "sim/order.h"
#include "sim/pace.h"
#include "sim/tune.h"

typedef struct {
    const char *model;
    double link_Bps, cpu_pps;
} cell_t;

static const cell_t cells[] = {{"gpt-tiny", 1e8, 1e7}, {"gpt-tiny", 5e7, 1e7}, {"gpt-small", 4e8, 1e7}};
enum { CELLS = sizeof cells / sizeof cells[0] };

static lspo_plan_t *plan_of(const cell_t *cell, const lspo_policy_t *policy, lspo_lane_order_t order,
                            lspo_machine_t *machine_out)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_model_find(cell->model, &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("host-reference", machine_out), LSPO_OK);
    machine_out->link.d2h_Bps = machine_out->link.h2d_Bps = cell->link_Bps;
    machine_out->cpu.adam_pps = machine_out->cpu.adam_cached_pps = cell->cpu_pps;
    lspo_workload_default(&workload);
    workload.sequence = 256;
    workload.precision = workload.transfer = LSPO_FP32;
    lspo_policy_set_defaults(policy, &model, false, &workload);
    workload.iterations = lspo_policy_iterations(policy, &workload);
    workload.order = order;
    cr_assert_eq(lspo_tune_transition(&model, &workload, policy, machine_out, &plan), LSPO_OK);
    return plan;
}

static double time_of(const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    double iteration_s = 0;
    cr_assert_eq(lspo_pace_of(plan, machine, &iteration_s), LSPO_OK);
    return iteration_s;
}

static void expect_same_but_priorities(const lspo_plan_t *own, const lspo_plan_t *ordered)
{
    cr_assert_eq(own->op_count, ordered->op_count);
    cr_assert_eq(own->dep_count, ordered->dep_count);
    cr_expect_arr_eq(own->deps, ordered->deps, own->dep_count * sizeof *own->deps);
    for (lspo_op_id_t id = 0; id < own->op_count; id++) {
        lspo_op_t op = ordered->ops[id];
        op.priority = own->ops[id].priority;
        cr_assert_eq(memcmp(&op, &own->ops[id], sizeof op), 0, "op %u", id);
    }
}

/* The order shortens some of these steps by more than 5 %. */
Test(order, is_never_slower_and_changes_only_priorities)
{
    uint32_t faster = 0;
    for (int c = 0; c < CELLS; c++) {
        for (uint32_t p = 0; p < lspo_policy_count(); p++) {
            const lspo_policy_t *policy = lspo_policy_at(p);
            lspo_machine_t machine;
            lspo_plan_t *own = plan_of(&cells[c], policy, LSPO_ORDER_POLICY, &machine);
            lspo_plan_t *ordered = plan_of(&cells[c], policy, LSPO_ORDER_AUTO, &machine);
            double own_s = time_of(own, &machine), ordered_s = time_of(ordered, &machine), bound_s = 0;
            cr_assert_eq(lspo_bound_plan(own, &machine, &bound_s), LSPO_OK);
            cr_expect_leq(ordered_s, own_s, "%s: %g s, in the policy's order %g s", policy->name, ordered_s, own_s);
            cr_expect_geq(ordered_s, bound_s * (1 - 1e-9), "%s: %g s below %g s", policy->name, ordered_s, bound_s);
            expect_same_but_priorities(own, ordered);
            faster += ordered_s < 0.95 * own_s;
            lspo_plan_destroy(ordered);
            lspo_plan_destroy(own);
        }
    }
    cr_expect_geq(faster, 2u, "%u", faster);
}

/* What is shorter at once stays as it is: the search repeats to the bit, and a second one finds nothing. */
Test(order, is_the_same_each_time)
{
    const lspo_policy_t *policy = NULL;
    lspo_machine_t machine;
    cr_assert_eq(lspo_policy_find("stream", &policy), LSPO_OK);
    lspo_plan_t *first = plan_of(&cells[0], policy, LSPO_ORDER_AUTO, &machine);
    lspo_plan_t *second = plan_of(&cells[0], policy, LSPO_ORDER_AUTO, &machine);
    for (lspo_op_id_t id = 0; id < first->op_count; id++)
        cr_assert_eq(first->ops[id].priority, second->ops[id].priority, "op %u", id);
    double once_s = time_of(first, &machine);
    cr_assert_eq(lspo_order_plan(first, &machine), LSPO_OK);
    cr_expect_leq(time_of(first, &machine), once_s);
    lspo_plan_destroy(second);
    lspo_plan_destroy(first);
}

/* Memory that the policy's own order keeps to is kept to. */
Test(order, still_fits)
{
    for (int c = 0; c < CELLS; c++) {
        for (uint32_t p = 0; p < lspo_policy_count(); p++) {
            lspo_machine_t machine;
            lspo_fit_t own = {0}, ordered = {0};
            lspo_plan_t *plan = plan_of(&cells[c], lspo_policy_at(p), LSPO_ORDER_POLICY, &machine);
            cr_assert_eq(lspo_fit_plan(plan, &machine, &own), LSPO_OK);
            machine.gpu.memory_bytes = (double)own.gpu_bytes + machine.gpu.context_bytes;
            machine.cpu.memory_bytes = (double)own.host_bytes;
            cr_assert_eq(lspo_order_plan(plan, &machine), LSPO_OK);
            cr_assert_eq(lspo_fit_plan(plan, &machine, &ordered), LSPO_OK);
            cr_expect(ordered.fits, "%s: %lu of %lu bytes", lspo_policy_at(p)->name, ordered.gpu_bytes, own.gpu_bytes);
            lspo_plan_destroy(plan);
        }
    }
}
