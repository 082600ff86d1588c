/* keys.c - an adapter of which each token uses few rows, on the CPU. */
#include "kernels/keys.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/simd.h"

LSPO_INLINE float dot(size_t n, const float *x, const float *y)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* out += a x */
LSPO_INLINE void add_scaled(size_t n, float a, const float *x, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] += a * x[i];
}

static const float *row_of(const lspo_keys_t *keys, size_t entry)
{
    return (const float *)keys->rows + (size_t)keys->slots[entry] * 2 * keys->width;
}

/* The activation of an entry, and that of its gradient; 0 where ReLU is. */
typedef struct {
    float *activation, *gradient;
} entries_t;

LSPO_SIMD void lspo_keys_forward(const lspo_keys_t *keys, const float *h, float *y, float *scratch)
{
    const size_t d = keys->width;
    (void)scratch;
    for (size_t t = 0; t < keys->tokens; t++)
        for (size_t e = t * keys->chosen; e < (t + 1) * keys->chosen; e++) {
            const float *row = row_of(keys, e), score = dot(d, h + t * d, row);
            if (score > 0)
                add_scaled(d, score, row + d, y + t * d);
        }
}

LSPO_SIMD static void token_backward(const lspo_keys_t *keys, size_t t, const float *h, const float *dy, float *dh,
                                     const entries_t *entries)
{
    const size_t d = keys->width;
    for (size_t e = t * keys->chosen; e < (t + 1) * keys->chosen; e++) {
        const float *row = row_of(keys, e), score = dot(d, h, row);
        const bool active = score > 0;
        entries->activation[e] = active ? score : 0;
        entries->gradient[e] = active ? dot(d, dy, row + d) : 0;
        if (active)
            add_scaled(d, entries->gradient[e], row, dh);
    }
}

LSPO_SIMD static void row_backward(const lspo_keys_t *keys, size_t u, const float *h, const float *dy,
                                   const entries_t *entries, float *drow)
{
    const size_t d = keys->width;
    memset(drow, 0, 2 * d * sizeof *drow);
    for (size_t i = keys->first[u]; i < keys->first[u + 1]; i++) {
        const size_t e = keys->entries[i], t = e / keys->chosen;
        if (!(entries->activation[e] > 0))
            continue;
        add_scaled(d, entries->gradient[e], h + t * d, drow);
        add_scaled(d, entries->activation[e], dy + t * d, drow + d);
    }
}

void lspo_keys_backward(const lspo_keys_t *keys, const float *h, const float *dy,
                        const lspo_keys_gradients_t *gradients, float *scratch)
{
    const size_t d = keys->width;
    float *dh = gradients->dh, *drows = gradients->drows;
    const entries_t entries = {scratch, scratch + keys->tokens * keys->chosen};
    for (size_t t = 0; t < keys->tokens; t++)
        token_backward(keys, t, h + t * d, dy + t * d, dh + t * d, &entries);
    for (size_t u = 0; u < keys->count; u++)
        row_backward(keys, u, h, dy, &entries, drows + u * 2 * d);
}

static float gate_at(const float *g, size_t i)
{
    return isnan(g[i]) ? -INFINITY : g[i];
}

/* The first expert behind `last` in the order of descending gates, then ascending experts; SIZE_MAX: the first. */
static size_t next_expert(size_t count, const float *g, size_t last)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const float gate = gate_at(g, i);
        if (last != SIZE_MAX && !(gate < gate_at(g, last) || (gate == gate_at(g, last) && i > last)))
            continue;
        if (best == SIZE_MAX || gate > gate_at(g, best))
            best = i;
    }
    return best;
}

void lspo_keys_route(const lspo_route_t *route, const float *g, uint32_t *experts_out, float *gates_out)
{
    for (size_t t = 0; t < route->tokens; t++) {
        size_t expert = SIZE_MAX;
        for (size_t i = 0; i < route->probes; i++) {
            expert = next_expert(route->experts, g + t * route->experts, expert);
            experts_out[t * route->probes + i] = (uint32_t)expert;
            gates_out[t * route->probes + i] = g[t * route->experts + expert];
        }
    }
}
