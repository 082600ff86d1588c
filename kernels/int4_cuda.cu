/* int4_cuda.cu - products with weights of 4 bits on tensor cores, after MARLIN [Frantar et al., arXiv 2408.11743,
 * Sec. 3].
 *
 * A block computes 32 columns of Y for up to 32 rows of X.  Its warps take turns with chunks of W (a group, or 128
 * rows), each of which a warp copies to shared memory asynchronously while it computes with the one before.  A lane's
 * 16 bytes of 32 x 32 weights (lspo_int4_arrange()) are its part of four tiles for two products; only that lane reads
 * them.  A code becomes a 16-bit number by its bits: 1024 + code in fp16, 128 + code in bf16, from which 1024 + 8 or
 * 128 + 8 is taken away, exactly.  Sums over a chunk are in fp32 and then multiplied by the scales; so are sums over
 * chunks, and those of the warps, in order.  Codes are copied without a hint for the L2 cache. */
#include "kernels/cuda.h"
#include "kernels/mma.cuh"

enum { WARPS = 4, STRIP = LSPO_INT4_STRIP, SLICE = LSPO_INT4_ROWS, SLICES = 4 };
enum { SLICE_BYTES = STRIP * SLICE / 2, HEAD_BYTES = STRIP * 2 };

using words_t = lspo_numbers_t<uint32_t, 4>;

struct operands_t {
    size_t rows, m, n, group; /* group: in rows of W, a multiple of SLICE */
    const char *packed;
    const void *x, *bias, *residual;
    void *out;
};

/* A word whose bytes of codes, with these bits, are numbers; and what they are too large by, negative. */
template <typename T> struct bits_t;
template <> struct bits_t<__half> {
    static constexpr uint32_t base = 0x64006400, less = 0xe408e408;
};
template <> struct bits_t<__nv_bfloat16> {
    static constexpr uint32_t base = 0x43004300, less = 0xc308c308;
};

/* Two numbers of X in a word: those outside are 0. */
template <typename T> static __device__ uint32_t load_pair(const operands_t &p, size_t row, size_t k)
{
    const T *x = (const T *)p.x + row * p.m + k;
    if (row >= p.rows || k >= p.m)
        return 0;
    if (p.m % 2 == 0)
        return *(const uint32_t *)x;
    return lspo_pair<T>(lspo_to_float(x[0]), k + 1 < p.m ? lspo_to_float(x[1]) : 0.0f);
}

/* The rows of a warp's chunk, and where it is. */
struct chunk_t {
    size_t row, slices;
    const char *scales, *codes;
};

static __device__ chunk_t chunk_at(const operands_t &p, size_t chunk_rows, size_t chunk)
{
    const size_t group_slices = p.group / SLICE, all = (p.m + SLICE - 1) / SLICE,
                 groups = (p.m + p.group - 1) / p.group;
    const char *strip = p.packed + blockIdx.x * (groups * HEAD_BYTES + all * SLICE_BYTES);
    const size_t first = chunk * chunk_rows / SLICE, group = first / group_slices, left = all - first;
    const size_t most = chunk_rows / SLICE;
    const char *cell = strip + group * (HEAD_BYTES + group_slices * SLICE_BYTES);
    return {first * SLICE, left < most ? left : most, cell, cell + HEAD_BYTES + first % group_slices * SLICE_BYTES};
}

/* A warp's place for a chunk, in which every lane has its words. */
static __device__ void start_copies(lspo_copies_t *copies, const chunk_t &chunk, words_t *place)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    for (unsigned s = 0; s < chunk.slices; s++)
        copies->start<16>(place + s * LSPO_WARP_THREADS + lane, chunk.codes + s * SLICE_BYTES + lane * 16);
}

/* sums += X times 32 rows of W: of each tile of 16 rows and 8 columns. */
template <typename T, unsigned TILES>
static __device__ void add_slice(const operands_t &p, size_t k, words_t words, float (&sums)[TILES][4][4])
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, g = lane / 4, t = 2 * (lane % 4);
    const size_t row = (size_t)blockIdx.y * TILES * 16 + g;
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
        uint32_t b[4][2];
#pragma unroll
        for (unsigned q = 0; q < 4; q++)
#pragma unroll
            for (unsigned i = 0; i < 2; i++)
                b[q][i] = lspo_add_pairs<T>((words.at[q] >> (8 * half + 4 * i) & 0x000f000f) | bits_t<T>::base,
                                            bits_t<T>::less);
#pragma unroll
        for (unsigned tile = 0; tile < TILES; tile++) {
            const size_t at = k + 16 * half + t, first = row + 16 * tile;
            const uint32_t a[4] = {load_pair<T>(p, first, at), load_pair<T>(p, first + 8, at),
                                   load_pair<T>(p, first, at + 8), load_pair<T>(p, first + 8, at + 8)};
#pragma unroll
            for (unsigned q = 0; q < 4; q++)
                lspo_mma<T>(sums[tile][q], a, b[q][0], b[q][1]);
        }
    }
}

/* A warp's sums over its chunks. */
template <typename T, unsigned TILES>
static __device__ void add_chunks(const operands_t &p, words_t *places, float (&sums)[TILES][4][4])
{
    const unsigned warp = threadIdx.x / LSPO_WARP_THREADS, lane = threadIdx.x % LSPO_WARP_THREADS, t = 2 * (lane % 4);
    const size_t chunk_rows = p.group < SLICES * SLICE ? p.group : SLICES * SLICE;
    const size_t chunks = (p.m + chunk_rows - 1) / chunk_rows;
    lspo_copies_t copies;
    if (warp < chunks)
        start_copies(&copies, chunk_at(p, chunk_rows, warp), places);
    unsigned turn = 0;
    for (size_t c = warp; c < chunks; c += WARPS, turn ^= 1) {
        const chunk_t chunk = chunk_at(p, chunk_rows, c);
        const words_t *place = places + turn * SLICES * LSPO_WARP_THREADS;
        float part[TILES][4][4] = {};
        copies.finish();
        if (c + WARPS < chunks)
            start_copies(&copies, chunk_at(p, chunk_rows, c + WARPS), places + (turn ^ 1) * SLICES * LSPO_WARP_THREADS);
        for (unsigned s = 0; s < chunk.slices; s++)
            add_slice<T, TILES>(p, chunk.row + s * SLICE, place[s * LSPO_WARP_THREADS + lane], part);
        const __half *scales = (const __half *)chunk.scales;
#pragma unroll
        for (unsigned q = 0; q < 4; q++)
#pragma unroll
            for (unsigned i = 0; i < 4; i++) {
                const float scale = lspo_to_float(scales[8 * q + t + i % 2]);
#pragma unroll
                for (unsigned tile = 0; tile < TILES; tile++)
                    sums[tile][q][i] += scale * part[tile][q][i];
            }
    }
}

template <typename T, unsigned TILES> static __global__ void product_kernel(operands_t p)
{
    __shared__ words_t places[WARPS][2 * SLICES * LSPO_WARP_THREADS];
    __shared__ float together[TILES * 16][STRIP];
    const unsigned warp = threadIdx.x / LSPO_WARP_THREADS, lane = threadIdx.x % LSPO_WARP_THREADS;
    const unsigned g = lane / 4, t = 2 * (lane % 4);
    float sums[TILES][4][4] = {};
    add_chunks<T, TILES>(p, places[warp], sums);
    for (unsigned w = 0; w < WARPS; w++) {
        for (unsigned k = 0; warp == w && k < TILES * 16; k++) {
            const unsigned tile = k / 16, q = k / 4 % 4, i = k % 4;
            float *to = &together[16 * tile + g + i / 2 * 8][8 * q + t + i % 2];
            *to = (w > 0 ? *to : 0.0f) + sums[tile][q][i];
        }
        __syncthreads();
    }
    for (unsigned k = threadIdx.x; k < TILES * 16 * STRIP; k += blockDim.x) {
        const size_t row = (size_t)blockIdx.y * TILES * 16 + k / STRIP, col = (size_t)blockIdx.x * STRIP + k % STRIP;
        if (row >= p.rows || col >= p.n)
            continue;
        float y = together[k / STRIP][k % STRIP];
        y += p.bias != nullptr ? lspo_to_float(((const T *)p.bias)[col]) : 0.0f;
        y += p.residual != nullptr ? lspo_to_float(((const T *)p.residual)[row * p.n + col]) : 0.0f;
        lspo_round(y, (T *)p.out + row * p.n + col);
    }
}

template <typename T> static int launch(const operands_t &p, void *stream)
{
    const unsigned strips = (unsigned)((p.n + STRIP - 1) / STRIP), threads = WARPS * LSPO_WARP_THREADS;
    if (p.rows <= 16)
        return lspo_launch(product_kernel<T, 1>, dim3(strips), threads, 0, stream, p);
    return lspo_launch(product_kernel<T, 2>, dim3(strips, (unsigned)((p.rows + 31) / 32)), threads, 0, stream, p);
}

int lspo_int4_product_cuda(const lspo_cuda_t *on, const lspo_int4_product_t *p, const void *x, const void *residual,
                           void *out)
{
    const lspo_int4_shape_t *shape = &p->shape;
    const size_t all = (shape->m + SLICE - 1) / SLICE * SLICE;
    const operands_t operands = {
        p->rows, shape->m, shape->n, shape->group > 0 ? shape->group : all, (const char *)p->packed, x,
        p->bias, residual, out};
    if (shape->zeros || p->rows > 16 * 65535)
        return cudaErrorInvalidValue;
    if (p->rows == 0 || shape->m == 0 || shape->n == 0)
        return cudaSuccess;
    switch (on->number) {
    case LSPO_NUMBER_FP16:
        return launch<__half>(operands, on->stream);
    case LSPO_NUMBER_BF16:
        return launch<__nv_bfloat16>(operands, on->stream);
    default:
        return cudaErrorInvalidValue;
    }
}
