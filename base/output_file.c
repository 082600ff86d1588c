/* output_file.c - write a file completely or not at all; see output_file.h. */
#include "base/output_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/input_file.h"

enum { LINKS_MAX = 40, TRIES_MAX = 100 };

static lspo_status_t cannot_write(const char *path, int error)
{
    return lspo_error(LSPO_ERR_IO, "cannot write %s: %s", path, error != 0 ? strerror(error) : "write error");
}

static void release(lspo_output_t *output)
{
    free(output->path);
    free(output->target_path);
    free(output->temporary_path);
    *output = (lspo_output_t){0};
}

/* The folder part of a path, with its last slash; empty when there is none. */
static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path + 1) : 0;
}

/* Follows the symbolic links from output->target_path one by one, until a descriptor's own path (/dev/fd/1) or
 * something that is not a link. */
static lspo_status_t follow_links(lspo_output_t *output)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        char link[PATH_MAX], *path = output->target_path, *next;
        ssize_t length = lspo_descriptor_of_path(path) < 0 ? readlink(path, link, sizeof link - 1) : -1;
        if (length < 0)
            return LSPO_OK;
        link[length] = '\0';
        if (asprintf(&next, "%.*s%s", link[0] == '/' ? 0 : folder_length(path), path, link) < 0)
            return lspo_no_memory("the name of %s", output->path);
        output->target_path = next;
        free(path);
    }
    return cannot_write(output->path, ELOOP);
}

/* Removes temporary files that killed programs left in the folder of `path`: files of this user that are not locked. */
static void sweep(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s.", folder_length(path), path);
    DIR *stream = opendir(folder);
    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strncmp(entry->d_name, LSPO_TEMPORARY_PREFIX, strlen(LSPO_TEMPORARY_PREFIX)) != 0)
            continue;
        struct stat info;
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, at = dirfd(stream);
        int descriptor = openat(at, entry->d_name, flags);
        if (descriptor < 0)
            continue;
        if (fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
            flock(descriptor, LOCK_EX | LOCK_NB) == 0)
            unlinkat(at, entry->d_name, 0);
        close(descriptor);
    }
    closedir(stream);
}

static uint64_t draw_name(int attempt)
{
    uint64_t name;
    if (getrandom(&name, sizeof name, GRND_NONBLOCK) != (ssize_t)sizeof name) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        name = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)getpid() << 8 ^ (uint64_t)attempt;
    }
    return name;
}

/* Creates and locks a new file beside the target; returns its descriptor, or -1 with errno. */
static int create_temporary(lspo_output_t *output)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        char *path;
        if (asprintf(&path, "%.*s%s%016" PRIx64, folder_length(output->target_path), output->target_path,
                     LSPO_TEMPORARY_PREFIX, draw_name(i)) < 0) {
            errno = ENOMEM;
            return -1;
        }
        int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666), error = errno;
        /* Another process may have removed the file before it was locked. */
        struct stat info;
        if (descriptor >= 0 && (flock(descriptor, LOCK_EX), fstat(descriptor, &info)) == 0 && info.st_nlink > 0) {
            output->temporary_path = path;
            return descriptor;
        }
        free(path);
        if (descriptor >= 0)
            close(descriptor);
        else if (error != EEXIST) {
            errno = error;
            return -1;
        }
    }
    errno = EEXIST;
    return -1;
}

/* Copies mode and owner of the file that is replaced; if the owner cannot be set, it stays ours. */
static int keep_mode(int descriptor, const struct stat *old)
{
    struct stat mine;
    if (fstat(descriptor, &mine) != 0)
        return -1;
    mode_t mode = old->st_mode & 07777;
    if ((mine.st_uid != old->st_uid || mine.st_gid != old->st_gid) && fchown(descriptor, old->st_uid, old->st_gid) != 0)
        mode &= 0777;
    return fchmod(descriptor, mode);
}

/* A temporary file for the regular file that is or will be at the target; returns its descriptor, or -1 with errno. */
static int open_beside(lspo_output_t *output, const struct stat *old)
{
    if (old && faccessat(AT_FDCWD, output->target_path, W_OK, AT_EACCESS) != 0)
        return -1;
    sweep(output->target_path);
    int descriptor = create_temporary(output);
    if (descriptor >= 0 && old && keep_mode(descriptor, old) != 0) {
        int error = errno;
        close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

/* Without O_NONBLOCK, opening a named pipe would wait for a reader; writes may wait again. */
static int open_now(const char *path)
{
    int descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (descriptor >= 0)
        fcntl(descriptor, F_SETFL, 0);
    return descriptor;
}

static int open_in_place(lspo_output_t *output, int given)
{
    fflush(stdout); /* earlier output comes before what is written to /dev/stdout now */
    int descriptor = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 3) : open_now(output->target_path);
    free(output->target_path);
    output->target_path = NULL;
    return descriptor;
}

static lspo_status_t open_target(lspo_output_t *output)
{
    struct stat old;
    int given = lspo_descriptor_of_path(output->target_path);
    bool exists = given < 0 && stat(output->target_path, &old) == 0;
    bool in_place = given >= 0 || (exists && !S_ISREG(old.st_mode));
    int descriptor = in_place ? open_in_place(output, given) : open_beside(output, exists ? &old : NULL);
    if (descriptor >= 0 && (output->file = fdopen(descriptor, "w")))
        return LSPO_OK;
    int error = errno;
    if (descriptor >= 0)
        close(descriptor);
    if (output->temporary_path)
        unlink(output->temporary_path);
    if (error == ENXIO && exists && S_ISFIFO(old.st_mode))
        return lspo_error(LSPO_ERR_IO, "cannot write %s: no process reads from this named pipe", output->path);
    return error == ENOMEM ? lspo_no_memory("the name of %s", output->path) : cannot_write(output->path, error);
}

lspo_status_t lspo_output_open(const char *path, lspo_output_t *output_out)
{
    lspo_output_t output = {.path = strdup(path), .target_path = strdup(path)};
    lspo_status_t status =
        output.path && output.target_path ? follow_links(&output) : lspo_no_memory("the name of %s", path);
    if (status != LSPO_OK)
        goto failed;
    status = open_target(&output);
    if (status != LSPO_OK)
        goto failed;
    *output_out = output;
    return LSPO_OK;
failed:
    release(&output);
    return status;
}

bool lspo_same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* The name is on disk once its folder has been flushed; file systems that cannot flush a folder need no flush. */
static bool flush_folder(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s.", folder_length(path), path);
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return true; /* a folder with write but without read permission */
    bool flushed = fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP;
    close(descriptor);
    return flushed;
}

/* Everything written is on disk, and a temporary file has its final name.  It is renamed before it is closed, because
 * closing it releases the lock. */
static lspo_status_t put_in_place(const lspo_output_t *output, bool *renamed_out)
{
    const char *temporary = output->temporary_path;
    /* After a failed write fflush() fails again, with the reason. */
    errno = 0;
    if (fflush(output->file) != 0 || ferror(output->file))
        return cannot_write(output->path, errno);
    if (!temporary)
        return LSPO_OK;
    if (fsync(fileno(output->file)) != 0 || rename(temporary, output->target_path) != 0)
        return cannot_write(output->path, errno);
    *renamed_out = true;
    return LSPO_OK;
}

lspo_status_t lspo_output_finish(lspo_output_t *output, lspo_status_t status)
{
    bool renamed = false;
    if (status == LSPO_OK)
        status = put_in_place(output, &renamed);
    if (output->temporary_path && !renamed)
        unlink(output->temporary_path);
    if (fclose(output->file) != 0 && status == LSPO_OK)
        status = cannot_write(output->path, errno);
    if (renamed && !flush_folder(output->target_path) && status == LSPO_OK)
        status = cannot_write(output->path, errno);
    release(output);
    return status;
}
