/* workers.c - see workers.h.  Workers take items from one atomic counter; the mutex is only for sleeping and waking. */
#include "base/workers.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    lspo_workers_t *workers;
    pthread_t thread;
    uint32_t index;
    int cpu; /* -1: wherever */
} worker_t;

struct lspo_workers {
    uint32_t count;
    worker_t *threads; /* count - 1 of them: workers 1 .. count - 1 */
    pthread_mutex_t lock;
    pthread_cond_t started, done;
    uint64_t run;  /* counts runs: a thread with a lower count has one to do */
    uint32_t busy; /* threads that have not finished the run */
    bool closing;
    /* The current run. */
    lspo_workers_function_t function;
    void *context;
    size_t items;
    fenv_t float_mode;
    atomic_size_t next;
};

static void bind_to(int cpu)
{
    cpu_set_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set); /* if refused, it runs on any CPU: slower, but correct */
}

static void take_items(lspo_workers_t *workers, uint32_t worker)
{
    size_t item;
    while ((item = atomic_fetch_add_explicit(&workers->next, 1, memory_order_relaxed)) < workers->items)
        workers->function(workers->context, worker, item);
}

static void *worker_main(void *worker_void)
{
    const worker_t *worker = worker_void;
    lspo_workers_t *workers = worker->workers;
    uint64_t seen = 0;
    bind_to(worker->cpu);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (!workers->closing && workers->run == seen)
            pthread_cond_wait(&workers->started, &workers->lock);
        if (workers->closing)
            break;
        seen = workers->run;
        pthread_mutex_unlock(&workers->lock);
        fesetenv(&workers->float_mode);
        take_items(workers, worker->index);
        pthread_mutex_lock(&workers->lock);
        if (--workers->busy == 0)
            pthread_cond_signal(&workers->done);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static lspo_status_t start_threads(lspo_workers_t *workers, uint32_t count, const int *cpus)
{
    workers->threads = calloc(count, sizeof *workers->threads);
    if (!workers->threads)
        return lspo_no_memory("%u workers", count);
    for (; workers->count < count; workers->count++) {
        worker_t *worker = &workers->threads[workers->count - 1];
        *worker = (worker_t){.workers = workers, .index = workers->count, .cpu = cpus ? cpus[workers->count] : -1};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            return lspo_error(LSPO_ERR_MEMORY, "cannot start worker %u of %u", workers->count + 1, count);
    }
    return LSPO_OK;
}

lspo_status_t lspo_workers_create(uint32_t count, const int *cpus, lspo_workers_t **workers_out)
{
    if (count < 1)
        return lspo_error(LSPO_ERR_INPUT, "a pool needs at least one worker");
    lspo_workers_t *workers = calloc(1, sizeof *workers);
    if (!workers)
        return lspo_no_memory("a pool of workers");
    workers->count = 1;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->started, NULL);
    pthread_cond_init(&workers->done, NULL);
    lspo_status_t status = start_threads(workers, count, cpus);
    if (status != LSPO_OK) {
        lspo_workers_destroy(workers);
        return status;
    }
    *workers_out = workers;
    return LSPO_OK;
}

uint32_t lspo_workers_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

lspo_workers_t *lspo_workers_of_process(void)
{
    lspo_workers_t *workers = NULL;
    lspo_workers_create(lspo_workers_cpus(), NULL, &workers);
    return workers;
}

void lspo_workers_destroy(lspo_workers_t *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    pthread_cond_broadcast(&workers->started);
    pthread_mutex_unlock(&workers->lock);
    for (uint32_t i = 0; i + 1 < workers->count; i++)
        pthread_join(workers->threads[i].thread, NULL);
    pthread_cond_destroy(&workers->done);
    pthread_cond_destroy(&workers->started);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers);
}

uint32_t lspo_workers_count(const lspo_workers_t *workers)
{
    return workers ? workers->count : 1;
}

static void wake_threads(lspo_workers_t *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->busy = workers->count - 1;
    workers->run++;
    pthread_cond_broadcast(&workers->started);
    pthread_mutex_unlock(&workers->lock);
}

static void wait_for_threads(lspo_workers_t *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->busy > 0)
        pthread_cond_wait(&workers->done, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}

void lspo_workers_run(lspo_workers_t *workers, size_t items, lspo_workers_function_t function, void *context)
{
    if (lspo_workers_count(workers) == 1 || items < 2) {
        for (size_t item = 0; item < items; item++)
            function(context, 0, item);
        return;
    }
    workers->function = function;
    workers->context = context;
    workers->items = items;
    fegetenv(&workers->float_mode);
    atomic_store_explicit(&workers->next, 0, memory_order_relaxed);
    wake_threads(workers);
    take_items(workers, 0);
    wait_for_threads(workers);
}
