/* cuda_check.h - code shared by the suites of CUDA kernels: random inputs, and checks of results against the host's in
 * several orders of the threads, with equal bits in all of them. */
#ifndef LSPO_TESTS_CUDA_CHECK_H
#define LSPO_TESTS_CUDA_CHECK_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "tests/cuda_harness.h"

/* n normal numbers times `scale`, the same for the same stream. */
static inline float *random_floats(uint64_t stream, double scale, size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(x);
    lspo_random_normal_fill(7, stream, scale, n, x);
    return x;
}

/* n numbers below `bound`. */
static inline uint32_t *random_numbers(uint64_t stream, uint32_t bound, size_t n)
{
    uint32_t *x = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = lspo_random_below(11, stream, i, bound);
    return x;
}

static inline float *copy_floats(const float *x, size_t n)
{
    float *copy = malloc((n + 1) * sizeof *copy);
    cr_assert_not_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

/* For results and scratch: 1.5e16 until they are written, unlike the device's, which are NaN. */
static inline float *floats(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(x);
    memset(x, 0x5a, n * sizeof *x);
    return x;
}

static inline float *device_floats(const float *x, size_t n)
{
    return device_copy(x, n * sizeof *x);
}

static inline float *empty_floats(size_t n)
{
    return device_array(n * sizeof(float));
}

#define DEVICE_OK(call)                                                                                                \
    do {                                                                                                               \
        const char *complaint_ = device_complaint(call);                                                               \
        cr_assert_null(complaint_, "%s: %s", #call, complaint_);                                                       \
    } while (0)

/* for (order_t order = {0}; next_order(&order);) { copy inputs, run, expect_close(&order, ...) } */
typedef struct {
    unsigned next;
    uint64_t hash, first_hash; /* of all results */
} order_t;

static inline bool next_order(order_t *order)
{
    device_free_all();
    if (order->next == 1)
        order->first_hash = order->hash;
    cr_assert(order->next < 2 || order->hash == order->first_hash, "other bits in order %u than in order 0",
              order->next - 1);
    if (order->next == device_orders())
        return false;
    device_order(order->next++);
    order->hash = 14695981039346656037U;
    return true;
}

static inline void add_to_hash(order_t *order, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order->hash = (order->hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211U;
}

/* |got - want| <= atol + rtol |want| */
typedef struct {
    double atol, rtol;
} within_t;

/* NaN only where NaN is wanted. */
static inline void expect_close(order_t *order, const char *what, const float *device, const float *want, size_t n,
                                within_t within)
{
    float *got = floats(n);
    device_read(device, n * sizeof *got, got);
    add_to_hash(order, got, n * sizeof *got);
    for (size_t i = 0; i < n; i++) {
        const double g = (double)got[i], w = (double)want[i];
        cr_assert(fabs(g - w) <= within.atol + within.rtol * fabs(w) || g == w || (isnan(g) && isnan(w)),
                  "%s[%zu of %zu] is %.9g, the host's %.9g (order %u)", what, i, n, g, w, order->next - 1);
    }
    free(got);
}

static inline void expect_bits(order_t *order, const char *what, const void *device, const void *want, size_t bytes)
{
    unsigned char *got = malloc(bytes + 1);
    cr_assert_not_null(got);
    device_read(device, bytes, got);
    add_to_hash(order, got, bytes);
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(got[i], ((const unsigned char *)want)[i], "%s differs from the host's at byte %zu (order %u)",
                     what, i, order->next - 1);
    free(got);
}

#endif
