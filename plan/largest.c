/* largest.c - see largest.h. */
#include "plan/largest.h"

#include <math.h>

#include "plan/stage_work.h"

enum { INDEX_BYTES = sizeof(uint32_t) };

double lspo_largest_ratio(double most, double link_s, double slowest_s)
{
    return slowest_s > 0 ? fmax(1, most * link_s / slowest_s) : 1;
}

uint64_t lspo_largest_kept(uint64_t count, uint64_t number_bytes, double ratio)
{
    const uint64_t kept = (uint64_t)ceil((double)count / ratio);
    return kept * (number_bytes + INDEX_BYTES) < count * number_bytes ? kept : 0;
}

uint64_t lspo_largest_bytes(const lspo_largest_t *message)
{
    return message->kept > 0 ? message->kept * (message->number_bytes + INDEX_BYTES)
                             : message->count * message->number_bytes;
}

uint64_t lspo_largest_scratch_bytes(uint64_t count)
{
    return count * (2 * sizeof(float) + INDEX_BYTES);
}

static void append(lspo_work_t *work, lspo_kernel_class_t kernel_class, uint32_t launches, uint64_t bytes)
{
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = kernel_class, .count = launches, .bytes = bytes});
}

/* Magnitudes; three passes over them, which each read and write a count for each; those above the least one, and the
 * list. */
void lspo_largest_choose_work(const lspo_largest_t *message, lspo_work_t *work_out)
{
    const uint64_t n = message->count, p = message->number_bytes, kept = message->kept;
    lspo_work_clear(work_out);
    append(work_out, LSPO_KERNEL_COLUMNS, 5,
           n * (p + sizeof(float) + 3 * 3 * sizeof(float) + 2 * sizeof(float) + INDEX_BYTES));
    work_out->kernels[0].elements = kept;
    append(work_out, LSPO_KERNEL_COLUMNS, 2, kept * (3 * INDEX_BYTES + 2 * p));
    if (!message->feedback)
        return;
    append(work_out, LSPO_KERNEL_STREAM, 3, 5 * n * p + kept * p);
    append(work_out, LSPO_KERNEL_COLUMNS, 1, kept * (INDEX_BYTES + 2 * p));
}

void lspo_largest_spread_work(const lspo_largest_t *message, lspo_work_t *work_out)
{
    const uint64_t p = message->number_bytes;
    lspo_work_clear(work_out);
    append(work_out, LSPO_KERNEL_COLUMNS, 1, message->kept * (INDEX_BYTES + 2 * p));
    work_out->kernels[0].elements = message->kept;
    append(work_out, LSPO_KERNEL_STREAM, 1, message->count * p);
}
