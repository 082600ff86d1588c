/* runtime.cc - the device's properties and its green contexts; see cuda_runtime.h. */
#include <climits>
#include <stdio.h>
#include <string.h>

#include "cuda.h"
#include "cuda_on_host.h"
#include "stream.h"
#include "virtual.h"

enum { MULTIPROCESSORS = 132, GREEN_STEP = 8 };

void cuda_on_host_memory(size_t bytes);

static int device_count = 1, capability_major = 9, capability_minor;
static int driver_version = CUDART_VERSION;
static bool has_green_contexts = true;
static unsigned green_most = UINT_MAX;
static thread_local int current_device;

void cuda_on_host_device(int count, int major, int minor, size_t memory_bytes)
{
    device_count = count;
    capability_major = major;
    capability_minor = minor;
    cuda_on_host_memory(memory_bytes);
}

bool cuda_on_host()
{
    return true;
}

bool cuda_has_bf16()
{
    return capability_major >= 8;
}

void cuda_on_host_driver(int version)
{
    driver_version = version;
}

void cuda_on_host_capability(int major, int minor)
{
    capability_major = major;
    capability_minor = minor;
}

/* [CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"] */
size_t cuda_on_host_shared_bytes()
{
    const int capability = 10 * capability_major + capability_minor;
    return (capability >= 90 ? 227 : capability == 80 ? 163 : capability > 80 ? 99 : 64) * (size_t)1024;
}

void cuda_on_host_green_contexts(bool present)
{
    has_green_contexts = present;
}

void cuda_on_host_green_most(unsigned most)
{
    green_most = most;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorNotSupported:
        return "operation not supported";
    default:
        return "error";
    }
}

const char *cudaGetErrorName(cudaError_t error)
{
    return cudaGetErrorString(error);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (driver_version < CUDART_VERSION)
        return cuda_on_host_report(cudaErrorInsufficientDriver);
    if (device_count == 0)
        return cuda_on_host_report(cudaErrorNoDevice);
    *count = device_count;
    return cuda_on_host_report(cudaSuccess);
}

static cudaError_t there(int device)
{
    return cuda_on_host_report(device >= 0 && device < device_count ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaSetDevice(int device)
{
    current_device = device;
    return there(device);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    size_t free;
    snprintf(properties->name, sizeof properties->name, "CPU as a GPU");
    properties->major = capability_major;
    properties->minor = capability_minor;
    properties->multiProcessorCount = MULTIPROCESSORS;
    cudaMemGetInfo(&free, &properties->totalGlobalMem);
    return there(device);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    *value = attribute == cudaDevAttrMultiProcessorCount            ? (int)MULTIPROCESSORS
             : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)cuda_on_host_shared_bytes()
             : attribute == cudaDevAttrComputeCapabilityMajor       ? capability_major
                                                                    : capability_minor;
    return there(device);
}

cudaError_t cudaDeviceGetPCIBusId(char *address, int length, int device)
{
    snprintf(address, (size_t)length, "0000:%02X:00.0", 0x3b + device);
    return there(device);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = driver_version;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cuda_on_host_report(cudaSuccess);
}

/* ---- green contexts: a number of multiprocessors, whose streams are streams ---- */

static CUresult device_get(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return CUDA_SUCCESS;
}

static CUresult get_resource(CUdevice, CUdevResource *resource, CUdevResourceType type)
{
    *resource = {type, {MULTIPROCESSORS}};
    return CUDA_SUCCESS;
}

static CUresult split(CUdevResource *result, unsigned *groups, const CUdevResource *input, CUdevResource *, unsigned,
                      unsigned least)
{
    const unsigned count = (least + GREEN_STEP - 1) / GREEN_STEP * GREEN_STEP;
    if (count > input->sm.smCount || *groups < 1)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    *result = {input->type, {count}};
    *groups = count <= green_most;
    return CUDA_SUCCESS;
}

static CUresult describe(CUdevResourceDesc *description, CUdevResource *, unsigned)
{
    *description = nullptr;
    return CUDA_SUCCESS;
}

static CUresult green_create(CUgreenCtx *context, CUdevResourceDesc, CUdevice, unsigned)
{
    static char place;
    *context = (CUgreenCtx)&place;
    return CUDA_SUCCESS;
}

static CUresult green_destroy(CUgreenCtx)
{
    return CUDA_SUCCESS;
}

static CUresult green_stream(CUstream *stream, CUgreenCtx, unsigned, int)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking) == cudaSuccess ? CUDA_SUCCESS
                                                                                   : CUDA_ERROR_INVALID_VALUE;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result)
{
    static const struct {
        const char *symbol;
        void *function;
    } functions[] = {{"cuDeviceGet", (void *)device_get},
                     {"cuDeviceGetDevResource", (void *)get_resource},
                     {"cuDevSmResourceSplitByCount", (void *)split},
                     {"cuDevResourceGenerateDesc", (void *)describe},
                     {"cuGreenCtxCreate", (void *)green_create},
                     {"cuGreenCtxDestroy", (void *)green_destroy},
                     {"cuGreenCtxStreamCreate", (void *)green_stream}};
    *result = cudaDriverEntryPointSymbolNotFound;
    if ((*function = cuda_on_host_virtual_call(symbol)) != nullptr)
        *result = cudaDriverEntryPointSuccess;
    for (const auto &known : functions)
        if (has_green_contexts && strcmp(known.symbol, symbol) == 0) {
            *function = known.function;
            *result = cudaDriverEntryPointSuccess;
        }
    return cuda_on_host_report(*result == cudaDriverEntryPointSuccess ? cudaSuccess : cudaErrorInvalidValue);
}
