/* memory.h - replay a plan's allocations in the order of a trace: peak bytes on GPU and host.
 *
 * Peak = static bytes + the largest sum of memory that ops have taken (when they started) and not yet given back (when
 * an op ended).  At the same instant, ends come before starts.
 */
#ifndef LSPO_SIM_MEMORY_H
#define LSPO_SIM_MEMORY_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/trace.h"

/* `trace` must be a complete trace of `plan` (lspo_trace_check()).  LSPO_ERR_CHECK if it has ops that the plan lacks,
 * or if not all memory is given back. */
lspo_status_t lspo_memory_replay(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t *peak_gpu_bytes_out,
                                 uint64_t *peak_host_bytes_out);
/* The same as measured by a run: plus cpu.process_bytes of the process (measured by real/machine/process.h) and the
 * memory of LAPACK for low-rank bases. */
lspo_status_t lspo_memory_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                  uint64_t *peak_gpu_bytes_out, uint64_t *peak_host_bytes_out);

#endif
