/* memory_least.h - GPU memory that a plan takes at some moment of every play.
 *
 * Let c_1, c_2, ... be ops of the GPU; each waits for the one before.  When c_k starts, it has taken its
 * memory.  What it waits for has ended and counts with taken - given back.  What waits for it has not started.  Any
 * other op may have done anything and counts with min(0, taken - given back).  The most of these sums over k is a lower
 * bound of the peak, without a play.  An op that takes no time never holds what it takes and gives back: no op of the
 * GPU is such on a machine whose kernels take time.
 */
#ifndef LSPO_SIM_MEMORY_LEAST_H
#define LSPO_SIM_MEMORY_LEAST_H

#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"

/* The plan may be the first steps of a longer one, if those give back all that they take.  Of plans with several GPUs
 * only the static memory is known. */
lspo_status_t lspo_memory_least(const lspo_plan_t *plan, uint64_t *gpu_bytes_out);

#endif
