/* axis.c - see axis.h. */
#include "sweep/axis.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/words.h"
#include "plan/policy.h"

enum { WORDS_MAX = 1024, RANGE_PARTS_MAX = 3, DOUBLING_MAX = 1000 };

/* A range, before its values are known. */
typedef struct {
    const char *text;                /* "log2(1GB/s,64GB/s)", for messages */
    double numbers[RANGE_PARTS_MAX]; /* from, to, step or values per doubling */
    const char *suffix;              /* the unit of from and to; points into `parts` */
    size_t count;
    char parts[RANGE_PARTS_MAX][64];
} range_t;

void lspo_axis_release(lspo_axis_t *axis)
{
    for (uint32_t i = 0; i < axis->count; i++)
        free(axis->values[i]);
    free(axis->values);
    free(axis->resolved);
    free(axis->key);
    free(axis->where);
    *axis = (lspo_axis_t){0};
}

static lspo_status_t grow(lspo_axis_t *axis)
{
    size_t values = axis->capacity, resolved = axis->capacity, needed = (size_t)axis->count + 1;
    lspo_status_t status = lspo_array_grow(&axis->values, &values, needed, sizeof *axis->values, "values");
    if (status == LSPO_OK)
        status = lspo_array_grow(&axis->resolved, &resolved, needed, sizeof *axis->resolved, "values");
    if (status == LSPO_OK)
        axis->capacity = (uint32_t)values;
    return status;
}

static lspo_status_t add_value(const lspo_sweep_language_t *language, const char *value, lspo_axis_t *axis)
{
    char what[640];
    const void *resolved = NULL;
    snprintf(what, sizeof what, "%s: %s", axis->where, axis->key);
    if (axis->count == LSPO_SWEEP_VALUES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s has more than %d values", what, LSPO_SWEEP_VALUES_MAX);
    lspo_status_t status = language->check(language->context, what, &axis->info, value, &resolved);
    if (status != LSPO_OK)
        return status;
    status = grow(axis);
    if (status != LSPO_OK)
        return status;
    axis->values[axis->count] = strdup(value);
    if (axis->values[axis->count] == NULL)
        return lspo_no_memory("%s", what);
    axis->resolved[axis->count++] = resolved;
    return LSPO_OK;
}

/* ---- ranges ---- */

static bool is_range(const char *word)
{
    return strncmp(word, "linear(", 7) == 0 || strncmp(word, "log2(", 5) == 0;
}

/* The shortest decimal that is exactly the value. */
static void format_number(double value, char *text, size_t capacity)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, capacity, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

static lspo_status_t add_number(const lspo_sweep_language_t *language, double number, const char *suffix,
                                lspo_axis_t *axis)
{
    char digits[48], value[128];
    if (axis->info.kind == LSPO_SWEEP_INTEGER)
        snprintf(digits, sizeof digits, "%.0f", round(number));
    else
        format_number(number, digits, sizeof digits);
    snprintf(value, sizeof value, "%s%s", digits, suffix);
    if (axis->count > 0 && strcmp(axis->values[axis->count - 1], value) == 0)
        return LSPO_OK; /* rounded to the same integer */
    return add_value(language, value, axis);
}

/* "1GB/s": the number, and where its unit begins. */
static lspo_status_t read_part(const lspo_axis_t *axis, const char *range, const char *part, double *number_out,
                               const char **suffix_out)
{
    char *end;
    double number = strtod(part, &end);
    if (end == part || !isfinite(number) || number < 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: '%s' in %s is not a number", axis->where, axis->key, part, range);
    if (axis->info.kind == LSPO_SWEEP_INTEGER && number != floor(number))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: '%s' in %s is not an integer", axis->where, axis->key, part, range);
    *number_out = number;
    *suffix_out = end;
    return LSPO_OK;
}

static lspo_status_t refuse_range(const lspo_axis_t *axis, const char *range)
{
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: %s: '%s' is not linear(FROM, TO), linear(FROM, TO, STEP), log2(FROM, TO) or "
                      "log2(FROM, TO, N)",
                      axis->where, axis->key, range);
}

/* The two or three parts between the parentheses. */
static lspo_status_t split_range(const lspo_axis_t *axis, const char *text, range_t *range)
{
    const char *at = strchr(text, '(') + 1;
    while (*at != '\0' && range->count < RANGE_PARTS_MAX) {
        size_t length = strcspn(at, ",)");
        if (length == 0 || length >= sizeof range->parts[0] || at[length] == '\0')
            return refuse_range(axis, text);
        memcpy(range->parts[range->count], at, length);
        range->parts[range->count++][length] = '\0';
        at += length + 1;
        if (at[-1] == ')')
            break;
    }
    return range->count < 2 || *at != '\0' || at[-1] != ')' ? refuse_range(axis, text) : LSPO_OK;
}

static lspo_status_t read_range(const lspo_axis_t *axis, const char *text, range_t *range)
{
    const char *suffixes[RANGE_PARTS_MAX] = {"", "", ""};
    bool doubles = text[1] == 'o';
    lspo_status_t status = split_range(axis, text, range);
    for (size_t i = 0; status == LSPO_OK && i < range->count; i++)
        status = read_part(axis, text, range->parts[i], &range->numbers[i], &suffixes[i]);
    if (status != LSPO_OK)
        return status;
    if (range->count == 2)
        range->numbers[2] = 1;
    if (strcmp(suffixes[0], suffixes[1]) != 0 || (!doubles && range->count == 3 && strcmp(suffixes[0], suffixes[2])) ||
        (doubles && suffixes[2][0] != '\0'))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: the numbers of %s have different units", axis->where, axis->key,
                          text);
    bool counts =
        range->numbers[2] >= 1 && range->numbers[2] <= DOUBLING_MAX && range->numbers[2] == floor(range->numbers[2]);
    if (!(range->numbers[1] >= range->numbers[0]) || !(range->numbers[2] > 0) ||
        (doubles && (!(range->numbers[0] > 0) || !counts)))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: %s goes nowhere: FROM is at most TO, %s", axis->where, axis->key,
                          text, doubles ? "above 0, and N is an integer from 1 to 1000" : "and STEP above 0");
    /* Steps that are lost in the rounding of FROM would go on for ever. */
    if (!doubles && (range->numbers[1] - range->numbers[0]) / range->numbers[2] >= LSPO_SWEEP_VALUES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: %s has more than %d values", axis->where, axis->key, text,
                          LSPO_SWEEP_VALUES_MAX);
    range->suffix = suffixes[0];
    return LSPO_OK;
}

static lspo_status_t add_range(const lspo_sweep_language_t *language, const char *text, lspo_axis_t *axis)
{
    range_t range = {.text = text};
    if (axis->info.kind == LSPO_SWEEP_TEXT)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: %s is a range of numbers, but %s takes words", axis->where,
                          axis->key, text, axis->key);
    lspo_status_t status = read_range(axis, text, &range);
    bool doubles = text[1] == 'o';
    double from = range.numbers[0], last = range.numbers[1] * (1 + 1e-12), step = range.numbers[2];
    for (uint64_t i = 0; status == LSPO_OK; i++) {
        /* From the start each time, so that no error adds up; powers of 2 are exact. */
        double whole = floor((double)i / step);
        double number = doubles ? ldexp(from, (int)whole) * exp2((double)i / step - whole) : from + (double)i * step;
        if (number > last)
            break;
        status = add_number(language, number, range.suffix, axis);
    }
    return status;
}

/* ---- words ---- */

/* Without the blanks in the parentheses of ranges, so that a range is one word. */
static void join_ranges(char *text)
{
    char *to = text, quote = '\0';
    bool inside = false;
    for (const char *from = text; *from != '\0'; from++) {
        if (quote == '\0' && (*from == '"' || *from == '\''))
            quote = *from;
        else if (*from == quote)
            quote = '\0';
        else if (quote == '\0' && *from == '(')
            inside = true;
        else if (quote == '\0' && *from == ')')
            inside = false;
        if (!inside || (*from != ' ' && *from != '\t'))
            *to++ = *from;
    }
    *to = '\0';
}

static lspo_status_t add_policies(const lspo_sweep_language_t *language, lspo_axis_t *axis)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < lspo_policy_count(); i++)
        status = add_value(language, lspo_policy_at(i)->name, axis);
    return status;
}

static lspo_status_t add_word(const lspo_sweep_language_t *language, const char *word, lspo_axis_t *axis)
{
    if (strcmp(axis->key, "policy") == 0 && strcmp(word, "all") == 0)
        return add_policies(language, axis);
    return is_range(word) ? add_range(language, word, axis) : add_value(language, word, axis);
}

static lspo_status_t add_words(const lspo_sweep_language_t *language, char *text, lspo_axis_t *axis)
{
    char *words[WORDS_MAX];
    size_t count = 0;
    join_ranges(text);
    lspo_status_t status = lspo_words_split(axis->where, text, WORDS_MAX, words, &count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = add_word(language, words[i], axis);
    if (status == LSPO_OK && axis->count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s has no values", axis->where, axis->key);
    return status;
}

lspo_status_t lspo_axis_read(const lspo_sweep_language_t *language, const lspo_ini_entry_t *entry,
                             lspo_axis_t *axis_out)
{
    lspo_axis_t axis = {.key = strdup(entry->key), .where = strdup(entry->where)};
    char *text = strdup(entry->value);
    lspo_status_t status =
        axis.key && axis.where && text ? LSPO_OK : lspo_no_memory("%s: %s", entry->where, entry->key);
    if (status == LSPO_OK)
        status = language->find(language->context, entry->where, entry->key, &axis.info);
    if (status == LSPO_OK)
        status = add_words(language, text, &axis);
    free(text);
    if (status != LSPO_OK) {
        lspo_axis_release(&axis);
        return status;
    }
    *axis_out = axis;
    return LSPO_OK;
}
