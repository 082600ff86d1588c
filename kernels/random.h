/* random.h - a seeded counter-based generator: number `index` of a stream depends only on (seed, stream, index), so
 * results do not depend on threads or on the order of calls.
 *
 * Philox4x32-10 [Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011]:
 * key = seed, counter words = (counter low, counter high, stream low, stream high).
 * The words are the same on every machine.  Normal numbers use libm's log, sin and cos, which may differ in the last
 * bit of a double between C libraries, and so almost never in the float.
 */
#ifndef LSPO_KERNELS_RANDOM_H
#define LSPO_KERNELS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Block `counter` of the stream: four independent words, uniform over 32 bits. */
void lspo_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words_out[4]);

/* Uniform in [0, 1), 53 bits, from the first two words of block `index`. */
double lspo_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in 0 .. bound - 1 by a 64-bit multiply (bias below bound / 2^64); bound >= 1. */
uint32_t lspo_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound);

/* Standard normal number `index` by Box-Muller in double: block index / 2 gives two numbers, sqrt(-2 ln u1) cos(2 pi
 * u2) for the even index and the same with sin for the odd one, u1 in (0, 1], u2 in [0, 1). */
double lspo_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

/* out[i] = (float)(scale * normal number i), i < n, the same floats at a quarter of the cost of n single calls. */
void lspo_random_normal_fill(uint64_t seed, uint64_t stream, double scale, size_t n, float *out);
/* The same for numbers first .. first + n - 1; first must be even, because they are generated in pairs. */
void lspo_random_normal_fill_from(uint64_t seed, uint64_t stream, double scale, size_t first, size_t n, float *out);

#ifdef __cplusplus
}
#endif
#endif
