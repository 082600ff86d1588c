#include "real/host_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

typedef struct {
    const char *controller; /* in /proc/self/cgroup */
    const char *folder, *limit, *usage, *idle_pages;
} hierarchy_t;

static const hierarchy_t hierarchies[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}};

/* The number behind `key` at a line's begin; "" for a file that holds one number.  False for "max" too. */
static bool read_number(const char *path, const char *key, uint64_t *number_out)
{
    char line[256];
    bool found = false;
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
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
    fclose(file);
    return found;
}

static bool read_in(const char *folder, const char *name, const char *key, uint64_t *number_out)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && read_number(path, key, number_out);
}

static uint64_t left_in(const hierarchy_t *h, const char *folder)
{
    uint64_t limit_bytes, usage_bytes, idle_bytes = 0;
    if (!read_in(folder, h->limit, "", &limit_bytes) || !read_in(folder, h->usage, "", &usage_bytes))
        return UINT64_MAX;
    read_in(folder, "memory.stat", h->idle_pages, &idle_bytes);
    uint64_t kept_bytes = usage_bytes > idle_bytes ? usage_bytes - idle_bytes : 0;
    return limit_bytes > kept_bytes ? limit_bytes - kept_bytes : 0;
}

/* The group and all above it. */
static uint64_t left_above(const hierarchy_t *h, const char *root, const char *group)
{
    char folder[PATH_BYTES];
    uint64_t least_bytes = UINT64_MAX;
    int length = snprintf(folder, sizeof folder, "%s%s%s", root, h->folder, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return least_bytes;
    const size_t top = strlen(root) + strlen(h->folder);
    for (;;) {
        uint64_t left_bytes = left_in(h, folder);
        least_bytes = left_bytes < least_bytes ? left_bytes : least_bytes;
        char *slash = strlen(folder) > top ? strrchr(folder, '/') : NULL;
        if (!slash)
            return least_bytes;
        *slash = '\0';
    }
}

/* Lines "NUMBER:CONTROLLERS:/GROUP". */
static uint64_t left_in_groups(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    uint64_t least_bytes = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    if (!file)
        return least_bytes;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controller = strchr(line, ':'), *group = controller ? strchr(controller + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        for (size_t i = 0; i < sizeof hierarchies / sizeof hierarchies[0]; i++) {
            if (strcmp(controller + 1, hierarchies[i].controller) != 0)
                continue;
            uint64_t left_bytes = left_above(&hierarchies[i], root, strcmp(group, "/") == 0 ? "" : group);
            least_bytes = left_bytes < least_bytes ? left_bytes : least_bytes;
        }
    }
    fclose(file);
    return least_bytes;
}

uint64_t lspo_host_memory_available(const char *root)
{
    char path[PATH_BYTES];
    uint64_t available_kb, least_bytes = left_in_groups(root);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (read_number(path, "MemAvailable:", &available_kb) && available_kb * 1024 < least_bytes)
        least_bytes = available_kb * 1024;
    return least_bytes;
}
