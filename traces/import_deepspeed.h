/* import_deepspeed.h - the step times of a DeepSpeed log ("wall_clock_breakdown": true) as a measured trace.
 *
 * All versions print, once a micro-step and then once a step for the sum of its micro-steps,
 *     ... time (ms) | fwd_microstep: 54.76 | bwd_microstep: 122.95 | ... | step_microstep: 0.34
 *     ... time (ms) | fwd: 55.15 | bwd: 180.82 | ... | step: 183.61
 * (forward, backward in place of fwd, bwd before 0.12), after "[Rank 0] ", "rank=0 " or nothing.  Each micro-step
 * becomes FWD and BWD on the GPU, each step then UPD on the CPU, or UPD_GPU where the log says that nothing is
 * offloaded; one after the other, since the log has durations only.  What passes between steps is not in it.
 */
#ifndef LSPO_TRACES_IMPORT_DEEPSPEED_H
#define LSPO_TRACES_IMPORT_DEEPSPEED_H

#include "plan/status.h"
#include "traces/trace.h"

/* Lines of other ranks than 0, lines printed twice, and a last step that is cut off are left out with a warning.
 * Header entries: origin "import", source, file, optimizer ("cpu", "gpu", "cpu, assumed"), samples-per-second. */
lspo_status_t lspo_import_deepspeed(const char *path, lspo_trace_t **trace_out);

#endif
