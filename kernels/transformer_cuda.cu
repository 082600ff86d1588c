/* transformer_cuda.cu - layer norm, GELU and softmax cross-entropy on the GPU. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"
#include "kernels/loss.h"

/* ---- sums down the columns of a matrix: parameter and bias gradients ----
 *
 * A block owns 32 columns; its warps take every eighth row and are added up in order. */
enum { COLUMN_WARPS = LSPO_BLOCK_THREADS / LSPO_WARP_THREADS };

/* value(i, j) summed over i into sink[j]. */
template <typename Value>
static __device__ void column_sum(size_t rows, size_t cols, bool accumulate, float *sink, Value value)
{
    __shared__ float parts[COLUMN_WARPS][LSPO_WARP_THREADS];
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t column = (size_t)blockIdx.x * LSPO_WARP_THREADS + lane;
    float sum = 0;
    if (column < cols)
        for (size_t row = warp; row < rows; row += COLUMN_WARPS)
            sum += value(row, column);
    __syncthreads(); /* parts may still be read from the sum before */
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || column >= cols)
        return;
    for (int other = 1; other < COLUMN_WARPS; other++)
        sum += parts[other][lane];
    sink[column] = accumulate ? sink[column] + sum : sum;
}

static unsigned column_blocks(size_t cols)
{
    return (unsigned)((cols + LSPO_WARP_THREADS - 1) / LSPO_WARP_THREADS);
}

static __global__ void column_sum_kernel(size_t rows, size_t cols, const float *x, bool accumulate, float *sink)
{
    column_sum(rows, cols, accumulate, sink, [=](size_t i, size_t j) { return x[i * cols + j]; });
}

/* ---- norm.h: one block a row ---- */

static __global__ void norm_forward_kernel(size_t width, const float *x, const float *gain, const float *bias,
                                           float *out, float *mean_out, float *rstd_out)
{
    const float *row = x + blockIdx.x * width;
    float *to = out + blockIdx.x * width;
    float sum = 0;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x)
        sum += row[j];
    const float mean = lspo_block_sum(sum) / (float)width;
    float squares = 0;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x)
        squares += (row[j] - mean) * (row[j] - mean);
    const float rstd = 1.0f / sqrtf(lspo_block_sum(squares) / (float)width + 1e-5f);
    for (size_t j = threadIdx.x; j < width; j += blockDim.x)
        to[j] = (row[j] - mean) * rstd * gain[j] + bias[j];
    if (threadIdx.x == 0) {
        mean_out[blockIdx.x] = mean;
        rstd_out[blockIdx.x] = rstd;
    }
}

/* dx may be dout or residual: a thread writes only what it alone still reads. */
static __global__ void norm_backward_kernel(size_t width, const float *dout, const float *x, const float *mean,
                                            const float *rstd, const float *gain, const float *residual, float *dx)
{
    const size_t at = blockIdx.x * width;
    const float centre = mean[blockIdx.x], scale = rstd[blockIdx.x];
    float sum = 0, dot = 0;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x) {
        const float g = gain[j] * dout[at + j];
        sum += g;
        dot += g * (x[at + j] - centre) * scale;
    }
    sum = lspo_block_sum(sum) / (float)width;
    dot = lspo_block_sum(dot) / (float)width;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x) {
        const float inner = scale * (gain[j] * dout[at + j] - sum - (x[at + j] - centre) * scale * dot);
        dx[at + j] = residual ? residual[at + j] + inner : inner;
    }
}

static __global__ void norm_parameters_kernel(size_t rows, size_t width, const float *dout, const float *x,
                                              const float *mean, const float *rstd, bool accumulate, float *dgain,
                                              float *dbias)
{
    column_sum(rows, width, accumulate, dgain,
               [=](size_t i, size_t j) { return dout[i * width + j] * ((x[i * width + j] - mean[i]) * rstd[i]); });
    column_sum(rows, width, accumulate, dbias, [=](size_t i, size_t j) { return dout[i * width + j]; });
}

int lspo_norm_forward_cuda(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                           float *mean_out, float *rstd_out, void *stream)
{
    if (rows == 0)
        return cudaSuccess;
    norm_forward_kernel<<<(unsigned)rows, LSPO_BLOCK_THREADS, 0, (cudaStream_t)stream>>>(width, x, gain, bias, out,
                                                                                         mean_out, rstd_out);
    return cudaGetLastError();
}

int lspo_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                            const float *rstd, const float *gain, const float *residual, bool accumulate, float *dx,
                            float *dgain, float *dbias, float *dx_sum, void *stream)
{
    cudaStream_t on = (cudaStream_t)stream;
    if (dgain) /* first, while dout is whole */
        norm_parameters_kernel<<<column_blocks(width), LSPO_BLOCK_THREADS, 0, on>>>(rows, width, dout, x, mean, rstd,
                                                                                    accumulate, dgain, dbias);
    if (rows > 0)
        norm_backward_kernel<<<(unsigned)rows, LSPO_BLOCK_THREADS, 0, on>>>(width, dout, x, mean, rstd, gain, residual,
                                                                            dx);
    if (dx_sum)
        column_sum_kernel<<<column_blocks(width), LSPO_BLOCK_THREADS, 0, on>>>(rows, width, dx, accumulate, dx_sum);
    return cudaGetLastError();
}

/* ---- activation.h ---- */

/* 2 u = x (GELU_LINEAR + GELU_CUBIC x^2) */
static constexpr float GELU_LINEAR = 1.5957691216f, GELU_CUBIC = 0.0713548163f;

static __device__ float gelu_gate(float x)
{
    return 1.0f / (1.0f + expf(-x * (GELU_LINEAR + GELU_CUBIC * x * x)));
}

static __device__ float gelu_slope(float x)
{
    const float s = gelu_gate(x);
    return s + x * s * (1.0f - s) * (GELU_LINEAR + 3.0f * GELU_CUBIC * x * x);
}

static __global__ void gelu_forward_kernel(size_t n, const float *x, float *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = x[i] * gelu_gate(x[i]);
}

static __global__ void gelu_backward_kernel(size_t n, const float *x, float *d)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        d[i] *= gelu_slope(x[i]);
}

int lspo_gelu_forward_cuda(size_t n, const float *x, float *out, void *stream)
{
    if (n == 0)
        return cudaSuccess;
    gelu_forward_kernel<<<lspo_grid_blocks(n), LSPO_BLOCK_THREADS, 0, (cudaStream_t)stream>>>(n, x, out);
    return cudaGetLastError();
}

int lspo_gelu_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient,
                            void *stream)
{
    const size_t n = rows * cols;
    cudaStream_t on = (cudaStream_t)stream;
    if (n > 0)
        gelu_backward_kernel<<<lspo_grid_blocks(n), LSPO_BLOCK_THREADS, 0, on>>>(n, x, d);
    if (bias_gradient)
        column_sum_kernel<<<column_blocks(cols), LSPO_BLOCK_THREADS, 0, on>>>(rows, cols, d, accumulate, bias_gradient);
    return cudaGetLastError();
}

/* ---- loss.h: one block a row ---- */

static __global__ void cross_entropy_forward_kernel(size_t vocabulary, const uint32_t *targets, float *logits,
                                                    double *row_losses)
{
    float *row = logits + blockIdx.x * vocabulary;
    if (targets[blockIdx.x] == LSPO_TARGET_IGNORED) { /* the whole block leaves */
        if (threadIdx.x == 0)
            row_losses[blockIdx.x] = 0;
        return;
    }
    float largest = -INFINITY;
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        largest = fmaxf(largest, row[j]);
    largest = lspo_block_reduce(largest, [](float a, float b) { return fmaxf(a, b); });
    const float target = row[targets[blockIdx.x]] - largest;
    float sum = 0;
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        sum += expf(row[j] - largest);
    sum = lspo_block_sum(sum); /* its barrier comes after every thread has read the target's logit */
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        row[j] = expf(row[j] - largest) / sum;
    if (threadIdx.x == 0)
        row_losses[blockIdx.x] = log((double)sum) - (double)target;
}

/* One block. */
static __global__ void sum_kernel(size_t n, const double *values, double *sum_out)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += values[i];
    sum = lspo_block_sum(sum);
    if (threadIdx.x == 0)
        *sum_out = sum;
}

static __global__ void cross_entropy_backward_kernel(size_t n, size_t vocabulary, const uint32_t *targets,
                                                     const float *probabilities, float scale, float *dlogits)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        const size_t row = i / vocabulary, token = i % vocabulary;
        const bool counts = targets[row] != LSPO_TARGET_IGNORED;
        dlogits[i] = counts ? scale * (probabilities[i] - (token == targets[row] ? 1.0f : 0.0f)) : 0.0f;
    }
}

int lspo_cross_entropy_forward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets, float *logits,
                                    double *row_losses, double *loss_sum_out, void *stream)
{
    cudaStream_t on = (cudaStream_t)stream;
    if (rows > 0)
        cross_entropy_forward_kernel<<<(unsigned)rows, LSPO_BLOCK_THREADS, 0, on>>>(vocabulary, targets, logits,
                                                                                    row_losses);
    sum_kernel<<<1, LSPO_BLOCK_THREADS, 0, on>>>(rows, row_losses, loss_sum_out);
    return cudaGetLastError();
}

int lspo_cross_entropy_backward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets,
                                     const float *probabilities, float scale, float *dlogits, void *stream)
{
    const size_t n = rows * vocabulary;
    if (n == 0)
        return cudaSuccess;
    cross_entropy_backward_kernel<<<lspo_grid_blocks(n), LSPO_BLOCK_THREADS, 0, (cudaStream_t)stream>>>(
        n, vocabulary, targets, probabilities, scale, dlogits);
    return cudaGetLastError();
}
