/* launch.cuh - code shared by the CUDA kernels: launches, grid sizes for elementwise loops, and sums over a block in a
 * fixed order. */
#ifndef LSPO_KERNELS_LAUNCH_CUH
#define LSPO_KERNELS_LAUNCH_CUH

#include <cstddef>
#include <cuda_runtime.h>

enum { LSPO_BLOCK_THREADS = 256, LSPO_WARP_THREADS = 32, LSPO_GRID_BLOCKS_MAX = 65535 };

/* Shared memory of the size given at launch. */
extern __shared__ float4 lspo_shared[];

/* A function instead of <<<>>>, which is not C++: tests also compile these sources for the CPU. */
template <typename... Parameters, typename... Arguments>
static int lspo_launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, size_t shared_bytes, void *stream,
                       Arguments... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = (cudaStream_t)stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

/* The shared memory that a block may have at most on the current device, if its kernel asks for it. */
static inline int lspo_shared_bytes_most(size_t *bytes_out)
{
    int device = 0, bytes = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    *bytes_out = (size_t)bytes;
    return error;
}

/* Launch a kernel that asks for more shared memory than the 48 KiB that every kernel may have. */
template <typename... Parameters, typename... Arguments>
static int lspo_launch_large(void (*kernel)(Parameters...), dim3 grid, unsigned threads, size_t shared_bytes,
                             void *stream, Arguments... arguments)
{
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    return error != cudaSuccess ? (int)error : lspo_launch(kernel, grid, threads, shared_bytes, stream, arguments...);
}

/* The number of blocks for a grid-stride loop over n items. */
static inline unsigned lspo_grid_blocks(size_t n)
{
    const size_t blocks = (n + LSPO_BLOCK_THREADS - 1) / LSPO_BLOCK_THREADS;
    const size_t most = LSPO_GRID_BLOCKS_MAX;
    return (unsigned)(blocks < most ? blocks : most);
}

/* Launch a kernel with a grid-stride loop over n items; does nothing if n is 0. */
template <typename... Parameters, typename... Arguments>
static int lspo_launch_over(size_t n, void (*kernel)(Parameters...), void *stream, Arguments... arguments)
{
    return n == 0 ? (int)cudaSuccess
                  : lspo_launch(kernel, lspo_grid_blocks(n), LSPO_BLOCK_THREADS, 0, stream, arguments...);
}

__device__ inline size_t lspo_grid_first()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline size_t lspo_grid_step()
{
    return (size_t)gridDim.x * blockDim.x;
}

/* Combine one value per lane over a warp; every lane gets the result. */
template <typename T, typename Combine> __device__ T lspo_warp_reduce(T value, Combine combine)
{
    for (int lane = LSPO_WARP_THREADS / 2; lane > 0; lane /= 2)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, lane));
    return value;
}

template <typename T> __device__ T lspo_warp_sum(T value)
{
    return lspo_warp_reduce(value, [](T a, T b) { return a + b; });
}

/* Combine one value per thread over a block of whole warps; every thread gets the result. */
template <typename T, typename Combine> __device__ T lspo_block_reduce(T value, Combine combine)
{
    __shared__ T parts[LSPO_BLOCK_THREADS / LSPO_WARP_THREADS];
    value = lspo_warp_reduce(value, combine);
    __syncthreads(); /* `parts` may still be in use from the previous reduction */
    if (threadIdx.x % LSPO_WARP_THREADS == 0)
        parts[threadIdx.x / LSPO_WARP_THREADS] = value;
    __syncthreads();
    value = parts[0];
    for (unsigned warp = 1; warp < LSPO_BLOCK_THREADS / LSPO_WARP_THREADS; warp++)
        if (warp < blockDim.x / LSPO_WARP_THREADS)
            value = combine(value, parts[warp]);
    return value;
}

template <typename T> __device__ T lspo_block_sum(T value)
{
    return lspo_block_reduce(value, [](T a, T b) { return a + b; });
}

#endif
