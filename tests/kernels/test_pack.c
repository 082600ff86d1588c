/* 16-bit formats: every pattern against an independent reading of the format, rounding against a search for the
 * nearest. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/pack.h"
#include "kernels/random.h"

enum { PATTERNS = 1 << 16, SAMPLES = 1 << 18 };

typedef struct {
    const char *name;
    void (*pack)(size_t n, const float *in, uint16_t *out);
    void (*unpack)(size_t n, const uint16_t *in, float *out);
    int exponent_bits, mantissa_bits;
} format_t;

static const format_t formats[] = {{"bf16", lspo_pack_bf16, lspo_unpack_bf16, 8, 7},
                                   {"fp16", lspo_pack_fp16, lspo_unpack_fp16, 5, 10}};

static void on_every_level(void (*check)(const format_t *format))
{
    lspo_cpu_level_t best = lspo_cpu_level();
    for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
            check(&formats[i]);
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The value of a pattern by the definition of the format: (-1)^s 2^(e - bias) 1.f, 2^(1 - bias) 0.f, inf, NaN. */
static double value_of(const format_t *format, uint32_t pattern)
{
    const int largest = (1 << format->exponent_bits) - 1, bias = largest / 2;
    const double sign = pattern >> 15 ? -1.0 : 1.0;
    const int exponent = (int)(pattern >> format->mantissa_bits) & largest;
    const int mantissa = (int)pattern & ((1 << format->mantissa_bits) - 1);
    if (exponent == largest)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - format->mantissa_bits);
    return sign * ldexp(mantissa + (1 << format->mantissa_bits), exponent - bias - format->mantissa_bits);
}

static void check_every_pattern(const format_t *format)
{
    static uint16_t patterns[PATTERNS], again[PATTERNS];
    static float values[PATTERNS];
    for (uint32_t i = 0; i < PATTERNS; i++)
        patterns[i] = (uint16_t)i;
    format->unpack(PATTERNS, patterns, values);
    format->pack(PATTERNS, values, again);
    const uint32_t quiet = 1u << (format->mantissa_bits - 1);
    for (uint32_t i = 0; i < PATTERNS; i++) {
        const double expected = value_of(format, i);
        if (isnan(expected)) {
            cr_assert(isnan(values[i]), "%s %04x is not NaN", format->name, i);
            cr_assert_eq(again[i], i | quiet, "%s NaN %04x came back as %04x", format->name, i, again[i]);
        } else {
            cr_assert((double)values[i] == expected && !signbit(values[i]) == !(i >> 15), "%s %04x is %g, not %g",
                      format->name, i, (double)values[i], expected);
            cr_assert_eq(again[i], i, "%s %04x came back as %04x", format->name, i, again[i]);
        }
    }
}

Test(pack, every_pattern)
{
    on_every_level(check_every_pattern);
}

/* Is `pattern` the nearest to `value` (both positive, finite), ties to the even one?  Its neighbours decide; the one
 * above the largest finite counts as a power of two, as IEEE 754 rounds. */
static bool is_nearest(const format_t *format, double value, uint32_t pattern)
{
    const uint32_t infinite = ((1u << format->exponent_bits) - 1u) << format->mantissa_bits;
    const double beyond = ldexp(1.0, 1 << (format->exponent_bits - 1));
    const double here = pattern == infinite ? beyond : value_of(format, pattern);
    const double above = pattern + 1 == infinite ? beyond : value_of(format, pattern + 1);
    const double below = pattern == 0 ? -1.0 : value_of(format, pattern - 1);
    const double distance = fabs(value - here);
    if (pattern < infinite && (fabs(value - above) < distance || (fabs(value - above) == distance && pattern % 2 == 1)))
        return false;
    return value >= here || fabs(value - below) > distance || (fabs(value - below) == distance && pattern % 2 == 0);
}

/* Random floats of all magnitudes, every midpoint between neighbours and the floats on its two sides. */
static void check_rounding(const format_t *format)
{
    static float in[SAMPLES + 3 * PATTERNS / 2 + 16];
    static uint16_t out[sizeof in / sizeof *in];
    size_t n = 0;
    for (uint64_t block = 0; n < SAMPLES; block++) {
        uint32_t words[4];
        lspo_random_block(99, 0, block, words);
        for (int i = 0; i < 2; i++) {
            in[n++] = float_of(words[i] & 0x7fffffffu);
            in[n++] = float_of((words[i + 2] & 0x0fffffffu) | 0x30000000u); /* 2^-31 .. 2^1: around fp16's denormals */
        }
    }
    const uint32_t infinite = ((1u << format->exponent_bits) - 1u) << format->mantissa_bits;
    for (uint32_t i = 0; i + 1 < infinite; i++) {
        float middle = (float)(0.5 * (value_of(format, i) + value_of(format, i + 1)));
        in[n++] = middle;
        in[n++] = nextafterf(middle, 0.0f);
        in[n++] = nextafterf(middle, INFINITY);
    }
    const float edges[] = {65504.0f,  65519.996f, 65520.0f, 65536.0f, FLT_MAX,         FLT_MIN,
                           0x1p-149f, INFINITY,   0x1p-24f, 0x1p-25f, 0x1.000002p-25f, 0.0f};
    memcpy(in + n, edges, sizeof edges);
    n += sizeof edges / sizeof *edges;
    format->pack(n, in, out);
    for (size_t i = 0; i < n; i++) {
        if (isnan(in[i]))
            cr_assert(isnan(value_of(format, out[i])), "%s: NaN %08x became %04x", format->name, bits_of(in[i]),
                      out[i]);
        else if (isinf(in[i]))
            cr_assert_eq(out[i], infinite);
        else
            cr_assert(is_nearest(format, (double)in[i], out[i]), "%s: %a became %04x", format->name, (double)in[i],
                      out[i]);
    }
}

Test(pack, rounds_to_nearest_even)
{
    on_every_level(check_rounding);
}

/* By hand.  fp16: 1 = 0x3c00, -2 = 0xc000, 65504 = 0x7bff, 65520 -> infinity, 2^-24 = 0x0001, 2^-25 ties to 0,
 * 1 + 2^-11 ties to 1, 1 + 3 2^-11 ties to 1 + 2^-9 = 0x3c02.  bf16: 1 = 0x3f80, 1 + 2^-8 ties to 1, 1 + 3 2^-8 ties to
 * 1 + 2^-6 = 0x3f82, FLT_MAX rounds to infinity = 0x7f80. */
static void check_by_hand(const format_t *format)
{
    const bool half = format->mantissa_bits == 10;
    const float in_fp16[8] = {1.0f, -2.0f, 65504.0f, 65520.0f, 0x1p-24f, 0x1p-25f, 1.0f + 0x1p-11f, 1.0f + 0x3p-11f};
    const uint16_t out_fp16[8] = {0x3c00, 0xc000, 0x7bff, 0x7c00, 0x0001, 0x0000, 0x3c00, 0x3c02};
    const float in_bf16[8] = {1.0f, -2.0f, FLT_MAX, 1.0f + 0x1p-8f, 1.0f + 0x3p-8f, -0.0f, 0x1p-133f, -INFINITY};
    const uint16_t out_bf16[8] = {0x3f80, 0xc000, 0x7f80, 0x3f80, 0x3f82, 0x8000, 0x0001, 0xff80};
    uint16_t got[8];
    format->pack(8, half ? in_fp16 : in_bf16, got);
    cr_assert_arr_eq(got, half ? out_fp16 : out_bf16, sizeof got);
}

Test(pack, by_hand)
{
    on_every_level(check_by_hand);
}

static void check_lengths(const format_t *format)
{
    float in[128], wide[128], wide_whole[128];
    uint16_t out[128], whole[128];
    for (size_t i = 0; i < 128; i++)
        in[i] = (float)lspo_random_normal(3, 0, i);
    format->pack(128, in, whole);
    format->unpack(128, whole, wide_whole);
    for (size_t n = 0; n <= 70; n++) {
        for (size_t offset = 0; offset < 16; offset++) {
            memset(out, 0xee, sizeof out);
            memset(wide, 0xee, sizeof wide);
            format->pack(n, in + offset, out + offset);
            format->unpack(n, whole + offset, wide + offset);
            cr_assert_arr_eq(out + offset, whole + offset, n * sizeof *out);
            cr_assert_arr_eq(wide + offset, wide_whole + offset, n * sizeof *wide);
            cr_assert_eq(out[offset + n], 0xeeee);
            cr_assert_eq(bits_of(wide[offset + n]), 0xeeeeeeee);
        }
    }
}

Test(pack, lengths_and_offsets)
{
    on_every_level(check_lengths);
}
