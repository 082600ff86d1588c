/* plan_maker.h - plans made by hand or at random, for tests of code that plays, checks and measures plans.
 *
 * Every op has a work of its own, and work_ns[] gives its duration on every lane, so that a test states durations
 * in nanoseconds and needs no cost model.
 */
#ifndef LSPO_TESTS_PLAN_MAKER_H
#define LSPO_TESTS_PLAN_MAKER_H

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "plan/machine.h"
#include "plan/plan.h"

enum { MAKER_OPS_MAX = 4096, MAKER_DEPS_MAX = 4 * MAKER_OPS_MAX };

typedef struct {
    lspo_plan_t plan;
    uint64_t *work_ns;
} plan_maker_t;

static inline plan_maker_t maker_create(void)
{
    plan_maker_t maker = {0};
    maker.plan.ops = calloc(MAKER_OPS_MAX, sizeof *maker.plan.ops);
    maker.plan.deps = calloc(MAKER_DEPS_MAX, sizeof *maker.plan.deps);
    maker.plan.works = calloc(MAKER_OPS_MAX, sizeof *maker.plan.works);
    maker.work_ns = calloc((size_t)MAKER_OPS_MAX * LSPO_LANE_KIND_COUNT, sizeof *maker.work_ns);
    assert(maker.plan.ops && maker.plan.deps && maker.plan.works && maker.work_ns);
    if (lspo_lanes_create(&maker.plan.lanes) != LSPO_OK)
        abort();
    strcpy(maker.plan.model.name, "made");
    lspo_workload_default(&maker.plan.workload);
    return maker;
}

static inline void maker_release(plan_maker_t *maker)
{
    free(maker->plan.ops);
    free(maker->plan.deps);
    free(maker->plan.works);
    free(maker->work_ns);
    lspo_lanes_release(&maker->plan.lanes);
}

/* A kind that runs on the lane. */
static inline lspo_op_kind_t maker_kind(lspo_lane_kind_t lane)
{
    static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_D2H,  LSPO_OP_H2D,
                                           LSPO_OP_UPD, LSPO_OP_SEND, LSPO_OP_READ};
    return kinds[lane];
}

static inline lspo_op_id_t maker_op(plan_maker_t *maker, lspo_op_kind_t kind, uint32_t layer, uint32_t iteration,
                                    uint64_t work_ns)
{
    lspo_op_id_t id = maker->plan.op_count++;
    assert(id < MAKER_OPS_MAX);
    maker->plan.work_count = maker->plan.op_count;
    maker->plan.ops[id] = (lspo_op_t){.kind = (uint8_t)kind,
                                      .layer = (uint16_t)layer,
                                      .lane = lspo_op_kind_lane(kind),
                                      .iteration = iteration,
                                      .work = id,
                                      .priority = 0,
                                      .dep_first = maker->plan.dep_count};
    for (uint32_t lane_kind = 0; lane_kind < LSPO_LANE_KIND_COUNT; lane_kind++)
        maker->work_ns[id * LSPO_LANE_KIND_COUNT + lane_kind] = work_ns;
    return id;
}

/* Another lane, named after its place; returns its index. */
static inline uint32_t maker_lane(plan_maker_t *maker, lspo_lane_kind_t kind, uint32_t device, uint32_t peer)
{
    uint32_t index = 0;
    lspo_lane_t lane = {.kind = (uint8_t)kind, .device = (uint16_t)device, .peer = peer};
    if (lspo_lanes_add(&maker->plan.lanes, &lane, &index) != LSPO_OK)
        abort();
    return index;
}

static inline lspo_op_id_t maker_op_on(plan_maker_t *maker, uint32_t lane, lspo_op_kind_t kind, uint32_t layer,
                                       uint32_t iteration, uint64_t work_ns)
{
    lspo_op_id_t id = maker_op(maker, kind, layer, iteration, work_ns);
    maker->plan.ops[id].lane = lane;
    return id;
}

/* The op made last waits for `dep`; LSPO_NO_OP is ignored. */
static inline void maker_depend(plan_maker_t *maker, lspo_op_id_t dep)
{
    if (dep == LSPO_NO_OP)
        return;
    assert(maker->plan.dep_count < MAKER_DEPS_MAX);
    maker->plan.deps[maker->plan.dep_count++] = dep;
    maker->plan.ops[maker->plan.op_count - 1].dep_count++;
}

/* The op made last moves `bytes` over the link. */
static inline void maker_bytes(plan_maker_t *maker, uint64_t bytes)
{
    maker->plan.works[maker->plan.op_count - 1] =
        (lspo_work_t){.kernel_count = 1, .kernels = {{.kernel_class = LSPO_KERNEL_COPY, .count = 1, .bytes = bytes}}};
}

static inline uint64_t maker_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline uint64_t maker_below(uint64_t *state, uint64_t limit)
{
    return (maker_random(state) >> 11) % limit;
}

/* A random DAG of `count` ops: random lanes, durations 0..999 ns, priorities 0..3, up to 3 dependencies on the 20 ops
 * before, and memory that each op takes and gives back. */
static inline plan_maker_t maker_random_plan(uint64_t seed, uint32_t count)
{
    plan_maker_t maker = maker_create();
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (uint32_t i = 0; i < count; i++) {
        lspo_lane_kind_t lane = (lspo_lane_kind_t)maker_below(&state, LSPO_DEVICE_LANES);
        lspo_op_id_t id = maker_op(&maker, maker_kind(lane), i % 7, i * 4 / count, maker_below(&state, 1000));
        maker.plan.ops[id].priority = (uint32_t)maker_below(&state, 4);
        for (uint32_t d = (uint32_t)maker_below(&state, 4); d > 0 && id > 0; d--)
            maker_depend(&maker, id - 1 - (uint32_t)maker_below(&state, id < 20 ? id : 20));
        maker.plan.ops[id].gpu_alloc_bytes = maker.plan.ops[id].gpu_free_bytes = maker_below(&state, 1000);
        maker.plan.ops[id].host_alloc_bytes = maker.plan.ops[id].host_free_bytes = maker_below(&state, 1000);
    }
    return maker;
}

/* A machine without losses; the rates do not matter where work_ns is given. */
static inline lspo_machine_t maker_machine(void)
{
    lspo_machine_t machine = {.name = "test"};
    return machine;
}

/* Losses between every pair of lanes. */
static inline lspo_machine_t maker_contended_machine(uint64_t seed)
{
    lspo_machine_t machine = maker_machine();
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 7;
    for (int a = 0; a < LSPO_DEVICE_LANES; a++)
        for (int b = 0; b < LSPO_DEVICE_LANES; b++)
            machine.contention[a][b] = a == b ? 0 : 0.01 * (double)maker_below(&state, 60);
    machine.link.d2h_duplex_loss = 0.1;
    machine.link.h2d_duplex_loss = 0.4;
    return machine;
}

#endif
