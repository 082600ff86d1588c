/* The pool of workers: every item once, the caller's floating-point mode, results that do not depend on the number of
 * threads. */
#include "base/workers.h"

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/execute/lane.h"

enum { ITEMS = 1000 };

typedef struct {
    atomic_uint times[ITEMS];
    atomic_uint inside[64]; /* items that a worker has in hand */
    atomic_bool strange;    /* a worker number that does not exist, or one that two threads have at once */
    uint32_t count;
} record_t;

static void record_item(void *context, uint32_t worker, size_t item)
{
    record_t *record = context;
    if (worker >= record->count || atomic_fetch_add(&record->inside[worker], 1) != 0)
        atomic_store(&record->strange, true);
    atomic_fetch_add(&record->times[item], 1);
    if (worker < record->count)
        atomic_fetch_sub(&record->inside[worker], 1);
}

Test(workers, every_item_is_done_once_by_one_worker)
{
    static const uint32_t counts[] = {1, 2, 3, 8};
    static const size_t lengths[] = {0, 1, 2, 7, ITEMS};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        lspo_workers_t *workers;
        cr_assert_eq(lspo_workers_create(counts[c], NULL, &workers), LSPO_OK);
        cr_assert_eq(lspo_workers_count(workers), counts[c]);
        for (uint32_t round = 0; round < 50; round++) {
            size_t items = lengths[round % 5];
            record_t *record = calloc(1, sizeof *record);
            record->count = counts[c];
            lspo_workers_run(workers, items, record_item, record);
            cr_assert_not(record->strange);
            for (size_t i = 0; i < ITEMS; i++)
                cr_assert_eq(record->times[i], i < items ? 1u : 0u, "item %zu of %zu", i, items);
            free(record);
        }
        lspo_workers_destroy(workers);
    }
}

Test(workers, none_is_the_calling_thread)
{
    record_t *record = calloc(1, sizeof *record);
    record->count = 1;
    cr_assert_eq(lspo_workers_count(NULL), 1u);
    lspo_workers_run(NULL, ITEMS, record_item, record);
    for (size_t i = 0; i < ITEMS; i++)
        cr_assert_eq(record->times[i], 1u);
    cr_assert_not(record->strange);
    free(record);
    lspo_workers_destroy(NULL);
}

Test(workers, a_pool_of_none_is_refused)
{
    lspo_workers_t *workers = NULL;
    cr_assert_eq(lspo_workers_create(0, NULL, &workers), LSPO_ERR_INPUT);
    cr_assert_null(workers);
}

/* All workers at once in hand: only threads of their own can meet at a barrier. */
static void meet(void *context, uint32_t worker, size_t item)
{
    (void)worker;
    (void)item;
    pthread_barrier_wait(context);
}

Test(workers, work_at_the_same_time, .timeout = 20)
{
    pthread_barrier_t barrier;
    lspo_workers_t *workers;
    pthread_barrier_init(&barrier, NULL, 4);
    cr_assert_eq(lspo_workers_create(4, NULL, &workers), LSPO_OK);
    lspo_workers_run(workers, 4, meet, &barrier);
    lspo_workers_destroy(workers);
    pthread_barrier_destroy(&barrier);
}

typedef struct {
    pthread_barrier_t barrier;
    int cpu[3];
} seats_t;

static void where_am_i(void *context, uint32_t worker, size_t item)
{
    seats_t *seats = context;
    cpu_set_t set;
    (void)item;
    pthread_barrier_wait(&seats->barrier);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET((size_t)cpu, &set))
                seats->cpu[worker] = cpu;
}

Test(workers, threads_are_bound_to_the_cpus_given, .timeout = 20)
{
    cpu_set_t before, after;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    int allowed[2], count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++)
        if (CPU_ISSET((size_t)cpu, &before))
            allowed[count++] = cpu;
    if (count < 2)
        cr_skip_test("one CPU only");
    const int cpus[3] = {allowed[0], allowed[1], allowed[0]};
    seats_t seats = {.cpu = {-1, -1, -1}};
    lspo_workers_t *workers;
    pthread_barrier_init(&seats.barrier, NULL, 3);
    cr_assert_eq(lspo_workers_create(3, cpus, &workers), LSPO_OK);
    lspo_workers_run(workers, 3, where_am_i, &seats);
    lspo_workers_destroy(workers);
    pthread_barrier_destroy(&seats.barrier);
    cr_assert_eq(seats.cpu[1], allowed[1]);
    cr_assert_eq(seats.cpu[2], allowed[0]);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_assert(CPU_EQUAL(&before, &after), "the caller stays where it is");
}

enum { ELEMENTS = 5 * 1024 + 17, BLOCK = 512 };

typedef struct {
    float w[ELEMENTS], m[ELEMENTS], v[ELEMENTS], g[ELEMENTS];
} state_t;

static void adam_block(void *context, uint32_t worker, size_t item)
{
    state_t *s = context;
    size_t at = item * BLOCK, n = ELEMENTS - at < BLOCK ? ELEMENTS - at : BLOCK;
    (void)worker;
    for (size_t i = at; i < at + n; i++) {
        s->m[i] = 0.9F * s->m[i] + 0.1F * s->g[i];
        s->v[i] = 0.999F * s->v[i] + 0.001F * s->g[i] * s->g[i];
        s->w[i] -= 1e-3F * s->m[i] / (sqrtf(s->v[i]) + 1e-8F);
    }
}

static state_t *some_state(uint32_t count)
{
    state_t *s = calloc(1, sizeof *s);
    lspo_workers_t *workers;
    /* Gradients down to denormals, so that a worker in another mode would differ. */
    for (uint32_t i = 0; i < ELEMENTS; i++)
        s->g[i] = (float)ldexp(lspo_random_normal(7, 0, i), -(int)(i % 149));
    cr_assert_eq(lspo_workers_create(count, NULL, &workers), LSPO_OK);
    for (int step = 0; step < 20; step++)
        lspo_workers_run(workers, (ELEMENTS + BLOCK - 1) / BLOCK, adam_block, s);
    lspo_workers_destroy(workers);
    return s;
}

static void *with_flushed_denormals(void *states)
{
    static const uint32_t counts[] = {1, 2, 3, 7};
    lspo_lane_flush_denormals();
    for (int i = 0; i < 4; i++)
        ((state_t **)states)[i] = some_state(counts[i]);
    return NULL;
}

/* On a lane's thread, which flushes denormals: bit for bit alike, and not as without. */
Test(workers, results_do_not_depend_on_their_number)
{
    state_t *states[4], *plain = some_state(3);
    pthread_t lane;
    cr_assert_eq(pthread_create(&lane, NULL, with_flushed_denormals, states), 0);
    pthread_join(lane, NULL);
    for (int i = 1; i < 4; i++)
        cr_assert_eq(memcmp(states[0], states[i], sizeof(state_t)), 0, "with pool %d", i);
#if defined(__SSE2__)
    cr_assert_neq(memcmp(states[0], plain, sizeof(state_t)), 0, "the test has no denormal numbers");
#endif
    for (int i = 0; i < 4; i++)
        free(states[i]);
    free(plain);
}
