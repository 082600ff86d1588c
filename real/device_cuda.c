/* device_cuda.c - a GPU: three streams for lanes, a pool of stream-ordered memory under our own accounting, events for
 * marks.  See device.h.
 *
 * What a call asks for is queued; the first failure of any of it is logged where it is noticed, kept, and ends whatever
 * is waited for afterwards.  Memory that is given back on one stream may be handed out on another: the pool makes the
 * second wait for the first. */
#include "real/device_state.h"

#if LSPO_HAVE_CUDA
#include <cublas_v2.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/device_cuda.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define HAVE_NVTX 1
#endif

enum {
    CHUNK_BYTES = 4 << 20, /* of a paced copy */
    LEAST_CAPABILITY = 75,
    BF16_CAPABILITY = 80,
    WORKSPACE_BYTES = 32 << 20, /* what cuBLAS asks for on Hopper, and more than it does elsewhere */
};

typedef struct {
    void *memory;
    size_t bytes;
} part_t;

typedef struct {
    lspo_device_t device;
    int number;
    uint64_t serial; /* of all devices that were ever opened, this one */
    char gpu_name[256], pci_address[32];
    int capability;      /* 10 major + minor */
    int sm_count;        /* that kernels may use */
    uint64_t free_bytes; /* when it was opened */

    lspo_sms_t sms;
    cudaStream_t streams[LSPO_LANE_COUNT]; /* the CPU lane's is the compute stream */
    cudaEvent_t entered;
    cudaMemPool_t pool;
    cublasHandle_t cublas;
    void *workspace;
    lspo_compute_t *compute;
    lspo_clock_cuda_t *clock;
    lspo_pinned_t *pinned;

    part_t *parts; /* handed out */
    size_t part_count, part_room;
    uint64_t pageable_bytes;
    atomic_bool failed;
} cuda_device_t;

static cuda_device_t *cuda(lspo_device_t *device)
{
    return (cuda_device_t *)device;
}

/* The first failure is logged and stays. */
static bool good(cuda_device_t *d, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return true;
    if (!atomic_exchange(&d->failed, true))
        lspo_error(LSPO_ERR_DEVICE, "GPU %d: %s: %s", d->number, what, cudaGetErrorString(error));
    return false;
}

static lspo_status_t state(cuda_device_t *d)
{
    return atomic_load(&d->failed) ? LSPO_ERR_DEVICE : LSPO_OK;
}

/* ---- the calling thread ---- */

static _Thread_local struct {
    uint64_t serial;
    lspo_lane_t lane;
} place;

static bool in_lane(const cuda_device_t *d)
{
    return place.serial == d->serial && place.lane != LSPO_LANE_CPU;
}

/* Its stream; the device is the thread's current one from here on. */
static cudaStream_t stream_here(cuda_device_t *d)
{
    good(d, cudaSetDevice(d->number), "cannot be used by a thread");
    return d->streams[in_lane(d) ? place.lane : LSPO_LANE_GPU];
}

/* What has been queued on the compute stream, by whoever prepared the run, is done before the lane's first op. */
static lspo_status_t cuda_enter_lane(lspo_device_t *device, lspo_lane_t lane)
{
    cuda_device_t *d = cuda(device);
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

static lspo_status_t check_free(const cuda_device_t *d, size_t bytes)
{
    uint64_t in_use_bytes = d->device.in_use_bytes;
    if (bytes <= d->free_bytes && in_use_bytes <= d->free_bytes - bytes)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_FIT,
                      "device memory: %zu bytes asked for with %" PRIu64 " in use of %" PRIu64
                      " that were free on the GPU (%s) at the start",
                      bytes, in_use_bytes, d->free_bytes, d->gpu_name);
}

static bool make_room(cuda_device_t *d)
{
    if (d->part_count < d->part_room)
        return true;
    size_t room = 2 * d->part_room + 64;
    part_t *parts = realloc(d->parts, room * sizeof *parts);
    if (!parts)
        return false;
    d->parts = parts;
    d->part_room = room;
    return true;
}

static lspo_status_t cuda_take(lspo_device_t *device, size_t bytes, void **memory_out)
{
    cuda_device_t *d = cuda(device);
    cudaStream_t stream = stream_here(d);
    void *memory = NULL;
    lspo_status_t status = check_free(d, bytes);
    if (status != LSPO_OK)
        return status;
    if (!make_room(d))
        return lspo_error(LSPO_ERR_MEMORY, "no host memory for an entry of device memory");
    cudaError_t error = cudaMallocFromPoolAsync(&memory, bytes ? bytes : 1, d->pool, stream);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* what comes next may fit */
        return lspo_error(LSPO_ERR_FIT, "device memory: the GPU has no %zu bytes more with %" PRIu64 " in use", bytes,
                          device->in_use_bytes);
    }
    if (!good(d, error, "memory"))
        return LSPO_ERR_DEVICE;
    /* What no lane asked for may be used by any. */
    if (!in_lane(d) && !good(d, cudaStreamSynchronize(stream), "memory"))
        return LSPO_ERR_DEVICE;
    d->parts[d->part_count++] = (part_t){memory, bytes};
    *memory_out = memory;
    return LSPO_OK;
}

static size_t cuda_give_back(lspo_device_t *device, void *memory)
{
    cuda_device_t *d = cuda(device);
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
    uint64_t bytes = 0;
    cudaMemPoolGetAttribute(((const cuda_device_t *)device)->pool, cudaMemPoolAttrReservedMemHigh, &bytes);
    return bytes;
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
    return lspo_pinned_most_held_bytes(((const cuda_device_t *)device)->pinned);
}

static uint64_t cuda_pageable_bytes(const lspo_device_t *device)
{
    return ((const cuda_device_t *)device)->pageable_bytes;
}

/* ---- copies ---- */

static void count_pageable(cuda_device_t *d, size_t bytes)
{
    if (d->pageable_bytes == 0)
        lspo_warn(
            "a message of %zu bytes lies in host memory that is not pinned: its copy is slow and holds up its lane; "
            "allow this process more locked memory (ulimit -l) or give the machine more memory",
            bytes);
    d->pageable_bytes += bytes;
}

/* On the calling lane's stream, in pieces that were pinned as one. */
static void queue_copy(cuda_device_t *d, enum cudaMemcpyKind kind, void *to, const void *from, size_t bytes,
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

static void cuda_copy_part(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from,
                           size_t bytes)
{
    cuda_device_t *d = cuda(device);
    cuda_copy_later(device, direction, to, from, bytes);
    good(d, cudaStreamSynchronize(stream_here(d)), "waiting for a copy");
}

static void cuda_read_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    queue_copy(cuda(device), cudaMemcpyDeviceToHost, to, from, bytes, false);
}

static void cuda_write_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    queue_copy(cuda(device), cudaMemcpyHostToDevice, to, from, bytes, false);
}

static lspo_status_t wait_here(cuda_device_t *d)
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
    cuda_device_t *d = cuda(device);
    stream_here(d);
    return good(d, lspo_cuda_mark_create(mark_out), "an event") ? LSPO_OK : LSPO_ERR_DEVICE;
}

static void cuda_mark_destroy(lspo_device_t *device, lspo_device_mark_t *mark)
{
    (void)device;
    lspo_cuda_mark_destroy(mark);
}

static lspo_status_t cuda_mark_record(lspo_device_t *device, lspo_lane_t lane, lspo_device_mark_t *mark)
{
    cuda_device_t *d = cuda(device);
    stream_here(d);
    good(d, lspo_cuda_mark_record(d->clock, d->streams[lane], mark), "an event");
    return state(d);
}

static lspo_status_t cuda_mark_wait(lspo_device_t *device, lspo_device_mark_t *mark)
{
    cuda_device_t *d = cuda(device);
    stream_here(d);
    good(d, lspo_cuda_mark_wait(mark), "work on the GPU");
    return state(d);
}

static lspo_status_t cuda_mark_time(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out)
{
    cuda_device_t *d = cuda(device);
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

/* ---- what it is ---- */

static lspo_status_t cuda_describe(const lspo_device_t *device, lspo_device_entry_t add, void *context)
{
    const cuda_device_t *d = (const cuda_device_t *)device;
    char sm_count[16], capability[16], driver[32], runtime[32], pageable[32];
    int driver_version = 0, runtime_version = 0;
    cudaDriverGetVersion(&driver_version);
    cudaRuntimeGetVersion(&runtime_version);
    snprintf(sm_count, sizeof sm_count, "%d", d->sm_count);
    snprintf(capability, sizeof capability, "%d.%d", d->capability / 10, d->capability % 10);
    snprintf(driver, sizeof driver, "CUDA %d.%d", driver_version / 1000, driver_version % 1000 / 10);
    snprintf(runtime, sizeof runtime, "%d.%d", runtime_version / 1000, runtime_version % 1000 / 10);
    snprintf(pageable, sizeof pageable, "%" PRIu64, d->pageable_bytes);
    const char *const entries[][2] = {
        {"gpu", d->gpu_name}, {"sm count", sm_count},    {"compute capability", capability},
        {"driver", driver},   {"cuda runtime", runtime}, {"pageable bytes", pageable}};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < sizeof entries / sizeof entries[0]; i++)
        status = add(context, entries[i][0], entries[i][1]);
    return status;
}

static const char *cuda_pci_address(const lspo_device_t *device)
{
    return ((const cuda_device_t *)device)->pci_address;
}

static lspo_compute_t *cuda_compute(lspo_device_t *device)
{
    return cuda(device)->compute;
}

static lspo_status_t cuda_set_number(lspo_device_t *device, lspo_number_t number)
{
    cuda_device_t *d = cuda(device);
    if (number == LSPO_NUMBER_BF16 && d->capability < BF16_CAPABILITY)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s (compute capability %d.%d) does not compute in bf16, which 8.0 and newer do: use "
                          "--precision fp16 or fp32",
                          d->gpu_name, d->capability / 10, d->capability % 10);
    lspo_compute_set_number(d->compute, number);
    return LSPO_OK;
}

/* ---- open and close ---- */

static void cuda_close(lspo_device_t *device)
{
    cuda_device_t *d = cuda(device);
    cudaSetDevice(d->number);
    for (int lane = 0; lane < LSPO_LANE_CPU; lane++)
        if (d->streams[lane])
            cudaStreamSynchronize(d->streams[lane]);
    lspo_compute_destroy(d->compute);
    if (d->cublas)
        cublasDestroy(d->cublas);
    cudaFree(d->workspace);
    lspo_clock_destroy(d->clock);
    if (d->entered)
        cudaEventDestroy(d->entered);
    for (size_t i = 0; i < d->part_count; i++)
        cudaFreeAsync(d->parts[i].memory, d->streams[LSPO_LANE_GPU]);
    if (d->pool)
        cudaMemPoolDestroy(d->pool);
    for (int lane = 0; lane < LSPO_LANE_CPU; lane++)
        if (d->streams[lane])
            cudaStreamDestroy(d->streams[lane]);
    lspo_sms_close(&d->sms);
    lspo_pinned_destroy(d->pinned);
    free(d->parts);
    lspo_device_end(device);
}

static lspo_status_t find_gpu(const char *name, uint32_t number)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': no CUDA device here (%s)", name, cudaGetErrorString(error));
    if (number >= (uint32_t)count)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': CUDA devices here are 0 to %d", name, count - 1);
    return LSPO_OK;
}

static lspo_status_t identify(cuda_device_t *d)
{
    struct cudaDeviceProp properties;
    if (!good(d, cudaSetDevice(d->number), "cannot be used") ||
        !good(d, cudaGetDeviceProperties(&properties, d->number), "does not tell what it is") ||
        !good(d, cudaDeviceGetPCIBusId(d->pci_address, sizeof d->pci_address, d->number), "does not tell where it is"))
        return LSPO_ERR_DEVICE;
    memcpy(d->gpu_name, properties.name, sizeof d->gpu_name - 1);
    for (char *c = d->pci_address; *c; c++)
        *c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
    d->capability = 10 * properties.major + properties.minor;
    d->sm_count = properties.multiProcessorCount;
    if (d->capability < LEAST_CAPABILITY)
        return lspo_error(LSPO_ERR_DEVICE, "GPU %d is a %s of compute capability %d.%d; 7.5 or newer is needed",
                          d->number, d->gpu_name, properties.major, properties.minor);
    return LSPO_OK;
}

/* The compute stream first in line for the GPU, so that what little the link's lanes launch never delays it. */
static lspo_status_t make_streams(cuda_device_t *d)
{
    int least = 0, greatest = 0;
    if (!good(d, cudaDeviceGetStreamPriorityRange(&least, &greatest), "streams"))
        return LSPO_ERR_DEVICE;
    if (d->device.caps.sms) {
        lspo_status_t status = lspo_sms_open(d->number, d->device.caps.sms, greatest, &d->sms);
        if (status != LSPO_OK)
            return status;
        d->streams[LSPO_LANE_GPU] = d->sms.stream;
        d->sm_count = (int)d->sms.count;
    }
    for (int lane = 0; lane < LSPO_LANE_CPU; lane++) {
        int priority = lane == LSPO_LANE_GPU ? greatest : least;
        if (!d->streams[lane] &&
            !good(d, cudaStreamCreateWithPriority(&d->streams[lane], cudaStreamNonBlocking, priority), "streams"))
            return LSPO_ERR_DEVICE;
    }
    d->streams[LSPO_LANE_CPU] = d->streams[LSPO_LANE_GPU];
    return good(d, cudaEventCreateWithFlags(&d->entered, cudaEventDisableTiming), "an event") &&
                   good(d, lspo_clock_create(&d->clock), "a clock")
               ? LSPO_OK
               : LSPO_ERR_DEVICE;
}

static lspo_status_t make_compute(cuda_device_t *d)
{
    cudaStream_t stream = d->streams[LSPO_LANE_GPU];
    if (!good(d, cudaMalloc(&d->workspace, WORKSPACE_BYTES), "memory for cuBLAS"))
        return LSPO_ERR_DEVICE;
    if (cublasCreate(&d->cublas) != CUBLAS_STATUS_SUCCESS ||
        cublasSetStream(d->cublas, stream) != CUBLAS_STATUS_SUCCESS ||
        cublasSetWorkspace(d->cublas, d->workspace, WORKSPACE_BYTES) != CUBLAS_STATUS_SUCCESS ||
        (d->sms.count && cublasSetSmCountTarget(d->cublas, d->sm_count) != CUBLAS_STATUS_SUCCESS))
        return lspo_error(LSPO_ERR_DEVICE, "GPU %d: cuBLAS does not start", d->number);
    return lspo_compute_create_cuda(stream, d->cublas, &d->compute);
}

/* Memory that was given back stays with the pool.  Last, so that what is free then is free for training. */
static lspo_status_t make_pool(cuda_device_t *d)
{
    struct cudaMemPoolProps properties = {.allocType = cudaMemAllocationTypePinned,
                                          .location = {.type = cudaMemLocationTypeDevice, .id = d->number}};
    uint64_t keep_bytes = UINT64_MAX;
    size_t free_bytes, total_bytes;
    if (!good(d, cudaMemPoolCreate(&d->pool, &properties), "a pool of memory") ||
        !good(d, cudaMemPoolSetAttribute(d->pool, cudaMemPoolAttrReleaseThreshold, &keep_bytes), "a pool of memory") ||
        !good(d, cudaMemGetInfo(&free_bytes, &total_bytes), "does not tell its memory"))
        return LSPO_ERR_DEVICE;
    d->free_bytes = free_bytes;
    return LSPO_OK;
}

static const lspo_device_backend_t backend = {.is_asynchronous = true,
                                              .chunk_bytes = CHUNK_BYTES,
                                              .close = cuda_close,
                                              .take = cuda_take,
                                              .give_back = cuda_give_back,
                                              .host_take = cuda_host_take,
                                              .host_give_back = cuda_host_give_back,
                                              .host_reserve = cuda_host_reserve,
                                              .most_held_bytes = cuda_most_held_bytes,
                                              .most_host_held_bytes = cuda_most_host_held_bytes,
                                              .pageable_bytes = cuda_pageable_bytes,
                                              .describe = cuda_describe,
                                              .pci_address = cuda_pci_address,
                                              .compute = cuda_compute,
                                              .set_number = cuda_set_number,
                                              .copy_part = cuda_copy_part,
                                              .copy_later = cuda_copy_later,
                                              .read = cuda_read,
                                              .write = cuda_write,
                                              .read_later = cuda_read_later,
                                              .write_later = cuda_write_later,
                                              .enter_lane = cuda_enter_lane,
                                              .mark_create = cuda_mark_create,
                                              .mark_destroy = cuda_mark_destroy,
                                              .mark_record = cuda_mark_record,
                                              .mark_wait = cuda_mark_wait,
#if HAVE_NVTX
                                              .range_begin = cuda_range_begin,
                                              .range_end = cuda_range_end,
#endif
                                              .mark_time = cuda_mark_time};

lspo_status_t lspo_device_open_cuda(const char *name, uint32_t number, const lspo_device_caps_t *caps,
                                    lspo_device_t **device_out)
{
    static atomic_uint_fast64_t opened;
    lspo_status_t status = find_gpu(name, number);
    if (status != LSPO_OK)
        return status;
    cuda_device_t *d = calloc(1, sizeof *d);
    if (!d)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a device");
    lspo_device_begin(&d->device, &backend, caps);
    d->number = (int)number;
    d->serial = atomic_fetch_add(&opened, 1) + 1;
    status = identify(d);
    if (status == LSPO_OK)
        status = lspo_pinned_create(&d->pinned);
    if (status == LSPO_OK)
        status = make_streams(d);
    if (status == LSPO_OK)
        status = make_compute(d);
    if (status == LSPO_OK)
        status = make_pool(d);
    if (status != LSPO_OK) {
        cuda_close(&d->device);
        return status;
    }
    *device_out = &d->device;
    return LSPO_OK;
}
#else
lspo_status_t lspo_device_open_cuda(const char *name, uint32_t number, const lspo_device_caps_t *caps,
                                    lspo_device_t **device_out)
{
    (void)number;
    (void)caps;
    (void)device_out;
    return lspo_error(LSPO_ERR_DEVICE, "device '%s': this build executes on the host device only", name);
}
#endif
