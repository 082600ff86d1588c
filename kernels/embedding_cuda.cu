/* embedding_cuda.cu - token and position embedding on the GPU. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* Groups must end at row ends; otherwise there are none. */
template <typename T>
static __global__ void forward_kernel(size_t n, size_t sequence, size_t width, const uint32_t *ids, const T *token,
                                      const T *position, T *x_out)
{
    const bool aligned = width % LSPO_GROUP<T> == 0 && lspo_aligned(token, position, x_out);
    lspo_each<T>(n, aligned, [=](size_t i, auto count) {
        const size_t row = i / width, j = i % width;
        auto values = lspo_load(count, token + ids[row] * width + j);
        if (position) {
            const auto added = lspo_load(count, position + row % sequence * width + j);
            for (unsigned k = 0; k < count; k++)
                values.at[k] += added.at[k];
        }
        lspo_store(x_out + i, values);
    });
}

/* For rows first .. first + blockDim.x - 1 below `rows` whether their id is `id`: one bit each, one word per warp. */
static __device__ void find_rows(size_t first, size_t rows, const uint32_t *ids, uint32_t id, uint32_t *found)
{
    const size_t row = first + threadIdx.x;
    const uint32_t bits = __ballot_sync(0xffffffffu, row < rows && ids[row] == id);
    __syncthreads(); /* `found` may still be in use from the previous call */
    if (threadIdx.x % LSPO_WARP_THREADS == 0)
        found[threadIdx.x / LSPO_WARP_THREADS] = bits;
    __syncthreads();
}

/* The number of columns whose fp32 sums fit a block's shared memory. */
enum { SUM_COLUMNS_MAX = 8192 };

/* Adds one row's part of the block's columns; each thread uses only its own. */
template <typename T> static __device__ void add_row(size_t columns, bool aligned, const T *row, float *sums)
{
    lspo_each_of_row<T>(columns, aligned, [=](size_t j, auto count) {
        const auto added = lspo_load(count, row + j);
        auto values = lspo_load(count, sums + j);
        for (unsigned k = 0; k < count; k++)
            values.at[k] += added.at[k];
        lspo_store(sums + j, values);
    });
}

/* One block per row (and per SUM_COLUMNS_MAX columns).  The block of the first row of an id adds all rows with that id
 * in order, without atomics, and rounds the sum once; the others exit.  Every block reads all ids again from the
 * caches: rows / 256 loads per thread. */
template <typename T>
static __global__ void token_kernel(size_t rows, size_t width, const uint32_t *ids, const T *dx, T *gradient)
{
    __shared__ uint32_t found[LSPO_BLOCK_THREADS / LSPO_WARP_THREADS];
    float *const sums = (float *)lspo_shared;
    const size_t own = blockIdx.x, first_column = (size_t)blockIdx.y * SUM_COLUMNS_MAX;
    const size_t columns = min(width - first_column, (size_t)SUM_COLUMNS_MAX);
    const bool aligned = width % LSPO_GROUP<T> == 0 && lspo_aligned(dx, gradient);
    const uint32_t id = ids[own];
    for (size_t first = 0; first < own; first += LSPO_BLOCK_THREADS) {
        find_rows(first, own, ids, id, found);
        for (unsigned word = 0; word < LSPO_BLOCK_THREADS / LSPO_WARP_THREADS; word++)
            if (found[word])
                return; /* the whole block */
    }
    T *const to = gradient + id * width + first_column;
    lspo_each_of_row<T>(columns, aligned,
                        [=](size_t j, auto count) { lspo_store(sums + j, lspo_load(count, to + j)); });
    for (size_t first = own; first < rows; first += LSPO_BLOCK_THREADS) {
        find_rows(first, rows, ids, id, found);
        for (unsigned word = 0; word < LSPO_BLOCK_THREADS / LSPO_WARP_THREADS; word++) {
            for (uint32_t bits = found[word]; bits; bits &= bits - 1) {
                const size_t row = first + word * LSPO_WARP_THREADS + (size_t)__ffs((int)bits) - 1;
                add_row(columns, aligned, dx + row * width + first_column, sums);
            }
        }
    }
    lspo_each_of_row<T>(columns, aligned,
                        [=](size_t j, auto count) { lspo_store(to + j, lspo_load(count, sums + j)); });
}

template <typename T> static __global__ void position_kernel(size_t n, size_t batch, const T *dx, T *gradient)
{
    lspo_each<T>(n, n % LSPO_GROUP<T> == 0 && lspo_aligned(dx, gradient), [=](size_t i, auto count) {
        auto sums = lspo_load(count, gradient + i);
        for (size_t b = 0; b < batch; b++) {
            const auto added = lspo_load(count, dx + b * n + i);
            for (unsigned k = 0; k < count; k++)
                sums.at[k] += added.at[k];
        }
        lspo_store(gradient + i, sums);
    });
}

template <typename T>
static int token_gradients(size_t rows, size_t width, const uint32_t *ids, const T *dx, T *gradient, void *stream)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    const size_t most = SUM_COLUMNS_MAX, columns = width < most ? width : most;
    const dim3 grid((unsigned)rows, (unsigned)((width + most - 1) / most));
    return lspo_launch(token_kernel<T>, grid, LSPO_BLOCK_THREADS, columns * sizeof(float), stream, rows, width, ids, dx,
                       gradient);
}

int lspo_embedding_forward_cuda(const lspo_cuda_t *on, const lspo_embedding_t *embedding, const void *token,
                                const void *position, void *x_out)
{
    const size_t sequence = embedding->sequence, width = embedding->width, n = embedding->batch * sequence * width;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, forward_kernel<T>, on->stream, n, sequence, width, embedding->ids,
                                   (const T *)token, (const T *)position, (T *)x_out);
    });
}

int lspo_embedding_backward_cuda(const lspo_cuda_t *on, const lspo_embedding_t *embedding, const void *dx,
                                 void *token_gradient, void *position_gradient)
{
    const size_t batch = embedding->batch, rows = batch * embedding->sequence, width = embedding->width;
    const size_t n = embedding->sequence * width;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const int error = token_gradients(rows, width, embedding->ids, (const T *)dx, (T *)token_gradient, on->stream);
        if (error != cudaSuccess || !position_gradient)
            return error;
        return lspo_launch_each<T>(n, position_kernel<T>, on->stream, n, batch, (const T *)dx, (T *)position_gradient);
    });
}
