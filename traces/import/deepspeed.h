/* deepspeed.h - the step times of a training's log as a measured trace; traces/import/log.h has its lines.
 *
 * DeepSpeed prints its timers once a micro-step and then once a step for the sum of its micro-steps, its pipelines once
 * every few steps for the sum of these; Megatron averages.  Each micro-step becomes FWD and BWD on the GPU, each step
 * then UPD on the CPU, or UPD_GPU where the log says that nothing is offloaded; one after the other, since the log has
 * durations only.  How many steps a sum is of comes from the numbers of the steps and the time of a step in the same
 * log; where these contradict each other the log is refused.  A log that has the time of a step and no parts becomes
 * iterations without parts.
 */
#ifndef LSPO_TRACES_IMPORT_DEEPSPEED_H
#define LSPO_TRACES_IMPORT_DEEPSPEED_H

#include "base/status.h"
#include "traces/trace.h"

/* `batch`: samples of a step on all GPUs, for logs that have samples per second only; 0 unless the caller knows.  Lines
 * of other ranks and sources, lines printed twice, and a last step that is cut off are left out with a warning.
 * Header entries: origin "import", source, file, optimizer ("cpu", "gpu", "cpu, assumed"), samples-per-second,
 * steps-per-iteration where an iteration is an average of several steps, parts "unknown" without parts. */
lspo_status_t lspo_import_deepspeed(const char *path, double batch, lspo_trace_t **trace_out);

#endif
