/* number.h - the number formats of weights, activations and their gradients on a GPU.  Arithmetic and sums are in fp32
 * (or double where stated) for every format. */
#ifndef LSPO_KERNELS_NUMBER_H
#define LSPO_KERNELS_NUMBER_H

#include <stddef.h>

typedef enum { LSPO_NUMBER_FP32, LSPO_NUMBER_BF16, LSPO_NUMBER_FP16 } lspo_number_t;

static inline size_t lspo_number_bytes(lspo_number_t number)
{
    return number == LSPO_NUMBER_FP32 ? 4 : 2;
}

#endif
