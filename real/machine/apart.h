/* apart.h - make a call in a child process, for libraries that crash when memory is short.
 *
 * hwloc and PAPI crash if one of their allocations fails.  So hwloc runs in a child process, and PAPI is first tried in
 * one.  The result, plain bytes without pointers, comes back through a pipe.
 */
#ifndef LSPO_REAL_MACHINE_APART_H
#define LSPO_REAL_MACHINE_APART_H

#include <stddef.h>

#include "base/status.h"

/* Fills `result`; logs what fails. */
typedef lspo_status_t (*lspo_apart_call_t)(const void *context, void *result);

/* Returns the status of the call and, with LSPO_OK, its result; LSPO_ERR_MEMORY if the child crashed.  `what` describes
 * the call in the message; NULL: no message.  If no process can be started, the call is made in this one. */
lspo_status_t lspo_call_apart(const char *what, lspo_apart_call_t call, const void *context, void *result,
                              size_t result_bytes);

#endif
