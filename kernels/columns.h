/* columns.h - select columns of a matrix (m x n, row-major, fp32): ZenFlow splits a gradient into the few most
 * important columns and the others.
 *
 * A split of n columns is an array of n indices: first the selected ones, ascending, then the others, ascending.
 */
#ifndef LSPO_KERNELS_COLUMNS_H
#define LSPO_KERNELS_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `count` columns of a matrix m x n. */
typedef struct {
    size_t m, n, count;
} lspo_columns_t;

/* Select the `count` columns with the largest sums of |g|, on ties the leftmost.  Always selects `count`, even if sums
 * are NaN.  scratch: 2 n floats; columns_out: n. */
void lspo_columns_split(const lspo_columns_t *shape, const float *g, float *scratch, uint32_t *columns_out);

/* out (m x count, dense) = these columns of x (m x n). */
void lspo_columns_gather(const lspo_columns_t *shape, const uint32_t *columns, const float *x, float *out);
/* The reverse. */
void lspo_columns_scatter(const lspo_columns_t *shape, const uint32_t *columns, const float *in, float *x);

#ifdef __cplusplus
}
#endif
#endif
