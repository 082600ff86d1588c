/* deepspeed.h - convert the step times in a training's log to a measured trace; traces/import/log.h reads the lines.
 *
 * DeepSpeed prints its timers after each micro-step, and after each step the sum of its micro-steps; its pipelines
 * print sums over several steps, Megatron prints averages.  Each micro-step becomes FWD and BWD on the GPU, followed
 * once per step by UPD on the CPU, or by UPD_GPU if the log says that nothing is offloaded.  They follow one another,
 * since the log has only durations.  The number of steps in a sum comes from the step numbers and the step time in the
 * same log; if these contradict each other, the log is refused.  A log that has step times but no parts becomes
 * iterations without parts.
 */
#ifndef LSPO_TRACES_IMPORT_DEEPSPEED_H
#define LSPO_TRACES_IMPORT_DEEPSPEED_H

#include "base/status.h"
#include "traces/trace.h"

/* `batch`: samples per step on all GPUs, for logs that have only samples per second; 0: unknown.  Lines of other ranks
 * and sources, repeated lines, and an incomplete last step are left out with a warning.  Header entries: origin
 * "import", source, file, optimizer ("cpu", "gpu", "cpu, assumed"), samples-per-second, steps-per-iteration if an
 * iteration is an average of several steps, parts "unknown" without parts. */
lspo_status_t lspo_import_deepspeed(const char *path, double batch, lspo_trace_t **trace_out);

#endif
