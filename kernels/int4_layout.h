/* int4_layout.h - where packed weights of 4 bits are, for the sources of int4.h: strips of columns, in each strip the
 * groups of rows, in each group the head (scales and, with zeros, zero points), then a word for 8 rows of each
 * column. */
#ifndef LSPO_KERNELS_INT4_LAYOUT_H
#define LSPO_KERNELS_INT4_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/int4.h"
#include "kernels/simd.h"

enum { STRIP = LSPO_INT4_STRIP, ROUND = LSPO_INT4_ROWS };

/* Rows with those that a strip is filled up with. */
LSPO_INLINE size_t lspo_int4_filled(size_t rows)
{
    return (rows + ROUND - 1) / ROUND * ROUND;
}

LSPO_INLINE size_t lspo_int4_strips_of(const lspo_int4_shape_t *shape)
{
    return (shape->n + STRIP - 1) / STRIP;
}

LSPO_INLINE size_t lspo_int4_group_rows(const lspo_int4_shape_t *shape)
{
    return shape->group > 0 ? shape->group : shape->m;
}

/* Bytes before the words of a cell. */
LSPO_INLINE size_t lspo_int4_head_bytes(const lspo_int4_shape_t *shape)
{
    return (shape->zeros ? 2 : 1) * STRIP * sizeof(uint16_t);
}

LSPO_INLINE size_t lspo_int4_strip_bytes(const lspo_int4_shape_t *shape)
{
    return lspo_int4_groups(shape) * lspo_int4_head_bytes(shape) + lspo_int4_filled(shape->m) * STRIP / 2;
}

/* Of a group in a strip. */
LSPO_INLINE size_t lspo_int4_cell_at(const lspo_int4_shape_t *shape, size_t strip, size_t group)
{
    return strip * lspo_int4_strip_bytes(shape) +
           group * (lspo_int4_head_bytes(shape) + lspo_int4_group_rows(shape) * STRIP / 2);
}

LSPO_INLINE uint16_t *lspo_int4_scales_at(const lspo_int4_shape_t *shape, const void *packed, size_t strip,
                                          size_t group)
{
    return (uint16_t *)(void *)((char *)(uintptr_t)packed + lspo_int4_cell_at(shape, strip, group));
}

/* The words of the 8 rows that a row is one of. */
LSPO_INLINE uint32_t *lspo_int4_words_at(const lspo_int4_shape_t *shape, const void *packed, size_t strip, size_t row)
{
    const size_t group = row / lspo_int4_group_rows(shape), octet = row % lspo_int4_group_rows(shape) / 8;
    return (uint32_t *)(void *)((char *)(uintptr_t)packed + lspo_int4_cell_at(shape, strip, group) +
                                lspo_int4_head_bytes(shape)) +
           octet * STRIP;
}

/* Where a word has a row. */
LSPO_INLINE unsigned lspo_int4_shift_of(size_t row)
{
    return 8 * (unsigned)(row % 4) + 4 * (unsigned)(row / 4 % 2);
}

#endif
