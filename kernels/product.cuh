/* product.cuh - the names of number formats in cuBLAS and cuBLASLt. */
#ifndef LSPO_KERNELS_PRODUCT_CUH
#define LSPO_KERNELS_PRODUCT_CUH

#include <cublas_v2.h>

#include "kernels/number.h"

static inline cudaDataType_t lspo_cublas_type(lspo_number_t number)
{
    return number == LSPO_NUMBER_FP32 ? CUDA_R_32F : number == LSPO_NUMBER_BF16 ? CUDA_R_16BF : CUDA_R_16F;
}

#endif
