/* attention_cuda.cu - attention on the GPU without storing probabilities, for every width and format; see cuda.h.
 * Cases that tensor cores support go to attention_tensor_cuda.cu.
 *
 * Each warp of a block handles ROWS rows of a tile (queries in the forward pass and for dQ, keys for dK and dV) in
 * shared memory.  The other side is loaded in tiles of 32 rows into one shared buffer.  In a product of the two, each
 * lane handles a row of the buffer; in a product of the result with the buffer, each lane handles a column and gets the
 * values of the other lanes by shuffles.
 */
#include "kernels/attention.cuh"
#include "kernels/cuda.h"
#include "kernels/number.cuh"

enum {
    TILE = LSPO_WARP_THREADS, /* rows per tile of the other side */
    WARPS = 4,                /* of a block                           */
    FORWARD_ROWS = 8,         /* of a warp                            */
    BACKWARD_ROWS = 4         /* two arrays of them in shared memory  */
};

/* Floats per row in shared memory: whole float4, plus 4, so that lanes on different rows use different banks. */
static __host__ __device__ unsigned row_floats(size_t head_width)
{
    return ((unsigned)head_width + 3) / 4 * 4 + 4;
}

/* Copy rows first .. first + rows of a matrix to shared memory, with zeros to the right and below the last. */
template <typename T>
static __device__ void load(const lspo_attention_t &a, unsigned rows, const T *from, size_t stride, size_t first,
                            float *to)
{
    const unsigned width = row_floats(a.head_width), lane = threadIdx.x % LSPO_WARP_THREADS;
    for (unsigned i = threadIdx.x / LSPO_WARP_THREADS; i < rows; i += WARPS)
        for (unsigned j = lane; j < width; j += LSPO_WARP_THREADS)
            to[i * width + j] =
                first + i < a.sequence && j < a.head_width ? lspo_to_float(from[(first + i) * stride + j]) : 0.0f;
}

/* The same into the buffer, between barriers: the previous tile has been used, this one is complete. */
template <typename T>
static __device__ void pass_by(const lspo_attention_t &a, const T *from, size_t stride, size_t first, float *buffer)
{
    __syncthreads();
    load(a, TILE, from, stride, first, buffer);
    __syncthreads();
}

/* out[i] = own row i times the buffer's row of this lane. */
template <unsigned ROWS>
static __device__ void multiply(const lspo_attention_t &a, const float *own, const float *buffer, float (&out)[ROWS])
{
    const unsigned vectors = row_floats(a.head_width) / 4;
    const float4 *const theirs = (const float4 *)buffer + (size_t)threadIdx.x % LSPO_WARP_THREADS * vectors;
#pragma unroll
    for (unsigned i = 0; i < ROWS; i++)
        out[i] = 0;
    for (unsigned j = 0; j + 1 < vectors; j++) {
        const float4 y = theirs[j];
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            const float4 x = ((const float4 *)own)[i * vectors + j];
            out[i] += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
        }
    }
}

/* sum[i][k] += the lanes' weights of own row i times column lane + 32 k of the buffer's rows, of which `left` exist. */
template <unsigned ROWS, unsigned PARTS>
static __device__ void add_weighted(const lspo_attention_t &a, const float (&weight)[ROWS], const float *buffer,
                                    size_t left, float (&sum)[ROWS][PARTS])
{
    const unsigned width = row_floats(a.head_width), lane = threadIdx.x % LSPO_WARP_THREADS;
    const unsigned rows = (unsigned)min(left, (size_t)TILE);
    for (unsigned row = 0; row < rows; row++) {
        float y[PARTS];
#pragma unroll
        for (unsigned k = 0; k < PARTS; k++)
            y[k] = lane + k * LSPO_WARP_THREADS < width ? buffer[row * width + lane + k * LSPO_WARP_THREADS] : 0.0f;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            const float w = __shfl_sync(0xffffffffu, weight[i], row);
#pragma unroll
            for (unsigned k = 0; k < PARTS; k++)
                sum[i][k] += w * y[k];
        }
    }
}

/* A warp's rows of a result: to[(first + i) stride + column] = factor[i] sum[i], those that exist. */
template <unsigned ROWS, unsigned PARTS, typename T>
static __device__ void store(const lspo_attention_t &a, const float (&sum)[ROWS][PARTS], const float (&factor)[ROWS],
                             size_t first, size_t stride, T *to)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
#pragma unroll
    for (unsigned i = 0; i < ROWS; i++)
#pragma unroll
        for (unsigned k = 0; k < PARTS; k++)
            if (first + i < a.sequence && lane + k * LSPO_WARP_THREADS < a.head_width)
                lspo_round(factor[i] * sum[i][k], &to[(first + i) * stride + lane + k * LSPO_WARP_THREADS]);
}

static __device__ bool sees(const lspo_attention_t &a, const lspo_attention_place_t &p, size_t query, size_t key)
{
    return query < a.sequence && key < p.keys && (!a.causal || key <= query);
}

/* ---- forward ---- */

template <typename T, unsigned PARTS>
static __global__ void forward_kernel(lspo_attention_t a, float scale, const T *q, const T *k, const T *v, T *out,
                                      float *log_sums)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const unsigned width = row_floats(a.head_width);
    const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y, blockIdx.z);
    float *const queries = (float *)lspo_shared, *const buffer = queries + WARPS * FORWARD_ROWS * width;
    const float *const own = queries + warp * FORWARD_ROWS * width;
    const size_t tile = (size_t)(gridDim.x - 1 - blockIdx.x) * WARPS * FORWARD_ROWS; /* causal: most work first */
    const size_t first = tile + warp * FORWARD_ROWS;
    const size_t end = a.causal ? min(tile + WARPS * FORWARD_ROWS, a.sequence) : p.keys;
    float sum[FORWARD_ROWS][PARTS] = {}, largest[FORWARD_ROWS], total[FORWARD_ROWS] = {};
    for (unsigned i = 0; i < FORWARD_ROWS; i++)
        largest[i] = -INFINITY;
    load(a, WARPS * FORWARD_ROWS, q + p.q, a.q_stride, tile, queries);
    for (size_t key = 0; key < end; key += TILE) {
        float score[FORWARD_ROWS];
        pass_by(a, k + p.kv, a.kv_stride, key, buffer);
        multiply(a, own, buffer, score);
#pragma unroll
        for (unsigned i = 0; i < FORWARD_ROWS; i++) {
            /* Rows that do not exist also use key 0, so their largest score is finite. */
            const bool seen = key + lane < p.keys && (!a.causal || key + lane <= first + i);
            score[i] = seen ? scale * score[i] : -INFINITY;
            const float before = largest[i];
            largest[i] = fmaxf(before, lspo_warp_reduce(score[i], [](float x, float y) { return fmaxf(x, y); }));
            const float keep = expf(before - largest[i]);
            score[i] = expf(score[i] - largest[i]);
            total[i] = total[i] * keep + lspo_warp_sum(score[i]);
#pragma unroll
            for (unsigned part = 0; part < PARTS; part++)
                sum[i][part] *= keep;
        }
        pass_by(a, v + p.kv, a.kv_stride, key, buffer);
        add_weighted(a, score, buffer, p.keys - key, sum);
    }
    for (unsigned i = 0; i < FORWARD_ROWS; i++) {
        if (lane == 0 && first + i < a.sequence)
            log_sums[p.sums + first + i] = largest[i] + logf(total[i]);
        total[i] = 1.0f / total[i];
    }
    store(a, sum, total, first, a.heads * a.head_width, out + p.out);
}

/* ---- backward ---- */

/* rowsum(P dP) = rowsum(O dO): one warp per row of one head. */
template <typename T>
static __global__ void row_dots_kernel(lspo_attention_t a, size_t rows, const T *out, const T *dout, float *row_dots)
{
    const size_t warps = (size_t)gridDim.x * blockDim.x / LSPO_WARP_THREADS;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    for (size_t row = lspo_grid_first() / LSPO_WARP_THREADS; row < rows; row += warps) {
        const size_t i = row % a.sequence, head = row / a.sequence % a.heads, b = row / a.sequence / a.heads;
        const size_t at = ((b * a.sequence + i) * a.heads + head) * a.head_width;
        float dot = 0;
        for (size_t j = lane; j < a.head_width; j += LSPO_WARP_THREADS)
            dot += lspo_to_float(out[at + j]) * lspo_to_float(dout[at + j]);
        dot = lspo_warp_sum(dot);
        if (lane == 0)
            row_dots[row] = dot;
    }
}

template <typename T, unsigned PARTS>
static __global__ void query_gradient_kernel(lspo_attention_t a, float scale, const T *q, const T *k, const T *v,
                                             const T *dout, const float *log_sums, const float *row_dots, T *dq)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const unsigned width = row_floats(a.head_width), own_at = warp * BACKWARD_ROWS * width;
    const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y, blockIdx.z);
    const size_t out_stride = a.heads * a.head_width;
    float *const queries = (float *)lspo_shared, *const gradients = queries + WARPS * BACKWARD_ROWS * width;
    float *const buffer = gradients + WARPS * BACKWARD_ROWS * width;
    const size_t tile = (size_t)(gridDim.x - 1 - blockIdx.x) * WARPS * BACKWARD_ROWS;
    const size_t first = tile + warp * BACKWARD_ROWS;
    const size_t end = a.causal ? min(tile + WARPS * BACKWARD_ROWS, a.sequence) : p.keys;
    float sum[BACKWARD_ROWS][PARTS] = {}, scales[BACKWARD_ROWS];
    load(a, WARPS * BACKWARD_ROWS, q + p.q, a.q_stride, tile, queries);
    load(a, WARPS * BACKWARD_ROWS, dout + p.out, out_stride, tile, gradients);
    for (size_t key = 0; key < end; key += TILE) {
        float of_p[BACKWARD_ROWS], score[BACKWARD_ROWS];
        pass_by(a, v + p.kv, a.kv_stride, key, buffer);
        multiply(a, gradients + own_at, buffer, of_p);
        pass_by(a, k + p.kv, a.kv_stride, key, buffer);
        multiply(a, queries + own_at, buffer, score);
#pragma unroll
        for (unsigned i = 0; i < BACKWARD_ROWS; i++) {
            const size_t row = p.sums + first + i;
            score[i] = sees(a, p, first + i, key + lane)
                           ? expf(scale * score[i] - log_sums[row]) * (of_p[i] - row_dots[row])
                           : 0.0f;
        }
        add_weighted(a, score, buffer, p.keys - key, sum);
    }
    for (unsigned i = 0; i < BACKWARD_ROWS; i++)
        scales[i] = scale;
    store(a, sum, scales, first, a.q_stride, dq + p.q);
}

template <typename T, unsigned PARTS>
static __global__ void key_gradient_kernel(lspo_attention_t a, float scale, const T *q, const T *k, const T *v,
                                           const T *dout, const float *log_sums, const float *row_dots, T *dk, T *dv)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const unsigned width = row_floats(a.head_width), own_at = warp * BACKWARD_ROWS * width;
    const size_t group = a.heads / a.kv_heads, out_stride = a.heads * a.head_width;
    const size_t at = lspo_attention_place(a, blockIdx.y * group, blockIdx.z).kv;
    float *const keys = (float *)lspo_shared, *const values = keys + WARPS * BACKWARD_ROWS * width;
    float *const buffer = values + WARPS * BACKWARD_ROWS * width;
    const size_t tile = (size_t)blockIdx.x * WARPS * BACKWARD_ROWS, first = tile + warp * BACKWARD_ROWS;
    float of_k[BACKWARD_ROWS][PARTS] = {}, of_v[BACKWARD_ROWS][PARTS] = {}, scales[BACKWARD_ROWS], ones[BACKWARD_ROWS];
    load(a, WARPS * BACKWARD_ROWS, k + at, a.kv_stride, tile, keys);
    load(a, WARPS * BACKWARD_ROWS, v + at, a.kv_stride, tile, values);
    for (size_t head = blockIdx.y * group; head < (blockIdx.y + 1) * group; head++) {
        const lspo_attention_place_t p = lspo_attention_place(a, head, blockIdx.z);
        for (size_t query = a.causal ? tile / TILE * TILE : 0; query < a.sequence; query += TILE) {
            float weight[BACKWARD_ROWS], of_p[BACKWARD_ROWS];
            const size_t row = p.sums + query + lane;
            const float log_sum = query + lane < a.sequence ? log_sums[row] : 0.0f;
            const float dot = query + lane < a.sequence ? row_dots[row] : 0.0f;
            pass_by(a, q + p.q, a.q_stride, query, buffer);
            multiply(a, keys + own_at, buffer, weight);
#pragma unroll
            for (unsigned i = 0; i < BACKWARD_ROWS; i++)
                weight[i] = sees(a, p, query + lane, first + i) ? expf(scale * weight[i] - log_sum) : 0.0f;
            pass_by(a, dout + p.out, out_stride, query, buffer);
            add_weighted(a, weight, buffer, a.sequence - query, of_v);
            multiply(a, values + own_at, buffer, of_p);
#pragma unroll
            for (unsigned i = 0; i < BACKWARD_ROWS; i++)
                weight[i] *= of_p[i] - dot;
            pass_by(a, q + p.q, a.q_stride, query, buffer);
            add_weighted(a, weight, buffer, a.sequence - query, of_k);
        }
    }
    for (unsigned i = 0; i < BACKWARD_ROWS; i++) {
        scales[i] = scale;
        ones[i] = 1.0f;
    }
    store(a, of_k, scales, first, a.kv_stride, dk + at);
    store(a, of_v, ones, first, a.kv_stride, dv + at);
}

/* ---- launches ---- */

static bool is_empty(const lspo_attention_t *a)
{
    return a->batch == 0 || a->sequence == 0 || a->heads == 0 || a->head_width == 0;
}

/* Own rows and the buffer: at most 33 KiB. */
static size_t shared_bytes(const lspo_attention_t *a, size_t own_rows)
{
    return (own_rows + TILE) * row_floats(a->head_width) * sizeof(float);
}

template <typename T, unsigned PARTS>
static int forward(const lspo_attention_t *a, const lspo_attention_operands_t *from, float *log_sums, void *out,
                   void *stream)
{
    const size_t rows = WARPS * FORWARD_ROWS;
    return lspo_launch(forward_kernel<T, PARTS>, lspo_attention_grid(a, rows, a->heads), WARPS * LSPO_WARP_THREADS,
                       shared_bytes(a, rows), stream, *a, 1.0f / sqrtf((float)a->head_width), (const T *)from->q,
                       (const T *)from->k, (const T *)from->v, (T *)out, log_sums);
}

template <typename T, unsigned PARTS>
static int backward(const lspo_attention_t *a, const lspo_attention_operands_t *from,
                    const lspo_attention_gradients_t *to, const float *row_dots, void *stream)
{
    const size_t rows = WARPS * BACKWARD_ROWS, bytes = shared_bytes(a, 2 * rows);
    const float scale = 1.0f / sqrtf((float)a->head_width);
    const T *const q = (const T *)from->q, *const k = (const T *)from->k, *const v = (const T *)from->v;
    const T *const dout = (const T *)from->dout;
    const int error =
        lspo_launch(query_gradient_kernel<T, PARTS>, lspo_attention_grid(a, rows, a->heads), WARPS * LSPO_WARP_THREADS,
                    bytes, stream, *a, scale, q, k, v, dout, from->kept, row_dots, (T *)to->dq);
    if (error != cudaSuccess)
        return error;
    return lspo_launch(key_gradient_kernel<T, PARTS>, lspo_attention_grid(a, rows, a->kv_heads),
                       WARPS * LSPO_WARP_THREADS, bytes, stream, *a, scale, q, k, v, dout, from->kept, row_dots,
                       (T *)to->dk, (T *)to->dv);
}

int lspo_attention_forward_cuda(const lspo_cuda_t *on, const lspo_attention_t *a,
                                const lspo_attention_operands_t *operands, float *log_sums, void *out)
{
    if (a->head_width > LSPO_ATTENTION_WIDTH_MAX)
        return cudaErrorInvalidValue;
    if (is_empty(a))
        return cudaSuccess;
    if (lspo_attention_tensor_takes(on->number, a, operands->q, operands->k, operands->v, out))
        return lspo_attention_tensor_forward(on, a, operands, log_sums, out);
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return a->head_width <= 2 * LSPO_WARP_THREADS ? forward<T, 2>(a, operands, log_sums, out, on->stream)
                                                      : forward<T, 4>(a, operands, log_sums, out, on->stream);
    });
}

/* row_dots <- rowsum(O dO). */
static int make_row_dots(const lspo_cuda_t *on, const lspo_attention_t *a, const lspo_attention_operands_t *from,
                         float *row_dots)
{
    const size_t rows = a->batch * a->heads * a->sequence;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch(row_dots_kernel<T>, lspo_grid_blocks(rows * LSPO_WARP_THREADS), LSPO_BLOCK_THREADS, 0,
                           on->stream, *a, rows, (const T *)from->out, (const T *)from->dout, row_dots);
    });
}

int lspo_attention_backward_cuda(const lspo_cuda_t *on, const lspo_attention_t *a,
                                 const lspo_attention_operands_t *operands, const lspo_attention_gradients_t *gradients,
                                 float *row_dots)
{
    if (a->head_width > LSPO_ATTENTION_WIDTH_MAX)
        return cudaErrorInvalidValue;
    if (is_empty(a))
        return cudaSuccess;
    const int error = make_row_dots(on, a, operands, row_dots);
    if (error != cudaSuccess)
        return error;
    const void *const dout = operands->dout;
    if (lspo_attention_tensor_takes(on->number, a, operands->q, operands->k, operands->v, dout) &&
        lspo_attention_tensor_takes(on->number, a, gradients->dq, gradients->dk, gradients->dv, dout))
        return lspo_attention_tensor_backward(on, a, operands, gradients, row_dots);
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return a->head_width <= 2 * LSPO_WARP_THREADS ? backward<T, 2>(a, operands, gradients, row_dots, on->stream)
                                                      : backward<T, 4>(a, operands, gradients, row_dots, on->stream);
    });
}
