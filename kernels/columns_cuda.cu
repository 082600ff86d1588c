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

/* ---- a few thousand columns ---- */

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

/* ---- many: the least sum that is selected, 4 bits at a time; each thread has a tile of columns ---- */

enum { FEW = 4096, TILE = 1024, DIGIT_BITS = 4, DIGITS = 1 << DIGIT_BITS };

/* Sums are not negative, so they have the order of their bits.  Of the least one that is selected `known` are the bits
 * of `mask`, and `left` of those with these bits are selected.  Behind it are the counts of tiles. */
typedef struct {
    uint32_t known, mask, left;
    uint32_t counts[1];
} search_t;
static_assert(sizeof(search_t) / 4 + (FEW / TILE + 1) * DIGITS <= FEW, "it has the place of n floats");

static __global__ void begin_kernel(uint32_t selected, search_t *search)
{
    if (lspo_grid_first() == 0)
        search->known = search->mask = 0, search->left = selected;
}

static __global__ void count_kernel(size_t n, const float *sums, unsigned shift, search_t *search)
{
    for (size_t tile = lspo_grid_first(); tile * TILE < n; tile += lspo_grid_step()) {
        uint32_t counts[DIGITS] = {0};
        for (size_t j = tile * TILE; j < n && j < (tile + 1) * TILE; j++) {
            const uint32_t bits = __float_as_uint(sums[j]), digit = bits >> shift & (DIGITS - 1);
            for (uint32_t d = 0; d < DIGITS; d++)
                counts[d] += d == digit && (bits & search->mask) == search->known;
        }
        for (uint32_t d = 0; d < DIGITS; d++)
            search->counts[tile * DIGITS + d] = counts[d];
    }
}

/* One thread per digit. */
static __global__ void next_digit_kernel(size_t tiles, unsigned shift, search_t *search)
{
    __shared__ uint32_t totals[DIGITS];
    uint32_t total = 0;
    for (size_t tile = 0; tile < tiles; tile++)
        total += search->counts[tile * DIGITS + threadIdx.x];
    totals[threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    uint32_t digit = DIGITS - 1;
    for (; digit > 0 && totals[digit] < search->left; digit--)
        search->left -= totals[digit];
    search->known |= digit << shift;
    search->mask |= (uint32_t)(DIGITS - 1) << shift;
}

/* Of each tile, the columns above the least one and those equal to it. */
static __global__ void compare_kernel(size_t n, const float *sums, search_t *search)
{
    for (size_t tile = lspo_grid_first(); tile * TILE < n; tile += lspo_grid_step()) {
        uint32_t above = 0, equal = 0;
        for (size_t j = tile * TILE; j < n && j < (tile + 1) * TILE; j++) {
            above += __float_as_uint(sums[j]) > search->known;
            equal += __float_as_uint(sums[j]) == search->known;
        }
        search->counts[2 * tile] = above;
        search->counts[2 * tile + 1] = equal;
    }
}

/* Those before each tile. */
static __global__ void sum_tiles_kernel(size_t tiles, search_t *search)
{
    uint32_t above = 0, equal = 0;
    if (lspo_grid_first() > 0)
        return;
    for (size_t tile = 0; tile < tiles; tile++) {
        const uint32_t more_above = search->counts[2 * tile], more_equal = search->counts[2 * tile + 1];
        search->counts[2 * tile] = above;
        search->counts[2 * tile + 1] = equal;
        above += more_above;
        equal += more_equal;
    }
}

static __global__ void place_tiles_kernel(size_t n, size_t selected, const float *sums, const search_t *search,
                                          uint32_t *columns)
{
    for (size_t tile = lspo_grid_first(); tile * TILE < n; tile += lspo_grid_step()) {
        uint32_t equal = search->counts[2 * tile + 1];
        size_t at = search->counts[2 * tile] + (equal < search->left ? equal : search->left);
        size_t rest = selected + tile * TILE - at;
        for (size_t j = tile * TILE; j < n && j < (tile + 1) * TILE; j++) {
            const uint32_t bits = __float_as_uint(sums[j]);
            const bool chosen = bits > search->known || (bits == search->known && equal < search->left);
            equal += bits == search->known;
            columns[chosen ? at++ : rest++] = (uint32_t)j;
        }
    }
}

static int split_many(const lspo_cuda_t *on, size_t n, size_t selected, const float *sums, search_t *search,
                      uint32_t *columns)
{
    const size_t tiles = (n + TILE - 1) / TILE;
    int error = lspo_launch_over(1, begin_kernel, on->stream, (uint32_t)selected, search);
    for (unsigned shift = 32; error == cudaSuccess && shift > 0;) {
        shift -= DIGIT_BITS;
        error = lspo_launch_over(tiles, count_kernel, on->stream, n, sums, shift, search);
        if (error == cudaSuccess)
            error = lspo_launch(next_digit_kernel, 1, DIGITS, 0, on->stream, tiles, shift, search);
    }
    if (error == cudaSuccess)
        error = lspo_launch_over(tiles, compare_kernel, on->stream, n, sums, search);
    if (error == cudaSuccess)
        error = lspo_launch_over(1, sum_tiles_kernel, on->stream, tiles, search);
    if (error == cudaSuccess)
        error = lspo_launch_over(tiles, place_tiles_kernel, on->stream, n, selected, sums, (const search_t *)search,
                                 columns);
    return error;
}

/* ---- copies ---- */

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
    if (error == cudaSuccess && n > FEW)
        return split_many(on, n, selected, sums, (search_t *)chosen, columns_out);
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
