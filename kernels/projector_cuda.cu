/* projector_cuda.cu - COMPRESS and APPLY on the GPU. */
#include <cstring>

#include "kernels/cuda.h"
#include "kernels/mma.cuh"
#include "kernels/number.cuh"

/* ---- gather: a block computes a panel of 512 columns of x P for 64 tokens ----
 *
 * A lane has two tokens, and a warp 32 columns, whose sums stay in registers.  x passes through shared memory in chunks
 * of rows, as it is: a token's rows are a whole number of words and one more, so that the 32 lanes of a warp, which
 * read one row of 32 tokens, use 32 banks.  While a chunk is used the next one is copied.  A warp takes its columns one
 * by one.  The entries of a column in a chunk are adjacent in its list; every lane loads the same one, (row, value),
 * and adds it to its tokens' sums.  The first entry is loaded for four columns at a time, before any of them is used.
 *
 * Where a column's entries of each of the next eight chunks begin is found before: a lane per entry compares its chunk
 * with that of the entry before.  Panels of the same tokens run at the same time, so x is read from memory once and
 * from the L2 cache for every further panel. */
enum {
    GATHER_WARPS = 16,
    GATHER_THREADS = GATHER_WARPS * LSPO_WARP_THREADS,
    GATHER_COLUMNS = GATHER_WARPS * LSPO_WARP_THREADS,
    GATHER_TOKENS = 2 * LSPO_WARP_THREADS,
    GATHER_CHUNKS = 8 /* whose entries are found at once */
};

template <typename T> constexpr unsigned A_WORD = sizeof(uint32_t) / sizeof(T);

/* The chunks of a kernel in which a token has BYTES in each.  The larger, the more entries a column has in a chunk, and
 * the fewer instructions an entry takes. */
template <typename T, unsigned BYTES> struct chunk_t {
    static constexpr unsigned ROWS = BYTES / sizeof(T), STRIDE = ROWS + A_WORD<T>, NUMBERS = GATHER_TOKENS * STRIDE;
};

/* By chunk, where each column's entries begin. */
typedef uint32_t firsts_t[GATHER_COLUMNS];

template <typename T, unsigned BYTES> static constexpr size_t gather_shared_bytes()
{
    return 2 * chunk_t<T, BYTES>::NUMBERS * sizeof(T) + (GATHER_CHUNKS + 1) * sizeof(firsts_t);
}

/* The columns of x in use: rows 0 .. `rows` - 1 of `tokens` tokens. */
template <typename T> struct factor_t {
    const T *x;
    size_t stride, tokens;
    uint32_t rows;
    bool in_words;
};

/* Copy the next chunk, as far as it exists, to `tile`; a token per warp. */
template <typename T, unsigned BYTES>
static __device__ void start_chunk(const factor_t<T> &from, T *tile, lspo_copies_t &copies)
{
    using chunk = chunk_t<T, BYTES>;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const uint32_t rows = min(from.rows, (uint32_t)chunk::ROWS),
                   whole = from.in_words ? rows / A_WORD<T> * A_WORD<T> : 0;
    for (unsigned token = warp; token < GATHER_TOKENS && token < from.tokens; token += GATHER_WARPS) {
        const T *const x = from.x + token * from.stride;
        T *const to = tile + token * chunk::STRIDE;
        for (uint32_t row = lane * A_WORD<T>; row < whole; row += LSPO_WARP_THREADS * A_WORD<T>)
            copies.start<sizeof(uint32_t)>(to + row, x + row);
        for (uint32_t row = whole + lane; row < rows; row += LSPO_WARP_THREADS)
            to[row] = x[row];
    }
}

/* The entries of a lane's column that are in no chunk yet. */
typedef struct {
    uint32_t at, end;
} list_t;

/* The chunk of a column's entry, from `first_row` on; GATHER_CHUNKS behind the last one and after the column's end. */
static __device__ unsigned chunk_of(const lspo_projector_t &p, uint32_t at, uint32_t end, uint32_t first_row,
                                    unsigned chunk_rows)
{
    const unsigned chunk = at < end ? (p.column_entry[at].row - first_row) / chunk_rows : (unsigned)GATHER_CHUNKS;
    return min(chunk, (unsigned)GATHER_CHUNKS);
}

/* first[c][k] <- where entries of the warp's column k begin in chunk c from `first_row` on, and where they end in the
 * last. */
static __device__ void find_chunks(const lspo_projector_t &p, uint32_t first_row, unsigned chunk_rows, list_t &own,
                                   firsts_t *first)
{
    constexpr unsigned ALL = 0xffffffffu, LAST = LSPO_WARP_THREADS - 1, AT_ONCE = 4;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    first = (firsts_t *)&first[0][threadIdx.x - lane];
    for (unsigned k = 0; k < LSPO_WARP_THREADS; k += AT_ONCE) {
        uint32_t at[AT_ONCE], end[AT_ONCE], chunk[AT_ONCE];
#pragma unroll
        for (unsigned i = 0; i < AT_ONCE; i++) {
            at[i] = __shfl_sync(ALL, own.at, k + i) + lane;
            end[i] = __shfl_sync(ALL, own.end, k + i);
            chunk[i] = chunk_of(p, at[i], end[i], first_row, chunk_rows);
        }
#pragma unroll
        for (unsigned i = 0; i < AT_ONCE; i++)
            for (unsigned next = 0; next <= GATHER_CHUNKS;) { /* 32 entries */
                const unsigned before = __shfl_sync(ALL, chunk[i], lane - 1);
                for (unsigned c = lane == 0 ? next : before + 1; c <= chunk[i]; c++)
                    first[c][k + i] = at[i];
                next = __shfl_sync(ALL, chunk[i], LAST) + 1;
                at[i] += LSPO_WARP_THREADS;
                if (next <= GATHER_CHUNKS)
                    chunk[i] = chunk_of(p, at[i], end[i], first_row, chunk_rows);
            }
    }
    __syncwarp();
    own.at = first[GATHER_CHUNKS][lane];
}

static __device__ lspo_projector_entry_t entry_at(const lspo_projector_t &p, uint32_t at)
{
    const lspo_numbers_t<uint32_t, 2> words =
        lspo_load_numbers(lspo_width_t<2>(), (const uint32_t *)(p.column_entry + at));
    lspo_projector_entry_t entry;
    memcpy(&entry, &words, sizeof entry);
    return entry;
}

/* Add an entry to the sums of a lane's tokens.  row_0: where row 0 of x would be in shared memory, in bytes modulo
 * 2^32, of the first of them. */
template <typename T, unsigned STRIDE>
static __device__ void add_entry(const lspo_projector_entry_t &entry, uint32_t row_0, float (&sum)[2])
{
    const T *const at = (const T *)((const char *)lspo_shared + (uint32_t)(row_0 + entry.row * (uint32_t)sizeof(T)));
    sum[0] += entry.value * lspo_to_float(at[0]);
    sum[1] += entry.value * lspo_to_float(at[LSPO_WARP_THREADS * STRIDE]);
}

/* A warp adds its entries in the chunk to its columns' sums; first: where they begin and, behind that, those of the
 * next chunk. */
template <typename T, unsigned STRIDE>
static __device__ void add_chunk(const lspo_projector_t &p, const firsts_t *first, uint32_t row_0,
                                 float (&sum)[LSPO_WARP_THREADS][2])
{
    constexpr unsigned AT_ONCE = 4;
    const lspo_width_t<AT_ONCE> four;
#pragma unroll
    for (unsigned k = 0; k < LSPO_WARP_THREADS; k += AT_ONCE) {
        const lspo_numbers_t<uint32_t, AT_ONCE> at = lspo_load_numbers(four, &first[0][k]),
                                                end = lspo_load_numbers(four, &first[1][k]);
        lspo_projector_entry_t entry[AT_ONCE];
#pragma unroll
        for (unsigned i = 0; i < AT_ONCE; i++)
            if (at.at[i] < end.at[i])
                entry[i] = entry_at(p, at.at[i]);
#pragma unroll
        for (unsigned i = 0; i < AT_ONCE; i++) {
            if (at.at[i] < end.at[i])
                add_entry<T, STRIDE>(entry[i], row_0, sum[k + i]);
#pragma unroll 2
            for (uint32_t e = at.at[i] + 1; e < end.at[i]; e++)
                add_entry<T, STRIDE>(entry_at(p, e), row_0, sum[k + i]);
        }
    }
}

/* A lane's columns column .. column + 31 of one of its tokens, those that exist. */
template <unsigned WHICH, typename T>
static __device__ void write_columns(const float (&sum)[LSPO_WARP_THREADS][2], uint32_t column, uint32_t d,
                                     bool aligned, T *out)
{
    constexpr unsigned GROUP = LSPO_GROUP<T>;
#pragma unroll
    for (unsigned k = 0; k < LSPO_WARP_THREADS; k += GROUP) {
        lspo_numbers_t<float, GROUP> values;
#pragma unroll
        for (unsigned i = 0; i < GROUP; i++)
            values.at[i] = sum[k + i][WHICH];
        if (aligned && column + k + GROUP <= d) {
            lspo_store(out + column + k, values);
            continue;
        }
#pragma unroll
        for (unsigned i = 0; i < GROUP; i++)
            if (column + k + i < d)
                lspo_round(values.at[i], &out[column + k + i]);
    }
}

template <typename T, unsigned BYTES>
static __global__ void __launch_bounds__(GATHER_THREADS, 1)
    gather_kernel(lspo_projector_t p, size_t tokens, const T *x, size_t x_stride, T *out)
{
    using chunk = chunk_t<T, BYTES>;
    T *const tiles = (T *)lspo_shared;
    firsts_t *const first = (firsts_t *)(tiles + 2 * chunk::NUMBERS);
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, own_column = threadIdx.x - lane;
    const size_t first_token = (size_t)blockIdx.y * GATHER_TOKENS;
    const uint32_t panel = blockIdx.x * GATHER_COLUMNS, column = panel + threadIdx.x;
    const bool has_columns = panel + own_column < p.d; /* the warp; all of them copy */
    factor_t<T> from = {x + first_token * x_stride, x_stride, tokens - first_token, p.rows, false};
    from.in_words = (uintptr_t)x % sizeof(uint32_t) == 0 && x_stride % A_WORD<T> == 0;
    list_t own = {0, 0};
    float sum[LSPO_WARP_THREADS][2] = {};
    lspo_copies_t copies;
    if (column < p.d)
        own = {p.column_first[column], p.column_first[column + 1]};
    start_chunk<T, BYTES>(from, tiles, copies);
    for (uint32_t number = 0, row = 0; row < p.rows; number++, row += chunk::ROWS) {
        copies.finish();
        __syncthreads();
        if (p.rows - row > chunk::ROWS) {
            from.x += chunk::ROWS;
            from.rows = p.rows - row - chunk::ROWS;
            start_chunk<T, BYTES>(from, tiles + (number + 1) % 2 * chunk::NUMBERS, copies);
        }
        if (has_columns && number % GATHER_CHUNKS == 0)
            find_chunks(p, row, chunk::ROWS, own, first);
        const uint32_t row_0 = number % 2 * chunk::NUMBERS + lane * chunk::STRIDE - row;
        if (has_columns)
            add_chunk<T, chunk::STRIDE>(p, (const firsts_t *)&first[number % GATHER_CHUNKS][own_column],
                                        row_0 * (uint32_t)sizeof(T), sum);
        if (p.rows - row <= chunk::ROWS)
            break; /* rows near 2^32 */
    }
    const bool aligned = lspo_aligned(out) && p.d % LSPO_GROUP<T> == 0;
    const size_t token = first_token + lane;
    if (token < tokens)
        write_columns<0>(sum, panel + own_column, p.d, aligned, out + token * p.d);
    if (token + LSPO_WARP_THREADS < tokens)
        write_columns<1>(sum, panel + own_column, p.d, aligned, out + (token + LSPO_WARP_THREADS) * p.d);
}

template <typename T, unsigned BYTES>
static int launch_gather(const lspo_projector_t *p, size_t tokens, const T *x, size_t x_stride, T *out, void *stream)
{
    const dim3 grid((p->d - 1) / GATHER_COLUMNS + 1, (unsigned)((tokens - 1) / GATHER_TOKENS + 1));
    return lspo_launch_large(gather_kernel<T, BYTES>, grid, GATHER_THREADS, gather_shared_bytes<T, BYTES>(), stream, *p,
                             tokens, x, x_stride, out);
}

int lspo_projector_gather_cuda(const lspo_cuda_t *on, const lspo_projector_t *p, size_t tokens, const void *x,
                               size_t x_stride, void *out)
{
    size_t shared_bytes;
    if (tokens == 0)
        return cudaSuccess;
    const int error = lspo_shared_bytes_most(&shared_bytes);
    return error != cudaSuccess ? error : lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        if (gather_shared_bytes<T, 1024>() <= shared_bytes)
            return launch_gather<T, 1024>(p, tokens, (const T *)x, x_stride, (T *)out, on->stream);
        return gather_shared_bytes<T, 512>() <= shared_bytes
                   ? launch_gather<T, 512>(p, tokens, (const T *)x, x_stride, (T *)out, on->stream)
                   : launch_gather<T, 256>(p, tokens, (const T *)x, x_stride, (T *)out, on->stream);
    });
}

int lspo_projector_compress_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair,
                                 const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch)
{
    const size_t tokens = factors->tokens, d_m = pair->p->d, d_n = pair->q->d;
    void *x_p = scratch, *dy_q = (char *)scratch + tokens * d_m * lspo_number_bytes(on->number);
    int error = lspo_projector_gather_cuda(on, pair->p, tokens, factors->x, factors->x_stride, x_p);
    if (error != cudaSuccess)
        return error;
    error = lspo_projector_gather_cuda(on, pair->q, tokens, factors->dy, factors->dy_stride, dy_q);
    if (error != cudaSuccess)
        return error;
    return lspo_gemm_tn_cuda(on, d_m, d_n, tokens, 1.0f, x_p, d_m, dy_q, d_n, beta, g_hat, d_n);
}

/* ---- apply: a block handles ROWS rows of W, or a span of columns of them ----
 *
 * It first computes its rows of P delta in shared memory, in planes of as many rows as 16 bytes hold, with the
 * values of a column side by side: one access reads them, and random columns are spread over all banks.  Where W has
 * 16 bits, so has the panel, in bf16, which has the range of fp32: shared memory is what limits this kernel
 * (docs/cuda.md), and an access then serves eight rows, not four.  Then each thread computes COLUMNS columns of W,
 * one word wide, in all rows, so that a warp accesses whole cache lines of a row; it loads them before it sums.
 *
 * A warp reads one entry of each of adjacent rows of Q at a time.  In Q they are far apart, so that each lane would
 * read a cache line of its own.  Another kernel therefore first copies them side by side into scratch. */
enum {
    APPLY_THREADS = 256,
    APPLY_THREADS_LARGE = 512, /* with so much shared memory that there may be one block per multiprocessor */
    APPLY_SHARED_LARGE = 48 * 1024,
    APPLY_BLOCKS = 256,  /* enough to fill a large GPU  */
    APPLY_SPAN_MIN = 512 /* the fewest columns that justify a panel */
};

template <typename T> using panel_number_t = std::conditional_t<sizeof(T) == sizeof(float), float, __nv_bfloat16>;

template <typename T, unsigned ROWS> struct panel_t {
    static constexpr unsigned MOST = 16 / sizeof(panel_number_t<T>), TOGETHER = ROWS < MOST ? ROWS : MOST,
                              PLANES = ROWS / TOGETHER;
    using column_t = lspo_numbers_t<panel_number_t<T>, TOGETHER>;
    column_t *columns;
    uint32_t d;
};

/* Row `row` of P delta, if it exists, in N columns, which begin at `from` in delta. */
template <unsigned N>
static __device__ void make_row(const lspo_projector_t &p, uint32_t row, const float *const (&from)[N],
                                uint32_t delta_row_bytes, float (&sum)[N])
{
    const size_t first = (size_t)row * p.r;
#pragma unroll
    for (unsigned k = 0; k < N; k++)
        sum[k] = 0;
    for (uint32_t e = 0; e < p.r && row < p.rows; e++) {
        const uint64_t offset = (uint64_t)p.index[first + e] * delta_row_bytes;
        const float value = p.value[first + e];
#pragma unroll
        for (unsigned k = 0; k < N; k++)
            sum[k] += value * *(const float *)((const char *)from[k] + offset);
    }
}

/* Rows first_row .. of P delta, those that exist.  A thread has four columns, a block's threads apart. */
template <typename T, unsigned ROWS>
static __device__ void make_panel(const lspo_projector_t &p, const float *delta, uint32_t first_row,
                                  panel_t<T, ROWS> panel)
{
    constexpr unsigned AT_ONCE = 4, TOGETHER = panel.TOGETHER;
    for (uint32_t c = threadIdx.x; c < panel.d; c += AT_ONCE * blockDim.x) {
        const float *from[AT_ONCE];
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; k++) /* of those that do not exist, the last one instead */
            from[k] = delta + min(c + k * blockDim.x, panel.d - 1);
#pragma unroll 1
        for (unsigned plane = 0; plane < panel.PLANES; plane++) {
            float sum[TOGETHER][AT_ONCE];
#pragma unroll
            for (unsigned i = 0; i < TOGETHER; i++)
                make_row(p, first_row + plane * TOGETHER + i, from, panel.d * (uint32_t)sizeof(float), sum[i]);
#pragma unroll
            for (unsigned k = 0; k < AT_ONCE; k++) {
                typename panel_t<T, ROWS>::column_t column;
                for (unsigned i = 0; i < TOGETHER; i++)
                    lspo_round(sum[i][k], &column.at[i]);
                if (c + k * blockDim.x < panel.d)
                    panel.columns[plane * panel.d + c + k * blockDim.x] = column;
            }
        }
    }
}

/* A nonzero of Q. */
struct alignas(8) entry_t {
    uint32_t column;
    float value;
};

/* Q: r x rows, the first entry of each row, then the second of each, ... */
typedef struct {
    uint32_t rows, d, r;
    entry_t *entries;
} copied_t;

static __global__ void copy_kernel(lspo_projector_t q, copied_t to)
{
    for (size_t at = lspo_grid_first(); at < (size_t)q.rows * q.r; at += lspo_grid_step()) {
        const size_t row = at / q.r, e = at % q.r;
        to.entries[e * q.rows + row] = {q.index[at], q.value[at]};
    }
}

/* sum += the panel times N entries of each of COLUMNS columns of W, the next one `stride` behind the first. */
template <unsigned N, typename T, unsigned ROWS, unsigned COLUMNS>
static __device__ void add_entries(const entry_t *entries, size_t stride, const panel_t<T, ROWS> &panel,
                                   float (&sum)[COLUMNS][ROWS])
{
    lspo_numbers_t<entry_t, COLUMNS> entry[N];
#pragma unroll
    for (unsigned e = 0; e < N; e++)
        entry[e] = lspo_load_numbers(lspo_width_t<COLUMNS>(), entries + e * stride);
#pragma unroll
    for (unsigned e = 0; e < N; e++)
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c++)
#pragma unroll
            for (unsigned plane = 0; plane < panel.PLANES; plane++) {
                const typename panel_t<T, ROWS>::column_t from = panel.columns[plane * panel.d + entry[e].at[c].column];
#pragma unroll
                for (unsigned i = 0; i < panel.TOGETHER; i++)
                    sum[c][plane * panel.TOGETHER + i] += entry[e].at[c].value * lspo_to_float(from.at[i]);
            }
}

/* Random bits for four numbers of W, 16 for each: of two rows and two columns, which begin at even ones. */
static __device__ uint64_t bits_of_four(uint64_t seed, uint32_t row, uint32_t column, uint32_t columns)
{
    return lspo_rounding_word(seed, (uint64_t)(row / 2) * ((columns + 1) / 2) + column / 2);
}

/* Those of one of them, in the upper half. */
static __device__ uint32_t bits_of_one(uint64_t four, uint32_t row, uint32_t column)
{
    return (uint32_t)(four >> (row % 2 * 32 + column % 2 * 16)) << 16;
}

/* The step from w to keep w - eta along. */
typedef struct {
    float eta, keep;
    uint64_t seed;
} descent_t;

/* A thread's columns of W, in all rows of a block. */
template <typename T, unsigned ROWS, unsigned COLUMNS> struct place_t {
    using columns_t = lspo_numbers_t<T, COLUMNS>;
    using word_t = std::conditional_t<sizeof(columns_t) == 4, uint32_t, uint16_t>; /* one register each */
    T *w;
    uint32_t row, rows, column, columns; /* rows: those that exist of ROWS; columns: of W */

    __device__ void load(word_t (&before)[ROWS]) const
    {
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++)
            if (i < rows)
                before[i] = *(const word_t *)(w + (size_t)i * columns);
    }

    __device__ void store(const word_t (&before)[ROWS], const float (&sum)[COLUMNS][ROWS], const descent_t &step) const
    {
        uint64_t four = 0;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            if (i >= rows)
                continue;
            columns_t numbers;
            memcpy(&numbers, &before[i], sizeof numbers);
            if (sizeof(T) < sizeof(float) && (i % 2 == 0 || ROWS == 1))
                four = bits_of_four(step.seed, row + i, column, columns);
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++)
                numbers.at[c] =
                    lspo_round_randomly<T>(step.keep * lspo_to_float(numbers.at[c]) - step.eta * sum[c][i],
                                           bits_of_one(four, ROWS == 1 ? row : i, COLUMNS == 1 ? column : c));
            lspo_store_numbers(w + (size_t)i * columns, numbers);
        }
    }
};

template <typename T, unsigned ROWS, unsigned COLUMNS>
static __global__ void __launch_bounds__(APPLY_THREADS_LARGE, 1)
    apply_kernel(lspo_projector_t p, copied_t q, const float *delta, descent_t step, T *w, uint32_t span)
{
    constexpr unsigned AT_ONCE = 4;
    const panel_t<T, ROWS> panel = {(typename panel_t<T, ROWS>::column_t *)lspo_shared, q.d};
    const uint32_t first_row = blockIdx.x * ROWS, count = min(p.rows - first_row, (uint32_t)ROWS);
    const uint32_t first_column = blockIdx.y * span, last_column = min(q.rows - first_column, span) + first_column;
    make_panel(p, delta, first_row, panel);
    __syncthreads();
    for (uint32_t j = first_column + threadIdx.x * COLUMNS; j < last_column; j += blockDim.x * COLUMNS) {
        const place_t<T, ROWS, COLUMNS> place = {w + (size_t)first_row * q.rows + j, first_row, count, j, q.rows};
        typename place_t<T, ROWS, COLUMNS>::word_t before[ROWS];
        float sum[COLUMNS][ROWS] = {};
        place.load(before);
        uint32_t e = 0;
#pragma unroll 1
        for (; q.r - e >= AT_ONCE; e += AT_ONCE)
            add_entries<AT_ONCE>(q.entries + (size_t)e * q.rows + j, q.rows, panel, sum);
#pragma unroll 1
        for (; e < q.r; e++)
            add_entries<1>(q.entries + (size_t)e * q.rows + j, q.rows, panel, sum);
        place.store(before, sum, step);
    }
}

/* For d_n whose panel fits no block: one element at a time, directly from delta. */
template <typename T>
static __global__ void apply_wide_kernel(lspo_projector_t p, lspo_projector_t q, const float *delta, descent_t step,
                                         T *w)
{
    const size_t n = (size_t)p.rows * q.rows;
    for (size_t at = lspo_grid_first(); at < n; at += lspo_grid_step()) {
        const uint32_t row = (uint32_t)(at / q.rows), column = (uint32_t)(at % q.rows);
        const size_t left = (size_t)row * p.r, right = (size_t)column * q.r;
        float sum = 0;
        for (uint32_t e = 0; e < q.r; e++) {
            float part = 0;
            for (uint32_t f = 0; f < p.r; f++)
                part += p.value[left + f] * delta[(size_t)p.index[left + f] * q.d + q.index[right + e]];
            sum += q.value[right + e] * part;
        }
        const uint32_t bits = bits_of_one(bits_of_four(step.seed, row, column, q.rows), row, column);
        w[at] = lspo_round_randomly<T>(step.keep * lspo_to_float(w[at]) - step.eta * sum, bits);
    }
}

/* A call's arguments. */
typedef struct {
    const lspo_projector_t *p, *q;
    const float *delta;
    descent_t step;
    void *w, *scratch, *stream;
} apply_t;

/* With few rows the columns are also split, and each span computes the panel again, until the GPU is full. */
template <typename T, unsigned ROWS, unsigned COLUMNS> static int launch_apply(const apply_t &a)
{
    const uint32_t rows = a.p->rows, columns = a.q->rows, row_blocks = (rows - 1) / ROWS + 1;
    const uint32_t wanted = (APPLY_BLOCKS - 1) / row_blocks + 1, most = (columns - 1) / APPLY_SPAN_MIN + 1;
    const uint32_t splits = wanted < most ? wanted : most;
    const uint32_t span = ((columns - 1) / splits / LSPO_WARP_THREADS + 1) * LSPO_WARP_THREADS; /* whole words */
    const dim3 grid(row_blocks, (columns - 1) / span + 1);
    const size_t shared_bytes = (size_t)a.q->d * ROWS * sizeof(panel_number_t<T>);
    const copied_t q = {columns, a.q->d, a.q->r, (entry_t *)a.scratch};
    const int error = lspo_launch_over((size_t)columns * a.q->r, copy_kernel, a.stream, *a.q, q);
    if (error != cudaSuccess)
        return error;
    return lspo_launch_large(apply_kernel<T, ROWS, COLUMNS>, grid,
                             shared_bytes > APPLY_SHARED_LARGE ? APPLY_THREADS_LARGE : APPLY_THREADS, shared_bytes,
                             a.stream, *a.p, q, a.delta, a.step, (T *)a.w, span);
}

template <typename T, unsigned COLUMNS> static int apply_rows(const apply_t &a)
{
    size_t shared_bytes;
    const int error = lspo_shared_bytes_most(&shared_bytes);
    if (error != cudaSuccess)
        return error;
    const size_t rows = shared_bytes / (a.q->d * sizeof(panel_number_t<T>));
    if (rows >= 16)
        return launch_apply<T, 16, COLUMNS>(a);
    if (rows >= 8)
        return launch_apply<T, 8, COLUMNS>(a);
    if (rows >= 4)
        return launch_apply<T, 4, COLUMNS>(a);
    if (rows >= 2)
        return launch_apply<T, 2, COLUMNS>(a);
    if (rows == 1)
        return launch_apply<T, 1, COLUMNS>(a);
    return lspo_launch_over((size_t)a.p->rows * a.q->rows, apply_wide_kernel<T>, a.stream, *a.p, *a.q, a.delta, a.step,
                            (T *)a.w);
}

int lspo_projector_apply_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const float *delta,
                              const lspo_vector_step_t *step, void *w, void *scratch)
{
    const descent_t descent = {step->rate, step->keep, step->seed};
    const apply_t a = {pair->p, pair->q, delta, descent, w, scratch, on->stream};
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const bool words = a.q->rows % A_WORD<T> == 0 && (uintptr_t)a.w % sizeof(uint32_t) == 0;
        return words ? apply_rows<T, A_WORD<T>>(a) : apply_rows<T, 1>(a);
    });
}
