/* step_clock.h - the time of each kernel where the transformer calls it.
 *
 * The linker puts the functions of step_clock.c in the kernels' place (--wrap, bench/local.am).  Each takes the time of
 * its kernel and adds it to a row: one for each shape of a matrix product, one for all calls of any other kernel.  A
 * kernel that another one calls is part of that one. */
#ifndef LSPO_BENCH_STEP_CLOCK_H
#define LSPO_BENCH_STEP_CLOCK_H

#include <stddef.h>

enum { STEP_CLOCK_ROWS_MAX = 48 };

typedef struct {
    const char *kernel;
    size_t m, n, k; /* of a product, else 0 */
    unsigned calls;
    double time_s;
} step_clock_row_t;

/* All rows, in the order of their first calls. */
typedef struct {
    size_t count;
    step_clock_row_t rows[STEP_CLOCK_ROWS_MAX];
} step_clock_t;

/* Sets times and calls to 0; rows stay where they are. */
void step_clock_clear(void);
const step_clock_t *step_clock(void);
/* The row of the last kernel that was called. */
size_t step_clock_last(void);

#endif
