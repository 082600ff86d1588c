/* mark_cuda.c - events in a stream, and their times on the host's clock.
 *
 * CUDA gives the milliseconds between two events as a float, which is exact to 1 us up to 16 s.  So a mark's time is
 * measured from a base, an event whose time is known.  A mark that is recorded more than 4 s after the newest base
 * creates a new base, an event between two readings of the host's clock.  If the time by the previous base lies between
 * these readings, the new base keeps it; so times do not jump at a base, and drift between the two clocks is
 * corrected. */
#if LSPO_HAVE_CUDA
#include <pthread.h>
#include <stdlib.h>

#include "real/device/mark_cuda.h"

enum { TRIES = 16, GOOD_NS = 15000 };
#define BASE_NS_MAX UINT64_C(4000000000)

typedef struct base {
    cudaEvent_t event;
    uint64_t at_ns;
    struct base *before; /* marks may still refer to it */
} base_t;

struct lspo_clock_cuda {
    cudaStream_t stream; /* never has work of its own */
    pthread_mutex_t lock;
    base_t *newest;
};

typedef struct {
    lspo_device_mark_t mark;
    cudaEvent_t event;
    const base_t *base;
} cuda_mark_t;

static cuda_mark_t *cuda(lspo_device_mark_t *mark)
{
    return (cuda_mark_t *)mark;
}

static cudaError_t ns_after(const base_t *base, cudaEvent_t event, uint64_t *ns_out)
{
    float ms;
    cudaError_t error = cudaEventElapsedTime(&ms, base->event, event);
    if (error == cudaSuccess)
        *ns_out = base->at_ns + (uint64_t)(int64_t)((double)ms * 1e6);
    return error;
}

/* Record the event repeatedly until the readings before and after it are close, with a limit. */
static cudaError_t place(lspo_clock_cuda_t *clock, base_t *base)
{
    cudaError_t error = cudaSuccess;
    uint64_t from_ns = 0, to_ns = UINT64_MAX;
    for (int i = 0; error == cudaSuccess && i < TRIES && to_ns - from_ns > GOOD_NS; i++) {
        from_ns = lspo_now_ns();
        error = cudaEventRecord(base->event, clock->stream);
        if (error == cudaSuccess)
            error = cudaEventSynchronize(base->event);
        to_ns = lspo_now_ns();
    }
    base->at_ns = from_ns + (to_ns - from_ns) / 2;
    if (error != cudaSuccess || !clock->newest)
        return error;
    uint64_t at_ns = 0;
    error = ns_after(clock->newest, base->event, &at_ns);
    if (error == cudaSuccess)
        base->at_ns = at_ns < from_ns ? from_ns : at_ns > to_ns ? to_ns : at_ns;
    return error;
}

static cudaError_t add_base(lspo_clock_cuda_t *clock)
{
    base_t *base = calloc(1, sizeof *base);
    if (!base)
        return cudaErrorMemoryAllocation;
    cudaError_t error = cudaEventCreateWithFlags(&base->event, cudaEventDefault);
    if (error != cudaSuccess) {
        free(base);
        return error;
    }
    error = place(clock, base);
    if (error != cudaSuccess) {
        cudaEventDestroy(base->event);
        free(base);
        return error;
    }
    base->before = clock->newest;
    clock->newest = base;
    return cudaSuccess;
}

cudaError_t lspo_clock_create(lspo_clock_cuda_t **clock_out)
{
    lspo_clock_cuda_t *clock = calloc(1, sizeof *clock);
    if (!clock)
        return cudaErrorMemoryAllocation;
    pthread_mutex_init(&clock->lock, NULL);
    cudaError_t error = cudaStreamCreateWithFlags(&clock->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = add_base(clock);
    if (error == cudaSuccess)
        *clock_out = clock;
    else
        lspo_clock_destroy(clock);
    return error;
}

void lspo_clock_destroy(lspo_clock_cuda_t *clock)
{
    if (!clock)
        return;
    while (clock->newest) {
        base_t *base = clock->newest;
        clock->newest = base->before;
        cudaEventDestroy(base->event);
        free(base);
    }
    if (clock->stream)
        cudaStreamDestroy(clock->stream);
    pthread_mutex_destroy(&clock->lock);
    free(clock);
}

/* Blocking waits leave the core to the optimizer's threads. */
cudaError_t lspo_cuda_mark_create(lspo_device_mark_t **mark_out)
{
    cuda_mark_t *mark = calloc(1, sizeof *mark);
    if (!mark)
        return cudaErrorMemoryAllocation;
    cudaError_t error = cudaEventCreateWithFlags(&mark->event, cudaEventBlockingSync);
    if (error == cudaSuccess)
        *mark_out = &mark->mark;
    else
        free(mark);
    return error;
}

void lspo_cuda_mark_destroy(lspo_device_mark_t *mark)
{
    cudaEventDestroy(cuda(mark)->event);
    free(mark);
}

cudaError_t lspo_cuda_mark_record(lspo_clock_cuda_t *clock, cudaStream_t stream, lspo_device_mark_t *mark)
{
    cudaError_t error = cudaSuccess;
    pthread_mutex_lock(&clock->lock);
    if (lspo_now_ns() - clock->newest->at_ns > BASE_NS_MAX)
        error = add_base(clock);
    cuda(mark)->base = clock->newest;
    pthread_mutex_unlock(&clock->lock);
    return error == cudaSuccess ? cudaEventRecord(cuda(mark)->event, stream) : error;
}

cudaError_t lspo_cuda_mark_wait(const lspo_device_mark_t *mark)
{
    return cudaEventSynchronize(((const cuda_mark_t *)mark)->event);
}

cudaError_t lspo_cuda_mark_time(const lspo_device_mark_t *mark, uint64_t *ns_out)
{
    const cuda_mark_t *from = (const cuda_mark_t *)mark;
    return from->base ? ns_after(from->base, from->event, ns_out) : cudaErrorInvalidResourceHandle;
}
#endif
