/* bench_ternary - how fast does a product decode packed ternary weights?
 *
 * For one row of X and weights of the shapes of Switch transformers' experts (768 x 3072 and back, 2080 x 6144 and
 * back) with 88.5 % zeros, alternating, on one thread: the product with the packed weight, and the one with the same
 * weight in bf16.  Each shape has so many weights that they are larger than caches in bf16.  Required with vector
 * units: the packed ones at least half as fast, though one core alone may have the memory's whole bandwidth.  For
 * information: bits per weight, weights decoded per second, several rows of X, and packing.  The times are the thread's
 * own. */
#include <string.h>

#include "bench/measure.h"
#include "kernels/cpu.h"
#include "kernels/few_rows.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/ternary.h"

enum { REPEATS = 15, ROWS_MOST = 16, COUNT = 32 };

static const struct {
    size_t m, n;
} shapes[] = {{768, 3072}, {3072, 768}, {2080, 6144}, {6144, 2080}};

typedef struct {
    size_t m, n, bytes; /* of all packed weights */
    lspo_ternary_t packed[COUNT];
    uint16_t *bf16; /* COUNT of them */
    float *x, *y;
} experts_t;

static double pack_s;

/* The same matrix, in memory of its own. */
static void pack_all(experts_t *e, const float *w)
{
    const size_t room = e->n * ((e->m + 1) / 2);
    for (size_t i = 0; i < COUNT; i++) {
        size_t codes = 0;
        char *memory = malloc(lspo_ternary_bytes(e->n, room));
        if (memory == NULL)
            exit(1);
        e->packed[i] = lspo_ternary_in(e->m, e->n, memory);
        const double start_s = measure_thread_s();
        if (lspo_ternary_pack(w, room, &e->packed[i], &codes) != LSPO_OK)
            exit(1);
        pack_s = measure_thread_s() - start_s;
        e->bytes += lspo_ternary_bytes(e->n, codes);
        memory = realloc(memory, lspo_ternary_bytes(e->n, codes));
        e->packed[i] = lspo_ternary_in(e->m, e->n, memory);
        if (memory == NULL || lspo_ternary_check("bench", &e->packed[i], lspo_ternary_bytes(e->n, codes)) != LSPO_OK)
            exit(1);
        lspo_convert(e->m * e->n, LSPO_NUMBER_FP32, w, LSPO_NUMBER_BF16, e->bf16 + i * e->m * e->n);
    }
}

static experts_t create(size_t m, size_t n)
{
    experts_t e = {.m = m,
                   .n = n,
                   .bf16 = malloc(COUNT * m * n * sizeof(uint16_t)),
                   .x = measure_floats(ROWS_MOST * m),
                   .y = measure_floats(ROWS_MOST * n)};
    float *w = measure_floats(m * n), *scratch = measure_floats(m * n);
    if (e.bf16 == NULL)
        exit(1);
    lspo_random_normal_fill(1, 1, 0.02, m * n, w);
    lspo_ternary_round(m, n, 0.885, w, scratch);
    pack_all(&e, w);
    free(scratch);
    free(w);
    return e;
}

static void release(experts_t *e)
{
    for (size_t i = 0; i < COUNT; i++)
        free(e->packed[i].rows);
    free(e->bf16);
    free(e->x);
    free(e->y);
}

static double packed_s(const experts_t *e, size_t rows)
{
    const double start_s = measure_thread_s();
    for (size_t i = 0; i < COUNT; i++)
        lspo_ternary_product(&e->packed[i], rows, e->x, e->y, NULL);
    return measure_thread_s() - start_s;
}

static double bf16_s(const experts_t *e, size_t rows)
{
    const double start_s = measure_thread_s();
    for (size_t i = 0; i < COUNT; i++)
        lspo_few_rows_product(
            &(lspo_few_rows_t){
                .rows = rows, .m = e->m, .n = e->n, .number = LSPO_NUMBER_BF16, .w = e->bf16 + i * e->m * e->n},
            e->x, NULL, e->y, NULL);
    return measure_thread_s() - start_s;
}

static void one_row(const experts_t *e)
{
    const double weights = (double)(COUNT * e->m * e->n);
    double packed[REPEATS], bf16[REPEATS], gain[REPEATS];
    char what[64];
    for (int i = 0; i < REPEATS; i++) {
        packed[i] = packed_s(e, 1);
        bf16[i] = bf16_s(e, 1);
        gain[i] = bf16[i] / packed[i];
    }
    const double median_s = measure_median(packed, REPEATS);
    printf("%zu x %zu: %.3f bits per weight; packed %.2f G weights/s (%.2f GB/s of codes), bf16 %.2f G weights/s\n",
           e->m, e->n, 8.0 * (double)e->bytes / weights, 1e-9 * weights / median_s, 1e-9 * (double)e->bytes / median_s,
           1e-9 * weights / measure_median(bf16, REPEATS));
    snprintf(what, sizeof what, "bf16 over packed, %zu x %zu", e->m, e->n);
    if (lspo_cpu_level() != LSPO_CPU_PORTABLE)
        measure_gate(what, measure_median(gain, REPEATS), 0.5, 1e9);
}

static void more_rows(const experts_t *e)
{
    for (size_t rows = 2; rows <= ROWS_MOST; rows *= 2)
        printf("%2zu rows: packed %6.1f ms, bf16 %6.1f\n", rows, 1e3 * packed_s(e, rows), 1e3 * bf16_s(e, rows));
    printf("packing: %.3f G weights/s\n", 1e-9 * (double)(e->m * e->n) / pack_s);
}

int main(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        experts_t e = create(shapes[i].m, shapes[i].n);
        one_row(&e);
        if (i + 1 == sizeof shapes / sizeof *shapes)
            more_rows(&e);
        release(&e);
    }
    return measure_missed > 0;
}
