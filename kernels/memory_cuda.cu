/* memory_cuda.cu - device memory, for callers that do not include CUDA headers. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

int lspo_memory_alloc_cuda(size_t bytes, void **memory_out)
{
    return cudaMalloc(memory_out, bytes);
}

void lspo_memory_free_cuda(void *memory)
{
    cudaFree(memory);
}

int lspo_memory_zero_cuda(size_t bytes, void *out, void *stream)
{
    return cudaMemsetAsync(out, 0, bytes, (cudaStream_t)stream);
}

int lspo_memory_copy_cuda(size_t bytes, const void *in, void *out, void *stream)
{
    return cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)stream);
}

int lspo_memory_write_cuda(size_t bytes, const void *in, void *out, void *stream)
{
    const cudaError_t error = cudaMemcpyAsync(out, in, bytes, cudaMemcpyHostToDevice, (cudaStream_t)stream);
    return error == cudaSuccess ? cudaStreamSynchronize((cudaStream_t)stream) : error;
}

const char *lspo_cuda_error_text(int error)
{
    return cudaGetErrorString((cudaError_t)error);
}
