/* embedding_cuda.cu - token and position embedding on the GPU. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

static __global__ void forward_kernel(size_t n, size_t sequence, size_t width, const uint32_t *ids, const float *token,
                                      const float *position, float *x_out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        const size_t row = i / width, j = i % width;
        const float value = token[ids[row] * width + j];
        x_out[i] = position ? value + position[row % sequence * width + j] : value;
    }
}

/* Of rows first .. first + blockDim.x - 1, those below `rows` whose id is `id`: a bit each, a word a warp. */
static __device__ void find_rows(size_t first, size_t rows, const uint32_t *ids, uint32_t id, uint32_t *found)
{
    const size_t row = first + threadIdx.x;
    const uint32_t bits = __ballot_sync(0xffffffffu, row < rows && ids[row] == id);
    __syncthreads(); /* found may still be read from the call before */
    if (threadIdx.x % LSPO_WARP_THREADS == 0)
        found[threadIdx.x / LSPO_WARP_THREADS] = bits;
    __syncthreads();
}

/* One block a row: the first row of an id adds all rows with that id, one after the other, without atomics; the others
 * leave.  Reads every id a second time for each row, from the caches: rows / 256 loads a thread. */
static __global__ void token_kernel(size_t rows, size_t width, const uint32_t *ids, const float *dx, float *gradient)
{
    __shared__ uint32_t found[LSPO_BLOCK_THREADS / LSPO_WARP_THREADS];
    const size_t own = blockIdx.x;
    const uint32_t id = ids[own];
    for (size_t first = 0; first < own; first += LSPO_BLOCK_THREADS) {
        find_rows(first, own, ids, id, found);
        for (unsigned word = 0; word < LSPO_BLOCK_THREADS / LSPO_WARP_THREADS; word++)
            if (found[word])
                return; /* the whole block */
    }
    for (size_t first = own; first < rows; first += LSPO_BLOCK_THREADS) {
        find_rows(first, rows, ids, id, found);
        for (unsigned word = 0; word < LSPO_BLOCK_THREADS / LSPO_WARP_THREADS; word++) {
            for (uint32_t bits = found[word]; bits; bits &= bits - 1) {
                const size_t row = first + word * LSPO_WARP_THREADS + (size_t)__ffs((int)bits) - 1;
                for (size_t j = threadIdx.x; j < width; j += blockDim.x)
                    gradient[id * width + j] += dx[row * width + j];
            }
        }
    }
}

static __global__ void position_kernel(size_t n, size_t batch, const float *dx, float *gradient)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        float sum = gradient[i];
        for (size_t b = 0; b < batch; b++)
            sum += dx[b * n + i];
        gradient[i] = sum;
    }
}

int lspo_embedding_forward_cuda(size_t batch, size_t sequence, size_t width, const uint32_t *ids, const float *token,
                                const float *position, float *x_out, void *stream)
{
    const size_t n = batch * sequence * width;
    return lspo_launch_over(n, forward_kernel, stream, n, sequence, width, ids, token, position, x_out);
}

int lspo_embedding_backward_cuda(size_t batch, size_t sequence, size_t width, const uint32_t *ids, const float *dx,
                                 float *token_gradient, float *position_gradient, void *stream)
{
    const size_t rows = batch * sequence, n = sequence * width;
    const int error = lspo_launch_rows(rows, token_kernel, stream, rows, width, ids, dx, token_gradient);
    if (error != cudaSuccess || !position_gradient)
        return error;
    return lspo_launch_over(n, position_kernel, stream, n, batch, dx, position_gradient);
}
