/* int4_quantize.c - see int4_quantize.h. */
#include "kernels/int4_quantize.h"

#include <math.h>
#include <stdint.h>

#include "kernels/gptq.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

enum { COLS = LSPO_GRID_COLS };

/* What is kept of a group. */
enum { SCALES, INVERSES };

typedef struct {
    const lspo_int4_shape_t *shape;
    void *packed;
} codes_t;

LSPO_SIMD static void take_larger(size_t cols, const float *w, float *restrict most, float *restrict sum)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        most[j] = fabsf(w[j]) > most[j] ? fabsf(w[j]) : most[j];
        sum[j] += 0.0F * w[j]; /* NaN if a weight is not finite */
    }
}

/* The scales of a group whose first weights are at w.  Returns false if there are none. */
static bool find_scales(size_t rows, size_t cols, const float *w, size_t stride, uint16_t *halves,
                        lspo_grid_kept_t *kept)
{
    float most[COLS] = {0}, sum[COLS] = {0}, wanted[COLS];
    for (size_t i = 0; i < rows; i++)
        take_larger(cols, w + i * stride, most, sum);
    for (size_t j = 0; j < cols; j++)
        wanted[j] = (most[j] + sum[j]) * (2.0F / 15);
    lspo_pack_fp16(cols, wanted, halves);
    lspo_unpack_fp16(cols, halves, kept->of[SCALES]);
    bool finite = true;
    for (size_t j = 0; j < cols; j++) {
        finite = finite && isfinite(kept->of[SCALES][j]);
        kept->of[INVERSES][j] = kept->of[SCALES][j] > 0 ? 1 / kept->of[SCALES][j] : 0;
    }
    return finite;
}

/* Adding 1.5 x 2^23 rounds to an integer. */
LSPO_SIMD static void round_row(size_t cols, const lspo_grid_kept_t *kept, const float *w, uint8_t *restrict codes,
                                float *restrict rounded)
{
    const float to_integer = 12582912.0F;
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        const float steps = w[j] * kept->of[INVERSES][j];
        const float limited = steps > 7 ? 7 : steps < -8 ? -8 : steps;
        const float step = (limited + to_integer) - to_integer;
        codes[j] = (uint8_t)(int32_t)(step + LSPO_INT4_ZERO);
        rounded[j] = kept->of[SCALES][j] * step;
    }
}

static bool round_part(void *context, const lspo_grid_part_t *part, const float *w, lspo_grid_kept_t *kept,
                       float *rounded)
{
    const codes_t *to = context;
    const lspo_int4_shape_t *shape = to->shape;
    const size_t group = shape->group > 0 ? shape->group : shape->m, left = shape->m - part->row;
    const lspo_int4_part_t at = {.row = part->row, .rows = 1, .col = part->col, .cols = part->cols};
    uint16_t halves[COLS];
    uint8_t codes[COLS];
    if (part->row % group == 0) {
        if (!find_scales(left < group ? left : group, part->cols, w, shape->n, halves, kept))
            return false;
        lspo_int4_store_scales(shape, &at, halves, NULL, to->packed);
    }
    round_row(part->cols, kept, w, codes, rounded);
    lspo_int4_store_codes(shape, &at, codes, to->packed);
    return true;
}

bool lspo_int4_round(lspo_workers_t *workers, const lspo_int4_shape_t *shape, const float *w, void *packed)
{
    codes_t to = {shape, packed};
    return lspo_grid_round(workers, &(lspo_grid_t){shape->m, shape->n, round_part, &to}, w, NULL);
}

bool lspo_int4_gptq(lspo_workers_t *workers, const lspo_int4_shape_t *shape, float *w, const float *upper, void *packed)
{
    codes_t to = {shape, packed};
    return lspo_gptq_round(workers, &(lspo_grid_t){shape->m, shape->n, round_part, &to}, w, upper);
}
