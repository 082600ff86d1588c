/* optimizer.h - which optimizer ranges of a profile are work of the CPU.
 *
 * A range that names an optimizer (kind UPD_GPU) is an op of the CPU when it launched no kernel.  Trainers put such
 * ranges into each other: "## optimizer ##" around PyTorch's "Optimizer.step#AdamW.step", groups of parameters within
 * that, also on other threads.  So a range launched what was launched while it was open: all kernels of its thread,
 * whatever range within named them, and the optimizer's kernels of every thread.  And one that launched nothing is no
 * optimizer of its own where it overlaps one that did, unless it is PyTorch's mark of a whole step and the other is
 * not: an optimizer on the CPU, in an annotation that also casts or zeroes something on the GPU.
 */
#ifndef LSPO_TRACES_IMPORT_OPTIMIZER_H
#define LSPO_TRACES_IMPORT_OPTIMIZER_H

#include "base/status.h"
#include "traces/import/names.h"

/* Set on_cpu of the ranges of `work`, whose device work has its kind.  work->launches is sorted by this. */
lspo_status_t lspo_import_find_cpu_optimizers(lspo_import_work_t *work);

#endif
