/* lane.h - what every lane's thread has: its floating-point mode and its own CPU time. */
#ifndef LSPO_REAL_EXECUTE_LANE_H
#define LSPO_REAL_EXECUTE_LANE_H

#include <time.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* Denormal numbers cost a hundred times as much as others on many CPUs, and a GPU flushes them too. */
static inline void lspo_lane_flush_denormals(void)
{
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() | 0x8040U); /* FTZ and DAZ */
#endif
}

/* CPU time of the calling thread, seconds: equal to the time that passes as long as nothing else wants its core, and
 * blind to whatever else does. */
static inline double lspo_lane_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
