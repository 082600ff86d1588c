/* loss_cuda.cu - softmax cross-entropy on the GPU, one block a row. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"
#include "kernels/loss.h"

static __global__ void cross_entropy_forward_kernel(size_t vocabulary, const uint32_t *targets, float *logits,
                                                    double *row_losses)
{
    float *row = logits + blockIdx.x * vocabulary;
    if (targets[blockIdx.x] == LSPO_TARGET_IGNORED) { /* the whole block leaves */
        if (threadIdx.x == 0)
            row_losses[blockIdx.x] = 0;
        return;
    }
    float largest = -INFINITY;
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        largest = fmaxf(largest, row[j]);
    largest = lspo_block_reduce(largest, [](float a, float b) { return fmaxf(a, b); });
    const float target = row[targets[blockIdx.x]] - largest;
    float sum = 0;
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        sum += expf(row[j] - largest);
    sum = lspo_block_sum(sum); /* its barrier comes after every thread has read the target's logit */
    for (size_t j = threadIdx.x; j < vocabulary; j += blockDim.x)
        row[j] = expf(row[j] - largest) / sum;
    if (threadIdx.x == 0)
        row_losses[blockIdx.x] = log((double)sum) - (double)target;
}

static __global__ void cross_entropy_backward_kernel(size_t n, size_t vocabulary, const uint32_t *targets,
                                                     const float *probabilities, float scale, float *dlogits)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        const size_t row = i / vocabulary, token = i % vocabulary;
        const bool counts = targets[row] != LSPO_TARGET_IGNORED;
        dlogits[i] = counts ? scale * (probabilities[i] - (token == targets[row] ? 1.0f : 0.0f)) : 0.0f;
    }
}

int lspo_cross_entropy_forward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets, float *logits,
                                    double *row_losses, double *loss_sum_out, void *stream)
{
    const int error =
        lspo_launch_rows(rows, cross_entropy_forward_kernel, stream, vocabulary, targets, logits, row_losses);
    return error != cudaSuccess ? error : lspo_sum_cuda(rows, row_losses, loss_sum_out, stream);
}

int lspo_cross_entropy_backward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets,
                                     const float *probabilities, float scale, float *dlogits, void *stream)
{
    const size_t n = rows * vocabulary;
    return lspo_launch_over(n, cross_entropy_backward_kernel, stream, n, vocabulary, targets, probabilities, scale,
                            dlogits);
}
