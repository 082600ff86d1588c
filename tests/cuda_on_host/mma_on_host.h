/* mma_on_host.h - the warp's products and copies of kernels/mma.cuh on the CPU; see cuda_runtime.h.
 *
 * A copy under way leaves NaN where it goes until its thread finishes it, so that a missing wait is seen. */
#ifndef LSPO_TESTS_MMA_ON_HOST_H
#define LSPO_TESTS_MMA_ON_HOST_H

#include <stdlib.h>

#include <initializer_list>

#include "cuda_on_host.h"
#include "cuda_runtime.h"

template <typename T> float cuda_on_host_half(uint32_t word, unsigned which)
{
    T number;
    const uint16_t bits = (uint16_t)(word >> 16 * which);
    memcpy(&number, &bits, sizeof bits);
    return lspo_to_float(number);
}

/* What a lane holds of a product. */
struct cuda_on_host_fragment_t {
    float (&c)[4];
    const uint32_t (&a)[4];
    uint32_t b[2];
};

/* Half a row of a product, which the compiler keeps in a vector register. */
typedef float cuda_on_host_four_t __attribute__((vector_size(4 * sizeof(float))));

/* Whether one side is zero and the other finite: then C, which is never -0, stays what it is.  Most products are such,
 * since narrow heads and few rows are padded with zeros. */
template <typename T> bool cuda_on_host_adds_nothing(void *const *of_lanes)
{
    const uint32_t exponent = std::is_same<T, __nv_bfloat16>::value ? 0x7f80 : 0x7c00;
    uint32_t a = 0, b = 0;
    bool finite = true;
    for (unsigned lane = 0; lane < 32; lane++) {
        const cuda_on_host_fragment_t &own = *(const cuda_on_host_fragment_t *)of_lanes[lane];
        a |= own.a[0] | own.a[1] | own.a[2] | own.a[3];
        b |= own.b[0] | own.b[1];
        for (const uint32_t word : {own.a[0], own.a[1], own.a[2], own.a[3], own.b[0], own.b[1]})
            finite = finite && (word & exponent) != exponent && (word >> 16 & exponent) != exponent;
        if (!finite || ((a & 0x7fff7fff) != 0 && (b & 0x7fff7fff) != 0))
            return false;
    }
    return true;
}

/* All of a product of the warp: A, B and C from the words of all lanes, then the sums, which grow in the order of the
 * products, back to the lanes. */
template <typename T> void cuda_on_host_multiply(void *const *of_lanes)
{
    if (cuda_on_host_adds_nothing<T>(of_lanes))
        return;
    float a[16][16];
    cuda_on_host_four_t b[16][2], c[16][2];
    for (unsigned lane = 0; lane < 32; lane++) {
        const cuda_on_host_fragment_t &own = *(const cuda_on_host_fragment_t *)of_lanes[lane];
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 2; i++) {
            for (unsigned word = 0; word < 4; word++)
                a[g + word % 2 * 8][word / 2 * 8 + 2 * t + i] = cuda_on_host_half<T>(own.a[word], i);
            b[2 * t + i][g / 4][g % 4] = cuda_on_host_half<T>(own.b[0], i);
            b[8 + 2 * t + i][g / 4][g % 4] = cuda_on_host_half<T>(own.b[1], i);
            c[g][t / 2][2 * t % 4 + i] = own.c[i];
            c[g + 8][t / 2][2 * t % 4 + i] = own.c[2 + i];
        }
    }
    for (unsigned row = 0; row < 16; row += 2) { /* two at once: a sum waits for the one before */
        cuda_on_host_four_t sums[] = {c[row][0], c[row][1], c[row + 1][0], c[row + 1][1]};
        for (unsigned k = 0; k < 16; k++) {
            sums[0] += a[row][k] * b[k][0];
            sums[1] += a[row][k] * b[k][1];
            sums[2] += a[row + 1][k] * b[k][0];
            sums[3] += a[row + 1][k] * b[k][1];
        }
        memcpy(c[row], sums, sizeof sums);
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        float(&own)[4] = ((const cuda_on_host_fragment_t *)of_lanes[lane])->c;
        for (unsigned i = 0; i < 4; i++)
            own[i] = c[lane / 4 + i / 2 * 8][lane % 4 / 2][2 * lane % 4 + i % 2];
    }
}

template <typename T> void lspo_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    cuda_on_host_fragment_t own = {c, a, {b0, b1}};
    if (std::is_same<T, __nv_bfloat16>::value && !cuda_has_bf16())
        cuda_on_host_trap("multiplies in bf16, which needs compute capability 8.0", __FILE__, __LINE__);
    cuda_on_host_together(&own, cuda_on_host_multiply<T>, __FILE__, __LINE__);
}

template <typename T> uint32_t lspo_add_pairs(uint32_t a, uint32_t b)
{
    return lspo_pair<T>(cuda_on_host_half<T>(a, 0) + cuda_on_host_half<T>(b, 0),
                        cuda_on_host_half<T>(a, 1) + cuda_on_host_half<T>(b, 1));
}

/* What a lane names, and gets, of four tiles. */
struct cuda_on_host_tiles_t {
    uint32_t (&out)[4];
    const void *row;
};

inline void cuda_on_host_load(void *const *of_lanes)
{
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 4; i++) {
            const void *const row = ((const cuda_on_host_tiles_t *)of_lanes[8 * i + lane / 4])->row;
            memcpy(&((cuda_on_host_tiles_t *)of_lanes[lane])->out[i], (const char *)row + 4 * (lane % 4), 4);
        }
}

inline void lspo_load_tiles(uint32_t (&out)[4], const void *row)
{
    cuda_on_host_tiles_t own = {out, row};
    cuda_on_host_need_aligned(row, 16, __FILE__, __LINE__);
    cuda_on_host_together(&own, cuda_on_host_load, __FILE__, __LINE__);
}

inline void cuda_on_host_load_transposed(void *const *of_lanes)
{
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 4; i++) {
            const unsigned g = lane / 4, at = 8 * i + 2 * (lane % 4);
            const uint16_t low = ((const uint16_t *)((const cuda_on_host_tiles_t *)of_lanes[at])->row)[g];
            const uint16_t high = ((const uint16_t *)((const cuda_on_host_tiles_t *)of_lanes[at + 1])->row)[g];
            ((cuda_on_host_tiles_t *)of_lanes[lane])->out[i] = (uint32_t)high << 16 | low;
        }
}

inline void lspo_load_tiles_transposed(uint32_t (&out)[4], const void *row)
{
    cuda_on_host_tiles_t own = {out, row};
    cuda_on_host_need_aligned(row, 16, __FILE__, __LINE__);
    cuda_on_host_together(&own, cuda_on_host_load_transposed, __FILE__, __LINE__);
}

struct lspo_copies_t {
    enum { MOST = 64 };
    struct {
        void *to;
        const void *from;
        size_t bytes;
    } under_way[MOST];
    unsigned count = 0;

    template <unsigned BYTES> void start(void *shared, const void *from)
    {
        cuda_on_host_need_aligned(shared, BYTES, __FILE__, __LINE__);
        cuda_on_host_need_aligned(from, BYTES, __FILE__, __LINE__);
        if (count == MOST)
            abort();
        memset(shared, 0xff, BYTES);
        under_way[count++] = {shared, from, BYTES};
    }

    void finish()
    {
        for (; count > 0; count--)
            memcpy(under_way[count - 1].to, under_way[count - 1].from, under_way[count - 1].bytes);
    }
};

#endif
