/* blas.h - the functions of OpenBLAS that kernels/ and real/ call.
 *
 * The library is loaded on first use, not at program start: its constructor starts one thread per core, each of which
 * spins for a while, and most commands need no products.  It is loaded with one thread, so every product runs on the
 * calling thread: results do not depend on the number of cores, and lanes do not disturb each other.
 *
 * On a CPU that OpenBLAS does not know, its kernels for AVX-512 or AVX2 are selected instead of its default (SSE3).  An
 * OPENBLAS_CORETYPE set by the user has priority.
 *
 * A product that cannot map its buffer waits forever.  Therefore the buffers of the two lanes that may multiply at the
 * same time, GPU and CPU, are allocated when the library is loaded; if that fails, it is not loaded.  Where more
 * threads multiply, lspo_blas_reserve() allocates theirs.
 */
#ifndef LSPO_KERNELS_BLAS_H
#define LSPO_KERNELS_BLAS_H

#include <cblas.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LAPACK's under their Fortran names; the last arguments are the lengths of the strings. */
typedef void lspo_dsyevr_t(const char *jobz, const char *range, const char *uplo, const int *n, double *a,
                           const int *lda, const double *vl, const double *vu, const int *il, const int *iu,
                           const double *abstol, int *found, double *w, double *z, const int *ldz, int *isuppz,
                           double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length,
                           size_t range_length, size_t uplo_length);
typedef void lspo_dsyevd_t(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
                           double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length,
                           size_t uplo_length);
typedef void lspo_dgesdd_t(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s,
                           double *u, const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork,
                           int *iwork, int *info, size_t jobz_length);

typedef void lspo_spotrf_t(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t uplo_length);

typedef struct {
    __typeof__(cblas_sgemm) *sgemm;
    lspo_dsyevr_t *dsyevr;
    lspo_dsyevd_t *dsyevd;
    lspo_dgesdd_t *dgesdd;
    lspo_spotrf_t *spotrf, *spotri;
    __typeof__(openblas_get_corename) *corename;
} lspo_blas_t;

/* Load the library on the first call, which sets an environment variable.  Returns NULL, or the reason why it cannot be
 * loaded; static.  lspo_device_open() calls it. */
const char *lspo_blas_open(void);
/* Whether it cannot be loaded because memory or address space (ulimit -v) ran out. */
bool lspo_blas_lacks_memory(void);

/* Allocate the buffers of so many threads that multiply at the same time, and load the library if needed.
 * LSPO_ERR_MEMORY if there is no room for them. */
lspo_status_t lspo_blas_reserve(uint32_t threads);

/* The functions; loads the library if needed.  If that fails, the process exits, as for any missing shared library. */
const lspo_blas_t *lspo_blas(void);

#ifdef __cplusplus
}
#endif
#endif
