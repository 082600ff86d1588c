/* memory.h - replay a plan's allocations in the order of a trace: peak bytes on GPU and host.
 *
 * Peak = static bytes + the largest sum of memory that ops have taken (when they started) and not yet given back (when
 * an op ended).  At the same instant, ends come before starts.  Each peer (plan/peers.h) has its own memory; what is
 * reported of a plan is the largest peak of any GPU and of any host.
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

/* The peaks of each peer, by its index. */
typedef struct {
    uint32_t count;
    uint64_t *gpu_bytes, *host_bytes; /* owned by gpu_bytes */
} lspo_peer_peaks_t;

/* The same; the caller releases it. */
lspo_status_t lspo_memory_replay_peers(const lspo_plan_t *plan, const lspo_trace_t *trace,
                                       lspo_peer_peaks_t *peaks_out);
void lspo_peer_peaks_release(lspo_peer_peaks_t *peaks);

/* Predicted peaks, or their bounds.  The GPU's is the sum of its three parts. */
typedef struct {
    uint64_t gpu_bytes, host_bytes;
    uint64_t gpu_tensor_bytes;                    /* at one moment; what torch.cuda.max_memory_allocated() counts */
    uint64_t gpu_reserve_bytes;                   /* held unused by the framework's allocator                     */
    uint64_t gpu_library_bytes;                   /* of the framework's process, besides the driver's context     */
    uint64_t gpu_static_bytes, host_static_bytes; /* of the tensors, those that live as long as the plan */
} lspo_memory_t;

/* Of these peaks of the plan's tensors, its static memory included; the plan is that of framework_memory.h. */
lspo_memory_t lspo_memory_of_peaks(const lspo_plan_t *plan, const lspo_machine_t *machine, uint64_t gpu_bytes,
                                   uint64_t host_bytes);

/* The replay with what the machine's framework takes (framework_memory.h), as measured by a run: the host's includes
 * cpu.process_bytes of the process (measured by real/machine/process.h), with other lanes than the GPU's
 * cpu.lanes_bytes, and the memory of LAPACK for low-rank bases. */
lspo_status_t lspo_memory_predict(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_trace_t *trace,
                                  lspo_memory_t *memory_out);
/* The least of any play (memory_least.h), without the memory that ops take on the host. */
lspo_status_t lspo_memory_predict_least(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                        lspo_memory_t *memory_out);
/* The most, if ops may be `slack_ns` early or late (memory_bound.h). */
lspo_status_t lspo_memory_predict_bound(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                        const lspo_trace_t *trace, uint64_t slack_ns, lspo_memory_t *memory_out);

#endif
