/* pack.h - conversion between fp32 and the 16-bit formats that cross the link.  Round to nearest even; NaN stays NaN,
 * fp16 overflows to infinity.  n elements; arrays do not overlap. */
#ifndef LSPO_KERNELS_PACK_H
#define LSPO_KERNELS_PACK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void lspo_pack_bf16(size_t n, const float *in, uint16_t *out);
void lspo_unpack_bf16(size_t n, const uint16_t *in, float *out);
void lspo_pack_fp16(size_t n, const float *in, uint16_t *out);
void lspo_unpack_fp16(size_t n, const uint16_t *in, float *out);

#ifdef __cplusplus
}
#endif
#endif
