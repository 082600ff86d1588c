/* cuda_runtime.h - the part of CUDA C++ that kernels/<name>_cuda.cu use, as plain C++ on the CPU, so that the logic of
 * the kernels is tested where no GPU and no CUDA Toolkit is: tests compile the same .cu files with this folder first in
 * the include path.
 *
 * A block's threads are fibers.  One runs until a barrier or an exchange between the lanes of its warp, then the next
 * one that may: always the first of an order that is ascending, descending, or drawn anew for every block from a seed,
 * warp by warp (cuda_on_host.h).  So a missing barrier shows as a wrong result in some order.  What a GPU leaves
 * undefined is a failed launch that names the places: threads of a block at different barriers, or gone while others
 * wait; lanes of a mask at different exchanges, or one that exchanges without being in its mask; a value from a lane
 * outside the mask; an access of 2, 4, 8 or 16 bytes at an address that is no multiple of them.
 * Blocks run one after the other, in an order drawn likewise.  Memory: cudaMalloc() gives arrays that end, rounded up
 * to 64 bytes, at a page without access and are full of NaN, as shared memory is when a block starts; the limits of
 * sm_75 hold, except that of shared memory, which is the device's own.  A pool has units of the GPU's memory and keeps
 * pieces that are too small (layout.cc); code takes memory when it is first launched.
 *
 * A stream is a thread that does what is queued, in order, and may be made to dawdle (cuda_on_host_delays()), so that
 * what is not ordered shows: memory from a pool is NaN where its cudaMallocFromPoolAsync() runs and again from where
 * its cudaFreeAsync() does, pinned memory is read and written when the copy runs, and an error of a kernel comes out
 * later, and stays.  The default stream is the legacy one: a launch there is over, and its error told, when it
 * returns.
 *
 * Not modelled: time, caches, blocks at the same time, priorities, the GPU's exp and log (the C library's here),
 * contraction of products and sums, which g++ is told not to do.
 */
#ifndef LSPO_TESTS_CUDA_RUNTIME_H
#define LSPO_TESTS_CUDA_RUNTIME_H

#include <math.h>
#include <string.h>

#include <type_traits>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __shared__ thread_local /* static where it must be, and may be extern */
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
extern __thread uint3 threadIdx, blockIdx;
extern __thread dim3 blockDim, gridDim;

/* ---- runtime ---- */

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
template <typename T> cudaError_t cudaMalloc(T **memory, size_t size)
{
    return cudaMalloc((void **)memory, size);
}
template <typename... P> cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value)
{
    return cudaFuncSetAttribute((const void *)kernel, attribute, value);
}

/* `run` calls the kernel as a copy of `call` says.  (Without <functional> a kernel's source compiles faster.) */
cudaError_t cuda_on_host_launch(const cudaLaunchConfig_t &config, const void *kernel, const void *call, size_t bytes,
                                void (*run)(const void *call));
template <typename... P>
cudaError_t cuda_on_host_call(const cudaLaunchConfig_t &config, void (*kernel)(P...), P... values)
{
    const auto call = [=] { kernel(values...); };
    static_assert(std::is_trivially_copyable<decltype(call)>::value, "not an argument of a kernel");
    return cuda_on_host_launch(config, (const void *)kernel, &call, sizeof call,
                               [](const void *copy) { (*(const decltype(call) *)copy)(); });
}
template <typename... P, typename... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A &&...arguments)
{
    return cuda_on_host_call<P...>(*config, kernel, static_cast<P>(arguments)...);
}

/* ---- barriers and exchanges ---- */

void cuda_on_host_barrier(const char *file, int line);
/* Waits for all lanes of the mask; what lane `source` gave, one's own value if it is above 31. */
uint64_t cuda_on_host_exchange(unsigned mask, uint64_t value, unsigned source, const char *file, int line);
/* Waits for all lanes of the warp; then `work` gets what each gave, before any of them goes on. */
void cuda_on_host_together(void *mine, void (*work)(void *const *of_lanes), const char *file, int line);
/* The lanes whose flag is set. */
unsigned cuda_on_host_ballot(unsigned mask, bool flag, const char *file, int line);
unsigned cuda_on_host_lane();

template <typename T> T cuda_on_host_shuffle(unsigned mask, T value, unsigned source, const char *file, int line)
{
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable<T>::value, "not a value to exchange");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = cuda_on_host_exchange(mask, bits, source, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define __syncthreads() cuda_on_host_barrier(__FILE__, __LINE__)
#define __syncwarp() ((void)cuda_on_host_exchange(0xffffffffu, 0, cuda_on_host_lane(), __FILE__, __LINE__))
#define __shfl_sync(mask, value, lane) cuda_on_host_shuffle(mask, value, (unsigned)(lane) % 32u, __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, lanes)                                                                            \
    cuda_on_host_shuffle(mask, value, cuda_on_host_lane() ^ (unsigned)(lanes), __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, lanes)                                                                           \
    cuda_on_host_shuffle(mask, value, cuda_on_host_lane() + (unsigned)(lanes), __FILE__, __LINE__)
#define __ballot_sync(mask, flag) cuda_on_host_ballot(mask, flag, __FILE__, __LINE__)

/* The launch fails. */
void cuda_on_host_trap(const char *what, const char *file, int line);
void cuda_on_host_fail_unaligned(const void *at, size_t bytes, const char *file, int line);
/* A launch fails that accesses something else. */
inline void cuda_on_host_need_aligned(const void *at, size_t bytes, const char *file, int line)
{
    if ((uintptr_t)at % bytes != 0)
        cuda_on_host_fail_unaligned(at, bytes, file, line);
}

/* ---- arithmetic ---- */

inline int __popcll(unsigned long long bits)
{
    return __builtin_popcountll(bits);
}

template <typename T> T min(T a, T b)
{
    return b < a ? b : a;
}
template <typename T> T max(T a, T b)
{
    return a < b ? b : a;
}
template <typename T> T __ldg(const T *from)
{
    return *from;
}
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
