/* process.h - what this process takes of the machine's memory, counted by the kernel, which knows nothing of plans.
 *
 *     peak above a mark = VmHWM at the end - VmRSS at the mark,     VmHWM started anew at the mark (clear_refs)
 *
 * Both count pages that were touched, of whatever kind: device memory of the host device, host memory, workspaces of
 * BLAS, thread stacks, code of libraries.  Where the kernel refuses to start VmHWM anew, that is said once, and the
 * resident bytes at the end stand in for the peak: the devices keep what they ever held until they are closed. */
#ifndef LSPO_REAL_MACHINE_PROCESS_H
#define LSPO_REAL_MACHINE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    uint64_t resident_bytes; /* at the mark                             */
    bool starts_anew;        /* VmHWM counts from the mark on           */
} lspo_process_mark_t;

void lspo_process_mark(lspo_process_mark_t *mark_out);
/* 0 where the system does not say. */
uint64_t lspo_process_peak_bytes(const lspo_process_mark_t *mark);

#endif
