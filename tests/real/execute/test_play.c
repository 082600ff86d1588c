/* Plans played on the CUDA device: what an op works on must be there although its lane's stream, and those of the
 * others, run behind the calls; by random times on the CPU that stands in for a GPU. */
#include "real/execute/play.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/number.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/plan_maker.h"

/* A message of N floats goes round: in to the GPU, is added to the sum there, comes back, and is halved and changed by
 * the CPU, which makes the next one of it. */
enum { N = 4096, ROUNDS = 30, OPS_A_ROUND = 4 };

typedef struct {
    lspo_device_t *device;
    const lspo_plan_t *plan;
    float *outgoing, *incoming; /* host */
    float *arrived, *sum;       /* device */
    lspo_op_id_t fails_at;
    atomic_uint finished[MAKER_OPS_MAX];
    atomic_bool early; /* an op was finished before one that it waits for */
} round_t;

/* One iteration a round: H2D, FWD, D2H, UPD, each waiting for the one before. */
static plan_maker_t make_rounds(void)
{
    static const lspo_op_kind_t kinds[OPS_A_ROUND] = {LSPO_OP_H2D, LSPO_OP_FWD, LSPO_OP_D2H, LSPO_OP_UPD};
    plan_maker_t maker = maker_create();
    for (uint32_t i = 0; i < ROUNDS * OPS_A_ROUND; i++) {
        maker_op(&maker, kinds[i % OPS_A_ROUND], 0, i / OPS_A_ROUND, 0);
        maker_depend(&maker, i > 0 ? i - 1 : LSPO_NO_OP);
    }
    return maker;
}

static lspo_status_t run(void *context, const lspo_op_t *op)
{
    round_t *r = context;
    lspo_op_id_t id = (lspo_op_id_t)(op - r->plan->ops);
    const size_t bytes = N * sizeof(float);
    if (op->kind == LSPO_OP_H2D)
        lspo_device_copy(r->device, LSPO_COPY_H2D, r->arrived, r->outgoing, bytes);
    else if (op->kind == LSPO_OP_FWD)
        lspo_compute_add(lspo_device_compute(r->device), N, r->arrived, r->sum);
    else if (op->kind == LSPO_OP_D2H)
        lspo_device_copy(r->device, LSPO_COPY_D2H, r->incoming, r->sum, bytes);
    else
        for (size_t i = 0; i < N; i++)
            r->outgoing[i] = 0.5F * r->incoming[i] + (float)(i % 7);
    if (id == r->fails_at)
        return LSPO_ERR_NUMERIC;
    return lspo_compute_status(lspo_device_compute(r->device));
}

static lspo_status_t finish(void *context, const lspo_op_t *op)
{
    round_t *r = context;
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++)
        if (atomic_load(&r->finished[r->plan->deps[d]]) == 0)
            atomic_store(&r->early, true);
    atomic_fetch_add(&r->finished[op - r->plan->ops], 1);
    return LSPO_OK;
}

static round_t *open_round(const lspo_plan_t *plan, const lspo_device_caps_t *caps)
{
    static const float zero[N];
    void *memory[4];
    round_t *r = calloc(1, sizeof *r);
    cr_assert_not_null(r);
    r->plan = plan;
    r->fails_at = LSPO_NO_OP;
    cr_assert_eq(lspo_device_open("cuda", caps, &r->device), LSPO_OK);
    cr_assert_eq(lspo_device_host_alloc(r->device, sizeof zero, &memory[0]), LSPO_OK);
    cr_assert_eq(lspo_device_host_alloc(r->device, sizeof zero, &memory[1]), LSPO_OK);
    cr_assert_eq(lspo_device_alloc(r->device, sizeof zero, &memory[2]), LSPO_OK);
    cr_assert_eq(lspo_device_alloc(r->device, sizeof zero, &memory[3]), LSPO_OK);
    r->outgoing = memory[0];
    r->incoming = memory[1];
    r->arrived = memory[2];
    r->sum = memory[3];
    cr_assert_eq(lspo_device_write(r->device, r->sum, zero, sizeof zero), LSPO_OK);
    for (size_t i = 0; i < N; i++)
        r->outgoing[i] = 1;
    return r;
}

static void close_round(round_t *r)
{
    lspo_device_host_free(r->device, r->outgoing);
    lspo_device_host_free(r->device, r->incoming);
    lspo_device_free(r->device, r->arrived);
    lspo_device_free(r->device, r->sum);
    lspo_device_close(r->device);
    free(r);
}

static lspo_status_t play(round_t *r, lspo_trace_t **trace_out)
{
    const lspo_play_t play = {.device = r->device, .context = r, .run = run, .finish = finish};
    return lspo_play(r->plan, &play, NULL, trace_out);
}

/* The same rounds, one after the other. */
static float expected(size_t i)
{
    float message = 1, sum = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        sum += message;
        message = 0.5F * sum + (float)(i % 7);
    }
    return message;
}

static void play_well(unsigned seed, const lspo_device_caps_t *caps)
{
    plan_maker_t maker = make_rounds();
    cuda_on_host_delays(seed);
    round_t *r = open_round(&maker.plan, caps);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(play(r, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    cr_assert_eq(trace->row_count, maker.plan.op_count);
    for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++)
        cr_assert_eq(r->finished[id], 1u);
    cr_assert_not(r->early);
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(r->outgoing[i], expected(i), "number %zu", i);
    lspo_trace_destroy(trace);
    close_round(r);
    maker_release(&maker);
}

Test(play, a_message_goes_round_on_three_streams)
{
    const lspo_device_caps_t caps = {0};
    for (unsigned seed = 0; seed <= 5; seed++)
        play_well(seed, &caps);
}

/* A paced copy is waited for by its lane. */
Test(play, a_paced_message_goes_round)
{
    const lspo_device_caps_t caps = {.h2d_Bps = 100e6, .d2h_Bps = 200e6, .h2d_latency_s = 1e-5, .nvtx = true};
    play_well(3, &caps);
}

/* GPU ops that follow one another are issued into the stream ahead of it, and none works on what is not there yet:
 * sum += x, x += sum, by turns, are Fibonacci's numbers. */
static lspo_status_t run_fibonacci(void *context, const lspo_op_t *op)
{
    round_t *r = context;
    bool odd = (op - r->plan->ops) % 2;
    lspo_compute_add(lspo_device_compute(r->device), N, odd ? r->sum : r->arrived, odd ? r->arrived : r->sum);
    return lspo_compute_status(lspo_device_compute(r->device));
}

Test(play, ops_of_a_lane_follow_one_another)
{
    enum { OPS = 30 };
    const lspo_device_caps_t caps = {0};
    plan_maker_t maker = maker_create();
    for (uint32_t i = 0; i < OPS; i++) {
        maker_op(&maker, LSPO_OP_FWD, 0, 0, 0);
        maker_depend(&maker, i > 0 ? i - 1 : LSPO_NO_OP);
    }
    cuda_on_host_delays(9);
    round_t *r = open_round(&maker.plan, &caps);
    cr_assert_eq(lspo_device_write(r->device, r->arrived, r->outgoing, N * sizeof(float)), LSPO_OK);
    const lspo_play_t play = {.device = r->device, .context = r, .run = run_fibonacci};
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_play(&maker.plan, &play, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    /* 1, 2, 3, 5, ...: after 30 additions to (1, 0) the later of both is the 31st number of 1, 1, 2, 3, 5, ... */
    cr_assert_eq(lspo_device_read(r->device, r->incoming, r->arrived, N * sizeof(float)), LSPO_OK);
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(r->incoming[i], 1346269.0F);
    lspo_trace_destroy(trace);
    close_round(r);
    maker_release(&maker);
}

Test(play, a_failing_op_ends_the_plan)
{
    const lspo_device_caps_t caps = {0};
    plan_maker_t maker = make_rounds();
    cuda_on_host_delays(4);
    for (lspo_op_id_t id = 4; id < 8; id++) {
        round_t *r = open_round(&maker.plan, &caps);
        lspo_trace_t *trace = NULL;
        r->fails_at = id;
        cr_assert_eq(play(r, &trace), LSPO_ERR_NUMERIC);
        cr_assert_null(trace);
        for (lspo_op_id_t op = 0; op < maker.plan.op_count; op++)
            cr_assert_eq(r->finished[op], op < id ? 1u : 0u);
        close_round(r);
    }
    maker_release(&maker);
}

/* What the GPU says of something long issued comes out of the plan that waits for it. */
Test(play, a_failing_device_ends_the_plan)
{
    const lspo_device_caps_t caps = {0};
    plan_maker_t maker = make_rounds();
    ONLY_ON_HOST();
    round_t *r = open_round(&maker.plan, &caps);
    lspo_trace_t *trace = NULL;
    cuda_on_host_fail_next(700);
    cr_assert_eq(play(r, &trace), LSPO_ERR_DEVICE);
    cr_assert_null(trace);
    close_round(r);
    maker_release(&maker);
}

Test(play, lanes_and_workers_have_their_places)
{
    const lspo_device_caps_t caps = {0};
    static const char *const names[] = {"host", "cuda"};
    for (int i = 0; i < 2; i++) {
        lspo_device_t *device;
        lspo_topology_t topology = {0};
        lspo_workers_t *workers = NULL;
        cr_assert_eq(lspo_device_open(names[i], &caps, &device), LSPO_OK);
        cr_assert_eq(lspo_play_place(device, 60000, &topology, &workers), LSPO_ERR_INPUT);
        cr_assert_null(workers);
        cr_assert_eq(topology.core_count, 0u, "set on success only");
        cr_assert_eq(lspo_play_place(device, 0, &topology, &workers), LSPO_OK);
        uint32_t usual = 0;
        cr_assert_eq(lspo_topology_workers(&topology, 0, &usual), LSPO_OK);
        cr_assert_eq(lspo_workers_count(workers), usual);
        lspo_workers_destroy(workers);
        lspo_device_close(device);
    }
}
