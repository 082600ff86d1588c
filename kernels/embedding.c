/* embedding.c - token and position embedding on the CPU. */
#include "kernels/embedding.h"

#include <string.h>

#include "kernels/pack.h"
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

/* sum += row `index` of a table of 16-bit numbers. */
static void add_row_of(lspo_number_t number, const uint16_t *table, size_t index, size_t width, float *sum)
{
    enum { PART = 256 };
    float part[PART];
    for (size_t j = 0; j < width; j += PART) {
        const size_t some = width - j < PART ? width - j : PART;
        lspo_convert(some, number, table + index * width + j, LSPO_NUMBER_FP32, part);
        add_row(some, part, sum + j);
    }
}

void lspo_embedding_forward_from(const lspo_embedding_t *embedding, lspo_number_t number, const void *token,
                                 const void *position, float *x_out)
{
    const size_t sequence = embedding->sequence, width = embedding->width, rows = embedding->batch * sequence;
    if (number == LSPO_NUMBER_FP32) {
        lspo_embedding_forward(embedding, token, position, x_out);
        return;
    }
    memset(x_out, 0, rows * width * sizeof *x_out);
    for (size_t row = 0; row < rows; row++) {
        add_row_of(number, token, embedding->ids[row], width, x_out + row * width);
        if (position != NULL)
            add_row_of(number, position, row % sequence, width, x_out + row * width);
    }
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
