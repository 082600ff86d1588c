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

LSPO_SIMD double lspo_cross_entropy_forward(size_t rows, size_t vocabulary, size_t stride, const uint32_t *targets,
                                            float *logits)
{
    double loss = 0.0;
    for (size_t i = 0; i < rows; i++) {
        float *row = logits + i * stride;
        if (targets[i] == LSPO_TARGET_IGNORED)
            continue;
        const float chosen = row[targets[i]];
        loss += (double)(lspo_vsoftmax(vocabulary, row) - chosen);
    }
    return loss;
}

LSPO_SIMD void lspo_cross_entropy_backward(size_t rows, size_t vocabulary, size_t stride, const uint32_t *targets,
                                           const float *probabilities, float scale, float *dlogits)
{
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
