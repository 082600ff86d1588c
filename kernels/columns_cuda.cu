/* columns_cuda.cu - columns of a matrix on the GPU, one thread per element of the dense side. */
#include "kernels/column_sum.cuh"
#include "kernels/cuda.h"

/* NaN cannot be ordered. */
template <unsigned N, typename T>
static __global__ void __launch_bounds__(LSPO_COLUMN_THREADS)
    importance_kernel(lspo_column_sums_t<1, float> to, const T *g)
{
    lspo_sum_columns<N>(to, [n = to.cols, g](size_t i, size_t j, float(&sums)[1][N]) {
        const auto values = lspo_load(lspo_width_t<N>(), g + i * n + j);
        for (unsigned c = 0; c < N; c++)
            sums[0][c] += isnan(values.at[c]) ? INFINITY : fabsf(values.at[c]);
    });
}

/* A column is selected if fewer than `selected` come before it.  That takes n^2 comparisons, which a GPU does faster
 * than sorting the few thousand columns of a weight. */
static __global__ void choose_kernel(size_t n, size_t selected, const float *sums, float *chosen)
{
    for (size_t j = lspo_grid_first(); j < n; j += lspo_grid_step()) {
        size_t before = 0;
        for (size_t k = 0; k < n; k++)
            before += sums[k] > sums[j] || (sums[k] == sums[j] && k < j);
        chosen[j] = before < selected ? 1.0f : 0.0f;
    }
}

static __global__ void place_kernel(size_t n, size_t selected, const float *chosen, uint32_t *columns)
{
    for (size_t j = lspo_grid_first(); j < n; j += lspo_grid_step()) {
        size_t before = 0;
        for (size_t k = 0; k < j; k++)
            before += chosen[k] == chosen[j];
        columns[chosen[j] != 0.0f ? before : selected + before] = (uint32_t)j;
    }
}

template <typename T>
static __global__ void gather_kernel(size_t elements, size_t n, size_t count, const uint32_t *columns, const T *x,
                                     T *out)
{
    for (size_t i = lspo_grid_first(); i < elements; i += lspo_grid_step())
        out[i] = x[i / count * n + columns[i % count]];
}

template <typename T>
static __global__ void scatter_kernel(size_t elements, size_t n, size_t count, const uint32_t *columns, const T *in,
                                      T *x)
{
    for (size_t i = lspo_grid_first(); i < elements; i += lspo_grid_step())
        x[i / count * n + columns[i % count]] = in[i];
}

int lspo_columns_split_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const void *g, float *scratch,
                            uint32_t *columns_out)
{
    const size_t n = shape->n, selected = shape->count;
    float *sums = scratch, *chosen = scratch + n;
    int error = lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const lspo_column_sums_t<1, float> to = {shape->m, n, false, {sums}};
        return lspo_in_pairs(n, (const T *)g) ? lspo_launch_columns<2>(on, to, importance_kernel<2, T>, (const T *)g)
                                              : lspo_launch_columns<1>(on, to, importance_kernel<1, T>, (const T *)g);
    });
    if (error == cudaSuccess)
        error = lspo_launch_over(n, choose_kernel, on->stream, n, selected, sums, chosen);
    if (error == cudaSuccess)
        error = lspo_launch_over(n, place_kernel, on->stream, n, selected, chosen, columns_out);
    return error;
}

int lspo_columns_gather_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const uint32_t *columns, const void *x,
                             void *out)
{
    const size_t elements = shape->m * shape->count;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_over(elements, gather_kernel<T>, on->stream, elements, shape->n, shape->count, columns,
                                (const T *)x, (T *)out);
    });
}

int lspo_columns_scatter_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const uint32_t *columns,
                              const void *in, void *x)
{
    const size_t elements = shape->m * shape->count;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_over(elements, scatter_kernel<T>, on->stream, elements, shape->n, shape->count, columns,
                                (const T *)in, (T *)x);
    });
}
