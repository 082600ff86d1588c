/* The executor against the lane rules of plan/plan.h, with ops that only write down that they ran. */
#include "real/execute/executor.h"
#include "real/execute/lane.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/random.h"
#include "real/machine/counters.h"
#include "real/machine/topology.h"

enum { OPS_MAX = 512, DEPS_MAX = 4096 };

typedef struct {
    lspo_plan_t plan;
    lspo_op_t ops[OPS_MAX];
    lspo_op_id_t deps[DEPS_MAX];
    lspo_work_t work;
} made_plan_t;

static made_plan_t *plan_begin(void)
{
    made_plan_t *made = calloc(1, sizeof *made);
    cr_assert_not_null(made);
    made->plan.ops = made->ops;
    made->plan.deps = made->deps;
    made->plan.works = &made->work;
    made->plan.work_count = 1;
    cr_assert_eq(lspo_lanes_create(&made->plan.lanes), LSPO_OK);
    return made;
}

static void plan_end(made_plan_t *made)
{
    lspo_lanes_release(&made->plan.lanes);
    free(made);
}

static lspo_op_id_t add_op(made_plan_t *made, lspo_op_kind_t kind, uint32_t layer, uint32_t priority)
{
    lspo_plan_t *plan = &made->plan;
    cr_assert_lt(plan->op_count, (uint32_t)OPS_MAX);
    made->ops[plan->op_count] = (lspo_op_t){.kind = (uint8_t)kind,
                                            .lane = lspo_op_kind_lane(kind),
                                            .layer = (uint16_t)layer,
                                            .priority = priority,
                                            .dep_first = plan->dep_count};
    return plan->op_count++;
}

/* The op added last waits for `id`. */
static void wait_for(made_plan_t *made, lspo_op_id_t id)
{
    cr_assert_lt(made->plan.dep_count, (uint32_t)DEPS_MAX);
    made->deps[made->plan.dep_count++] = id;
    made->ops[made->plan.op_count - 1].dep_count++;
}

typedef struct {
    const lspo_plan_t *plan;
    uint32_t runs[OPS_MAX];
    lspo_op_id_t order[LSPO_DEVICE_LANES][OPS_MAX]; /* each lane writes its own row */
    uint32_t order_count[LSPO_DEVICE_LANES];
    uint32_t entered[LSPO_DEVICE_LANES];
    uint32_t cuts;
    lspo_op_id_t fails_at, stops_at;
    atomic_int stop;
    atomic_bool last_copy_runs;
    pthread_barrier_t *together; /* where ops meet; NULL: they do not */
} record_t;

static void sleep_ns(long ns)
{
    struct timespec time = {.tv_nsec = ns};
    nanosleep(&time, NULL);
}

static lspo_status_t record_op(void *context, const lspo_op_t *op)
{
    record_t *record = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - record->plan->ops);
    record->runs[id]++;
    record->order[op->lane][record->order_count[op->lane]++] = id;
    if (record->together)
        pthread_barrier_wait(record->together);
    if (id == record->stops_at)
        atomic_store(&record->stop, 1);
    return id == record->fails_at ? LSPO_ERR_NUMERIC : LSPO_OK;
}

static void record_lane(void *context, const lspo_lane_t *lane)
{
    ((record_t *)context)->entered[lane->kind]++;
}

static record_t *record_begin(const made_plan_t *made)
{
    record_t *record = calloc(1, sizeof *record);
    cr_assert_not_null(record);
    record->plan = &made->plan;
    record->fails_at = record->stops_at = LSPO_NO_OP;
    return record;
}

static lspo_status_t execute(const made_plan_t *made, record_t *record, lspo_trace_t **trace_out)
{
    return lspo_execute(&made->plan, record_op, record_lane, record, &record->stop, trace_out);
}

Test(executor, empty_plan_gives_empty_trace)
{
    made_plan_t *made = plan_begin();
    record_t *record = record_begin(made);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_OK);
    cr_assert_eq(trace->row_count, 0u);
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        cr_assert_eq(record->entered[lane], 0u, "a lane without ops has no thread");
    lspo_trace_destroy(trace);
    free(record);
    plan_end(made);
}

/* D2H ops 0, 1, 2 and then FWD 3, which waits for them.  The end of 3 makes UPD 4, 5 (priority 2) and 6 (priority 1)
 * ready at once: priority decides for 6, then equal readiness leaves the id: 6, 4, 5. */
Test(executor, serves_priority_then_readiness_then_id)
{
    made_plan_t *made = plan_begin();
    for (int i = 0; i < 3; i++)
        add_op(made, LSPO_OP_D2H, 0, 0);
    add_op(made, LSPO_OP_FWD, 0, 0);
    for (lspo_op_id_t i = 0; i < 3; i++)
        wait_for(made, i);
    lspo_op_id_t late = add_op(made, LSPO_OP_UPD, 1, 2);
    wait_for(made, 3);
    lspo_op_id_t later = add_op(made, LSPO_OP_UPD, 2, 2);
    wait_for(made, 3);
    lspo_op_id_t urgent = add_op(made, LSPO_OP_UPD, 3, 1);
    wait_for(made, 3);
    record_t *record = record_begin(made);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, &made->plan), LSPO_OK);
    const lspo_op_id_t *cpu = record->order[LSPO_LANE_CPU];
    cr_assert_eq(cpu[0], urgent);
    cr_assert_eq(cpu[1], late);
    cr_assert_eq(cpu[2], later);
    lspo_trace_destroy(trace);
    free(record);
    plan_end(made);
}

/* GPU: 0, until D2H 5 starts.  D2H: 1, then 2, then 5.  GPU ops 3 (waits for 2) and 4 (waits for 1) have equal
 * priority; when 0 ends both are ready, 4 since before 3: 4 runs first although its id is higher. */
static lspo_status_t slow_gpu(void *context, const lspo_op_t *op)
{
    record_t *record = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - record->plan->ops);
    record->order[op->lane][record->order_count[op->lane]++] = id;
    if (id == 5)
        atomic_store(&record->last_copy_runs, true);
    while (id == 0 && !atomic_load(&record->last_copy_runs))
        sleep_ns(1000000);
    return LSPO_OK;
}

Test(executor, first_ready_first_served_at_equal_priority, .timeout = 20)
{
    made_plan_t *made = plan_begin();
    add_op(made, LSPO_OP_FWD, 0, 0);
    add_op(made, LSPO_OP_D2H, 0, 0);
    add_op(made, LSPO_OP_D2H, 1, 0);
    wait_for(made, 1);
    add_op(made, LSPO_OP_FWD, 1, 0);
    wait_for(made, 2);
    add_op(made, LSPO_OP_FWD, 2, 0);
    wait_for(made, 1);
    add_op(made, LSPO_OP_D2H, 2, 0);
    wait_for(made, 2);
    record_t *record = record_begin(made);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(&made->plan, slow_gpu, NULL, record, NULL, &trace), LSPO_OK);
    const lspo_op_id_t *gpu = record->order[LSPO_LANE_GPU];
    cr_assert_eq(gpu[0], 0u);
    cr_assert_eq(gpu[1], 4u);
    cr_assert_eq(gpu[2], 3u);
    lspo_trace_destroy(trace);
    free(record);
    plan_end(made);
}

/* Each of four ops on four lanes ends when all have started. */
Test(executor, lanes_overlap, .timeout = 20)
{
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 4);
    made_plan_t *made = plan_begin();
    const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_D2H, LSPO_OP_H2D, LSPO_OP_UPD};
    for (int i = 0; i < 4; i++)
        add_op(made, kinds[i], 0, 0);
    record_t *record = record_begin(made);
    record->together = &together;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_OK);
    uint64_t first_end_ns = UINT64_MAX, last_start_ns = 0;
    for (uint32_t row = 0; row < trace->row_count; row++) {
        first_end_ns = trace->rows[row].end_ns < first_end_ns ? trace->rows[row].end_ns : first_end_ns;
        last_start_ns = trace->rows[row].start_ns > last_start_ns ? trace->rows[row].start_ns : last_start_ns;
    }
    cr_assert_leq(last_start_ns, first_end_ns, "four ops that met did not overlap in the trace");
    lspo_trace_destroy(trace);
    pthread_barrier_destroy(&together);
    free(record);
    plan_end(made);
}

Test(executor, failing_op_stops_the_plan)
{
    made_plan_t *made = plan_begin();
    lspo_op_id_t previous = LSPO_NO_OP;
    for (uint32_t i = 0; i < 20; i++) {
        lspo_op_id_t id = add_op(made, i % 2 ? LSPO_OP_UPD : LSPO_OP_FWD, i, 0);
        if (previous != LSPO_NO_OP)
            wait_for(made, previous);
        previous = id;
    }
    record_t *record = record_begin(made);
    record->fails_at = 7;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_ERR_NUMERIC);
    cr_assert_null(trace, "the out-argument is set on success only");
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(record->runs[i], i <= 7 ? 1u : 0u, "op %u ran %u times", i, record->runs[i]);
    free(record);
    plan_end(made);
}

Test(executor, stop_flag_ends_the_plan)
{
    made_plan_t *made = plan_begin();
    for (uint32_t i = 0; i < 20; i++) {
        add_op(made, LSPO_OP_FWD, i, 0);
        if (i)
            wait_for(made, i - 1);
    }
    record_t *record = record_begin(made);
    record->stops_at = 4;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_ERR_INTERRUPTED);
    cr_assert_null(trace);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(record->runs[i], i <= 4 ? 1u : 0u);
    free(record);
    plan_end(made);
}

/* Not a plan that lspo_plan_check lets through: 0 waits for 1 and 1 for 0. */
static uint32_t cut_at_ten(void *context, lspo_op_id_t reached)
{
    record_t *record = context;
    record->cuts++;
    cr_expect_lt(reached, 10);
    return 10;
}

/* Twenty ops on four lanes, each behind the one before on its lane.  Op 4 asks for an end, and the first ten are a plan
 * of their own: all of them run, none of the others, and the plan ends well. */
Test(executor, a_plan_can_be_cut, .timeout = 20)
{
    static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_D2H, LSPO_OP_H2D, LSPO_OP_UPD};
    made_plan_t *made = plan_begin();
    for (lspo_op_id_t i = 0; i < 20; i++) {
        add_op(made, kinds[i % 4], 0, 0);
        if (i >= 4)
            wait_for(made, i - 4);
        if (i >= 1)
            wait_for(made, i - 1);
    }
    record_t *record = record_begin(made);
    record->stops_at = 4;
    lspo_trace_t *trace = NULL;
    const lspo_executor_calls_t calls = {.context = record, .run = record_op, .cut = cut_at_ten};
    cr_assert_eq(lspo_execute_calls(&made->plan, &calls, &record->stop, &trace), LSPO_OK);
    cr_expect_eq(record->cuts, 1);
    cr_expect_eq(trace->row_count, 10u);
    for (lspo_op_id_t i = 0; i < 20; i++)
        cr_expect_eq(record->runs[i], i < 10 ? 1u : 0u);
    lspo_trace_destroy(trace);
    free(record);
    plan_end(made);
}

Test(executor, standstill_is_an_error_not_a_hang)
{
    made_plan_t *made = plan_begin();
    add_op(made, LSPO_OP_FWD, 0, 0);
    wait_for(made, 1);
    add_op(made, LSPO_OP_UPD, 0, 0);
    wait_for(made, 0);
    record_t *record = record_begin(made);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(made, record, &trace), LSPO_ERR_INTERNAL);
    free(record);
    plan_end(made);
}

static void make_random(made_plan_t *made, uint64_t seed)
{
    static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_BWD, LSPO_OP_D2H, LSPO_OP_UPD, LSPO_OP_H2D};
    uint32_t count = 1 + lspo_random_below(seed, 1, 0, 400);
    for (uint32_t i = 0; i < count; i++) {
        add_op(made, kinds[lspo_random_below(seed, 2, i, 5)], i, lspo_random_below(seed, 3, i, 4));
        uint32_t deps = i ? lspo_random_below(seed, 4, i, 4) : 0;
        lspo_op_id_t last = LSPO_NO_OP;
        for (uint32_t d = 0; d < deps; d++) {
            lspo_op_id_t id = lspo_random_below(seed, 5 + d, i, i);
            if (id == last)
                continue;
            wait_for(made, id);
            last = id;
        }
    }
}

Test(executor, random_plans_keep_the_invariants)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        made_plan_t *made = plan_begin();
        make_random(made, seed);
        record_t *record = record_begin(made);
        lspo_trace_t *trace = NULL;
        cr_assert_eq(execute(made, record, &trace), LSPO_OK);
        cr_assert_eq(trace->row_count, made->plan.op_count);
        cr_assert_eq(lspo_trace_check(trace, &made->plan), LSPO_OK, "seed %u", (unsigned)seed);
        for (uint32_t i = 0; i < made->plan.op_count; i++)
            cr_assert_eq(record->runs[i], 1u);
        lspo_trace_destroy(trace);
        free(record);
        plan_end(made);
    }
}

Test(topology, lanes_are_on_cores_of_this_process)
{
    lspo_topology_t topology;
    cr_assert_eq(lspo_topology_read(&topology), LSPO_OK);
    cr_assert_geq(topology.core_count, 1u);
    if (topology.core_count >= 2)
        for (int lane = LSPO_LANE_D2H; lane < LSPO_DEVICE_LANES; lane++)
            cr_assert_neq(topology.cpu[lane], topology.cpu[LSPO_LANE_GPU], "the GPU lane has its core for itself");
    cr_assert_not_null(strstr(topology.description, "gpu on cpu"));
}

static bool has_worker_on(const lspo_topology_t *topology, int cpu)
{
    for (uint32_t i = 0; i < topology->worker_count; i++)
        if (topology->worker_cpu[i] == cpu)
            return true;
    return false;
}

/* The first worker is the CPU lane's thread; the others are where no lane is, each on a core of its own. */
static void check_workers(const lspo_topology_t *topology)
{
    cr_assert_geq(topology->worker_count, 1u);
    cr_assert_eq(topology->worker_cpu[0], topology->cpu[LSPO_LANE_CPU]);
    cr_assert(topology->usual_workers >= 1 && topology->usual_workers <= topology->worker_count);
    for (uint32_t i = 1; i < topology->worker_count; i++) {
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            cr_assert_neq(topology->worker_cpu[i], topology->cpu[lane]);
        for (uint32_t j = 0; j < i; j++)
            cr_assert_neq(topology->worker_cpu[i], topology->worker_cpu[j]);
    }
    if (topology->core_count > 1)
        cr_assert_not(has_worker_on(topology, topology->cpu[LSPO_LANE_GPU]), "the GPU lane has its core for itself");
}

Test(topology, workers_are_where_no_other_lane_is)
{
    static const char *const addresses[] = {NULL, "ffff:ff:1f.7", "not an address"};
    lspo_topology_t host, near;
    uint32_t count = 0;
    cr_assert_eq(lspo_topology_read(&host), LSPO_OK);
    check_workers(&host);
    cr_assert_eq(host.usual_workers, 1u);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        cr_assert_eq(lspo_topology_read_near(addresses[i], &near), LSPO_OK);
        check_workers(&near);
        cr_assert_eq(near.core_count, host.core_count);
        /* No GPU is there: all cores are as near, and all but those that launch and copy work. */
        cr_assert_eq(near.usual_workers, near.core_count > 3 ? near.core_count - 2 : 1);
        cr_assert_eq(near.worker_count, near.usual_workers);
    }
    cr_assert_eq(lspo_topology_workers(&host, 0, &count), LSPO_OK);
    cr_assert_eq(count, 1u);
    cr_assert_eq(lspo_topology_workers(&host, host.worker_count, &count), LSPO_OK);
    cr_assert_eq(count, host.worker_count);
    cr_assert_eq(lspo_topology_workers(&host, host.worker_count + 1, &count), LSPO_ERR_INPUT);
    cr_assert_eq(count, host.worker_count, "set on success only");
}

/* 60 cores of which 16 may be used at a time: two for the lanes that feed the GPU.  Who asks for more gets them. */
Test(topology, workers_are_within_the_quota)
{
    lspo_topology_t topology = {.worker_count = 60, .usual_workers = 60, .cpu_quota = 16};
    uint32_t count = 0;
    cr_assert_eq(lspo_topology_workers(&topology, 0, &count), LSPO_OK);
    cr_assert_eq(count, 14u);
    cr_assert_eq(lspo_topology_workers(&topology, 60, &count), LSPO_OK);
    cr_assert_eq(count, 60u);
    topology.cpu_quota = 1;
    cr_assert_eq(lspo_topology_workers(&topology, 0, &count), LSPO_OK);
    cr_assert_eq(count, 1u);
    topology.cpu_quota = UINT32_MAX;
    cr_assert_eq(lspo_topology_workers(&topology, 0, &count), LSPO_OK);
    cr_assert_eq(count, 60u);
}

/* A machine that this one is not: on the host four lanes have cores of their own and the workers the CPU lane's and the
 * other 12; with a GPU the links share one, and none of the other 14 is left idle. */
Test(topology, sixteen_cores_are_shared_out)
{
    lspo_topology_t host, near;
    setenv("HWLOC_SYNTHETIC", "node:2 core:8 pu:1", 1);
    setenv("HWLOC_THISSYSTEM", "0", 1);
    lspo_status_t host_status = lspo_topology_read(&host), near_status = lspo_topology_read_near(NULL, &near);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    cr_assert(host_status == LSPO_OK && near_status == LSPO_OK);
    cr_assert(host.core_count == 16 && near.core_count == 16);
    check_workers(&host);
    check_workers(&near);
    cr_assert(host.worker_count == 13 && host.usual_workers == 1);
    cr_assert(near.worker_count == 14 && near.usual_workers == 14);
    cr_assert_eq(near.cpu[LSPO_LANE_D2H], near.cpu[LSPO_LANE_H2D]);
}

typedef struct {
    record_t *record;
    lspo_counters_t *counters;
} counted_t;

static lspo_status_t counted_op(void *context, const lspo_op_t *op)
{
    /* 10 ms of this thread's CPU time. */
    (void)context;
    (void)op;
    volatile double x = 1;
    double end_s = lspo_lane_cpu_s() + 0.01;
    while (lspo_lane_cpu_s() < end_s)
        x = x * 1.0000001;
    return LSPO_OK;
}

static void counted_lane(void *context, const lspo_lane_t *lane)
{
    lspo_counters_enter(((counted_t *)context)->counters, (lspo_lane_kind_t)lane->kind);
}

Test(counters, cpu_time_goes_to_the_lane_that_spent_it)
{
    counted_t counted = {0};
    lspo_counters_open(&counted.counters);
    made_plan_t *made = plan_begin();
    add_op(made, LSPO_OP_FWD, 0, 0);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(&made->plan, counted_op, counted_lane, &counted, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_counters_describe(counted.counters, trace), LSPO_OK);
    const char *gpu = lspo_trace_meta(trace, "counter.gpu.cpu_ns"), *h2d = lspo_trace_meta(trace, "counter.h2d.cpu_ns");
    cr_assert_eq(!counted.counters, lspo_trace_meta(trace, "counters") != NULL, "a trace without counters says so");
    if (gpu) {
        cr_assert_geq(atof(gpu), 5e6);
        cr_assert_lt(atof(h2d), atof(gpu) / 2);
    }
    lspo_trace_destroy(trace);
    lspo_counters_close(counted.counters);
    plan_end(made);
}
