/* projector_cuda.cu - COMPRESS and APPLY on the GPU. */
#include <cstring>

#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* ---- gather: a block computes a panel of columns of x P for as many tokens as a warp's words have ----
 *
 * A lane has one token in fp32 and two in 16 bits, packed in a word, so that one access to shared memory serves all
 * tokens of a warp.  A warp handles 32 columns, whose sums stay in registers.  x passes through shared memory in
 * transposed chunks of rows.  Lists have ascending rows, so each column has a cursor, kept by the lane of its number,
 * which continues from chunk to chunk.  In each round every lane with an entry in the chunk broadcasts it to its warp.
 *
 * While a chunk is used the next one is loaded into registers.
 *
 * A word of padding prevents bank conflicts in the transposes: rows are 33 words apart, and lanes that load groups of
 * rows take words so that rows and words together cover 32 banks.  Panels of the same tokens run at the same time, so x
 * is read from memory once and from the L2 cache for every further panel. */
enum {
    GATHER_WARPS = LSPO_BLOCK_THREADS / LSPO_WARP_THREADS,
    GATHER_COLUMNS = GATHER_WARPS * LSPO_WARP_THREADS,
    GATHER_ROWS = 256
};

template <typename T> constexpr unsigned A_WORD = sizeof(uint32_t) / sizeof(T);
template <typename T> using word_t = lspo_numbers_t<T, A_WORD<T>>;
template <typename T> using tile_t = word_t<T>[GATHER_ROWS][LSPO_WARP_THREADS + 1];

/* Sixteen bytes of x, in the corresponding number of registers. */
using piece_t = lspo_numbers_t<uint32_t, 4>;

/* A thread's part of a chunk: LSPO_GROUP rows of the tokens of one word in every step. */
template <typename T> struct part_t {
    static constexpr unsigned GROUP = LSPO_GROUP<T>,
                              GROUPS = LSPO_WARP_THREADS / GROUP; /* per warp: GROUPS x GROUP words */
    static constexpr unsigned STEPS = GATHER_ROWS / LSPO_WARP_THREADS * GROUPS / GATHER_WARPS;
    piece_t pieces[STEPS][A_WORD<T>];

    static __device__ uint32_t row(unsigned step)
    {
        return at(step) / GROUPS * LSPO_WARP_THREADS + threadIdx.x % GROUPS * GROUP;
    }
    static __device__ uint32_t word(unsigned step)
    {
        return at(step) % GROUPS * GROUP + threadIdx.x % LSPO_WARP_THREADS / GROUPS;
    }
    static __device__ unsigned at(unsigned step)
    {
        return step * GATHER_WARPS + threadIdx.x / LSPO_WARP_THREADS;
    }
};

/* Numbers from .. from + LSPO_GROUP of which `count` exist, followed by zeros. */
template <typename T> static __device__ piece_t load_piece(const T *from, uint32_t count, bool aligned)
{
    if (aligned && count >= LSPO_GROUP<T>)
        return lspo_load_numbers(lspo_width_t<4>(), (const uint32_t *)from);
    T numbers[LSPO_GROUP<T>];
    piece_t piece;
#pragma unroll
    for (unsigned k = 0; k < LSPO_GROUP<T>; k++) {
        lspo_round(0.0f, &numbers[k]);
        if (k < count)
            numbers[k] = from[k];
    }
    memcpy(&piece, numbers, sizeof piece);
    return piece;
}

/* Rows 0 .. rows - 1 of `x`, which points to the first token's, for the tokens that exist. */
template <typename T>
static __device__ void fetch(const T *x, size_t x_stride, size_t tokens, uint32_t rows, bool aligned, part_t<T> &part)
{
#pragma unroll
    for (unsigned step = 0; step < part.STEPS; step++)
#pragma unroll
        for (unsigned i = 0; i < A_WORD<T>; i++) {
            const size_t token = part.word(step) * A_WORD<T> + i;
            const uint32_t row = part.row(step), count = token < tokens && row < rows ? rows - row : 0;
            part.pieces[step][i] = load_piece(x + token * x_stride + row, count, aligned);
        }
}

template <typename T> static __device__ void put(const part_t<T> &part, tile_t<T> &tile)
{
#pragma unroll
    for (unsigned step = 0; step < part.STEPS; step++) {
        T numbers[A_WORD<T>][part_t<T>::GROUP];
        memcpy(numbers, part.pieces[step], sizeof numbers);
#pragma unroll
        for (unsigned k = 0; k < part.GROUP; k++) {
            word_t<T> side_by_side;
            for (unsigned i = 0; i < A_WORD<T>; i++)
                side_by_side.at[i] = numbers[i][k];
            tile[part.row(step) + k][part.word(step)] = side_by_side;
        }
    }
}

/* A lane's position in its column's list, and the entry there; after the last entry its row is in no chunk. */
typedef struct {
    uint32_t at, end, row;
    float value;
} cursor_t;

static __device__ void read_entry(const lspo_projector_t &p, cursor_t *cursor)
{
    cursor->row = cursor->at < cursor->end ? p.column_row[cursor->at] : UINT32_MAX;
    cursor->value = cursor->at < cursor->end ? p.column_value[cursor->at] : 0.0f;
}

/* A warp adds its entries in the chunk to its columns' sums. */
template <typename T>
static __device__ void add_chunk(const lspo_projector_t &p, uint32_t first_row, uint32_t rows, const tile_t<T> &tile,
                                 cursor_t *cursor, float (&sum)[LSPO_WARP_THREADS][A_WORD<T>])
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    for (;;) {
        const uint32_t row = cursor->row - first_row;
        const float value = cursor->value;
        const unsigned shown = __ballot_sync(0xffffffffu, row < rows);
        if (shown == 0)
            return;
        if (row < rows) {
            cursor->at++;
            read_entry(p, cursor); /* loaded while this one is used */
        }
#pragma unroll
        for (unsigned k = 0; k < LSPO_WARP_THREADS; k++) {
            if (!(shown >> k & 1))
                continue;
            const word_t<T> from = tile[__shfl_sync(0xffffffffu, row, k)][lane];
            const float factor = __shfl_sync(0xffffffffu, value, k);
            for (unsigned i = 0; i < A_WORD<T>; i++)
                sum[k][i] += factor * lspo_to_float(from.at[i]);
        }
    }
}

/* Write a warp's columns through its part of the tile, so that adjacent lanes write adjacent numbers. */
template <typename T>
static __device__ void write_columns(const float (&sum)[LSPO_WARP_THREADS][A_WORD<T>], size_t tokens, uint32_t d,
                                     uint32_t column, tile_t<T> &tile, T *out)
{
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, own = threadIdx.x / LSPO_WARP_THREADS * LSPO_WARP_THREADS;
#pragma unroll
    for (unsigned k = 0; k < LSPO_WARP_THREADS; k++)
        for (unsigned i = 0; i < A_WORD<T>; i++)
            lspo_round(sum[k][i], &tile[own + k][lane].at[i]);
    __syncwarp();
    for (unsigned t = 0; t < LSPO_WARP_THREADS * A_WORD<T> && t < tokens; t++)
        if (column < d)
            out[(size_t)t * d + column] = tile[own + lane][t / A_WORD<T>].at[t % A_WORD<T>];
}

template <typename T>
static __global__ void __launch_bounds__(LSPO_BLOCK_THREADS, 2)
    gather_kernel(lspo_projector_t p, size_t tokens, const T *x, size_t x_stride, T *out)
{
    __shared__ tile_t<T> tile;
    const size_t first_token = (size_t)blockIdx.y * LSPO_WARP_THREADS * A_WORD<T>;
    const uint32_t column = blockIdx.x * GATHER_COLUMNS + threadIdx.x;
    const bool aligned = lspo_aligned(x) && x_stride % LSPO_GROUP<T> == 0;
    float sum[LSPO_WARP_THREADS][A_WORD<T>] = {};
    cursor_t cursor = {0, 0, 0, 0};
    part_t<T> part;
    if (column < p.d) {
        cursor.at = p.column_first[column];
        cursor.end = p.column_first[column + 1];
    }
    read_entry(p, &cursor);
    const T *const from = x + first_token * x_stride;
    fetch(from, x_stride, tokens - first_token, p.rows, aligned, part);
    for (uint32_t first_row = 0; first_row < p.rows; first_row += GATHER_ROWS) {
        const uint32_t rows = min(p.rows - first_row, (uint32_t)GATHER_ROWS), next = first_row + rows;
        __syncthreads();
        put(part, tile);
        __syncthreads();
        fetch(from + next, x_stride, tokens - first_token, p.rows - next, aligned, part);
        add_chunk<T>(p, first_row, rows, tile, &cursor, sum);
    }
    __syncthreads();
    write_columns<T>(sum, tokens - first_token, p.d, column, tile, out + first_token * p.d);
}

int lspo_projector_gather_cuda(const lspo_cuda_t *on, const lspo_projector_t *p, size_t tokens, const void *x,
                               size_t x_stride, void *out)
{
    if (tokens == 0)
        return cudaSuccess;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const size_t together = LSPO_WARP_THREADS * A_WORD<T>;
        const dim3 grid((p->d - 1) / GATHER_COLUMNS + 1, (unsigned)((tokens - 1) / together + 1));
        return lspo_launch(gather_kernel<T>, grid, LSPO_BLOCK_THREADS, 0, on->stream, *p, tokens, (const T *)x,
                           x_stride, (T *)out);
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
 * It first computes its rows of P delta in shared memory, in planes of up to four rows with the values of a column side
 * by side: one access reads four, and random columns are spread over all banks.  Then each thread computes COLUMNS
 * columns of W, one word wide, in all rows, so that a warp accesses whole cache lines of a row; it loads them before it
 * sums. */

template <unsigned ROWS> struct panel_t {
    static constexpr unsigned TOGETHER = ROWS < 4 ? ROWS : 4, PLANES = ROWS / TOGETHER;
    using column_t = lspo_numbers_t<float, TOGETHER>;
    column_t *columns;
    uint32_t d;
};

/* Rows first_row .. of P delta, those that exist. */
template <unsigned ROWS>
static __device__ void make_panel(const lspo_projector_t &p, const float *delta, uint32_t first_row,
                                  panel_t<ROWS> panel)
{
    for (uint32_t c = threadIdx.x; c < panel.d; c += blockDim.x) {
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            const size_t first = ((size_t)first_row + i) * p.r;
            float sum = 0;
            for (uint32_t e = 0; e < p.r && first_row + i < p.rows; e++)
                sum += p.value[first + e] * delta[(size_t)p.index[first + e] * panel.d + c];
            panel.columns[i / panel.TOGETHER * panel.d + c].at[i % panel.TOGETHER] = sum;
        }
    }
}

/* sum += the panel times N of the entries of Q's row. */
template <unsigned N, unsigned ROWS>
static __device__ void add_entries(const uint32_t *index, const float *value, const panel_t<ROWS> &panel,
                                   float (&sum)[ROWS])
{
    const lspo_numbers_t<uint32_t, N> indices = lspo_load_numbers(lspo_width_t<N>(), index);
    const lspo_numbers_t<float, N> values = lspo_load_numbers(lspo_width_t<N>(), value);
#pragma unroll
    for (unsigned e = 0; e < N; e++)
#pragma unroll
        for (unsigned plane = 0; plane < panel.PLANES; plane++) {
            const typename panel_t<ROWS>::column_t from = panel.columns[plane * panel.d + indices.at[e]];
#pragma unroll
            for (unsigned i = 0; i < panel.TOGETHER; i++)
                sum[plane * panel.TOGETHER + i] += values.at[e] * from.at[i];
        }
}

/* Random bits for number `at` of W: two numbers in a word share a draw. */
static __device__ uint32_t bits_of(uint64_t seed, size_t at)
{
    return lspo_random_bits(seed, at / 2) << at % 2 * 16;
}

template <typename T, unsigned ROWS, unsigned COLUMNS>
static __global__ void __launch_bounds__(LSPO_BLOCK_THREADS)
    apply_kernel(lspo_projector_t p, lspo_projector_t q, const float *delta, float eta, float keep, uint64_t seed, T *w,
                 uint32_t span)
{
    using columns_t = lspo_numbers_t<T, COLUMNS>;
    using bits_t = std::conditional_t<sizeof(columns_t) == 4, uint32_t, uint16_t>; /* one register each */
    const panel_t<ROWS> panel = {(typename panel_t<ROWS>::column_t *)lspo_shared, q.d};
    const uint32_t first_row = blockIdx.x * ROWS, count = min(p.rows - first_row, (uint32_t)ROWS);
    const uint32_t first_column = blockIdx.y * span, last_column = min(q.rows - first_column, span) + first_column;
    const bool fours = q.r % 4 == 0 && lspo_aligned(q.index) && lspo_aligned(q.value);
    make_panel(p, delta, first_row, panel);
    __syncthreads();
    for (uint32_t j = first_column + threadIdx.x * COLUMNS; j < last_column; j += blockDim.x * COLUMNS) {
        bits_t before[ROWS];
        float sum[COLUMNS][ROWS] = {};
        const size_t at = (size_t)first_row * q.rows + j;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++)
            if (i < count)
                before[i] = *(const bits_t *)(w + at + (size_t)i * q.rows);
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c++) {
            const size_t first = ((size_t)j + c) * q.r;
            for (uint32_t e = 0; fours && e < q.r; e += 4)
                add_entries<4>(q.index + first + e, q.value + first + e, panel, sum[c]);
            for (uint32_t e = 0; !fours && e < q.r; e++)
                add_entries<1>(q.index + first + e, q.value + first + e, panel, sum[c]);
        }
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            if (i >= count)
                continue;
            const size_t place = at + (size_t)i * q.rows;
            const uint32_t bits = bits_of(seed, place); /* two columns start at an even place */
            columns_t numbers;
            memcpy(&numbers, &before[i], sizeof numbers);
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++)
                numbers.at[c] =
                    lspo_round_randomly<T>(keep * lspo_to_float(numbers.at[c]) - eta * sum[c][i], bits << 16 * c);
            lspo_store_numbers(w + place, numbers);
        }
    }
}

/* For d_n whose panel fits no block: one element at a time, directly from delta. */
template <typename T>
static __global__ void apply_wide_kernel(lspo_projector_t p, lspo_projector_t q, const float *delta, float eta,
                                         float keep, uint64_t seed, T *w)
{
    const size_t n = (size_t)p.rows * q.rows;
    for (size_t at = lspo_grid_first(); at < n; at += lspo_grid_step()) {
        const size_t left = at / q.rows * p.r, right = at % q.rows * q.r;
        float sum = 0;
        for (uint32_t e = 0; e < q.r; e++) {
            float part = 0;
            for (uint32_t f = 0; f < p.r; f++)
                part += p.value[left + f] * delta[(size_t)p.index[left + f] * q.d + q.index[right + e]];
            sum += q.value[right + e] * part;
        }
        w[at] = lspo_round_randomly<T>(keep * lspo_to_float(w[at]) - eta * sum, bits_of(seed, at));
    }
}

enum {
    SHARED_BYTES_MAX = 48 * 1024, /* without requesting more */
    APPLY_BLOCKS = 256,           /* enough to fill a large GPU  */
    APPLY_SPAN_MIN = 512          /* the fewest columns that justify a panel */
};

/* With few rows the columns are also split, and each span computes the panel again, until the GPU is full. */
template <typename T, unsigned ROWS, unsigned COLUMNS>
static int launch_apply(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step, T *w,
                        void *stream)
{
    const lspo_projector_t *const p = pair->p, *const q = pair->q;
    const uint32_t row_blocks = (p->rows - 1) / ROWS + 1;
    const uint32_t wanted = (APPLY_BLOCKS - 1) / row_blocks + 1, most = (q->rows - 1) / APPLY_SPAN_MIN + 1;
    const uint32_t splits = wanted < most ? wanted : most;
    const uint32_t span = ((q->rows - 1) / splits / LSPO_WARP_THREADS + 1) * LSPO_WARP_THREADS; /* whole words */
    const dim3 grid(row_blocks, (q->rows - 1) / span + 1);
    return lspo_launch(apply_kernel<T, ROWS, COLUMNS>, grid, LSPO_BLOCK_THREADS, q->d * ROWS * sizeof(float), stream,
                       *p, *q, delta, step->rate, step->keep, step->seed, w, span);
}

template <typename T, unsigned COLUMNS>
static int apply_rows(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step, T *w,
                      void *stream)
{
    const lspo_projector_t *const p = pair->p, *const q = pair->q;
    const size_t rows = SHARED_BYTES_MAX / (q->d * sizeof(float));
    if (rows >= 16)
        return launch_apply<T, 16, COLUMNS>(pair, delta, step, w, stream);
    if (rows >= 8)
        return launch_apply<T, 8, COLUMNS>(pair, delta, step, w, stream);
    if (rows >= 4)
        return launch_apply<T, 4, COLUMNS>(pair, delta, step, w, stream);
    if (rows >= 2)
        return launch_apply<T, 2, COLUMNS>(pair, delta, step, w, stream);
    if (rows == 1)
        return launch_apply<T, 1, COLUMNS>(pair, delta, step, w, stream);
    return lspo_launch_over((size_t)p->rows * q->rows, apply_wide_kernel<T>, stream, *p, *q, delta, step->rate,
                            step->keep, step->seed, w);
}

int lspo_projector_apply_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const float *delta,
                              const lspo_vector_step_t *step, void *w)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const bool words = pair->q->rows % A_WORD<T> == 0 && (uintptr_t)w % sizeof(uint32_t) == 0;
        return words ? apply_rows<T, A_WORD<T>>(pair, delta, step, (T *)w, on->stream)
                     : apply_rows<T, 1>(pair, delta, step, (T *)w, on->stream);
    });
}
