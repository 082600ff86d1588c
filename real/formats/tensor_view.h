/* tensor_view.h - copy a matrix with strides to or from row-major order, chunk by chunk. */
#ifndef LSPO_REAL_FORMATS_TENSOR_VIEW_H
#define LSPO_REAL_FORMATS_TENSOR_VIEW_H

#include <stddef.h>
#include <stdint.h>

enum { LSPO_CHUNK_ELEMENTS = 1 << 16 };

/* A rows x cols view, element (i, j) at data[i row_stride + j col_stride]. */
typedef struct {
    uint64_t cols;
    size_t row_stride, col_stride;
} lspo_tensor_view_t;

/* Elements per chunk, at most LSPO_CHUNK_ELEMENTS: complete rows if one fits, so that a transposition reads and writes
 * whole cache lines. */
size_t lspo_tensor_view_chunk(const lspo_tensor_view_t *view);
/* Copy elements first .. first + count - 1, in row-major order, from the view to `line`, or from `line` to the view,
 * whose elements have 4 or 2 bytes. */
void lspo_tensor_view_gather(const float *data, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                             float *line);
void lspo_tensor_view_scatter(const void *line, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                              size_t element_bytes, void *data);

#endif
