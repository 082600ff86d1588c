/* gptq.h - weights rounded to the numbers of a grid: each by itself, or by GPTQ.
 *
 * A grid says to what a weight is rounded: codes of 4 bits (int4_quantize.h), or three numbers (ternary_quantize.h).
 *
 * round to nearest: every weight by itself.
 *
 * GPTQ [Frantar, Ashkboos, Hoefler, Alistarh, arXiv 2210.17323, Alg. 1]: row after row of W (m x n: a row has the
 * weights of one input); what a row's rounding changes in X W, the rows behind it make up for as well as they can.
 * With H = X^T X of calibration inputs X and H^-1 = U^T U (U upper triangular)
 *     e = (w_i - w'_i) / U_ii;    w_k <- w_k - U_ik e for all rows k > i
 * H is first damped: a share of the mean of its diagonal is added to the diagonal.  The weights of an input that was
 * always 0 become 0.
 */
#ifndef LSPO_KERNELS_GPTQ_H
#define LSPO_KERNELS_GPTQ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/workers.h"

/* Columns are independent: workers share them, so many at a time. */
enum { LSPO_GRID_COLS = 128 };

/* A row of W from a column on. */
typedef struct {
    size_t row, col, cols;
} lspo_grid_part_t;

/* Numbers of these columns that a grid finds in one row and needs in the next ones. */
typedef struct {
    float of[2][LSPO_GRID_COLS];
} lspo_grid_kept_t;

typedef struct {
    size_t m, n;
    /* Round a row, whose columns' weights are at w and n floats on those of the row behind it.  Rows of a column come
     * in order, from 0 on.  Returns false for a weight that the grid cannot hold. */
    bool (*round)(void *context, const lspo_grid_part_t *part, const float *w, lspo_grid_kept_t *kept, float *rounded);
    void *context;
} lspo_grid_t;

/* w, out: m x n, may be the same; out may be NULL.  Returns false, with undefined `out`, for a weight that the grid
 * cannot hold.  The same for any workers; NULL: the calling thread. */
bool lspo_grid_round(lspo_workers_t *workers, const lspo_grid_t *grid, const float *w, float *out);

/* hessian (m x m) += X^T X; x: tokens x m.  Only its upper triangle counts. */
void lspo_gptq_add_inputs(lspo_workers_t *workers, size_t m, size_t tokens, const float *x, float *hessian);

/* The upper triangle of hessian <- U; U_ii is negative for an input that was always 0.  damping: the share, above 0.
 * LSPO_ERR_INPUT if the hessian is not finite, or has no factor in fp32. */
lspo_status_t lspo_gptq_factor(size_t m, float damping, float *hessian);

/* w <- w'.  Returns false as lspo_grid_round(). */
bool lspo_gptq_round(lspo_workers_t *workers, const lspo_grid_t *grid, float *w, const float *upper);

#endif
