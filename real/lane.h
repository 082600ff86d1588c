/* lane.h - the floating-point mode of every lane's thread. */
#ifndef LSPO_REAL_LANE_H
#define LSPO_REAL_LANE_H

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

#endif
