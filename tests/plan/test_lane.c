/* Lists and sets of lanes, and plans that a policy builds on several. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "plan/build.h"
#include "plan/lane.h"
#include "plan/lane_set.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "tests/plan_maker.h"

static const lspo_model_t gpt = {.family = LSPO_FAMILY_GPT};

static uint32_t add(lspo_lanes_t *lanes, lspo_lane_kind_t kind, uint32_t device, uint32_t peer, const char *name)
{
    lspo_lane_t lane = {.kind = (uint8_t)kind, .device = (uint16_t)device, .peer = peer};
    uint32_t index = LSPO_NO_LANE;
    snprintf(lane.name, sizeof lane.name, "%s", name);
    cr_assert_eq(lspo_lanes_add(lanes, &lane, &index), LSPO_OK);
    return index;
}

Test(lane, the_four_of_one_device_have_their_kinds_as_indices)
{
    static const char *const names[] = {"gpu", "d2h", "h2d", "cpu"};
    lspo_lanes_t lanes;
    cr_assert_eq(lspo_lanes_create(&lanes), LSPO_OK);
    cr_assert_eq(lanes.count, 4u);
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(lanes.list[i].kind, i);
        cr_expect_str_eq(lanes.list[i].name, names[i]);
        cr_expect_eq(lanes.list[i].peer + lanes.list[i].device, 0u);
    }
    cr_expect(lspo_lanes_are_default(&lanes));
    cr_expect_eq(lspo_lanes_check(&lanes), LSPO_OK);
    add(&lanes, LSPO_LANE_NET, 0, 0, "");
    cr_expect_not(lspo_lanes_are_default(&lanes));
    lspo_lanes_release(&lanes);
    cr_expect_null(lanes.list);
}

Test(lane, names_say_kind_device_and_peer)
{
    lspo_lanes_t lanes;
    cr_assert_eq(lspo_lanes_create(&lanes), LSPO_OK);
    cr_expect_str_eq(lanes.list[add(&lanes, LSPO_LANE_GPU, 1, 0, "")].name, "gpu1");
    cr_expect_str_eq(lanes.list[add(&lanes, LSPO_LANE_NET, 0, 3, "")].name, "p3.net");
    cr_expect_str_eq(lanes.list[add(&lanes, LSPO_LANE_D2H, 65535, LSPO_LANE_PEER_MAX, "")].name, "p999999999.d2h65535");
    cr_expect_str_eq(lanes.list[add(&lanes, LSPO_LANE_SSD, 0, 0, "scratch_disk-1")].name, "scratch_disk-1");
    cr_expect_eq(lspo_lanes_check(&lanes), LSPO_OK);
    lspo_lanes_release(&lanes);
}

Test(lane, bad_lanes_are_refused)
{
    static const lspo_lane_t bad[] = {{.kind = LSPO_LANE_KIND_COUNT},
                                      {.peer = LSPO_LANE_PEER_MAX + 1},
                                      {.name = "a b"},
                                      {.name = "a,b"},
                                      {.name = "\"x\""},
                                      {.name = "k\xc3\xa4se"},
                                      {.name = {'n', 'o', ' ', 'e', 'n', 'd', 'n', 'o', 'e', 'n', 'd', 'n',
                                                'o', 'e', 'n', 'd', 'n', 'o', 'e', 'n', 'd', 'n', 'o', 'e'}}};
    lspo_lanes_t lanes;
    cr_assert_eq(lspo_lanes_create(&lanes), LSPO_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t index = 77;
        cr_expect_eq(lspo_lanes_add(&lanes, &bad[i], &index), LSPO_ERR_INPUT, "lane %zu", i);
        cr_expect_eq(index, 77u, "set on success only");
    }
    cr_expect_eq(lanes.count, 4u);
    add(&lanes, LSPO_LANE_SSD, 0, 5, "cpu");
    cr_expect_eq(lspo_lanes_check(&lanes), LSPO_ERR_CHECK, "two lanes have one name");
    lspo_lanes_release(&lanes);
    cr_expect_eq(lspo_lanes_check(&lanes), LSPO_ERR_CHECK, "no lane at all");
}

Test(lane, thousands_are_found_by_name_and_copies_are_equal)
{
    enum { PEERS = 5000 };
    lspo_lanes_t lanes, copy;
    cr_assert_eq(lspo_lanes_create(&lanes), LSPO_OK);
    for (uint32_t peer = 1; peer <= PEERS; peer++)
        add(&lanes, LSPO_LANE_NET, 0, peer, "");
    cr_assert_eq(lspo_lanes_check(&lanes), LSPO_OK);
    const lspo_lane_t **by_name;
    cr_assert_eq(lspo_lanes_sort(&lanes, &by_name), LSPO_OK);
    for (uint32_t i = 0; i < lanes.count; i++)
        cr_assert_eq(lspo_lanes_find(&lanes, by_name, lanes.list[i].name), i);
    cr_expect_eq(lspo_lanes_find(&lanes, by_name, "p5001.net"), lanes.count);
    cr_expect_eq(lspo_lanes_find(&lanes, by_name, ""), lanes.count);
    free(by_name);
    cr_assert_eq(lspo_lanes_copy(&lanes, &copy), LSPO_OK);
    cr_expect(lspo_lanes_equal(&lanes, &copy));
    copy.list[4000].device = 1;
    cr_expect_not(lspo_lanes_equal(&lanes, &copy));
    lspo_lanes_release(&copy);
    lspo_lanes_release(&lanes);
}

/* Against an array of flags; sizes at which levels begin. */
Test(lane, a_set_gives_the_lowest_lane_first)
{
    static const uint32_t sizes[] = {1, 4, 63, 64, 65, 4096, 4097, 300000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint32_t size = sizes[s], held = 0;
        bool *there = calloc(size, sizeof *there);
        lspo_lane_set_t set;
        uint64_t state = 7 + s;
        cr_assert_not_null(there);
        cr_assert_eq(lspo_lane_set_create(size, &set), LSPO_OK);
        cr_assert_eq(lspo_lane_set_take(&set), LSPO_NO_LANE);
        for (uint32_t step = 0; step < 2000; step++) {
            if (maker_below(&state, 5) < 3) {
                uint32_t lane = (uint32_t)maker_below(&state, size);
                lspo_lane_set_add(&set, lane);
                held += !there[lane];
                there[lane] = true;
                continue;
            }
            uint32_t lowest = 0;
            while (lowest < size && !there[lowest])
                lowest++;
            cr_assert_eq(lspo_lane_set_take(&set), lowest < size ? lowest : LSPO_NO_LANE);
            if (lowest < size) {
                there[lowest] = false;
                held--;
            }
        }
        for (; held > 0; held--)
            cr_assert_neq(lspo_lane_set_take(&set), LSPO_NO_LANE);
        cr_assert_eq(lspo_lane_set_take(&set), LSPO_NO_LANE);
        lspo_lane_set_release(&set);
        free(there);
    }
}

/* ---- a policy on several lanes ---- */

/* gpt-tiny's stages on two peers, the first half on one: forward there, SEND, forward on the other. */
static lspo_status_t build_two_peers(lspo_builder_t *b)
{
    uint32_t net = lspo_build_lane(b, &(lspo_lane_t){.kind = LSPO_LANE_NET});
    uint32_t gpu = lspo_build_lane(b, &(lspo_lane_t){.kind = LSPO_LANE_GPU, .peer = 1});
    uint32_t half = b->stage_count / 2;
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_op_id_t last = LSPO_NO_OP;
        for (uint32_t s = 0; s < b->stage_count; s++) {
            if (s == half) {
                lspo_op_id_t sent = lspo_build_op_on(b, net, LSPO_OP_SEND, LSPO_VARIANT_NONE, s - 1, i);
                lspo_build_depend(b, last);
                last = sent;
            }
            lspo_build_use_lane(b, s < half ? (uint32_t)LSPO_LANE_GPU : gpu);
            lspo_op_id_t id = lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_NONE, s, i);
            lspo_build_depend(b, last);
            last = id;
        }
    }
    return b->status;
}

static const lspo_policy_t *policy_with(lspo_policy_t *policy, lspo_status_t (*build)(lspo_builder_t *))
{
    const lspo_policy_t *native;
    cr_assert_eq(lspo_policy_find("native", &native), LSPO_OK);
    memcpy(policy, native, sizeof *policy);
    policy->build = build;
    return policy;
}

static lspo_status_t build_plan(lspo_status_t (*build)(lspo_builder_t *), lspo_plan_t **plan_out)
{
    static lspo_policy_t policy;
    lspo_model_t model;
    lspo_workload_t workload;
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    lspo_workload_default(&workload);
    workload.iterations = 2;
    workload.sequence = 64;
    return lspo_plan_build(&model, &workload, policy_with(&policy, build), plan_out);
}

Test(lane, a_policy_adds_lanes_and_chooses_among_them)
{
    lspo_plan_t *plan = NULL;
    cr_assert_eq(build_plan(build_two_peers, &plan), LSPO_OK);
    cr_assert_eq(plan->lanes.count, 6u);
    cr_expect_str_eq(plan->lanes.list[4].name, "net");
    cr_expect_str_eq(plan->lanes.list[5].name, "p1.gpu");
    uint32_t on[6] = {0};
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        on[op->lane]++;
        if (op->kind == LSPO_OP_SEND)
            cr_expect_eq(lspo_work_link_bytes(&plan->works[op->work]),
                         (uint64_t)plan->workload.batch * plan->workload.sequence * plan->model.width *
                             lspo_precision_bytes(plan->workload.precision));
        else
            cr_expect_eq(op->lane, op->layer < plan->stage_count / 2 ? (uint32_t)LSPO_LANE_GPU : 5u);
    }
    cr_expect_eq(on[4], 2u);
    cr_expect_eq(on[LSPO_LANE_GPU] + on[5], 2 * plan->stage_count);
    cr_expect_gt(on[5], 0u);
    plan->ops[0].lane = LSPO_LANE_CPU;
    cr_expect_eq(lspo_plan_check(plan), LSPO_ERR_CHECK, "FWD is no work of a CPU's lane");
    plan->ops[0].lane = 6;
    cr_expect_eq(lspo_plan_check(plan), LSPO_ERR_CHECK, "there is no such lane");
    lspo_plan_destroy(plan);
}

static lspo_status_t build_without_a_lane(lspo_builder_t *b)
{
    lspo_build_op(b, LSPO_OP_SEND, LSPO_VARIANT_NONE, 0, 0);
    return b->status;
}

static lspo_status_t build_with_equal_names(lspo_builder_t *b)
{
    lspo_build_lane(b, &(lspo_lane_t){.kind = LSPO_LANE_NET, .name = "gpu"});
    lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_NONE, 0, 0);
    return b->status;
}

static lspo_status_t build_on_a_lane_that_is_not_there(lspo_builder_t *b)
{
    lspo_build_use_lane(b, 4);
    return b->status;
}

Test(lane, a_policy_that_confuses_its_lanes_is_told)
{
    lspo_plan_t *plan = NULL;
    cr_expect_eq(build_plan(build_without_a_lane, &plan), LSPO_ERR_INTERNAL);
    cr_expect_eq(build_plan(build_with_equal_names, &plan), LSPO_ERR_CHECK);
    cr_expect_eq(build_plan(build_on_a_lane_that_is_not_there, &plan), LSPO_ERR_INTERNAL);
    cr_expect_null(plan);
}

/* gpt-tiny's output of one stage at 1 GB/s behind 1 ms; without a network the machine is refused. */
Test(lane, a_network_has_the_machines_rate)
{
    lspo_plan_t *plan = NULL;
    lspo_machine_t machine;
    uint64_t *work_ns = NULL;
    cr_assert_eq(build_plan(build_two_peers, &plan), LSPO_OK);
    cr_assert_eq(lspo_machine_find("rtx4090", &machine), LSPO_OK);
    cr_expect_eq(lspo_cost_plan(&machine, plan, &work_ns), LSPO_ERR_INPUT);
    cr_expect_null(work_ns);
    cr_assert_eq(lspo_machine_set(&machine, "net.Bps=1GB/s"), LSPO_OK);
    cr_assert_eq(lspo_machine_set(&machine, "net.latency_s=1ms"), LSPO_OK);
    cr_assert_eq(lspo_cost_plan(&machine, plan, &work_ns), LSPO_OK);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == LSPO_OP_SEND)
            cr_expect_eq(lspo_cost_op_ns(&plan->ops[id], work_ns),
                         1000000 + lspo_work_link_bytes(&plan->works[plan->ops[id].work]));
    free(work_ns);
    lspo_plan_destroy(plan);
}

Test(lane, an_ssd_reads_and_writes_at_two_rates)
{
    lspo_machine_t machine = maker_machine();
    machine.ssd.read_Bps = 2e9;
    machine.ssd.write_Bps = 1e9;
    machine.ssd.latency_s = 1e-4;
    lspo_work_t work = {.kernel_count = 1,
                        .kernels = {{.kernel_class = LSPO_KERNEL_COPY, .count = 2, .bytes = 1000000}}};
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_SSD, 0, &work),
                       2e-4 + 5e-4, 1e-12);
    work.writes = true;
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_SSD, 0, &work),
                       2e-4 + 1e-3, 1e-12);
}
