/* kineto.h - convert a PyTorch profiler (Kineto) trace to a measured lspo trace; docs/import.md has the mapping.
 *
 * Work on the device belongs to the iteration and the range in which the CPU *launched* it (args.correlation), not to
 * those in which it ran, since the device lags behind.  The innermost range with a rule gives its kind.  PyTorch itself
 * marks backward and optimizer, but not forward: an unnamed kernel is FWD up to the last backward of its step, and
 * UPD_GPU after it (clipping, casts, zeroing).  The overlapping work of several streams becomes one busy interval; if
 * two kinds overlap, the earlier one has the lane until it ends.
 *
 * A profile has no layers: every op has layer 0.  Header entries: origin "import", source, file, and
 *     events              kernels, copies and memsets taken
 *     outside             of these left out, launched outside all steps
 *     other-devices       of these left out, on devices other than the first
 *     d2h-bytes, h2d-bytes  "unknown" if the profile lacks the bytes of some copies of that link
 *     unnamed-gpu-share   time of unnamed kernels / all GPU time
 */
#ifndef LSPO_TRACES_IMPORT_KINETO_H
#define LSPO_TRACES_IMPORT_KINETO_H

#include "base/status.h"
#include "traces/import/text.h"
#include "traces/trace.h"

/* `map_path` (may be NULL): rules as in rules.h; `progress` may be NULL. The trace is sorted and starts at 0, and its
 * iterations are counted from 0. */
lspo_status_t lspo_import_kineto(const char *path, const char *map_path, const lspo_import_progress_t *progress,
                                 lspo_trace_t **trace_out);

#endif
