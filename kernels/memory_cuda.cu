/* memory_cuda.cu - device memory, for callers that do not include CUDA headers. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

template <typename T> static __global__ void carry_kernel(size_t n, const T *in, T *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = in[i];
}

template <typename T> static int carry(size_t bytes, const void *in, void *out, void *stream)
{
    return lspo_launch_over(bytes / sizeof(T), carry_kernel<T>, stream, bytes / sizeof(T), (const T *)in, (T *)out);
}

int lspo_memory_carry_cuda(size_t bytes, const void *in, void *out, void *stream)
{
    const bool words = (((uintptr_t)in | (uintptr_t)out | bytes) & 3) == 0;
    return words ? carry<uint32_t>(bytes, in, out, stream) : carry<unsigned char>(bytes, in, out, stream);
}

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
