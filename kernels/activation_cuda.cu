/* activation_cuda.cu - activations on the GPU, one thread an element: bound by memory bandwidth. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

/* 2 u = x (GELU_LINEAR + GELU_CUBIC x^2) */
static constexpr float GELU_LINEAR = 1.5957691216f, GELU_CUBIC = 0.0713548163f;

static __device__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static __device__ float gelu(float x)
{
    return x * sigmoid(x * (GELU_LINEAR + GELU_CUBIC * x * x));
}

static __device__ float gelu_slope(float x)
{
    const float s = sigmoid(x * (GELU_LINEAR + GELU_CUBIC * x * x));
    return s + x * s * (1.0f - s) * (GELU_LINEAR + 3.0f * GELU_CUBIC * x * x);
}

/* Phi(x); by erfc, which keeps the left tail's digits. */
static __device__ float normal_distribution(float x)
{
    return 0.5f * erfcf(x * -0.707106781f);
}

static __device__ float gelu_exact(float x)
{
    return x * normal_distribution(x);
}

static __device__ float gelu_exact_slope(float x)
{
    return normal_distribution(x) + x * 0.398942280f * expf(-0.5f * x * x);
}

static __device__ float tanh_value(float x)
{
    return tanhf(x);
}

static __device__ float tanh_slope_at(float out)
{
    return 1.0f - out * out;
}

template <float (*value)(float)> static __global__ void forward_kernel(size_t n, const float *x, float *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = value(x[i]);
}

template <float (*slope)(float)> static __global__ void backward_kernel(size_t n, const float *x, float *d)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        d[i] *= slope(x[i]);
}

template <float (*slope)(float)>
static int backward(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient,
                    void *stream)
{
    const size_t n = rows * cols;
    const int error = lspo_launch_over(n, backward_kernel<slope>, stream, n, x, d);
    if (error != cudaSuccess || !bias_gradient)
        return error;
    return lspo_column_sum_cuda(rows, cols, d, accumulate, bias_gradient, stream);
}

static __global__ void swiglu_forward_kernel(size_t n, const float *gate, const float *up, float *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

static __global__ void swiglu_backward_kernel(size_t n, const float *gate, const float *up, float *d, float *d_gate)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        const float s = sigmoid(gate[i]), of_product = d[i];
        d_gate[i] = of_product * up[i] * (s + gate[i] * s * (1.0f - s));
        d[i] = of_product * gate[i] * s;
    }
}

int lspo_gelu_forward_cuda(size_t n, const float *x, float *out, void *stream)
{
    return lspo_launch_over(n, forward_kernel<gelu>, stream, n, x, out);
}

int lspo_gelu_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient,
                            void *stream)
{
    return backward<gelu_slope>(rows, cols, x, accumulate, d, bias_gradient, stream);
}

int lspo_gelu_exact_forward_cuda(size_t n, const float *x, float *out, void *stream)
{
    return lspo_launch_over(n, forward_kernel<gelu_exact>, stream, n, x, out);
}

int lspo_gelu_exact_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d,
                                  float *bias_gradient, void *stream)
{
    return backward<gelu_exact_slope>(rows, cols, x, accumulate, d, bias_gradient, stream);
}

int lspo_swiglu_forward_cuda(size_t n, const float *gate, const float *up, float *out, void *stream)
{
    return lspo_launch_over(n, swiglu_forward_kernel, stream, n, gate, up, out);
}

int lspo_swiglu_backward_cuda(size_t n, const float *gate, const float *up, float *d, float *d_gate, void *stream)
{
    return lspo_launch_over(n, swiglu_backward_kernel, stream, n, gate, up, d, d_gate);
}

int lspo_tanh_forward_cuda(size_t n, float *x, void *stream)
{
    return lspo_launch_over(n, forward_kernel<tanh_value>, stream, n, x, x);
}

int lspo_tanh_backward_cuda(size_t n, const float *out, float *d, void *stream)
{
    return lspo_launch_over(n, backward_kernel<tanh_slope_at>, stream, n, out, d);
}
