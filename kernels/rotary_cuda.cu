/* rotary_cuda.cu - rotary position embedding on the GPU, one thread a pair. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

static __global__ void rotate_kernel(size_t pairs, size_t sequence, size_t heads, size_t half, float sign,
                                     const float *table, float *x)
{
    for (size_t i = lspo_grid_first(); i < pairs; i += lspo_grid_step()) {
        const size_t j = i % half, head = i / half, position = head / heads % sequence;
        const float cosine = table[position * 2 * half + j], sine = sign * table[(position * 2 + 1) * half + j];
        float *low = x + head * 2 * half + j, *high = low + half;
        const float a = *low, b = *high;
        *low = a * cosine - b * sine;
        *high = b * cosine + a * sine;
    }
}

int lspo_rotary_forward_cuda(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *table,
                             float *x, void *stream)
{
    const size_t half = head_width / 2, pairs = batch * sequence * heads * half;
    return lspo_launch_over(pairs, rotate_kernel, stream, pairs, sequence, heads, half, 1.0f, table, x);
}

int lspo_rotary_backward_cuda(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *table,
                              float *dx, void *stream)
{
    const size_t half = head_width / 2, pairs = batch * sequence * heads * half;
    return lspo_launch_over(pairs, rotate_kernel, stream, pairs, sequence, heads, half, -1.0f, table, dx);
}
