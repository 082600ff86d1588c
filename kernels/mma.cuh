/* mma.cuh - products of 16-bit tiles on tensor cores by a warp, and loads of its tiles.
 *
 * A lane has a part of each tile, two numbers per word.  With g = lane / 4, t = 2 (lane % 4):
 *     A (16 x 16)   a[0] row g, columns t, t + 1;   a[1] row g + 8;   a[2], a[3] the same at columns t + 8, t + 9
 *     B (16 x 8)    b0 rows t, t + 1 of column g;   b1 rows t + 8, t + 9
 *     C (16 x 8)    c[0], c[1] row g, columns t, t + 1;   c[2], c[3] row g + 8
 * [PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type"].  So two adjacent C, rounded, form an A.
 *
 * bf16 needs sm_80; older devices refuse the format, and these products trap.  tests/cuda_on_host/mma_on_host.h does
 * the same on the CPU. */
#ifndef LSPO_KERNELS_MMA_CUH
#define LSPO_KERNELS_MMA_CUH

#include <cstdint>
#include <cstring>

#include "kernels/number.cuh"

/* Two numbers of T in a word, the first in the low half. */
template <typename T> static __device__ uint32_t lspo_pair(float first, float second)
{
    lspo_numbers_t<T, 2> numbers;
    uint32_t word;
    lspo_round(first, &numbers.at[0]);
    lspo_round(second, &numbers.at[1]);
    memcpy(&word, &numbers, sizeof word);
    return word;
}

#ifdef CUDA_ON_HOST
#include <mma_on_host.h>
#else

/* ---- c += a b, sums in fp32 ---- */

template <typename T> static __device__ void lspo_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ inline void lspo_mma<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap();
#endif
}

#if __CUDA_ARCH__ < 800
/* Half of the product: 8 columns of A, 8 rows of B. */
static __device__ void lspo_mma_half(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(b));
}
#endif

template <> __device__ inline void lspo_mma<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    lspo_mma_half(c, a[0], a[1], b0);
    lspo_mma_half(c, a[2], a[3], b1);
#endif
}

/* ---- a + b of two numbers in a word, each rounded once ---- */

template <typename T> static __device__ uint32_t lspo_add_pairs(uint32_t a, uint32_t b);

template <> __device__ inline uint32_t lspo_add_pairs<__half>(uint32_t a, uint32_t b)
{
    uint32_t sum;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(0x3c003c00), "r"(b));
    return sum;
}

template <> __device__ inline uint32_t lspo_add_pairs<__nv_bfloat16>(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
#if __CUDA_ARCH__ >= 800
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(0x3f803f80), "r"(b));
#else
    __trap();
#endif
    return sum;
}

/* ---- four tiles of 8 x 8 from shared memory ----
 *
 * Lane 8 i + r names row r of tile i (16 bytes); out[i] <- row g, columns t and t + 1 of tile i, or transposed. */

static __device__ void lspo_load_tiles(uint32_t (&out)[4], const void *row)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
}

static __device__ void lspo_load_tiles_transposed(uint32_t (&out)[4], const void *row)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
}

/* ---- a thread's asynchronous copies from global to shared memory, pending until finish() ---- */

struct lspo_copies_t {
    template <unsigned BYTES> __device__ void start(void *shared, const void *from)
    {
        static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "a copy's size");
#if __CUDA_ARCH__ >= 800
        const uint32_t to = (uint32_t)__cvta_generic_to_shared(shared);
        if (BYTES == 16)
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
        else
            asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(BYTES) : "memory");
#else
        if (BYTES == 16)
            *(uint4 *)shared = *(const uint4 *)from;
        else if (BYTES == 8)
            *(uint2 *)shared = *(const uint2 *)from;
        else
            *(uint32_t *)shared = *(const uint32_t *)from;
#endif
    }

    __device__ void finish()
    {
#if __CUDA_ARCH__ >= 800
        asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    }
};

#endif /* CUDA_ON_HOST */

/* Zeros if nothing is copied. */
template <unsigned BYTES> static __device__ void lspo_clear_shared(void *shared)
{
    for (unsigned i = 0; i < BYTES / 8; i++)
        ((uint64_t *)shared)[i] = 0;
}

#endif
