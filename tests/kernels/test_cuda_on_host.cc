/* The CPU that stands in for a GPU: right kernels give right results in every order, and each kind of wrong one is
 * found: by a wrong result in some order, or as a failed launch that names the places. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "cuda_on_host.h"
#include "kernels/launch.cuh"

enum { THREADS = 256, SEEDS = 8 };

/* The largest difference from `want` over all orders. */
static float worst(void (*kernel)(float *), float want)
{
    float *out = nullptr, worst = 0;
    cr_assert(cudaMalloc(&out, THREADS * sizeof *out) == cudaSuccess);
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        cuda_on_host_order(seed);
        cr_assert(lspo_launch(kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess, "%s", cuda_on_host_failure());
        for (int i = 0; i < THREADS; i++)
            if (!(fabsf(out[i] - want) <= worst)) /* NaN is worse than any number */
                worst = isnan(out[i]) ? INFINITY : fabsf(out[i] - want);
    }
    cudaFree(out);
    return worst;
}

/* ---- a sum over the block: 0 + 1 + ... + 255 = 32640 ---- */

static __global__ void sum_kernel(float *out)
{
    out[threadIdx.x] = lspo_block_sum((float)threadIdx.x);
}

/* Without the second barrier of lspo_block_reduce(): parts are read before all are written. */
static __global__ void early_sum_kernel(float *out)
{
    __shared__ float parts[THREADS / 32];
    const float sum = lspo_warp_sum((float)threadIdx.x);
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = sum;
    out[threadIdx.x] = 0;
    for (int warp = 0; warp < THREADS / 32; warp++)
        out[threadIdx.x] += parts[warp];
}

/* Twice, without the first barrier: a warp that is ahead overwrites parts that others have still to read. */
static __global__ void overwriting_sum_kernel(float *out)
{
    __shared__ float parts[THREADS / 32];
    for (int again = 0; again < 2; again++) {
        const float sum = lspo_warp_sum((float)threadIdx.x * (float)(1 + again));
        if (threadIdx.x % 32 == 0)
            parts[threadIdx.x / 32] = sum;
        __syncthreads();
        if (again == 0) {
            out[threadIdx.x] = 0;
            for (int warp = 0; warp < THREADS / 32; warp++)
                out[threadIdx.x] += parts[warp];
        }
    }
}

Test(cuda_on_host, sums_are_right_in_every_order)
{
    cr_assert_eq(worst(sum_kernel, 32640), 0);
}

Test(cuda_on_host, missing_barriers_show)
{
    cr_assert_gt(worst(early_sum_kernel, 32640), 0);
    cr_assert_gt(worst(overwriting_sum_kernel, 32640), 0);
}

/* Lanes of a warp are no lockstep: what one writes, another sees only behind __syncwarp(). */
template <bool SYNCHRONISED> static __global__ void neighbour_kernel(float *out)
{
    __shared__ float values[THREADS];
    values[threadIdx.x] = (float)threadIdx.x;
    if (SYNCHRONISED)
        __syncwarp();
    out[threadIdx.x] = values[threadIdx.x ^ 1u] - (float)(threadIdx.x ^ 1u);
}

Test(cuda_on_host, lanes_run_one_by_one)
{
    cr_assert_eq(worst(neighbour_kernel<true>, 0), 0);
    cr_assert_gt(worst(neighbour_kernel<false>, 0), 0);
}

/* Shared memory keeps nothing from the block before. */
static __global__ void unwritten_kernel(float *out)
{
    __shared__ float unwritten[4];
    if (blockIdx.x == 1)
        out[threadIdx.x] = unwritten[threadIdx.x % 4] + lspo_shared[0].x;
    __syncthreads();
    unwritten[threadIdx.x % 4] = 0;
    lspo_shared[0].x = 0;
}

Test(cuda_on_host, shared_memory_starts_without_values)
{
    float *out = nullptr;
    cudaMalloc(&out, THREADS * sizeof *out);
    cr_assert(lspo_launch(unwritten_kernel, 2, THREADS, sizeof(float4), nullptr, out) == cudaSuccess);
    cr_assert(isnan(out[0]) && isnan(out[THREADS - 1]));
    cudaFree(out);
}

/* ---- what a GPU leaves undefined ---- */

static __global__ void different_barriers_kernel(float *)
{
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void left_before_barrier_kernel(float *)
{
    if (threadIdx.x == 7)
        return;
    __syncthreads();
}

static __global__ void divergent_shuffle_kernel(float *out)
{
    if (threadIdx.x % 32 < 16)
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

static __global__ void outside_mask_kernel(float *out)
{
    if (threadIdx.x % 32 < 16)
        out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.0f, 16);
}

static __global__ void not_in_mask_kernel(float *out)
{
    out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.0f, 1);
}

static __global__ void vote_outside_mask_kernel(float *out)
{
    out[threadIdx.x] = (float)__ballot_sync(0x0000ffffu, true);
}

static __global__ void misaligned_kernel(float *out)
{
    const float4 four = *(const float4 *)(out + threadIdx.x % 4);
    out[threadIdx.x] = four.x;
}

static __global__ void aligned_kernel(float *out)
{
    const float4 four = *(const float4 *)(out + threadIdx.x / 4 * 4);
    out[threadIdx.x] = four.x;
}

static void expect_failure(void (*kernel)(float *), const char *part)
{
    float *out = nullptr;
    cudaMalloc(&out, THREADS * sizeof *out);
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        cuda_on_host_order(seed);
        cr_assert(lspo_launch(kernel, 2, THREADS, 0, nullptr, out) == cudaErrorLaunchFailure, "%s: not found", part);
        const char *message = cuda_on_host_failure();
        cr_assert(strstr(message, part) && strstr(message, "test_cuda_on_host.cc:"), "no place or \"%s\" in: %s", part,
                  message);
    }
    cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess); /* and the next one runs */
    cudaFree(out);
}

Test(cuda_on_host, undefined_behaviour_is_named)
{
    expect_failure(different_barriers_kernel, "thread 40 waits at the barrier");
    expect_failure(left_before_barrier_kernel, "thread 7 has left");
    expect_failure(divergent_shuffle_kernel, "waits for its warp");
    expect_failure(outside_mask_kernel, "not in the mask 0000ffff");
    expect_failure(not_in_mask_kernel, "not in its own mask");
    expect_failure(vote_outside_mask_kernel, "not in its own mask");
    expect_failure(misaligned_kernel, "accesses 16 bytes at");
    float *out = nullptr;
    cudaMalloc(&out, THREADS * sizeof *out);
    cr_assert(lspo_launch(aligned_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess, "%s", cuda_on_host_failure());
    cudaFree(out);
}

/* A kernel's code takes memory when it first runs; then it can run whatever is free. */
Test(cuda_on_host, code_takes_memory)
{
    const size_t MIB = (size_t)1 << 20;
    size_t before = 0, with_one = 0, with_two = 0, again = 0, total = 0;
    float *out = nullptr, *rest = nullptr;
    cuda_on_host_device(1, 9, 0, 64 * MIB);
    cudaMalloc(&out, THREADS * sizeof *out);
    cudaMemGetInfo(&before, &total);
    cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess);
    cudaMemGetInfo(&with_one, &total);
    cr_assert(lspo_launch(aligned_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess);
    cudaMemGetInfo(&with_two, &total);
    cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess);
    cudaMemGetInfo(&again, &total);
    cr_assert(with_one < before && with_two < with_one && again == with_two && before - again < 16 * MIB);
    cr_assert(cudaMalloc(&rest, again) == cudaSuccess);
    cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, nullptr, out) == cudaSuccess);
    cr_assert(lspo_launch(early_sum_kernel, 1, THREADS, 0, nullptr, out) == cudaErrorMemoryAllocation);
    cudaFree(rest);
    cudaFree(out);
}

/* 40 and 40 MiB that were given back hold 60 only once they went back to the GPU, which has 100; not before the work on
 * them is done. */
Test(cuda_on_host, pools_keep_pieces_that_are_too_small)
{
    const size_t MIB = (size_t)1 << 20;
    const cudaMemPoolProps properties = {};
    cudaMemPool_t pool = nullptr;
    cudaStream_t stream = nullptr;
    void *one = nullptr, *two = nullptr, *both = nullptr, *half = nullptr;
    uint64_t reserved = 0;
    cuda_on_host_device(1, 9, 0, 100 * MIB);
    cr_assert(cudaMemPoolCreate(&pool, &properties) == cudaSuccess &&
              cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    cr_assert(cudaMallocFromPoolAsync(&one, 40 * MIB, pool, stream) == cudaSuccess);
    cr_assert(cudaMallocFromPoolAsync(&two, 39 * MIB, pool, stream) == cudaSuccess); /* 40 in units of 2 */
    cr_assert(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemHigh, &reserved) == cudaSuccess);
    cr_assert_eq(reserved, 80 * MIB);
    cudaFreeAsync(one, stream);
    cudaFreeAsync(two, stream);
    cr_assert(cudaMallocFromPoolAsync(&both, 60 * MIB, pool, stream) == cudaErrorMemoryAllocation);
    cr_assert(cudaMallocFromPoolAsync(&half, 20 * MIB, pool, stream) == cudaSuccess);
    cudaFreeAsync(half, stream);
    cudaStreamSynchronize(stream);
    cr_assert(cudaMallocFromPoolAsync(&both, 60 * MIB, pool, stream) == cudaErrorMemoryAllocation);
    cr_assert(cudaMemPoolTrimTo(pool, 0) == cudaSuccess);
    cr_assert(cudaMallocFromPoolAsync(&both, 60 * MIB, pool, stream) == cudaSuccess);
    cr_assert(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved) == cudaSuccess);
    cr_assert_eq(reserved, 60 * MIB);
    cudaFreeAsync(both, stream);
    cudaStreamDestroy(stream);
    cudaMemPoolDestroy(pool);
}

static __global__ void beyond_kernel(float *out)
{
    out[threadIdx.x + 1] = 1;
}

Test(cuda_on_host, writing_beyond_an_array_ends_the_program, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL); /* also where a sanitizer would report and exit */
    float *out = nullptr;
    cudaMalloc(&out, THREADS * sizeof *out);
    lspo_launch(beyond_kernel, 1, THREADS, 0, nullptr, out);
}

Test(cuda_on_host, launches_have_the_limits_of_sm_75)
{
    float *out = nullptr;
    cuda_on_host_capability(7, 5);
    cudaMalloc(&out, 1024 * sizeof *out);
    cr_assert(lspo_launch(beyond_kernel, 0, 32, 0, nullptr, out) == cudaErrorInvalidConfiguration);
    cr_assert(lspo_launch(beyond_kernel, dim3(1, 65536), 32, 0, nullptr, out) == cudaErrorInvalidConfiguration);
    cr_assert(lspo_launch(beyond_kernel, 1, 1025, 0, nullptr, out) == cudaErrorInvalidConfiguration);
    cr_assert(lspo_launch(beyond_kernel, 1, 32, 48 * 1024 + 1, nullptr, out) == cudaErrorInvalidConfiguration);
    cr_assert(cudaFuncSetAttribute(beyond_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024) ==
              cudaSuccess);
    cr_assert(lspo_launch(beyond_kernel, 1, 32, 64 * 1024, nullptr, out) == cudaSuccess);
    cr_assert(cudaFuncSetAttribute(beyond_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024 + 1) ==
              cudaErrorInvalidValue);
    cudaFree(out);
}

static __global__ void place_kernel(unsigned *seen)
{
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    seen[block * blockDim.x + threadIdx.x]++;
}

Test(cuda_on_host, every_thread_of_every_block_runs_once)
{
    enum { BLOCKS = 2 * 3 * 4, BLOCK = 33 };
    unsigned *seen = nullptr;
    cudaMalloc(&seen, BLOCKS * BLOCK * sizeof *seen);
    cudaMemset(seen, 0, BLOCKS * BLOCK * sizeof *seen);
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        cuda_on_host_order(seed);
        cr_assert(lspo_launch(place_kernel, dim3(2, 3, 4), BLOCK, 0, nullptr, seen) == cudaSuccess);
        for (unsigned i = 0; i < BLOCKS * BLOCK; i++)
            cr_assert_eq(seen[i], seed + 1);
    }
    cudaFree(seen);
}

static __global__ void ballot_kernel(unsigned *out)
{
    out[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
}

/* Bits 0, 3, ..., 30. */
Test(cuda_on_host, ballots)
{
    unsigned *out = nullptr;
    cudaMalloc(&out, 32 * sizeof *out);
    cr_assert(lspo_launch(ballot_kernel, 1, 32, 0, nullptr, out) == cudaSuccess);
    cr_assert(out[0] == 0x49249249 && out[31] == 0x49249249);
    cudaFree(out);
}

/* ---- streams ---- */

static __global__ void write_kernel(float *out, float value)
{
    out[threadIdx.x] = value;
}

/* One stream writes, another copies what is there; how often in 50 rounds that is not what was written. */
static int rounds_without_the_value(bool waits)
{
    static float pinned[32];
    float *memory = nullptr;
    cudaStream_t writes = nullptr, copies = nullptr;
    cudaEvent_t written = nullptr;
    cr_assert(cudaMalloc(&memory, sizeof pinned) == cudaSuccess && cudaEventCreate(&written) == cudaSuccess &&
              cudaStreamCreateWithFlags(&writes, cudaStreamNonBlocking) == cudaSuccess &&
              cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking) == cudaSuccess &&
              cudaHostRegister(pinned, sizeof pinned, cudaHostRegisterDefault) == cudaSuccess);
    int wrong = 0;
    for (int round = 1; round <= 50; round++) {
        cr_assert(lspo_launch(write_kernel, 1, 32, 0, writes, memory, (float)round) == cudaSuccess);
        cr_assert(cudaEventRecord(written, writes) == cudaSuccess);
        if (waits)
            cr_assert(cudaStreamWaitEvent(copies, written, 0) == cudaSuccess);
        cr_assert(cudaMemcpyAsync(pinned, memory, sizeof pinned, cudaMemcpyDeviceToHost, copies) == cudaSuccess);
        cr_assert(cudaDeviceSynchronize() == cudaSuccess);
        wrong += pinned[31] != (float)round;
    }
    cudaHostUnregister(pinned);
    cudaEventDestroy(written);
    cudaStreamDestroy(writes);
    cudaStreamDestroy(copies);
    cudaFree(memory);
    return wrong;
}

Test(cuda_on_host, only_events_order_streams)
{
    cuda_on_host_delays(11);
    cr_assert_eq(rounds_without_the_value(true), 0);
    cr_assert_gt(rounds_without_the_value(false), 0);
}

/* Kernels of two streams at once, each with threads of its own and in a drawn order. */
Test(cuda_on_host, streams_have_blocks_of_their_own)
{
    enum { STREAMS = 3, LAUNCHES = 20 };
    cudaStream_t streams[STREAMS];
    float *out[STREAMS], first;
    cuda_on_host_order(5);
    cuda_on_host_delays(13);
    for (int i = 0; i < STREAMS; i++)
        cr_assert(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking) == cudaSuccess &&
                  cudaMalloc(&out[i], THREADS * sizeof *out[i]) == cudaSuccess);
    for (int launch = 0; launch < LAUNCHES; launch++)
        for (int i = 0; i < STREAMS; i++)
            cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, streams[i], out[i]) == cudaSuccess);
    for (int i = 0; i < STREAMS; i++) {
        cr_assert(cudaStreamSynchronize(streams[i]) == cudaSuccess);
        cr_assert(cudaMemcpy(&first, out[i], sizeof first, cudaMemcpyDeviceToHost) == cudaSuccess);
        cr_assert_eq(first, 32640);
        cudaFree(out[i]);
        cudaStreamDestroy(streams[i]);
    }
}

/* The launch is good; what comes after it is not, for ever. */
Test(cuda_on_host, errors_of_streams_come_later_and_stay)
{
    float *out = nullptr;
    cudaStream_t stream = nullptr;
    cudaMalloc(&out, THREADS * sizeof *out);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cr_assert(lspo_launch(left_before_barrier_kernel, 1, THREADS, 0, stream, out) == cudaSuccess);
    cr_assert(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    cr_assert(strstr(cuda_on_host_failure(), "thread 7 has left"));
    cr_assert(lspo_launch(sum_kernel, 1, THREADS, 0, stream, out) == cudaErrorLaunchFailure);
    cr_assert(cudaGetLastError() == cudaErrorLaunchFailure && cudaGetLastError() == cudaErrorLaunchFailure);
    cudaStreamDestroy(stream);
}

/* Only what was pinned for it, and as a whole. */
Test(cuda_on_host, kernels_find_mapped_memory)
{
    static char host[2000];
    void *device = nullptr;
    cr_assert(cudaHostRegister(host, 1000, cudaHostRegisterDefault) == cudaSuccess &&
              cudaHostRegister(host + 1000, 1000, cudaHostRegisterMapped) == cudaSuccess);
    cr_assert(cudaHostGetDevicePointer(&device, host, 0) == cudaErrorInvalidValue);
    cr_assert(cudaHostGetDevicePointer(&device, host + 1001, 0) == cudaErrorInvalidValue);
    cr_assert(cudaHostGetDevicePointer(&device, host + 1000, 0) == cudaSuccess && device != nullptr);
    cudaHostUnregister(host);
    cudaHostUnregister(host + 1000);
}

/* As the driver: a copy lies in what was pinned at once, or in what was not pinned. */
Test(cuda_on_host, copies_do_not_cross_what_was_pinned)
{
    static char host[3000];
    char *memory = nullptr;
    cudaMalloc(&memory, sizeof host);
    cr_assert(cudaHostRegister(host, 1000, 0) == cudaSuccess && cudaHostRegister(host + 1000, 1000, 0) == cudaSuccess);
    cr_assert(cudaMemcpy(memory, host, 1000, cudaMemcpyHostToDevice) == cudaSuccess);
    cr_assert(cudaMemcpy(memory, host, 1001, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cr_assert(cudaMemcpy(memory, host + 1999, 2, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cr_assert(cudaMemcpy(memory, host + 2000, 1000, cudaMemcpyHostToDevice) == cudaSuccess);
    cr_assert(cudaMemcpy(memory + 1, host + 2000, sizeof host, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cudaHostUnregister(host);
    cudaHostUnregister(host + 1000);
    cudaFree(memory);
}
