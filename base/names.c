/* names.c - see names.h. */
#include "base/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { COMPARED_BYTES = 128, LIST_BYTES = 1024, HINT_NAMES = 4, HINT_BYTES = 256 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Of a character that one of two has more: marks between parts of a name are often left out, a digit seldom. */
static size_t cost_of(char c)
{
    if (isdigit((unsigned char)c))
        return 5;
    return isalpha((unsigned char)c) ? 2 : 1;
}

static size_t replacing(char typed, char meant)
{
    if (tolower((unsigned char)typed) == tolower((unsigned char)meant))
        return 0;
    return cost_of(typed) > cost_of(meant) ? cost_of(typed) : cost_of(meant);
}

size_t lspo_name_distance(const char *typed, const char *meant)
{
    size_t rows[3][COMPARED_BYTES + 1];
    const size_t typed_length = strnlen(typed, COMPARED_BYTES), meant_length = strnlen(meant, COMPARED_BYTES);
    for (size_t i = 0; i <= typed_length; i++)
        for (size_t j = 0; j <= meant_length; j++) {
            size_t *const row = rows[i % 3], *const above = rows[(i + 2) % 3], *const two_above = rows[(i + 1) % 3];
            size_t cost = i == 0 && j == 0 ? 0 : SIZE_MAX;
            if (i > 0)
                cost = least(cost, above[j] + cost_of(typed[i - 1]));
            if (j > 0)
                cost = least(cost, row[j - 1] + least(cost_of(meant[j - 1]), 2));
            if (i > 0 && j > 0)
                cost = least(cost, above[j - 1] + replacing(typed[i - 1], meant[j - 1]));
            if (i > 1 && j > 1 && typed[i - 1] == meant[j - 2] && typed[i - 2] == meant[j - 1])
                cost = least(cost, two_above[j - 2] + 2);
            row[j] = cost;
        }
    return rows[typed_length % 3][meant_length];
}

/* Is `text` the beginning of `name`?  Case and marks are ignored: "phi3" begins phi-3-mini. */
static bool begins(const char *name, const char *text)
{
    for (;; name++, text++) {
        while (*text != '\0' && !isalnum((unsigned char)*text))
            text++;
        while (*name != '\0' && !isalnum((unsigned char)*name))
            name++;
        if (*text == '\0')
            return true;
        if (tolower((unsigned char)*text) != tolower((unsigned char)*name))
            return false;
    }
}

static bool contains(const char *name, const char *text)
{
    for (; *name != '\0'; name++)
        if (begins(name, text))
            return true;
    return false;
}

/* The only name that contains `text`: "4090" means rtx4090.  NULL when there are none or several. */
static const char *only_container(const char *text, const char *const *names, size_t count)
{
    const char *found = NULL;
    for (size_t i = 0; strlen(text) >= 3 && i < count; i++)
        if (contains(names[i], text)) {
            if (found != NULL)
                return NULL;
            found = names[i];
        }
    return found;
}

const char *lspo_name_nearest(const char *text, const char *const *names, size_t count)
{
    /* Beyond this distance a suggestion only misleads. */
    size_t farthest = 2 * (strnlen(text, COMPARED_BYTES) + 1) / 3, best = farthest + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = lspo_name_distance(text, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest != NULL ? nearest : only_container(text, names, count);
}

/* "; did you mean A?" of the nearest, or of the first of several that contain it; empty when none is near. */
static void write_hint(const char *text, const char *const *names, size_t count, char hint[HINT_BYTES])
{
    const char *nearest = lspo_name_nearest(text, names, count);
    size_t used = 0, said = 0;
    hint[0] = '\0';
    if (nearest != NULL)
        snprintf(hint, HINT_BYTES, "; did you mean %s?", nearest);
    for (size_t i = 0; nearest == NULL && strlen(text) >= 3 && i < count && said < HINT_NAMES; i++)
        if (contains(names[i], text)) {
            used += (size_t)snprintf(hint + used, HINT_BYTES - used, "%s%s", said == 0 ? "; did you mean " : ", ",
                                     names[i]);
            said++;
        }
    if (said > 0)
        snprintf(hint + used, HINT_BYTES - used, said == HINT_NAMES ? ", ...?" : "?");
}

lspo_status_t lspo_name_refuse(const char *what, const char *text, const char *const *names, size_t count,
                               const char *also)
{
    char list[LIST_BYTES] = "", hint[HINT_BYTES];
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    write_hint(text, names, count, hint);
    return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of %s%s%s", what, text, list, also != NULL ? also : "",
                      hint);
}

lspo_status_t lspo_name_refuse_listed(const char *what, const char *text, const char *const *names, size_t count,
                                      const char *list, const char *also)
{
    char hint[HINT_BYTES];
    write_hint(text, names, count, hint);
    return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of `lspo list %s`%s%s", what, text, list,
                      also != NULL ? also : "", hint);
}

bool lspo_name_is_path(const char *text)
{
    const char *dot = strrchr(text, '.');
    return strchr(text, '/') != NULL || text[0] == '.' || text[0] == '~' ||
           (dot != NULL && (strcmp(dot, ".ini") == 0 || strcmp(dot, ".json") == 0));
}
