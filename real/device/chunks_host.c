/* chunks_host.c - chunks of the host: parts of a memfd, mapped with MAP_FIXED into reserved addresses.  A kernel or a
 * sandbox without memfds has a file without a name in /dev/shm in its place; without that, too, there are no chunks. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "real/device/chunks_state.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

typedef struct {
    int file;
    uint64_t chunk_bytes;
} host_t;

static int open_memory(void)
{
    const int file = memfd_create("lspo-chunks", MFD_CLOEXEC);
    return file >= 0 ? file : open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static uint64_t host_unit(const lspo_device_t *device)
{
    const int file = open_memory();
    (void)device;
    if (file < 0)
        return 0;
    close(file);
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static lspo_status_t host_open(lspo_device_t *device, uint64_t chunk_bytes, uint64_t most, void **state_out)
{
    (void)device;
    host_t *state = malloc(sizeof *state);
    if (state == NULL)
        return lspo_no_memory("a pool of chunks");
    *state = (host_t){open_memory(), chunk_bytes};
    if (state->file < 0 || ftruncate(state->file, (off_t)(most * chunk_bytes)) != 0) {
        const int error = errno;
        if (state->file >= 0)
            close(state->file);
        free(state);
        return lspo_error(LSPO_ERR_MEMORY, "a file in memory of %llu chunks: %s", (unsigned long long)most,
                          strerror(error));
    }
    *state_out = state;
    return LSPO_OK;
}

static void host_close(void *state)
{
    close(((host_t *)state)->file);
    free(state);
}

static lspo_status_t host_make(void *state, uint64_t chunk)
{
    const host_t *s = state;
    int result;
    do
        result = fallocate(s->file, 0, (off_t)(chunk * s->chunk_bytes), (off_t)s->chunk_bytes);
    while (result != 0 && errno == EINTR);
    return result == 0 ? LSPO_OK : lspo_error(LSPO_ERR_MEMORY, "memory for a chunk: %s", strerror(errno));
}

static void host_unmake(void *state, uint64_t chunk)
{
    const host_t *s = state;
    fallocate(s->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(chunk * s->chunk_bytes),
              (off_t)s->chunk_bytes);
}

static const int reserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

static lspo_status_t host_reserve(void *state, uint64_t bytes, char **at_out)
{
    (void)state;
    char *at = mmap(NULL, bytes, PROT_NONE, reserved, -1, 0);
    if (at == MAP_FAILED)
        return lspo_error(LSPO_ERR_MEMORY, "%llu bytes of addresses: %s", (unsigned long long)bytes, strerror(errno));
    *at_out = at;
    return LSPO_OK;
}

static void host_release(void *state, char *at, uint64_t bytes)
{
    (void)state;
    munmap(at, bytes);
}

static lspo_status_t host_map(void *state, char *at, uint64_t chunk)
{
    const host_t *s = state;
    if (mmap(at, s->chunk_bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, s->file, (off_t)(chunk * s->chunk_bytes)) == at)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_MEMORY, "a chunk cannot be mapped: %s%s", strerror(errno),
                      errno == ENOMEM ? " (the system allows vm.max_map_count mappings): use larger chunks" : "");
}

/* With its pages, so that kernels do not fault; older systems cannot do that. */
static lspo_status_t host_access(void *state, char *at, uint64_t bytes)
{
    (void)state;
    if (mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0)
        return lspo_error(LSPO_ERR_MEMORY, "chunks do not become accessible: %s", strerror(errno));
    madvise(at, bytes, MADV_POPULATE_WRITE);
    return LSPO_OK;
}

/* Where new addresses cannot be put in their place, the chunks stay mapped but nobody reads them. */
static void host_unmap(void *state, char *at, uint64_t bytes)
{
    (void)state;
    if (mmap(at, bytes, PROT_NONE, reserved | MAP_FIXED, -1, 0) != at)
        mprotect(at, bytes, PROT_NONE);
}

static void host_copy(void *state, char *to, const char *from, uint64_t bytes)
{
    (void)state;
    memcpy(to, from, bytes);
}

const lspo_chunks_backend_t lspo_chunks_host = {.unit = host_unit,
                                                .open = host_open,
                                                .close = host_close,
                                                .make = host_make,
                                                .unmake = host_unmake,
                                                .reserve = host_reserve,
                                                .release = host_release,
                                                .map = host_map,
                                                .access = host_access,
                                                .unmap = host_unmap,
                                                .copy = host_copy};
