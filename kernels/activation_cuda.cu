/* activation_cuda.cu - activations on the GPU, element by element; limited by memory bandwidth. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

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

/* Phi(x) by erfc, which is accurate in the left tail. */
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

template <typename T, float (*value)(float)> static __global__ void forward_kernel(size_t n, const T *x, T *out)
{
    lspo_each<T>(n, lspo_aligned(x, out), [=](size_t i, auto width) {
        auto values = lspo_load(width, x + i);
        for (unsigned k = 0; k < width; k++)
            values.at[k] = value(values.at[k]);
        lspo_store(out + i, values);
    });
}

template <typename T, float (*slope)(float)> static __global__ void backward_kernel(size_t n, const T *x, T *d)
{
    lspo_each<T>(n, lspo_aligned(x, d), [=](size_t i, auto width) {
        const auto from = lspo_load(width, x + i);
        auto gradient = lspo_load(width, d + i);
        for (unsigned k = 0; k < width; k++)
            gradient.at[k] *= slope(from.at[k]);
        lspo_store(d + i, gradient);
    });
}

template <float (*value)(float)> static int forward(const lspo_cuda_t *on, size_t n, const void *x, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, forward_kernel<T, value>, on->stream, n, (const T *)x, (T *)out);
    });
}

template <float (*slope)(float)> static int backward(const lspo_cuda_t *on, size_t n, const void *x, void *d)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, backward_kernel<T, slope>, on->stream, n, (const T *)x, (T *)d);
    });
}

template <typename T> static __global__ void swiglu_forward_kernel(size_t n, const T *gate, const T *up, T *out)
{
    lspo_each<T>(n, lspo_aligned(gate, up, out), [=](size_t i, auto width) {
        const auto g = lspo_load(width, gate + i);
        auto values = lspo_load(width, up + i);
        for (unsigned k = 0; k < width; k++)
            values.at[k] *= g.at[k] * sigmoid(g.at[k]);
        lspo_store(out + i, values);
    });
}

template <typename T>
static __global__ void swiglu_backward_kernel(size_t n, const T *gate, const T *up, T *d, T *d_gate)
{
    lspo_each<T>(n, lspo_aligned(gate, up, d, d_gate), [=](size_t i, auto width) {
        const auto g = lspo_load(width, gate + i), u = lspo_load(width, up + i);
        auto of_up = lspo_load(width, d + i), of_gate = of_up;
        for (unsigned k = 0; k < width; k++) {
            const float s = sigmoid(g.at[k]);
            of_gate.at[k] *= u.at[k] * (s + g.at[k] * s * (1.0f - s));
            of_up.at[k] *= g.at[k] * s;
        }
        lspo_store(d_gate + i, of_gate);
        lspo_store(d + i, of_up);
    });
}

int lspo_gelu_forward_cuda(const lspo_cuda_t *on, lspo_gelu_form_t form, size_t n, const void *x, void *out)
{
    return form == LSPO_GELU_TANH ? forward<gelu>(on, n, x, out) : forward<gelu_exact>(on, n, x, out);
}

int lspo_gelu_backward_cuda(const lspo_cuda_t *on, lspo_gelu_form_t form, size_t rows, size_t cols, const void *x,
                            const lspo_gelu_gradients_t *gradients)
{
    void *const d = gradients->d;
    const int error = form == LSPO_GELU_TANH ? backward<gelu_slope>(on, rows * cols, x, d)
                                             : backward<gelu_exact_slope>(on, rows * cols, x, d);
    if (error != cudaSuccess || !gradients->bias)
        return error;
    return lspo_column_sum_cuda(on, rows, cols, d, gradients->accumulate, gradients->bias);
}

int lspo_swiglu_forward_cuda(const lspo_cuda_t *on, size_t n, const void *gate, const void *up, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, swiglu_forward_kernel<T>, on->stream, n, (const T *)gate, (const T *)up,
                                   (T *)out);
    });
}

int lspo_swiglu_backward_cuda(const lspo_cuda_t *on, size_t n, const void *gate, const void *up, void *d, void *d_gate)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, swiglu_backward_kernel<T>, on->stream, n, (const T *)gate, (const T *)up, (T *)d,
                                   (T *)d_gate);
    });
}

int lspo_tanh_forward_cuda(const lspo_cuda_t *on, size_t n, void *x)
{
    return forward<tanh_value>(on, n, x, x);
}

int lspo_tanh_backward_cuda(const lspo_cuda_t *on, size_t n, const void *out, void *d)
{
    return backward<tanh_slope_at>(on, n, out, d);
}
