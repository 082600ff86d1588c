/* folder_lock.c - see folder_lock.h. */
#include "plan/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

lspo_status_t lspo_folder_lock(const char *folder, const char *user, int *lock_out)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: cannot open the folder: %s", folder, strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(descriptor);
        return lspo_error(LSPO_ERR_INPUT, "%s: another %s writes here", folder, user);
    }
    *lock_out = descriptor;
    return LSPO_OK;
}
