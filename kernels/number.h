/* number.h - the formats in which weights, activations and their gradients are stored on a GPU.  Arithmetic and sums
 * are fp32 (double where said) whatever the format is. */
#ifndef LSPO_KERNELS_NUMBER_H
#define LSPO_KERNELS_NUMBER_H

#include <stddef.h>

typedef enum { LSPO_NUMBER_FP32, LSPO_NUMBER_BF16, LSPO_NUMBER_FP16 } lspo_number_t;

static inline size_t lspo_number_bytes(lspo_number_t number)
{
    return number == LSPO_NUMBER_FP32 ? 4 : 2;
}

#endif
