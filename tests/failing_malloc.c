/* failing_malloc.c - an allocator to preload that fails once, or from some call on.
 *
 *     LSPO_FAIL_AT=N       the N-th allocation, from 1 on, gets no memory
 *     LSPO_FAIL_ON=1       and none after it either
 *     LSPO_FAIL_COUNT=FILE how many allocations there were, written at the end
 *
 * tests/test_no_memory.sh runs commands under it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own under their other names. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static atomic_long calls;
static long fail_at;
static int fail_on;

static int fails(void)
{
    long call = 1 + atomic_fetch_add(&calls, 1);
    if (fail_at == 0 || !(call == fail_at || (fail_on && call > fail_at)))
        return 0;
    errno = ENOMEM;
    return 1;
}

typedef int main_t(int argc, char **argv, char **environment);
static main_t *program_main;

static int counted_main(int argc, char **argv, char **environment)
{
    const char *at = getenv("LSPO_FAIL_AT"), *on = getenv("LSPO_FAIL_ON");
    unsetenv("LD_PRELOAD"); /* programs that the command starts get memory */
    fail_on = on && *on == '1';
    fail_at = at ? atol(at) : 0;
    atomic_store(&calls, 0);
    return program_main(argc, argv, environment);
}

/* What the loader, libraries and their constructors take before main() is not ours to survive: counting begins with
 * main(), in whose place the C library is given counted_main(). */
int __libc_start_main(main_t *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end);
int __libc_start_main(main_t *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end)
{
    typedef int start_t(main_t *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    start_t *start;
    *(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
    program_main = main;
    return start(counted_main, argc, argv, init, fini, loader_fini, stack_end);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("LSPO_FAIL_COUNT");
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    int descriptor = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (descriptor >= 0) {
        if (write(descriptor, text, (size_t)length) != length)
            _exit(99);
        close(descriptor);
    }
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory_out, size_t alignment, size_t bytes)
{
    if (fails())
        return ENOMEM;
    *memory_out = __libc_memalign(alignment, bytes);
    return *memory_out ? 0 : ENOMEM;
}
