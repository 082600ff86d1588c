/* product.h - a product of column-major matrices as in cuBLAS and cuBLASLt: sums in fp32, numbers of any
 * format. */
#ifndef LSPO_TESTS_PRODUCT_H
#define LSPO_TESTS_PRODUCT_H

#include <vector>

#include "cublas_v2.h"

/* As it lies in memory. */
struct cuda_on_host_matrix_t {
    void *at;
    cudaDataType_t type;
    int rows, cols, stride;
};

/* Dense, and back, rounded. */
std::vector<float> cuda_on_host_read(const cuda_on_host_matrix_t &matrix);
void cuda_on_host_write(const std::vector<float> &values, const cuda_on_host_matrix_t &matrix);

/* A matrix, transposed or not. */
struct cuda_on_host_operand_t {
    cublasOperation_t op;
    const cuda_on_host_matrix_t &matrix;
};

/* in_parts: as with a split sum whose parts are added in the type of c, one half of it is rounded before the other is
 * added. */
struct cuda_on_host_scale_t {
    float alpha, beta;
    bool in_parts;
};

/* alpha a b + beta c, dense; c is not read if beta is 0. */
std::vector<float> cuda_on_host_multiply(const cuda_on_host_operand_t &a, const cuda_on_host_operand_t &b,
                                         const cuda_on_host_scale_t &scale, const cuda_on_host_matrix_t &c);

/* Products of cuBLAS or cuBLASLt load the library at the first one, and a kernel for each format and layout. */
cublasStatus_t cuda_on_host_load_product(bool lt, cudaDataType_t type, cublasOperation_t a, cublasOperation_t b);

#endif
