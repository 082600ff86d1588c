/* activation.c - GELU in both forms, SwiGLU and tanh, forward and backward, on the CPU. */
#include "kernels/activation.h"

#include <math.h>
#include <string.h>

#include "kernels/simd.h"
#include "kernels/vmath.h"

/* 2 u = 2 sqrt(2 / pi) (x + 0.044715 x^3) = x (GELU_LINEAR + GELU_CUBIC x^2) */
#define GELU_LINEAR 1.5957691216F
#define GELU_CUBIC 0.0713548163F

/* sigmoid(2 u) */
LSPO_INLINE float gelu_gate(float x)
{
    return 1.0F / (1.0F + lspo_vexpf(-x * (GELU_LINEAR + GELU_CUBIC * x * x)));
}

/* d/dx [x sigmoid(2 u)] = s + x s (1 - s) (2 u)' */
LSPO_INLINE float gelu_slope(float x)
{
    const float s = gelu_gate(x);
    return s + x * s * (1.0F - s) * (GELU_LINEAR + 3.0F * GELU_CUBIC * x * x);
}

/* The normal distribution function, by Chebyshev's fit of erfc [Press et al., Numerical Recipes in C, 2nd ed.,
 * Sec. 6.2, erfcc: 1.2e-7 relative everywhere]: z = |x| / sqrt(2), t = 1 / (1 + z / 2), erfc(z) = t e^(-z^2 + p(t)). */
LSPO_INLINE float normal_distribution(float x)
{
    const float z = fabsf(x) * 0.707106781F, t = 1.0F / (1.0F + 0.5F * z);
    float p = 0.17087277F;
    p = p * t - 0.82215223F;
    p = p * t + 1.48851587F;
    p = p * t - 1.13520398F;
    p = p * t + 0.27886807F;
    p = p * t - 0.18628806F;
    p = p * t + 0.09678418F;
    p = p * t + 0.37409196F;
    p = p * t + 1.00002368F;
    p = p * t - 1.26551223F;
    const float tail = 0.5F * t * lspo_vexpf(p - z * z);
    return lspo_vselect(x < 0.0F, tail, 1.0F - tail);
}

/* d/dx [x Phi(x)] = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi) */
LSPO_INLINE float gelu_exact_slope(float x)
{
    return normal_distribution(x) + x * 0.398942280F * lspo_vexpf(-0.5F * x * x);
}

/* In the functions below the form is a constant, so that each of their loops has a single formula. */
LSPO_INLINE float gelu_of(lspo_gelu_form_t form, float x)
{
    return x * (form == LSPO_GELU_TANH ? gelu_gate(x) : normal_distribution(x));
}

LSPO_INLINE float slope_of(lspo_gelu_form_t form, float x)
{
    return form == LSPO_GELU_TANH ? gelu_slope(x) : gelu_exact_slope(x);
}

LSPO_INLINE void forward(lspo_gelu_form_t form, size_t n, const float *x, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = gelu_of(form, x[i]);
}

LSPO_INLINE void backward(lspo_gelu_form_t form, size_t rows, size_t cols, const float *x, float *d, float *bias)
{
    if (bias == NULL) {
#pragma omp simd
        for (size_t i = 0; i < rows * cols; i++)
            d[i] *= slope_of(form, x[i]);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        const float *x_row = x + i * cols;
        float *d_row = d + i * cols;
#pragma omp simd
        for (size_t j = 0; j < cols; j++) {
            d_row[j] *= slope_of(form, x_row[j]);
            bias[j] += d_row[j];
        }
    }
}

LSPO_SIMD void lspo_gelu_forward(lspo_gelu_form_t form, size_t n, const float *x, float *out)
{
    if (form == LSPO_GELU_TANH)
        forward(LSPO_GELU_TANH, n, x, out);
    else
        forward(LSPO_GELU_EXACT, n, x, out);
}

LSPO_SIMD void lspo_gelu_backward(lspo_gelu_form_t form, size_t rows, size_t cols, const float *x,
                                  const lspo_gelu_gradients_t *gradients)
{
    if (gradients->bias != NULL && !gradients->accumulate)
        memset(gradients->bias, 0, cols * sizeof(float));
    if (form == LSPO_GELU_TANH)
        backward(LSPO_GELU_TANH, rows, cols, x, gradients->d, gradients->bias);
    else
        backward(LSPO_GELU_EXACT, rows, cols, x, gradients->d, gradients->bias);
}

LSPO_INLINE float sigmoid(float x)
{
    return 1.0F / (1.0F + lspo_vexpf(-x));
}

LSPO_SIMD void lspo_swiglu_forward(size_t n, const float *gate, const float *up, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

/* silu'(a) = s + a s (1 - s) */
LSPO_SIMD void lspo_swiglu_backward(size_t n, const float *gate, const float *up, float *d, float *d_gate)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const float s = sigmoid(gate[i]), of_product = d[i];
        d_gate[i] = of_product * up[i] * (s + gate[i] * s * (1.0F - s));
        d[i] = of_product * gate[i] * s;
    }
}

void lspo_tanh_forward(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = tanhf(x[i]);
}

void lspo_tanh_backward(size_t n, const float *out, float *d)
{
    for (size_t i = 0; i < n; i++)
        d[i] *= 1.0F - out[i] * out[i];
}
