/* norm_cuda.cu - layer norm (CENTRED) and RMS norm on the GPU, one block per row. */
#include "kernels/column_sum.cuh"
#include "kernels/cuda.h"

/* Groups must end at row ends; otherwise there are none. */
template <typename T, typename... Arrays> static __device__ bool rows_aligned(size_t width, const Arrays *...arrays)
{
    return width % LSPO_GROUP<T> == 0 && lspo_aligned(arrays...);
}

template <bool CENTRED, typename T>
static __global__ void forward_kernel(size_t width, float epsilon, const T *x, const T *gain, const T *bias, T *out,
                                      float *mean_out, float *rstd_out)
{
    const bool aligned = rows_aligned<T>(width, x, gain, bias, out);
    const T *const row = x + blockIdx.x * width;
    T *const to = out + blockIdx.x * width;
    float mean = 0, squares = 0;
    if (CENTRED) {
        float sum = 0;
        lspo_each_of_row<T>(width, aligned, [=, &sum](size_t j, auto count) {
            const auto values = lspo_load(count, row + j);
            for (unsigned k = 0; k < count; k++)
                sum += values.at[k];
        });
        mean = lspo_block_sum(sum) / (float)width;
    }
    lspo_each_of_row<T>(width, aligned, [=, &squares](size_t j, auto count) {
        const auto values = lspo_load(count, row + j);
        for (unsigned k = 0; k < count; k++)
            squares += (values.at[k] - mean) * (values.at[k] - mean);
    });
    const float rstd = 1.0f / sqrtf(lspo_block_sum(squares) / (float)width + epsilon);
    lspo_each_of_row<T>(width, aligned, [=](size_t j, auto count) {
        const auto factor = lspo_load(count, gain + j);
        auto values = lspo_load(count, row + j), added = values;
        if (CENTRED)
            added = lspo_load(count, bias + j);
        for (unsigned k = 0; k < count; k++)
            values.at[k] = (values.at[k] - mean) * rstd * factor.at[k] + (CENTRED ? added.at[k] : 0.0f);
        lspo_store(to + j, values);
    });
    if (threadIdx.x == 0) {
        if (CENTRED)
            mean_out[blockIdx.x] = mean;
        rstd_out[blockIdx.x] = rstd;
    }
}

/* dx may be dout or residual: each thread writes only elements that no other thread reads. */
template <bool CENTRED, typename T>
static __global__ void backward_kernel(size_t width, const T *dout, const T *x, const float *mean, const float *rstd,
                                       const T *gain, const T *residual, T *dx)
{
    const bool aligned = rows_aligned<T>(width, dout, x, gain, residual, dx);
    const size_t at = blockIdx.x * width;
    const float centre = CENTRED ? mean[blockIdx.x] : 0.0f, scale = rstd[blockIdx.x];
    float own_sum = 0, own_dot = 0;
    lspo_each_of_row<T>(width, aligned, [=, &own_sum, &own_dot](size_t j, auto count) {
        const auto factor = lspo_load(count, gain + j), d = lspo_load(count, dout + at + j);
        const auto values = lspo_load(count, x + at + j);
        for (unsigned k = 0; k < count; k++) {
            const float g = factor.at[k] * d.at[k];
            own_sum += g;
            own_dot += g * (values.at[k] - centre) * scale;
        }
    });
    const float sum = CENTRED ? lspo_block_sum(own_sum) / (float)width : 0.0f;
    const float dot = lspo_block_sum(own_dot) / (float)width;
    lspo_each_of_row<T>(width, aligned, [=](size_t j, auto count) {
        const auto factor = lspo_load(count, gain + j), d = lspo_load(count, dout + at + j);
        auto values = lspo_load(count, x + at + j);
        for (unsigned k = 0; k < count; k++)
            values.at[k] = scale * (factor.at[k] * d.at[k] - sum - (values.at[k] - centre) * scale * dot);
        if (residual) {
            const auto added = lspo_load(count, residual + at + j);
            for (unsigned k = 0; k < count; k++)
                values.at[k] += added.at[k];
        }
        lspo_store(dx + at + j, values);
    });
}

/* Of the gain and, if CENTRED, of the bias. */
template <bool CENTRED, typename T> using parameter_sums_t = lspo_column_sums_t<CENTRED ? 2 : 1, T>;

template <unsigned N, bool CENTRED, typename T>
static __global__ void __launch_bounds__(LSPO_COLUMN_THREADS)
    parameters_kernel(parameter_sums_t<CENTRED, T> to, const T *dout, const T *x, const float *mean, const float *rstd)
{
    lspo_sum_columns<N>(to, [=, width = to.cols](size_t i, size_t j, auto &sums) {
        const auto d = lspo_load(lspo_width_t<N>(), dout + i * width + j);
        const auto values = lspo_load(lspo_width_t<N>(), x + i * width + j);
        const float centre = CENTRED ? mean[i] : 0.0f, scale = rstd[i];
        for (unsigned c = 0; c < N; c++) {
            sums[0][c] += d.at[c] * ((values.at[c] - centre) * scale);
            if constexpr (CENTRED)
                sums[1][c] += d.at[c];
        }
    });
}

template <bool CENTRED, typename T>
static int parameter_gradients(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *from,
                               const lspo_norm_gradients_t *gradients)
{
    const T *const dout = (const T *)from->dout, *const x = (const T *)from->x;
    parameter_sums_t<CENTRED, T> to = {norm->rows, norm->width, gradients->accumulate, {(T *)gradients->dgain}};
    if constexpr (CENTRED)
        to.sinks[1] = (T *)gradients->dbias;
    return lspo_in_pairs(norm->width, dout, x)
               ? lspo_launch_columns<2>(on, to, parameters_kernel<2, CENTRED, T>, dout, x, from->mean, from->rstd)
               : lspo_launch_columns<1>(on, to, parameters_kernel<1, CENTRED, T>, dout, x, from->mean, from->rstd);
}

template <bool CENTRED>
static int forward(const lspo_cuda_t *on, const lspo_norm_t *norm, const void *x, void *out, float *mean_out,
                   float *rstd_out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_rows<T>(norm->rows, norm->width, forward_kernel<CENTRED, T>, on->stream, norm->width,
                                   norm->epsilon, (const T *)x, (const T *)norm->gain, (const T *)norm->bias, (T *)out,
                                   mean_out, rstd_out);
    });
}

/* Gradients of the parameters first, before dout is overwritten. */
template <bool CENTRED>
static int backward(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *from,
                    const lspo_norm_gradients_t *to)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const int error = to->dgain ? parameter_gradients<CENTRED, T>(on, norm, from, to) : (int)cudaSuccess;
        if (error != cudaSuccess)
            return error;
        return lspo_launch_rows<T>(norm->rows, norm->width, backward_kernel<CENTRED, T>, on->stream, norm->width,
                                   (const T *)from->dout, (const T *)from->x, from->mean, from->rstd,
                                   (const T *)norm->gain, (const T *)from->residual, (T *)to->dx);
    });
}

int lspo_norm_forward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const void *x, void *out, float *mean_out,
                           float *rstd_out)
{
    return forward<true>(on, norm, x, out, mean_out, rstd_out);
}

int lspo_norm_backward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                            const lspo_norm_gradients_t *gradients)
{
    const int error = backward<true>(on, norm, operands, gradients);
    if (error != cudaSuccess || !gradients->dx_sum)
        return error;
    return lspo_column_sum_cuda(on, norm->rows, norm->width, gradients->dx, gradients->accumulate, gradients->dx_sum);
}

int lspo_rms_norm_forward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const void *x, void *out,
                               float *rstd_out)
{
    return forward<false>(on, norm, x, out, nullptr, rstd_out);
}

int lspo_rms_norm_backward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                const lspo_norm_gradients_t *gradients)
{
    return backward<false>(on, norm, operands, gradients);
}
