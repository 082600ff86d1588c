/* few_rows.h - products of a matrix with few rows and a large one, as in generation, where the weights are read for
 * one token per sequence and the time is that of reading them.
 *
 *     Y = X W + bias + residual          X: rows x m, Y: rows x n, both fp32 and dense
 *     W: m x n, or stored transposed as n x m; fp32, bf16 or fp16
 *
 * Sums are in fp32.  Up to LSPO_FEW_ROWS rows, W is read once and in order, in its own format; more rows are
 * products of gemm.h, for which a 16-bit W is expanded part by part.  Workers share the columns of Y; a column's sum
 * does not depend on their number.  FLOPs: 2 rows m n.  Bytes: those of W, which should come from memory at its full
 * bandwidth while the FLOPs take no longer (bench/bench_generate).
 */
#ifndef LSPO_KERNELS_FEW_ROWS_H
#define LSPO_KERNELS_FEW_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/workers.h"
#include "kernels/number.h"

enum { LSPO_FEW_ROWS = 16 }; /* as in plan/build_generate.h */

typedef struct {
    size_t rows, m, n;
    size_t stride;        /* from a row of W to the next; 0: n.  Of a transposed W always m */
    lspo_number_t number; /* of W */
    const void *w;
    bool transposed;
    const float *bias; /* n; NULL: none */
} lspo_few_rows_t;

/* residual: rows x n, may be `out`; NULL: none.  workers: NULL: the calling thread. */
void lspo_few_rows_product(const lspo_few_rows_t *p, const float *x, const float *residual, float *out,
                           lspo_workers_t *workers);

#endif
