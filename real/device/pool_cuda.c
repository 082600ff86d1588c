/* pool_cuda.c - GPU memory in the order of streams.  The driver takes it from the GPU in units of 2 MiB, or 32 MiB for
 * what is small, and keeps what is freed, so a pool has more than it has given out: pieces of freed memory that are too
 * small for the next request.  If that leaves too little, all of them go back to the GPU. */
#if LSPO_HAVE_CUDA
#include "real/device/pool_cuda.h"

/* Free memory that is not given out: 32 MiB for the unit that is only partly used, and 64 MiB for code that is loaded
 * when it is first launched: cuBLAS chooses other kernels for other shapes than those of lspo_device_cuda_warm(), of a
 * few MiB each. */
#define RESERVE_BYTES (UINT64_C(96) << 20)

cudaError_t lspo_gpu_pool_create(int number, cudaMemPool_t *pool_out)
{
    const struct cudaMemPoolProps properties = {.allocType = cudaMemAllocationTypePinned,
                                                .location = {.type = cudaMemLocationTypeDevice, .id = number}};
    uint64_t keep_bytes = UINT64_MAX;
    cudaMemPool_t pool;
    cudaError_t error = cudaMemPoolCreate(&pool, &properties);
    if (error != cudaSuccess)
        return error;
    error = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_bytes);
    if (error == cudaSuccess)
        *pool_out = pool;
    else
        cudaMemPoolDestroy(pool);
    return error;
}

cudaError_t lspo_gpu_pool_trim(cudaMemPool_t pool)
{
    cudaGetLastError(); /* clear the error: the next request may fit */
    cudaError_t error = cudaDeviceSynchronize();
    return error == cudaSuccess ? cudaMemPoolTrimTo(pool, 0) : error;
}

cudaError_t lspo_gpu_pool_take(cudaMemPool_t pool, size_t bytes, cudaStream_t stream, void **memory_out)
{
    const size_t least_bytes = bytes ? bytes : 1;
    cudaError_t error = cudaMallocFromPoolAsync(memory_out, least_bytes, pool, stream);
    if (error != cudaErrorMemoryAllocation)
        return error;
    error = lspo_gpu_pool_trim(pool);
    if (error != cudaSuccess)
        return error;
    error = cudaMallocFromPoolAsync(memory_out, least_bytes, pool, stream);
    if (error == cudaErrorMemoryAllocation)
        cudaGetLastError();
    return error;
}

uint64_t lspo_gpu_pool_most_reserved_bytes(cudaMemPool_t pool)
{
    uint64_t bytes = 0;
    cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemHigh, &bytes);
    return bytes;
}

cudaError_t lspo_gpu_pool_room(cudaMemPool_t pool, uint64_t *bytes_out)
{
    uint64_t reserved_bytes = 0;
    size_t free_bytes, total_bytes;
    cudaError_t error = cudaMemGetInfo(&free_bytes, &total_bytes);
    if (error == cudaSuccess)
        error = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved_bytes);
    if (error == cudaSuccess)
        *bytes_out = free_bytes + reserved_bytes > RESERVE_BYTES ? free_bytes + reserved_bytes - RESERVE_BYTES : 0;
    return error;
}
#endif
