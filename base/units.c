/* units.c - parse and format quantities with units; see units.h. */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUFFIX_COUNT = 12 };

typedef struct {
    const char *text;
    double factor; /* the unit is factor x 10^exponent, so that "10 us" is read as 10e-6, which rounds once */
    int exponent;
    bool shown; /* the formatter may choose it */
} suffix_t;

typedef struct {
    const char *name;
    const char *example;
    suffix_t suffixes[SUFFIX_COUNT]; /* ascending among the shown ones; ends at text NULL */
} unit_rules_t;

#define KI 1024.0
#define MI (KI * KI)
#define GI (MI * KI)
#define TI (GI * KI)
#define PI (TI * KI)
#define EI (PI * KI)

static const unit_rules_t rules[] = {
    [LSPO_UNIT_NONE] = {"a plain number", "0.27", {{"", 1.0, 0, true}}},
    [LSPO_UNIT_BYTES] = {"bytes with a unit",
                         "4GiB",
                         {{"B", 1.0, 0, true},
                          {"KiB", KI, 0, true},
                          {"MiB", MI, 0, true},
                          {"GiB", GI, 0, true},
                          {"TiB", TI, 0, true},
                          {"PiB", PI, 0, true},
                          {"EiB", EI, 0, true},
                          {"kB", 1.0, 3, false},
                          {"MB", 1.0, 6, false},
                          {"GB", 1.0, 9, false},
                          {"TB", 1.0, 12, false},
                          {"PB", 1.0, 15, false}}},
    [LSPO_UNIT_BPS] = {"bytes per second with a unit",
                       "12GB/s",
                       {{"B/s", 1.0, 0, true},
                        {"kB/s", 1.0, 3, true},
                        {"MB/s", 1.0, 6, true},
                        {"GB/s", 1.0, 9, true},
                        {"TB/s", 1.0, 12, true},
                        {"KiB/s", KI, 0, false},
                        {"MiB/s", MI, 0, false},
                        {"GiB/s", GI, 0, false},
                        {"TiB/s", TI, 0, false},
                        {"Mbit/s", 0.125, 6, false},
                        {"Gbit/s", 0.125, 9, false}}},
    [LSPO_UNIT_SECONDS] = {"a time with a unit",
                           "60ms",
                           {{"ns", 1.0, -9, true},
                            {"us", 1.0, -6, true},
                            {"ms", 1.0, -3, true},
                            {"s", 1.0, 0, true},
                            {"min", 60.0, 0, false},
                            {"h", 3600.0, 0, false}}},
    [LSPO_UNIT_FLOPS] = {"FLOP per second with a unit",
                         "82.6TFLOP/s",
                         {{"FLOP/s", 1.0, 0, true},
                          {"kFLOP/s", 1.0, 3, true},
                          {"MFLOP/s", 1.0, 6, true},
                          {"GFLOP/s", 1.0, 9, true},
                          {"TFLOP/s", 1.0, 12, true},
                          {"PFLOP/s", 1.0, 15, true}}},
    [LSPO_UNIT_PPS] = {"parameters per second with a unit",
                       "3.4G/s",
                       {{"/s", 1.0, 0, true},
                        {"k/s", 1.0, 3, true},
                        {"M/s", 1.0, 6, true},
                        {"G/s", 1.0, 9, true},
                        {"T/s", 1.0, 12, true}}},
};

/* Powers of ten up to 10^22 are exact. */
static double scale_of(const suffix_t *suffix)
{
    static const double powers[] = {1, 1e3, 1e6, 1e9, 1e12, 1e15};
    int thousands = suffix->exponent / 3;
    return thousands < 0 ? suffix->factor / powers[-thousands] : suffix->factor * powers[thousands];
}

/* The end of the number at the start of `text`.  Decimal only: no sign, no hexadecimal, no "inf" or "nan", which strtod
 * would accept.  NULL if there is none.  `start_out`: where it begins. */
static const char *end_of_number(const char *text, const char **start_out)
{
    const char *start = text + strspn(text, " \t");
    if (!isdigit((unsigned char)*start) && *start != '.')
        return NULL;
    if (start[0] == '0' && (start[1] == 'x' || start[1] == 'X'))
        return NULL;
    char *end = NULL;
    (void)strtod(start, &end);
    *start_out = start;
    return end == start ? NULL : end;
}

/* The number from `start` to `end` in units of the suffix.  A decimal unit is added to the number's exponent instead of
 * multiplied, so that the value is the nearest double to the written one. */
static double value_of(const char *start, const char *end, const suffix_t *suffix)
{
    char text[320];
    size_t length = strcspn(start, "eE"), whole = (size_t)(end - start);
    long exponent = 0;
    if (length < whole) {
        exponent = strtol(start + length + 1, NULL, 10);
    } else {
        length = whole;
    }
    if (length + 24 > sizeof text || exponent < -100000 || exponent > 100000)
        return strtod(start, NULL) * scale_of(suffix);
    snprintf(text, sizeof text, "%.*se%ld", (int)length, start, exponent + suffix->exponent);
    return strtod(text, NULL) * suffix->factor;
}

static const suffix_t *find_suffix(const unit_rules_t *rule, const char *text)
{
    const char *start = text + strspn(text, " \t");
    size_t length = strlen(start);
    while (length > 0 && (start[length - 1] == ' ' || start[length - 1] == '\t'))
        length--;
    for (size_t i = 0; i < SUFFIX_COUNT && rule->suffixes[i].text != NULL; i++) {
        const char *candidate = rule->suffixes[i].text;
        if (strlen(candidate) == length && strncmp(candidate, start, length) == 0)
            return &rule->suffixes[i];
    }
    return NULL;
}

/* Why `text` is refused: a negative number, "nan" and "inf" are told apart from what is no number of the unit. */
static lspo_status_t refuse_quantity(const char *what, const char *text, const unit_rules_t *rule, const char *range)
{
    const char *start = text + strspn(text, " \t"), *digits = start + (*start == '-');
    char *end = NULL;
    const double value = strtod(start, &end);
    const bool is_number = end != start && find_suffix(rule, end) != NULL;
    if (is_number && !isfinite(value) && isalpha((unsigned char)*digits))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not a finite number; it must be %s", what, text, range);
    if (is_number && *start == '-' && strpbrk(digits, "xX") == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is negative; it must be %s", what, text, range);
    return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not %s, such as %s", what, text, rule->name, rule->example);
}

lspo_status_t lspo_parse_quantity_in(const char *what, const char *text, lspo_unit_t unit, const char *range,
                                     double *value_out)
{
    const unit_rules_t *rule = &rules[unit];
    const char *start, *after = end_of_number(text, &start);
    const suffix_t *suffix = after == NULL ? NULL : find_suffix(rule, after);
    if (suffix == NULL)
        return refuse_quantity(what, text, rule, range);
    double value = value_of(start, after, suffix);
    if (!isfinite(value))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is too large", what, text);
    *value_out = value;
    return LSPO_OK;
}

lspo_status_t lspo_parse_quantity(const char *what, const char *text, lspo_unit_t unit, double *value_out)
{
    return lspo_parse_quantity_in(what, text, unit, "at least 0", value_out);
}

lspo_status_t lspo_parse_bytes(const char *what, const char *text, uint64_t *bytes_out)
{
    double value = 0.0;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_BYTES, &value);
    if (status != LSPO_OK)
        return status;
    /* 2^63 is the first double above INT64_MAX. */
    if (value >= 0x1p63)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is too large; it must be below 8EiB", what, text);
    *bytes_out = (uint64_t)llround(value);
    return LSPO_OK;
}

lspo_status_t lspo_parse_integer_in(const char *what, const char *text, int64_t low, int64_t high, const char *range,
                                    int64_t *value_out)
{
    const char *digits = *text == '-' ? text + 1 : text;
    size_t length = strspn(digits, "0123456789");
    bool well_formed = length > 0 && digits[length] == '\0';
    errno = 0;
    long long value = well_formed ? strtoll(text, NULL, 10) : 0;
    if (!well_formed || errno == ERANGE || value < low || value > high)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not an integer %s", what, text, range);
    *value_out = value;
    return LSPO_OK;
}

lspo_status_t lspo_parse_integer(const char *what, const char *text, int64_t low, int64_t high, int64_t *value_out)
{
    char range[64];
    snprintf(range, sizeof range, "from %lld to %lld", (long long)low, (long long)high);
    return lspo_parse_integer_in(what, text, low, high, range, value_out);
}

/* The largest shown suffix for which the number is at least 1, or the smallest suffix. */
static const suffix_t *choose_suffix(const unit_rules_t *rule, double value)
{
    if (value == 0.0 && rule == &rules[LSPO_UNIT_SECONDS])
        return &rule->suffixes[3];
    const suffix_t *chosen = &rule->suffixes[0];
    for (size_t i = 1; i < SUFFIX_COUNT && rule->suffixes[i].text != NULL; i++) {
        if (rule->suffixes[i].shown && value >= scale_of(&rule->suffixes[i]))
            chosen = &rule->suffixes[i];
    }
    return chosen;
}

const char *lspo_format_quantity(double value, lspo_unit_t unit, char *buffer, size_t buffer_bytes)
{
    const unit_rules_t *rule = &rules[unit];
    if (unit == LSPO_UNIT_NONE || !isfinite(value)) {
        snprintf(buffer, buffer_bytes, "%.6g", value);
        return buffer;
    }
    const suffix_t *suffix = choose_suffix(rule, fabs(value));
    double number = value / scale_of(suffix);
    bool whole = number == 0.0 || (suffix == &rules[LSPO_UNIT_BYTES].suffixes[0]);
    int decimals = whole || fabs(number) >= 99.95 ? 0 : fabs(number) >= 9.995 ? 1 : 2;
    if (fabs(number) < 1e9)
        snprintf(buffer, buffer_bytes, "%.*f %s", decimals, number, suffix->text);
    else
        snprintf(buffer, buffer_bytes, "%.3g %s", number, suffix->text);
    return buffer;
}

static bool reads_back(const char *text, const suffix_t *suffix, double value)
{
    double read_back = value_of(text, text + strlen(text), suffix);
    return read_back >= value && read_back <= value;
}

/* The shortest number that is read back as `value` in units of the suffix; whole numbers have no exponent.  False if
 * there is none, because division by the factor rounds. */
static bool write_exact(double value, const suffix_t *suffix, char *buffer, size_t buffer_bytes)
{
    double number = value / scale_of(suffix);
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(buffer, buffer_bytes, "%.*g", digits, number);
        if (reads_back(buffer, suffix, value))
            break;
    }
    if (digits > 17)
        return false;
    if (strchr(buffer, 'e') != NULL && number >= 1.0 && number < 1e6) {
        snprintf(buffer, buffer_bytes, "%.0f", number); /* 10, not 1e+01 */
    }
    size_t length = strlen(buffer);
    snprintf(buffer + length, buffer_bytes - length, "%s%s", *suffix->text == '\0' ? "" : " ", suffix->text);
    return true;
}

const char *lspo_format_quantity_exact(double value, lspo_unit_t unit, char *buffer, size_t buffer_bytes)
{
    const suffix_t *suffixes = rules[unit].suffixes, *usual = choose_suffix(&rules[unit], value);
    bool found = write_exact(value, usual, buffer, buffer_bytes);
    /* 320 MB are 305.17578125 MiB: bytes have decimal units if these are shorter. */
    for (size_t i = 0; unit == LSPO_UNIT_BYTES && i < SUFFIX_COUNT && suffixes[i].text != NULL; i++) {
        char other[64];
        double number = value / scale_of(&suffixes[i]);
        if (number >= 1.0 && number < 1000.0 && write_exact(value, &suffixes[i], other, sizeof other) &&
            (!found || strlen(other) < strlen(buffer))) {
            snprintf(buffer, buffer_bytes, "%s", other);
            found = true;
        }
    }
    if (!found) {
        snprintf(buffer, buffer_bytes, "%.17g%s%s", value, *usual->text == '\0' ? "" : " ",
                 unit == LSPO_UNIT_SECONDS ? suffixes[3].text : suffixes[0].text);
    }
    return buffer;
}
