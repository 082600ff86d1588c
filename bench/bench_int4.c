/* bench_int4 - does a product with weights of 4 bits take the time of reading them from memory?
 *
 * For one row of X and a weight of 8192 x 16384, alternating, on one thread:
 *   int4    the product with W in 4 bits, in groups of 128
 *   read    the sum of all words of these 4 bits
 *   bf16, fp32   the same product with W in these formats
 * W is larger than any cache in every format.  Required with vector units: int4 at most 1.25 times read, and at least 3
 * times as fast as fp32 and as bf16.  Then, for information, products with more rows, and the rates of the quantizers.
 * One thread; the times are its own. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/measure.h"
#include "bench/read_words.h"
#include "kernels/cpu.h"
#include "kernels/few_rows.h"
#include "kernels/gptq.h"
#include "kernels/int4.h"
#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "kernels/random.h"

enum { M = 8192, N = 16384, REPEATS = 15, ROWS_MOST = 64 };
static const lspo_int4_shape_t shape = {M, N, 128, false};

typedef struct {
    void *int4, *bf16;
    float *fp32, *x, *out;
} operands_t;

static operands_t o;
static size_t rows; /* of X */

/* Memory in large pages, as that of a device. */
static void *large(size_t bytes)
{
    enum { PAGE = 1 << 21 };
    void *memory = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);
    if (memory == NULL) {
        fprintf(stderr, "bench: cannot allocate %zu bytes\n", bytes);
        exit(1);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void create(void)
{
    o = (operands_t){.int4 = large(lspo_int4_bytes(&shape)),
                     .bf16 = large(2UL * M * N),
                     .fp32 = large(4UL * M * N),
                     .x = measure_floats((size_t)ROWS_MOST * M),
                     .out = measure_floats((size_t)ROWS_MOST * N)};
    for (size_t i = 0; i < M; i += 64)
        lspo_random_normal_fill(1, i, 0.02, 64UL * N, o.fp32 + i * N);
    lspo_convert((size_t)M * N, LSPO_NUMBER_FP32, o.fp32, LSPO_NUMBER_BF16, o.bf16);
    const double start_s = measure_thread_s();
    if (!lspo_int4_round(NULL, &shape, o.fp32, o.int4))
        exit(1);
    printf("round to nearest: %.2f G weights/s\n", 1e-9 * M * N / (measure_thread_s() - start_s));
}

static void run_read(void)
{
    static volatile uint64_t sum;
    sum += sum_words(lspo_int4_bytes(&shape) / sizeof(uint64_t), o.int4);
}

static void run_int4(void)
{
    lspo_int4_product(&(lspo_int4_product_t){.rows = rows, .shape = shape, .packed = o.int4}, o.x, NULL, o.out, NULL);
}

static void run_few_rows(lspo_number_t number, const void *w)
{
    lspo_few_rows_product(&(lspo_few_rows_t){.rows = rows, .m = M, .n = N, .number = number, .w = w}, o.x, NULL, o.out,
                          NULL);
}

static void run_bf16(void)
{
    run_few_rows(LSPO_NUMBER_BF16, o.bf16);
}

static void run_fp32(void)
{
    run_few_rows(LSPO_NUMBER_FP32, o.fp32);
}

static double time_s(void (*run)(void))
{
    const double start_s = measure_thread_s();
    run();
    return measure_thread_s() - start_s;
}

static void print_rate(const char *name, double *times_s, double bytes)
{
    const double median_s = measure_median(times_s, REPEATS);
    printf("  %-5s %7.2f ms, %5.1f GB/s\n", name, 1e3 * median_s, 1e-9 * bytes / median_s);
}

static void one_row(void)
{
    double times_s[4][REPEATS], over_read[REPEATS], gain_fp32[REPEATS], gain_bf16[REPEATS];
    rows = 1;
    for (int i = 0; i < REPEATS; i++) {
        times_s[0][i] = time_s(run_read);
        times_s[1][i] = time_s(run_int4);
        times_s[2][i] = time_s(run_bf16);
        times_s[3][i] = time_s(run_fp32);
        over_read[i] = times_s[1][i] / times_s[0][i];
        gain_bf16[i] = times_s[2][i] / times_s[1][i];
        gain_fp32[i] = times_s[3][i] / times_s[1][i];
    }
    printf("%s, one row:\n", lspo_cpu_level_name(lspo_cpu_level()));
    print_rate("read", times_s[0], (double)lspo_int4_bytes(&shape));
    print_rate("int4", times_s[1], (double)lspo_int4_bytes(&shape));
    print_rate("bf16", times_s[2], 2.0 * M * N);
    print_rate("fp32", times_s[3], 4.0 * M * N);
    if (lspo_cpu_level() == LSPO_CPU_PORTABLE)
        return;
    measure_gate("int4 over reading it", measure_median(over_read, REPEATS), 0, 1.25);
    measure_gate("fp32 over int4", measure_median(gain_fp32, REPEATS), 3, 1e9);
    measure_gate("bf16 over int4", measure_median(gain_bf16, REPEATS), 3, 1e9);
}

static void more_rows(void)
{
    for (rows = 2; rows <= ROWS_MOST; rows *= 2) {
        const double int4_s = time_s(run_int4), bf16_s = time_s(run_bf16), fp32_s = time_s(run_fp32);
        printf("%2zu rows: int4 %6.1f ms, bf16 %6.1f, fp32 %6.1f\n", rows, 1e3 * int4_s, 1e3 * bf16_s, 1e3 * fp32_s);
    }
}

/* The products of the inputs, the factors, and the codes, of a square weight. */
static void calibrated(void)
{
    enum { D = 1024 };
    const lspo_int4_shape_t square = {D, D, 128, false};
    float *hessian = calloc((size_t)D * D, sizeof *hessian);
    if (hessian == NULL)
        exit(1);
    const double start_s = measure_thread_s();
    for (size_t i = 0; i < 8; i++)
        lspo_gptq_add_inputs(NULL, D, ROWS_MOST, o.x, hessian);
    if (lspo_gptq_factor(D, LSPO_INT4_DAMPING, hessian) != LSPO_OK ||
        !lspo_int4_gptq(NULL, &square, o.fp32, hessian, o.int4))
        exit(1);
    printf("GPTQ, %d x %d, 512 tokens: %.3f G weights/s\n", D, D, 1e-9 * D * D / (measure_thread_s() - start_s));
    free(hessian);
}

int main(void)
{
    create();
    one_row();
    more_rows();
    calibrated();
    free(o.int4);
    free(o.bf16);
    free(o.fp32);
    free(o.x);
    free(o.out);
    return measure_missed > 0;
}
