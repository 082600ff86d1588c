/* open_cuda.c - select a GPU and open and close its streams, cuBLAS and memory.  See device_cuda.c. */
#include "real/device/device_state.h"

#include <inttypes.h>

#if LSPO_HAVE_CUDA
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda.h"
#include "real/device/device_cuda.h"

enum {
    LEAST_CAPABILITY = 75,      /* the lowest supported; LSPO_CUDA_LEAST: of this build */
    WORKSPACE_BYTES = 32 << 20, /* cuBLAS's own size on Hopper, more than elsewhere */
};

static bool good(lspo_device_cuda_t *d, cudaError_t error, const char *what)
{
    return lspo_device_cuda_good(d, error, what);
}

void lspo_device_cuda_close(lspo_device_t *device)
{
    lspo_device_cuda_t *d = (lspo_device_cuda_t *)device;
    cudaSetDevice(d->number);
    for (int lane = 0; lane < LSPO_LANE_CPU; lane++)
        if (d->streams[lane])
            cudaStreamSynchronize(d->streams[lane]);
    lspo_compute_destroy(d->compute);
    if (d->cublas)
        cublasDestroy(d->cublas);
    cudaFree(d->workspace);
    lspo_clock_destroy(d->clock);
    for (int i = 0; i < 2 * LSPO_COPY_SLOTS; i++)
        if (d->arrived[i / LSPO_COPY_SLOTS][i % LSPO_COPY_SLOTS])
            cudaEventDestroy(d->arrived[i / LSPO_COPY_SLOTS][i % LSPO_COPY_SLOTS]);
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

/* CUDA gives the same error for a driver that is too old and for none at all, whose version is 0. */
static lspo_status_t explain_driver(const char *name)
{
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': this machine has no NVIDIA driver", name);
    return lspo_error(
        LSPO_ERR_DEVICE,
        "device '%s': the NVIDIA driver is too old: it supports CUDA up to %d.%d, and this build has CUDA "
        "%d.%d, which needs driver " LSPO_CUDA_DRIVER
        " or newer; update the driver, or build lspo with an older toolkit (--with-cuda=DIR, CUDA 12.4 "
        "or newer)",
        name, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

static lspo_status_t find_gpu(const char *name, uint32_t number)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver)
        return explain_driver(name);
    if (error != cudaSuccess || count == 0)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': this machine has no CUDA device (%s)", name,
                          cudaGetErrorString(error));
    if (number >= (uint32_t)count)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': the CUDA devices of this machine are 0 to %d", name,
                          count - 1);
    return LSPO_OK;
}

static lspo_status_t identify(lspo_device_cuda_t *d)
{
    struct cudaDeviceProp properties;
    if (!good(d, cudaSetDevice(d->number), "cannot be used") ||
        !good(d, cudaGetDeviceProperties(&properties, d->number), "cannot be queried") ||
        !good(d, cudaDeviceGetPCIBusId(d->pci_address, sizeof d->pci_address, d->number),
              "does not report its PCI address"))
        return LSPO_ERR_DEVICE;
    memcpy(d->gpu_name, properties.name, sizeof d->gpu_name - 1);
    for (char *c = d->pci_address; *c; c++)
        *c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
    d->capability = 10 * properties.major + properties.minor;
    d->sm_count = properties.multiProcessorCount;
    if (d->capability < LSPO_CUDA_LEAST)
        return lspo_error(
            LSPO_ERR_DEVICE, "GPU %d is a %s of compute capability %d.%d; this build has kernels for %d.%d and newer%s",
            d->number, d->gpu_name, properties.major, properties.minor, LSPO_CUDA_LEAST / 10, LSPO_CUDA_LEAST % 10,
            LSPO_CUDA_LEAST > LEAST_CAPABILITY ? " (configure --with-cuda-arch=all)" : "");
    return LSPO_OK;
}

/* The NUMA node nearest to the GPU; -1 if the system does not say. */
static int memory_node(const lspo_device_cuda_t *d)
{
    char path[96];
    int node = -1;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", d->pci_address);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%d", &node) != 1)
        node = -1;
    fclose(file);
    return node;
}

/* The compute stream has the highest priority, so that the few kernels of the link's lanes never delay it. */
static lspo_status_t make_streams(lspo_device_cuda_t *d)
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
    for (int i = 0; i < 2 * LSPO_COPY_SLOTS; i++)
        if (!good(d,
                  cudaEventCreateWithFlags(&d->arrived[i / LSPO_COPY_SLOTS][i % LSPO_COPY_SLOTS],
                                           cudaEventBlockingSync | cudaEventDisableTiming),
                  "an event"))
            return LSPO_ERR_DEVICE;
    return good(d, cudaEventCreateWithFlags(&d->entered, cudaEventDisableTiming), "an event") &&
                   good(d, lspo_clock_create(&d->clock), "a clock")
               ? LSPO_OK
               : LSPO_ERR_DEVICE;
}

static lspo_status_t make_compute(lspo_device_cuda_t *d)
{
    cudaStream_t stream = d->streams[LSPO_LANE_GPU];
    if (lspo_cublas_missing())
        return lspo_error(LSPO_ERR_DEVICE, "GPU %d needs cuBLAS: %s", d->number, lspo_cublas_missing());
    if (!good(d, cudaMalloc(&d->workspace, WORKSPACE_BYTES), "memory for cuBLAS"))
        return LSPO_ERR_DEVICE;
    if (cublasCreate(&d->cublas) != CUBLAS_STATUS_SUCCESS ||
        cublasSetStream(d->cublas, stream) != CUBLAS_STATUS_SUCCESS ||
        cublasSetWorkspace(d->cublas, d->workspace, WORKSPACE_BYTES) != CUBLAS_STATUS_SUCCESS ||
        (d->sms.count && cublasSetSmCountTarget(d->cublas, d->sm_count) != CUBLAS_STATUS_SUCCESS))
        return lspo_error(LSPO_ERR_DEVICE, "GPU %d: cannot start cuBLAS", d->number);
    return lspo_compute_create_cuda(stream, d->cublas, &d->compute);
}

lspo_status_t lspo_device_open_cuda(const char *name, uint32_t number, const lspo_device_caps_t *caps,
                                    lspo_device_t **device_out)
{
    static atomic_uint_fast64_t opened;
    lspo_status_t status = find_gpu(name, number);
    if (status != LSPO_OK)
        return status;
    lspo_device_cuda_t *d = calloc(1, sizeof *d);
    if (!d)
        return lspo_no_memory("a device");
    lspo_device_begin(&d->device, &lspo_device_cuda_backend, caps);
    d->number = (int)number;
    d->serial = atomic_fetch_add(&opened, 1) + 1;
    status = identify(d);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_pinned_create(memory_node(d), &d->pinned);
    if (status != LSPO_OK)
        goto failed;
    status = make_streams(d);
    if (status != LSPO_OK)
        goto failed;
    status = make_compute(d);
    if (status != LSPO_OK)
        goto failed;
    if (!good(d, lspo_gpu_pool_create(d->number, &d->pool), "a pool of memory")) {
        status = LSPO_ERR_DEVICE;
        goto failed;
    }
    status = lspo_device_cuda_warm(d); /* last: what is free then is free for training */
    if (status != LSPO_OK)
        goto failed;
    *device_out = &d->device;
    return LSPO_OK;
failed:
    lspo_device_cuda_close(&d->device);
    return status;
}

uint32_t lspo_device_gpu_count(void)
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0 ? (uint32_t)count : 0;
}

lspo_status_t lspo_device_gpu_at(uint32_t number, lspo_device_gpu_t *gpu_out)
{
    struct cudaDeviceProp properties;
    lspo_device_gpu_t gpu = {0};
    cudaError_t error = cudaGetDeviceProperties(&properties, (int)number);
    if (error == cudaSuccess)
        error = cudaDeviceGetPCIBusId(gpu.place, sizeof gpu.place, (int)number);
    if (error != cudaSuccess)
        return lspo_error(LSPO_ERR_DEVICE, "GPU %" PRIu32 " cannot be queried: %s", number, cudaGetErrorString(error));
    snprintf(gpu.name, sizeof gpu.name, "cuda:%" PRIu32, number);
    snprintf(gpu.description, sizeof gpu.description, "%s, %.1f GiB, compute capability %d.%d", properties.name,
             (double)properties.totalGlobalMem / (double)(1U << 30), properties.major, properties.minor);
    gpu.sm_count = (uint32_t)properties.multiProcessorCount;
    *gpu_out = gpu;
    return LSPO_OK;
}
#else
uint32_t lspo_device_gpu_count(void)
{
    return 0;
}

lspo_status_t lspo_device_gpu_at(uint32_t number, lspo_device_gpu_t *gpu_out)
{
    (void)gpu_out;
    return lspo_error(LSPO_ERR_DEVICE, "GPU %" PRIu32 ": this build has no CUDA and executes on the host device only",
                      number);
}

lspo_status_t lspo_device_open_cuda(const char *name, uint32_t number, const lspo_device_caps_t *caps,
                                    lspo_device_t **device_out)
{
    (void)number;
    (void)caps;
    (void)device_out;
    return lspo_error(LSPO_ERR_DEVICE, "device '%s': this build has no CUDA and executes on the host device only",
                      name);
}
#endif
