/* ternary_quantize.c - see ternary_quantize.h. */
#include "kernels/ternary_quantize.h"

#include <math.h>
#include <stdint.h>

#include "kernels/gptq.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

enum { COLS = LSPO_GRID_COLS };

/* What is kept of a column. */
enum { LOW, HIGH };

LSPO_SIMD static void widen(size_t cols, const float *w, float *restrict low, float *restrict high, float *restrict sum)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        low[j] = w[j] < low[j] ? w[j] : low[j];
        high[j] = w[j] > high[j] ? w[j] : high[j];
        sum[j] += 0.0F * w[j]; /* NaN if a weight is not finite */
    }
}

static bool round_to_bf16(size_t cols, float *x)
{
    uint16_t halves[COLS];
    bool finite = true;
    lspo_pack_bf16(cols, x, halves);
    lspo_unpack_bf16(cols, halves, x);
    for (size_t j = 0; j < cols; j++)
        finite = finite && isfinite(x[j]);
    return finite;
}

static bool find_numbers(size_t m, size_t n, size_t cols, const float *w, lspo_grid_kept_t *kept)
{
    float sum[COLS] = {0};
    for (size_t j = 0; j < cols; j++)
        kept->of[LOW][j] = kept->of[HIGH][j] = 0;
    for (size_t i = 0; i < m; i++)
        widen(cols, w + i * n, kept->of[LOW], kept->of[HIGH], sum);
    for (size_t j = 0; j < cols; j++)
        kept->of[HIGH][j] += sum[j];
    return round_to_bf16(cols, kept->of[LOW]) && round_to_bf16(cols, kept->of[HIGH]);
}

LSPO_SIMD static void round_row(size_t cols, const lspo_grid_kept_t *kept, const float *w, float *restrict rounded)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        const float low = kept->of[LOW][j], high = kept->of[HIGH][j];
        rounded[j] = w[j] < 0.5F * low ? low : w[j] > 0.5F * high ? high : 0.0F;
    }
}

static bool round_part(void *context, const lspo_grid_part_t *part, const float *w, lspo_grid_kept_t *kept,
                       float *rounded)
{
    const lspo_grid_t *grid = context;
    if (part->row == 0 && !find_numbers(grid->m, grid->n, part->cols, w, kept))
        return false;
    round_row(part->cols, kept, w, rounded);
    return true;
}

static lspo_grid_t grid_of(size_t m, size_t n)
{
    return (lspo_grid_t){.m = m, .n = n, .round = round_part};
}

bool lspo_ternary_nearest(lspo_workers_t *workers, size_t m, size_t n, float *w)
{
    lspo_grid_t grid = grid_of(m, n);
    grid.context = &grid;
    return lspo_grid_round(workers, &grid, w, w);
}

bool lspo_ternary_gptq(lspo_workers_t *workers, size_t m, size_t n, float *w, const float *upper)
{
    lspo_grid_t grid = grid_of(m, n);
    grid.context = &grid;
    return lspo_gptq_round(workers, &grid, w, upper);
}
