/* adam_cuda.cu - Adam on the GPU, one thread an element: bound by memory bandwidth, so root and quotient are
 * the exact ones. */
#include <cfloat>

#include "kernels/cuda.h"
#include "kernels/launch.cuh"

template <bool PARAMETERS>
static __global__ void adam_kernel(lspo_adam_scalars_t s, size_t n, const float *gradient, float *m, float *v,
                                   float *to)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        float g = gradient[i] * s.scale;
        float mi = s.beta1 * m[i] + s.one_minus_beta1 * g;
        float vi = s.beta2 * v[i] + s.one_minus_beta2 * g * g;
        /* As on the host: in range, but NaN stays NaN. */
        float held = vi < FLT_MIN ? FLT_MIN : vi > FLT_MAX ? FLT_MAX : vi;
        float direction = mi * s.corrected / (sqrtf(held) + s.epsilon);
        m[i] = mi;
        v[i] = vi;
        if (PARAMETERS)
            to[i] -= s.learning_rate * (direction + s.weight_decay * to[i]);
        else
            to[i] = direction;
    }
}

int lspo_adam_parameters_cuda(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *w,
                              void *stream)
{
    return lspo_launch_over(n, adam_kernel<true>, stream, lspo_adam_scalars(adam), n, gradient, m, v, w);
}

int lspo_adam_direction_cuda(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *out,
                             void *stream)
{
    return lspo_launch_over(n, adam_kernel<false>, stream, lspo_adam_scalars(adam), n, gradient, m, v, out);
}
