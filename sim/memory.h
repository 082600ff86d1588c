/* memory.h - replay a plan's allocations in the order of a trace: peak bytes on GPU and host.
 *
 * Peak = static bytes + the greatest sum of what ops took (when they started) and did not yet give back (when one
 * ended).  At one instant, frees (ends) come before allocations (starts).
 */
#ifndef LSPO_SIM_MEMORY_H
#define LSPO_SIM_MEMORY_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/trace.h"

/* `trace` is a complete one of `plan` (lspo_trace_check).  LSPO_ERR_CHECK when it names ops that the plan lacks or when
 * what was taken does not all come back. */
lspo_status_t lspo_memory_replay(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t *peak_gpu_bytes_out,
                                 uint64_t *peak_host_bytes_out);
/* The same on a machine whose process takes cpu.process_bytes of the host besides (real/machine/process.h measures
 * them), and what LAPACK takes for bases of low rank: what a run will be seen to take. */
lspo_status_t lspo_memory_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                  uint64_t *peak_gpu_bytes_out, uint64_t *peak_host_bytes_out);

#endif
