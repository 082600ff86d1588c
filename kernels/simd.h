/* simd.h - one loop, compiled for the vector units of several CPU generations.
 *
 * LSPO_SIMD before a function's definition makes the compiler emit it for AVX-512, AVX2 and the baseline, and lets the
 * loader choose.  Its inner loops carry `#pragma omp simd` (-fopenmp-simd: no OpenMP runtime), which also permits
 * vector order in the sums named in reduction(); nothing is compiled with -ffast-math.  Helpers called inside such
 * loops are LSPO_INLINE, or they would stay scalar calls.  Under ThreadSanitizer there is the baseline only: the loader
 * chooses before that runtime has started.
 */
#ifndef LSPO_KERNELS_SIMD_H
#define LSPO_KERNELS_SIMD_H

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 &&     \
    !defined(__CUDACC__) && !defined(__SANITIZE_THREAD__)
#define LSPO_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LSPO_SIMD
#endif

#define LSPO_INLINE static inline __attribute__((always_inline))

#endif
