#include "kernels/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static lspo_blas_t blas;
static const char *failure;

/* dlerror() may be asked once. */
static void fail(void)
{
    static char text[512];
    const char *reason = dlerror();
    snprintf(text, sizeof text, "%s", reason ? reason : "no reason given");
    failure = text;
}

static void find(void *library, const char *name, void *function_out)
{
    void *function = failure ? NULL : dlsym(library, name);
    if (function)
        memcpy(function_out, &function, sizeof function);
    else if (!failure)
        fail();
}

static void open_library(void)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* read by the library's constructor, which would start threads */
    void *library = dlopen(LSPO_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fail();
        return;
    }
    find(library, "cblas_sgemm", &blas.sgemm);
    find(library, "dsyevr_", &blas.dsyevr);
    find(library, "dgesdd_", &blas.dgesdd);
    find(library, "openblas_get_corename", &blas.corename);
}

const char *lspo_blas_open(void)
{
    pthread_once(&once, open_library);
    return failure;
}

const lspo_blas_t *lspo_blas(void)
{
    if (lspo_blas_open()) {
        fprintf(stderr, "OpenBLAS: %s\n", failure);
        abort();
    }
    return &blas;
}
