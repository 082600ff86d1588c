/* pruned.c - see pruned.h. */
#include "kernels/pruned.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- pruning ---- */

/* The number at `place` if the numbers were sorted, 0 <= place < count; reorders them [Hoare, Algorithm 65]. */
static float select_place(float *x, size_t count, size_t place)
{
    size_t low = 0, high = count - 1;
    while (low < high) {
        const float pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i >= j)
                break;
            const float other = x[i];
            x[i++] = x[j];
            x[j--] = other;
        }
        if (place <= j)
            high = j;
        else
            low = j + 1;
    }
    return x[place];
}

/* Scores below `limit` fall, and of those equal to it the first `equal`. */
typedef struct {
    float limit;
    size_t equal;
} limit_t;

/* With which `zeros` of the scores fall, which are >= 0; reorders them. */
static limit_t limit_of(float *scores, size_t count, size_t zeros)
{
    limit_t limit = {.limit = -1, .equal = zeros};
    if (zeros == 0)
        return limit;
    limit.limit = select_place(scores, count, zeros - 1);
    for (size_t i = 0; i < count; i++)
        limit.equal -= scores[i] < limit.limit;
    return limit;
}

static bool falls(limit_t *limit, float score)
{
    if (score < limit->limit)
        return true;
    if (score > limit->limit || limit->equal == 0)
        return false;
    limit->equal--;
    return true;
}

static size_t zeros_of(double sparsity, size_t count)
{
    return (size_t)llround(sparsity * (double)count);
}

void lspo_prune_magnitude(size_t count, double sparsity, float *w, float *scratch)
{
    for (size_t i = 0; i < count; i++)
        scratch[i] = fabsf(w[i]);
    limit_t limit = limit_of(scratch, count, zeros_of(sparsity, count));
    for (size_t i = 0; i < count; i++)
        if (falls(&limit, fabsf(w[i])))
            w[i] = 0;
}

/* Columns of a tile, a cache line of each row; a column of its scores is PAD longer than m, so that those of an m that
 * is a power of two are not all in the same places of a cache. */
enum { TILE = 16, PAD = 16 };

typedef struct {
    const lspo_wanda_t *of;
    size_t zeros;
    float *w, *scratch;
} job_t;

static float wanda_score(const job_t *job, size_t i, size_t j)
{
    return fabsf(job->w[i * job->of->n + j]) * sqrtf(job->of->squares[i]);
}

/* One tile, an item of workers. */
static void prune_tile(void *context, uint32_t worker, size_t tile)
{
    const job_t *job = context;
    const lspo_wanda_t *of = job->of;
    const size_t stride = of->m + PAD, first = tile * TILE, each = job->zeros / of->n, more = job->zeros % of->n;
    const size_t count = of->n - first < TILE ? of->n - first : TILE;
    float *scores = job->scratch + worker * TILE * stride;
    limit_t limits[TILE];
    for (size_t i = 0; i < of->m; i++)
        for (size_t k = 0; k < count; k++)
            scores[k * stride + i] = wanda_score(job, i, first + k);
    for (size_t k = 0; k < count; k++)
        limits[k] = limit_of(scores + k * stride, of->m, each + (first + k < more ? 1 : 0));
    for (size_t i = 0; i < of->m; i++)
        for (size_t k = 0; k < count; k++)
            if (falls(&limits[k], wanda_score(job, i, first + k)))
                job->w[i * of->n + first + k] = 0;
}

size_t lspo_prune_wanda_scratch(const lspo_workers_t *workers, size_t m)
{
    return lspo_workers_count(workers) * TILE * (m + PAD);
}

void lspo_prune_wanda(lspo_workers_t *workers, const lspo_wanda_t *of, float *w, float *scratch)
{
    job_t job = {of, zeros_of(of->sparsity, of->m * of->n), w, scratch};
    lspo_workers_run(workers, (of->n + TILE - 1) / TILE, prune_tile, &job);
}

void lspo_wanda_add_inputs(size_t m, size_t tokens, const float *x, float *squares)
{
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < m; i++)
            squares[i] += x[t * m + i] * x[t * m + i];
}

/* ---- numbers by their bits ---- */

static uint32_t bits_at(const void *numbers, size_t bytes, size_t i)
{
    uint16_t narrow;
    uint32_t wide;
    if (bytes == sizeof narrow) {
        memcpy(&narrow, (const char *)numbers + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const char *)numbers + i * sizeof wide, sizeof wide);
    return wide;
}

static void copy_number(const void *from, size_t i, size_t bytes, void *to, size_t j)
{
    memcpy((char *)to + j * bytes, (const char *)from + i * bytes, bytes);
}

static size_t rounded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* Zeros that are stored, too. */
static size_t spare_of(const void *dense, size_t count, size_t bytes, size_t kept)
{
    size_t others = 0;
    for (size_t i = 0; i < count; i++)
        others += bits_at(dense, bytes, i) != 0;
    return kept - others;
}

/* ---- bitmaps ---- */

static size_t words_of(size_t count)
{
    return (count + 63) / 64;
}

size_t lspo_bitmap_bytes(size_t count, size_t kept, lspo_number_t number)
{
    return words_of(count) * sizeof(uint64_t) + rounded(kept * lspo_number_bytes(number));
}

lspo_bitmap_t lspo_bitmap_place(size_t count, size_t kept, lspo_number_t number, void *memory)
{
    uint64_t *bits = memory;
    return (lspo_bitmap_t){
        .count = count, .kept = kept, .number = number, .bits = bits, .values = bits + words_of(count)};
}

void lspo_bitmap_pack(const void *dense, const lspo_bitmap_t *to)
{
    const size_t bytes = lspo_number_bytes(to->number);
    size_t spare = spare_of(dense, to->count, bytes, to->kept), stored = 0;
    memset(to->bits, 0, words_of(to->count) * sizeof *to->bits);
    memset(to->values, 0, rounded(to->kept * bytes));
    for (size_t i = 0; i < to->count; i++) {
        const bool zero = bits_at(dense, bytes, i) == 0;
        if (zero && spare == 0)
            continue;
        spare -= zero ? 1 : 0;
        to->bits[i / 64] |= (uint64_t)1 << i % 64;
        copy_number(dense, i, bytes, to->values, stored++);
    }
}

/* Words first .. end, whose stored numbers begin at `at`; returns where those of the next word begin. */
static size_t expand_words(const lspo_bitmap_t *from, size_t first, size_t end, size_t at, void *out)
{
    const size_t bytes = lspo_number_bytes(from->number);
    for (size_t w = first; w < end; w++) {
        const size_t rest = from->count - w * 64;
        memset((char *)out + w * 64 * bytes, 0, (rest < 64 ? rest : 64) * bytes);
        for (uint64_t bits = from->bits[w]; bits != 0; bits &= bits - 1)
            copy_number(from->values, at++, bytes, out, w * 64 + (size_t)__builtin_ctzll(bits));
    }
    return at;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,popcnt")))

/* By byte of a bitmap: where each of the eight numbers comes from, in bytes of 16-bit ones, or 0x80 for a zero. */
static uint8_t shuffles[256][16];
/* The same in 32-bit ones, where it does not matter what a zero comes from. */
static uint8_t permutations[256][8];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (unsigned byte = 0; byte < 256; byte++)
        for (unsigned i = 0, at = 0; i < 8; i++) {
            const bool set = byte >> i & 1;
            shuffles[byte][2 * i] = (uint8_t)(set ? 2 * at : 0x80);
            shuffles[byte][2 * i + 1] = (uint8_t)(set ? 2 * at + 1 : 0x80);
            permutations[byte][i] = (uint8_t)(set ? at : 0);
            at += set;
        }
}

/* Words first .. end, all of 64 numbers; reads up to 7 numbers behind those of the last word. */
AVX2 static size_t expand_16_avx2(const uint64_t *words, size_t first, size_t end, const uint16_t *values, size_t at,
                                  uint16_t *out)
{
    for (size_t w = first; w < end; w++)
        for (size_t k = 0; k < 8; k++) {
            const unsigned byte = words[w] >> 8 * k & 0xff;
            const __m128i some = _mm_loadu_si128((const __m128i *)(const void *)(values + at));
            const __m128i shuffle = _mm_loadu_si128((const __m128i *)(const void *)shuffles[byte]);
            _mm_storeu_si128((__m128i *)(void *)(out + w * 64 + k * 8), _mm_shuffle_epi8(some, shuffle));
            at += (size_t)__builtin_popcount(byte);
        }
    return at;
}

AVX2 static size_t expand_32_avx2(const uint64_t *words, size_t first, size_t end, const uint32_t *values, size_t at,
                                  uint32_t *out)
{
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    for (size_t w = first; w < end; w++)
        for (size_t k = 0; k < 8; k++) {
            const unsigned byte = words[w] >> 8 * k & 0xff;
            const __m256i some = _mm256_loadu_si256((const __m256i *)(const void *)(values + at));
            const __m256i places =
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)permutations[byte]));
            const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)byte), lanes), lanes);
            _mm256_storeu_si256((__m256i *)(void *)(out + w * 64 + k * 8),
                                _mm256_and_si256(_mm256_permutevar8x32_epi32(some, places), set));
            at += (size_t)__builtin_popcount(byte);
        }
    return at;
}

/* Whole words from the first that are surely followed by eight more stored numbers; *at_inout as in expand_words. */
static size_t expand_most(const lspo_bitmap_t *from, void *out, size_t *at_inout)
{
    size_t end = from->count / 64, behind = 0;
    if (lspo_cpu_level() < LSPO_CPU_AVX2)
        return 0;
    pthread_once(&tables_made, make_tables);
    for (size_t w = words_of(from->count); w > end; w--)
        behind += (size_t)__builtin_popcountll(from->bits[w - 1]);
    while (end > 0 && behind < 8)
        behind += (size_t)__builtin_popcountll(from->bits[--end]);
    *at_inout = lspo_number_bytes(from->number) == sizeof(uint16_t)
                    ? expand_16_avx2(from->bits, 0, end, from->values, 0, out)
                    : expand_32_avx2(from->bits, 0, end, from->values, 0, out);
    return end;
}
#else
static size_t expand_most(const lspo_bitmap_t *from, void *out, size_t *at_inout)
{
    (void)from;
    (void)out;
    (void)at_inout;
    return 0;
}
#endif

void lspo_bitmap_expand(const lspo_bitmap_t *from, void *out)
{
    size_t at = 0;
    const size_t done = expand_most(from, out, &at);
    (void)expand_words(from, done, words_of(from->count), at, out);
}

/* ---- CSR ---- */

size_t lspo_csr_bytes(size_t rows, size_t kept, lspo_number_t number)
{
    return rounded((rows + 1) * sizeof(uint32_t)) + rounded(kept * sizeof(uint16_t)) +
           rounded(kept * lspo_number_bytes(number));
}

lspo_csr_t lspo_csr_place(size_t rows, size_t cols, size_t kept, lspo_number_t number, void *memory)
{
    char *columns = (char *)memory + rounded((rows + 1) * sizeof(uint32_t));
    return (lspo_csr_t){.rows = rows,
                        .cols = cols,
                        .kept = kept,
                        .number = number,
                        .starts = memory,
                        .columns = (uint16_t *)(void *)columns,
                        .values = columns + rounded(kept * sizeof(uint16_t))};
}

void lspo_csr_pack(const void *dense, const lspo_csr_t *to)
{
    const size_t bytes = lspo_number_bytes(to->number);
    size_t spare = spare_of(dense, to->rows * to->cols, bytes, to->kept), stored = 0;
    memset(to->starts, 0, lspo_csr_bytes(to->rows, to->kept, to->number));
    for (size_t r = 0; r < to->rows; r++) {
        for (size_t c = 0; c < to->cols; c++) {
            const bool zero = bits_at(dense, bytes, r * to->cols + c) == 0;
            if (zero && spare == 0)
                continue;
            spare -= zero ? 1 : 0;
            to->columns[stored] = (uint16_t)c;
            copy_number(dense, r * to->cols + c, bytes, to->values, stored++);
        }
        to->starts[r + 1] = (uint32_t)stored;
    }
}

void lspo_csr_expand(const lspo_csr_t *from, void *out)
{
    const size_t bytes = lspo_number_bytes(from->number);
    memset(out, 0, from->rows * from->cols * bytes);
    for (size_t r = 0; r < from->rows; r++)
        for (size_t i = from->starts[r]; i < from->starts[r + 1]; i++)
            copy_number(from->values, i, bytes, out, r * from->cols + from->columns[i]);
}
