/* chunks_cuda.c - chunks of a GPU: handles of the driver's virtual memory management (CUDA 10.2 and newer), mapped into
 * reserved addresses of its unified space.
 *
 * What is unmapped may still be read by work in a queue, so that the GPU is waited for first.  Memory that the device's
 * pool keeps for reuse goes back to the GPU when there is none for a chunk. */
#if LSPO_HAVE_CUDA
#include <cuda.h>
#include <stdlib.h>

#include "real/device/chunks_state.h"
#include "real/device/device_cuda.h"
#include "real/device/driver_cuda.h"

enum { LEAST_VERSION = 10020 };

typedef struct {
    CUresult (*granularity)(size_t *bytes, const CUmemAllocationProp *properties,
                            CUmemAllocationGranularity_flags flags);
    CUresult (*create)(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                       unsigned long long flags);
    CUresult (*release)(CUmemGenericAllocationHandle handle);
    CUresult (*reserve)(CUdeviceptr *at, size_t bytes, size_t alignment, CUdeviceptr address, unsigned long long flags);
    CUresult (*free)(CUdeviceptr at, size_t bytes);
    CUresult (*map)(CUdeviceptr at, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                    unsigned long long flags);
    CUresult (*unmap)(CUdeviceptr at, size_t bytes);
    CUresult (*access)(CUdeviceptr at, size_t bytes, const CUmemAccessDesc *description, size_t count);
} driver_t;

typedef struct {
    driver_t driver;
    lspo_device_cuda_t *device;
    uint64_t chunk_bytes;
    CUmemGenericAllocationHandle *handles; /* by chunk */
} gpu_t;

static bool find_all(driver_t *d)
{
    return lspo_driver_find("cuMemGetAllocationGranularity", LEAST_VERSION, &d->granularity) &&
           lspo_driver_find("cuMemCreate", LEAST_VERSION, &d->create) &&
           lspo_driver_find("cuMemRelease", LEAST_VERSION, &d->release) &&
           lspo_driver_find("cuMemAddressReserve", LEAST_VERSION, &d->reserve) &&
           lspo_driver_find("cuMemAddressFree", LEAST_VERSION, &d->free) &&
           lspo_driver_find("cuMemMap", LEAST_VERSION, &d->map) &&
           lspo_driver_find("cuMemUnmap", LEAST_VERSION, &d->unmap) &&
           lspo_driver_find("cuMemSetAccess", LEAST_VERSION, &d->access);
}

static CUmemLocation place_of(const lspo_device_cuda_t *device)
{
    return (CUmemLocation){.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device->number};
}

static CUmemAllocationProp properties_of(const lspo_device_cuda_t *device)
{
    return (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = place_of(device)};
}

static lspo_status_t failed(lspo_status_t status, const char *what, CUresult result)
{
    return lspo_error(status, "chunks on the GPU: %s (CUDA driver error %d)", what, (int)result);
}

static uint64_t gpu_unit(const lspo_device_t *device)
{
    driver_t driver;
    size_t bytes = 0;
    const CUmemAllocationProp properties = properties_of((const lspo_device_cuda_t *)device);
    if (!find_all(&driver) || driver.granularity(&bytes, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM) != CUDA_SUCCESS)
        return 0;
    return bytes;
}

static lspo_status_t gpu_open(lspo_device_t *device, uint64_t chunk_bytes, uint64_t most, void **state_out)
{
    gpu_t *g = calloc(1, sizeof *g);
    CUmemGenericAllocationHandle *handles = calloc(most + 1, sizeof *handles);
    if (g == NULL || handles == NULL) {
        free(handles);
        free(g);
        return lspo_no_memory("%llu chunks", (unsigned long long)most);
    }
    *g = (gpu_t){.device = (lspo_device_cuda_t *)device, .chunk_bytes = chunk_bytes, .handles = handles};
    if (!find_all(&g->driver)) {
        free(handles);
        free(g);
        return lspo_error(LSPO_ERR_DEVICE, "this driver does not map memory in chunks; CUDA 10.2 or newer is needed");
    }
    *state_out = g;
    return LSPO_OK;
}

static void gpu_close(void *state)
{
    gpu_t *g = state;
    free(g->handles);
    free(g);
}

/* Threads other than the device's own have no current GPU yet. */
static lspo_status_t gpu_make(void *state, uint64_t chunk)
{
    gpu_t *g = state;
    const CUmemAllocationProp properties = properties_of(g->device);
    cudaSetDevice(g->device->number);
    CUresult result = g->driver.create(&g->handles[chunk], g->chunk_bytes, &properties, 0);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && lspo_gpu_pool_trim(g->device->pool) == cudaSuccess)
        result = g->driver.create(&g->handles[chunk], g->chunk_bytes, &properties, 0);
    if (result == CUDA_SUCCESS)
        return LSPO_OK;
    return failed(result == CUDA_ERROR_OUT_OF_MEMORY ? LSPO_ERR_FIT : LSPO_ERR_DEVICE, "no memory for a chunk", result);
}

static void gpu_unmake(void *state, uint64_t chunk)
{
    const gpu_t *g = state;
    g->driver.release(g->handles[chunk]);
}

static lspo_status_t gpu_reserve(void *state, uint64_t bytes, char **at_out)
{
    const gpu_t *g = state;
    CUdeviceptr at = 0;
    cudaSetDevice(g->device->number);
    const CUresult result = g->driver.reserve(&at, bytes, 0, 0, 0);
    if (result != CUDA_SUCCESS)
        return failed(LSPO_ERR_MEMORY, "no addresses for a range", result);
    *at_out = (char *)(uintptr_t)at;
    return LSPO_OK;
}

static void gpu_release(void *state, char *at, uint64_t bytes)
{
    const gpu_t *g = state;
    g->driver.free((CUdeviceptr)(uintptr_t)at, bytes);
}

static lspo_status_t gpu_map(void *state, char *at, uint64_t chunk)
{
    const gpu_t *g = state;
    cudaSetDevice(g->device->number);
    const CUresult result = g->driver.map((CUdeviceptr)(uintptr_t)at, g->chunk_bytes, 0, g->handles[chunk], 0);
    return result == CUDA_SUCCESS ? LSPO_OK : failed(LSPO_ERR_DEVICE, "a chunk cannot be mapped", result);
}

static lspo_status_t gpu_access(void *state, char *at, uint64_t bytes)
{
    const gpu_t *g = state;
    const CUmemAccessDesc description = {.location = place_of(g->device), .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    cudaSetDevice(g->device->number);
    const CUresult result = g->driver.access((CUdeviceptr)(uintptr_t)at, bytes, &description, 1);
    return result == CUDA_SUCCESS ? LSPO_OK : failed(LSPO_ERR_DEVICE, "chunks do not become accessible", result);
}

static void gpu_unmap(void *state, char *at, uint64_t bytes)
{
    const gpu_t *g = state;
    cudaSetDevice(g->device->number);
    cudaDeviceSynchronize();
    g->driver.unmap((CUdeviceptr)(uintptr_t)at, bytes);
}

static void gpu_copy(void *state, char *to, const char *from, uint64_t bytes)
{
    gpu_t *g = state;
    lspo_device_cuda_good(g->device, cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToDevice), "a copy of a chunk");
}

const lspo_chunks_backend_t lspo_chunks_cuda = {.unit = gpu_unit,
                                                .open = gpu_open,
                                                .close = gpu_close,
                                                .make = gpu_make,
                                                .unmake = gpu_unmake,
                                                .reserve = gpu_reserve,
                                                .release = gpu_release,
                                                .map = gpu_map,
                                                .access = gpu_access,
                                                .unmap = gpu_unmap,
                                                .copy = gpu_copy};
#endif
