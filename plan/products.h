/* products.h - the speed of matrix products by shape: a measured grid over (m, n, k), as shares of the best rate.
 *
 *     share(layout, m, n, k) = 2^(trilinear interpolation of log2 share over log m, log n, log k),
 *                              clamped outside the grid
 *
 * All three dimensions have the same list of sizes, and each layout of the operands has its own shares.  They are
 * shares of gemm_flops and not rates, so that one grid is valid for every precision, and an override of the rate scales
 * all of it.  In a profile:
 *     [products]
 *     sizes = 16 64 256             ascending, first key of the section
 *     nn_m16_n64 = 0.21 0.35 0.41   X W at m = 16, n = 64, and k of each size; one row per layout, m and n
 */
#ifndef LSPO_PLAN_PRODUCTS_H
#define LSPO_PLAN_PRODUCTS_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/work.h"

enum { LSPO_PRODUCT_SIZES_MAX = 8 };

typedef struct {
    uint32_t size_count; /* 0: no grid */
    double sizes[LSPO_PRODUCT_SIZES_MAX];
    /* By layout, m, n, k; above 0. */
    double share[LSPO_LAYOUT_COUNT][LSPO_PRODUCT_SIZES_MAX][LSPO_PRODUCT_SIZES_MAX][LSPO_PRODUCT_SIZES_MAX];
} lspo_products_t;

/* The grid must have sizes. */
double lspo_products_share(const lspo_products_t *products, lspo_layout_t layout, double m, double n, double k);

/* Read one key of the section; `what` names its place in messages.  LSPO_ERR_INPUT if it is wrong. */
lspo_status_t lspo_products_take(const char *what, const char *key, const char *value, lspo_products_t *products);

/* LSPO_ERR_INPUT, with `what` in the message, unless sizes ascend, shares are in (0, 4] and no row is missing. */
lspo_status_t lspo_products_check(const char *what, const lspo_products_t *products);

/* Write the section with all digits; nothing if there is no grid. */
void lspo_products_write(const lspo_products_t *products, FILE *file);

#endif
