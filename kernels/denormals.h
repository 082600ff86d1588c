/* denormals.h - treat denormals as zero while a kernel runs (FTZ and DAZ): they take a hundred cycles each, and moments
 * of gradients that have become zero decay into them. */
#ifndef LSPO_KERNELS_DENORMALS_H
#define LSPO_KERNELS_DENORMALS_H

#if defined(__x86_64__)
#include <immintrin.h>

/* Returns the caller's mode, for lspo_denormals_restore(). */
static inline unsigned lspo_denormals_off(void)
{
    enum { FTZ_AND_DAZ = 0x8040 };
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | FTZ_AND_DAZ);
    return saved;
}

static inline void lspo_denormals_restore(unsigned saved)
{
    _mm_setcsr(saved);
}
#else
static inline unsigned lspo_denormals_off(void)
{
    return 0;
}

static inline void lspo_denormals_restore(unsigned saved)
{
    (void)saved;
}
#endif

#endif
