/* lane.h - the floating-point mode and the CPU time of a lane's thread. */
#ifndef LSPO_REAL_EXECUTE_LANE_H
#define LSPO_REAL_EXECUTE_LANE_H

#include <time.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* Flush denormal numbers to zero: on many CPUs they are a hundred times slower, and a GPU flushes them, too. */
static inline void lspo_lane_flush_denormals(void)
{
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() | 0x8040U); /* FTZ and DAZ */
#endif
}

/* CPU time of the calling thread in seconds: equal to elapsed time as long as nothing else uses its core, and
 * independent of other programs. */
static inline double lspo_lane_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
