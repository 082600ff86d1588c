/* streams.cc - streams as threads, and events; see cuda_runtime.h. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "cuda_on_host.h"
#include "stream.h"

struct cuda_on_host_point_t {
    std::mutex lock;
    std::condition_variable changed;
    bool passed = false;
    uint64_t at_ns = 0;
};

struct work_t {
    std::function<cudaError_t()> run;
    bool always;
};

struct CUstream_st {
    bool blocking = false; /* the default stream waits for it */
    std::shared_ptr<std::atomic<unsigned>> copies = std::make_shared<std::atomic<unsigned>>(0); /* queued so far */
    uint64_t random_state = 0;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<work_t> queue;
    bool busy = false, ending = false;
    std::thread thread;
};

struct CUevent_st {
    bool timed;
    std::mutex lock;
    std::shared_ptr<cuda_on_host_point_t> point;   /* of the last record, as what follows */
    std::shared_ptr<std::atomic<unsigned>> copies; /* of its stream */
    unsigned copies_before = 0;
};

namespace
{
enum { DELAY_NS_MAX = 300000 };

std::atomic<unsigned> delay_seed;
std::atomic<int> first_error, next_error;
std::mutex streams_lock;
std::set<cudaStream_t> *streams = new std::set<cudaStream_t>; /* never destroyed: the default stream's thread stays */
thread_local cudaError_t last_error;

std::atomic<double> clock_rate{1};
std::atomic<unsigned> wait_count, idle_wait_count;

/* Of a clock that runs at its own rate, from the first time that it is asked. */
uint64_t now_ns()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    const uint64_t host_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    static const uint64_t first_ns = host_ns;
    return first_ns + (uint64_t)((double)(host_ns - first_ns) * clock_rate.load());
}

void pass(cuda_on_host_point_t &point)
{
    const std::lock_guard<std::mutex> hold(point.lock);
    point.passed = true;
    point.at_ns = now_ns();
    point.changed.notify_all();
}

/* Every fourth time; with as many short stops as long ones. */
void dawdle(cudaStream_t stream)
{
    if (delay_seed.load() == 0)
        return;
    stream->random_state = (stream->random_state + delay_seed.load()) * 6364136223846793005u + 1442695040888963407u;
    if (stream->random_state >> 62 == 0)
        usleep((useconds_t)((stream->random_state >> 32) % DELAY_NS_MAX / 1000));
}

/* The first error of a stream stays; what was queued behind it is not done, but for what frees and tells. */
cudaError_t perform(cudaStream_t stream, const work_t &work)
{
    dawdle(stream);
    const int failing = work.always ? 0 : next_error.exchange(0);
    if (failing == 0 && !work.always && first_error.load() != 0)
        return (cudaError_t)first_error.load();
    return failing != 0 ? (cudaError_t)failing : work.run();
}

void serve(cudaStream_t stream)
{
    std::unique_lock<std::mutex> hold(stream->lock);
    for (;;) {
        stream->changed.wait(hold, [&] { return !stream->queue.empty() || stream->ending; });
        if (stream->queue.empty())
            break;
        const work_t work = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->busy = true;
        hold.unlock();
        const cudaError_t error = perform(stream, work);
        int none = 0;
        if (error != cudaSuccess)
            first_error.compare_exchange_strong(none, error);
        hold.lock();
        stream->busy = false;
        stream->changed.notify_all();
    }
    hold.unlock();
    cuda_on_host_leave_thread();
}

void drain(cudaStream_t stream)
{
    std::unique_lock<std::mutex> hold(stream->lock);
    stream->changed.wait(hold, [&] { return stream->queue.empty() && !stream->busy; });
}

void drain_all(bool of_the_default_stream)
{
    const std::lock_guard<std::mutex> hold(streams_lock);
    for (cudaStream_t stream : *streams)
        if (stream->blocking || !of_the_default_stream)
            drain(stream);
}

void queue(cudaStream_t stream, work_t work)
{
    const std::lock_guard<std::mutex> hold(stream->lock);
    stream->queue.push_back(std::move(work));
    stream->changed.notify_all();
}

cudaStream_t create_stream(bool blocking)
{
    static std::atomic<uint64_t> count;
    const cudaStream_t stream = new CUstream_st;
    stream->blocking = blocking;
    stream->random_state = ++count * 0x9e3779b97f4a7c15u;
    stream->thread = std::thread(serve, stream);
    return stream;
}

/* The default stream waits for the blocking ones, and its caller for it.  Its errors do not stay. */
cudaError_t run_now(const std::function<cudaError_t()> &work)
{
    static const cudaStream_t default_stream = create_stream(false);
    static std::mutex one_at_a_time;
    drain_all(true);
    const std::lock_guard<std::mutex> hold(one_at_a_time);
    cudaError_t error = cudaSuccess;
    queue(default_stream, {[&] {
                               error = work();
                               return cudaSuccess;
                           },
                           true});
    drain(default_stream);
    return error;
}
} // namespace

void cuda_on_host_delays(unsigned seed)
{
    delay_seed.store(seed);
}

void cuda_on_host_clock(double rate)
{
    clock_rate.store(rate);
}

void cuda_on_host_fail_next(int error)
{
    next_error.store(error);
}

void cuda_on_host_count_copy(cudaStream_t stream)
{
    if (stream != nullptr)
        stream->copies->fetch_add(1);
}

void cuda_on_host_waits(unsigned *count, unsigned *idle_count)
{
    *count = wait_count.exchange(0);
    *idle_count = idle_wait_count.exchange(0);
}

cudaError_t cuda_on_host_report(cudaError_t error)
{
    if (first_error.load() != 0)
        error = (cudaError_t)first_error.load();
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

cudaError_t cuda_on_host_later(cudaStream_t stream, std::function<cudaError_t()> work, bool always)
{
    const cudaError_t error = cuda_on_host_report(cudaSuccess);
    if (error != cudaSuccess && !always)
        return error;
    if (stream == nullptr)
        return cuda_on_host_report(run_now(work));
    queue(stream, {std::move(work), always});
    return error;
}

std::shared_ptr<cuda_on_host_point_t> cuda_on_host_point(cudaStream_t stream)
{
    const auto point = std::make_shared<cuda_on_host_point_t>();
    cuda_on_host_later(
        stream,
        [point] {
            pass(*point);
            return cudaSuccess;
        },
        true);
    return point;
}

bool cuda_on_host_passed(cuda_on_host_point_t &point)
{
    const std::lock_guard<std::mutex> hold(point.lock);
    return point.passed;
}

void cuda_on_host_wait(cuda_on_host_point_t &point)
{
    std::unique_lock<std::mutex> hold(point.lock);
    point.changed.wait(hold, [&] { return point.passed; });
}

cudaError_t cudaGetLastError()
{
    const cudaError_t error = first_error.load() != 0 ? (cudaError_t)first_error.load() : last_error;
    last_error = cudaSuccess;
    return error;
}

/* ---- streams ---- */

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking)
        return cuda_on_host_report(cudaErrorInvalidValue);
    *stream = create_stream(flags == cudaStreamDefault);
    const std::lock_guard<std::mutex> hold(streams_lock);
    streams->insert(*stream);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    {
        const std::lock_guard<std::mutex> hold(streams_lock);
        if (streams->erase(stream) == 0)
            return cuda_on_host_report(cudaErrorInvalidResourceHandle);
    }
    {
        const std::lock_guard<std::mutex> hold(stream->lock);
        stream->ending = true;
        stream->changed.notify_all();
    }
    stream->thread.join();
    delete stream;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (stream == nullptr)
        drain_all(true);
    else
        drain(stream);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    const std::lock_guard<std::mutex> hold(stream->lock);
    return cuda_on_host_report(stream->queue.empty() && !stream->busy ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize()
{
    drain_all(false);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void *), void *argument)
{
    return cuda_on_host_later(stream, [=] {
        function(argument);
        return cudaSuccess;
    });
}

/* ---- events ---- */

static std::shared_ptr<cuda_on_host_point_t> point_of(cudaEvent_t event)
{
    const std::lock_guard<std::mutex> hold(event->lock);
    return event->point;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    *event = new CUevent_st;
    (*event)->timed = (flags & cudaEventDisableTiming) == 0;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const auto point = cuda_on_host_point(stream);
    const std::lock_guard<std::mutex> hold(event->lock);
    event->point = point;
    event->copies = stream != nullptr ? stream->copies : nullptr;
    event->copies_before = stream != nullptr ? stream->copies->load() : 0;
    return cuda_on_host_report(cudaSuccess);
}

/* Nothing to wait for before the first record. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const auto point = point_of(event);
    if (point == nullptr)
        return cuda_on_host_report(cudaSuccess);
    return cuda_on_host_later(
        stream,
        [point] {
            cuda_on_host_wait(*point);
            return cudaSuccess;
        },
        true);
}

static void count_wait(cudaEvent_t event)
{
    const std::lock_guard<std::mutex> hold(event->lock);
    wait_count.fetch_add(1);
    if (event->copies == nullptr || event->copies->load() == event->copies_before)
        idle_wait_count.fetch_add(1);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const auto point = point_of(event);
    count_wait(event);
    if (point != nullptr)
        cuda_on_host_wait(*point);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const auto point = point_of(event);
    return cuda_on_host_report(point == nullptr || cuda_on_host_passed(*point) ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    const auto from = point_of(start), to = point_of(end);
    if (from == nullptr || to == nullptr || !start->timed || !end->timed)
        return cuda_on_host_report(cudaErrorInvalidResourceHandle);
    if (!cuda_on_host_passed(*from) || !cuda_on_host_passed(*to))
        return cuda_on_host_report(cudaErrorNotReady);
    *ms = (float)((double)(int64_t)(to->at_ns - from->at_ns) * 1e-6);
    return cuda_on_host_report(cudaSuccess);
}
