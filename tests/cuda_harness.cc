#include "tests/cuda_harness.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda.h"

#ifdef CUDA_ON_HOST
#include "cuda_on_host.h"
#endif

enum { ARRAYS_MAX = 64, ORDERS_ON_HOST = 5 };

static void *arrays[ARRAYS_MAX];
static size_t array_count;

static void need(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "cuda_harness: %s failed\n", what);
        exit(1);
    }
}

bool device_present(void)
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

void *device_array(size_t size_bytes)
{
    void *memory = nullptr;
    need(array_count < ARRAYS_MAX && cudaMalloc(&memory, size_bytes) == cudaSuccess, "cudaMalloc");
    need(cudaMemset(memory, 0xff, size_bytes) == cudaSuccess, "cudaMemset");
    arrays[array_count++] = memory;
    return memory;
}

void *device_copy(const void *from_host, size_t size_bytes)
{
    void *const memory = device_array(size_bytes);
    need(cudaMemcpy(memory, from_host, size_bytes, cudaMemcpyHostToDevice) == cudaSuccess, "cudaMemcpy");
    return memory;
}

void device_read(const void *from_device, size_t size_bytes, void *to_host)
{
    need(cudaMemcpy(to_host, from_device, size_bytes, cudaMemcpyDeviceToHost) == cudaSuccess, "cudaMemcpy");
}

void device_free_all(void)
{
    while (array_count > 0)
        cudaFree(arrays[--array_count]);
}

void *device_cublas(void)
{
    static cublasHandle_t handle = nullptr;
    need(handle != nullptr || cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS, "cublasCreate");
    return handle;
}

float *device_column_sums(void)
{
    static float *sums = nullptr;
    need(sums != nullptr || cudaMalloc(&sums, LSPO_COLUMN_SUM_FLOATS * sizeof *sums) == cudaSuccess, "cudaMalloc");
    return sums;
}

const char *device_complaint(int launch_error)
{
    const cudaError_t error = launch_error != cudaSuccess ? (cudaError_t)launch_error : cudaDeviceSynchronize();
    if (error == cudaSuccess)
        return nullptr;
#ifdef CUDA_ON_HOST
    if (error == cudaErrorLaunchFailure)
        return cuda_on_host_failure();
#endif
    return cudaGetErrorString(error);
}

#ifdef CUDA_ON_HOST
unsigned device_orders(void)
{
    return ORDERS_ON_HOST;
}

void device_order(unsigned order)
{
    cuda_on_host_order(order);
}
#else
/* Twice, for equal bits. */
unsigned device_orders(void)
{
    return 2;
}

void device_order(unsigned) {}
#endif
