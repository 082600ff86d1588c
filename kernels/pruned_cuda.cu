/* pruned_cuda.cu - expand a bitmap on the GPU: each block counts the bits of its words, one block scans the counts, and
 * each block expands its words from there. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

enum { WORDS = LSPO_BITMAP_BLOCK / 64 };
static_assert((int)WORDS == (int)LSPO_BLOCK_THREADS, "a thread per word");

static size_t blocks_of(const lspo_bitmap_t *from)
{
    return lspo_bitmap_scratch(from->count);
}

__device__ static uint64_t word_of(const lspo_bitmap_t &from, size_t block)
{
    const size_t word = block * WORDS + threadIdx.x;
    return word < (from.count + 63) / 64 ? from.bits[word] : 0;
}

/* The sum of the values of the threads before this one; *sum_out: of all. */
__device__ static uint32_t scan_block(uint32_t value, uint32_t *sum_out)
{
    __shared__ uint32_t sums[2][WORDS];
    unsigned now = 0;
    __syncthreads(); /* `sums` may still be in use from the previous scan */
    sums[0][threadIdx.x] = value;
    for (unsigned step = 1; step < WORDS; step *= 2) {
        __syncthreads();
        const uint32_t before = threadIdx.x >= step ? sums[now][threadIdx.x - step] : 0;
        sums[1 - now][threadIdx.x] = sums[now][threadIdx.x] + before;
        now = 1 - now;
    }
    __syncthreads();
    *sum_out = sums[now][WORDS - 1];
    return sums[now][threadIdx.x] - value;
}

static __global__ void count_kernel(lspo_bitmap_t from, size_t blocks, uint32_t *counts)
{
    for (size_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        const uint32_t count = lspo_block_sum((uint32_t)__popcll(word_of(from, block)));
        if (threadIdx.x == 0)
            counts[block] = count;
    }
}

/* In place: the number of bits before each block. */
static __global__ void scan_kernel(size_t blocks, uint32_t *counts)
{
    uint32_t before = 0;
    for (size_t first = 0; first < blocks; first += WORDS) {
        const size_t block = first + threadIdx.x;
        uint32_t sum;
        const uint32_t start = scan_block(block < blocks ? counts[block] : 0, &sum);
        if (block < blocks)
            counts[block] = before + start;
        before += sum;
    }
}

/* T: an unsigned integer as wide as a number. */
template <typename T>
static __global__ void expand_kernel(lspo_bitmap_t from, size_t blocks, const uint32_t *starts, T *out)
{
    __shared__ uint64_t words[WORDS];
    __shared__ uint32_t places[WORDS];
    const T *values = (const T *)from.values;
    for (size_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        const uint64_t own = word_of(from, block);
        uint32_t sum;
        const uint32_t place = scan_block((uint32_t)__popcll(own), &sum);
        __syncthreads();
        words[threadIdx.x] = own;
        places[threadIdx.x] = starts[block] + place;
        __syncthreads();
        for (size_t i = threadIdx.x; i < LSPO_BITMAP_BLOCK; i += WORDS) {
            const size_t at = block * LSPO_BITMAP_BLOCK + i;
            const uint64_t word = words[i / 64], bit = (uint64_t)1 << i % 64;
            if (at < from.count)
                out[at] = word & bit ? values[places[i / 64] + (uint32_t)__popcll(word & (bit - 1))] : (T)0;
        }
    }
}

int lspo_bitmap_expand_cuda(const lspo_cuda_t *on, const lspo_bitmap_t *from, uint32_t *scratch, void *out)
{
    const size_t blocks = blocks_of(from), most = LSPO_GRID_BLOCKS_MAX;
    const dim3 grid((unsigned)(blocks < most ? blocks : most));
    if (blocks == 0)
        return (int)cudaSuccess;
    int error = lspo_launch(count_kernel, grid, WORDS, 0, on->stream, *from, blocks, scratch);
    if (error == cudaSuccess)
        error = lspo_launch(scan_kernel, dim3(1), WORDS, 0, on->stream, blocks, scratch);
    if (error != cudaSuccess)
        return error;
    if (lspo_number_bytes(from->number) == sizeof(uint16_t))
        return lspo_launch(expand_kernel<uint16_t>, grid, WORDS, 0, on->stream, *from, blocks,
                           (const uint32_t *)scratch, (uint16_t *)out);
    return lspo_launch(expand_kernel<uint32_t>, grid, WORDS, 0, on->stream, *from, blocks, (const uint32_t *)scratch,
                       (uint32_t *)out);
}
