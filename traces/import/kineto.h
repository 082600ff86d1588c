/* kineto.h - a PyTorch profiler (Kineto) trace as a measured lspo trace; docs/import.md has the mapping.
 *
 * Work on the device belongs to the iteration and to the range in which the CPU *launched* it (args.correlation), not
 * to where it ran: the device lags behind.  The innermost range that has a rule names its kind.  PyTorch marks backward
 * and optimizer by itself and forward not: a kernel without a name is FWD up to the step's last backward, and UPD_GPU
 * after it (clipping, casts, zeroing).  What a lane did at a time, on however many streams, becomes one busy interval;
 * of two kinds at once the earlier holds the lane until it ends.
 *
 * Layers are not in a profile: every op has layer 0.  Header entries: origin "import", source, file, and
 *     events              kernels, copies and memsets taken
 *     outside             of them left out, as no step was on when they were launched
 *     other-devices       of them left out, as of another device than the first
 *     d2h-bytes, h2d-bytes  "unknown" where the profile does not tell the bytes of all copies of that link
 *     unnamed-gpu-share   time of kernels without a name, of all GPU time
 */
#ifndef LSPO_TRACES_IMPORT_KINETO_H
#define LSPO_TRACES_IMPORT_KINETO_H

#include "base/status.h"
#include "traces/import/text.h"
#include "traces/trace.h"

/* `map_path` (may be NULL): rules as in rules.h; `progress` may be NULL.  The trace is sorted, starts at 0, and
 * its iterations count from 0 whatever the profiler called them. */
lspo_status_t lspo_import_kineto(const char *path, const char *map_path, const lspo_import_progress_t *progress,
                                 lspo_trace_t **trace_out);

#endif
