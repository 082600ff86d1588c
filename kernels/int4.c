/* int4.c - weights of 4 bits on the CPU: packing and expanding; see int4.h. */
#include "kernels/int4.h"

#include <assert.h>
#include <string.h>

#include "kernels/int4_layout.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t lspo_int4_groups(const lspo_int4_shape_t *shape)
{
    const size_t rows = lspo_int4_group_rows(shape);
    return rows > 0 ? (shape->m + rows - 1) / rows : 0;
}

size_t lspo_int4_bytes(const lspo_int4_shape_t *shape)
{
    return lspo_int4_strips_of(shape) * lspo_int4_strip_bytes(shape);
}

void lspo_int4_store_codes(const lspo_int4_shape_t *shape, const lspo_int4_part_t *part, const uint8_t *codes,
                           void *packed)
{
    const unsigned shift = lspo_int4_shift_of(part->row);
    assert(part->col % STRIP == 0);
    for (size_t done = 0; done < part->cols; done += STRIP) {
        uint32_t *words = lspo_int4_words_at(shape, packed, (part->col + done) / STRIP, part->row);
        for (size_t i = 0; part->row % ROUND == 0 && i < ROUND / 8 * STRIP; i++)
            words[i] = 0x88888888U;
        for (size_t c = 0; c < STRIP && done + c < part->cols; c++)
            words[c] = (words[c] & ~(15U << shift)) | (uint32_t)codes[done + c] << shift;
    }
}

void lspo_int4_store_scales(const lspo_int4_shape_t *shape, const lspo_int4_part_t *part, const uint16_t *scales,
                            const uint8_t *zeros, void *packed)
{
    assert(part->col % STRIP == 0);
    for (size_t done = 0; done < part->cols; done += STRIP) {
        uint16_t *to =
            lspo_int4_scales_at(shape, packed, (part->col + done) / STRIP, part->row / lspo_int4_group_rows(shape));
        for (size_t c = 0; c < STRIP; c++) {
            to[c] = done + c < part->cols ? scales[done + c] : 0;
            if (shape->zeros)
                to[STRIP + c] = done + c < part->cols ? zeros[done + c] : LSPO_INT4_ZERO;
        }
    }
}

void lspo_int4_pack(const lspo_int4_shape_t *shape, const uint8_t *codes, const uint16_t *scales, const uint8_t *zeros,
                    void *packed)
{
    const size_t n = shape->n;
    for (size_t g = 0; g < lspo_int4_groups(shape); g++)
        lspo_int4_store_scales(shape, &(lspo_int4_part_t){g * lspo_int4_group_rows(shape), 1, 0, n}, scales + g * n,
                               zeros != NULL ? zeros + g * n : NULL, packed);
    for (size_t i = 0; i < shape->m; i++)
        lspo_int4_store_codes(shape, &(lspo_int4_part_t){i, 1, 0, n}, codes + i * n, packed);
}

void lspo_int4_unpack(const lspo_int4_shape_t *shape, const void *packed, uint8_t *codes, uint16_t *scales,
                      uint8_t *zeros)
{
    for (size_t g = 0; g < lspo_int4_groups(shape); g++)
        for (size_t j = 0; j < shape->n; j++) {
            const uint16_t *from = lspo_int4_scales_at(shape, packed, j / STRIP, g) + j % STRIP;
            if (scales != NULL)
                scales[g * shape->n + j] = *from;
            if (zeros != NULL)
                zeros[g * shape->n + j] = shape->zeros ? (uint8_t)from[STRIP] : LSPO_INT4_ZERO;
        }
    for (size_t i = 0; codes != NULL && i < shape->m; i++)
        for (size_t j = 0; j < shape->n; j++)
            codes[i * shape->n + j] =
                lspo_int4_words_at(shape, packed, j / STRIP, i)[j % STRIP] >> lspo_int4_shift_of(i) & 15U;
}

/* A word of a lane, of 32 rows whose first words are at `words`. */
static uint32_t word_of_lane(const uint32_t *words, unsigned lane, unsigned q)
{
    uint32_t word = 0;
    for (unsigned i = 0; i < 8; i++) {
        const size_t row = 2 * (lane % 4) + i % 4 * 8 + i / 4, col = 8 * q + lane / 4;
        word |= (words[row / 8 * STRIP + col] >> lspo_int4_shift_of(row) & 15U) << (i % 4 * 4 + i / 4 * 16);
    }
    return word;
}

void lspo_int4_arrange(const lspo_int4_shape_t *shape, const void *packed, void *out)
{
    for (size_t strip = 0; strip < lspo_int4_strips_of(shape); strip++) {
        for (size_t g = 0; g < lspo_int4_groups(shape); g++)
            memcpy(lspo_int4_scales_at(shape, out, strip, g), lspo_int4_scales_at(shape, packed, strip, g),
                   lspo_int4_head_bytes(shape));
        for (size_t row = 0; row < shape->m; row += ROUND) {
            const uint32_t *from = lspo_int4_words_at(shape, packed, strip, row);
            uint32_t *to = lspo_int4_words_at(shape, out, strip, row);
            for (unsigned k = 0; k < ROUND / 8 * STRIP; k++)
                to[k] = word_of_lane(from, k / 4, k % 4);
        }
    }
}

/* ---- expand ---- */

/* Columns of one row. */
typedef struct {
    float scales[STRIP];
    int32_t zeros[STRIP];
} strip_head_t;

static void read_head(const lspo_int4_shape_t *shape, const uint16_t *cell, strip_head_t *head)
{
    lspo_unpack_fp16(STRIP, cell, head->scales);
    for (size_t c = 0; c < STRIP; c++)
        head->zeros[c] = shape->zeros ? cell[STRIP + c] : LSPO_INT4_ZERO;
}

LSPO_SIMD static void expand_row(const strip_head_t *head, const uint32_t *words, unsigned shift, float *restrict out)
{
#pragma omp simd
    for (size_t c = 0; c < STRIP; c++)
        out[c] = head->scales[c] * (float)((int32_t)(words[c] >> shift & 15U) - head->zeros[c]);
}

/* A strip's rows of a part, from its column `col` on. */
static void expand_strip(const lspo_int4_shape_t *shape, const void *packed, const lspo_int4_part_t *part, float *out,
                         size_t stride)
{
    strip_head_t head;
    float line[STRIP];
    const size_t strip = part->col / STRIP;
    for (size_t i = part->row; i < part->row + part->rows; i++, out += stride) {
        if (i == part->row || i % lspo_int4_group_rows(shape) == 0)
            read_head(shape, lspo_int4_scales_at(shape, packed, strip, i / lspo_int4_group_rows(shape)), &head);
        const uint32_t *words = lspo_int4_words_at(shape, packed, strip, i);
        if (part->cols == STRIP) {
            expand_row(&head, words, lspo_int4_shift_of(i), out);
        } else {
            expand_row(&head, words, lspo_int4_shift_of(i), line);
            memcpy(out, line, part->cols * sizeof *line);
        }
    }
}

void lspo_int4_expand(const lspo_int4_shape_t *shape, const void *packed, const lspo_int4_part_t *part, float *out,
                      size_t stride)
{
    assert(part->col % STRIP == 0);
    for (size_t done = 0; done < part->cols; done += STRIP)
        expand_strip(shape, packed,
                     &(lspo_int4_part_t){part->row, part->rows, part->col + done, smaller(part->cols - done, STRIP)},
                     out + done, stride);
}
