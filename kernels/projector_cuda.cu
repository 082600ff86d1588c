/* projector_cuda.cu - COMPRESS and APPLY on the GPU. */
#include "kernels/cuda.h"
#include "kernels/launch.cuh"

/* ---- gather: a block makes 32 tokens x 64 columns of x P ----
 *
 * A lane is a token and a warp owns eight columns, so that the entries of a column's list are read once for 32 tokens.
 * x passes through shared memory in chunks of rows, transposed; lists have ascending rows, so each column keeps a
 * cursor that the chunks carry forward.  One word of padding keeps both transposes free of bank conflicts. */
enum {
    GATHER_TOKENS = LSPO_WARP_THREADS,
    GATHER_WARPS = LSPO_BLOCK_THREADS / LSPO_WARP_THREADS,
    GATHER_WARP_COLUMNS = 8,
    GATHER_COLUMNS = GATHER_WARPS * GATHER_WARP_COLUMNS,
    GATHER_ROWS = 256
};

static __global__ void gather_kernel(lspo_projector_t p, size_t tokens, const float *x, size_t x_stride, float *out)
{
    __shared__ float tile[GATHER_ROWS][GATHER_TOKENS + 1];
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t first_token = (size_t)blockIdx.x * GATHER_TOKENS;
    const unsigned first_column = blockIdx.y * GATHER_COLUMNS;
    float sum[GATHER_WARP_COLUMNS];
    uint32_t cursor[GATHER_WARP_COLUMNS], end[GATHER_WARP_COLUMNS];
#pragma unroll
    for (unsigned k = 0; k < GATHER_WARP_COLUMNS; k++) {
        const unsigned column = first_column + warp * GATHER_WARP_COLUMNS + k;
        sum[k] = 0;
        cursor[k] = column < p.d ? p.column_first[column] : 0;
        end[k] = column < p.d ? p.column_first[column + 1] : 0;
    }
    for (uint32_t first_row = 0; first_row < p.rows; first_row += GATHER_ROWS) {
        const uint32_t rows = min(p.rows - first_row, (uint32_t)GATHER_ROWS);
        for (unsigned t = warp; t < GATHER_TOKENS; t += GATHER_WARPS)
            for (uint32_t k = lane; k < rows; k += LSPO_WARP_THREADS)
                tile[k][t] = first_token + t < tokens ? x[(first_token + t) * x_stride + first_row + k] : 0.0f;
        __syncthreads();
#pragma unroll
        for (unsigned k = 0; k < GATHER_WARP_COLUMNS; k++) {
            for (; cursor[k] < end[k]; cursor[k]++) {
                const uint32_t row = p.column_row[cursor[k]] - first_row;
                if (row >= rows)
                    break;
                sum[k] += p.column_value[cursor[k]] * tile[row][lane];
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (unsigned k = 0; k < GATHER_WARP_COLUMNS; k++)
        tile[warp * GATHER_WARP_COLUMNS + k][lane] = sum[k];
    __syncthreads();
    for (unsigned t = warp; t < GATHER_TOKENS && first_token + t < tokens; t += GATHER_WARPS)
        for (unsigned c = lane; c < GATHER_COLUMNS && first_column + c < p.d; c += LSPO_WARP_THREADS)
            out[(first_token + t) * p.d + first_column + c] = tile[c][t];
}

int lspo_projector_gather_cuda(lspo_number_t number, const lspo_projector_t *p, size_t tokens, const void *x,
                               size_t x_stride, void *out, void *stream)
{
    if (number != LSPO_NUMBER_FP32)
        return cudaErrorNotSupported;
    if (tokens == 0)
        return cudaSuccess;
    const dim3 grid((unsigned)((tokens + GATHER_TOKENS - 1) / GATHER_TOKENS),
                    (p->d + GATHER_COLUMNS - 1) / GATHER_COLUMNS);
    return lspo_launch(gather_kernel, grid, LSPO_BLOCK_THREADS, 0, stream, *p, tokens, (const float *)x, x_stride,
                       (float *)out);
}

int lspo_projector_compress_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                                 size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                 float beta, void *g_hat, void *scratch, void *cublas, void *stream)
{
    void *x_p = scratch, *dy_q = (char *)scratch + tokens * p->d * lspo_number_bytes(number);
    int error = lspo_projector_gather_cuda(number, p, tokens, x, x_stride, x_p, stream);
    if (error != cudaSuccess)
        return error;
    error = lspo_projector_gather_cuda(number, q, tokens, dy, dy_stride, dy_q, stream);
    if (error != cudaSuccess)
        return error;
    return lspo_gemm_tn_cuda(number, p->d, q->d, tokens, 1.0f, x_p, p->d, dy_q, q->d, beta, g_hat, q->d, cublas,
                             stream);
}

/* ---- apply: a block owns ROWS rows of W, or a span of columns of them ----
 *
 * It first makes its rows of P delta, in shared memory with the ROWS values of a column side by side, so that a random
 * access brings all of them; then each thread makes ROWS elements of one column of W after the other. */
template <unsigned ROWS> struct alignas(ROWS < 4 ? 4 * ROWS : 16) column_t {
    float row[ROWS];
};

template <unsigned ROWS>
static __global__ void apply_kernel(lspo_projector_t p, lspo_projector_t q, const float *delta, float eta, float keep,
                                    float *w, uint32_t span)
{
    column_t<ROWS> *panel = (column_t<ROWS> *)lspo_shared;
    const uint32_t first_row = blockIdx.x * ROWS, count = min(p.rows - first_row, (uint32_t)ROWS);
    const uint32_t first_column = blockIdx.y * span, last_column = min(q.rows - first_column, span) + first_column;
    for (uint32_t c = threadIdx.x; c < q.d; c += blockDim.x) {
        column_t<ROWS> sum = {};
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            if (i < count) {
                const size_t first = (size_t)(first_row + i) * p.r;
                for (uint32_t e = 0; e < p.r; e++)
                    sum.row[i] += p.value[first + e] * delta[(size_t)p.index[first + e] * q.d + c];
            }
        }
        panel[c] = sum;
    }
    __syncthreads();
    for (uint32_t j = first_column + threadIdx.x; j < last_column; j += blockDim.x) {
        column_t<ROWS> sum = {};
        for (size_t e = (size_t)j * q.r; e < ((size_t)j + 1) * q.r; e++) {
            const column_t<ROWS> from = panel[q.index[e]];
            const float value = q.value[e];
#pragma unroll
            for (unsigned i = 0; i < ROWS; i++)
                sum.row[i] += value * from.row[i];
        }
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            if (i < count) {
                float *at = w + (size_t)(first_row + i) * q.rows + j;
                *at = keep * *at - eta * sum.row[i];
            }
        }
    }
}

enum {
    SHARED_BYTES_MAX = 48 * 1024, /* without asking for more     */
    APPLY_BLOCKS = 256,           /* enough to fill a large GPU  */
    APPLY_SPAN_MIN = 512          /* columns worth a panel       */
};

/* With few rows the columns are split too, each span making the panel again, until the GPU is full. */
template <unsigned ROWS>
static int launch_apply(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, float eta, float keep,
                        float *w, void *stream)
{
    const uint32_t row_blocks = (p->rows - 1) / ROWS + 1;
    const uint32_t wanted = (APPLY_BLOCKS - 1) / row_blocks + 1, most = (q->rows - 1) / APPLY_SPAN_MIN + 1;
    const uint32_t splits = wanted < most ? wanted : most;
    const uint32_t span = (q->rows - 1) / splits + 1;
    const dim3 grid(row_blocks, (q->rows - 1) / span + 1);
    return lspo_launch(apply_kernel<ROWS>, grid, LSPO_BLOCK_THREADS, q->d * sizeof(column_t<ROWS>), stream, *p, *q,
                       delta, eta, keep, w, span);
}

int lspo_projector_apply_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                              const float *delta, float eta, float decay, uint64_t, void *w, void *stream)
{
    if (number != LSPO_NUMBER_FP32)
        return cudaErrorNotSupported;
    const float keep = 1.0f - eta * decay;
    const size_t rows = SHARED_BYTES_MAX / (q->d * sizeof(float));
    if (rows >= 16)
        return launch_apply<16>(p, q, delta, eta, keep, (float *)w, stream);
    if (rows >= 8)
        return launch_apply<8>(p, q, delta, eta, keep, (float *)w, stream);
    if (rows >= 4)
        return launch_apply<4>(p, q, delta, eta, keep, (float *)w, stream);
    if (rows >= 2)
        return launch_apply<2>(p, q, delta, eta, keep, (float *)w, stream);
    if (rows == 1)
        return launch_apply<1>(p, q, delta, eta, keep, (float *)w, stream);
    return cudaErrorInvalidValue;
}
