/* norm.c - layer norm and RMS norm on the CPU, row by row. */
#include "kernels/norm.h"

#include <math.h>
#include <string.h>

#include "kernels/simd.h"

LSPO_SIMD void lspo_norm_forward(const lspo_norm_t *norm, const float *x, float *out, float *mean_out, float *rstd_out)
{
    const size_t rows = norm->rows, width = norm->width;
    const float epsilon = norm->epsilon, *gain = norm->gain, *bias = norm->bias;
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < width; j++)
            sum += row[j];
        const float mean = sum / (float)width;
        float squares = 0.0F; /* of the differences: two passes avoid cancellation */
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

/* One row of the inputs of the backward pass. */
typedef struct {
    const float *dout, *x, *residual; /* residual NULL: 0 */
    float mean, rstd;
} row_t;

LSPO_INLINE row_t row_of(const lspo_norm_t *norm, const lspo_norm_operands_t *operands, size_t i)
{
    const size_t at = i * norm->width;
    const float *residual = operands->residual;
    return (row_t){.dout = (const float *)operands->dout + at,
                   .x = (const float *)operands->x + at,
                   .residual = residual != NULL ? residual + at : NULL,
                   .mean = operands->mean != NULL ? operands->mean[i] : 0.0F,
                   .rstd = operands->rstd[i]};
}

LSPO_INLINE void add_parameter_gradients(size_t width, const row_t *row, float *dgain, float *dbias)
{
    const float *dout = row->dout, *x = row->x, mean = row->mean, rstd = row->rstd;
#pragma omp simd
    for (size_t j = 0; j < width; j++) {
        dgain[j] += dout[j] * ((x[j] - mean) * rstd);
        dbias[j] += dout[j];
    }
}

LSPO_INLINE void input_gradient(size_t width, const row_t *row, const float *gain, float *dx)
{
    const float *dout = row->dout, *x = row->x, *residual = row->residual, mean = row->mean, rstd = row->rstd;
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

LSPO_SIMD void lspo_norm_backward(const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                  const lspo_norm_gradients_t *gradients)
{
    const size_t rows = norm->rows, width = norm->width;
    const float *gain = norm->gain;
    float *dx = gradients->dx, *dgain = gradients->dgain, *dbias = gradients->dbias, *dx_sum = gradients->dx_sum;
    if (!gradients->accumulate) {
        clear(width, dgain);
        clear(width, dbias);
        clear(width, dx_sum);
    }
    for (size_t i = 0; i < rows; i++) {
        const row_t row = row_of(norm, operands, i);
        float *dx_row = dx + i * width;
        if (dgain != NULL)
            add_parameter_gradients(width, &row, dgain, dbias);
        input_gradient(width, &row, gain, dx_row);
        if (dx_sum != NULL) {
#pragma omp simd
            for (size_t j = 0; j < width; j++)
                dx_sum[j] += dx_row[j];
        }
    }
}

LSPO_SIMD void lspo_rms_norm_forward(const lspo_norm_t *norm, const float *x, float *out, float *rstd_out)
{
    const size_t rows = norm->rows, width = norm->width;
    const float epsilon = norm->epsilon, *gain = norm->gain;
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

LSPO_INLINE void rms_input_gradient(size_t width, const row_t *row, const float *gain, float *dx)
{
    const float *dout = row->dout, *x = row->x, *residual = row->residual, rstd = row->rstd;
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

LSPO_SIMD void lspo_rms_norm_backward(const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                      const lspo_norm_gradients_t *gradients)
{
    const size_t rows = norm->rows, width = norm->width;
    const float *gain = norm->gain;
    float *dx = gradients->dx, *dgain = gradients->dgain;
    if (!gradients->accumulate)
        clear(width, dgain);
    for (size_t i = 0; i < rows; i++) {
        const row_t row = row_of(norm, operands, i);
        if (dgain != NULL) {
#pragma omp simd
            for (size_t j = 0; j < width; j++)
                dgain[j] += row.dout[j] * (row.x[j] * row.rstd);
        }
        rms_input_gradient(width, &row, gain, dx + i * width);
    }
}
