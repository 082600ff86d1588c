/* sparse_peer.h - products with a sparse matrix by cuSPARSE, to which bench_cuda compares the projectors' kernels. */
#ifndef LSPO_BENCH_SPARSE_PEER_H
#define LSPO_BENCH_SPARSE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/number.h"

/* By rows, on the device: entries first[i] .. first[i + 1) of `column` and `value`, fp32 whatever the format is. */
typedef struct {
    size_t rows, cols, entries;
    uint32_t *first, *column;
    float *value;
} sparse_rows_t;

/* out = scale A in + beta out; `in` and `out` have `width` columns and lie row by row, or column by column. */
typedef struct {
    sparse_rows_t a;
    size_t width;
    bool by_columns;
    float scale, beta;
    void *in, *out;
} sparse_product_t;

typedef struct sparse_peer sparse_peer_t;

/* NULL, with a message, where cuSPARSE does not take it.  A's values in the format, cuSPARSE's own memory and its
 * preparations are made here and are not part of what is timed. */
sparse_peer_t *sparse_peer_create(lspo_number_t number, const sparse_product_t *product);
/* A cudaError_t. */
int sparse_peer_run(sparse_peer_t *peer);
void sparse_peer_destroy(sparse_peer_t *peer);

#endif
