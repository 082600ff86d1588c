#include "kernels/norm.h"

#include <math.h>
#include <string.h>

#include "kernels/simd.h"

LSPO_SIMD void lspo_norm_forward_epsilon(size_t rows, size_t width, float epsilon, const float *x, const float *gain,
                                         const float *bias, float *out, float *mean_out, float *rstd_out)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < width; j++)
            sum += row[j];
        const float mean = sum / (float)width;
        float squares = 0.0F; /* of the differences: the two-pass form does not cancel */
#pragma omp simd reduction(+ : squares)
        for (size_t j = 0; j < width; j++)
            squares += (row[j] - mean) * (row[j] - mean);
        const float rstd = 1.0F / sqrtf(squares / (float)width + epsilon);
        float *to = out + i * width;
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            to[j] = (row[j] - mean) * rstd * gain[j] + bias[j];
        mean_out[i] = mean;
        rstd_out[i] = rstd;
    }
}

void lspo_norm_forward(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                       float *mean_out, float *rstd_out)
{
    lspo_norm_forward_epsilon(rows, width, 1e-5F, x, gain, bias, out, mean_out, rstd_out);
}

LSPO_INLINE void add_parameter_gradients(size_t width, const float *dout, const float *x, float mean, float rstd,
                                         float *dgain, float *dbias)
{
#pragma omp simd
    for (size_t j = 0; j < width; j++) {
        dgain[j] += dout[j] * ((x[j] - mean) * rstd);
        dbias[j] += dout[j];
    }
}

LSPO_INLINE void input_gradient(size_t width, const float *dout, const float *x, float mean, float rstd,
                                const float *gain, const float *residual, float *dx)
{
    float sum = 0.0F, dot = 0.0F;
#pragma omp simd reduction(+ : sum, dot)
    for (size_t j = 0; j < width; j++) {
        const float g = gain[j] * dout[j];
        sum += g;
        dot += g * ((x[j] - mean) * rstd);
    }
    sum /= (float)width;
    dot /= (float)width;
    if (residual != NULL) {
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            dx[j] = residual[j] + rstd * (gain[j] * dout[j] - sum - (x[j] - mean) * rstd * dot);
    } else {
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            dx[j] = rstd * (gain[j] * dout[j] - sum - (x[j] - mean) * rstd * dot);
    }
}

static void clear(size_t width, float *sink)
{
    if (sink != NULL)
        memset(sink, 0, width * sizeof *sink);
}

LSPO_SIMD void lspo_norm_backward(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                                  const float *rstd, const float *gain, const float *residual, bool accumulate,
                                  float *dx, float *dgain, float *dbias, float *dx_sum)
{
    if (!accumulate) {
        clear(width, dgain);
        clear(width, dbias);
        clear(width, dx_sum);
    }
    for (size_t i = 0; i < rows; i++) {
        const float *dout_row = dout + i * width, *x_row = x + i * width;
        float *dx_row = dx + i * width;
        if (dgain != NULL)
            add_parameter_gradients(width, dout_row, x_row, mean[i], rstd[i], dgain, dbias);
        input_gradient(width, dout_row, x_row, mean[i], rstd[i], gain, residual != NULL ? residual + i * width : NULL,
                       dx_row);
        if (dx_sum != NULL) {
#pragma omp simd
            for (size_t j = 0; j < width; j++)
                dx_sum[j] += dx_row[j];
        }
    }
}

LSPO_SIMD void lspo_rms_norm_forward(size_t rows, size_t width, float epsilon, const float *x, const float *gain,
                                     float *out, float *rstd_out)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float squares = 0.0F;
#pragma omp simd reduction(+ : squares)
        for (size_t j = 0; j < width; j++)
            squares += row[j] * row[j];
        const float rstd = 1.0F / sqrtf(squares / (float)width + epsilon);
        float *to = out + i * width;
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            to[j] = row[j] * rstd * gain[j];
        rstd_out[i] = rstd;
    }
}

LSPO_INLINE void rms_input_gradient(size_t width, const float *dout, const float *x, float rstd, const float *gain,
                                    const float *residual, float *dx)
{
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (size_t j = 0; j < width; j++)
        dot += gain[j] * dout[j] * (x[j] * rstd);
    dot /= (float)width;
    if (residual != NULL) {
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            dx[j] = residual[j] + rstd * (gain[j] * dout[j] - x[j] * rstd * dot);
    } else {
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            dx[j] = rstd * (gain[j] * dout[j] - x[j] * rstd * dot);
    }
}

LSPO_SIMD void lspo_rms_norm_backward(size_t rows, size_t width, const float *dout, const float *x, const float *rstd,
                                      const float *gain, const float *residual, bool accumulate, float *dx,
                                      float *dgain)
{
    if (!accumulate)
        clear(width, dgain);
    for (size_t i = 0; i < rows; i++) {
        const float *dout_row = dout + i * width, *x_row = x + i * width;
        if (dgain != NULL) {
#pragma omp simd
            for (size_t j = 0; j < width; j++)
                dgain[j] += dout_row[j] * (x_row[j] * rstd[i]);
        }
        rms_input_gradient(width, dout_row, x_row, rstd[i], gain, residual != NULL ? residual + i * width : NULL,
                           dx + i * width);
    }
}
