/* rotary.c - rotary positions on the CPU, pair by pair. */
#include "kernels/rotary.h"

#include <math.h>

#include "kernels/simd.h"

void lspo_rotary_frequencies(size_t head_width, double theta, double *frequencies)
{
    for (size_t j = 0; j < head_width / 2; j++)
        frequencies[j] = pow(theta, -2.0 * (double)j / (double)head_width);
}

void lspo_rotary_table(size_t sequence, size_t head_width, const double *frequencies, float *table)
{
    const size_t half = head_width / 2;
    for (size_t j = 0; j < half; j++) {
        for (size_t i = 0; i < sequence; i++) {
            table[i * head_width + j] = (float)cos((double)i * frequencies[j]);
            table[i * head_width + half + j] = (float)sin((double)i * frequencies[j]);
        }
    }
}

/* sign 1: forward, -1: backward. */
LSPO_SIMD static void rotate(const lspo_rotary_t *rotary, float sign, float *x)
{
    const size_t sequence = rotary->sequence, heads = rotary->heads, head_width = rotary->head_width;
    const size_t half = head_width / 2, rows = rotary->batch * sequence;
    for (size_t row = 0; row < rows; row++) {
        const float *cosine = rotary->table + row % sequence * head_width, *sine = cosine + half;
        for (size_t h = 0; h < heads; h++) {
            float *low = x + (row * heads + h) * head_width, *high = low + half;
#pragma omp simd
            for (size_t j = 0; j < half; j++) {
                const float a = low[j], b = high[j], s = sign * sine[j];
                low[j] = a * cosine[j] - b * s;
                high[j] = b * cosine[j] + a * s;
            }
        }
    }
}

void lspo_rotary_forward(const lspo_rotary_t *rotary, float *x)
{
    rotate(rotary, 1.0F, x);
}

void lspo_rotary_backward(const lspo_rotary_t *rotary, float *dx)
{
    rotate(rotary, -1.0F, dx);
}
