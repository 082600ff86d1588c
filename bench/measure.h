/* measure.h - what the benchmarks share: a clock and medians.  Ratios are taken repetition by repetition, both sides
 * right after one another, so that a busy neighbour disturbs both; the median of the ratios is what counts. */
#ifndef LSPO_BENCH_MEASURE_H
#define LSPO_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MEASURE_REPEATS_MAX = 101 };

static inline double measure_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Of this thread: what others on its core take does not count. */
static inline double measure_thread_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline int measure_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts values. */
static inline double measure_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, measure_order);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* Median seconds to sort a number among `count`: a yardstick for work on many small records; ends the program when out
 * of memory. */
static inline double measure_sort_s(size_t count)
{
    enum { REPEATS_OF_SORT = 21 };
    double times_s[REPEATS_OF_SORT], *numbers = malloc(count * sizeof *numbers);
    if (!numbers) {
        fprintf(stderr, "bench: cannot allocate %zu numbers\n", count);
        exit(1);
    }
    for (int i = 0; i < REPEATS_OF_SORT; i++) {
        uint64_t state = 1;
        for (size_t k = 0; k < count; k++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            numbers[k] = (double)(state >> 11);
        }
        double start_s = measure_thread_s();
        qsort(numbers, count, sizeof *numbers, measure_order);
        times_s[i] = measure_thread_s() - start_s;
    }
    free(numbers);
    return measure_median(times_s, REPEATS_OF_SORT) / (double)count;
}

/* 64-byte aligned and touched, so that no page fault falls into a measurement; ends the program when out of memory. */
static inline float *measure_floats(size_t n)
{
    float *memory = aligned_alloc(64, (n * sizeof *memory + 63) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "bench: cannot allocate %zu floats\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        memory[i] = 1e-3f * (float)(i % 1001);
    return memory;
}

/* A gate: prints whether `ratio` is at least, or at most, what is wanted, and counts what is missed for the exit
 * status. */
static int measure_missed;
static inline void measure_gate(const char *what, double ratio, double least, double most)
{
    const int holds = ratio >= least && ratio <= most;
    if (least > 0)
        printf("%-6s %s: %.2f, wanted at least %.2f\n", holds ? "holds" : "MISSED", what, ratio, least);
    else
        printf("%-6s %s: %.2f, wanted at most %.2f\n", holds ? "holds" : "MISSED", what, ratio, most);
    measure_missed += !holds;
}

#endif
