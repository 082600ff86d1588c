/* device_cuda.c - a GPU: three streams for lanes, a pool of stream-ordered memory with our own accounting, events for
 * marks.  See device.h.
 *
 * Calls queue their work.  The first failure is logged when it is noticed and remembered, and every later wait fails.
 * Memory that is freed on one stream may be allocated on another: the pool makes the second wait for the first. */
#if LSPO_HAVE_CUDA
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/units.h"
#include "kernels/cuda.h"
#include "real/device/chunks_state.h"
#include "real/device/device_cuda.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define HAVE_NVTX 1
#endif

enum {
    CHUNK_BYTES = 4 << 20,      /* of a paced copy                                                      */
    SLEEP_FROM_BYTES = 1 << 20, /* of a part that takes longer than the time to sleep and wake */
    TINY_BYTES = 1 << 20,       /* of what a kernel may copy: ids of 256 Ki tokens                      */
    BF16_CAPABILITY = 80
};

static lspo_device_cuda_t *cuda(lspo_device_t *device)
{
    return (lspo_device_cuda_t *)device;
}

static bool good(lspo_device_cuda_t *d, cudaError_t error, const char *what)
{
    return lspo_device_cuda_good(d, error, what);
}

static lspo_status_t state(lspo_device_cuda_t *d)
{
    return atomic_load(&d->failed) ? LSPO_ERR_DEVICE : LSPO_OK;
}

/* ---- the calling thread ---- */

static _Thread_local struct {
    uint64_t serial;
    lspo_lane_kind_t lane;
} place;

static lspo_lane_kind_t cuda_lane_here(lspo_device_t *device)
{
    return place.serial == cuda(device)->serial ? place.lane : LSPO_LANE_CPU;
}

/* Its stream; makes the device the thread's current one. */
static cudaStream_t stream_here(lspo_device_cuda_t *d)
{
    good(d, cudaSetDevice(d->number), "cannot be used by a thread");
    return d->streams[cuda_lane_here(&d->device)]; /* the CPU lane's is the compute stream */
}

/* Work queued on the compute stream to prepare the run is done before the lane's first op. */
static lspo_status_t cuda_enter_lane(lspo_device_t *device, lspo_lane_kind_t lane)
{
    lspo_device_cuda_t *d = cuda(device);
    place.serial = d->serial;
    place.lane = lane;
    cudaStream_t stream = stream_here(d), compute = d->streams[LSPO_LANE_GPU];
    if (stream == compute)
        return state(d);
    pthread_mutex_lock(&device->lock);
    if (good(d, cudaEventRecord(d->entered, compute), "an event"))
        good(d, cudaStreamWaitEvent(stream, d->entered, 0), "waiting for an event");
    pthread_mutex_unlock(&device->lock);
    return state(d);
}

/* ---- memory ---- */

static lspo_status_t cuda_take(lspo_device_t *device, size_t bytes, bool counted, void **memory_out)
{
    lspo_device_cuda_t *d = cuda(device);
    cudaStream_t stream = stream_here(d);
    void *memory = NULL;
    lspo_status_t status =
        lspo_array_grow(&d->parts, &d->part_room, d->part_count + 1, sizeof *d->parts, "parts of device memory");
    if (status != LSPO_OK)
        return status;
    cudaError_t error = lspo_gpu_pool_take(d->pool, bytes, stream, &memory);
    if (error == cudaErrorMemoryAllocation) {
        char asked[32], used[32];
        return lspo_error(LSPO_ERR_FIT, "device memory: the GPU cannot provide %s more with %s in use",
                          lspo_format_quantity((double)bytes, LSPO_UNIT_BYTES, asked, sizeof asked),
                          lspo_format_quantity((double)device->in_use_bytes, LSPO_UNIT_BYTES, used, sizeof used));
    }
    if (!good(d, error, "memory"))
        return LSPO_ERR_DEVICE;
    /* Memory allocated outside of lanes may be used by all. */
    if (cuda_lane_here(device) == LSPO_LANE_CPU && !good(d, cudaStreamSynchronize(stream), "memory"))
        return LSPO_ERR_DEVICE;
    d->parts[d->part_count++] = (lspo_device_part_t){memory, counted ? bytes : 0};
    *memory_out = memory;
    return LSPO_OK;
}

static size_t cuda_give_back(lspo_device_t *device, void *memory)
{
    lspo_device_cuda_t *d = cuda(device);
    for (size_t i = d->part_count; i-- > 0;) {
        if (d->parts[i].memory != memory)
            continue;
        size_t bytes = d->parts[i].bytes;
        d->parts[i] = d->parts[--d->part_count];
        good(d, cudaFreeAsync(memory, stream_here(d)), "giving back memory");
        return bytes;
    }
    return 0;
}

static uint64_t cuda_most_held_bytes(const lspo_device_t *device)
{
    return lspo_gpu_pool_most_reserved_bytes(((const lspo_device_cuda_t *)device)->pool);
}

static uint64_t cuda_card_bytes(lspo_device_t *device)
{
    size_t free_bytes, total_bytes;
    stream_here(cuda(device));
    if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess)
        return total_bytes - free_bytes;
    cudaGetLastError(); /* clear the error: the run is measured already */
    return 0;
}

static lspo_status_t cuda_host_reserve(lspo_device_t *device, uint64_t bytes)
{
    stream_here(cuda(device));
    return lspo_pinned_reserve(cuda(device)->pinned, bytes);
}

static lspo_status_t cuda_host_take(lspo_device_t *device, size_t bytes, void **memory_out)
{
    stream_here(cuda(device));
    return lspo_pinned_take(cuda(device)->pinned, bytes, memory_out);
}

static void cuda_host_give_back(lspo_device_t *device, void *memory)
{
    lspo_pinned_give_back(cuda(device)->pinned, memory);
}

static uint64_t cuda_most_host_held_bytes(const lspo_device_t *device)
{
    return lspo_pinned_most_held_bytes(((const lspo_device_cuda_t *)device)->pinned);
}

/* ---- copies ---- */

static void count_pageable(lspo_device_cuda_t *d, size_t bytes)
{
    if (d->pageable_bytes == 0)
        lspo_warn("a message of %zu bytes is in host memory that is not pinned, so its copy is slow and delays its "
                  "lane; raise the limit of locked memory (ulimit -l) or free host memory",
                  bytes);
    d->pageable_bytes += bytes;
}

/* On the calling lane's stream, in pieces that were pinned together. */
static void queue_copy(lspo_device_cuda_t *d, enum cudaMemcpyKind kind, void *to, const void *from, size_t bytes,
                       bool is_message)
{
    cudaStream_t stream = stream_here(d);
    for (size_t at = 0; at < bytes;) {
        bool is_pinned;
        const char *on_host = (kind == cudaMemcpyHostToDevice ? (const char *)from : (const char *)to) + at;
        pthread_mutex_lock(&d->device.lock);
        size_t part_bytes = lspo_pinned_piece(d->pinned, on_host, bytes - at, &is_pinned);
        if (is_message && !is_pinned)
            count_pageable(d, part_bytes);
        pthread_mutex_unlock(&d->device.lock);
        if (!good(d, cudaMemcpyAsync((char *)to + at, (const char *)from + at, part_bytes, kind, stream), "a copy"))
            return;
        at += part_bytes;
    }
}

static void cuda_copy_later(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from,
                            size_t bytes)
{
    queue_copy(cuda(device), direction == LSPO_COPY_H2D ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, to, from,
               bytes, true);
}

static void cuda_copy_begin(lspo_device_t *device, const lspo_copy_part_t *part)
{
    lspo_device_cuda_t *d = cuda(device);
    cuda_copy_later(device, part->direction, part->to, part->from, part->bytes);
    if (part->bytes >= SLEEP_FROM_BYTES)
        good(d, cudaEventRecord(d->arrived[part->direction][part->slot], stream_here(d)), "an event");
}

/* Both links' threads share a core: each yields to the other while its part is being copied.  A short part is the last
 * one of its message, so nothing else is on the stream. */
static void cuda_copy_wait(lspo_device_t *device, const lspo_copy_part_t *part)
{
    lspo_device_cuda_t *d = cuda(device);
    if (part->bytes >= SLEEP_FROM_BYTES)
        good(d, cudaEventSynchronize(d->arrived[part->direction][part->slot]), "waiting for a copy");
    else
        good(d, cudaStreamSynchronize(stream_here(d)), "waiting for a copy");
}

/* By a kernel, through mapped memory: a copy engine would take it only after the messages that are queued there.  False
 * if the host memory is not mapped. */
static bool queue_tiny(lspo_device_cuda_t *d, enum cudaMemcpyKind kind, void *to, const void *from, size_t bytes)
{
    cudaStream_t stream = stream_here(d);
    bool to_device = kind == cudaMemcpyHostToDevice;
    pthread_mutex_lock(&d->device.lock);
    void *mapped = bytes <= TINY_BYTES ? lspo_pinned_mapped(d->pinned, to_device ? from : to, bytes) : NULL;
    pthread_mutex_unlock(&d->device.lock);
    if (!mapped)
        return false;
    int error = lspo_memory_carry_cuda(bytes, to_device ? mapped : from, to_device ? to : mapped, stream);
    good(d, (cudaError_t)error, "a copy");
    return true;
}

static void cuda_read_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    if (!queue_tiny(cuda(device), cudaMemcpyDeviceToHost, to, from, bytes))
        queue_copy(cuda(device), cudaMemcpyDeviceToHost, to, from, bytes, false);
}

static void cuda_write_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    if (!queue_tiny(cuda(device), cudaMemcpyHostToDevice, to, from, bytes))
        queue_copy(cuda(device), cudaMemcpyHostToDevice, to, from, bytes, false);
}

static lspo_status_t wait_here(lspo_device_cuda_t *d)
{
    good(d, cudaStreamSynchronize(stream_here(d)), "waiting for a lane");
    return state(d);
}

static lspo_status_t cuda_read(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    cuda_read_later(device, to, from, bytes);
    return wait_here(cuda(device));
}

static lspo_status_t cuda_write(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    cuda_write_later(device, to, from, bytes);
    return wait_here(cuda(device));
}

/* ---- marks ---- */

static lspo_status_t cuda_mark_create(lspo_device_t *device, lspo_device_mark_t **mark_out)
{
    lspo_device_cuda_t *d = cuda(device);
    stream_here(d);
    return good(d, lspo_cuda_mark_create(mark_out), "an event") ? LSPO_OK : LSPO_ERR_DEVICE;
}

static void cuda_mark_destroy(lspo_device_t *device, lspo_device_mark_t *mark)
{
    (void)device;
    lspo_cuda_mark_destroy(mark);
}

static lspo_status_t cuda_mark_record(lspo_device_t *device, lspo_lane_kind_t lane, lspo_device_mark_t *mark)
{
    lspo_device_cuda_t *d = cuda(device);
    stream_here(d);
    good(d, lspo_cuda_mark_record(d->clock, d->streams[lane], mark), "an event");
    return state(d);
}

static lspo_status_t cuda_mark_wait(lspo_device_t *device, lspo_device_mark_t *mark)
{
    lspo_device_cuda_t *d = cuda(device);
    stream_here(d);
    good(d, lspo_cuda_mark_wait(mark), "work on the GPU");
    return state(d);
}

static lspo_status_t cuda_mark_time(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out)
{
    lspo_device_cuda_t *d = cuda(device);
    return good(d, lspo_cuda_mark_time(mark, ns_out), "the time of an event") ? LSPO_OK : LSPO_ERR_DEVICE;
}

#if HAVE_NVTX
static void cuda_range_begin(lspo_device_t *device, const char *name)
{
    (void)device;
    nvtxRangePushA(name);
}

static void cuda_range_end(lspo_device_t *device)
{
    (void)device;
    nvtxRangePop();
}
#endif

/* ---- description ---- */

/* "580.65.06, CUDA 13.0"; without the first part if the system does not provide it. */
static void describe_driver(int version, char *text, size_t text_bytes)
{
    char module[32] = "";
    FILE *file = fopen("/sys/module/nvidia/version", "r");
    if (file) {
        if (!fgets(module, sizeof module, file))
            module[0] = '\0';
        module[strcspn(module, "\n")] = '\0';
        fclose(file);
    }
    snprintf(text, text_bytes, "%s%sCUDA %d.%d", module, module[0] ? ", " : "", version / 1000, version % 1000 / 10);
}

static lspo_status_t cuda_describe(const lspo_device_t *device, lspo_device_entry_t add, void *context)
{
    const lspo_device_cuda_t *d = (const lspo_device_cuda_t *)device;
    char sm_count[16], capability[16], driver[64], runtime[32], pageable[32], memory[32], reserved[32];
    int driver_version = 0, runtime_version = 0;
    cudaDriverGetVersion(&driver_version);
    cudaRuntimeGetVersion(&runtime_version);
    snprintf(sm_count, sizeof sm_count, "%d", d->sm_count);
    snprintf(capability, sizeof capability, "%d.%d", d->capability / 10, d->capability % 10);
    describe_driver(driver_version, driver, sizeof driver);
    snprintf(runtime, sizeof runtime, "%d.%d", runtime_version / 1000, runtime_version % 1000 / 10);
    snprintf(pageable, sizeof pageable, "%" PRIu64, d->pageable_bytes);
    snprintf(memory, sizeof memory, "%" PRIu64, d->device.free_bytes);
    snprintf(reserved, sizeof reserved, "%" PRIu64, lspo_gpu_pool_most_reserved_bytes(d->pool));
    const char *const entries[][2] = {
        {"gpu", d->gpu_name},         {"sm count", sm_count},          {"compute capability", capability},
        {"driver", driver},           {"cuda runtime", runtime},       {"pageable bytes", pageable},
        {"gpu memory bytes", memory}, {"gpu reserved bytes", reserved}};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        lspo_status_t status = add(context, entries[i][0], entries[i][1]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static const char *cuda_pci_address(const lspo_device_t *device)
{
    return ((const lspo_device_cuda_t *)device)->pci_address;
}

static lspo_compute_t *cuda_compute(lspo_device_t *device)
{
    return cuda(device)->compute;
}

static lspo_status_t cuda_set_number(lspo_device_t *device, lspo_number_t number)
{
    lspo_device_cuda_t *d = cuda(device);
    if (number == LSPO_NUMBER_BF16 && d->capability < BF16_CAPABILITY)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s (compute capability %d.%d) has no bf16, which needs 8.0 or higher; use --precision fp16 or fp32",
            d->gpu_name, d->capability / 10, d->capability % 10);
    lspo_compute_set_number(d->compute, number);
    return lspo_device_cuda_warm(d);
}

const lspo_device_backend_t lspo_device_cuda_backend = {.is_asynchronous = true,
                                                        .chunk_bytes = CHUNK_BYTES,
                                                        .close = lspo_device_cuda_close,
                                                        .take = cuda_take,
                                                        .give_back = cuda_give_back,
                                                        .host_take = cuda_host_take,
                                                        .host_give_back = cuda_host_give_back,
                                                        .host_reserve = cuda_host_reserve,
                                                        .most_held_bytes = cuda_most_held_bytes,
                                                        .most_host_held_bytes = cuda_most_host_held_bytes,
                                                        .card_bytes = cuda_card_bytes,
                                                        .describe = cuda_describe,
                                                        .pci_address = cuda_pci_address,
                                                        .compute = cuda_compute,
                                                        .set_number = cuda_set_number,
                                                        .parts_ahead = LSPO_COPY_SLOTS - 1,
                                                        .copy_begin = cuda_copy_begin,
                                                        .copy_wait = cuda_copy_wait,
                                                        .copy_later = cuda_copy_later,
                                                        .read = cuda_read,
                                                        .write = cuda_write,
                                                        .read_later = cuda_read_later,
                                                        .write_later = cuda_write_later,
                                                        .lane_here = cuda_lane_here,
                                                        .enter_lane = cuda_enter_lane,
                                                        .mark_create = cuda_mark_create,
                                                        .mark_destroy = cuda_mark_destroy,
                                                        .mark_record = cuda_mark_record,
                                                        .mark_wait = cuda_mark_wait,
#if HAVE_NVTX
                                                        .range_begin = cuda_range_begin,
                                                        .range_end = cuda_range_end,
#endif
                                                        .chunks = &lspo_chunks_cuda,
                                                        .mark_time = cuda_mark_time};
#endif
