/* Quantities with units: what is read, what is refused, and that written values read back. */
#include "base/units.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <string.h>

static double parse(const char *text, lspo_unit_t unit)
{
    double value = -1.0;
    cr_assert_eq(lspo_parse_quantity("--flag", text, unit, &value), LSPO_OK, "%s", text);
    return value;
}

Test(units, prefixes_are_decimal_or_binary_as_written)
{
    cr_expect_eq(parse("4GiB", LSPO_UNIT_BYTES), 4294967296.0);
    cr_expect_eq(parse("4GB", LSPO_UNIT_BYTES), 4e9);
    cr_expect_eq(parse("1.5 KiB", LSPO_UNIT_BYTES), 1536.0);
    cr_expect_eq(parse("12GB/s", LSPO_UNIT_BPS), 12e9);
    cr_expect_eq(parse("1GiB/s", LSPO_UNIT_BPS), 1073741824.0);
    cr_expect_eq(parse("8Gbit/s", LSPO_UNIT_BPS), 1e9);
    cr_expect_float_eq(parse("60ms", LSPO_UNIT_SECONDS), 0.06, 1e-15);
    cr_expect_eq(parse("3s", LSPO_UNIT_SECONDS), 3.0);
    cr_expect_eq(parse("8min", LSPO_UNIT_SECONDS), 480.0);
    cr_expect_eq(parse("1.5h", LSPO_UNIT_SECONDS), 5400.0);
    cr_expect_eq(parse("82.6TFLOP/s", LSPO_UNIT_FLOPS), 82.6e12);
    cr_expect_eq(parse("3.5G/s", LSPO_UNIT_PPS), 3.5e9);
    cr_expect_eq(parse(" 0.27 ", LSPO_UNIT_NONE), 0.27);
    cr_expect_eq(parse("1e3", LSPO_UNIT_NONE), 1000.0);
}

Test(units, what_is_not_a_quantity_of_the_unit_is_refused)
{
    static const struct {
        const char *text;
        lspo_unit_t unit;
    } bad[] = {
        {"", LSPO_UNIT_BYTES},       {"4", LSPO_UNIT_BYTES},       {"GiB", LSPO_UNIT_BYTES},
        {"-4GiB", LSPO_UNIT_BYTES},  {"+4GiB", LSPO_UNIT_BYTES},   {"4gib", LSPO_UNIT_BYTES},
        {"4GiB/s", LSPO_UNIT_BYTES}, {"4GiBx", LSPO_UNIT_BYTES},   {"4GiB 2", LSPO_UNIT_BYTES},
        {"12GB", LSPO_UNIT_BPS},     {"60", LSPO_UNIT_SECONDS},    {"1TFLOPS", LSPO_UNIT_FLOPS},
        {"nan", LSPO_UNIT_NONE},     {"inf", LSPO_UNIT_NONE},      {"0x10", LSPO_UNIT_NONE},
        {"1e999", LSPO_UNIT_NONE},   {"1e300PB", LSPO_UNIT_BYTES}, {"5 %", LSPO_UNIT_NONE},
        {"3G", LSPO_UNIT_PPS},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = -1.0;
        cr_expect_eq(lspo_parse_quantity("--flag", bad[i].text, bad[i].unit, &value), LSPO_ERR_INPUT, "%s",
                     bad[i].text);
        cr_expect_eq(value, -1.0, "%s: set in spite of the error", bad[i].text);
    }
}

Test(units, refusal_names_flag_text_and_example, .init = cr_redirect_stderr)
{
    double value;
    lspo_parse_quantity("--link", "12", LSPO_UNIT_BPS, &value);
    fflush(stderr);
    cr_assert_stderr_eq_str("lspo: error: --link: '12' is not bytes per second with a unit, such as 12GB/s\n");
}

/* What has the unit but not the sign or the size is not called a wrong unit. */
Test(units, refusal_says_what_is_negative_or_not_finite, .init = cr_redirect_stderr)
{
    double value;
    static const char *const texts[] = {"-5GB/s", " -0.5 GB/s", "-nanGB/s", "nanGB/s", "-infGB/s", "-5", "-0x5GB/s"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        lspo_parse_quantity_in("--link", texts[i], LSPO_UNIT_BPS, "above zero", &value);
    lspo_parse_quantity("--clip", "-1", LSPO_UNIT_NONE, &value);
    fflush(stderr);
    cr_assert_stderr_eq_str("lspo: error: --link: '-5GB/s' is negative; it must be above zero\n"
                            "lspo: error: --link: ' -0.5 GB/s' is negative; it must be above zero\n"
                            "lspo: error: --link: '-nanGB/s' is not a finite number; it must be above zero\n"
                            "lspo: error: --link: 'nanGB/s' is not a finite number; it must be above zero\n"
                            "lspo: error: --link: '-infGB/s' is not a finite number; it must be above zero\n"
                            "lspo: error: --link: '-5' is not bytes per second with a unit, such as 12GB/s\n"
                            "lspo: error: --link: '-0x5GB/s' is not bytes per second with a unit, such as 12GB/s\n"
                            "lspo: error: --clip: '-1' is negative; it must be at least 0\n");
}

Test(units, bytes_stay_below_2_to_63)
{
    uint64_t bytes = 7;
    cr_expect_eq(lspo_parse_bytes("--size", "8388608TiB", &bytes), LSPO_ERR_INPUT); /* 2^23 2^40 = 2^63 */
    cr_expect_eq(lspo_parse_bytes("--size", "8EiB", &bytes), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_parse_bytes("--size", "4EiB", &bytes), LSPO_OK);
    cr_expect_eq(bytes, UINT64_C(1) << 62);
    cr_expect_eq(lspo_parse_bytes("--size", "9223PB", &bytes), LSPO_OK);
    cr_expect_eq(bytes, UINT64_C(9223000000000000000));
    cr_expect_eq(lspo_parse_bytes("--size", "9224PB", &bytes), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_parse_bytes("--size", "0B", &bytes), LSPO_OK);
    cr_expect_eq(bytes, 0u);
    cr_expect_eq(lspo_parse_bytes("--size", "0.1GB", &bytes), LSPO_OK);
    cr_expect_eq(bytes, 100000000u);
}

Test(units, integers_keep_to_their_range)
{
    int64_t value = 77;
    cr_expect_eq(lspo_parse_integer("--n", "12", 1, 12, &value), LSPO_OK);
    cr_expect_eq(value, 12);
    cr_expect_eq(lspo_parse_integer("--n", "-1", -1, 12, &value), LSPO_OK);
    cr_expect_eq(value, -1);
    cr_expect_eq(lspo_parse_integer("--n", "9223372036854775807", 0, INT64_MAX, &value), LSPO_OK);
    cr_expect_eq(value, INT64_MAX);
    static const char *const bad[] = {"13", "0", "", "-", "1.5", "1e1", " 1", "1 ", "0x1", "9223372036854775808",
                                      "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 77;
        cr_expect_eq(lspo_parse_integer("--n", bad[i], 1, 12, &value), LSPO_ERR_INPUT, "'%s'", bad[i]);
        cr_expect_eq(value, 77);
    }
}

Test(units, people_see_three_digits)
{
    char text[48];
    cr_expect_str_eq(lspo_format_quantity(8010000000.0, LSPO_UNIT_BYTES, text, sizeof text), "7.46 GiB");
    cr_expect_str_eq(lspo_format_quantity(0x1p62, LSPO_UNIT_BYTES, text, sizeof text), "4.00 EiB");
    cr_expect_str_eq(lspo_format_quantity(0x1p50, LSPO_UNIT_BYTES, text, sizeof text), "1.00 PiB");
    cr_expect_str_eq(lspo_format_quantity(1e21, LSPO_UNIT_BPS, text, sizeof text), "1e+09 TB/s");
    cr_expect_str_eq(lspo_format_quantity(12e9, LSPO_UNIT_BPS, text, sizeof text), "12.0 GB/s");
    cr_expect_str_eq(lspo_format_quantity(0.0281, LSPO_UNIT_SECONDS, text, sizeof text), "28.1 ms");
    cr_expect_str_eq(lspo_format_quantity(-0.0281, LSPO_UNIT_SECONDS, text, sizeof text), "-28.1 ms");
    cr_expect_str_eq(lspo_format_quantity(0.0, LSPO_UNIT_SECONDS, text, sizeof text), "0 s");
    cr_expect_str_eq(lspo_format_quantity(512.0, LSPO_UNIT_BYTES, text, sizeof text), "512 B");
    cr_expect_str_eq(lspo_format_quantity(9.996e12, LSPO_UNIT_FLOPS, text, sizeof text), "10.0 TFLOP/s");
    cr_expect_str_eq(lspo_format_quantity(3.4e9, LSPO_UNIT_PPS, text, sizeof text), "3.40 G/s");
    cr_expect_str_eq(lspo_format_quantity(0.27, LSPO_UNIT_NONE, text, sizeof text), "0.27");
}

/* Every unit over 40 decades: the written form reads back to the digits shown, the exact form to the same bits. */
Test(units, written_quantities_read_back)
{
    for (int unit = LSPO_UNIT_NONE; unit <= LSPO_UNIT_PPS; unit++) {
        double value = 1.2345678901234567e-20;
        for (int step = 0; step < 400; step++, value *= 1.2589254117941673) {
            char text[48];
            lspo_format_quantity_exact(value, (lspo_unit_t)unit, text, sizeof text);
            cr_expect_eq(parse(text, (lspo_unit_t)unit), value, "%s", text);
            bool coarse =
                unit == LSPO_UNIT_BYTES ? value < 1024.0 : value < 1e-9 || (unit != LSPO_UNIT_SECONDS && value < 1.0);
            if (!coarse && unit != LSPO_UNIT_NONE) {
                lspo_format_quantity(value, (lspo_unit_t)unit, text, sizeof text);
                cr_expect(fabs(parse(text, (lspo_unit_t)unit) / value - 1.0) < 0.0051, "%s", text);
            }
        }
    }
}

/* No digit more than it takes: a decimal unit moves the point, it does not multiply. */
Test(units, exact_quantities_are_the_shortest)
{
    static const struct {
        double value;
        lspo_unit_t unit;
        const char *wanted;
    } cases[] = {{10e-6, LSPO_UNIT_SECONDS, "10 us"},
                 {5e-6, LSPO_UNIT_SECONDS, "5 us"},
                 {3.7e-6, LSPO_UNIT_SECONDS, "3.7 us"},
                 {0.0281, LSPO_UNIT_SECONDS, "28.1 ms"},
                 {600e9, LSPO_UNIT_FLOPS, "600 GFLOP/s"},
                 {74.34e12, LSPO_UNIT_FLOPS, "74.34 TFLOP/s"},
                 {320e6, LSPO_UNIT_BYTES, "320 MB"},
                 {24.0 * (1 << 30), LSPO_UNIT_BYTES, "24 GiB"},
                 {1.5e9, LSPO_UNIT_PPS, "1.5 G/s"},
                 {26.7e9, LSPO_UNIT_BPS, "26.7 GB/s"},
                 {100, LSPO_UNIT_NONE, "100"},
                 {0.1557, LSPO_UNIT_NONE, "0.1557"},
                 {1.0 / 3, LSPO_UNIT_SECONDS, "333.3333333333333 ms"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[48];
        cr_expect_str_eq(lspo_format_quantity_exact(cases[i].value, cases[i].unit, text, sizeof text), cases[i].wanted,
                         "%s", text);
        cr_expect_eq(parse(text, cases[i].unit), cases[i].value, "%s", text);
    }
    cr_expect_eq(parse("1e1us", LSPO_UNIT_SECONDS), 10e-6);
    cr_expect_eq(parse("1.5E-3GB/s", LSPO_UNIT_BPS), 1.5e6);
    cr_expect_eq(parse("0.3e3 kB", LSPO_UNIT_BYTES), 300e3);
    cr_expect_eq(parse("8Gbit/s", LSPO_UNIT_BPS), 1e9);
}

Test(units, exit_codes_are_those_of_the_header)
{
    cr_expect_eq(lspo_status_exit_code(LSPO_OK), 0);
    cr_expect_eq(lspo_status_exit_code(LSPO_ERR_INPUT), 2);
    cr_expect_eq(lspo_status_exit_code(LSPO_ERR_DEVICE), 3);
    cr_expect_eq(lspo_status_exit_code(LSPO_ERR_INTERRUPTED), 130);
    cr_expect_eq(lspo_status_exit_code(LSPO_ERR_FIT), 4);
    cr_expect_eq(lspo_status_exit_code((lspo_status_t)-99), 1);
}
