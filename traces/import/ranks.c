/* ranks.c - read Megatron's timers of all ranks; see ranks.h. */
#include "traces/import/ranks.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char mark_of_most[] = "time across ranks (ms):", mark_of_all[] = "times across ranks (ms):";
static const double timer_ms_max = 1e9;

static const struct {
    const char *name;
    int phase;
} phases[] = {
    {"forward-compute", LSPO_LOG_FORWARD},
    {"backward-compute", LSPO_LOG_BACKWARD},
    {"optimizer", LSPO_LOG_STEP},
};

/* "name .....: value", "name:" or "rank  0: value". */
typedef struct {
    const char *name, *value; /* value: behind the colon */
    size_t name_length;
} field_t;

static bool split_field(const char *line, field_t *field)
{
    line += strspn(line, " \t");
    const size_t length = strcspn(line, " .:");
    const char *colon = line + length + strspn(line + length, " .0123456789");
    if (length == 0 || *colon != ':' ||
        strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_") < length)
        return false;
    *field = (field_t){line, colon + 1 + strspn(colon + 1, " \t"), length};
    return true;
}

static bool is_named(const field_t *field, const char *name)
{
    return strlen(name) == field->name_length && strncmp(name, field->name, field->name_length) == 0;
}

/* The largest number of "1.2" or "(1.0, 1.2)"; -1 if it is not a time, or if other text follows. */
static double greatest_ms(const char *text)
{
    const bool pair = *text == '(';
    double most = -1;
    char *end = NULL;
    text += pair;
    for (int i = 0; i < 1 + pair; i++) {
        const double ms = strtod(text, &end);
        if (end == text || !(ms >= 0 && ms <= timer_ms_max))
            return -1;
        most = fmax(most, ms);
        text = end;
        if (i == 0 && pair)
            text += strspn(text, ", ");
    }
    if (pair && *text++ != ')')
        return -1;
    return isgraph((unsigned char)*text) ? -1 : most;
}

static void take_time(lspo_rank_timers_t *timers, int phase, const char *text)
{
    const double ms = greatest_ms(text);
    if (phase < 0)
        return;
    timers->bad |= ms < 0;
    timers->ms[phase] = timers->has[phase] ? fmax(timers->ms[phase], ms) : ms;
    timers->has[phase] = true;
}

static int phase_of(const field_t *field)
{
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        if (is_named(field, phases[i].name))
            return phases[i].phase;
    return -1;
}

static bool holds_mark(const char *line)
{
    return strstr(line, mark_of_most) || strstr(line, mark_of_all);
}

bool lspo_rank_timers_begin(lspo_rank_timers_t *timers, const char *line)
{
    if (!holds_mark(line))
        return false;
    *timers = (lspo_rank_timers_t){.open = true, .phase = -1};
    return true;
}

bool lspo_rank_timers_is_line(const char *line, bool open)
{
    field_t field;
    if (holds_mark(line))
        return true;
    if (!split_field(line, &field))
        return false;
    const bool dotted = strncmp(field.name + field.name_length, " ..", 3) == 0;
    return dotted || (open && (is_named(&field, "rank") || *field.value == '\0'));
}

bool lspo_rank_timers_take(lspo_rank_timers_t *timers, const char *line)
{
    field_t field;
    if (!isspace((unsigned char)*line) || !split_field(line, &field))
        return false;
    if (is_named(&field, "rank")) {
        take_time(timers, timers->phase, field.value);
        return true;
    }
    timers->phase = phase_of(&field);
    timers->has_both |= is_named(&field, "forward-backward");
    if (*field.value != '\0')
        take_time(timers, timers->phase, field.value);
    return true;
}

bool lspo_rank_timers_end(lspo_rank_timers_t *timers)
{
    bool whole = timers->open && !timers->bad;
    for (int phase = 0; phase < LSPO_LOG_PHASE_COUNT; phase++)
        whole &= timers->has[phase];
    timers->open = false;
    return whole;
}
