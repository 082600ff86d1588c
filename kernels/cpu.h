/* cpu.h - choose the vector instructions of the host kernels at run time, so that one binary runs on every CPU.
 *
 * A kernel with several paths calls lspo_cpu_level() at each call and uses its best path at or below that level.
 * Results of a kernel may differ in the last bits between levels, but not within a level.
 */
#ifndef LSPO_KERNELS_CPU_H
#define LSPO_KERNELS_CPU_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    LSPO_CPU_PORTABLE, /* plain C                                       */
    LSPO_CPU_AVX2,     /* AVX2, FMA and F16C                            */
    LSPO_CPU_AVX512,   /* AVX-512 F, BW, VL, DQ and all of LSPO_CPU_AVX2 */
    LSPO_CPU_LEVEL_COUNT
} lspo_cpu_level_t;

/* The machine's level, or the limit if that is lower.  Safe from any thread. */
lspo_cpu_level_t lspo_cpu_level(void);

/* Use no level above `limit` from now on; LSPO_CPU_AVX512 lifts the limit.  For tests and benchmarks: not while kernels
 * run on other threads. */
void lspo_cpu_limit(lspo_cpu_level_t limit);

const char *lspo_cpu_level_name(lspo_cpu_level_t level); /* "portable", "avx2", "avx512" */

#ifdef __cplusplus
}
#endif
#endif
