/* blas.c - load OpenBLAS on first use. */
#include "kernels/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

/* In OpenBLAS 0.3 on x86-64 a buffer has 256 MiB of addresses, little of which is touched; the library itself has 40
 * MiB. */
enum { BUFFERS = 2, BUFFERS_MOST = 64 };
static const size_t buffer_bytes = (size_t)256 << 20, needed_bytes = (size_t)768 << 20, heap_bytes = (size_t)1 << 20;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static lspo_blas_t blas;
static const char *failure;
static bool lacks_memory, opening;
static void *(*take_buffer)(int);
static void (*give_back_buffer)(void *);

/* dlerror() may be called only once. */
static void fail(void)
{
    static char text[512];
    const char *reason = dlerror();
    snprintf(text, sizeof text, "%s", reason ? reason : "no reason given");
    failure = text;
    /* The start of glibc's message if an allocation of its loader fails; errno's text does not always follow.  Without
     * memory for the message, all of it. */
    lacks_memory = strstr(text, ": cannot allocate ") || strstr(text, ": cannot create ") ||
                   strcmp(text, "out of memory") == 0;
}

static void find(void *library, const char *name, void *function_out)
{
    void *function = failure ? NULL : dlsym(library, name);
    if (function)
        memcpy(function_out, &function, sizeof function);
    else if (!failure)
        fail();
}

static bool has_addresses(size_t bytes)
{
    void *addresses = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return addresses != MAP_FAILED && munmap(addresses, bytes) == 0;
}

/* Its Fortran library, too, does not return from its initialisation without memory. */
static bool has_memory(void)
{
    void *heap = malloc(heap_bytes);
    free(heap);
    return heap && has_addresses(needed_bytes);
}

/* libgfortran, with which OpenBLAS is linked, calls exit() if its initialisation gets no memory, and then crashes in
 * its own destructor, which frees uninitialised data.  This runs before that destructor. */
static void end_while_opening(void)
{
    if (!opening)
        return;
    lspo_error(LSPO_ERR_MEMORY, "out of memory: the Fortran library of OpenBLAS cannot start");
    _exit(lspo_status_exit_code(LSPO_ERR_MEMORY));
}

/* These two functions are in the library's symbol table but not in its headers; without them it allocates the buffers
 * later. */
static void find_buffers(void *library)
{
    void *symbols[2] = {dlsym(library, "blas_memory_alloc"), dlsym(library, "blas_memory_free")};
    memcpy(&take_buffer, &symbols[0], sizeof take_buffer);
    memcpy(&give_back_buffer, &symbols[1], sizeof give_back_buffer);
}

/* The library keeps a returned buffer for its next call. */
static void take_buffers(uint32_t count)
{
    void *buffers[BUFFERS_MOST];
    if (!take_buffer || !give_back_buffer)
        return;
    for (uint32_t i = 0; i < count; i++)
        buffers[i] = take_buffer(0);
    for (uint32_t i = 0; i < count; i++)
        if (buffers[i])
            give_back_buffer(buffers[i]);
}

lspo_status_t lspo_blas_reserve(uint32_t threads)
{
    uint32_t count = threads < BUFFERS_MOST ? threads : BUFFERS_MOST;
    lspo_blas();
    if (count <= BUFFERS)
        return LSPO_OK;
    if (!has_addresses(count * buffer_bytes))
        return lspo_no_memory("OpenBLAS's buffers for %u threads, of 256 MiB of addresses each", threads);
    take_buffers(count);
    return LSPO_OK;
}

/* Cores of OpenBLAS whose kernels use neither AVX2 nor FMA. */
static bool is_old(const char *core)
{
    static const char *const old[] = {"Katmai",  "Coppermine",  "Northwood",    "Prescott", "Banias",    "Atom",
                                      "Core2",   "Penryn",      "Dunnington",   "Nehalem",  "Athlon",    "Opteron",
                                      "Nano",    "Barcelona",   "Opteron_SSE3", "Bobcat",   "Bulldozer", "Piledriver",
                                      "Unknown", "Sandybridge", "Steamroller"};
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        if (strcmp(core, old[i]) == 0)
            return true;
    return false;
}

/* The newest core of OpenBLAS 0.3 that this CPU can run, of any vendor; NULL without AVX2 and FMA. */
static const char *newest_core(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "Haswell";
#endif
    return NULL;
}

static void *load(void)
{
    opening = true;
    void *library = dlopen(LSPO_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    opening = false;
    return library;
}

static void find_functions(void *library)
{
    find(library, "cblas_sgemm", &blas.sgemm);
    find(library, "dsyevr_", &blas.dsyevr);
    find(library, "dsyevd_", &blas.dsyevd);
    find(library, "dgesdd_", &blas.dgesdd);
    find(library, "spotrf_", &blas.spotrf);
    find(library, "spotri_", &blas.spotri);
    find(library, "openblas_get_corename", &blas.corename);
}

/* On CPUs newer than itself OpenBLAS uses kernels for a CPU of 2004: 0.3.21 multiplies at a quarter of the speed on
 * Xeons of 2023.  The user's environment variable has priority. */
static void *load_for_this_cpu(void)
{
    void *library = load();
    if (!library)
        return NULL;
    find_functions(library);
    const char *core = newest_core();
    if (failure || !core || getenv("OPENBLAS_CORETYPE") || !is_old(blas.corename()))
        return library;
    if (setenv("OPENBLAS_CORETYPE", core, 1) != 0)
        return library;
    dlclose(library);
    library = load();
    if (library)
        find_functions(library);
    return library;
}

static void open_library(void)
{
    /* The library's constructor reads OPENBLAS_NUM_THREADS; with more than one thread results would differ. */
    if (!has_memory() || atexit(end_while_opening) != 0 || setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0) {
        lacks_memory = true;
        failure = "768 MiB of addresses for its code and buffers are not to be had here (ulimit -v)";
        return;
    }
    void *library = load_for_this_cpu();
    if (!library)
        fail();
    else if (!failure) {
        find_buffers(library);
        take_buffers(BUFFERS);
    }
}

const char *lspo_blas_open(void)
{
    pthread_once(&once, open_library);
    return failure;
}

bool lspo_blas_lacks_memory(void)
{
    return lspo_blas_open() && lacks_memory;
}

const lspo_blas_t *lspo_blas(void)
{
    if (lspo_blas_open()) {
        fprintf(stderr, "OpenBLAS: %s\n", failure);
        abort();
    }
    return &blas;
}
