/* ternary.c - see ternary.h. */
#include "kernels/ternary.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>

#include "kernels/float_bits.h"
#include "kernels/pack.h"
#include "kernels/pruned.h"
#include "kernels/simd.h"

enum { PAIRS = 9, LENGTH_MAX = 14, NONZEROS_MAX = LSPO_TERNARY_NONZEROS, NO_CODE = LSPO_TERNARY_CODES };

/* ---- the dictionary ---- */

/* Sequences of n pairs with k weights that are not zero are equally probable: their codes are first .. end. */
typedef struct {
    double log_probability;
    unsigned n, k;
    uint32_t first, end;
} group_t;

enum { GROUPS_MAX = LENGTH_MAX * (2 * LENGTH_MAX + 1) };

static uint32_t words[LSPO_TERNARY_CODES];
/* The code of a sequence with one more pair; 0, which is that of a single pair, if it is not there. */
static uint16_t longer[LSPO_TERNARY_CODES][PAIRS];
static uint16_t single[PAIRS];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static unsigned nonzeros_of(unsigned pair)
{
    return (pair / 3 != 0) + (pair % 3 != 0);
}

static uint32_t with_weight(uint32_t word, unsigned place, unsigned value)
{
    if (value == LSPO_TERNARY_ZERO)
        return word;
    for (unsigned k = 0; k < NONZEROS_MAX; k++)
        if (lspo_ternary_value_of(word, k) == LSPO_TERNARY_ZERO)
            return word | (place | value << 5) << 8 * k;
    assert(!"no probable sequence has so many weights that are not zero");
    return word;
}

static uint32_t with_pair(uint32_t word, unsigned pair)
{
    const unsigned at = lspo_ternary_length(word);
    word = with_weight(word, at, pair / 3);
    word = with_weight(word, at + 1, pair % 3);
    return word + (2U << 24);
}

/* From the most probable group on; the shorter ones of a sequence are more probable, and so in groups before. */
static size_t sort_groups(group_t *groups)
{
    const double zero = log(0.885), other = log(0.0575);
    size_t count = 0;
    for (unsigned n = 1; n <= LENGTH_MAX; n++)
        for (unsigned k = 0; k <= 2 * n; k++) {
            const group_t group = {.log_probability = (2 * n - k) * zero + k * other, .n = n, .k = k};
            size_t at = count++;
            for (; at > 0 && groups[at - 1].log_probability < group.log_probability; at--)
                groups[at] = groups[at - 1];
            groups[at] = group;
        }
    return count;
}

/* Add the sequences that are those of `from` (NULL: of no pair) with one more pair. */
static void add_longer(const group_t *from, group_t *to)
{
    const uint32_t first = from != NULL ? from->first : 0, end = from != NULL ? from->end : 1;
    const unsigned have = from != NULL ? from->k : 0;
    for (uint32_t shorter = first; shorter < end; shorter++)
        for (unsigned pair = 0; pair < PAIRS && to->end < LSPO_TERNARY_CODES; pair++) {
            if (have + nonzeros_of(pair) != to->k)
                continue;
            words[to->end] = with_pair(from != NULL ? words[shorter] : 0, pair);
            *(from != NULL ? &longer[shorter][pair] : &single[pair]) = (uint16_t)to->end++;
        }
}

static void make_dictionary(void)
{
    group_t groups[GROUPS_MAX];
    const size_t count = sort_groups(groups);
    uint32_t codes = 0;
    for (size_t g = 0; g < count && codes < LSPO_TERNARY_CODES; g++) {
        groups[g].first = groups[g].end = codes;
        if (groups[g].n == 1)
            add_longer(NULL, &groups[g]);
        for (size_t shorter = 0; shorter < g; shorter++)
            if (groups[shorter].n + 1 == groups[g].n)
                add_longer(&groups[shorter], &groups[g]);
        codes = groups[g].end;
    }
}

const uint32_t *lspo_ternary_table(void)
{
    pthread_once(&made, make_dictionary);
    return words;
}

/* ---- packing ---- */

size_t lspo_ternary_bytes(size_t n, size_t codes)
{
    return (n + 1) * sizeof(lspo_ternary_row_t) + (codes * sizeof(uint16_t) + 7) / 8 * 8;
}

lspo_ternary_t lspo_ternary_in(size_t m, size_t n, void *memory)
{
    lspo_ternary_row_t *rows = memory;
    return (lspo_ternary_t){.m = m, .n = n, .rows = rows, .codes = (uint16_t *)(void *)(rows + n + 1)};
}

static float in_bf16(float value)
{
    uint16_t half;
    lspo_pack_bf16(1, &value, &half);
    return lspo_float_of_bf16(half);
}

void lspo_ternary_round(size_t m, size_t n, double zeros, float *w, float *scratch)
{
    lspo_prune_magnitude(m * n, zeros, w, scratch);
    for (size_t j = 0; j < n; j++) {
        double low = 0, high = 0;
        size_t lows = 0, highs = 0;
        for (size_t i = 0; i < m; i++) {
            const float value = w[i * n + j];
            low += value < 0 ? (double)value : 0;
            high += value > 0 ? (double)value : 0;
            lows += value < 0;
            highs += value > 0;
        }
        const float negative = in_bf16(lows > 0 ? (float)(low / (double)lows) : 0);
        const float positive = in_bf16(highs > 0 ? (float)(high / (double)highs) : 0);
        for (size_t i = 0; i < m; i++)
            w[i * n + j] = w[i * n + j] < 0 ? negative : w[i * n + j] > 0 ? positive : 0;
    }
}

/* Its least and largest number; false if it has others beside 0. */
static bool read_column(const lspo_ternary_t *to, const float *w, size_t j, lspo_ternary_row_t *row_out)
{
    float low = 0, high = 0;
    for (size_t i = 0; i < to->m; i++) {
        const float value = w[i * to->n + j];
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    lspo_pack_bf16(1, &low, &row_out->low);
    lspo_pack_bf16(1, &high, &row_out->high);
    low = lspo_float_of_bf16(row_out->low);
    high = lspo_float_of_bf16(row_out->high);
    for (size_t i = 0; i < to->m; i++) {
        const float value = w[i * to->n + j];
        if (!(value >= low && value <= low) && !(value >= high && value <= high) && !(value >= 0 && value <= 0))
            return false;
    }
    return isfinite(low) && isfinite(high);
}

static unsigned symbol_of(float value)
{
    return value < 0 ? LSPO_TERNARY_LOW : value > 0 ? LSPO_TERNARY_HIGH : LSPO_TERNARY_ZERO;
}

/* The pair that begins at input i of a column. */
static unsigned pair_at(const lspo_ternary_t *to, const float *w, size_t j, size_t i)
{
    return 3 * symbol_of(w[i * to->n + j]) + (i + 1 < to->m ? symbol_of(w[(i + 1) * to->n + j]) : LSPO_TERNARY_ZERO);
}

/* The codes of a column; as far as there is room they are stored. */
static size_t encode_column(const lspo_ternary_t *to, const float *w, size_t j, size_t room, size_t used)
{
    uint32_t code = NO_CODE;
    for (size_t i = 0; i < to->m; i += 2) {
        const unsigned pair = pair_at(to, w, j, i);
        const uint32_t next = code == NO_CODE ? single[pair] : longer[code][pair];
        if (code == NO_CODE || next != 0) {
            code = next;
            continue;
        }
        if (used < room)
            to->codes[used] = (uint16_t)code;
        used++;
        code = single[pair];
    }
    if (code != NO_CODE && used < room)
        to->codes[used] = (uint16_t)code;
    return used + (code != NO_CODE);
}

lspo_status_t lspo_ternary_pack(const float *w, size_t room, const lspo_ternary_t *to, size_t *used_out)
{
    size_t used = 0;
    pthread_once(&made, make_dictionary);
    for (size_t j = 0; j < to->n; j++) {
        if (!read_column(to, w, j, &to->rows[j]))
            return lspo_error(LSPO_ERR_INPUT, "column %zu of a matrix is not ternary: 0 and two finite numbers of bf16",
                              j);
        to->rows[j].first = (uint32_t)used;
        used = encode_column(to, w, j, room, used);
        if (used > UINT32_MAX)
            return lspo_error(LSPO_ERR_INPUT, "a ternary matrix of %zu x %zu has more than 2^32 codes", to->m, to->n);
    }
    to->rows[to->n] = (lspo_ternary_row_t){.first = (uint32_t)used};
    *used_out = used;
    if (used > room)
        return lspo_error(LSPO_ERR_INPUT,
                          "a ternary matrix of %zu x %zu needs %zu codes of 16 bits, and there is room for %zu", to->m,
                          to->n, used, room);
    return LSPO_OK;
}

/* ---- checks ---- */

static lspo_status_t check_row(const char *what, const lspo_ternary_t *packed, size_t j, size_t codes)
{
    const lspo_ternary_row_t *row = &packed->rows[j];
    const size_t first = row->first, end = row[1].first;
    uint64_t weights = 0;
    uint32_t last = 0;
    if (first > end || end > codes)
        return lspo_error(LSPO_ERR_INPUT, "%s: row %zu has the codes %zu to %zu of %zu", what, j, first, end, codes);
    for (size_t i = first; i < end; i++)
        weights += lspo_ternary_length(last = words[packed->codes[i]]);
    if (weights != packed->m + packed->m % 2)
        return lspo_error(LSPO_ERR_INPUT, "%s: the codes of row %zu are %" PRIu64 " weights, and it has %zu", what, j,
                          weights, packed->m + packed->m % 2);
    for (unsigned k = 0; packed->m % 2 != 0 && k < NONZEROS_MAX; k++)
        if (lspo_ternary_value_of(last, k) != LSPO_TERNARY_ZERO &&
            lspo_ternary_place_of(last, k) + 1 == lspo_ternary_length(last))
            return lspo_error(LSPO_ERR_INPUT, "%s: row %zu has a weight behind its last input", what, j);
    if (!isfinite(lspo_float_of_bf16(row->low)) || !isfinite(lspo_float_of_bf16(row->high)))
        return lspo_error(LSPO_ERR_INPUT, "%s: row %zu has weights that are not finite", what, j);
    return LSPO_OK;
}

lspo_status_t lspo_ternary_check(const char *what, const lspo_ternary_t *packed, size_t bytes)
{
    pthread_once(&made, make_dictionary);
    if (bytes < lspo_ternary_bytes(packed->n, 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: truncated: %zu bytes, and %zu rows alone have %zu", what, bytes,
                          packed->n, lspo_ternary_bytes(packed->n, 0));
    const size_t codes = packed->rows[packed->n].first;
    if (bytes < lspo_ternary_bytes(packed->n, codes))
        return lspo_error(LSPO_ERR_INPUT, "%s: truncated: %zu bytes, and %zu rows with %zu codes have %zu", what, bytes,
                          packed->n, codes, lspo_ternary_bytes(packed->n, codes));
    lspo_status_t status = LSPO_OK;
    for (size_t j = 0; status == LSPO_OK && j < packed->n; j++)
        status = check_row(what, packed, j, codes);
    return status;
}

/* ---- products ---- */

/* Codes that are decoded at a time, and rows of W of a worker's item. */
enum { SOME = 256, ROWS = 64 };

/* The weights that are not zero of some codes: inputs, and what they are multiplied with. */
typedef struct {
    uint32_t words[SOME], starts[SOME];
    uint32_t inputs[NONZEROS_MAX * SOME];
    float factors[NONZEROS_MAX * SOME];
} decoded_t;

/* Returns where the next code starts. */
static uint32_t look_up(size_t count, const uint16_t *codes, uint32_t start, decoded_t *to)
{
    for (size_t i = 0; i < count; i++) {
        to->words[i] = words[codes[i]];
        to->starts[i] = start;
        start += lspo_ternary_length(to->words[i]);
    }
    return start;
}

LSPO_SIMD static void decode(size_t count, float low, float high, decoded_t *to)
{
    for (unsigned k = 0; k < NONZEROS_MAX; k++) {
        uint32_t *inputs = to->inputs + k * count;
        float *factors = to->factors + k * count;
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            const uint32_t part = to->words[i] >> 8 * k;
            inputs[i] = to->starts[i] + (part & 31);
            factors[i] = part & LSPO_TERNARY_LOW << 5 ? low : part & LSPO_TERNARY_HIGH << 5 ? high : 0.0F;
        }
    }
}

LSPO_SIMD static float add_up(size_t count, const decoded_t *of, const float *x)
{
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += of->factors[i] * x[of->inputs[i]];
    return sum;
}

typedef struct {
    const lspo_ternary_t *w;
    size_t rows;
    const float *x;
    float *y;
} job_t;

static void do_row(const job_t *job, size_t j, decoded_t *decoded)
{
    const lspo_ternary_row_t *row = &job->w->rows[j];
    const float low = lspo_float_of_bf16(row->low), high = lspo_float_of_bf16(row->high);
    uint32_t start = 0;
    for (size_t r = 0; r < job->rows; r++)
        job->y[r * job->w->n + j] = 0.0F;
    for (size_t at = row->first, end = row[1].first; at < end; at += SOME) {
        const size_t count = end - at < SOME ? end - at : SOME;
        start = look_up(count, job->w->codes + at, start, decoded);
        decode(count, low, high, decoded);
        for (size_t r = 0; r < job->rows; r++)
            job->y[r * job->w->n + j] += add_up(NONZEROS_MAX * count, decoded, job->x + r * job->w->m);
    }
}

static void do_rows(void *context, uint32_t worker, size_t item)
{
    const job_t *job = context;
    decoded_t decoded;
    (void)worker;
    for (size_t j = item * ROWS; j < (item + 1) * ROWS && j < job->w->n; j++)
        do_row(job, j, &decoded);
}

void lspo_ternary_product(const lspo_ternary_t *w, size_t rows, const float *x, float *y, lspo_workers_t *workers)
{
    job_t job = {.w = w, .rows = rows, .x = x, .y = y};
    pthread_once(&made, make_dictionary);
    lspo_workers_run(workers, (w->n + ROWS - 1) / ROWS, do_rows, &job);
}
