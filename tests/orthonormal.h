/* orthonormal.h - bases whose columns are orthonormal. */
#ifndef LSPO_TESTS_ORTHONORMAL_H
#define LSPO_TESTS_ORTHONORMAL_H

#include <criterion/criterion.h>
#include <stddef.h>

/* A^T A = I for the s x r array. */
static inline void assert_orthonormal(size_t s, size_t r, const float *basis)
{
    for (size_t j = 0; j < r; j++)
        for (size_t k = 0; k <= j; k++) {
            double dot = 0;
            for (size_t i = 0; i < s; i++)
                dot += (double)basis[i * r + j] * (double)basis[i * r + k];
            cr_assert_float_eq(dot, j == k, 1e-6, "columns %zu, %zu: %g", j, k, dot);
        }
}

#endif
