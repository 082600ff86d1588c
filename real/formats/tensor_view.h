/* tensor_view.h - a matrix in memory that a file holds in another order: its elements in and out, chunk by chunk. */
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

/* Elements of a chunk, at most LSPO_CHUNK_ELEMENTS: whole rows if one fits, so that turning a matrix reads and writes
 * lines of many rows. */
size_t lspo_tensor_view_chunk(const lspo_tensor_view_t *view);
/* Copy elements first .. first + count - 1, in row-major order, from the view to `line`, or from `line` to the view. */
void lspo_tensor_view_gather(const float *data, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                             float *line);
void lspo_tensor_view_scatter(const float *line, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                              float *data);

#endif
