/* vector.c - elementwise helpers on the CPU. */
#include "kernels/vector.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/simd.h"

void lspo_bias_fill(size_t rows, size_t cols, const float *bias, float *out)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(out + i * cols, bias, cols * sizeof *out);
}

LSPO_SIMD void lspo_bias_add(size_t rows, size_t cols, const float *x, const float *bias, float *out)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * cols;
        float *to = out + i * cols;
#pragma omp simd
        for (size_t j = 0; j < cols; j++)
            to[j] = row[j] + bias[j];
    }
}

LSPO_SIMD void lspo_column_sum(size_t rows, size_t cols, const float *x, bool accumulate, float *out)
{
    if (!accumulate)
        memset(out, 0, cols * sizeof *out);
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * cols;
#pragma omp simd
        for (size_t j = 0; j < cols; j++)
            out[j] += row[j];
    }
}

#if defined(__x86_64__)
void lspo_vector_store(size_t n, const float *x, float *out)
{
    size_t i = 0;
    while (i < n && (uintptr_t)(out + i) % sizeof(__m128) != 0) {
        out[i] = x[i];
        i++;
    }
    for (; i + 4 <= n; i += 4)
        _mm_stream_ps(out + i, _mm_loadu_ps(x + i));
    for (; i < n; i++)
        out[i] = x[i];
    _mm_sfence(); /* other threads see it behind what follows */
}
#else
void lspo_vector_store(size_t n, const float *x, float *out)
{
    memcpy(out, x, n * sizeof *x);
}
#endif

LSPO_SIMD void lspo_vector_add(size_t n, const float *x, float *sum)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
}

LSPO_SIMD void lspo_step_along(size_t n, const lspo_vector_step_t *step, const float *direction, float *w)
{
    const float keep = step->keep, rate = step->rate;
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        w[i] = keep * w[i] - rate * direction[i];
}

double lspo_sum_of_squares(size_t n, const float *x)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}
