/* memory.h - replay a plan's allocations in the order of a trace: peak bytes on GPU and host. */
#ifndef LSPO_SIM_MEMORY_H
#define LSPO_SIM_MEMORY_H

#include <stdint.h>

#include "plan/plan.h"
#include "traces/trace.h"

/* At one instant, frees (ends) come before allocations (starts). */
lspo_status_t lspo_memory_replay(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t *peak_gpu_bytes_out,
                                 uint64_t *peak_host_bytes_out);

#endif
