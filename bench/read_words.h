/* read_words.h - read memory as fast as a core can: the limit of what computes with weights that are read once. */
#ifndef LSPO_BENCH_READ_WORDS_H
#define LSPO_BENCH_READ_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/simd.h"

/* Four places at a time, as far apart as possible: what a core reads in order at its best. */
LSPO_SIMD static uint64_t sum_words(size_t count, const uint64_t *words)
{
    const size_t part = count / 4;
    const uint64_t *second = words + part, *third = second + part, *fourth = third + part;
    uint64_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < part; i++)
        sum += words[i] + second[i] + third[i] + fourth[i];
    return sum;
}

#endif
