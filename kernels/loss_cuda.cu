/* loss_cuda.cu - softmax cross-entropy on the GPU, one block per row. */
#include <cfloat>

#include "kernels/cuda.h"
#include "kernels/loss.h"
#include "kernels/number.cuh"

static __device__ bool rows_aligned_to(const void *array, size_t row_bytes)
{
    return lspo_aligned((const char *)array) && row_bytes % 16 == 0;
}

/* The loss is computed from the logits, before probabilities are rounded, and 1 is subtracted from the target's
 * probability before: p - 1 of a p near 1 would be lost in 16 bits.  A thread rescales its sum when it finds a larger
 * logit, so that logits are read only twice; the maximum starts from a finite number, below which infinities contribute
 * 0. */
template <typename T>
static __global__ void cross_entropy_forward_kernel(size_t vocabulary, size_t stride, const uint32_t *targets,
                                                    T *logits, double *row_losses)
{
    T *const row = logits + blockIdx.x * stride;
    const bool aligned = rows_aligned_to(logits, stride * sizeof(T));
    if (targets[blockIdx.x] == LSPO_TARGET_IGNORED) { /* the whole block exits */
        if (threadIdx.x == 0)
            row_losses[blockIdx.x] = 0;
        return;
    }
    float own_largest = -FLT_MAX, own_sum = 0;
    lspo_each_of_row<T>(vocabulary, aligned, [&](size_t j, auto width) {
        const auto values = lspo_load(width, row + j);
        float larger = own_largest;
        for (unsigned k = 0; k < width; k++)
            larger = fmaxf(larger, values.at[k]);
        own_sum *= expf(own_largest - larger);
        for (unsigned k = 0; k < width; k++)
            own_sum += expf(values.at[k] - larger);
        own_largest = larger;
    });
    const float largest = lspo_block_reduce(own_largest, [](float a, float b) { return fmaxf(a, b); });
    const uint32_t target = targets[blockIdx.x];
    const float of_target = lspo_to_float(row[target]) - largest;
    /* The barrier in it comes after all threads have read the target's logit. */
    const float sum = lspo_block_sum(own_sum * expf(own_largest - largest)), inverse = 1.0f / sum;
    lspo_each_of_row<T>(vocabulary, aligned, [=](size_t j, auto width) {
        auto values = lspo_load(width, row + j);
        for (unsigned k = 0; k < width; k++)
            values.at[k] = expf(values.at[k] - largest) * inverse;
        const size_t place = target - j;
        if (place < width)
            for (unsigned k = 0; k < width; k++)
                values.at[k] -= k == place ? 1.0f : 0.0f;
        lspo_store(row + j, values);
    });
    if (threadIdx.x == 0)
        row_losses[blockIdx.x] = log((double)sum) - (double)of_target;
}

template <typename T>
static __global__ void cross_entropy_backward_kernel(size_t vocabulary, size_t stride, const uint32_t *targets,
                                                     const T *probabilities, float scale, T *dlogits)
{
    const bool ignored = targets[blockIdx.x] == LSPO_TARGET_IGNORED;
    const T *const from = probabilities + blockIdx.x * stride;
    T *const to = dlogits + blockIdx.x * stride;
    const bool aligned = rows_aligned_to(probabilities, stride * sizeof(T)) && lspo_aligned(dlogits);
    lspo_each_of_row<T>(vocabulary, aligned, [=](size_t j, auto width) {
        auto values = lspo_load(width, from + j);
        for (unsigned k = 0; k < width; k++)
            values.at[k] = ignored ? 0.0f : scale * values.at[k];
        lspo_store(to + j, values);
    });
}

int lspo_cross_entropy_forward_cuda(const lspo_cuda_t *on, const lspo_cross_entropy_t *loss, void *logits,
                                    double *row_losses, double *loss_sum_out)
{
    const int error = lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_rows<T>(loss->rows, loss->vocabulary, cross_entropy_forward_kernel<T>, on->stream,
                                   loss->vocabulary, loss->stride, loss->targets, (T *)logits, row_losses);
    });
    return error != cudaSuccess ? error : lspo_sum_cuda(loss->rows, row_losses, loss_sum_out, on->stream);
}

int lspo_cross_entropy_backward_cuda(const lspo_cuda_t *on, const lspo_cross_entropy_t *loss, const void *probabilities,
                                     float scale, void *dlogits)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_rows<T>(loss->rows, loss->vocabulary, cross_entropy_backward_kernel<T>, on->stream,
                                   loss->vocabulary, loss->stride, loss->targets, (const T *)probabilities, scale,
                                   (T *)dlogits);
    });
}
