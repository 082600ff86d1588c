/* few_rows_lanes.h - the inner loops of products with few rows, for vectors of LANES floats.  few_rows.c includes it
 * once per vector width, with these macros defined; it intentionally has no include guard.
 *     LANES, NAME(name), TARGET   of this width
 *     lanes_t                     a vector type that the compiler knows
 *     lanes_all(value), lanes_load(from), lanes_of_fp16(from)
 *     lanes_fma(a, b, c): a b + c, lanes_total(a): the sum of its lanes
 *     FOLLOWS                     defined where follow_strip() is faster
 *     ROWS_MOST                   rows of X whose sums for two vectors of columns fit in registers
 *     DOT_ROWS_MOST               rows of X whose sums for DOTS columns of a transposed W do */

typedef uint32_t NAME(words) __attribute__((vector_size(4 * LANES)));
typedef uint16_t NAME(halves) __attribute__((vector_size(2 * LANES)));

/* 2 LANES columns of a row of W.  Even and odd columns of bf16 numbers are apart, because words then become numbers
 * without a permutation. */
TARGET LSPO_INLINE void NAME(load_tile)(lspo_number_t number, const char *w, lanes_t out[2])
{
    NAME(words) words;
    if (number == LSPO_NUMBER_FP32) {
        out[0] = lanes_load((const float *)(const void *)w);
        out[1] = lanes_load((const float *)(const void *)w + LANES);
        return;
    }
    if (number == LSPO_NUMBER_FP16) {
        out[0] = lanes_of_fp16((const void *)w);
        out[1] = lanes_of_fp16((const void *)(w + 2 * LANES));
        return;
    }
    memcpy(&words, w, sizeof words);
    out[0] = (lanes_t)(words << 16);
    out[1] = (lanes_t)(words & 0xffff0000U);
}

/* sums (rows x 2 LANES) += rows of x, TOGETHER apart, times a tile of W, and asks for another one. */
TARGET LSPO_INLINE void NAME(add)(size_t rows, lspo_number_t number, const strip_t *strip, tile_t tile)
{
    lanes_t part[ROWS_MOST][2], w[2];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        part[r][0] = part[r][1] = lanes_all(0.0F);
    for (size_t i = 0; i < strip->rows; i++) {
        NAME(load_tile)(number, tile.w + i * strip->stride, w);
        for (size_t at = 0; at < 2 * LANES * lspo_number_bytes(number); at += LINE_BYTES)
            __builtin_prefetch(tile.ahead + i * strip->stride + at);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const lanes_t factor = lanes_all(tile.x[r * TOGETHER + i]);
            part[r][0] = lanes_fma(factor, w[0], part[r][0]);
            part[r][1] = lanes_fma(factor, w[1], part[r][1]);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        float *sum = tile.sums + r * 2 * LANES;
        part[r][0] += lanes_load(sum);
        part[r][1] += lanes_load(sum + LANES);
        memcpy(sum, part[r], sizeof part[r]);
    }
}

/* The strip's tiles one after the other, each for as many rows of X at a time as there are registers for. */
TARGET LSPO_INLINE void NAME(add_strip)(lspo_number_t number, const strip_t *s)
{
    const size_t tile_bytes = 2 * LANES * lspo_number_bytes(number);
    size_t counts[LSPO_FEW_ROWS];
    const size_t groups = split_rows(s->x_rows, ROWS_MOST, counts);
    tile_t tile = {.sums = s->sums};
    for (size_t t = 0; t < s->cols / (2 * LANES); t++) {
        tile.w = s->w + t * tile_bytes;
        tile.ahead = s->ahead + t * tile_bytes;
        tile.x = s->x;
        for (size_t g = 0; g < groups; g++) {
            switch (counts[g]) {
            case 1:
                NAME(add)(1, number, s, tile);
                break;
            case 2:
                NAME(add)(2, number, s, tile);
                break;
            case 3:
                NAME(add)(3, number, s, tile);
                break;
            case 4:
                NAME(add)(4, number, s, tile);
                break;
            case 5:
                NAME(add)(5, number, s, tile);
                break;
#if ROWS_MOST > 5
            case 6:
                NAME(add)(6, number, s, tile);
                break;
            case 7:
                NAME(add)(7, number, s, tile);
                break;
            default:
                NAME(add)(8, number, s, tile);
                break;
#endif
            }
            tile.x += counts[g] * TOGETHER;
            tile.sums += counts[g] * 2 * LANES;
            tile.ahead = tile.w;
        }
    }
}

TARGET static void NAME(add_strip_fp32)(const strip_t *s)
{
    NAME(add_strip)(LSPO_NUMBER_FP32, s);
}

TARGET static void NAME(add_strip_bf16)(const strip_t *s)
{
    NAME(add_strip)(LSPO_NUMBER_BF16, s);
}

TARGET static void NAME(add_strip_fp16)(const strip_t *s)
{
    NAME(add_strip)(LSPO_NUMBER_FP16, s);
}

#ifdef FOLLOWS
/* Line by line of memory, for FOLLOWED rows of W: a line is some tiles, whose sums are `vectors` vectors together.  The
 * last lines ask for the first ones of the next rows.  Vectors are stored one by one, because GCC would keep a whole
 * array in memory all the time. */
TARGET LSPO_INLINE void NAME(follow)(lspo_number_t number, size_t rows, const strip_t *s)
{
    const size_t tile_bytes = 2 * LANES * lspo_number_bytes(number), vectors = 2 * rows * (LINE_BYTES / tile_bytes);
    const size_t bytes = s->cols * lspo_number_bytes(number);
    for (size_t first = 0; first < s->rows; first += FOLLOWED) {
        const size_t count = smaller(s->rows - first, FOLLOWED);
        const char *const w = s->w + first * s->stride;
        const bool last = first + count == s->rows;
        float *to = last ? s->sums : s->parts;
        for (size_t at = 0, t = 0; at < bytes; at += LINE_BYTES, t += vectors * LANES) {
            const size_t to_next = at + AHEAD_BYTES < bytes ? 0 : FOLLOWED * s->stride - bytes;
            const uintptr_t ahead = (uintptr_t)w + at + AHEAD_BYTES + to_next;
            lanes_t part[2 * FEWEST_ROWS * TILES_FOLLOWED], tile[2];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                part[v] = first > 0 ? lanes_load(s->parts + t + v * LANES) : lanes_all(0.0F);
            for (size_t i = 0; i < count; i++) {
                __builtin_prefetch((const void *)(ahead + i * s->stride));
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; v++) {
                    if (v % (2 * rows) == 0)
                        NAME(load_tile)(number, w + i * s->stride + at + v / (2 * rows) * tile_bytes, tile);
                    part[v] = lanes_fma(lanes_all(s->x[v / 2 % rows * TOGETHER + first + i]), tile[v % 2], part[v]);
                }
            }
#pragma GCC unroll 8
            for (size_t v = 0; last && v < vectors; v++)
                part[v] += lanes_load(to + t + v * LANES);
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                memcpy(to + t + v * LANES, &part[v], sizeof part[v]);
        }
    }
}

/* The same sums as of add_strip(), which adds the tile of 16-bit numbers behind the last whole line. */
TARGET LSPO_INLINE void NAME(follow_strip)(lspo_number_t number, const strip_t *s)
{
    const size_t bytes = lspo_number_bytes(number), line = LINE_BYTES / bytes, whole = s->cols / line * line;
    strip_t lines = *s, rest = *s;
    lines.cols = whole;
    if (s->x_rows == 1)
        NAME(follow)(number, 1, &lines);
    else
        NAME(follow)(number, FEWEST_ROWS, &lines);
    if (whole == s->cols)
        return;
    rest.cols -= whole;
    rest.w += whole * bytes;
    rest.ahead += whole * bytes;
    rest.sums += whole * s->x_rows;
    NAME(add_strip)(number, &rest);
}

TARGET static void NAME(follow_strip_fp32)(const strip_t *s)
{
    NAME(follow_strip)(LSPO_NUMBER_FP32, s);
}

TARGET static void NAME(follow_strip_bf16)(const strip_t *s)
{
    NAME(follow_strip)(LSPO_NUMBER_BF16, s);
}

TARGET static void NAME(follow_strip_fp16)(const strip_t *s)
{
    NAME(follow_strip)(LSPO_NUMBER_FP16, s);
}
#endif

/* ---- of a transposed W ---- */

TARGET LSPO_INLINE lanes_t NAME(numbers)(lspo_number_t number, const char *from)
{
    NAME(halves) halves;
    if (number == LSPO_NUMBER_FP32)
        return lanes_load((const float *)(const void *)from);
    if (number == LSPO_NUMBER_FP16)
        return lanes_of_fp16((const void *)from);
    memcpy(&halves, from, sizeof halves);
    return (lanes_t)(__builtin_convertvector(halves, NAME(words)) << 16);
}

/* sums += the products of rows of x, dots->m apart, with DOTS rows of W; a part of a vector at the end is zeros. */
TARGET LSPO_INLINE void NAME(add_dots)(size_t rows, lspo_number_t number, const dots_t *dots, size_t group)
{
    const size_t bytes = lspo_number_bytes(number), whole = dots->m / LANES * LANES;
    const float *x = dots->x + group * DOT_ROWS_MOST * dots->m;
    float *sums = dots->sums + group * DOT_ROWS_MOST * DOTS;
    lanes_t part[DOT_ROWS_MOST][DOTS];
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t d = 0; d < DOTS; d++)
            part[r][d] = lanes_all(0.0F);
    for (size_t i = 0; i < whole; i += LANES) {
        lanes_t w[DOTS];
#pragma GCC unroll 4
        for (size_t d = 0; d < DOTS; d++)
            w[d] = NAME(numbers)(number, dots->w[d] + i * bytes);
        for (size_t d = group; d < DOTS; d += dots->groups)
            __builtin_prefetch(dots->ahead[d] + i * bytes);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const lanes_t factor = lanes_load(x + r * dots->m + i);
#pragma GCC unroll 4
            for (size_t d = 0; d < DOTS; d++)
                part[r][d] = lanes_fma(factor, w[d], part[r][d]);
        }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t d = 0; d < DOTS; d++) {
            float sum = lanes_total(part[r][d]);
            for (size_t i = whole; i < dots->m; i++)
                sum += x[r * dots->m + i] * number_at(number, dots->w[d] + i * bytes);
            sums[r * DOTS + d] = sum;
        }
}

TARGET LSPO_INLINE void NAME(dots)(lspo_number_t number, const dots_t *dots)
{
    for (size_t group = 0; group < dots->groups; group++)
        switch (dots->x_rows - group * DOT_ROWS_MOST) {
        case 1:
            NAME(add_dots)(1, number, dots, group);
            break;
#if DOT_ROWS_MOST > 2
        case 2:
            NAME(add_dots)(2, number, dots, group);
            break;
        case 3:
            NAME(add_dots)(3, number, dots, group);
            break;
#endif
        default:
            NAME(add_dots)(DOT_ROWS_MOST, number, dots, group);
        }
}

TARGET static void NAME(dots_fp32)(const dots_t *dots)
{
    NAME(dots)(LSPO_NUMBER_FP32, dots);
}

TARGET static void NAME(dots_bf16)(const dots_t *dots)
{
    NAME(dots)(LSPO_NUMBER_BF16, dots);
}

TARGET static void NAME(dots_fp16)(const dots_t *dots)
{
    NAME(dots)(LSPO_NUMBER_FP16, dots);
}

#undef LANES
#undef NAME
#undef TARGET
#undef lanes_t
#undef lanes_all
#undef lanes_load
#undef lanes_of_fp16
#undef lanes_fma
#undef lanes_total
#undef ROWS_MOST
#undef DOT_ROWS_MOST
#undef FOLLOWS
