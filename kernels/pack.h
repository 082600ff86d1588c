/* pack.h - conversion between fp32 and the 16-bit formats that cross the link.
 *
 * Rounds to nearest, ties to even, in any FP mode of the caller.  bf16: the upper half of a float; fp16: IEEE 754
 * binary16; overflow (|x| >= 65520) gives infinity, denormals are kept.  NaN becomes a quiet NaN with the same upper
 * payload bits; unpacking bf16 is a shift and keeps a signalling NaN.  n elements; arrays must not overlap; any
 * alignment.  The bits are the same on every level of kernels/cpu.h.  6 bytes per element.
 */
#ifndef LSPO_KERNELS_PACK_H
#define LSPO_KERNELS_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

void lspo_pack_bf16(size_t n, const float *in, uint16_t *out);
void lspo_unpack_bf16(size_t n, const uint16_t *in, float *out);
void lspo_pack_fp16(size_t n, const float *in, uint16_t *out);
void lspo_unpack_fp16(size_t n, const uint16_t *in, float *out);

/* Convert between any two formats; between the two 16-bit formats by way of fp32. */
void lspo_convert(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out);

#ifdef __cplusplus
}
#endif
#endif
