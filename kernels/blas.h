/* blas.h - the functions of OpenBLAS that kernels/ and real/ call.
 *
 * The library is opened when it is first needed, not when a program starts: its constructor starts a thread a core,
 * each of which spins for a while, and most commands multiply nothing.  It is opened with one thread, so every product
 * runs on the thread that asks for it: results do not depend on the machine's core count and lanes do not disturb each
 * other.
 *
 * A CPU that is newer than OpenBLAS gets its kernels for AVX-512 or AVX2, not those for unknown CPUs (SSE3).  The
 * variable OPENBLAS_CORETYPE of the user is respected.
 *
 * A product that finds no addresses for its buffer waits for them for ever, so the buffers of both lanes that multiply
 * at once, the GPU's and the CPU's, are taken when the library is opened, or it is not opened.
 */
#ifndef LSPO_KERNELS_BLAS_H
#define LSPO_KERNELS_BLAS_H

#include <cblas.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* LAPACK's under their Fortran names; the last arguments are the lengths of the strings. */
typedef void lspo_dsyevr_t(const char *jobz, const char *range, const char *uplo, const int *n, double *a,
                           const int *lda, const double *vl, const double *vu, const int *il, const int *iu,
                           const double *abstol, int *found, double *w, double *z, const int *ldz, int *isuppz,
                           double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length,
                           size_t range_length, size_t uplo_length);
typedef void lspo_dgesdd_t(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s,
                           double *u, const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork,
                           int *iwork, int *info, size_t jobz_length);

typedef struct {
    __typeof__(cblas_sgemm) *sgemm;
    lspo_dsyevr_t *dsyevr;
    lspo_dgesdd_t *dgesdd;
    __typeof__(openblas_get_corename) *corename;
} lspo_blas_t;

/* NULL, or why the library cannot be opened; static.  Opens it on the first call, whose thread sets an environment
 * variable.  lspo_device_open() calls it. */
const char *lspo_blas_open(void);
/* Whether it cannot be opened for lack of memory, or of addresses (ulimit -v). */
bool lspo_blas_lacks_memory(void);

/* Opened if it is not yet; the process ends, as at any program whose library is missing, where that is impossible. */
const lspo_blas_t *lspo_blas(void);

#ifdef __cplusplus
}
#endif
#endif
