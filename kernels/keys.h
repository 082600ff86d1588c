/* keys.h - a wide adapter beside an MLP, of which each token uses few rows [MEFT, arXiv 2406.04984, Sec. 3], fp32.
 *
 * Row u has a key k_u (a column of W_A) and a value v_u (a row of W_B).  Token t uses its K rows S_t:
 *     y_t += sum over u in S_t of ReLU(h_t . k_u) v_u                  h, y: T x d
 *     dk_u = sum over the tokens of u of [h_t . k_u > 0] (dy_t . v_u) h_t
 *     dv_u = sum over the tokens of u of ReLU(h_t . k_u) dy_t
 *     dh_t += sum over u in S_t of [h_t . k_u > 0] (dy_t . v_u) k_u
 * Only the U rows that some token uses are there.  FLOPs: 4 T K d forward, 12 T K d backward; no product with rows that
 * a token does not use.  Sums have a fixed order: over a token's rows, and over a row's tokens, ascending.
 *
 * Which rows these are is found in two steps.  Rows belong to experts, the same number to each.  On the device,
 * lspo_keys_route() keeps the `probes` experts of a token with the largest gates g_e = (h W_g)_e; where the keys are,
 * the K rows of these with the largest |g_e| (h . k) are chosen (real/methods/meft_choose.c).
 */
#ifndef LSPO_KERNELS_KEYS_H
#define LSPO_KERNELS_KEYS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    size_t tokens, width, count, chosen; /* T, d, U, K */
    const void *rows;                    /* U x 2 d: the key of a row, then its value                         */
    const uint32_t *slots;               /* T x K: the rows of a token, ascending                             */
    const uint32_t *first;               /* U + 1: row u has the entries first[u] .. first[u + 1] - 1          */
    const uint32_t *entries;             /* T K: places t K + i of the row in slots, by row, ascending        */
} lspo_keys_t;

/* Adds to y.  scratch: T K floats. */
void lspo_keys_forward(const lspo_keys_t *keys, const float *h, float *y, float *scratch);
/* Of the backward pass, which adds to dh (T x d) and overwrites drows (U x 2 d). */
typedef struct {
    void *dh, *drows;
} lspo_keys_gradients_t;
/* scratch: 2 T K floats. */
void lspo_keys_backward(const lspo_keys_t *keys, const float *h, const float *dy,
                        const lspo_keys_gradients_t *gradients, float *scratch);

typedef struct {
    size_t tokens, experts, probes; /* 1 <= probes <= experts */
} lspo_route_t;

/* g: T x experts.  For each token its experts and their gates, descending; on ties the lowest expert first.  NaN counts
 * as the least gate.  experts_out, gates_out: T x probes. */
void lspo_keys_route(const lspo_route_t *route, const float *g, uint32_t *experts_out, float *gates_out);

#ifdef __cplusplus
}
#endif
#endif
