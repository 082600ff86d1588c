/* attention_tensor_cuda.cu - attention in 16 bits on tensor cores; see cuda.h for what it computes.
 *
 * The algorithm is FlashAttention-2 [Dao, arXiv 2307.08691, Sec. 3].  A block handles 64 rows, each of its four warps
 * 16 of them, whose scores and sums stay in registers in the layout of the products (mma.cuh).  The other side is
 * loaded in tiles into two buffers: while one is used, the next is copied.  P and dS are rounded to the format before
 * the products; sums and softmax are in fp32.
 *
 * There are kernels for the widths 64, 96 and 128; narrower heads are padded with zeros.
 */
#include "kernels/attention.cuh"
#include "kernels/mma.cuh"

enum {
    WARPS = 4,
    THREADS = WARPS * LSPO_WARP_THREADS,
    WARP_ROWS = 16,
    OWN = WARPS * WARP_ROWS, /* rows of a block */
    PIECE = 8                /* numbers that are accessed together: 16 bytes */
};

/* Without a number of blocks, registers are limited for three blocks, of which the shared memory of compute capability
 * 7.5 has no room. */
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ < 800
#define LAUNCH_BOUNDS __launch_bounds__(THREADS, 1)
#else
#define LAUNCH_BOUNDS __launch_bounds__(THREADS)
#endif

/* Tiles in shared memory.  Eight rows at the same column, which are accessed together, must use different banks.  For
 * the width 128, whose tiles are the largest, the pieces of row r are in the order of their numbers xor r mod 8; else a
 * piece separates the rows, which takes more memory, but fewer registers for addresses. */
template <unsigned WIDTH> struct tile_t {
    static constexpr bool ORDERED = WIDTH % (16 * PIECE) == 0;
    static constexpr unsigned STRIDE = ORDERED ? WIDTH : WIDTH + PIECE;

    static __device__ unsigned at(unsigned row, unsigned column)
    {
        return row * STRIDE + (ORDERED ? column ^ row % 8 * PIECE : column);
    }
};

static constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

/* Rows per tile of the other side; for the key gradient K and V are also in shared memory. */
template <unsigned WIDTH> struct passing_t {
    static constexpr unsigned KEYS = WIDTH <= 64 ? 64 : 32, KEYS_BACKWARD = 32, QUERIES = WIDTH <= 64 ? 32 : 16;
};

/* The launch's access to its arrays. */
typedef struct {
    lspo_attention_t attention;
    float scale;    /* of scores                 */
    unsigned chunk; /* numbers per copy: 8, 4 */
} problem_t;

/* Copy rows first .. first + ROWS of a matrix to shared memory, with zeros to the right and below the last. */
template <unsigned ROWS, unsigned WIDTH, unsigned CHUNK, typename T>
static __device__ void start_tile_by(const lspo_attention_t &a, const T *from, size_t stride, size_t first, T *to,
                                     lspo_copies_t &copies)
{
    for (unsigned i = threadIdx.x; i < ROWS * (WIDTH / CHUNK); i += THREADS) {
        const unsigned row = i / (WIDTH / CHUNK), column = i % (WIDTH / CHUNK) * CHUNK;
        T *const at = to + tile_t<WIDTH>::at(row, column);
        if (first + row < a.sequence && column < a.head_width)
            copies.start<CHUNK * sizeof(T)>(at, from + (first + row) * stride + column);
        else
            lspo_clear_shared<CHUNK * sizeof(T)>(at);
    }
}

template <unsigned ROWS, unsigned WIDTH, typename T>
static __device__ void start_tile(const problem_t &problem, const T *from, size_t stride, size_t first, T *to,
                                  lspo_copies_t &copies)
{
    if (problem.chunk == 8)
        start_tile_by<ROWS, WIDTH, 8>(problem.attention, from, stride, first, to, copies);
    else
        start_tile_by<ROWS, WIDTH, 4>(problem.attention, from, stride, first, to, copies);
}

/* A warp's 16 x 16 numbers from `rows`, at this column, as the left side of a product. */
template <unsigned WIDTH, typename T> static __device__ void load_left(uint32_t (&a)[4], const T *rows, unsigned column)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    lspo_load_tiles(a, rows + tile_t<WIDTH>::at(lane % 16, column + lane / 16 * 8));
}

/* Load all rows of a block, 16 per warp, through `buffer`. */
template <unsigned WIDTH, typename T>
static __device__ void load_own(const problem_t &problem, const T *from, size_t stride, size_t first, T *buffer,
                                uint32_t (&own)[WIDTH / 16][4])
{
    lspo_copies_t copies;
    __syncthreads(); /* the buffer has been used */
    start_tile<OWN, WIDTH>(problem, from, stride, first, buffer, copies);
    copies.finish();
    __syncthreads();
    const T *const rows = buffer + threadIdx.x / LSPO_WARP_THREADS * WARP_ROWS * tile_t<WIDTH>::STRIDE;
#pragma unroll
    for (unsigned i = 0; i < WIDTH / 16; i++)
        load_left<WIDTH>(own[i], rows, 16 * i);
}

/* out (16 x ROWS) += own rows (16 of one step of 16 columns) times the transpose of the buffer's rows at that step. */
template <unsigned ROWS, unsigned WIDTH, typename T>
static __device__ void multiply_step(const uint32_t (&own)[4], const T *buffer, unsigned step,
                                     float (&out)[ROWS / 8][4])
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    const unsigned row = lane / 16 * 8 + lane % 8, column = lane / 8 % 2 * 8 + 16 * step;
#pragma unroll
    for (unsigned pair = 0; pair < ROWS / 16; pair++) {
        uint32_t b[4];
        lspo_load_tiles(b, buffer + tile_t<WIDTH>::at(row + 16 * pair, column));
        lspo_mma<T>(out[2 * pair], own, b[0], b[1]);
        lspo_mma<T>(out[2 * pair + 1], own, b[2], b[3]);
    }
}

template <unsigned N> static __device__ void clear(float (&sums)[N][4])
{
#pragma unroll
    for (unsigned i = 0; i < N; i++)
#pragma unroll
        for (unsigned j = 0; j < 4; j++)
            sums[i][j] = 0;
}

/* out (16 x ROWS) = own rows times the transpose of the buffer's. */
template <unsigned ROWS, unsigned WIDTH, typename T>
static __device__ void multiply(const uint32_t (&own)[WIDTH / 16][4], const T *buffer, float (&out)[ROWS / 8][4])
{
    clear(out);
#pragma unroll
    for (unsigned step = 0; step < WIDTH / 16; step++)
        multiply_step<ROWS, WIDTH>(own[step], buffer, step, out);
}

/* The same with own rows in shared memory. */
template <unsigned ROWS, unsigned WIDTH, typename T>
static __device__ void multiply_shared(const T *own, const T *buffer, float (&out)[ROWS / 8][4])
{
    clear(out);
#pragma unroll
    for (unsigned step = 0; step < WIDTH / 16; step++) {
        uint32_t a[4];
        load_left<WIDTH>(a, own, 16 * step);
        multiply_step<ROWS, WIDTH>(a, buffer, step, out);
    }
}

/* sum (16 x WIDTH) += weight (16 x ROWS), rounded, times the buffer's rows. */
template <unsigned ROWS, unsigned WIDTH, typename T>
static __device__ void add_weighted(const float (&weight)[ROWS / 8][4], const T *buffer, float (&sum)[WIDTH / 8][4])
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    const unsigned row = lane % 16, column = lane / 16 * 8;
#pragma unroll
    for (unsigned step = 0; step < ROWS / 16; step++) {
        const float(&left)[4] = weight[2 * step], (&right)[4] = weight[2 * step + 1];
        const uint32_t a[4] = {lspo_pair<T>(left[0], left[1]), lspo_pair<T>(left[2], left[3]),
                               lspo_pair<T>(right[0], right[1]), lspo_pair<T>(right[2], right[3])};
#pragma unroll
        for (unsigned pair = 0; pair < WIDTH / 16; pair++) {
            uint32_t b[4];
            lspo_load_tiles_transposed(b, buffer + tile_t<WIDTH>::at(row + 16 * step, column + 16 * pair));
            lspo_mma<T>(sum[2 * pair], a, b[0], b[1]);
            lspo_mma<T>(sum[2 * pair + 1], a, b[2], b[3]);
        }
    }
}

/* For the upper and the lower eight of a warp's rows. */
typedef struct {
    float upper, lower;
} factors_t;

/* A warp's rows of a result, times their factors, those that exist. */
template <unsigned WIDTH, typename T>
static __device__ void store(const lspo_attention_t &a, const float (&sum)[WIDTH / 8][4], factors_t factors,
                             size_t first, size_t stride, T *to)
{
    const float upper = factors.upper, lower = factors.lower;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    const size_t row = first + lane / 4;
#pragma unroll
    for (unsigned i = 0; i < WIDTH / 8; i++) {
        const unsigned column = 8 * i + lane % 4 * 2;
        if (column >= a.head_width)
            continue;
        if (row < a.sequence)
            *(uint32_t *)(to + row * stride + column) = lspo_pair<T>(upper * sum[i][0], upper * sum[i][1]);
        if (row + 8 < a.sequence)
            *(uint32_t *)(to + (row + 8) * stride + column) = lspo_pair<T>(lower * sum[i][2], lower * sum[i][3]);
    }
}

/* Over the four lanes that have parts of a row. */
template <typename Combine> static __device__ float combine_row(float value, Combine combine)
{
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return combine(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

static __device__ float row_max(float value)
{
    return combine_row(value, [](float x, float y) { return fmaxf(x, y); });
}

static __device__ float row_sum(float value)
{
    return combine_row(value, [](float x, float y) { return x + y; });
}

/* Set scores of keys that a query must not use to -infinity.  Rows are queries and columns keys or, with `turned`, the
 * other way round; `first`: number of this lane's upper row, `column`: of its first column. */
template <bool turned, unsigned COLUMNS>
static __device__ void hide(const problem_t &problem, size_t keys, size_t first, size_t column,
                            float (&score)[COLUMNS / 8][4])
{
    const bool causal = problem.attention.causal;
    const size_t lane_column = column + threadIdx.x % 4 * 2;
#pragma unroll
    for (unsigned i = 0; i < COLUMNS / 8; i++)
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            const size_t at = lane_column + 8 * i + j % 2, row = first + j / 2 * 8;
            const size_t key = turned ? row : at, query = turned ? at : row;
            if (key >= keys || (causal && key > query))
                score[i][j] = -INFINITY;
        }
}

/* ---- forward ---- */

/* One half (upper: 0, lower: 1) of a warp's rows: scores, in units of log2, become e^(score - largest). */
template <unsigned KEYS, unsigned WIDTH>
static __device__ void soften(unsigned half, float scale, float (&score)[KEYS / 8][4], float &largest, float &total,
                              float (&sum)[WIDTH / 8][4])
{
    float most = -INFINITY, part = 0;
#pragma unroll
    for (unsigned i = 0; i < KEYS / 8; i++)
        most = fmaxf(most, fmaxf(score[i][2 * half], score[i][2 * half + 1]));
    /* Every row uses key 0, even if it does not exist: from the first tile on this is finite. */
    const float before = largest;
    largest = fmaxf(before, scale * row_max(most));
    const float keep = exp2f(before - largest);
#pragma unroll
    for (unsigned i = 0; i < KEYS / 8; i++)
#pragma unroll
        for (unsigned j = 2 * half; j < 2 * half + 2; j++) {
            score[i][j] = exp2f(scale * score[i][j] - largest);
            part += score[i][j];
        }
    total = total * keep + part;
#pragma unroll
    for (unsigned i = 0; i < WIDTH / 8; i++) {
        sum[i][2 * half] *= keep;
        sum[i][2 * half + 1] *= keep;
    }
}

template <typename T, unsigned WIDTH>
static __global__ void LAUNCH_BOUNDS forward_kernel(problem_t problem, const T *q, const T *k, const T *v, T *out,
                                                    float *log_sums)
{
    constexpr unsigned KEYS = passing_t<WIDTH>::KEYS, TILE = KEYS * tile_t<WIDTH>::STRIDE;
    const lspo_attention_t &a = problem.attention;
    const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y, blockIdx.z);
    T *const buffer = (T *)lspo_shared; /* two of a tile of K and one of V */
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t tile = (size_t)(gridDim.x - 1 - blockIdx.x) * OWN; /* causal: most work first */
    const size_t first = tile + warp * WARP_ROWS, row = first + lane / 4;
    const size_t end = a.causal ? min(tile + OWN, a.sequence) : p.keys;
    const float scale = problem.scale * LOG2_E;
    float sum[WIDTH / 8][4], largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
    uint32_t queries[WIDTH / 16][4];
    lspo_copies_t copies;
    clear(sum);
    load_own<WIDTH>(problem, q + p.q, a.q_stride, tile, buffer, queries);
    __syncthreads();
    for (size_t key = 0; key < end + KEYS; key += KEYS) { /* loads are one step ahead */
        T *const next = buffer + key / KEYS % 2 * 2 * TILE;
        const T *const now = buffer + (key / KEYS + 1) % 2 * 2 * TILE;
        copies.finish();
        __syncthreads();
        if (key < end) {
            start_tile<KEYS, WIDTH>(problem, k + p.kv, a.kv_stride, key, next, copies);
            start_tile<KEYS, WIDTH>(problem, v + p.kv, a.kv_stride, key, next + TILE, copies);
        }
        if (key == 0)
            continue;
        float score[KEYS / 8][4];
        multiply<KEYS, WIDTH>(queries, now, score);
        if (key > p.keys || (a.causal && key > first + 1))
            hide<false, KEYS>(problem, p.keys, row, key - KEYS, score);
        soften<KEYS, WIDTH>(0, scale, score, largest[0], total[0], sum);
        soften<KEYS, WIDTH>(1, scale, score, largest[1], total[1], sum);
        add_weighted<KEYS, WIDTH>(score, now + TILE, sum);
    }
    for (unsigned half = 0; half < 2; half++) {
        total[half] = row_sum(total[half]);
        if (lane % 4 == 0 && row + 8 * half < a.sequence)
            log_sums[p.sums + row + 8 * half] = LN_2 * (largest[half] + log2f(total[half]));
    }
    store<WIDTH>(a, sum, {1.0f / total[0], 1.0f / total[1]}, first, a.heads * a.head_width, out + p.out);
}

/* ---- backward ---- */

/* The data to recompute a query's probabilities.  For queries that do not exist, Q and dO are zero, and so are their
 * contributions. */
typedef struct {
    float log_sum, dot; /* log_sum in units of log2 */
} query_t;

static __device__ query_t query_at(const lspo_attention_t &a, const float *log_sums, const float *row_dots,
                                   size_t place, size_t query)
{
    query_t of = {0, 0};
    if (query < a.sequence) {
        of.log_sum = LOG2_E * log_sums[place + query];
        of.dot = row_dots[place + query];
    }
    return of;
}

template <typename T, unsigned WIDTH>
static __global__ void LAUNCH_BOUNDS query_gradient_kernel(problem_t problem, const T *q, const T *k, const T *v,
                                                           const T *dout, const float *log_sums, const float *row_dots,
                                                           T *dq)
{
    constexpr unsigned KEYS = passing_t<WIDTH>::KEYS_BACKWARD, TILE = KEYS * tile_t<WIDTH>::STRIDE;
    const lspo_attention_t &a = problem.attention;
    const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y, blockIdx.z);
    T *const buffer = (T *)lspo_shared; /* two of a tile of K and one of V */
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t tile = (size_t)(gridDim.x - 1 - blockIdx.x) * OWN;
    const size_t first = tile + warp * WARP_ROWS, row = first + lane / 4;
    const size_t end = a.causal ? min(tile + OWN, a.sequence) : p.keys;
    const float scale = problem.scale * LOG2_E;
    const query_t queries_of[2] = {query_at(a, log_sums, row_dots, p.sums, row),
                                   query_at(a, log_sums, row_dots, p.sums, row + 8)};
    float sum[WIDTH / 8][4];
    uint32_t queries[WIDTH / 16][4], gradients[WIDTH / 16][4];
    lspo_copies_t copies;
    clear(sum);
    load_own<WIDTH>(problem, q + p.q, a.q_stride, tile, buffer, queries);
    load_own<WIDTH>(problem, dout + p.out, a.heads * a.head_width, tile, buffer, gradients);
    __syncthreads();
    for (size_t key = 0; key < end + KEYS; key += KEYS) {
        T *const next = buffer + key / KEYS % 2 * 2 * TILE;
        const T *const now = buffer + (key / KEYS + 1) % 2 * 2 * TILE;
        copies.finish();
        __syncthreads();
        if (key < end) {
            start_tile<KEYS, WIDTH>(problem, k + p.kv, a.kv_stride, key, next, copies);
            start_tile<KEYS, WIDTH>(problem, v + p.kv, a.kv_stride, key, next + TILE, copies);
        }
        if (key == 0)
            continue;
        float score[KEYS / 8][4], of_p[KEYS / 8][4];
        multiply<KEYS, WIDTH>(queries, now, score);
        multiply<KEYS, WIDTH>(gradients, now + TILE, of_p);
        if (key > p.keys || (a.causal && key > first + 1))
            hide<false, KEYS>(problem, p.keys, row, key - KEYS, score);
#pragma unroll
        for (unsigned i = 0; i < KEYS / 8; i++)
#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                const query_t of = queries_of[j / 2];
                score[i][j] = exp2f(scale * score[i][j] - of.log_sum) * (of_p[i][j] - of.dot);
            }
        add_weighted<KEYS, WIDTH>(score, now, sum);
    }
    store<WIDTH>(a, sum, {problem.scale, problem.scale}, first, a.q_stride, dq + p.q);
}

/* For all columns of a lane, two of every eight from `first` on. */
template <unsigned QUERIES>
static __device__ void queries_at(const lspo_attention_t &a, const float *log_sums, const float *row_dots, size_t sums,
                                  size_t first, query_t (&of)[QUERIES / 8][2])
{
#pragma unroll
    for (unsigned i = 0; i < QUERIES / 8; i++)
#pragma unroll
        for (unsigned j = 0; j < 2; j++)
            of[i][j] = query_at(a, log_sums, row_dots, sums, first + 8 * i + j);
}

template <typename T, unsigned WIDTH>
static __global__ void LAUNCH_BOUNDS key_gradient_kernel(problem_t problem, const T *q, const T *k, const T *v,
                                                         const T *dout, const float *log_sums, const float *row_dots,
                                                         T *dk, T *dv)
{
    constexpr unsigned QUERIES = passing_t<WIDTH>::QUERIES, TILE = QUERIES * tile_t<WIDTH>::STRIDE;
    const lspo_attention_t &a = problem.attention;
    const size_t group = a.heads / a.kv_heads, kv = lspo_attention_place(a, blockIdx.y * group, blockIdx.z).kv;
    T *const keys = (T *)lspo_shared, *const values = keys + OWN * tile_t<WIDTH>::STRIDE;
    T *const buffer = values + OWN * tile_t<WIDTH>::STRIDE; /* two of a tile of Q and one of dO */
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const unsigned own = warp * WARP_ROWS * tile_t<WIDTH>::STRIDE;
    const size_t tile = (size_t)blockIdx.x * OWN, first = tile + warp * WARP_ROWS;
    const size_t begin = a.causal ? tile : 0, steps = (a.sequence - begin - 1) / QUERIES + 1;
    const float scale = problem.scale * LOG2_E;
    float of_k[WIDTH / 8][4], of_v[WIDTH / 8][4];
    lspo_copies_t copies;
    clear(of_k);
    clear(of_v);
    start_tile<OWN, WIDTH>(problem, k + kv, a.kv_stride, tile, keys, copies);
    start_tile<OWN, WIDTH>(problem, v + kv, a.kv_stride, tile, values, copies);
    for (size_t step = 0; step <= group * steps; step++) { /* loads are one step ahead */
        T *const next = buffer + step % 2 * 2 * TILE;
        const T *const now = buffer + (step + 1) % 2 * 2 * TILE;
        copies.finish();
        __syncthreads();
        if (step < group * steps) {
            const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y * group + step / steps, blockIdx.z);
            const size_t query = begin + step % steps * QUERIES;
            start_tile<QUERIES, WIDTH>(problem, q + p.q, a.q_stride, query, next, copies);
            start_tile<QUERIES, WIDTH>(problem, dout + p.out, a.heads * a.head_width, query, next + TILE, copies);
        }
        if (step == 0)
            continue;
        const lspo_attention_place_t p = lspo_attention_place(a, blockIdx.y * group + (step - 1) / steps, blockIdx.z);
        const size_t query = begin + (step - 1) % steps * QUERIES;
        float weight[QUERIES / 8][4], of_p[QUERIES / 8][4];
        query_t of[QUERIES / 8][2];
        queries_at<QUERIES>(a, log_sums, row_dots, p.sums, query + lane % 4 * 2, of);
        multiply_shared<QUERIES, WIDTH>(keys + own, now, weight);
        multiply_shared<QUERIES, WIDTH>(values + own, now + TILE, of_p);
        if (first + WARP_ROWS > p.keys || (a.causal && first + WARP_ROWS > query + 1))
            hide<true, QUERIES>(problem, p.keys, first + lane / 4, query, weight);
#pragma unroll
        for (unsigned i = 0; i < QUERIES / 8; i++)
#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                weight[i][j] = exp2f(scale * weight[i][j] - of[i][j % 2].log_sum);
        add_weighted<QUERIES, WIDTH>(weight, now + TILE, of_v);
#pragma unroll
        for (unsigned i = 0; i < QUERIES / 8; i++)
#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                weight[i][j] *= of_p[i][j] - of[i][j % 2].dot;
        add_weighted<QUERIES, WIDTH>(weight, now, of_k);
    }
    store<WIDTH>(a, of_k, {problem.scale, problem.scale}, first, a.kv_stride, dk + kv);
    store<WIDTH>(a, of_v, {1.0f, 1.0f}, first, a.kv_stride, dv + kv);
}

/* ---- launches ---- */

/* Both buffers of two tiles, and the rows that stay. */
template <unsigned WIDTH> static constexpr size_t shared_bytes(unsigned passing, unsigned staying)
{
    return (size_t)(4 * passing + staying) * tile_t<WIDTH>::STRIDE * sizeof(uint16_t);
}

/* Two blocks of every kernel fit a multiprocessor of compute capability 8.6 or 8.9, which has 100 KiB, of which the
 * system takes 1 KiB per block. */
static_assert(2 * (shared_bytes<128>(passing_t<128>::QUERIES, 2 * OWN) + 1024) <= 100 * 1024, "two blocks");

static problem_t problem_of(const lspo_attention_t *a, const void *q, const void *k, const void *v, const void *out)
{
    problem_t problem;
    problem.attention = *a;
    problem.scale = 1.0f / sqrtf((float)a->head_width);
    const size_t ends = (a->head_width | a->q_stride | a->kv_stride) * sizeof(uint16_t) | (uintptr_t)q | (uintptr_t)k |
                        (uintptr_t)v | (uintptr_t)out;
    problem.chunk = ends % 16 == 0 ? 8 : ends % 8 == 0 ? 4 : 0;
    return problem;
}

bool lspo_attention_tensor_takes(lspo_number_t number, const lspo_attention_t *a, const void *q, const void *k,
                                 const void *v, const void *out)
{
    return number != LSPO_NUMBER_FP32 && problem_of(a, q, k, v, out).chunk != 0;
}

template <typename T, unsigned WIDTH>
static int forward(const lspo_attention_t *a, const lspo_attention_operands_t *from, float *log_sums, void *out,
                   void *stream)
{
    return lspo_launch_large(forward_kernel<T, WIDTH>, lspo_attention_grid(a, OWN, a->heads), THREADS,
                             shared_bytes<WIDTH>(passing_t<WIDTH>::KEYS, 0), stream,
                             problem_of(a, from->q, from->k, from->v, out), (const T *)from->q, (const T *)from->k,
                             (const T *)from->v, (T *)out, log_sums);
}

template <typename T, unsigned WIDTH>
static int backward(const lspo_attention_t *a, const lspo_attention_operands_t *from,
                    const lspo_attention_gradients_t *to, const float *row_dots, void *stream)
{
    const problem_t problem = problem_of(a, from->q, from->k, from->v, from->dout);
    const T *const q = (const T *)from->q, *const k = (const T *)from->k, *const v = (const T *)from->v;
    const T *const dout = (const T *)from->dout;
    const int error = lspo_launch_large(query_gradient_kernel<T, WIDTH>, lspo_attention_grid(a, OWN, a->heads), THREADS,
                                        shared_bytes<WIDTH>(passing_t<WIDTH>::KEYS_BACKWARD, 0), stream, problem, q, k,
                                        v, dout, from->kept, row_dots, (T *)to->dq);
    if (error != cudaSuccess)
        return error;
    return lspo_launch_large(key_gradient_kernel<T, WIDTH>, lspo_attention_grid(a, OWN, a->kv_heads), THREADS,
                             shared_bytes<WIDTH>(passing_t<WIDTH>::QUERIES, 2 * OWN), stream, problem, q, k, v, dout,
                             from->kept, row_dots, (T *)to->dk, (T *)to->dv);
}

template <typename T>
static int forward_of_width(const lspo_attention_t *a, const lspo_attention_operands_t *from, float *log_sums,
                            void *out, void *stream)
{
    if (a->head_width <= 64)
        return forward<T, 64>(a, from, log_sums, out, stream);
    return a->head_width <= 96 ? forward<T, 96>(a, from, log_sums, out, stream)
                               : forward<T, 128>(a, from, log_sums, out, stream);
}

int lspo_attention_tensor_forward(const lspo_cuda_t *on, const lspo_attention_t *a,
                                  const lspo_attention_operands_t *operands, float *log_sums, void *out)
{
    return on->number == LSPO_NUMBER_BF16 ? forward_of_width<__nv_bfloat16>(a, operands, log_sums, out, on->stream)
                                          : forward_of_width<__half>(a, operands, log_sums, out, on->stream);
}

template <typename T>
static int backward_of_width(const lspo_attention_t *a, const lspo_attention_operands_t *from,
                             const lspo_attention_gradients_t *to, const float *row_dots, void *stream)
{
    if (a->head_width <= 64)
        return backward<T, 64>(a, from, to, row_dots, stream);
    return a->head_width <= 96 ? backward<T, 96>(a, from, to, row_dots, stream)
                               : backward<T, 128>(a, from, to, row_dots, stream);
}

int lspo_attention_tensor_backward(const lspo_cuda_t *on, const lspo_attention_t *a,
                                   const lspo_attention_operands_t *operands,
                                   const lspo_attention_gradients_t *gradients, const float *row_dots)
{
    return on->number == LSPO_NUMBER_BF16
               ? backward_of_width<__nv_bfloat16>(a, operands, gradients, row_dots, on->stream)
               : backward_of_width<__half>(a, operands, gradients, row_dots, on->stream);
}
