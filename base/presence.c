/* presence.c - see presence.h.  The file is empty before its process comes, and has a word of it afterwards. */
#include "base/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

static const char here = 'h', left = 'l';

void lspo_presence_forget(const char *path)
{
    (void)unlink(path);
}

/* LOCK_EX waits for those who look. */
int lspo_presence_come(const char *path)
{
    const int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return -1;
    if (flock(descriptor, LOCK_EX) == 0 && pwrite(descriptor, &here, 1, 0) == 1)
        return descriptor;
    close(descriptor);
    return -1;
}

void lspo_presence_leave(int descriptor)
{
    if (descriptor < 0)
        return;
    (void)!pwrite(descriptor, &left, 1, 0);
    close(descriptor);
}

lspo_presence_t lspo_presence_look(const char *path)
{
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return LSPO_PRESENCE_UNKNOWN;
    lspo_presence_t presence = LSPO_PRESENCE_UNKNOWN;
    char word = 0;
    if (flock(descriptor, LOCK_SH | LOCK_NB) != 0)
        presence = errno == EWOULDBLOCK ? LSPO_PRESENCE_HERE : LSPO_PRESENCE_UNKNOWN;
    else if (pread(descriptor, &word, 1, 0) == 1)
        presence = word == left ? LSPO_PRESENCE_LEFT : word == here ? LSPO_PRESENCE_LOST : LSPO_PRESENCE_UNKNOWN;
    close(descriptor);
    return presence;
}
