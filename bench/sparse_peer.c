/* sparse_peer.c - products with a sparse matrix by cuSPARSE; see sparse_peer.h. */
#include "bench/sparse_peer.h"

#define DISABLE_CUSPARSE_DEPRECATED /* its own header warns */
#include <cuda_runtime_api.h>
#include <cusparse.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda.h"

struct sparse_peer {
    sparse_product_t product;
    cusparseHandle_t handle;
    cusparseSpMatDescr_t a;
    cusparseDnMatDescr_t in, out;
    void *values, *memory;
};

static const cusparseOperation_t as_stored = CUSPARSE_OPERATION_NON_TRANSPOSE;

static cusparseStatus_t describe(sparse_peer_t *peer, cudaDataType_t type)
{
    const sparse_product_t *p = &peer->product;
    const int64_t rows = (int64_t)p->a.rows, cols = (int64_t)p->a.cols, width = (int64_t)p->width;
    const cusparseOrder_t order = p->by_columns ? CUSPARSE_ORDER_COL : CUSPARSE_ORDER_ROW;
    cusparseStatus_t status = cusparseCreate(&peer->handle);
    if (status == CUSPARSE_STATUS_SUCCESS)
        status = cusparseCreateCsr(&peer->a, rows, cols, (int64_t)p->a.entries, p->a.first, p->a.column, peer->values,
                                   CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, type);
    if (status == CUSPARSE_STATUS_SUCCESS)
        status = cusparseCreateDnMat(&peer->in, cols, width, p->by_columns ? cols : width, p->in, type, order);
    if (status == CUSPARSE_STATUS_SUCCESS)
        status = cusparseCreateDnMat(&peer->out, rows, width, p->by_columns ? rows : width, p->out, type, order);
    return status;
}

static cusparseStatus_t prepare(sparse_peer_t *peer)
{
    const sparse_product_t *p = &peer->product;
    size_t size_bytes = 0;
    const cusparseStatus_t status =
        cusparseSpMM_bufferSize(peer->handle, as_stored, as_stored, &p->scale, peer->a, peer->in, &p->beta, peer->out,
                                CUDA_R_32F, CUSPARSE_SPMM_ALG_DEFAULT, &size_bytes);
    if (status != CUSPARSE_STATUS_SUCCESS)
        return status;
    if (cudaMalloc(&peer->memory, size_bytes > 0 ? size_bytes : 1) != cudaSuccess)
        return CUSPARSE_STATUS_ALLOC_FAILED;
    return cusparseSpMM_preprocess(peer->handle, as_stored, as_stored, &p->scale, peer->a, peer->in, &p->beta,
                                   peer->out, CUDA_R_32F, CUSPARSE_SPMM_ALG_DEFAULT, peer->memory);
}

sparse_peer_t *sparse_peer_create(lspo_number_t number, const sparse_product_t *product)
{
    const cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F}; /* in the order of lspo_number_t */
    sparse_peer_t *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->product = *product;
    if (cudaMalloc(&peer->values, product->a.entries * lspo_number_bytes(number)) != cudaSuccess ||
        lspo_convert_cuda(product->a.entries, LSPO_NUMBER_FP32, product->a.value, number, peer->values, NULL) != 0) {
        sparse_peer_destroy(peer);
        return NULL;
    }
    cusparseStatus_t status = describe(peer, types[number]);
    if (status == CUSPARSE_STATUS_SUCCESS)
        status = prepare(peer);
    if (status == CUSPARSE_STATUS_SUCCESS)
        return peer;
    printf("cuSPARSE does not take it: %s\n", cusparseGetErrorString(status));
    sparse_peer_destroy(peer);
    return NULL;
}

int sparse_peer_run(sparse_peer_t *peer)
{
    const sparse_product_t *p = &peer->product;
    return cusparseSpMM(peer->handle, as_stored, as_stored, &p->scale, peer->a, peer->in, &p->beta, peer->out,
                        CUDA_R_32F, CUSPARSE_SPMM_ALG_DEFAULT, peer->memory) == CUSPARSE_STATUS_SUCCESS
               ? (int)cudaSuccess
               : (int)cudaErrorUnknown;
}

void sparse_peer_destroy(sparse_peer_t *peer)
{
    if (peer == NULL)
        return;
    if (peer->out != NULL)
        (void)cusparseDestroyDnMat(peer->out);
    if (peer->in != NULL)
        (void)cusparseDestroyDnMat(peer->in);
    if (peer->a != NULL)
        (void)cusparseDestroySpMat(peer->a);
    if (peer->handle != NULL)
        (void)cusparseDestroy(peer->handle);
    (void)cudaFree(peer->memory);
    (void)cudaFree(peer->values);
    free(peer);
}
