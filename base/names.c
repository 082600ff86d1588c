/* names.c - see names.h. */
#include "base/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { COMPARED_BYTES = 128, LIST_BYTES = 1024 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t lspo_name_distance(const char *a, const char *b)
{
    size_t rows[3][COMPARED_BYTES + 1];
    size_t a_length = strnlen(a, COMPARED_BYTES), b_length = strnlen(b, COMPARED_BYTES);
    for (size_t i = 0; i <= a_length; i++)
        for (size_t j = 0; j <= b_length; j++) {
            size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
            if (i == 0 || j == 0) {
                row[j] = i + j;
                continue;
            }
            size_t differs = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            row[j] = least(above[j - 1] + differs, least(row[j - 1], above[j]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    return rows[a_length % 3][b_length];
}

/* The only name that contains `text`: "4090" means rtx4090.  NULL when there are none or several. */
static const char *only_container(const char *text, const char *const *names, size_t count)
{
    const char *found = NULL;
    for (size_t i = 0; strlen(text) >= 3 && i < count; i++)
        if (strcasestr(names[i], text) != NULL) {
            if (found != NULL)
                return NULL;
            found = names[i];
        }
    return found;
}

const char *lspo_name_nearest(const char *text, const char *const *names, size_t count)
{
    /* Beyond this distance a suggestion only misleads. */
    size_t farthest = (strnlen(text, COMPARED_BYTES) + 1) / 3, best = farthest + 1;
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

lspo_status_t lspo_name_refuse(const char *what, const char *text, const char *const *names, size_t count,
                               const char *also)
{
    char list[LIST_BYTES] = "", hint[128] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *nearest = lspo_name_nearest(text, names, count);
    if (nearest != NULL)
        snprintf(hint, sizeof hint, "; did you mean %s?", nearest);
    return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of %s%s%s", what, text, list, also != NULL ? also : "",
                      hint);
}

bool lspo_name_is_path(const char *text)
{
    const char *dot = strrchr(text, '.');
    return strchr(text, '/') != NULL || text[0] == '.' || text[0] == '~' ||
           (dot != NULL && (strcmp(dot, ".ini") == 0 || strcmp(dot, ".json") == 0));
}
