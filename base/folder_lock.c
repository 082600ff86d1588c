/* folder_lock.c - see folder_lock.h. */
#include "base/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* A killed process keeps its lock until its memory is unmapped, which takes seconds for gigabytes. */
enum { LOCK_TRIES = 100 };

bool lspo_lock_take(int descriptor)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    for (int tries = 0; flock(descriptor, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return true; /* a file system without locks */
        if (tries == LOCK_TRIES)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

lspo_status_t lspo_folder_lock(const char *folder, const char *user, int *lock_out)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return lspo_error(lspo_status_of_errno(errno), "%s: cannot open the folder: %s", folder, strerror(errno));
    if (!lspo_lock_take(descriptor)) {
        close(descriptor);
        return lspo_error(LSPO_ERR_INPUT, "%s: another lspo %s is using this folder", folder, user);
    }
    *lock_out = descriptor;
    return LSPO_OK;
}
