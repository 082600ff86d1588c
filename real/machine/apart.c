/* apart.c - make a call in a child process, for libraries that crash when memory is short; see apart.h. */
#include "real/machine/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_all(int descriptor, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(descriptor, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

static bool read_all(int descriptor, char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t got = read(descriptor, bytes, count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        count -= (size_t)got;
    }
    return true;
}

/* In the child.  A core file would say nothing about lspo. */
static void answer(int descriptor, lspo_apart_call_t call, const void *context, char *reply, size_t result_bytes)
{
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    lspo_status_t status = call(context, reply + sizeof status);
    memcpy(reply, &status, sizeof status);
    _exit(write_all(descriptor, reply, sizeof status + result_bytes) ? 0 : 1);
}

lspo_status_t lspo_call_apart(const char *what, lspo_apart_call_t call, const void *context, void *result,
                              size_t result_bytes)
{
    lspo_status_t status;
    int ends[2];
    char *reply = calloc(1, sizeof status + result_bytes);
    if (!reply)
        return what ? lspo_error(LSPO_ERR_MEMORY, "out of memory: cannot %s", what) : LSPO_ERR_MEMORY;
    bool connected = pipe2(ends, O_CLOEXEC) == 0;
    pid_t child = connected ? fork() : -1;
    if (child < 0) {
        if (connected) {
            close(ends[0]);
            close(ends[1]);
        }
        free(reply);
        return call(context, result);
    }
    if (child == 0)
        answer(ends[1], call, context, reply, result_bytes);
    close(ends[1]);
    bool came_back = read_all(ends[0], reply, sizeof status + result_bytes);
    close(ends[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    memcpy(&status, reply, sizeof status);
    if (!came_back)
        status =
            what ? lspo_error(LSPO_ERR_MEMORY, "cannot %s: a library crashed, as it does when memory is short", what)
                 : LSPO_ERR_MEMORY;
    else if (status == LSPO_OK)
        memcpy(result, reply + sizeof status, result_bytes);
    free(reply);
    return status;
}
