/* tensor_view.c - see tensor_view.h. */
#include "real/formats/tensor_view.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

size_t lspo_tensor_view_chunk(const lspo_tensor_view_t *view)
{
    return view->cols > 0 && view->cols <= LSPO_CHUNK_ELEMENTS ? LSPO_CHUNK_ELEMENTS / view->cols * view->cols
                                                               : LSPO_CHUNK_ELEMENTS;
}

/* The offset of element `index`, in row-major order of the view. */
static size_t place_of(const lspo_tensor_view_t *view, uint64_t index)
{
    return index / view->cols * view->row_stride + index % view->cols * view->col_stride;
}

static bool is_turned(const lspo_tensor_view_t *view, uint64_t first, size_t count)
{
    return view->row_stride < view->col_stride && first % view->cols == 0 && count % view->cols == 0;
}

void lspo_tensor_view_gather(const float *data, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                             float *line)
{
    const size_t rows = count / view->cols;
    if (is_turned(view, first, count)) {
        for (size_t j = 0; j < view->cols; j++)
            for (size_t i = 0; i < rows; i++)
                line[i * view->cols + j] = data[place_of(view, first) + i * view->row_stride + j * view->col_stride];
        return;
    }
    for (size_t done = 0; done < count;) {
        const float *from = data + place_of(view, first + done);
        size_t left = view->cols - (first + done) % view->cols, run = left < count - done ? left : count - done;
        for (size_t j = 0; j < run; j++)
            line[done + j] = from[j * view->col_stride];
        done += run;
    }
}

/* Compiled once for each size. */
static inline void scatter(const char *line, const lspo_tensor_view_t *view, uint64_t first, size_t count, size_t size,
                           char *data)
{
    const size_t rows = count / view->cols;
    if (is_turned(view, first, count)) {
        for (size_t j = 0; j < view->cols; j++)
            for (size_t i = 0; i < rows; i++)
                memcpy(data + (place_of(view, first) + i * view->row_stride + j * view->col_stride) * size,
                       line + (i * view->cols + j) * size, size);
        return;
    }
    for (size_t done = 0; done < count;) {
        char *to = data + place_of(view, first + done) * size;
        size_t left = view->cols - (first + done) % view->cols, run = left < count - done ? left : count - done;
        for (size_t j = 0; j < run; j++)
            memcpy(to + j * view->col_stride * size, line + (done + j) * size, size);
        done += run;
    }
}

void lspo_tensor_view_scatter(const void *line, const lspo_tensor_view_t *view, uint64_t first, size_t count,
                              size_t element_bytes, void *data)
{
    assert(element_bytes == sizeof(float) || element_bytes == sizeof(uint16_t));
    if (element_bytes == sizeof(float))
        scatter(line, view, first, count, sizeof(float), data);
    else
        scatter(line, view, first, count, sizeof(uint16_t), data);
}
