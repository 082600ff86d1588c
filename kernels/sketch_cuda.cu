/* sketch_cuda.cu - COMPRESS and APPLY on the GPU as in the authors' code: dense projectors, products by cuBLAS; see
 * sketch.h. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* One block per row. */
template <typename T> static __global__ void write_out_kernel(lspo_projector_t p, T *dense)
{
    T *const row = dense + (size_t)blockIdx.x * p.d;
    const size_t first = (size_t)blockIdx.x * p.r;
    for (uint32_t c = threadIdx.x; c < p.d; c += blockDim.x)
        lspo_round(0.0f, &row[c]);
    __syncthreads();
    for (uint32_t e = threadIdx.x; e < p.r; e += blockDim.x)
        lspo_round(p.value[first + e], &row[p.index[first + e]]);
}

static int write_out(const lspo_cuda_t *on, const lspo_projector_t *p, void *dense)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const size_t groups = p->d; /* a thread writes numbers, not groups */
        return lspo_launch_rows<T>(p->rows, groups * LSPO_GROUP<T>, write_out_kernel<T>, on->stream, *p, (T *)dense);
    });
}

/* A pair expanded in scratch, one matrix after the other. */
typedef struct {
    void *p, *q;
    void *end; /* their end */
} written_t;

static int write_both(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, void *scratch, written_t *out)
{
    const size_t bytes = lspo_number_bytes(on->number);
    out->p = scratch;
    out->q = (char *)out->p + (size_t)pair->p->rows * pair->p->d * bytes;
    out->end = (char *)out->q + (size_t)pair->q->rows * pair->q->d * bytes;
    const int error = write_out(on, pair->p, out->p);
    return error != cudaSuccess ? error : write_out(on, pair->q, out->q);
}

int lspo_sketch_compress_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair,
                              const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch)
{
    const size_t tokens = factors->tokens, m = pair->p->rows, n = pair->q->rows, d_m = pair->p->d, d_n = pair->q->d;
    written_t written;
    int error = write_both(on, pair, scratch, &written);
    void *const xp = written.end, *const dyq = (char *)xp + tokens * d_m * lspo_number_bytes(on->number);
    if (error == cudaSuccess)
        error = lspo_gemm_nn_cuda(on, tokens, d_m, m, 1, factors->x, factors->x_stride, written.p, d_m, 0, xp, d_m);
    if (error == cudaSuccess)
        error = lspo_gemm_nn_cuda(on, tokens, d_n, n, 1, factors->dy, factors->dy_stride, written.q, d_n, 0, dyq, d_n);
    if (error == cudaSuccess)
        error = lspo_gemm_tn_cuda(on, d_m, d_n, tokens, 1, xp, d_m, dyq, d_n, beta, g_hat, d_n);
    return error;
}

/* direction (m x n) <- S_P delta S_Q^T, from the thinner side. */
static int make_direction(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const written_t *written,
                          const void *delta, void *inner, void *direction)
{
    const size_t m = pair->p->rows, n = pair->q->rows, d_m = pair->p->d, d_n = pair->q->d;
    if (m <= n) {
        const int error = lspo_gemm_nn_cuda(on, m, d_n, d_m, 1, written->p, d_m, delta, d_n, 0, inner, d_n);
        return error != cudaSuccess ? error
                                    : lspo_gemm_nt_cuda(on, m, n, d_n, 1, inner, d_n, written->q, d_n, 0, direction, n);
    }
    const int error = lspo_gemm_nt_cuda(on, d_m, n, d_n, 1, delta, d_n, written->q, d_n, 0, inner, n);
    return error != cudaSuccess ? error
                                : lspo_gemm_nn_cuda(on, m, n, d_m, 1, written->p, d_m, inner, n, 0, direction, n);
}

int lspo_sketch_apply_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const float *delta,
                           const lspo_vector_step_t *step, void *w, void *scratch)
{
    const size_t elements = (size_t)pair->p->rows * pair->q->rows, subspace = (size_t)pair->p->d * pair->q->d;
    const void *factor = delta;
    written_t written;
    int error = write_both(on, pair, scratch, &written);
    void *const direction = written.end;
    void *const inner = (char *)direction + elements * lspo_number_bytes(on->number);
    if (error == cudaSuccess && on->number != LSPO_NUMBER_FP32) { /* delta in the format */
        factor = direction;
        error = subspace <= elements
                    ? lspo_convert_cuda(subspace, LSPO_NUMBER_FP32, delta, on->number, direction, on->stream)
                    : (int)cudaErrorInvalidValue;
    }
    if (error == cudaSuccess)
        error = make_direction(on, pair, &written, factor, inner, direction);
    if (error == cudaSuccess)
        error = lspo_step_along_cuda(on, elements, step, on->number, direction, w);
    return error;
}
