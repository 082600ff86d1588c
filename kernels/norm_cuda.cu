/* norm_cuda.cu - layer norm (CENTRED) and RMS norm on the GPU, one block a row. */
#include "kernels/column_sum.cuh"
#include "kernels/cuda.h"

template <bool CENTRED>
static __global__ void forward_kernel(size_t width, float epsilon, const float *x, const float *gain, const float *bias,
                                      float *out, float *mean_out, float *rstd_out)
{
    const float *row = x + blockIdx.x * width;
    float *to = out + blockIdx.x * width;
    float mean = 0, squares = 0;
    if (CENTRED) {
        float sum = 0;
        for (size_t j = threadIdx.x; j < width; j += blockDim.x)
            sum += row[j];
        mean = lspo_block_sum(sum) / (float)width;
    }
    for (size_t j = threadIdx.x; j < width; j += blockDim.x)
        squares += (row[j] - mean) * (row[j] - mean);
    const float rstd = 1.0f / sqrtf(lspo_block_sum(squares) / (float)width + epsilon);
    for (size_t j = threadIdx.x; j < width; j += blockDim.x)
        to[j] = (row[j] - mean) * rstd * gain[j] + (CENTRED ? bias[j] : 0.0f);
    if (threadIdx.x == 0) {
        if (CENTRED)
            mean_out[blockIdx.x] = mean;
        rstd_out[blockIdx.x] = rstd;
    }
}

/* dx may be dout or residual: a thread writes only what it alone still reads. */
template <bool CENTRED>
static __global__ void backward_kernel(size_t width, const float *dout, const float *x, const float *mean,
                                       const float *rstd, const float *gain, const float *residual, float *dx)
{
    const size_t at = blockIdx.x * width;
    const float centre = CENTRED ? mean[blockIdx.x] : 0.0f, scale = rstd[blockIdx.x];
    float sum = 0, dot = 0;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x) {
        const float g = gain[j] * dout[at + j];
        sum += g;
        dot += g * (x[at + j] - centre) * scale;
    }
    sum = CENTRED ? lspo_block_sum(sum) / (float)width : 0.0f;
    dot = lspo_block_sum(dot) / (float)width;
    for (size_t j = threadIdx.x; j < width; j += blockDim.x) {
        const float inner = scale * (gain[j] * dout[at + j] - sum - (x[at + j] - centre) * scale * dot);
        dx[at + j] = residual ? residual[at + j] + inner : inner;
    }
}

template <bool CENTRED>
static __global__ void parameters_kernel(size_t rows, size_t width, const float *dout, const float *x,
                                         const float *mean, const float *rstd, bool accumulate, float *dgain,
                                         float *dbias)
{
    lspo_sum_columns(rows, width, accumulate, dgain, [=](size_t i, size_t j) {
        return dout[i * width + j] * ((x[i * width + j] - (CENTRED ? mean[i] : 0.0f)) * rstd[i]);
    });
    if (CENTRED)
        lspo_sum_columns(rows, width, accumulate, dbias, [=](size_t i, size_t j) { return dout[i * width + j]; });
}

/* The parameters first, while dout is whole. */
template <bool CENTRED>
static int backward(size_t rows, size_t width, const float *dout, const float *x, const float *mean, const float *rstd,
                    const float *gain, const float *residual, bool accumulate, float *dx, float *dgain, float *dbias,
                    void *stream)
{
    const int error = dgain ? lspo_launch_columns(width, parameters_kernel<CENTRED>, stream, rows, width, dout, x, mean,
                                                  rstd, accumulate, dgain, dbias)
                            : (int)cudaSuccess;
    if (error != cudaSuccess)
        return error;
    return lspo_launch_rows(rows, backward_kernel<CENTRED>, stream, width, dout, x, mean, rstd, gain, residual, dx);
}

int lspo_norm_forward_epsilon_cuda(size_t rows, size_t width, float epsilon, const float *x, const float *gain,
                                   const float *bias, float *out, float *mean_out, float *rstd_out, void *stream)
{
    return lspo_launch_rows(rows, forward_kernel<true>, stream, width, epsilon, x, gain, bias, out, mean_out, rstd_out);
}

int lspo_norm_forward_cuda(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                           float *mean_out, float *rstd_out, void *stream)
{
    return lspo_norm_forward_epsilon_cuda(rows, width, 1e-5f, x, gain, bias, out, mean_out, rstd_out, stream);
}

int lspo_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                            const float *rstd, const float *gain, const float *residual, bool accumulate, float *dx,
                            float *dgain, float *dbias, float *dx_sum, void *stream)
{
    const int error =
        backward<true>(rows, width, dout, x, mean, rstd, gain, residual, accumulate, dx, dgain, dbias, stream);
    if (error != cudaSuccess || !dx_sum)
        return error;
    return lspo_column_sum_cuda(rows, width, dx, accumulate, dx_sum, stream);
}

int lspo_rms_norm_forward_cuda(size_t rows, size_t width, float epsilon, const float *x, const float *gain, float *out,
                               float *rstd_out, void *stream)
{
    return lspo_launch_rows(rows, forward_kernel<false>, stream, width, epsilon, x, gain, nullptr, out, nullptr,
                            rstd_out);
}

int lspo_rms_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *rstd,
                                const float *gain, const float *residual, bool accumulate, float *dx, float *dgain,
                                void *stream)
{
    return backward<false>(rows, width, dout, x, nullptr, rstd, gain, residual, accumulate, dx, dgain, nullptr, stream);
}
