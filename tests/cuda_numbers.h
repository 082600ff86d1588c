/* cuda_numbers.h - arrays of any format for the suites of CUDA kernels, beside tests/cuda_check.h. */
#ifndef LSPO_TESTS_CUDA_NUMBERS_H
#define LSPO_TESTS_CUDA_NUMBERS_H

#include "kernels/cuda.h"
#include "kernels/pack.h"
#include "tests/cuda_check.h"
#include "tests/cuda_on_host/cuda_on_host.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const lspo_number_t known_numbers[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_FP16, LSPO_NUMBER_BF16};

/* The last one needs a GPU of compute capability 8.0: below that its products trap. */
static inline size_t number_count(void)
{
    return cuda_has_bf16() ? COUNT(known_numbers) : COUNT(known_numbers) - 1;
}

/* The formats that this GPU computes in, and those of 16 bits, as arrays: COUNT(all_numbers), all_numbers[i]. */
#define all_numbers (*(const lspo_number_t(*)[number_count()])known_numbers)
#define all_halves (*(const lspo_number_t(*)[number_count() - 1])(known_numbers + 1))

/* A call's first argument: the default stream, arrays of this format. */
#define ON(format) (&(lspo_cuda_t){.number = (format), .cublas = device_cublas(), .column_sums = device_column_sums()})

/* The distance of two numbers that follow one another, relative to them. */
static inline double step_of(lspo_number_t number)
{
    return number == LSPO_NUMBER_FP32 ? 0x1p-23 : number == LSPO_NUMBER_BF16 ? 0x1p-7 : 0x1p-10;
}

/* What the format can hold of x. */
static inline void round_floats(lspo_number_t number, size_t n, float *x)
{
    void *numbers = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(numbers);
    lspo_convert(n, LSPO_NUMBER_FP32, x, number, numbers);
    lspo_convert(n, number, numbers, LSPO_NUMBER_FP32, x);
    free(numbers);
}

/* random_floats() that the format holds. */
static inline float *random_numbers_of(lspo_number_t number, uint64_t stream, double scale, size_t n)
{
    float *x = random_floats(stream, scale, n);
    round_floats(number, n, x);
    return x;
}

static inline void *device_numbers(lspo_number_t number, const float *x, size_t n)
{
    void *numbers = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(numbers);
    lspo_convert(n, LSPO_NUMBER_FP32, x, number, numbers);
    void *device = device_copy(numbers, n * lspo_number_bytes(number));
    free(numbers);
    return device;
}

static inline void *empty_numbers(lspo_number_t number, size_t n)
{
    return device_array(n * lspo_number_bytes(number));
}

static inline double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = isnan(x[i]) ? largest : fmax(largest, fabs((double)x[i]));
    return largest;
}

/* In fp32 within atol and rtol; in 16 bits within atol, `steps` of the format at the largest number of the array, and 1
 * at the number itself. */
typedef struct {
    lspo_number_t number;
    double steps, atol, rtol;
} near_t;

/* As expect_close(). */
static inline void expect_numbers(order_t *order, const char *what, const void *device, const float *want, size_t n,
                                  near_t near)
{
    const lspo_number_t number = near.number;
    void *numbers = malloc((n + 1) * sizeof(float));
    float *got = floats(n);
    cr_assert_not_null(numbers);
    device_read(device, n * lspo_number_bytes(number), numbers);
    add_to_hash(order, numbers, n * lspo_number_bytes(number));
    lspo_convert(n, number, numbers, LSPO_NUMBER_FP32, got);
    const bool half = number != LSPO_NUMBER_FP32;
    const double most = near.atol + (half ? near.steps * step_of(number) * largest_of(want, n) : 0);
    const double relative = half ? step_of(number) : near.rtol;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)got[i], w = (double)want[i];
        cr_assert(fabs(g - w) <= most + relative * fabs(w) || g == w || (isnan(g) && isnan(w)),
                  "%s[%zu of %zu] in format %d is %.9g, the host's %.9g (order %u)", what, i, n, (int)number, g, w,
                  order->next - 1);
    }
    free(numbers), free(got);
}

/* The host's numbers, rounded once. */
static inline void expect_rounded(order_t *order, lspo_number_t number, const char *what, const void *device,
                                  const float *want, size_t n)
{
    void *numbers = malloc((n + 1) * sizeof *want);
    cr_assert_not_null(numbers);
    lspo_convert(n, LSPO_NUMBER_FP32, want, number, numbers);
    expect_bits(order, what, device, numbers, n * lspo_number_bytes(number));
    free(numbers);
}

#endif
