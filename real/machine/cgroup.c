/* cgroup.c - the control groups that limit this process: its own and those above it, of either version; see
 * cgroup.h. */
#include "real/machine/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static bool read_number(FILE *file, const char *key, uint64_t *number_out)
{
    char line[256];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        char *end, *text = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        errno = 0;
        uint64_t number = strtoull(text, &end, 10);
        found = end != text && errno == 0;
        if (found)
            *number_out = number;
    }
    return found;
}

bool lspo_cgroup_number(const char *folder, const char *file_name, const char *key, uint64_t *number_out)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, file_name);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "r") : NULL;
    if (!file)
        return false;
    bool found = read_number(file, key, number_out);
    fclose(file);
    return found;
}

/* The group and all above it. */
static void walk_up(const char *root, const lspo_cgroup_hierarchy_t *h, size_t hierarchy, const char *group,
                    lspo_cgroup_visit_t visit, void *context)
{
    char folder[PATH_BYTES];
    int length = snprintf(folder, sizeof folder, "%s%s%s", root, h->folder, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return;
    const size_t top = strlen(root) + strlen(h->folder);
    for (;;) {
        visit(context, hierarchy, folder);
        char *slash = strlen(folder) > top ? strrchr(folder, '/') : NULL;
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Lines "NUMBER:CONTROLLERS:/GROUP". */
void lspo_cgroup_walk(const char *root, const lspo_cgroup_hierarchy_t *hierarchies, size_t count,
                      lspo_cgroup_visit_t visit, void *context)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controller = strchr(line, ':'), *group = controller ? strchr(controller + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        for (size_t i = 0; i < count; i++)
            if (strcmp(controller + 1, hierarchies[i].controller) == 0)
                walk_up(root, &hierarchies[i], i, strcmp(group, "/") == 0 ? "" : group, visit, context);
    }
    fclose(file);
}
