/* cgroup.h - the control groups that limit this process: its own and those above it, of either version. */
#ifndef LSPO_REAL_MACHINE_CGROUP_H
#define LSPO_REAL_MACHINE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `controller` as in /proc/self/cgroup, "" for version 2. */
typedef struct {
    const char *controller, *folder;
} lspo_cgroup_hierarchy_t;

/* Calls `visit` with the number of each hierarchy and the folder of each of the process's groups in it, from the
 * innermost to the top.  `root` is "" or, for tests, a folder that stands for "/". */
typedef void (*lspo_cgroup_visit_t)(void *context, size_t hierarchy, const char *folder);
void lspo_cgroup_walk(const char *root, const lspo_cgroup_hierarchy_t *hierarchies, size_t count,
                      lspo_cgroup_visit_t visit, void *context);

/* Read the number after `key` at the beginning of a line in a file of the folder; key "": the file begins with the
 * number.  False if there is no number, as in "max". */
bool lspo_cgroup_number(const char *folder, const char *file, const char *key, uint64_t *number_out);

#endif
