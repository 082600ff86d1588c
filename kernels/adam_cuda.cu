/* adam_cuda.cu - Adam on the GPU, element by element.  It is limited by memory bandwidth, so square root and quotient
 * are exact. */
#include <cfloat>

#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* PARAMETERS: `weights` are updated and `to` gets their rounded values; in fp32 they are the same array. */
template <bool PARAMETERS, typename T>
static __global__ void adam_kernel(lspo_adam_scalars_t s, size_t n, const T *gradient, float *m, float *v,
                                   float *weights, T *to)
{
    lspo_each<T>(n, lspo_aligned(gradient, m, v, weights, to), [=](size_t i, auto width) {
        const auto g = lspo_load(width, gradient + i);
        auto first = lspo_load(width, m + i), second = lspo_load(width, v + i);
        auto out = PARAMETERS ? lspo_load(width, weights + i) : g;
        for (unsigned k = 0; k < width; k++) {
            const float scaled = g.at[k] * s.scale;
            const float mk = s.beta1 * first.at[k] + s.one_minus_beta1 * scaled;
            const float vk = s.beta2 * second.at[k] + s.one_minus_beta2 * scaled * scaled;
            /* As on the host: clamped, but NaN stays NaN. */
            const float held = vk < FLT_MIN ? FLT_MIN : vk > FLT_MAX ? FLT_MAX : vk;
            const float direction = mk * s.corrected / (sqrtf(held) + s.epsilon);
            first.at[k] = mk;
            second.at[k] = vk;
            out.at[k] = PARAMETERS ? out.at[k] - s.learning_rate * (direction + s.weight_decay * out.at[k]) : direction;
        }
        lspo_store(m + i, first);
        lspo_store(v + i, second);
        if (PARAMETERS && sizeof(T) < sizeof(float))
            lspo_store(weights + i, out);
        lspo_store(to + i, out);
    });
}

int lspo_adam_parameters_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                              const void *gradient, void *w)
{
    const size_t n = state->count;
    if ((on->number == LSPO_NUMBER_FP32) != (state->master == nullptr))
        return cudaErrorInvalidValue;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, adam_kernel<true, T>, on->stream, lspo_adam_scalars(adam), n, (const T *)gradient,
                                   state->m, state->v, state->master ? state->master : (float *)w, (T *)w);
    });
}

int lspo_adam_direction_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                             const void *gradient, void *out)
{
    const size_t n = state->count;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, adam_kernel<false, T>, on->stream, lspo_adam_scalars(adam), n,
                                   (const T *)gradient, state->m, state->v, nullptr, (T *)out);
    });
}
