/* optimizer.h - find the optimizer ranges of a profile that are work of the CPU.
 *
 * A range that names an optimizer (kind UPD_GPU) is an op of the CPU if it launched no kernel.  Trainers nest such
 * ranges: "## optimizer ##" around PyTorch's "Optimizer.step#AdamW.step", with groups of parameters in it, also on
 * other threads.  So everything that was launched while a range was open counts as launched by it: all kernels of its
 * thread, even if an inner range names them, and the optimizer's kernels of every thread.  A range that launched
 * nothing is not a separate optimizer if it overlaps one that did.  The exception is PyTorch's mark of a whole step
 * within another annotation: an optimizer on the CPU, in an annotation that also casts or zeroes something on the GPU.
 */
#ifndef LSPO_TRACES_IMPORT_OPTIMIZER_H
#define LSPO_TRACES_IMPORT_OPTIMIZER_H

#include "base/status.h"
#include "traces/import/names.h"

/* Set on_cpu of the ranges of `work`, in which the kinds of device work are known.  Sorts work->launches. */
lspo_status_t lspo_import_find_cpu_optimizers(lspo_import_work_t *work);

#endif
