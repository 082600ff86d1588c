#include "plan/units.h"

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
    double scale;
    bool shown; /* the formatter may choose it */
} suffix_t;

typedef struct {
    const char *name;
    const char *example;
    suffix_t suffixes[SUFFIX_COUNT]; /* ascending where shown; ends at text NULL */
} unit_rules_t;

#define KI 1024.0
#define MI (KI * KI)
#define GI (MI * KI)
#define TI (GI * KI)

static const unit_rules_t rules[] = {
    [LSPO_UNIT_NONE] = {"a plain number", "0.27", {{"", 1.0, true}}},
    [LSPO_UNIT_BYTES] = {"bytes with a unit",
                         "4GiB",
                         {{"B", 1.0, true},
                          {"KiB", KI, true},
                          {"MiB", MI, true},
                          {"GiB", GI, true},
                          {"TiB", TI, true},
                          {"kB", 1e3, false},
                          {"MB", 1e6, false},
                          {"GB", 1e9, false},
                          {"TB", 1e12, false},
                          {"PB", 1e15, false}}},
    [LSPO_UNIT_BPS] = {"bytes per second with a unit",
                       "12GB/s",
                       {{"B/s", 1.0, true},
                        {"kB/s", 1e3, true},
                        {"MB/s", 1e6, true},
                        {"GB/s", 1e9, true},
                        {"TB/s", 1e12, true},
                        {"KiB/s", KI, false},
                        {"MiB/s", MI, false},
                        {"GiB/s", GI, false},
                        {"TiB/s", TI, false},
                        {"Mbit/s", 1e6 / 8.0, false},
                        {"Gbit/s", 1e9 / 8.0, false}}},
    [LSPO_UNIT_SECONDS] = {"a time with a unit",
                           "60ms",
                           {{"ns", 1e-9, true},
                            {"us", 1e-6, true},
                            {"ms", 1e-3, true},
                            {"s", 1.0, true},
                            {"min", 60.0, false},
                            {"h", 3600.0, false}}},
    [LSPO_UNIT_FLOPS] = {"FLOP per second with a unit",
                         "82.6TFLOP/s",
                         {{"FLOP/s", 1.0, true},
                          {"kFLOP/s", 1e3, true},
                          {"MFLOP/s", 1e6, true},
                          {"GFLOP/s", 1e9, true},
                          {"TFLOP/s", 1e12, true},
                          {"PFLOP/s", 1e15, true}}},
    [LSPO_UNIT_PPS] =
        {"parameters per second with a unit",
         "3.4G/s",
         {{"/s", 1.0, true}, {"k/s", 1e3, true}, {"M/s", 1e6, true}, {"G/s", 1e9, true}, {"T/s", 1e12, true}}},
};

/* The number at the start of `text`, decimal only: no sign, no hexadecimal, no "inf" or "nan", which strtod would take.
 * Returns the first character after it, or NULL. */
static const char *read_number(const char *text, double *number_out)
{
    const char *start = text + strspn(text, " \t");
    if (!isdigit((unsigned char)*start) && *start != '.') {
        return NULL;
    }
    if (start[0] == '0' && (start[1] == 'x' || start[1] == 'X')) {
        return NULL;
    }
    char *end = NULL;
    double number = strtod(start, &end);
    if (end == start || !isfinite(number)) {
        return NULL;
    }
    *number_out = number;
    return end;
}

static const suffix_t *find_suffix(const unit_rules_t *rule, const char *text)
{
    const char *start = text + strspn(text, " \t");
    size_t length = strlen(start);
    while (length > 0 && (start[length - 1] == ' ' || start[length - 1] == '\t')) {
        length--;
    }
    for (size_t i = 0; i < SUFFIX_COUNT && rule->suffixes[i].text != NULL; i++) {
        const char *candidate = rule->suffixes[i].text;
        if (strlen(candidate) == length && strncmp(candidate, start, length) == 0) {
            return &rule->suffixes[i];
        }
    }
    return NULL;
}

lspo_status_t lspo_parse_quantity(const char *what, const char *text, lspo_unit_t unit, double *value_out)
{
    const unit_rules_t *rule = &rules[unit];
    double number = 0.0;
    const char *after = read_number(text, &number);
    const suffix_t *suffix = after == NULL ? NULL : find_suffix(rule, after);
    if (suffix == NULL) {
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not %s, such as %s", what, text, rule->name, rule->example);
    }
    double value = number * suffix->scale;
    if (!isfinite(value)) {
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is too large", what, text);
    }
    *value_out = value;
    return LSPO_OK;
}

lspo_status_t lspo_parse_bytes(const char *what, const char *text, uint64_t *bytes_out)
{
    double value = 0.0;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_BYTES, &value);
    if (status != LSPO_OK) {
        return status;
    }
    /* 2^63 is the first double above INT64_MAX. */
    if (value >= 0x1p63) {
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is too large (at most 8388607TiB)", what, text);
    }
    *bytes_out = (uint64_t)llround(value);
    return LSPO_OK;
}

lspo_status_t lspo_parse_integer(const char *what, const char *text, int64_t low, int64_t high, int64_t *value_out)
{
    const char *digits = *text == '-' ? text + 1 : text;
    size_t length = strspn(digits, "0123456789");
    bool well_formed = length > 0 && digits[length] == '\0';
    errno = 0;
    long long value = well_formed ? strtoll(text, NULL, 10) : 0;
    if (!well_formed || errno == ERANGE || value < low || value > high) {
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not an integer from %lld to %lld", what, text, (long long)low,
                          (long long)high);
    }
    *value_out = value;
    return LSPO_OK;
}

/* The largest shown suffix that leaves a number of at least 1 (or the smallest suffix). */
static const suffix_t *choose_suffix(const unit_rules_t *rule, double value)
{
    if (value == 0.0 && rule == &rules[LSPO_UNIT_SECONDS]) {
        return &rule->suffixes[3];
    }
    const suffix_t *chosen = &rule->suffixes[0];
    for (size_t i = 1; i < SUFFIX_COUNT && rule->suffixes[i].text != NULL; i++) {
        if (rule->suffixes[i].shown && value >= rule->suffixes[i].scale) {
            chosen = &rule->suffixes[i];
        }
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
    double number = value / suffix->scale;
    bool whole = number == 0.0 || (unit == LSPO_UNIT_BYTES && suffix->scale == 1.0);
    int decimals = whole || fabs(number) >= 99.95 ? 0 : fabs(number) >= 9.995 ? 1 : 2;
    snprintf(buffer, buffer_bytes, "%.*f %s", decimals, number, suffix->text);
    return buffer;
}

const char *lspo_format_quantity_exact(double value, lspo_unit_t unit, char *buffer, size_t buffer_bytes)
{
    const suffix_t *suffix = choose_suffix(&rules[unit], value);
    const char *space = *suffix->text == '\0' ? "" : " ";
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buffer, buffer_bytes, "%.*g%s%s", digits, value / suffix->scale, space, suffix->text);
        double read_back = strtod(buffer, NULL) * suffix->scale;
        if (read_back >= value && read_back <= value) {
            return buffer;
        }
    }
    /* Scaling rounded: the base unit needs none. */
    const suffix_t *base = unit == LSPO_UNIT_SECONDS ? &rules[unit].suffixes[3] : &rules[unit].suffixes[0];
    snprintf(buffer, buffer_bytes, "%.17g%s%s", value, space, base->text);
    return buffer;
}
