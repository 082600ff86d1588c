/* data_folder.c - see data_folder.h. */
#include "cli/data_folder.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/folders.h"

/* Does `folder` plus `end` contain the plots?  Then `path` is its name, without links. */
static bool find(const char *folder, const char *end, char path[PATH_MAX])
{
    char joined[PATH_MAX + 32], probe[PATH_MAX + 32];
    snprintf(joined, sizeof joined, "%s%s", folder, end);
    if (realpath(joined, path) == NULL)
        return false;
    snprintf(probe, sizeof probe, "%s/plots/style.gp", path);
    return access(probe, R_OK) == 0;
}

/* The folder of the running program, without links. */
static bool program_folder(char *folder, size_t folder_bytes)
{
    ssize_t length = readlink("/proc/self/exe", folder, folder_bytes - 1);
    if (length <= 0)
        return false;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

lspo_status_t lspo_data_folder(char path[PATH_MAX])
{
    char folder[PATH_MAX] = "";
    bool known = program_folder(folder, sizeof folder);
    if (known && strcmp(folder, LSPO_BUILD_DIR) == 0 && find(LSPO_SOURCE_DIR, "", path))
        return LSPO_OK;
    if (known && find(folder, "/../share/lspo", path))
        return LSPO_OK;
    if (find(LSPO_DATA_DIR, "", path))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "cannot find lspo's plots and experiments in %s/../share/lspo or in %s", folder,
                      LSPO_DATA_DIR);
}
