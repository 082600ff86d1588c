/* columns_cuda.cu - columns of a matrix on the GPU, one thread an element of the dense side. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

static __global__ void gather_kernel(size_t elements, size_t n, size_t count, const uint32_t *columns, const float *x,
                                     float *out)
{
    for (size_t i = lspo_grid_first(); i < elements; i += lspo_grid_step())
        out[i] = x[i / count * n + columns[i % count]];
}

static __global__ void scatter_kernel(size_t elements, size_t n, size_t count, const uint32_t *columns, const float *in,
                                      float *x)
{
    for (size_t i = lspo_grid_first(); i < elements; i += lspo_grid_step())
        x[i / count * n + columns[i % count]] = in[i];
}

int lspo_columns_gather_cuda(size_t m, size_t n, size_t count, const uint32_t *columns, const float *x, float *out,
                             void *stream)
{
    return lspo_launch_over(m * count, gather_kernel, stream, m * count, n, count, columns, x, out);
}

int lspo_columns_scatter_cuda(size_t m, size_t n, size_t count, const uint32_t *columns, const float *in, float *x,
                              void *stream)
{
    return lspo_launch_over(m * count, scatter_kernel, stream, m * count, n, count, columns, in, x);
}
