/* adam_cuda.cu - Adam on the GPU, element by element.  It is limited by memory bandwidth, so square root and quotient
 * are exact. */
#include <cfloat>

#include "kernels/adam_codes.h"
#include "kernels/adam_state.h"
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* One weight: updates m and v, returns the direction.  As on the host: v is clamped, but NaN stays NaN. */
static __device__ float direction_of(const lspo_adam_scalars_t &s, float gradient, float *m, float *v)
{
    const float scaled = gradient * s.scale;
    *m = s.beta1 * *m + s.one_minus_beta1 * scaled;
    *v = s.beta2 * *v + s.one_minus_beta2 * scaled * scaled;
    const float held = *v < FLT_MIN ? FLT_MIN : *v > FLT_MAX ? FLT_MAX : *v;
    return *m * s.corrected / (sqrtf(held + s.root_epsilon) + s.epsilon);
}

static __device__ float stepped(const lspo_adam_scalars_t &s, float w, float direction)
{
    return w - s.learning_rate * (direction + s.weight_decay * w);
}

/* ---- m and v in fp32 ---- */

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
            const float direction = direction_of(s, g.at[k], &first.at[k], &second.at[k]);
            out.at[k] = PARAMETERS ? stepped(s, out.at[k], direction) : direction;
        }
        lspo_store(m + i, first);
        lspo_store(v + i, second);
        if (PARAMETERS && sizeof(T) < sizeof(float))
            lspo_store(weights + i, out);
        lspo_store(to + i, out);
    });
}

template <bool PARAMETERS, typename T>
static int launch_fp32(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                       const T *gradient, T *to)
{
    const size_t n = state->count;
    float *weights = PARAMETERS ? (state->master ? state->master : (float *)to) : nullptr;
    return lspo_launch_each<T>(n, adam_kernel<PARAMETERS, T>, on->stream, lspo_adam_scalars(adam), n, gradient,
                               (float *)state->m, (float *)state->v, weights, to);
}

/* ---- m and v in fewer bits, without a master: 16-bit weights are rounded randomly ---- */

/* The random bits of an element: the upper 32 for its weight, then 16 for v, 16 for m. */
static __device__ uint32_t bits_for_w(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

template <bool PARAMETERS, typename T>
static __device__ T result_of(const lspo_adam_scalars_t &s, float w, float direction, uint64_t word)
{
    T rounded;
    if (PARAMETERS)
        return lspo_round_randomly<T>(stepped(s, w, direction), bits_for_w(word));
    lspo_round(direction, &rounded);
    return rounded;
}

/* PARAMETERS: `to` has the weights. */
template <bool PARAMETERS, typename T>
static __global__ void bf16_kernel(lspo_adam_scalars_t s, lspo_adam_state_t state, const T *gradient, T *to)
{
    __nv_bfloat16 *const m = (__nv_bfloat16 *)state.m, *const v = (__nv_bfloat16 *)state.v;
    lspo_each<T>(state.count, lspo_aligned(gradient, m, v, to), [=](size_t i, auto width) {
        const auto g = lspo_load(width, gradient + i);
        const auto w = PARAMETERS ? lspo_load(width, to + i) : g;
        auto first = lspo_load(width, m + i), second = lspo_load(width, v + i);
        lspo_numbers_t<__nv_bfloat16, decltype(width)::value> new_m, new_v;
        lspo_numbers_t<T, decltype(width)::value> out;
        for (unsigned k = 0; k < width; k++) {
            const uint64_t word = lspo_rounding_word(state.seed, state.first + i + k);
            const float direction = direction_of(s, g.at[k], &first.at[k], &second.at[k]);
            new_m.at[k] = lspo_round_randomly<__nv_bfloat16>(first.at[k], (uint32_t)word << 16);
            new_v.at[k] = lspo_round_randomly<__nv_bfloat16>(second.at[k], (uint32_t)word);
            out.at[k] = result_of<PARAMETERS, T>(s, w.at[k], direction, word);
        }
        lspo_store_numbers(m + i, new_m);
        lspo_store_numbers(v + i, new_v);
        lspo_store_numbers(to + i, out);
    });
}

/* A warp has a block of 256 elements: each thread EACH in a row. */
constexpr unsigned EACH = LSPO_ADAM_BLOCK / LSPO_WARP_THREADS;
typedef lspo_numbers_t<uint8_t, EACH> some_codes_t;
typedef lspo_numbers_t<float, EACH> some_floats_t;

/* A thread's part of an array: numbers i .. i + EACH - 1, of which those from n on do not exist and count as 0. */
template <typename T> static __device__ some_floats_t load_some(bool whole, const T *from, size_t i, size_t n)
{
    some_floats_t values;
    if (whole)
        return lspo_load(lspo_width_t<EACH>(), from + i);
    for (unsigned k = 0; k < EACH; k++)
        values.at[k] = i + k < n ? lspo_to_float(from[i + k]) : 0.0f;
    return values;
}

template <typename T>
static __device__ void store_some(bool whole, T *to, size_t i, size_t n, const lspo_numbers_t<T, EACH> &numbers)
{
    if (whole)
        lspo_store_numbers(to + i, numbers);
    else
        for (unsigned k = 0; k < EACH && i + k < n; k++)
            to[i + k] = numbers.at[k];
}

/* Codes exist for whole blocks. */
template <typename Value> static __device__ some_floats_t load_codes(const uint8_t *codes, float scale, Value value_of)
{
    const some_codes_t read = *(const some_codes_t *)codes;
    some_floats_t values;
    for (unsigned k = 0; k < EACH; k++)
        values.at[k] = value_of(read.at[k], scale);
    return values;
}

/* The largest magnitude of a warp's numbers; NaN is the largest of all. */
static __device__ float warp_largest(const some_floats_t &values)
{
    uint32_t most = 0;
    for (unsigned k = 0; k < EACH; k++) {
        const uint32_t magnitude = __float_as_uint(values.at[k]) & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    return __uint_as_float(lspo_warp_reduce(most, [](uint32_t a, uint32_t b) { return a > b ? a : b; }));
}

/* `numbers` in the codes of their block, whose scale is returned. */
template <typename Code> static __device__ float store_codes(const some_floats_t &numbers, uint8_t *codes, Code code_of)
{
    const float scale = warp_largest(numbers), inverse = lspo_adam_inverse(scale);
    some_codes_t out;
    for (unsigned k = 0; k < EACH; k++)
        out.at[k] = code_of(numbers.at[k], inverse);
    *(some_codes_t *)codes = out;
    return scale;
}

template <bool PARAMETERS, typename T>
static __global__ void codes_kernel(lspo_adam_scalars_t s, lspo_adam_state_t state, const T *gradient, T *to)
{
    const size_t n = state.count, blocks = (n + LSPO_ADAM_BLOCK - 1) / LSPO_ADAM_BLOCK;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    const bool aligned = lspo_aligned(gradient, to);
    for (size_t block = lspo_grid_first() / LSPO_WARP_THREADS; block < blocks;
         block += lspo_grid_step() / LSPO_WARP_THREADS) {
        const size_t i = block * LSPO_ADAM_BLOCK + lane * EACH;
        const bool whole = aligned && i + EACH <= n;
        uint8_t *const m = (uint8_t *)state.m + i, *const v = (uint8_t *)state.v + i;
        const some_floats_t g = load_some(whole, gradient, i, n);
        const some_floats_t w = PARAMETERS ? load_some(whole, to, i, n) : g;
        some_floats_t first = load_codes(m, state.m_scale[block],
                                         [](uint8_t code, float scale) { return lspo_adam_m_of_code(code, scale); });
        some_floats_t second = load_codes(v, state.v_scale[block],
                                          [](uint8_t code, float scale) { return lspo_adam_v_of_code(code, scale); });
        lspo_numbers_t<T, EACH> out;
        for (unsigned k = 0; k < EACH; k++) {
            const float direction = direction_of(s, g.at[k], &first.at[k], &second.at[k]);
            out.at[k] =
                result_of<PARAMETERS, T>(s, w.at[k], direction, lspo_rounding_word(state.seed, state.first + i + k));
        }
        store_some(whole, to, i, n, out);
        const float m_scale =
            store_codes(first, m, [](float x, float inverse) { return lspo_adam_code_of_m(x, inverse); });
        const float v_scale =
            store_codes(second, v, [](float x, float inverse) { return lspo_adam_code_of_v(x, inverse); });
        if (lane == 0) {
            state.m_scale[block] = m_scale;
            state.v_scale[block] = v_scale;
        }
    }
}

template <bool PARAMETERS, typename T>
static int launch_narrow(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                         const T *gradient, T *to)
{
    const lspo_adam_scalars_t scalars = lspo_adam_scalars(adam);
    if (state->count == 0)
        return cudaSuccess;
    if (state->format == LSPO_ADAM_BF16)
        return lspo_launch_each<T>(state->count, bf16_kernel<PARAMETERS, T>, on->stream, scalars, *state, gradient, to);
    const size_t blocks = (state->count + LSPO_ADAM_BLOCK - 1) / LSPO_ADAM_BLOCK;
    return lspo_launch_over(blocks * LSPO_WARP_THREADS, codes_kernel<PARAMETERS, T>, on->stream, scalars, *state,
                            gradient, to);
}

/* ---- both ---- */

int lspo_adam_parameters_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                              const void *gradient, void *w)
{
    const bool fp32 = state->format == LSPO_ADAM_FP32, has_master = fp32 && on->number != LSPO_NUMBER_FP32;
    if (has_master != (state->master != nullptr))
        return cudaErrorInvalidValue;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return fp32 ? launch_fp32<true>(on, adam, state, (const T *)gradient, (T *)w)
                    : launch_narrow<true>(on, adam, state, (const T *)gradient, (T *)w);
    });
}

int lspo_adam_direction_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                             const void *gradient, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return state->format == LSPO_ADAM_FP32 ? launch_fp32<false>(on, adam, state, (const T *)gradient, (T *)out)
                                               : launch_narrow<false>(on, adam, state, (const T *)gradient, (T *)out);
    });
}
