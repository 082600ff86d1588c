/* simd.h - compile a loop for the vector units of several CPU generations.
 *
 * LSPO_SIMD before a function's definition makes the compiler generate it for AVX-512, AVX2 and the baseline; the
 * loader selects one.  Its inner loops have `#pragma omp simd` (-fopenmp-simd, without an OpenMP runtime), which also
 * permits reordering the sums named in reduction(); nothing is compiled with -ffast-math.  Helpers called in such loops
 * must be LSPO_INLINE; otherwise they remain scalar calls.  ThreadSanitizer builds have only the baseline, because the
 * loader selects before its runtime has started.
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
