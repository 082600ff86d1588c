/* The executor on lanes that are queues: a made device whose three queues are threads of their own, which work at
 * random paces and check, when they come to an op, that everything it waits for is done. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "tests/plan_maker.h"

enum { QUEUE_MAX = 3 * LSPO_ISSUED_MAX };

/* At the begin of the lane's n-th op, n the place of `fails_at` among the ops of its lane, or at that op. */
typedef enum { FAIL_NOTHING, FAIL_BEGIN, FAIL_RUN, FAIL_ISSUED, FAIL_WAIT, FAIL_FINISH, FAIL_COUNT } failure_t;

/* KNOWN: whoever called `finish` has come back, so that the executor has seen the end. */
typedef enum { NOT_ISSUED, ISSUED, DONE, FINISHED, KNOWN } state_t;

/* What a queue holds: where an op begins, its work, where it ends. */
typedef enum { ENTRY_BEGIN, ENTRY_OP, ENTRY_END } entry_kind_t;
typedef struct {
    entry_kind_t kind;
    uint32_t value; /* a slot or an op */
} entry_t;

typedef struct device device_t;

typedef struct {
    device_t *device;
    pthread_t thread;
    pthread_cond_t filled;
    entry_t entries[QUEUE_MAX]; /* a ring */
    uint32_t first, count, begin_count, order_count;
    uint32_t slot; /* of the op that is being issued */
    bool passed[LSPO_ISSUED_MAX], in_use[LSPO_ISSUED_MAX];
    uint64_t start_ns[LSPO_ISSUED_MAX], end_ns[LSPO_ISSUED_MAX];
    lspo_op_id_t in_slot[LSPO_ISSUED_MAX];
    lspo_op_id_t finished_last;
    uint32_t issued, issued_most; /* that have not ended */
    uint64_t random;
    lspo_op_id_t order[MAKER_OPS_MAX];
} queue_t;

struct device {
    const lspo_plan_t *plan;
    pthread_mutex_t lock;
    pthread_cond_t passed;
    queue_t queues[LSPO_DEVICE_LANES]; /* the CPU's: its records only */
    state_t state[MAKER_OPS_MAX];
    bool was_ready[MAKER_OPS_MAX]; /* for sure, when its lane was given the op before */
    bool was_held[MAKER_OPS_MAX];  /* for sure */
    uint32_t pace_us;              /* an op takes 0 .. pace_us */
    bool closing, clock_is_wrong;
    atomic_bool gpu_stands_still;
    failure_t failure;
    lspo_op_id_t fails_at, stops_at;
    atomic_int stop;
    const char *wrong; /* what should not have happened */
};

static void blame(device_t *device, bool wrong, const char *what)
{
    if (wrong && !device->wrong)
        device->wrong = what;
}

static bool is_queue(uint32_t lane)
{
    return lane != LSPO_LANE_CPU;
}

/* Has all that it waits for: on its queue `issued`, elsewhere at least `elsewhere`. */
static bool has_all(const device_t *device, lspo_op_id_t id, state_t issued, state_t elsewhere)
{
    const lspo_op_t *op = &device->plan->ops[id];
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++) {
        lspo_op_id_t dep = device->plan->deps[d];
        bool same_queue = is_queue(op->lane) && device->plan->ops[dep].lane == op->lane;
        if (device->state[dep] < (same_queue ? issued : elsewhere))
            return false;
    }
    return true;
}

/* ---- the queues' side: with the lock, which is released while an op works ---- */

static void work_on(device_t *device, uint64_t *random, lspo_op_id_t id)
{
    uint32_t us = device->pace_us ? (uint32_t)maker_below(random, device->pace_us) : 0;
    blame(device, !has_all(device, id, DONE, DONE), "an op works before what it waits for is done");
    pthread_mutex_unlock(&device->lock);
    if (us > 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    pthread_mutex_lock(&device->lock);
    device->state[id] = DONE;
}

static void take(queue_t *queue, entry_t entry)
{
    device_t *device = queue->device;
    uint64_t now_ns = lspo_now_ns();
    if (device->clock_is_wrong) /* by up to 50 us */
        now_ns = now_ns + 50000 - maker_below(&queue->random, 100000);
    if (entry.kind == ENTRY_BEGIN) {
        queue->start_ns[entry.value] = now_ns;
    } else if (entry.kind == ENTRY_OP) {
        work_on(device, &queue->random, entry.value);
    } else {
        queue->end_ns[entry.value] = now_ns;
        queue->passed[entry.value] = true;
        pthread_cond_broadcast(&device->passed);
    }
}

static bool stands_still(const queue_t *queue)
{
    return queue->count == 0 ||
           (queue == &queue->device->queues[LSPO_LANE_GPU] && atomic_load(&queue->device->gpu_stands_still));
}

static void *queue_main(void *queue_void)
{
    queue_t *queue = queue_void;
    device_t *device = queue->device;
    pthread_mutex_lock(&device->lock);
    while (queue->count > 0 || !device->closing) {
        if (stands_still(queue)) {
            pthread_cond_wait(&queue->filled, &device->lock);
            continue;
        }
        take(queue, queue->entries[queue->first]);
        queue->first = (queue->first + 1) % QUEUE_MAX;
        queue->count--;
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}

static void put(queue_t *queue, entry_kind_t kind, uint32_t value)
{
    blame(queue->device, queue->count == QUEUE_MAX, "a queue holds more than it may");
    if (queue->count == QUEUE_MAX)
        return;
    queue->entries[(queue->first + queue->count++) % QUEUE_MAX] = (entry_t){kind, value};
    pthread_cond_signal(&queue->filled);
}

/* ---- the executor's side ---- */

static lspo_status_t fails(const device_t *device, failure_t failure, lspo_op_id_t id)
{
    return device->failure == failure && device->fails_at == id ? LSPO_ERR_NUMERIC : LSPO_OK;
}

static uint32_t place_on_lane(const lspo_plan_t *plan, lspo_op_id_t id)
{
    uint32_t place = 0;
    for (lspo_op_id_t other = 0; other < id; other++)
        place += plan->ops[other].lane == plan->ops[id].lane;
    return place;
}

static lspo_status_t begin(void *context, lspo_lane_kind_t lane, uint32_t slot)
{
    device_t *device = context;
    queue_t *queue = &device->queues[lane];
    pthread_mutex_lock(&device->lock);
    bool failing = device->failure == FAIL_BEGIN && device->plan->ops[device->fails_at].lane == lane &&
                   queue->begin_count++ == place_on_lane(device->plan, device->fails_at);
    blame(device, !is_queue(lane) || slot >= LSPO_ISSUED_MAX || queue->in_use[slot], "a slot is used twice");
    if (!failing) {
        queue->in_use[slot] = true;
        queue->passed[slot] = false;
        queue->slot = slot;
        put(queue, ENTRY_BEGIN, slot);
    }
    pthread_mutex_unlock(&device->lock);
    return failing ? LSPO_ERR_NUMERIC : LSPO_OK;
}

/* `id` is chosen: none that was ready before for sure may have had to come first, be it by priority or because it was
 * ready while `id` was held.  Then what the next choice is held against. */
static void check_choice(device_t *device, lspo_op_id_t id)
{
    const lspo_plan_t *plan = device->plan;
    const lspo_op_t *chosen = &plan->ops[id];
    for (lspo_op_id_t other = 0; other < plan->op_count; other++) {
        const lspo_op_t *op = &plan->ops[other];
        if (op->lane != chosen->lane || other == id || device->state[other] != NOT_ISSUED)
            continue;
        blame(device, device->was_ready[other] && op->priority < chosen->priority, "the wrong priority comes first");
        blame(device, device->was_ready[other] && op->priority == chosen->priority && device->was_held[id],
              "what was ready last comes first");
    }
    for (lspo_op_id_t other = 0; other < plan->op_count; other++)
        if (plan->ops[other].lane == chosen->lane) {
            device->was_ready[other] = has_all(device, other, ISSUED, KNOWN);
            device->was_held[other] = !has_all(device, other, ISSUED, FINISHED);
        }
}

static void now_known(device_t *device, queue_t *queue)
{
    if (queue->finished_last != LSPO_NO_OP)
        device->state[queue->finished_last] = KNOWN;
}

static lspo_status_t run(void *context, const lspo_op_t *op)
{
    device_t *device = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - device->plan->ops);
    queue_t *queue = &device->queues[op->lane];
    pthread_mutex_lock(&device->lock);
    if (!is_queue(op->lane))
        now_known(device, queue);
    blame(device, device->state[id] != NOT_ISSUED, "an op runs twice");
    blame(device, !has_all(device, id, ISSUED, FINISHED), "an op is issued before what it waits for has ended");
    check_choice(device, id);
    device->state[id] = ISSUED;
    queue->order[queue->order_count++] = id;
    queue->issued++;
    queue->issued_most = queue->issued > queue->issued_most ? queue->issued : queue->issued_most;
    lspo_status_t status = fails(device, FAIL_RUN, id);
    if (is_queue(op->lane)) {
        queue->in_slot[queue->slot] = id;
        put(queue, ENTRY_OP, id);
    } else {
        work_on(device, &queue->random, id);
    }
    if (id == device->stops_at)
        atomic_store(&device->stop, 1);
    pthread_mutex_unlock(&device->lock);
    return status;
}

static lspo_status_t issued(void *context, lspo_lane_kind_t lane, uint32_t slot)
{
    device_t *device = context;
    queue_t *queue = &device->queues[lane];
    pthread_mutex_lock(&device->lock);
    blame(device, slot != queue->slot, "an op's slots differ");
    put(queue, ENTRY_END, slot);
    lspo_status_t status = fails(device, FAIL_ISSUED, queue->in_slot[slot]);
    pthread_mutex_unlock(&device->lock);
    return status;
}

static lspo_status_t wait_for(void *context, lspo_lane_kind_t lane, uint32_t slot, uint64_t *start_ns, uint64_t *end_ns)
{
    device_t *device = context;
    queue_t *queue = &device->queues[lane];
    pthread_mutex_lock(&device->lock);
    now_known(device, queue);
    while (!queue->passed[slot])
        pthread_cond_wait(&device->passed, &device->lock);
    queue->in_use[slot] = false;
    queue->issued--;
    *start_ns = queue->start_ns[slot];
    *end_ns = queue->end_ns[slot];
    lspo_status_t status = fails(device, FAIL_WAIT, queue->in_slot[slot]);
    pthread_mutex_unlock(&device->lock);
    return status;
}

static lspo_status_t finish(void *context, const lspo_op_t *op)
{
    device_t *device = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - device->plan->ops);
    queue_t *queue = &device->queues[op->lane];
    pthread_mutex_lock(&device->lock);
    blame(device, device->state[id] != DONE, "an op is finished twice or before it is done");
    for (uint32_t i = 0; i < queue->order_count && queue->order[i] != id; i++)
        blame(device, device->state[queue->order[i]] < FINISHED, "ops of a lane are finished out of order");
    device->state[id] = FINISHED;
    queue->finished_last = id;
    if (!is_queue(op->lane))
        queue->issued--;
    lspo_status_t status = fails(device, FAIL_FINISH, id);
    pthread_mutex_unlock(&device->lock);
    return status;
}

/* ---- a device's life ---- */

static device_t *device_open(const lspo_plan_t *plan, uint64_t seed, uint32_t pace_us)
{
    device_t *device = calloc(1, sizeof *device);
    cr_assert_not_null(device);
    cr_assert_leq(plan->op_count, (uint32_t)MAKER_OPS_MAX);
    device->plan = plan;
    device->pace_us = pace_us;
    device->fails_at = device->stops_at = LSPO_NO_OP;
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->passed, NULL);
    for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        queue_t *queue = &device->queues[lane];
        queue->device = device;
        queue->finished_last = LSPO_NO_OP;
        queue->random = seed * 977 + lane + 1;
        pthread_cond_init(&queue->filled, NULL);
        if (is_queue(lane))
            cr_assert_eq(pthread_create(&queue->thread, NULL, queue_main, queue), 0);
    }
    return device;
}

static void device_close(device_t *device)
{
    pthread_mutex_lock(&device->lock);
    device->closing = true;
    for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        pthread_cond_signal(&device->queues[lane].filled);
    pthread_mutex_unlock(&device->lock);
    for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        if (is_queue(lane))
            pthread_join(device->queues[lane].thread, NULL);
        pthread_cond_destroy(&device->queues[lane].filled);
    }
    pthread_cond_destroy(&device->passed);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

static lspo_status_t execute(device_t *device, lspo_trace_t **trace_out)
{
    const lspo_executor_calls_t calls = {
        .context = device,
        .run = run,
        .finish = finish,
        .depth = {[LSPO_LANE_GPU] = LSPO_ISSUED_MAX, [LSPO_LANE_D2H] = LSPO_ISSUED_MAX, [LSPO_LANE_H2D] = 1},
        .begin = begin,
        .issued = issued,
        .wait = wait_for};
    return lspo_execute_calls(device->plan, &calls, &device->stop, trace_out);
}

/* All went as it should: every op once, and the trace is one of the plan. */
static void execute_well(device_t *device)
{
    const lspo_plan_t *plan = device->plan;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(device, &trace), LSPO_OK);
    cr_assert_null(device->wrong, "%s", device->wrong);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        cr_assert_geq(device->state[id], FINISHED);
    for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        cr_assert_eq(device->queues[lane].issued, 0u);
        cr_assert_eq(device->queues[lane].count, 0u);
    }
    cr_assert_leq(device->queues[LSPO_LANE_GPU].issued_most, 2u);
    cr_assert_leq(device->queues[LSPO_LANE_D2H].issued_most, 2u);
    cr_assert_leq(device->queues[LSPO_LANE_H2D].issued_most, 1u);
    cr_assert_eq(trace->row_count, plan->op_count);
    cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
    lspo_trace_destroy(trace);
}

Test(executor_queues, random_plans_keep_the_invariants)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 20 + (uint32_t)seed * 5);
        device_t *device = device_open(&maker.plan, seed, seed % 3 == 0 ? 0 : 60);
        device->clock_is_wrong = seed % 2 == 0;
        execute_well(device);
        device_close(device);
        maker_release(&maker);
    }
}

Test(executor_queues, plans_of_all_policies_keep_the_invariants)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload;
        lspo_plan_t *plan;
        lspo_workload_default(&workload);
        workload.sequence = 64;
        lspo_lsp_values_edit(&workload)->subspace = 32;
        workload.iterations = 4;
        workload.clip_norm = i % 2;
        cr_assert_eq(lspo_plan_build(&model, &workload, lspo_policy_at(i), &plan), LSPO_OK);
        device_t *device = device_open(plan, i + 1, 30);
        execute_well(device);
        device_close(device);
        lspo_plan_destroy(plan);
    }
}

/* The GPU stands still until both of its ops are issued, of which 1 waits for 0: it is issued into the queue behind it.
 * Then UPD 2 sets 3 to 5 free, which cannot be issued yet; when they can, priority decides, not id: 5, 3, 4. */
static lspo_status_t open_the_gate(void *context, const lspo_op_t *op)
{
    device_t *device = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - device->plan->ops);
    queue_t *gpu = &device->queues[LSPO_LANE_GPU];
    if (id == 2)
        for (bool full = false; !full;) {
            pthread_mutex_lock(&device->lock);
            full = gpu->issued == 2 && gpu->count >= 5;
            pthread_mutex_unlock(&device->lock);
        }
    if (id == 6) {
        pthread_mutex_lock(&device->lock);
        atomic_store(&device->gpu_stands_still, false);
        pthread_cond_signal(&gpu->filled);
        pthread_mutex_unlock(&device->lock);
    }
    return run(context, op);
}

Test(executor_queues, an_op_is_chosen_when_it_is_issued, .timeout = 60)
{
    plan_maker_t maker = maker_create();
    static const struct {
        lspo_op_kind_t kind;
        uint32_t priority;
        lspo_op_id_t dep;
    } ops[] = {{LSPO_OP_FWD, 0, LSPO_NO_OP}, {LSPO_OP_FWD, 0, 0}, {LSPO_OP_UPD, 0, LSPO_NO_OP}, {LSPO_OP_FWD, 2, 2},
               {LSPO_OP_FWD, 2, 2},          {LSPO_OP_FWD, 1, 2}, {LSPO_OP_UPD, 0, 2}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        maker.plan.ops[maker_op(&maker, ops[i].kind, 0, 0, 0)].priority = ops[i].priority;
        maker_depend(&maker, ops[i].dep);
    }
    device_t *device = device_open(&maker.plan, 1, 0);
    atomic_store(&device->gpu_stands_still, true);
    const lspo_executor_calls_t calls = {.context = device,
                                         .run = open_the_gate,
                                         .finish = finish,
                                         .depth = {[LSPO_LANE_GPU] = 2},
                                         .begin = begin,
                                         .issued = issued,
                                         .wait = wait_for};
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute_calls(&maker.plan, &calls, NULL, &trace), LSPO_OK);
    cr_assert_null(device->wrong, "%s", device->wrong);
    static const lspo_op_id_t expected[] = {0, 1, 5, 3, 4};
    cr_assert_eq(device->queues[LSPO_LANE_GPU].order_count, 5u);
    cr_assert_eq(memcmp(device->queues[LSPO_LANE_GPU].order, expected, sizeof expected), 0);
    cr_assert_eq(device->queues[LSPO_LANE_GPU].issued_most, 2u);
    lspo_trace_destroy(trace);
    device_close(device);
    maker_release(&maker);
}

/* Whatever failed: the failure comes back, all that was issued has been waited for, and nothing that needs the op ran
 * on another lane. */
static void check_stopped(device_t *device, lspo_status_t expected)
{
    const lspo_plan_t *plan = device->plan;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(execute(device, &trace), expected);
    cr_assert_null(trace, "the out-argument is set on success only");
    cr_assert_null(device->wrong, "%s", device->wrong);
    /* Where the mark behind an op cannot be set nothing can be waited for. */
    if (device->failure == FAIL_ISSUED)
        return;
    for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        if (is_queue(lane))
            cr_assert_eq(device->queues[lane].issued, 0u, "ops are left in flight");
    for (lspo_op_id_t id = 0; device->failure != FAIL_NOTHING && id < plan->op_count; id++)
        for (uint32_t d = plan->ops[id].dep_first; d < plan->ops[id].dep_first + plan->ops[id].dep_count; d++)
            if (plan->deps[d] == device->fails_at && device->failure != FAIL_BEGIN)
                cr_assert(device->state[id] == NOT_ISSUED || plan->ops[id].lane == plan->ops[plan->deps[d]].lane);
}

Test(executor_queues, a_failure_anywhere_stops_the_plan_and_leaves_nothing_in_flight)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 40);
        for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++)
            for (int failure = FAIL_BEGIN; failure < FAIL_COUNT; failure++) {
                bool of_queues = failure != FAIL_RUN && failure != FAIL_FINISH;
                if (of_queues && !is_queue(maker.plan.ops[id].lane))
                    continue;
                device_t *device = device_open(&maker.plan, seed + id, 20);
                device->failure = (failure_t)failure;
                device->fails_at = id;
                check_stopped(device, LSPO_ERR_NUMERIC);
                device_close(device);
            }
        maker_release(&maker);
    }
}

Test(executor_queues, a_stop_waits_for_what_is_issued)
{
    plan_maker_t maker = maker_random_plan(5, 60);
    for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++) {
        device_t *device = device_open(&maker.plan, id + 1, 20);
        device->stops_at = id;
        lspo_trace_t *trace = NULL;
        lspo_status_t status = execute(device, &trace);
        /* The last op of all is followed by none before which the flag is looked at. */
        cr_assert(status == LSPO_ERR_INTERRUPTED || (status == LSPO_OK && trace != NULL));
        cr_assert_null(device->wrong, "%s", device->wrong);
        for (uint32_t lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            if (is_queue(lane))
                cr_assert_eq(device->queues[lane].issued, 0u);
        lspo_trace_destroy(trace);
        device_close(device);
    }
    maker_release(&maker);
}

/* Not a plan that lspo_plan_check lets through: 1 and 2 wait for each other, 0 ends and then nothing can. */
Test(executor_queues, standstill_is_an_error_not_a_hang, .timeout = 60)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 0);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 0);
    maker_depend(&maker, 2);
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 0);
    maker_depend(&maker, 1);
    device_t *device = device_open(&maker.plan, 1, 20);
    check_stopped(device, LSPO_ERR_INTERNAL);
    device_close(device);
    maker_release(&maker);
}

Test(executor_queues, a_depth_beyond_the_slots_is_refused)
{
    plan_maker_t maker = maker_create();
    const lspo_executor_calls_t calls = {.depth = {LSPO_ISSUED_MAX + 1}};
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute_calls(&maker.plan, &calls, NULL, &trace), LSPO_ERR_INTERNAL);
    cr_assert_null(trace);
    maker_release(&maker);
}
