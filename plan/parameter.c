/* parameter.c - see parameter.h. */
#include "plan/parameter.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "base/texts.h"

static const char automatic[] = "auto";

static bool may_be_automatic(const lspo_parameter_t *parameter)
{
    return parameter->kind == LSPO_RECORD_I32 || (parameter->kind == LSPO_RECORD_REAL && parameter->preset < 0);
}

static double highest(const lspo_parameter_t *parameter)
{
    if (parameter->high > 0)
        return parameter->high;
    return parameter->kind == LSPO_RECORD_REAL  ? (double)INFINITY
           : parameter->kind == LSPO_RECORD_U64 ? 0x1p62
           : parameter->kind == LSPO_RECORD_I32 ? (double)INT32_MAX
                                                : (double)UINT32_MAX;
}

static lspo_status_t check_real(const lspo_parameter_t *parameter, const char *what, double value)
{
    char range[96];
    bool above = parameter->above_low ? value > parameter->low : value >= parameter->low;
    if (isfinite(value) && above && value <= highest(parameter))
        return LSPO_OK;
    lspo_parameter_range_text(parameter, range, sizeof range);
    return lspo_error(LSPO_ERR_INPUT, "%s %g is outside its range: %s", what, value, range);
}

static lspo_status_t parse_name(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot)
{
    unsigned count = 0;
    for (; parameter->names[count] != NULL; count++)
        if (strcmp(parameter->names[count], text) == 0) {
            memcpy(slot, &count, sizeof count);
            return LSPO_OK;
        }
    return lspo_name_refuse(what, text, parameter->names, count, NULL);
}

static lspo_status_t parse_text(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot)
{
    uint32_t number = 0;
    lspo_status_t status = LSPO_OK;
    if (*text == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s is empty; it must be %s or %s", what, parameter->value,
                          parameter->names[0]);
    if (strcmp(text, parameter->names[0]) != 0)
        status = lspo_text_number(text, &number);
    if (status == LSPO_OK)
        memcpy(slot, &number, sizeof number);
    return status;
}

static lspo_status_t parse_real(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot)
{
    char range[96];
    double value = -1;
    lspo_status_t status = LSPO_OK;
    if (!may_be_automatic(parameter) || strcmp(text, automatic) != 0) {
        lspo_parameter_range_text(parameter, range, sizeof range);
        status = lspo_parse_quantity_in(what, text, parameter->quantity, range, &value);
        if (status == LSPO_OK)
            status = check_real(parameter, what, value);
    }
    if (status != LSPO_OK)
        return status;
    memcpy(slot, &value, sizeof value);
    return LSPO_OK;
}

static lspo_status_t parse_switch(const char *what, const char *text, void *slot)
{
    bool on = strcmp(text, "on") == 0;
    if (!on && strcmp(text, "off") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be on or off", what, text);
    memcpy(slot, &on, sizeof on);
    return LSPO_OK;
}

static lspo_status_t parse_integer(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot)
{
    int64_t value = -1;
    if (parameter->kind != LSPO_RECORD_I32 || strcmp(text, automatic) != 0) {
        char most[32], range[160];
        snprintf(most, sizeof most, "%.0f", highest(parameter));
        snprintf(range, sizeof range, "from %.0f to %s%s", parameter->low,
                 parameter->high_is != NULL ? parameter->high_is : most,
                 parameter->kind == LSPO_RECORD_I32 ? ", or auto" : "");
        lspo_status_t status =
            lspo_parse_integer_in(what, text, (int64_t)parameter->low, (int64_t)highest(parameter), range, &value);
        if (status != LSPO_OK)
            return status;
    }
    uint64_t wide = (uint64_t)value;
    uint32_t narrow = (uint32_t)value;
    if (parameter->kind == LSPO_RECORD_U64)
        memcpy(slot, &wide, sizeof wide);
    else
        memcpy(slot, &narrow, sizeof narrow);
    return LSPO_OK;
}

lspo_status_t lspo_parameter_parse(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot)
{
    switch (parameter->kind) {
    case LSPO_RECORD_NAMED:
        return parse_name(parameter, what, text, slot);
    case LSPO_RECORD_TEXT:
        return parse_text(parameter, what, text, slot);
    case LSPO_RECORD_BOOL:
        return parse_switch(what, text, slot);
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        return parse_real(parameter, what, text, slot);
    case LSPO_RECORD_U32:
    case LSPO_RECORD_I32:
    case LSPO_RECORD_U64:
        break;
    }
    return parse_integer(parameter, what, text, slot);
}

double lspo_parameter_number(const lspo_parameter_t *parameter, const void *slot)
{
    union {
        uint64_t u64;
        double real;
        uint32_t u32;
        int32_t i32;
        bool on;
    } value = {0};
    switch (parameter->kind) {
    case LSPO_RECORD_U64:
        memcpy(&value.u64, slot, sizeof value.u64);
        return (double)value.u64;
    case LSPO_RECORD_I32:
        memcpy(&value.i32, slot, sizeof value.i32);
        return value.i32;
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        memcpy(&value.real, slot, sizeof value.real);
        return value.real;
    case LSPO_RECORD_BOOL:
        memcpy(&value.on, slot, sizeof value.on);
        return value.on;
    case LSPO_RECORD_U32:
    case LSPO_RECORD_NAMED:
    case LSPO_RECORD_TEXT:
        break;
    }
    memcpy(&value.u32, slot, sizeof value.u32);
    return value.u32;
}

const char *lspo_parameter_word(const lspo_parameter_t *parameter, uint32_t number)
{
    return parameter->kind == LSPO_RECORD_TEXT && number > 0 ? lspo_text_of(number) : parameter->names[number];
}

void lspo_parameter_format(const lspo_parameter_t *parameter, const void *slot, char *text, size_t capacity)
{
    char number[64];
    if (may_be_automatic(parameter) && lspo_parameter_number(parameter, slot) < 0)
        snprintf(text, capacity, automatic);
    else if (parameter->kind == LSPO_RECORD_REAL)
        snprintf(text, capacity, "%s",
                 lspo_format_quantity_exact(lspo_parameter_number(parameter, slot), parameter->quantity, number,
                                            sizeof number));
    else
        lspo_record_format_value(parameter->kind, parameter->names, slot, text, capacity);
}

void lspo_parameter_default_text(const lspo_parameter_t *parameter, char *text, size_t capacity)
{
    if (parameter->preset_is != NULL)
        snprintf(text, capacity, "%s", parameter->preset_is);
    else if (lspo_parameter_is_word(parameter))
        snprintf(text, capacity, "%s", parameter->names[(size_t)parameter->preset]);
    else if (parameter->kind == LSPO_RECORD_BOOL)
        snprintf(text, capacity, "%s", parameter->preset != 0 ? "on" : "off");
    else if (may_be_automatic(parameter) && parameter->preset < 0)
        snprintf(text, capacity, automatic);
    else
        snprintf(text, capacity, "%.9g", parameter->preset);
}

void lspo_parameter_range_text(const lspo_parameter_t *parameter, char *text, size_t capacity)
{
    char low[32], high[96] = "";
    if (lspo_parameter_is_word(parameter) || parameter->kind == LSPO_RECORD_BOOL) {
        snprintf(text, capacity, "%s", parameter->value);
        return;
    }
    snprintf(low, sizeof low, parameter->above_low ? "above %.9g" : "at least %.9g", parameter->low);
    if (parameter->high_is != NULL)
        snprintf(high, sizeof high, ", at most %s", parameter->high_is);
    else if (parameter->high > 0)
        snprintf(high, sizeof high, ", at most %.9g", parameter->high);
    snprintf(text, capacity, "%s%s%s", may_be_automatic(parameter) ? "auto, or " : "", low, high);
}

const char *lspo_affects_name(lspo_affects_t affects)
{
    return affects == LSPO_AFFECTS_PLAN ? "plan" : affects == LSPO_AFFECTS_NUMBERS ? "numbers" : "plan and numbers";
}

void lspo_parameter_store(const lspo_parameter_t *parameter, double value, void *slot)
{
    uint64_t wide;
    uint32_t narrow;
    bool on = value != 0;
    switch (parameter->kind) {
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        memcpy(slot, &value, sizeof value);
        return;
    case LSPO_RECORD_BOOL:
        memcpy(slot, &on, sizeof on);
        return;
    case LSPO_RECORD_U64:
        wide = (uint64_t)value;
        memcpy(slot, &wide, sizeof wide);
        return;
    case LSPO_RECORD_U32:
    case LSPO_RECORD_I32:
    case LSPO_RECORD_NAMED:
    case LSPO_RECORD_TEXT:
        break;
    }
    narrow = (uint32_t)(int64_t)value;
    memcpy(slot, &narrow, sizeof narrow);
}

void lspo_parameter_set_default(const lspo_parameter_t *parameter, const lspo_parameter_context_t *context, void *slot)
{
    double value = parameter->preset_of != NULL ? parameter->preset_of(context) : parameter->preset;
    lspo_parameter_store(parameter, value, slot);
}

static double highest_name(const lspo_parameter_t *parameter)
{
    unsigned count = 0;
    while (parameter->names[count] != NULL)
        count++;
    return count - 1.0;
}

lspo_status_t lspo_parameter_check(const lspo_parameter_t *parameter, const lspo_parameter_context_t *context,
                                   const void *slot)
{
    char what[64];
    double value = lspo_parameter_number(parameter, slot);
    snprintf(what, sizeof what, "--%s", parameter->key);
    if (parameter->kind == LSPO_RECORD_BOOL || parameter->kind == LSPO_RECORD_TEXT ||
        (may_be_automatic(parameter) && value == -1))
        return LSPO_OK;
    if (parameter->kind == LSPO_RECORD_REAL)
        return check_real(parameter, what, value);
    double high = parameter->kind == LSPO_RECORD_NAMED ? highest_name(parameter) : highest(parameter);
    const char *is = NULL;
    if (parameter->high_of != NULL && parameter->high_of(context) < high) {
        high = parameter->high_of(context);
        is = parameter->high_is;
    }
    if (value >= parameter->low && value <= high)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s %.0f is outside %.0f..%.0f%s%s", what, value, parameter->low, high,
                      is != NULL ? ", " : "", is != NULL ? is : "");
}
