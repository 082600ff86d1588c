/* pool_cuda.h - the pool from which a CUDA device gives out GPU memory, in the order of streams. */
#ifndef LSPO_REAL_DEVICE_POOL_CUDA_H
#define LSPO_REAL_DEVICE_POOL_CUDA_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

/* Freed memory stays in the pool.  Release with cudaMemPoolDestroy(). */
cudaError_t lspo_gpu_pool_create(int number, cudaMemPool_t *pool_out);

/* For use on `stream`; cudaErrorMemoryAllocation if the GPU has too little even when nothing else is kept for reuse.
 * It then has waited for all work of the GPU. */
cudaError_t lspo_gpu_pool_take(cudaMemPool_t pool, size_t bytes, cudaStream_t stream, void **memory_out);

/* Give what is kept for reuse back to the GPU.  Memory that is still in use by queued work cannot be given back, so it
 * waits for all of that. */
cudaError_t lspo_gpu_pool_trim(cudaMemPool_t pool);

/* The most bytes that it has had of the GPU, given out or kept for reuse, in the driver's units. */
uint64_t lspo_gpu_pool_most_reserved_bytes(cudaMemPool_t pool);

/* What may be given out: all that it has and all that is free on the GPU, without a reserve; 0 if that is none. */
cudaError_t lspo_gpu_pool_room(cudaMemPool_t pool, uint64_t *bytes_out);

#endif
