/* keys_cuda.cu - an adapter of which each token uses few rows, on the GPU: a warp for each dot product, a thread for
 * each number of a sum. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* The rows as a kernel sees them. */
template <typename T> struct lspo_rows_t {
    size_t tokens, width, count, chosen;
    const T *rows;
    const uint32_t *slots, *first, *entries;

    __device__ const T *row(size_t entry) const
    {
        return rows + (size_t)slots[entry] * 2 * width;
    }
};

template <typename T> static lspo_rows_t<T> rows_of(const lspo_keys_t *keys)
{
    return {keys->tokens,          keys->width, keys->count, keys->chosen,
            (const T *)keys->rows, keys->slots, keys->first, keys->entries};
}

template <typename T> static __device__ float warp_dot(size_t n, const T *x, const T *y)
{
    float sum = 0;
    lspo_share<T>(threadIdx.x % LSPO_WARP_THREADS, LSPO_WARP_THREADS, n, lspo_aligned(x, y), [&](size_t i, auto width) {
        const auto a = lspo_load(width, x + i), b = lspo_load(width, y + i);
        for (unsigned k = 0; k < width; k++)
            sum = fmaf(a.at[k], b.at[k], sum);
    });
    return lspo_warp_sum(sum);
}

/* ReLU(h . key) of each entry and, with dy, the gradient of h . key. */
template <typename T>
static __global__ void scores_kernel(lspo_rows_t<T> keys, const T *h, const T *dy, float *activation, float *gradient)
{
    const size_t warp = lspo_grid_first() / LSPO_WARP_THREADS, warps = lspo_grid_step() / LSPO_WARP_THREADS;
    const size_t d = keys.width;
    for (size_t e = warp; e < keys.tokens * keys.chosen; e += warps) {
        const size_t t = e / keys.chosen;
        const T *row = keys.row(e);
        const float score = warp_dot(d, h + t * d, row);
        const float slope = dy != NULL ? warp_dot(d, dy + t * d, row + d) : 0;
        if (threadIdx.x % LSPO_WARP_THREADS != 0)
            continue;
        activation[e] = score > 0 ? score : 0;
        if (dy != NULL)
            gradient[e] = score > 0 ? slope : 0;
    }
}

/* out_t += the sum of a token's rows, from column `at` of each on, times the factors of its entries. */
template <typename T> static __global__ void tokens_kernel(lspo_rows_t<T> keys, const float *factors, size_t at, T *out)
{
    const size_t d = keys.width;
    for (size_t i = lspo_grid_first(); i < keys.tokens * d; i += lspo_grid_step()) {
        const size_t t = i / d, column = i % d;
        float sum = 0;
        for (size_t e = t * keys.chosen; e < (t + 1) * keys.chosen; e++)
            if (factors[e] != 0)
                sum = fmaf(factors[e], lspo_to_float(keys.row(e)[at + column]), sum);
        lspo_round(lspo_to_float(out[i]) + sum, &out[i]);
    }
}

/* Key and value of a row are sums over its tokens. */
template <typename T>
static __global__ void rows_kernel(lspo_rows_t<T> keys, const float *activation, const float *gradient, const T *h,
                                   const T *dy, T *drows)
{
    const size_t d = keys.width;
    for (size_t i = lspo_grid_first(); i < keys.count * 2 * d; i += lspo_grid_step()) {
        const size_t u = i / (2 * d), column = i % d;
        const bool is_value = i / d % 2 != 0;
        const float *factors = is_value ? activation : gradient;
        const T *from = is_value ? dy : h;
        float sum = 0;
        for (size_t j = keys.first[u]; j < keys.first[u + 1]; j++) {
            const size_t e = keys.entries[j];
            if (activation[e] > 0)
                sum = fmaf(factors[e], lspo_to_float(from[e / keys.chosen * d + column]), sum);
        }
        lspo_round(sum, &drows[i]);
    }
}

static __device__ float gate_at(float gate)
{
    return isnan(gate) ? -INFINITY : gate;
}

/* As on the host: one thread per token. */
template <typename T>
static __global__ void route_kernel(size_t tokens, size_t experts, size_t probes, const T *g, uint32_t *experts_out,
                                    float *gates_out)
{
    for (size_t t = lspo_grid_first(); t < tokens; t += lspo_grid_step()) {
        const T *gates = g + t * experts;
        float last = INFINITY;
        size_t last_at = 0;
        for (size_t i = 0; i < probes; i++) {
            float best = -INFINITY;
            size_t best_at = experts;
            for (size_t k = 0; k < experts; k++) {
                const float gate = gate_at(lspo_to_float(gates[k]));
                const bool behind = i == 0 || gate < last || (gate == last && k > last_at);
                if (behind && (best_at == experts || gate > best)) {
                    best = gate;
                    best_at = k;
                }
            }
            last = best;
            last_at = best_at;
            experts_out[t * probes + i] = (uint32_t)best_at;
            gates_out[t * probes + i] = lspo_to_float(gates[best_at]);
        }
    }
}

template <typename T>
static int launch_scores(const lspo_cuda_t *on, const lspo_keys_t *keys, const void *h, const void *dy, float *scratch)
{
    const size_t entries = keys->tokens * keys->chosen;
    return lspo_launch_over(entries * LSPO_WARP_THREADS, scores_kernel<T>, on->stream, rows_of<T>(keys), (const T *)h,
                            (const T *)dy, scratch, scratch + entries);
}

int lspo_keys_forward_cuda(const lspo_cuda_t *on, const lspo_keys_t *keys, const void *h, void *y, float *scratch)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const int error = launch_scores<T>(on, keys, h, NULL, scratch);
        return error != cudaSuccess ? error
                                    : lspo_launch_over(keys->tokens * keys->width, tokens_kernel<T>, on->stream,
                                                       rows_of<T>(keys), (const float *)scratch, keys->width, (T *)y);
    });
}

int lspo_keys_backward_cuda(const lspo_cuda_t *on, const lspo_keys_t *keys, const void *h, const void *dy,
                            const lspo_keys_gradients_t *gradients, float *scratch)
{
    void *dh = gradients->dh, *drows = gradients->drows;
    const float *activation = scratch, *gradient = scratch + keys->tokens * keys->chosen;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        int error = launch_scores<T>(on, keys, h, dy, scratch);
        if (error == cudaSuccess)
            error = lspo_launch_over(keys->tokens * keys->width, tokens_kernel<T>, on->stream, rows_of<T>(keys),
                                     gradient, (size_t)0, (T *)dh);
        if (error == cudaSuccess)
            error = lspo_launch_over(keys->count * 2 * keys->width, rows_kernel<T>, on->stream, rows_of<T>(keys),
                                     activation, gradient, (const T *)h, (const T *)dy, (T *)drows);
        return error;
    });
}

int lspo_keys_route_cuda(const lspo_cuda_t *on, const lspo_route_t *route, const void *g, uint32_t *experts_out,
                         float *gates_out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_over(route->tokens, route_kernel<T>, on->stream, route->tokens, route->experts,
                                route->probes, (const T *)g, experts_out, gates_out);
    });
}
