/* pack.h - conversion between fp32 and the 16-bit formats that cross the link.
 *
 * Round to nearest, ties to even, whatever the caller's FP mode.  bf16: the upper half of a float; fp16: IEEE 754
 * binary16, whose overflow (|x| >= 65520) is infinity and whose denormals are kept.  NaN stays NaN, made quiet, upper
 * payload bits kept; unpacking bf16 is a shift and keeps a signalling NaN.
 * n elements; arrays do not overlap; any alignment.  The bits are the same on every level of kernels/cpu.h.
 * 6 bytes an element.
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

/* From any format to any: the above, a copy, or from 16 bits to the other 16 bits by way of fp32. */
void lspo_convert(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out);

#ifdef __cplusplus
}
#endif
#endif
