/* process.h - the memory of this process as counted by the kernel, independent of plans.
 *
 *     peak above a mark = VmHWM at the end - VmRSS at the mark,     with VmHWM reset at the mark (clear_refs)
 *
 * Both count touched pages of every kind: device memory of the host device, host memory, workspaces of BLAS, thread
 * stacks, code of libraries.  If the kernel cannot reset VmHWM, a warning says so once, and the resident memory at the
 * end is used as the peak, since devices keep their memory until they are closed. */
#ifndef LSPO_REAL_MACHINE_PROCESS_H
#define LSPO_REAL_MACHINE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    uint64_t resident_bytes; /* at the mark                             */
    bool starts_anew;        /* VmHWM was reset at the mark             */
} lspo_process_mark_t;

void lspo_process_mark(lspo_process_mark_t *mark_out);
/* 0 if the system does not report it. */
uint64_t lspo_process_peak_bytes(const lspo_process_mark_t *mark);

#endif
