/* sketch_cuda.cu - COMPRESS and APPLY on the GPU as the authors published them: projectors written out dense, products by
 * cuBLAS; see sketch.h. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* A block a row. */
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

static int write_out(lspo_number_t number, const lspo_projector_t *p, void *dense, void *stream)
{
    return lspo_with_number(number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_rows(p->rows, write_out_kernel<T>, stream, *p, (T *)dense);
    });
}

/* Both projectors, one behind the other; *end_out <- what follows them. */
static int write_both(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q, void *scratch,
                      void **s_q_out, void **end_out, void *stream)
{
    const size_t bytes = lspo_number_bytes(number);
    void *const s_q = (char *)scratch + (size_t)p->rows * p->d * bytes;
    *s_q_out = s_q;
    *end_out = (char *)s_q + (size_t)q->rows * q->d * bytes;
    const int error = write_out(number, p, scratch, stream);
    return error != cudaSuccess ? error : write_out(number, q, s_q, stream);
}

int lspo_sketch_compress_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens,
                              const void *x, size_t x_stride, const void *dy, size_t dy_stride, float beta, void *g_hat,
                              void *scratch, void *cublas, void *stream)
{
    void *s_q, *xp;
    int error = write_both(number, p, q, scratch, &s_q, &xp, stream);
    void *const dyq = (char *)xp + tokens * p->d * lspo_number_bytes(number);
    if (error == cudaSuccess)
        error = lspo_gemm_nn_cuda(number, tokens, p->d, p->rows, 1, x, x_stride, scratch, p->d, 0, xp, p->d, cublas,
                                  stream);
    if (error == cudaSuccess)
        error =
            lspo_gemm_nn_cuda(number, tokens, q->d, q->rows, 1, dy, dy_stride, s_q, q->d, 0, dyq, q->d, cublas, stream);
    if (error == cudaSuccess)
        error =
            lspo_gemm_tn_cuda(number, p->d, q->d, tokens, 1, xp, p->d, dyq, q->d, beta, g_hat, q->d, cublas, stream);
    return error;
}

/* step (m x n) <- S_P delta S_Q^T, from the thinner side. */
static int make_step(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q, const void *s_p,
                     const void *s_q, const void *delta, void *inner, void *step, void *cublas, void *stream)
{
    const size_t m = p->rows, n = q->rows, d_m = p->d, d_n = q->d;
    if (m <= n) {
        const int error =
            lspo_gemm_nn_cuda(number, m, d_n, d_m, 1, s_p, d_m, delta, d_n, 0, inner, d_n, cublas, stream);
        return error != cudaSuccess
                   ? error
                   : lspo_gemm_nt_cuda(number, m, n, d_n, 1, inner, d_n, s_q, d_n, 0, step, n, cublas, stream);
    }
    const int error = lspo_gemm_nt_cuda(number, d_m, n, d_n, 1, delta, d_n, s_q, d_n, 0, inner, n, cublas, stream);
    return error != cudaSuccess
               ? error
               : lspo_gemm_nn_cuda(number, m, n, d_m, 1, s_p, d_m, inner, n, 0, step, n, cublas, stream);
}

int lspo_sketch_apply_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                           const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch,
                           void *cublas, void *stream)
{
    const size_t elements = (size_t)p->rows * q->rows, subspace = (size_t)p->d * q->d;
    const void *factor = delta;
    void *s_q, *step;
    int error = write_both(number, p, q, scratch, &s_q, &step, stream);
    void *const inner = (char *)step + elements * lspo_number_bytes(number);
    if (error == cudaSuccess && number != LSPO_NUMBER_FP32) { /* delta in the format, where the step comes afterwards */
        factor = step;
        error = subspace <= elements ? lspo_convert_cuda(subspace, LSPO_NUMBER_FP32, delta, number, step, stream)
                                     : (int)cudaErrorInvalidValue;
    }
    if (error == cudaSuccess)
        error = make_step(number, p, q, scratch, s_q, factor, inner, step, cublas, stream);
    if (error == cudaSuccess)
        error = lspo_step_along_cuda(number, elements, 1 - eta * decay, eta, number, step, seed, w, stream);
    return error;
}
