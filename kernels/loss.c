/* loss.c - softmax cross-entropy on the CPU, row by row. */
#include "kernels/loss.h"

#include <string.h>

#include "kernels/simd.h"
#include "kernels/vmath.h"

size_t lspo_targets_counted(size_t rows, const uint32_t *targets)
{
    size_t counted = 0;
    for (size_t i = 0; i < rows; i++)
        counted += targets[i] != LSPO_TARGET_IGNORED;
    return counted;
}

LSPO_SIMD double lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits)
{
    const size_t rows = loss->rows, vocabulary = loss->vocabulary, stride = loss->stride;
    const uint32_t *targets = loss->targets;
    double sum = 0.0;
    for (size_t i = 0; i < rows; i++) {
        float *row = logits + i * stride;
        if (targets[i] == LSPO_TARGET_IGNORED)
            continue;
        const float chosen = row[targets[i]];
        sum += (double)(lspo_vsoftmax(vocabulary, row) - chosen);
    }
    return sum;
}

LSPO_SIMD void lspo_cross_entropy_backward(const lspo_cross_entropy_t *loss, const float *probabilities, float scale,
                                           float *dlogits)
{
    const size_t rows = loss->rows, vocabulary = loss->vocabulary, stride = loss->stride;
    const uint32_t *targets = loss->targets;
    for (size_t i = 0; i < rows; i++) {
        const float *p = probabilities + i * stride;
        float *d = dlogits + i * stride;
        if (targets[i] == LSPO_TARGET_IGNORED) {
            memset(d, 0, vocabulary * sizeof *d);
            continue;
        }
#pragma omp simd
        for (size_t j = 0; j < vocabulary; j++)
            d[j] = scale * p[j];
        d[targets[i]] -= scale;
    }
}
