#include "kernels/activation.h"

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

LSPO_SIMD void lspo_gelu_forward(size_t n, const float *x, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * gelu_gate(x[i]);
}

LSPO_SIMD void lspo_gelu_backward(size_t rows, size_t cols, const float *x, bool accumulate, float *d,
                                  float *bias_gradient)
{
    if (bias_gradient == NULL) {
#pragma omp simd
        for (size_t i = 0; i < rows * cols; i++)
            d[i] *= gelu_slope(x[i]);
        return;
    }
    if (!accumulate)
        memset(bias_gradient, 0, cols * sizeof *bias_gradient);
    for (size_t i = 0; i < rows; i++) {
        const float *x_row = x + i * cols;
        float *d_row = d + i * cols;
#pragma omp simd
        for (size_t j = 0; j < cols; j++) {
            d_row[j] *= gelu_slope(x_row[j]);
            bias_gradient[j] += d_row[j];
        }
    }
}
