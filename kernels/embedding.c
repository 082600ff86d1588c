/* embedding.c - token and position embedding on the CPU. */
#include "kernels/embedding.h"

#include <string.h>

#include "kernels/simd.h"

LSPO_SIMD void lspo_embedding_forward(const lspo_embedding_t *embedding, const float *token, const float *position,
                                      float *x_out)
{
    const size_t batch = embedding->batch, sequence = embedding->sequence, width = embedding->width;
    const uint32_t *ids = embedding->ids;
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0; i < sequence; i++) {
            const size_t row = b * sequence + i;
            const float *from = token + ids[row] * width;
            float *x = x_out + row * width;
            if (position == NULL) {
                memcpy(x, from, width * sizeof *x);
                continue;
            }
            const float *at = position + i * width;
#pragma omp simd
            for (size_t j = 0; j < width; j++)
                x[j] = from[j] + at[j];
        }
    }
}

LSPO_SIMD static void add_row(size_t width, const float *d, float *sum)
{
#pragma omp simd
    for (size_t j = 0; j < width; j++)
        sum[j] += d[j];
}

void lspo_embedding_backward(const lspo_embedding_t *embedding, const float *dx, float *token_gradient,
                             float *position_gradient)
{
    const size_t batch = embedding->batch, sequence = embedding->sequence, width = embedding->width;
    const uint32_t *ids = embedding->ids;
    for (size_t b = 0; b < batch; b++) {
        for (size_t i = 0; i < sequence; i++) {
            const size_t row = b * sequence + i;
            add_row(width, dx + row * width, token_gradient + ids[row] * width);
            if (position_gradient != NULL)
                add_row(width, dx + row * width, position_gradient + i * width);
        }
    }
}
