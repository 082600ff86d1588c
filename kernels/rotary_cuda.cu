/* rotary_cuda.cu - rotary position embedding on the GPU, pair by pair. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

template <typename T>
static __global__ void rotate_kernel(size_t pairs, size_t sequence, size_t heads, size_t half, float sign,
                                     const float *table, T *x)
{
    const bool whole = half % LSPO_GROUP<T> == 0; /* groups end at head ends */
    lspo_each<T>(pairs, whole && lspo_aligned(table, x), [=](size_t i, auto width) {
        const size_t j = i % half, head = i / half, position = head / heads % sequence;
        T *const low = x + head * 2 * half + j, *const high = low + half;
        const auto cosine = lspo_load(width, table + position * 2 * half + j);
        const auto sine = lspo_load(width, table + (position * 2 + 1) * half + j);
        auto a = lspo_load(width, low), b = lspo_load(width, high);
        for (unsigned k = 0; k < width; k++) {
            const float ak = a.at[k], bk = b.at[k];
            a.at[k] = ak * cosine.at[k] - bk * (sign * sine.at[k]);
            b.at[k] = bk * cosine.at[k] + ak * (sign * sine.at[k]);
        }
        lspo_store(low, a);
        lspo_store(high, b);
    });
}

static int rotate(const lspo_cuda_t *on, const lspo_rotary_t *rotary, float sign, void *x)
{
    const size_t sequence = rotary->sequence, heads = rotary->heads, half = rotary->head_width / 2;
    const size_t pairs = rotary->batch * sequence * heads * half;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(pairs, rotate_kernel<T>, on->stream, pairs, sequence, heads, half, sign,
                                   rotary->table, (T *)x);
    });
}

int lspo_rotary_forward_cuda(const lspo_cuda_t *on, const lspo_rotary_t *rotary, void *x)
{
    return rotate(on, rotary, 1.0f, x);
}

int lspo_rotary_backward_cuda(const lspo_cuda_t *on, const lspo_rotary_t *rotary, void *dx)
{
    return rotate(on, rotary, -1.0f, dx);
}
