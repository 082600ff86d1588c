/* turn.h - matrices in the coordinates of other bases, and back:
 *
 *     in      X = T_m^T G T_n      G and X: m x n, T_m: m x m, T_n: n x n, all row-major
 *     back    D <- T_m D T_n^T
 *
 * `count` matrices of one shape, one after the other.  On the host in fp32, with the products and the rounding of
 * kernels/eigen_adam.h; on a GPU in the device's format, in two batched products.  y is scratch of count m n numbers.
 * FLOPs: 2 count m n (m + n) each. */
#ifndef LSPO_KERNELS_TURN_H
#define LSPO_KERNELS_TURN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    size_t count, m, n;
    const void *bases; /* of each matrix T_m, then T_n */
} lspo_turn_t;

/* In place: g becomes X, d the direction in the message's coordinates. */
void lspo_turn_in(const lspo_turn_t *turn, float *g, float *y);
void lspo_turn_back(const lspo_turn_t *turn, float *d, float *y);

#ifdef __cplusplus
}
#endif
#endif
