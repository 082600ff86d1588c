/* mma_on_host.h - the warp's products and copies of kernels/mma.cuh on the CPU; see cuda_runtime.h.
 *
 * A copy under way leaves NaN where it goes until its thread finishes it, so that a missing wait is seen. */
#ifndef LSPO_TESTS_MMA_ON_HOST_H
#define LSPO_TESTS_MMA_ON_HOST_H

#include <stdlib.h>

#include "cuda_runtime.h"

/* What each lane of this warp has to show: `mine` of all lanes, until they let go of it. */
struct cuda_on_host_warp_t {
    const void *table[32];

    const void **gather(const void *mine)
    {
        const void **const shared =
            (const void **)cuda_on_host_exchange(0xffffffffu, (uint64_t)table, 0, __FILE__, __LINE__);
        shared[cuda_on_host_lane()] = mine;
        __syncwarp();
        return shared;
    }

    void release()
    {
        __syncwarp();
    }
};

template <typename T> float cuda_on_host_half(uint32_t word, unsigned which)
{
    T number;
    const uint16_t bits = (uint16_t)(word >> 16 * which);
    memcpy(&number, &bits, sizeof bits);
    return lspo_to_float(number);
}

/* Numbers of the words that one lane holds. */
struct cuda_on_host_share_t {
    float a[4][2], b[2][2];
};

template <typename T> void lspo_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    cuda_on_host_share_t mine;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned word = 0; word < 4; word++)
            mine.a[word][i] = cuda_on_host_half<T>(a[word], i);
        mine.b[0][i] = cuda_on_host_half<T>(b0, i);
        mine.b[1][i] = cuda_on_host_half<T>(b1, i);
    }
    cuda_on_host_warp_t warp;
    const cuda_on_host_share_t *const *const shares = (const cuda_on_host_share_t *const *)warp.gather(&mine);
    const unsigned g = cuda_on_host_lane() / 4, t = cuda_on_host_lane() % 4;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 16; k++) /* rows g and g + 8, columns 2 t and 2 t + 1 */
            c[i] += shares[4 * g + k % 8 / 2]->a[i / 2 + k / 8 * 2][k % 2] *
                    shares[4 * (2 * t + i % 2) + k % 8 / 2]->b[k / 8][k % 2];
    warp.release();
}

inline void lspo_load_tiles(uint32_t (&out)[4], const void *row)
{
    cuda_on_host_warp_t warp;
    const void *const *const rows = warp.gather(row);
    const unsigned g = cuda_on_host_lane() / 4, t = cuda_on_host_lane() % 4;
    for (unsigned i = 0; i < 4; i++)
        memcpy(&out[i], (const char *)rows[8 * i + g] + 4 * t, 4);
    warp.release();
}

inline void lspo_load_tiles_transposed(uint32_t (&out)[4], const void *row)
{
    cuda_on_host_warp_t warp;
    const void *const *const rows = warp.gather(row);
    const unsigned g = cuda_on_host_lane() / 4, t = cuda_on_host_lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        const uint16_t low = ((const uint16_t *)rows[8 * i + 2 * t])[g];
        const uint16_t high = ((const uint16_t *)rows[8 * i + 2 * t + 1])[g];
        out[i] = (uint32_t)high << 16 | low;
    }
    warp.release();
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
        if (count == MOST || (uintptr_t)shared % BYTES != 0 || (uintptr_t)from % BYTES != 0)
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
