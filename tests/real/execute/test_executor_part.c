/* Parts of a plan, each run by an executor of its own, as by the ranks of a job: random plans of several peers, whose
 * SENDs end in the other parts when their letters come, in whatever order. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "real/execute/executor.h"
#include "tests/plan_maker.h"

enum { PEERS_MAX = 4 };

/* Letters to a part, which come in an order drawn at random. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    lspo_op_id_t ops[MAKER_OPS_MAX];
    uint32_t count;
    uint64_t state;
} box_t;

typedef struct job job_t;

typedef struct {
    job_t *job;
    uint32_t peer;
    lspo_executor_part_t functions;
    lspo_trace_t *trace;
    lspo_status_t status;
    lspo_op_id_t fails_at; /* LSPO_NO_OP: no op does */
} part_t;

struct job {
    plan_maker_t maker;
    uint32_t peers;
    part_t parts[PEERS_MAX];
    box_t boxes[PEERS_MAX];
    pthread_barrier_t meeting;
};

static uint32_t peer_of(const job_t *job, const lspo_op_t *op)
{
    return job->maker.plan.lanes.list[op->lane].peer;
}

static bool runs(void *context, const lspo_op_t *op)
{
    const part_t *part = context;
    return peer_of(part->job, op) == part->peer;
}

/* Every SEND goes to all other peers. */
static bool arrives(void *context, const lspo_op_t *op)
{
    return op->kind == LSPO_OP_SEND && !runs(context, op);
}

static lspo_status_t arrive(void *context, const atomic_int *halted, lspo_op_id_t *op_out)
{
    part_t *part = context;
    box_t *box = &part->job->boxes[part->peer];
    lspo_status_t status = LSPO_OK;
    pthread_mutex_lock(&box->lock);
    while (box->count == 0 && status == LSPO_OK) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&box->changed, &box->lock, &until);
        status = atomic_load(halted) ? LSPO_ERR_INTERRUPTED : LSPO_OK;
    }
    if (status == LSPO_OK) {
        const uint32_t i = (uint32_t)maker_below(&box->state, box->count);
        *op_out = box->ops[i];
        box->ops[i] = box->ops[--box->count];
    }
    pthread_mutex_unlock(&box->lock);
    return status;
}

static lspo_status_t begin(void *context, uint64_t *zero_ns_out)
{
    part_t *part = context;
    (void)zero_ns_out;
    pthread_barrier_wait(&part->job->meeting);
    return LSPO_OK;
}

static lspo_status_t run(void *context, const lspo_op_t *op)
{
    part_t *part = context;
    job_t *job = part->job;
    const lspo_op_id_t id = (lspo_op_id_t)(op - job->maker.plan.ops);
    cr_expect(runs(part, op), "op %u of another part", id);
    if (id == part->fails_at)
        return LSPO_ERR_NUMERIC;
    for (uint32_t to = 0; to < job->peers && op->kind == LSPO_OP_SEND; to++) {
        box_t *box = &job->boxes[to];
        if (to == part->peer)
            continue;
        pthread_mutex_lock(&box->lock);
        box->ops[box->count++] = id;
        pthread_cond_signal(&box->changed);
        pthread_mutex_unlock(&box->lock);
    }
    return LSPO_OK;
}

static void *part_main(void *part_void)
{
    part_t *part = part_void;
    const lspo_executor_calls_t calls = {.context = part, .run = run, .part = &part->functions};
    part->status = lspo_execute_calls(&part->job->maker.plan, &calls, NULL, &part->trace);
    return NULL;
}

/* Ops of a peer depend on earlier ops of it, and on SENDs of all. */
static void make_plan(job_t *job, uint64_t seed)
{
    uint64_t state = seed * 91 + 5;
    uint32_t lanes[PEERS_MAX][2];
    job->maker = maker_create();
    for (uint32_t p = 0; p < job->peers; p++) {
        lanes[p][0] = p == 0 ? (uint32_t)LSPO_LANE_GPU : maker_lane(&job->maker, LSPO_LANE_GPU, 0, p);
        lanes[p][1] = maker_lane(&job->maker, LSPO_LANE_NET, 0, p);
    }
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t p = i < 2 * job->peers ? i / 2 : (uint32_t)maker_below(&state, job->peers);
        const uint32_t sends = i < 2 * job->peers ? i % 2 : (uint32_t)maker_below(&state, 2);
        const lspo_op_id_t id = maker_op_on(&job->maker, lanes[p][sends], sends ? LSPO_OP_SEND : LSPO_OP_FWD, 0, 0, 1);
        job->maker.plan.ops[id].priority = (uint32_t)maker_below(&state, 3);
        for (uint32_t d = (uint32_t)maker_below(&state, 4); d > 0 && id > 0; d--) {
            const lspo_op_id_t before = (lspo_op_id_t)maker_below(&state, id);
            const lspo_op_t *op = &job->maker.plan.ops[before];
            if (op->kind == LSPO_OP_SEND || peer_of(job, op) == p)
                maker_depend(&job->maker, before);
        }
    }
}

static void begin_job(job_t *job, uint32_t peers, uint64_t seed)
{
    job->peers = peers;
    make_plan(job, seed);
    pthread_barrier_init(&job->meeting, NULL, peers);
    for (uint32_t p = 0; p < peers; p++) {
        box_t *box = &job->boxes[p];
        *box = (box_t){.state = seed * 13 + p};
        pthread_mutex_init(&box->lock, NULL);
        pthread_cond_init(&box->changed, NULL);
        job->parts[p] = (part_t){.job = job, .peer = p, .fails_at = LSPO_NO_OP};
        job->parts[p].functions = (lspo_executor_part_t){
            .context = &job->parts[p], .runs = runs, .arrives = arrives, .arrive = arrive, .begin = begin};
    }
}

static void run_job(job_t *job)
{
    pthread_t threads[PEERS_MAX];
    for (uint32_t p = 0; p < job->peers; p++)
        cr_assert_eq(pthread_create(&threads[p], NULL, part_main, &job->parts[p]), 0);
    for (uint32_t p = 0; p < job->peers; p++)
        pthread_join(threads[p], NULL);
}

static void end_job(job_t *job)
{
    for (uint32_t p = 0; p < job->peers; p++)
        lspo_trace_destroy(job->parts[p].trace);
    pthread_barrier_destroy(&job->meeting);
    maker_release(&job->maker);
    free(job);
}

/* All parts together have each op once, each after what it waits for by the one clock of this machine (traces have a
 * zero of their own, which is after the meeting: only the order within a part is compared). */
Test(executor_part, parts_together_are_the_plan)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        job_t *job = calloc(1, sizeof *job);
        cr_assert_not_null(job);
        begin_job(job, 2 + (uint32_t)(seed % 3), seed);
        run_job(job);
        uint32_t seen[MAKER_OPS_MAX] = {0}, rows = 0;
        for (uint32_t p = 0; p < job->peers; p++) {
            cr_assert_eq(job->parts[p].status, LSPO_OK, "seed %lu, part %u", (unsigned long)seed, p);
            const lspo_trace_t *trace = job->parts[p].trace;
            uint64_t ended_ns[MAKER_OPS_MAX] = {0};
            for (uint32_t i = 0; i < trace->row_count; i++) {
                const lspo_trace_row_t *row = &trace->rows[i];
                const lspo_op_t *op = &job->maker.plan.ops[row->op];
                cr_expect_eq(peer_of(job, op), p);
                for (uint32_t d = 0; d < op->dep_count; d++)
                    cr_expect_leq(ended_ns[job->maker.plan.deps[op->dep_first + d]], row->start_ns);
                ended_ns[row->op] = row->end_ns;
                seen[row->op]++;
                rows++;
            }
        }
        cr_expect_eq(rows, job->maker.plan.op_count);
        for (uint32_t id = 0; id < job->maker.plan.op_count; id++)
            cr_expect_eq(seen[id], 1u, "op %u", id);
        end_job(job);
    }
}

/* Where an op fails, its part ends, also what waits there for letters. */
Test(executor_part, a_failure_ends_the_part)
{
    job_t *job = calloc(1, sizeof *job);
    cr_assert_not_null(job);
    begin_job(job, 1, 3);
    job->peers = 1;
    const uint32_t other = maker_lane(&job->maker, LSPO_LANE_NET, 0, 1);
    const lspo_op_id_t sent = maker_op_on(&job->maker, other, LSPO_OP_SEND, 0, 0, 1); /* never comes */
    const lspo_op_id_t last = maker_op_on(&job->maker, LSPO_LANE_GPU, LSPO_OP_FWD, 0, 0, 1);
    maker_depend(&job->maker, sent);
    job->parts[0].fails_at = last - 2;
    run_job(job);
    cr_expect_eq(job->parts[0].status, LSPO_ERR_NUMERIC);
    cr_expect_null(job->parts[0].trace);
    end_job(job);
}
